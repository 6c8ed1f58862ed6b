"""Each example goes live from its folder, and does what a visitor expects; so do the frameworks'
other ways of being written."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import urllib.parse

import pytest

from client import Client, Load, ask
from program import TOP, give, unprivileged, wait_until
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


# --- programs: Node from npm, Ruby from packages ---

needs_ruby = pytest.mark.skipif(not shutil.which("ruby"), reason="ruby is not installed")
EXPRESS = TOP / "examples" / "express"


@pytest.fixture(scope="session")
def express_modules(tmp_path_factory):
    """node_modules of examples/express, as `npm install` makes it; fetched once for all tests."""
    folder = tmp_path_factory.mktemp("npm")
    folder.chmod(0o755)
    shutil.copy(EXPRESS / "package.json", folder)
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("NOT TESTED: Express. There is no npm here to fetch it")
    try:
        done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=60000"], cwd=folder,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=150)
    except subprocess.TimeoutExpired:
        pytest.skip("NOT TESTED: Express. npm reached no registry within 150 s")
    if done.returncode and any(word in done.stderr for word in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH")):
        pytest.skip(f"NOT TESTED: Express. npm reaches no registry: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return folder / "node_modules"


@pytest.fixture
def express(stead, work, express_modules):
    shutil.copytree(EXPRESS, work / "express", ignore=shutil.ignore_patterns("node_modules", ".stead"))
    shutil.copytree(express_modules, work / "express" / "node_modules", symlinks=True)
    give(work / "express")
    assert not (work / "express" / "stead.conf").exists()
    return stead(work / "express")


def test_express(express):
    """Pages, a form, JSON, files; a restart under load fails nothing."""
    one = express.up()
    with Client(one.port) as client:
        assert "none yet" in client.ask("/").text
        assert client.ask("/", "POST", FORM, b"text=%3Cb%3Ebuy+milk").status == 303
        assert "<li>&#60;b&#62;buy milk</li>" in client.ask("/").text
        assert client.ask("/", "POST", FORM, b"text=").status == 400
        assert json.loads(client.ask("/notes.json").text) == {"notes": ["<b>buy milk"], "from": "127.0.0.1"}
        assert client.ask("/style.css")["Content-Type"].startswith("text/css")
        assert client.ask("/none").status == 404
    with Load(one, "/style.css", rate=100) as load:
        load.wait_for(20)
        one.cli("restart")
        load.wait_for(20)
    assert load.failed == 0, load.seen


def test_express_streams(express):
    """Server-sent events arrive one by one, and end for the app when the client goes."""
    one = express.up()
    with Client(one.port) as client:
        client.send(b"GET /ticks?n=100 HTTP/1.1\r\nHost: x\r\n\r\n")
        while b"data: 99\n" not in client.rest:
            client.more()
        assert b"data: 1\n" not in client.rest and b"text/event-stream" in client.rest
    wait_until("the stream's end", lambda: one.status()["sites"][0]["active"] == 0)
    answer = ask(one, "/ticks?n=3")
    assert answer.text == "data: 3\n\ndata: 2\n\ndata: 1\n\n"


def test_express_websocket(express):
    """Two in a chat; a large message; a restart says 1001, and a new one is served by the new process."""
    one = express.up()
    with WebSocket(one.port, "/chat") as ann, WebSocket(one.port, "/chat") as bob:
        assert ann.opened and bob.opened and ann.accept_is_right()
        ann.say("hello")
        assert ann.hear() == "hello" and bob.hear() == "hello"
        bob.put(2, b"x" * 900000)
        assert ann.hear() == b"x" * 900000 and bob.hear() == b"x" * 900000
        assert ann.say_close()[0] == 1000 and ann.ended()
        assert bob.say_close()[0] == 1000 and bob.ended()
    with WebSocket(one.port, "/none") as other:
        assert not other.opened


@needs_ruby
def test_rack(stead, work):
    """Sinatra on Puma: found by config.ru, on the socket that is handed over."""
    if subprocess.run(["ruby", "-e", "require 'sinatra/base'; require 'puma'"], capture_output=True).returncode:
        pytest.skip("puma and ruby-sinatra are not installed")
    folder = work / "rack"
    shutil.copytree(TOP / "examples" / "rack", folder, ignore=shutil.ignore_patterns(".stead", "Gemfile.lock"))
    give(folder)
    done = subprocess.run(["bundle", "install", "--local"], cwd=folder, capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "HOME": str(work)}, **unprivileged())
    assert done.returncode == 0, done.stdout + done.stderr
    one = stead(folder).up()
    with Client(one.port) as client:
        assert "none yet" in client.ask("/").text
        answer = client.ask("/", "POST", FORM, b"text=%3Cb%3Ebuy+milk")
        assert answer.status == 303, answer
        assert "<li>&lt;b&gt;buy milk</li>" in client.ask("/").text
        about = json.loads(client.ask("/about.json").text)
        assert about["server"].startswith("puma") and about["ip"] == "127.0.0.1" and about["rack_env"] == "production"
    held = [os.readlink(fd) for fd in pathlib.Path(f"/proc/{about['pid']}/fd").iterdir()]
    assert sum(target.startswith("socket:") for target in held) >= 1
    assert not listens_on_tcp(about["pid"]), "the socket that was handed over is enough"
    with Load(one, "/about.json", rate=100) as load:
        load.wait_for(20)
        one.cli("restart")
        wait_until("the next one", lambda: json.loads(ask(one, "/about.json").text)["pid"] != about["pid"])
        load.wait_for(20)
    assert load.failed == 0, load.seen


def listens_on_tcp(pid):
    """Does that process hold a listening socket of TCP?"""
    inodes = {os.readlink(fd)[8:-1] for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir() if os.readlink(fd).startswith("socket:")}
    rows = [line.split() for name in ("tcp", "tcp6") for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return any(row[3] == "0A" and row[9] in inodes for row in rows)


@needs_ruby
@pytest.mark.parametrize("listen", ["auto", "port"])
def test_webrick(stead, work, listen):
    if subprocess.run(["ruby", "-e", "require 'webrick'"], capture_output=True).returncode:
        pytest.skip("ruby-webrick is not installed")
    folder = work / "webrick"
    shutil.copytree(TOP / "examples" / "webrick", folder, ignore=shutil.ignore_patterns(".stead"))
    (folder / "stead.conf").write_text((folder / "stead.conf").read_text() + f"Listen={listen}\n")
    give(folder)
    one = stead(folder).up()
    answer = ask(one, "/a?b")
    assert answer.text.startswith("Hello from WEBrick") and answer.text.endswith("asked for /a\n")
    assert ask(one, "/echo", "POST", body=b"q" * 300000).body == b"q" * 300000
    pid = int(re.search(r"process (\d+)", answer.text)[1])
    assert listens_on_tcp(pid) == (listen == "port")
    one.cli("restart")
    assert ask(one).text.startswith("Hello from WEBrick")


RACK = "run ->(env) { [200, {'Content-Type' => 'text/plain'}, [env['SERVER_SOFTWARE'].to_s + ' ' + env['PATH_INFO']]] }\n"


@needs_ruby
@pytest.mark.parametrize("gemfile, hidden, server", [("", False, "puma"), ("gem 'rack'\ngem 'webrick'\n", True, "WEBrick"), ("", True, "WEBrick")])
def test_rack_without_a_bundle_of_its_own(stead, app_folder, work, gemfile, hidden, server):
    """The system's Puma; where there is none, rackup with WEBrick, from the bundle or the system."""
    files = {"config.ru": RACK, **({"Gemfile": gemfile} if gemfile else {})}
    environment = {}
    if hidden:  # what of Ruby there is in PATH, but for Puma
        tools = work / "tools"
        tools.mkdir()
        for name in ("ruby", "bundle", "rackup", "env", "sh"):
            (tools / name).symlink_to(shutil.which(name))
        environment["PATH"] = str(tools)
    one = stead(app_folder(files), env=environment).up()
    answer = ask(one, "/a").text
    assert answer.lower().startswith(server.lower()) and answer.endswith(" /a"), answer
