"""Each example goes live from its folder with no stead.conf, and does what a visitor expects; so do the frameworks'
other ways of being written."""

import json
import re
import shutil
import urllib.parse

import pytest

from client import Client, ask
from program import TOP, give, wait_until
from wsclient import WebSocket


@pytest.fixture
def example(stead, work):
    def make(name, conf=None):
        shutil.copytree(TOP / "examples" / name, work / name, ignore=shutil.ignore_patterns(".stead", "__pycache__"))
        if conf:
            (work / name / "stead.conf").write_text(conf)
        give(work / name)
        assert conf or not (work / name / "stead.conf").exists()
        return stead(work / name).up()
    return make


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def cookies(answer):
    return "; ".join(value.split(";")[0] for value in answer.all("Set-Cookie"))


def test_flask(example):
    pytest.importorskip("flask")
    one = example("flask")
    with Client(one.port) as client:
        assert "none yet" in client.ask("/").text
        answer = client.ask("/", "POST", FORM, b"text=buy+milk")
        assert answer.status == 303
        assert "<li>buy milk</li>" in client.ask("/", headers={"Cookie": cookies(answer)}).text


@pytest.mark.parametrize("conf", [None, "[Python]\nAsgi=shop.asgi:application\n"])
def test_django(example, conf):
    """By itself it is WSGI; by Asgi= the same project is served by its asgi.py."""
    pytest.importorskip("django")
    one = example("django", conf)
    with Client(one.port) as client:
        page = client.ask("/")
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page.text).group(1)
        body = urllib.parse.urlencode({"csrfmiddlewaretoken": token, "good": "cheese"}).encode()
        answer = client.ask("/add", "POST", {**FORM, "Cookie": cookies(page)}, body)
        assert answer.status == 302
        assert "<li>cheese</li>" in client.ask("/", headers={"Cookie": cookies(answer)}).text
        assert json.loads(client.ask("/goods").text) == {"goods": ["bread", "cheese", "apples"]}
        assert client.ask("/add", "POST", FORM, b"good=cheese").status == 403
    assert ("--asgi" if conf else "--wsgi") in open(f"/proc/{one.pid('worker')}/cmdline").read()


def test_fastapi(example):
    pytest.importorskip("fastapi")
    one = example("fastapi")
    with Client(one.port) as client:
        assert "<h1>Units</h1>" in client.ask("/").text
        assert json.loads(client.ask("/convert?value=1&unit=mile&to=km").text) == {"value": 1.609344, "unit": "km"}
        assert client.ask("/convert?value=1&unit=ell&to=km").status == 404
        assert client.ask("/convert?value=x&unit=m&to=km").status == 422
        assert json.loads(client.ask("/table").text)["km"] == 1000
        answer = client.ask("/ticks?n=5")
        assert answer["Content-Type"].startswith("text/event-stream")
        assert answer.text == "".join(f"data: {i}\n\n" for i in range(5))
        assert client.ask("/openapi.json").status == 200
    with WebSocket(one.port, "/clock") as ws:
        assert re.fullmatch(r"\d\d:\d\d:\d\d", ws.hear())
        ws.say("again")
        assert re.fullmatch(r"\d\d:\d\d:\d\d", ws.hear())
        assert ws.say_close()[0] == 1000 and ws.ended()


STARLETTE = '''
import contextlib
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

class Marked(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["X-Marked"] = "yes"
        return response

done = []
async def started():
    done.append("started")

async def echo(request):
    return PlainTextResponse(await request.body())

async def stream(request):
    read = [piece async for piece in request.stream()]
    async def pieces():
        for piece in read:
            yield piece.upper()
    return StreamingResponse(pieces())

async def behind(request):
    return PlainTextResponse("first", background=BackgroundTask(done.append, "behind"))

async def what(request):
    return JSONResponse(done)

async def file(request):
    return FileResponse(__file__)

async def chat(ws):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_json({"got": text})

app = Starlette(routes=[Route("/echo", echo, methods=["POST"]), Route("/stream", stream, methods=["POST"]),
    Route("/behind", behind), Route("/", what), Route("/file", file), WebSocketRoute("/ws", chat)],
    middleware=[Middleware(Marked)], on_startup=[started])
'''


def test_starlette(stead, app_folder):
    pytest.importorskip("starlette")
    one = stead(app_folder({"app.py": STARLETTE})).up()
    with Client(one.port) as client:
        assert json.loads(client.ask("/").text)[0] == "started"
        body = b"q" * 300000
        assert client.ask("/echo", "POST", body=body).body == body
        answer = client.ask("/stream", "POST", body=body)
        assert answer.body == body.upper() and answer["X-Marked"] == "yes"
        assert client.ask("/file").text == STARLETTE
        assert client.ask("/behind").text == "first"
    wait_until("the work behind the answer", lambda: "behind" in json.loads(ask(one, "/").text))
    with WebSocket(one.port, "/ws") as ws:
        ws.say("hi")
        assert json.loads(ws.hear()) == {"got": "hi"}


QUART = '''
from quart import Quart, request, websocket
app = Quart(__name__)

@app.before_serving
async def before():
    app.ready = True

@app.post("/echo")
async def echo():
    return await request.get_data()

@app.get("/")
async def index():
    return "ready" if app.ready else "not"

@app.websocket("/ws")
async def ws():
    while True:
        await websocket.send("got " + await websocket.receive())
'''


def test_quart(stead, app_folder):
    pytest.importorskip("quart")
    one = stead(app_folder({"app.py": QUART})).up()
    assert ask(one, "/").text == "ready"
    assert ask(one, "/echo", "POST", body=b"z" * 100000).body == b"z" * 100000
    with WebSocket(one.port, "/ws") as ws:
        ws.say("hi")
        assert ws.hear() == "got hi"


def test_websockets_client(stead, app_folder):
    """Another's client and its strictness: fragments, pings, large messages, closing."""
    websockets = pytest.importorskip("websockets")
    import asyncio

    text = (TOP / "test" / "scenario" / "asgi_app.py").read_text()
    one = stead(app_folder({"app.py": text})).up()

    async def talk():
        async with websockets.connect(f"ws://127.0.0.1:{one.port}/") as ws:
            await ws.send(["in ", "three ", "pieces"])
            assert await ws.recv() == "in three pieces"
            await asyncio.wait_for(await ws.ping(), 30)
            await ws.send(b"x" * 900000)
            assert len(await ws.recv()) == 900000
        return ws.close_code
    assert asyncio.run(talk()) == 1000
