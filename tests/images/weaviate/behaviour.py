"""What the catalog's checks ask of Weaviate's REST and GraphQL interfaces."""

import os
import re
import sys

sys.path.insert(0, "/standin")
from vectors import Collections  # noqa: E402

KEY = os.environ["AUTHENTICATION_APIKEY_ALLOWED_KEYS"]
objects = Collections("/var/lib/weaviate/standin.json")
NEAREST = re.compile(r"Get\s*\{\s*(\w+)\(nearVector:\s*\{vector:\s*\[([^\]]*)\]\},\s*limit:\s*(\d+)\)\s*\{\s*(\w+)")


def handle(request):
    if request.bearer() != KEY:
        return 401, {}, {"code": 401, "message": "anonymous access not enabled"}
    if request.path == "/v1/schema" and request.method == "GET":
        return 200, {}, {"classes": [{"class": name} for name in objects.all]}
    if request.path == "/v1/schema" and request.method == "POST":
        objects.create(request.json()["class"])
        return 200, {}, request.json()
    if request.path.startswith("/v1/schema/") and request.method == "DELETE":
        objects.drop(request.path.rsplit("/", 1)[1])
        return 200, {}, b""
    if request.path == "/v1/objects" and request.method == "POST":
        made = request.json()
        objects.put(made["class"], made["id"], made)
        return 200, {}, made
    if request.path == "/v1/graphql" and request.method == "POST":
        asked = NEAREST.search(request.json()["query"])
        if not asked:
            return 422, {}, {"error": [{"message": "the stand-in knows nearVector with a limit only"}]}
        name, numbers, limit, wanted = asked.groups()
        vector = [float(number) for number in numbers.split(",")]
        found = objects.nearest(name, vector, int(limit))
        return 200, {}, {"data": {"Get": {name: [{wanted: entry["properties"].get(wanted)} for _, _, entry in found]}}}
    return None
