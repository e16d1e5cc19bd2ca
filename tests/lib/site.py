"""What stands behind a tenant's proxy in tests/stages/visitors, and a visitor who opens a websocket to it.

    site.py serve PORT                  on loopback
    site.py websocket URL CA [SECONDS]  messages of all sizes, there and back, for so long; prints how many
"""

import asyncio
import ssl
import sys
import time

from aiohttp import ClientSession, WSMsgType, web

BLOCK = bytes(1 << 20)
SIZES = (0, 1, 125, 126, 65_535, 65_536, 1 << 20)


async def visitor(request):
    """Whom the proxy takes the visitor for, and what it says of how he came."""
    names = ("X-Forwarded-For", "X-Forwarded-Proto", "Host")
    return web.Response(text=" ".join(request.headers.get(name, "-") for name in names))


async def up(request):
    """How many bytes came."""
    count = 0
    async for part in request.content.iter_chunked(len(BLOCK)):
        count += len(part)
    return web.Response(text=str(count))


async def down(request):
    """So many MiB."""
    blocks = int(request.match_info["mebibytes"])
    response = web.StreamResponse(headers={"Content-Length": str(blocks * len(BLOCK))})
    await response.prepare(request)
    for _ in range(blocks):
        await response.write(BLOCK)
    return response


async def echo(request):
    """A websocket that sends back what it gets, and says first whom it takes the visitor for."""
    socket = web.WebSocketResponse(max_msg_size=2 * len(BLOCK))
    await socket.prepare(request)
    await socket.send_str(request.headers["X-Forwarded-For"])
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


def serve(port):
    app = web.Application(client_max_size=0)
    app.add_routes([web.get("/", visitor), web.put("/up", up), web.get("/down/{mebibytes}", down), web.get("/ws", echo)])
    web.run_app(app, host="127.0.0.1", port=port, print=None, shutdown_timeout=1)


async def converse(url, authority, seconds):
    """True when every message came back as it was sent."""
    context = ssl.create_default_context(cafile=authority)
    async with ClientSession() as session, session.ws_connect(url, ssl=context, max_msg_size=2 * len(BLOCK)) as socket:
        who = await socket.receive_str(timeout=20)
        count, end = 0, time.monotonic() + seconds
        while not count or time.monotonic() < end:
            for size in SIZES:
                sent = bytes([count % 256]) * size
                await socket.send_bytes(sent)
                if await socket.receive_bytes(timeout=20) != sent:
                    return False
                count += 1
            await asyncio.sleep(0.01)
    print(f"{who}: {count} messages came back")
    return True


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        _, _, url, authority, *seconds = sys.argv
        sys.exit(0 if asyncio.run(converse(url, authority, float((seconds or [0])[0]))) else 1)
