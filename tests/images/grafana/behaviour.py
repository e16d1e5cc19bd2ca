"""What the catalog's checks ask of Grafana: a login with a session cookie, the provisioned dashboard, and
queries that are passed on to the provisioned data source."""

import json
import os
import re
import secrets
import urllib.request

PROVISIONING = os.environ["GF_PATHS_PROVISIONING"]
sessions = set()


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


SOURCE = text_of(f"{PROVISIONING}/datasources/prometheus.yaml")
SOURCE_UID = re.search(r"uid: (\S+)", SOURCE).group(1)
SOURCE_URL = re.search(r"url: (\S+)", SOURCE).group(1)
FOLDER = re.search(r"path: (\S+)", text_of(f"{PROVISIONING}/dashboards/aistack.yaml")).group(1)
# Every provisioned dashboard must be sound JSON with a uid, as Grafana demands.
DASHBOARDS = {made["uid"]: made for made in (json.loads(text_of(f"{FOLDER}/{name}")) for name in os.listdir(FOLDER))}


def handle(request):
    if request.path == "/login" and request.method == "POST":
        asked = request.json()
        known = (os.environ["GF_SECURITY_ADMIN_USER"], os.environ["GF_SECURITY_ADMIN_PASSWORD"])
        if (asked.get("user"), asked.get("password")) != known:
            return 401, {}, {"message": "Invalid username or password"}
        session = secrets.token_hex(16)
        sessions.add(session)
        return 200, {"Set-Cookie": f"grafana_session={session}; Path=/; HttpOnly; SameSite=Lax"}, {"message": "Logged in"}
    cookie = re.search(r"grafana_session=(\w+)", request.headers.get("Cookie", ""))
    if not cookie or cookie.group(1) not in sessions:
        return 401, {}, {"message": "Unauthorized"}
    prefix = f"/api/datasources/proxy/uid/{SOURCE_UID}"
    if request.path.startswith(prefix):
        with urllib.request.urlopen(f"{SOURCE_URL}{request.path.removeprefix(prefix)}?{request.query}", timeout=10) as answer:
            return answer.status, {"Content-Type": "application/json"}, answer.read()
    if request.path.startswith("/api/dashboards/uid/"):
        found = DASHBOARDS.get(request.path.rsplit("/", 1)[1])
        return (200, {}, {"dashboard": found}) if found else (404, {}, {"message": "Dashboard not found"})
    return None
