"""A registry on 127.0.0.1, in Python's own HTTP server: Docker takes one there without TLS.

`empty:1` is a manifest without files. `index:1` is an index for two kinds of machines with an attestation, as
`docker buildx` makes it. `misleads:1` is an index whose manifest of an image is called an attestation.
"""
import gzip
import hashlib
import http.server
import io
import json
import sys
import tarfile

DOCKER = "application/vnd.docker."
OCI = "application/vnd.oci.image."
blobs, manifests = {}, {}


def name(blob):
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def keep(blob):
    blobs[name(blob)] = blob
    return {"digest": name(blob), "size": len(blob)}


def manifest(kind, document):
    body = json.dumps({"schemaVersion": 2, "mediaType": kind, **document}).encode()
    manifests[name(body)] = (body, kind)
    return {"mediaType": kind, "digest": name(body), "size": len(body)}


def image(machine, config, kinds):
    data = io.BytesIO()
    tarfile.open(fileobj=data, mode="w").close()
    tar = data.getvalue()
    layers = {"type": "layers", "diff_ids": [name(tar)]}
    whole = {"architecture": machine, "os": "linux", "config": config, "rootfs": layers}
    return manifest(kinds[0], {
        "config": {"mediaType": kinds[1], **keep(json.dumps(whole).encode())},
        "layers": [{"mediaType": kinds[2], **keep(gzip.compress(tar, mtime=0))}],
    })


def of_index(machine, config, annotations=None):
    kinds = [OCI + "manifest.v1+json", OCI + "config.v1+json", OCI + "layer.v1.tar+gzip"]
    own = {"platform": {"architecture": machine, "os": "linux"}}
    if annotations:
        own["annotations"] = annotations
    return {**image(machine, config, kinds), **own}


def index(*all):
    return manifest(OCI + "index.v1+json", {"manifests": list(all)})


HERE, ELSEWHERE = ("arm64", "amd64") if sys.argv[2] == "aarch64" else ("amd64", "arm64")
TYPE, OF = "vnd.docker.reference.type", "vnd.docker.reference.digest"
here = of_index(HERE, {"Cmd": ["/x"], "WorkingDir": "/srv", "Volumes": {"/here": {}}})
statement = {"mediaType": "application/vnd.in-toto+json", **keep(b'{"_type": "https://in-toto.io/Statement/v0.1"}')}
about = {"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
attestation = manifest(OCI + "manifest.v1+json", {
    "config": {"mediaType": OCI + "config.v1+json", **keep(json.dumps(about).encode())},
    "layers": [statement],
})
attestation["platform"] = {"architecture": "unknown", "os": "unknown"}
attestation["annotations"] = {TYPE: "attestation-manifest", OF: here["digest"]}
kinds = [DOCKER + "distribution.manifest.v2+json", DOCKER + "container.image.v1+json",
         DOCKER + "image.rootfs.diff.tar.gzip"]
tags = {
    "empty": image(HERE, {}, kinds),
    "index": index(of_index(ELSEWHERE, {"Cmd": ["/other"]}), here, attestation),
    "misleads": index(of_index(HERE, {"Cmd": ["/x"], "Volumes": {"/hidden": {}}}, {TYPE: "x"})),
}


class Answer(http.server.BaseHTTPRequestHandler):
    # Docker tries TLS first, and containerd's image store takes only an answer that is HTTP for a server without it.
    default_request_version = "HTTP/1.0"

    def do_GET(self):
        parts = self.path.split("/")
        if self.path == "/v2/":
            body, kind = b"{}", "application/json"
        elif "manifests" in parts:
            tag = tags.get(parts[3], {}) if parts[-1] == "1" else {}
            body, kind = manifests.get(tag.get("digest", parts[-1]), (b"", ""))
        else:
            body, kind = blobs.get(parts[-1], b""), "application/octet-stream"
        if not body:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", name(body))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
