"""What the catalog's checks ask of Ollama's API: a server without models."""


def handle(request):
    if request.path == "/api/tags" and request.method == "GET":
        return 200, {}, {"models": []}
    return None
