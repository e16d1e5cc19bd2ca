# What docker-py's users do, as one tenant through the gateway; ended by an exception where something is not so.
import json
import os
import socket
import sys

import docker
import docker.errors

uid = sys.argv[1]
network = f"aistack-dev-gateway-{uid}"
image = "aistack-dev-gateway:py"
client = docker.from_env(version="auto")
offered = client.version()["ApiVersion"]
assert client.api.api_version == offered and client.version()["MinAPIVersion"] == "1.24"

# A name with everything encoded, and one with a digest, which docker-py sends as %40.
assert client.images.get(f"docker.io/library/{image}").id == client.images.get(image).id
for name in [f"{image.split(':')[0]}@sha256:{'0' * 64}", "no/such:image"]:
    try:
        client.images.get(name)
        raise SystemExit(f"{name} is there")
    except docker.errors.ImageNotFound:
        pass

# NetworkingConfig is {"<network>": null}.
made = client.containers.create(
    image, ["sh", "-c", "echo started; cat"], name=f"tenant-{uid}-made", network=network, mem_limit="64m", stdin_open=True
)
assert list(made.attrs["NetworkSettings"]["Networks"]) == [network]
made.start()
ended, said = made.exec_run(["sh", "-c", "echo out; echo err >&2; exit 3"], demux=True)
assert (ended, said) == (3, (b"out\n", b"err\n")), (ended, said)
assert b"".join(made.exec_run(["echo", "streamed"], stream=True).output) == b"streamed\n"
assert made.logs() == b"started\n"
try:
    client.containers.create(image, "true", name=f"tenant-{uid}-other", network="bridge")
    raise SystemExit("a container is on another network")
except docker.errors.APIError as error:
    assert error.status_code == 403, error


def raw(head, body=b""):
    """Sends a request as it stands; its answer ends with the connection."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))
    connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
    answer = b""
    while part := connection.recv(65536):
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode(), body


def chunks(*parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


# An exec that is started without an upgrade: 200, the stream, and the end of the connection.
for command, tty, expected in [
    (["echo", "plain"], True, b"plain\r\n"),
    (["echo", "framed"], False, b"\x01\0\0\0\0\0\0\x07framed\n"),
]:
    entered = client.api.exec_create(made.id, command, tty=tty)["Id"]
    body = json.dumps({"Detach": False, "Tty": tty}).encode()
    head, said = raw(
        f"POST /v1.41/exec/{entered}/start HTTP/1.1\nHost: d\nContent-Type: application/json\nContent-Length: {len(body)}",
        body,
    )
    assert head.startswith("HTTP/1.1 200 ") and "application/vnd.docker.raw-stream" in head, head
    assert said == expected, said
    assert client.api.exec_inspect(entered)["ExitCode"] == 0

# Bodies in chunks, one of them empty.
body = json.dumps({"Image": image, "Cmd": ["true"]}).encode()
head, said = raw(
    f"POST /containers/create?name=tenant-{uid}-chunks HTTP/1.1\nHost: d\nTransfer-Encoding: chunked",
    chunks(body[:7], body[7:]),
)
assert head.startswith("HTTP/1.1 201 "), (head, said)
head, said = raw(f"POST /containers/tenant-{uid}-chunks/start HTTP/1.1\nHost: d\nTransfer-Encoding: chunked", chunks())
assert head.startswith("HTTP/1.1 204 "), (head, said)
client.api.remove_container(f"tenant-{uid}-chunks", force=True)

# Under an old version there is what its clients look for: the addresses of the default bridge, the short id among
# the names, the size of an image with its layers.
old = docker.from_env(version="1.24")
settings = old.api.inspect_container(made.id)["NetworkSettings"]
assert settings["IPAddress"] == "" and settings["MacAddress"] == ""
assert made.id[:12] in settings["Networks"][network]["Aliases"]
assert old.api.inspect_image(image)["VirtualSize"] == old.api.inspect_image(image)["Size"]

# A client that is too new gets Docker's words for it.
try:
    newer = f"1.{int(offered.split('.')[1]) + 1}"
    docker.from_env(version=newer).info()
    raise SystemExit(f"{newer} is spoken")
except docker.errors.APIError as error:
    assert error.status_code == 400, error
    assert error.explanation == f"client version {newer} is too new. Maximum supported API version is {offered}", error

made.remove(force=True)
assert client.containers.list(all=True) == []
print("all done")
