"""What the catalog's checks ask of qdrant's REST API."""

import os
import sys

sys.path.insert(0, "/standin")
from vectors import Collections  # noqa: E402

KEY = os.environ["QDRANT__SERVICE__API_KEY"]
points = Collections("/qdrant/storage/standin.json")


def ok(result):
    return 200, {}, {"result": result, "status": "ok", "time": 0.0}


def error(status, text):
    return status, {}, {"status": {"error": text}, "time": 0.0}


def handle(request):
    if request.headers.get("api-key") != KEY and request.bearer() != KEY:
        return error(401, "Must provide an API key or an Authorization bearer token")
    if request.path == "/metrics":
        return 200, {"Content-Type": "text/plain"}, b"# TYPE app_info gauge\napp_info{name=\"stand-in\"} 1\n"
    if request.path == "/collections" and request.method == "GET":
        return ok({"collections": [{"name": name} for name in points.all]})
    parts = request.path.strip("/").split("/")
    if parts[0] != "collections" or len(parts) < 2:
        return None
    name, rest = parts[1], "/".join(parts[2:])
    if request.method == "PUT" and not rest:
        points.create(name)
        return ok(True)
    if request.method == "DELETE" and not rest:
        return ok(points.drop(name))
    if name not in points.all:
        return error(404, f"Not found: Collection `{name}` doesn't exist!")
    asked = request.json()
    if request.method == "PUT" and rest == "points":
        for point in asked["points"]:
            points.put(name, point["id"], point)
        return ok({"operation_id": 0, "status": "completed"})
    if request.method == "POST" and rest in ("points/query", "points/search"):
        vector = asked.get("query", asked.get("vector"))
        found = points.nearest(name, vector, asked.get("limit", 10))
        hits = [{"id": point["id"], "version": 0, "score": distance, "payload": point.get("payload")} for distance, _, point in found]
        return ok({"points": hits} if rest == "points/query" else hits)
    return None
