"""What the catalog's checks ask of AnythingLLM: its one password, and a list."""

import os

PASSWORD = os.environ["AUTH_TOKEN"]
TOKEN = "stand-in-" + os.urandom(8).hex()


def handle(request):
    if request.path == "/api/request-token" and request.method == "POST":
        if request.json().get("password") == PASSWORD:
            return 200, {}, b'{"valid":true,"token":"' + TOKEN.encode() + b'","message":null}'
        return 401, {}, {"valid": False, "token": None, "message": "Invalid password provided"}
    if request.path == "/api/workspaces":
        return (200, {}, {"workspaces": []}) if request.bearer() == TOKEN else (401, {}, {"error": "No auth token found."})
    return None
