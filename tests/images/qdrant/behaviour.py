"""What the catalog's checks and Open WebUI's client ask of qdrant's REST API."""

import math
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


def meets(point, condition):
    if "has_id" in condition:
        return point["id"] in condition["has_id"]
    value = point.get("payload") or {}
    for part in condition["key"].split("."):
        value = value.get(part) if isinstance(value, dict) else None
    match = condition["match"]
    return value in match["any"] if "any" in match else value == match["value"]


def chosen(name, asked):
    """The points that a filter or a list of ids chooses."""
    conditions = (asked.get("filter") or {}).get("must", [])
    if "points" in asked:
        conditions = [{"has_id": asked["points"]}]
    return [point for point in points.all[name].values() if all(meets(point, one) for one in conditions)]


def similarity(one, other):
    length = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other)) / length if length else 0.0


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
    if request.method == "GET" and rest == "exists":
        return ok({"exists": name in points.all})
    if name not in points.all:
        return error(404, f"Not found: Collection `{name}` doesn't exist!")
    asked = request.json()
    if request.method == "PUT" and rest == "points":
        for point in asked["points"]:
            points.put(name, point["id"], point)
        return ok({"operation_id": 0, "status": "completed"})
    if request.method == "PUT" and rest == "index":
        return ok({"operation_id": 0, "status": "completed"})
    if request.method != "POST":
        return None
    if rest == "points/count":
        return ok({"count": len(chosen(name, asked))})
    if rest == "points/scroll":
        found = [{"id": point["id"], "payload": point.get("payload")} for point in chosen(name, asked)]
        return ok({"points": found[: asked.get("limit", 10)], "next_page_offset": None})
    if rest == "points/delete":
        for point in chosen(name, asked):
            points.take(name, point["id"])
        return ok({"operation_id": 0, "status": "completed"})
    if rest in ("points/query", "points/search"):
        vector = asked.get("query", asked.get("vector"))
        vector = vector["nearest"] if isinstance(vector, dict) else vector
        found = sorted(chosen(name, asked), key=lambda point: -similarity(vector, point["vector"]))
        hits = [
            {"id": point["id"], "version": 0, "score": similarity(vector, point["vector"]), "payload": point.get("payload")}
            for point in found[: asked.get("limit", 10)]
        ]
        return ok({"points": hits} if rest == "points/query" else hits)
    return None
