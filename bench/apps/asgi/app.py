"""The smallest ASGI app, the same file for stead and for uvicorn: a greeting, and an echo by WebSocket."""

BODY = b"Hello, world!\n"
START = {"type": "http.response.start", "status": 200,
         "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))]}


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return
        await send({"type": "websocket.send", "text": message["text"]})


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await echo(receive, send)
        return
    assert scope["type"] == "http"
    await send(START)
    await send({"type": "http.response.body", "body": BODY})
