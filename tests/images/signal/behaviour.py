"""What the catalog's check asks of signal-cli-rest-api."""


def handle(request):
    if request.path == "/v1/about" and request.method == "GET":
        return 200, {}, b'{"versions":["v1","v2"],"build":2,"mode":"normal","version":"stand-in"}'
    return None
