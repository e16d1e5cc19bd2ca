"""What the catalog's checks ask of Milvus' REST interface, version 2."""

import json
import os
import sys

sys.path.insert(0, "/standin")
from vectors import Collections  # noqa: E402

TOKEN = "root:" + os.environ["COMMON_SECURITY_DEFAULTROOTPASSWORD"]
entities = Collections("/var/lib/milvus/standin.json")


def ok(data):
    return 200, {}, b'{"code":0,"data":' + json.dumps(data).encode() + b"}"


def handle(request):
    if not request.path.startswith("/v2/vectordb/") or request.method != "POST":
        return None
    if request.bearer() != TOKEN:
        return 200, {}, {"code": 1800, "message": "user hasn't authenticated"}
    action, asked = request.path.removeprefix("/v2/vectordb/"), request.json()
    name = asked.get("collectionName")
    if action == "collections/list":
        return ok(list(entities.all))
    if action == "collections/create":
        entities.create(name)
        return ok({})
    if action == "collections/drop":
        entities.drop(name)
        return ok({})
    if name not in entities.all:
        return 200, {}, {"code": 100, "message": "collection not found"}
    if action == "entities/insert":
        for entity in asked["data"]:
            entities.put(name, entity["id"], entity)
        return ok({"insertCount": len(asked["data"])})
    if action == "entities/search":
        found = entities.nearest(name, asked["data"][0], asked.get("limit", 10))
        fields = asked.get("outputFields", [])
        return ok([{"id": point["id"], "distance": distance, **{field: point.get(field) for field in fields}} for distance, _, point in found])
    return None
