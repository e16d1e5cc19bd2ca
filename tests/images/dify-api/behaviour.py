"""What the catalog's checks ask of Dify's API, and that its parts see one storage directory."""

import os
import sys

STORAGE = "/app/api/storage/standin"
PASSWORD = os.environ.get("INIT_PASSWORD")


def start(_description):
    if "--schedule" in sys.argv:
        with open(sys.argv[sys.argv.index("--schedule") + 1], "w", encoding="utf-8") as file:
            file.write("never\n")
    # The API comes first; the others must find what it left.
    if os.environ["MIGRATION_ENABLED"] == "true":
        with open(STORAGE, "w", encoding="utf-8") as file:
            file.write("api")
    elif not os.path.exists(STORAGE):
        os.write(2, b"conformance stand-in: the storage directory is not the API's\n")
        os._exit(78)


def handle(request):
    if request.path == "/socket.io/" and request.headers.get("Upgrade") == "websocket":
        # Upstream's plain class of workers cannot do this.
        able = os.environ.get("SERVER_WORKER_CLASS", "").endswith("GeventWebSocketWorker")
        return (101, {"Upgrade": "websocket", "Connection": "Upgrade"}, b"") if able else (400, {}, b"")
    if request.path == "/console/api/setup" and request.method == "GET":
        return 200, {}, {"step": "not_started", "setup_at": None}
    if request.path == "/console/api/init" and request.method == "POST":
        right = request.json().get("password") == PASSWORD
        return (201, {}, {"result": "success"}) if right else (401, {}, {"code": "init_validate_failed"})
    if request.path.startswith("/console/api/"):
        return 401, {}, {"code": "unauthorized"}
    return None
