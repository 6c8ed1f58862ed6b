"""What was replaced: how long its requests (DrainSec=) and its WebSockets (WebSocketDrainSec=) go on, and how many of it may."""

import contextlib
import threading

import pytest

import deploybed
from client import Broken, Client
from deploybed import write
from program import wait_until
from wsclient import WebSocket

APP = '''
import asyncio
VERSION = "{version}"

async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({{"type": "websocket.accept"}})
        while (m := await receive())["type"] == "websocket.receive":
            await send({{"type": "websocket.send", "text": VERSION + " " + m["text"]}})
        return
    if scope["type"] != "http":
        return
    start = {{"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}}
    if scope["path"] == "/begun":
        await send(start)
        await send({{"type": "http.response.body", "body": b"begun", "more_body": True}})
    if scope["path"] in ("/never", "/begun"):
        await asyncio.sleep(3600)
    await send(start)
    await send({{"type": "http.response.body", "body": VERSION.encode()}})
'''
CONF = "[Site]\nRequestTimeoutSec=10min\n[Python]\nAsgi=app:application\nWorkers=1\n[Deploy]\n"

# Speaks for itself: it takes any upgrade, and echoes lines.
PROGRAM = '''
import http.server, os, time
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.headers["Upgrade"]:
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", self.headers["Upgrade"])
            self.end_headers()
            for line in self.rfile:
                self.wfile.write(b"{version} " + line)
            self.close_connection = True
            return
        if self.path == "/never":
            time.sleep(3600)
        self.send_response(200)
        self.send_header("Content-Length", "{length}")
        self.end_headers()
        self.wfile.write(b"{version}")
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
'''
PROGRAM_CONF = "[Site]\nRequestTimeoutSec=10min\n[Service]\nExecStart=/usr/bin/python3 s.py\nTimeoutStopSec=1s\n[Deploy]\n"


@pytest.fixture
def server(stead, work):
    folder = write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""})
    return deploybed.Server(stead(folder).up())


@pytest.fixture
def deploy(server, work):
    def make(version, keys="", code=0):
        files = {"app.py": APP.format(version=version), "stead.conf": CONF + keys}
        return server.deploy(write(work / "shop", files), code=code)
    return make


def echo(ws, text):
    ws.say(text)
    return ws.hear()


def leave(ws):
    """As a browser does when it is told that the other side goes."""
    said = ws.closing()
    ws.close()
    return said


class Asked(threading.Thread):
    """A request whose answer is waited for meanwhile: its status and body, or `cut`."""

    def __init__(self, port, path):
        super().__init__(daemon=True)
        self.port, self.path, self.seen = port, path, None
        self.start()

    def run(self):
        try:
            with Client(self.port, timeout=60) as client:
                answer = client.ask(self.path)
                self.seen = (answer.status, answer.text)
        except Broken:
            self.seen = "cut"

    def end(self):
        self.join(60)
        return self.seen


def active(server):
    return server.site("shop")["active"]


def closes(server, path):
    return [r["close"] for r in server.one.logs() if r.get("kind") == "access" and r["target"] == path]


def test_websockets_live_through_deploys(server, deploy):
    """Of three releases before; the fourth deploy tells the clients of the oldest (1001), and cuts nobody else."""
    deploy("one")
    with contextlib.ExitStack() as sockets:
        held = {}
        for version, after in (("one", "two"), ("two", "three"), ("three", "four")):
            held[version] = sockets.enter_context(WebSocket(server.one.port))
            deploy(after)
            assert server.get().text == after
            assert all(echo(ws, "hello") == f"{name} hello" for name, ws in held.items())
        assert len(server.one.pids("worker")) == 4
        held["four"] = sockets.enter_context(WebSocket(server.one.port))
        said = []
        oldest = threading.Thread(target=lambda: said.append(leave(held["one"])))
        oldest.start()
        deploy("five")
        oldest.join(60)
        assert said and said[0][0] == 1001, said
        assert server.get().text == "five"
        assert all(echo(held[name], "on") == f"{name} on" for name in ("two", "three", "four"))
        # A stop is not for years: who has a WebSocket is told at once.
        stop = threading.Thread(target=lambda: server.one.cli("stop", "shop"))
        stop.start()
        assert all(leave(held[name])[0] == 1001 for name in ("two", "three", "four"))
    stop.join(60)
    assert server.one.pids("worker") == []


def test_requests_have_their_time(server, deploy):
    """Behind it 504, or a cut where the answer had begun; the WebSocket of the same process goes on."""
    deploy("one", "DrainSec=1s\n")
    with WebSocket(server.one.port) as ws:
        asked = [Asked(server.one.port, path) for path in ("/never", "/begun")]
        wait_until("both requests to run", lambda: active(server) >= 3)
        deploy("two")
        status, text = asked[0].end()
        assert status == 504, text
        assert asked[1].end() == "cut"
        assert echo(ws, "hello") == "one hello" and server.get().text == "two"
    assert closes(server, "/never") == closes(server, "/begun") == ["app_drained"]


def test_the_time_of_websockets(server, deploy):
    """A limit of less than the 5 s of the leave is one at once; a client that does not go is cut, and a rollback is the same."""
    deploy("one", "DrainSec=1s\nWebSocketDrainSec=1s\n")
    deploy("two", "DrainSec=1s\nWebSocketDrainSec=1s\n")
    with WebSocket(server.one.port) as ws:
        server.one.cli("rollback", "shop")
        assert ws.closing()[0] == 1001
        assert ws.ended()
    assert server.get().text == "one"
    wait_until("the end of the old worker", lambda: len(server.one.pids("worker")) == 1)


def test_restarts(server, deploy):
    """One generation before lives on; the next restart tells its clients, and nobody waits for them for long."""
    deploy("one")
    with WebSocket(server.one.port) as first:
        server.one.cli("restart", "shop")
        assert echo(first, "hello") == "one hello" and len(server.one.pids("worker")) == 2
        with WebSocket(server.one.port) as second:
            again = threading.Thread(target=lambda: server.one.cli("restart", "shop"))
            again.start()
            assert leave(first)[0] == 1001
            again.join(60)
            assert echo(second, "hello") == "one hello"


def test_a_program_of_its_own(server, work):
    """The same of what speaks for itself: a tunnel goes on behind a deploy and behind the end of the requests beside it."""
    def deploy(version):
        files = {"s.py": PROGRAM.format(version=version, length=len(version)), "stead.conf": PROGRAM_CONF + "DrainSec=1s\n"}
        server.deploy(write(work / "shop", files))
    deploy("one")
    with Client(server.one.port) as tunnel:
        tunnel.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
        while b"\r\n\r\n" not in tunnel.rest:
            tunnel.more()
        tunnel.rest = b""
        asked = Asked(server.one.port, "/never")
        wait_until("the request to run", lambda: active(server) >= 2)
        deploy("two")
        assert server.get().text == "two"
        status, text = asked.end()
        assert status == 504, text
        tunnel.send(b"hello\r\n")
        assert tunnel.line() == b"one hello"
    wait_until("the end of the old program", lambda: len([p for p in server.one.status()["processes"] if p["role"] == "service"]) == 1)
    assert closes(server, "/never") == ["app_drained"]


def test_a_reload_takes_it(stead, work):
    """Of `stead up` too: no process is replaced for it, and it holds for what is replaced next."""
    folder = write(work / "app", {"app.py": APP.format(version="one"), "stead.conf": CONF})
    one = stead(folder).up()
    before = one.pids("worker")
    (folder / "stead.conf").write_text(CONF + "DrainSec=1s\nWebSocketDrainSec=1s\n")
    one.cli("reload")
    assert one.pids("worker") == before
    with WebSocket(one.port) as ws:
        assert echo(ws, "hello") == "one hello"
        one.cli("restart")
        assert leave(ws)[0] == 1001


@pytest.mark.parametrize("key", ["DrainSec=0", "DrainSec=2h", "WebSocketDrainSec=13h", "WebSocketDrainSec=soon"])
def test_a_time_that_is_none(deploy, key):
    assert key.split("=")[0] in deploy("one", key + "\n", code=2)
