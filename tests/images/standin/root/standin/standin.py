"""A conformance stand-in: it holds the service file of the catalog to its promises where the service's
own software cannot be had. It is not the service, and says so in every answer.

/standin/description.json names what must hold when the container starts:

  service       whom it stands in for
  writable      directories in which this UID must be able to make a file
  read_only     true: the root file system must not be writable; false: it must be
  environment   name -> regular expression that the value must match as a whole
  forbidden     name -> regular expression that the value must not match, e.g. a key in plain text
  arguments     regular expressions, one for each argument, when the service file gives arguments
  files         path -> regular expression that the file's text must hold (rendered configuration)
  ports         [{"port": 6333, "paths": {"/healthz": 200}}, ...]: HTTP; other paths go to the behaviour
  delay         seconds until the health paths answer 200 instead of 503

/standin/behaviour.py may give `handle(request) -> (status, headers, body) | None` and `start(description)`.
A promise that is broken ends it with status 78 and one sentence on standard error.
"""

import importlib.util
import json
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOME = os.path.dirname(os.path.abspath(__file__))
STARTED = time.monotonic()


def broken(sentence):
    sys.stderr.write(f"conformance stand-in: {sentence}\n")
    sys.exit(78)


def can_write(directory):
    name = os.path.join(directory, f".standin-{os.getpid()}")
    try:
        with open(name, "w", encoding="utf-8") as file:
            file.write("x")
        os.unlink(name)
    except OSError:
        return False
    return True


def check_promises(description):
    if os.getuid() == 0 or os.geteuid() == 0:
        broken("it runs as root")
    for directory in description.get("writable", []):
        if not can_write(directory):
            broken(f"{directory} is not writable for UID {os.getuid()}")
    if "read_only" in description and can_write("/") == description["read_only"]:
        broken("the root file system is " + ("writable" if description["read_only"] else "read-only or not this user's"))
    for name, pattern in description.get("environment", {}).items():
        if name not in os.environ:
            broken(f"{name} is not set")
        if not re.fullmatch(pattern, os.environ[name], re.DOTALL):
            broken(f"{name} is not what the service takes (/{pattern}/)")
    for name, pattern in description.get("forbidden", {}).items():
        if re.search(pattern, os.environ.get(name, "")):
            broken(f"{name} holds what it must not")
    if "arguments" in description:
        check_arguments(description["arguments"])
    for path, pattern in description.get("files", {}).items():
        check_file(path, pattern)


def check_arguments(patterns):
    given = sys.argv[1:]
    if len(given) != len(patterns):
        broken(f"{len(given)} arguments were given, and {len(patterns)} are expected")
    for argument, pattern in zip(given, patterns):
        if not re.fullmatch(pattern, argument):
            broken(f"an argument does not match /{pattern}/")


def check_file(path, pattern):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        broken(f"{path}: {error.strerror}")
    if not re.search(pattern, text):
        broken(f"{path} does not hold /{pattern}/")


class Request:
    """What a behaviour gets to see."""

    def __init__(self, handler, body):
        self.port = handler.server.server_port
        self.method = handler.command
        self.path, _, self.query = handler.path.partition("?")
        self.headers = handler.headers
        self.body = body

    def json(self):
        return json.loads(self.body or b"{}")

    def bearer(self):
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        return value if scheme.lower() == "bearer" else ""


def handler_class(description, port, behaviour):
    paths = port.get("paths", {})
    name = description["service"]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self):
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(self, self.rfile.read(length))
            status, headers, body = self.decide(request)
            self.send_response(status)
            self.send_header("X-Conformance-Stand-In", f"not {name}")
            self.send_header("Content-Length", str(len(body)))
            for header, value in headers.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def decide(self, request):
            if request.path in paths and request.method in ("GET", "HEAD"):
                early = time.monotonic() - STARTED < description.get("delay", 0)
                return 503 if early else paths[request.path], {}, self.note()
            answer = behaviour.handle(request) if hasattr(behaviour, "handle") else None
            if answer is None:
                return 404, {}, self.note()
            status, headers, body = answer
            if not isinstance(body, bytes):
                body = json.dumps(body).encode()
                headers = {"Content-Type": "application/json", **headers}
            return status, headers, body

        def note(self):
            return f"conformance stand-in, not {name}\n".encode()

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = serve

        def log_message(self, *_):
            pass

    return Handler


def load_behaviour():
    path = os.path.join(HOME, "behaviour.py")
    if not os.path.exists(path):
        return None
    spec = importlib.util.spec_from_file_location("behaviour", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    # As PID 1 it has no default action for the signals that stop it.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_: os._exit(0))
    with open(os.path.join(HOME, "description.json"), encoding="utf-8") as file:
        description = json.load(file)
    check_promises(description)
    behaviour = load_behaviour()
    if hasattr(behaviour, "start"):
        behaviour.start(description)
    for port in description.get("ports", []):
        server = ThreadingHTTPServer(("", port["port"]), handler_class(description, port, behaviour))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stderr.write(f"conformance stand-in for {description['service']}, not the service itself\n")
    while True:
        signal.pause()


main()
