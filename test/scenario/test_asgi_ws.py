"""WebSockets into an ASGI app: a test for each MUST of the specification (HTTP & WebSocket 2.5) and for RFC 6455 from
the client's side, then what ends them and what must not."""

import json
import os
import re
import signal
import socket
import struct
import threading

import pytest

from client import Client, ask
from program import wait_until
from test_asgi import scope_of, seen, site, up  # noqa: F401 (fixtures)
from wsclient import BINARY, CLOSE, PING, PONG, TEXT, WebSocket, close_payload, frame

RULES = {}


def rule(text):
    def keep(function):
        RULES[text] = function
        return function
    return keep


def saw(one, *wanted):
    """Wait until the app has seen all of these."""
    found = []
    wait_until(f"the app to see {wanted}", lambda: found.extend(seen(one)) or all(what in found for what in wanted))


def disconnect(code, reason=""):
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


@rule("accept: 101 with the key's answer; text and bytes come back as they went")
def _(one):
    with WebSocket(one.port) as ws:
        assert ws.opened and ws.accept_is_right()
        assert ws.shake["Upgrade"].lower() == "websocket" and ws.shake["Connection"].lower() == "upgrade"
        for message in ("hello", "", "Grüße 🎈", b"\x00\xff", b"", "x" * 126, b"y" * 65536, "z" * 300000):
            ws.put(BINARY if isinstance(message, bytes) else TEXT, message)
            assert ws.hear() == message
        assert ws.say_close(1000, "bye") == (1000, "") and ws.ended()
    saw(one, disconnect(1000, "bye"))


@rule("scope: type, scheme, path, query_string, headers, subprotocols, client, server")
def _(one):
    with WebSocket(one.port, "/scope?q=%20", {"Sec-WebSocket-Protocol": "chat , superchat", "X-A": "1"}) as ws:
        scope = scope_of(ws.hear())
        assert scope["type"] == "websocket" and scope["scheme"] == "ws" and scope["http_version"] == "1.1"
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
        assert scope["path"] == "/scope" and scope["raw_path"] == b"/scope" and scope["query_string"] == b"q=%20"
        assert scope["subprotocols"] == ["chat", "superchat"] and (b"x-a", b"1") in scope["headers"]
        assert tuple(scope["client"]) == ws.socket.getsockname() and "method" not in scope


@rule("accept: subprotocol and headers")
def _(one):
    with WebSocket(one.port, "/protocol", {"Sec-WebSocket-Protocol": "a, b"}) as ws:
        assert ws.opened and ws.shake["Sec-WebSocket-Protocol"] == "b" and ws.shake["X-Greeting"] == "hi"
        assert ws.shake["Set-Cookie"] == "a=1"


@rule("close before accept: 403 and no handshake; then the app gets websocket.disconnect")
def _(one):
    with WebSocket(one.port, "/deny") as ws:
        assert ws.shake.status == 403
        assert ws.ask("/").text == "hello"
    saw(one, "websocket.disconnect")


@rule("extension websocket.http.response: the app's own answer instead, and nothing else behind it")
def _(one):
    with WebSocket(one.port, "/deny-http") as ws:
        assert (ws.shake.status, ws.shake["X-Why"], ws.shake.text) == (401, "who are you", "not you")
    saw(one, "RuntimeError: this message may not be sent behind an HTTP response")


@rule("close behind accept: the close frame has the app's code, or 1000; the app's reason")
def _(one):
    with WebSocket(one.port, "/close") as ws:
        assert ws.closing() == (1000, "")
        ws.put(CLOSE, close_payload(1000))
        assert ws.ended()
    saw(one, disconnect(1000), "ClientGone")
    with WebSocket(one.port, "/close?4321,so%20long") as ws:
        assert ws.closing() == (4321, "so%20long")
    saw(one, disconnect(4321), "ClientGone")


@rule("an empty close frame: code 1005; none at all: 1006")
def _(one):
    with WebSocket(one.port) as ws:
        ws.put(CLOSE)
        assert ws.closing() == (None, "") and ws.ended()
    saw(one, disconnect(1005))
    with WebSocket(one.port) as ws:
        assert ws.opened
    saw(one, disconnect(1006))


@rule("the app dies: before accept 500, behind it 1011; it returns: 1000")
def _(one):
    for path in ("/raise", "/return"):
        with WebSocket(one.port, path) as ws:
            assert ws.shake.status == 500, path
    with WebSocket(one.port, "/late") as ws:
        assert ws.closing() == (1011, "")
    with WebSocket(one.port, "/done") as ws:
        assert ws.closing() == (1000, "")


@rule("bytes or text may be None")
def _(one):
    with WebSocket(one.port, "/none") as ws:
        assert ws.hear() == b"only bytes" and ws.hear() == "only text"


@rule("the server answers pings, and puts fragments together, whatever stands between them")
def _(one):
    with WebSocket(one.port) as ws:
        ws.put(PING, b"are you there")
        assert ws.get_frame() == (PONG, b"are you there")
        ws.put(TEXT, "one ", fin=False)
        ws.put(PING, b"still")
        ws.put(0, "two ", fin=False)
        ws.put(0, b"\xc3", fin=False)
        ws.put(0, b"\xa4")
        assert ws.get_frame() == (PONG, b"still") and ws.hear() == "one two ä"
        ws.put(PONG, b"unasked")
        ws.say("last")
        assert ws.hear() == "last"


@rule("bytes one by one are the same")
def _(one):
    with WebSocket(one.port) as ws:
        for byte in frame(PING, b"p") + frame(TEXT, "slow"):
            ws.send(bytes([byte]))
        assert ws.get_frame() == (PONG, b"p") and ws.hear() == "slow"


@rule("many messages at once come back in their order")
def _(one):
    with WebSocket(one.port) as ws:
        ws.send(b"".join(frame(TEXT, str(i)) for i in range(5000)))
        assert [ws.hear() for _ in range(5000)] == [str(i) for i in range(5000)]


@rule("a client's fault is told by its code, and the app hears of it")
def _(one):
    faults = [(frame(TEXT, "x", mask=None), 1002), (frame(TEXT, "x", rsv=4), 1002), (frame(3), 1002),
              (frame(PING, b"x" * 126), 1002), (frame(PING, fin=False), 1002), (frame(0, b"x"), 1002),
              (frame(TEXT, b"\xff"), 1007), (frame(CLOSE, b"\x03"), 1002), (frame(CLOSE, close_payload(1005)), 1002),
              (frame(CLOSE, b"\x03\xe8\xff"), 1007), (b"\x82\xff" + (2**24 + 1).to_bytes(8, "big"), 1009),
              (b"\x82\xff" + b"\xff" * 12, 1002)]
    for data, code in faults:
        with WebSocket(one.port) as ws:
            ws.send(data + bytes(8))
            assert ws.closing() == (code, ""), (data, code)
            assert ws.ended()
        saw(one, disconnect(code))


@rule("a handshake that is wrong: 426 with the version, 400, and no app")
def _(one):
    with WebSocket(one.port, version="8") as ws:
        assert ws.shake.status == 426 and ws.shake["Sec-WebSocket-Version"] == "13"
    for key in ("", "short", "dGhlIHNhbXBsZSBub25jZR=="):
        with WebSocket(one.port, key=key) as ws:
            assert ws.shake.status == 400, key
    with WebSocket(one.port, headers={"Sec-WebSocket-Key": None}) as ws:
        assert ws.shake.status == 400


@rule("the client goes before the answer: websocket.disconnect")
def _(one):
    with Client(one.port) as client:
        client.send(b"GET /never HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        ask(one, "/")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    saw(one, disconnect(1006))


@pytest.mark.smoke
def test_rules(up):  # noqa: F811
    one = up()
    for text, check in RULES.items():
        seen(one)
        try:
            check(one)
        except BaseException as e:
            e.args = (f"{text}\n{e.args[0] if e.args else ''}", *e.args[1:])
            raise
    log = one.cli("logs", "-n", "2000")
    assert log.count("Traceback") == log.count(": raised before accept\n") + log.count(": raised behind accept\n") == 2


def test_a_close_right_behind_the_last_message(up):  # noqa: F811
    """What was sent whole is no error, however soon the client closes: the app hears of the close each time."""
    one, found = up(), []
    for _ in range(60):
        with WebSocket(one.port) as ws:
            ws.put(TEXT, "z" * 300000)
            assert ws.hear() == "z" * 300000
            assert ws.say_close(1000, "bye") == (1000, "")
    wait_until("each close", lambda: found.extend(seen(one)) or found.count(disconnect(1000, "bye")) == 60)


def test_wrong_messages(up):  # noqa: F811
    """asgi: an invalid message must raise out of send()."""
    one = up()
    before = {"send first": "RuntimeError", "unknown": "ValueError", "http": "ValueError",
              "accept with str": "TypeError", "accept with protocol header": "ValueError",
              "accept with extension header": "ValueError", "accept with bytes": "TypeError"}
    behind = {"close with 1005": "ValueError", "both": "ValueError", "neither": "ValueError",
              "text of bytes": "TypeError", "accept twice": "RuntimeError", "unknown": "ValueError"}
    for path, rows in (("/wrong", before), ("/open-wrong", behind)):
        for what, error in rows.items():
            with WebSocket(one.port, f"{path}?{what.replace(' ', '%20')}") as ws:
                assert ws.hear().partition(":")[0] == error, (path, what)


def test_size_limit(up):  # noqa: F811
    """WebSocketMax=: the message as a whole counts, and its memory is not taken before it comes."""
    one = up(conf="WebSocketMax=100000\n")
    with WebSocket(one.port) as ws:
        ws.put(BINARY, b"x" * 100000)
        assert len(ws.hear()) == 100000
        ws.put(BINARY, b"x" * 60000, fin=False)
        ws.put(0, b"x" * 40001)
        assert ws.closing() == (1009, "")


def test_back_pressure(up):  # noqa: F811
    """Neither side is read faster than the other takes it, and others do not wait for them."""
    one = up()
    with WebSocket(one.port, "/flood?5000") as slow, WebSocket(one.port) as other:
        ask(one, "/")
        last = [-1, -2]
        wait_until("the app to wait", lambda: last.append(seen_all(one)) or last[-1] == last[-2] == last[-3])
        assert 0 < last[-1] < 4000
        other.say("still here")
        assert other.hear() == "still here"
        for _ in range(5000):
            assert len(slow.hear()) == 10000
    with WebSocket(one.port, "/lazy") as lazy, WebSocket(one.port) as other:
        lazy.socket.setblocking(False)
        sent, idle = 0, 0
        while idle < 50:
            try:
                sent += lazy.socket.send(frame(BINARY, b"q" * 1000)[:1008])
                idle = 0
            except BlockingIOError:
                idle += 1
                other.say("tick")
                assert other.hear() == "tick"
        assert sent < 50 * 1000 * 1000


def seen_all(one):
    return json.loads(ask(one, "/peek").text)


def test_reload_closes_none(up):  # noqa: F811
    """A reload of the configuration, and a new snapshot, while WebSockets are open: 0 closed."""
    one = up()
    sockets = [WebSocket(one.port) for _ in range(50)]
    for _ in range(3):
        conf = one.folder / "stead.conf"
        conf.write_text(conf.read_text() + "\n[Site]\nHeader=set X-Reloaded yes\n")
        one.cli("reload")
        assert ask(one, "/")["X-Reloaded"] == "yes"
        conf.write_text(conf.read_text().replace("\n[Site]\nHeader=set X-Reloaded yes\n", ""))
        one.cli("reload")
    pids = set()
    for ws in sockets:
        ws.say("pid")
        pids.add(ws.hear())
        ws.close()
    assert len(pids) == 1


def test_thousands(up):  # noqa: F811
    """Many idle WebSockets on one worker: requests beside them, no budget or queue used up, all alive at the end."""
    one = up(conf="[Site]\nQueue=5\nConnectionsMax=0\n")
    sockets = [WebSocket(one.port) for _ in range(1500)]
    assert all(ws.opened for ws in sockets)
    for _ in range(20):
        assert ask(one, "/echo", "POST", body=b"b" * 100000).body == b"b" * 100000
    for ws in sockets:
        ws.say("x")
    assert {ws.hear() for ws in sockets} == {"x"}
    for ws in sockets:
        ws.close()


def test_not_under_deadlines(up):  # noqa: F811
    """An idle WebSocket is not ended by the deadlines of requests and connections."""
    one = up(conf="[Site]\nRequestTimeoutSec=1\nIdleTimeoutSec=1\nHeaderTimeoutSec=1\n")
    with WebSocket(one.port) as ws, Client(one.port) as idle:
        idle.ask("/")
        assert idle.closed()  # its end is the clock: the deadlines have passed
        with WebSocket(one.port, "/lazy") as other:
            other.say("x")
            with Client(one.port) as again:
                again.ask("/")
                assert again.closed()
            ws.say("alive")
            assert ws.hear() == "alive"


def test_a_worker_dies(up):  # noqa: F811
    """Only the WebSockets of the worker that was killed are closed."""
    one = up(workers=2)
    wait_until("both workers", lambda: [p["phase"] for p in one.status()["processes"] if p["role"] == "worker"] == ["up"] * 2)
    sockets, by_pid = [], {}
    while len(by_pid) < 2 or min(map(len, by_pid.values())) < 3:
        ws = WebSocket(one.port)
        ws.say("pid")
        by_pid.setdefault(int(ws.hear()), []).append(ws)
        sockets.append(ws)
        assert len(sockets) < 200
    dead = min(by_pid)
    os.kill(dead, signal.SIGKILL)
    for ws in by_pid.pop(dead):
        assert ws.ended()
    for ws in by_pid.popitem()[1]:
        ws.say("pid")
        assert int(ws.hear()) != dead
    for ws in sockets:
        ws.close()


def test_going_away(up):  # noqa: F811
    """stop: each WebSocket gets 1001, and the app hears of it, long before anything is killed."""
    one = up()
    sockets = [WebSocket(one.port) for _ in range(5)]
    for ws in sockets:
        ws.say("x")
        ws.hear()
    one.process.send_signal(signal.SIGTERM)
    for ws in sockets:
        assert ws.closing()[0] == 1001
        ws.put(CLOSE, close_payload(1001))
        assert ws.ended()
        ws.close()
    one.process.wait(30)
    assert one.notes.read_text().count("disconnect 1001") == 5


def test_a_gate_that_leaves(up):  # noqa: F811
    """Gates= lowered: WebSockets live on there for DrainMaxSec=, also when another gate has the place; a lower one holds for
    them too."""
    one = up("[Server]\nGates=2\nDrainMaxSec=1h\n")
    text = (one.folder / "stead.conf").read_text()

    def reload(gates, drain):
        (one.folder / "stead.conf").write_text(text.replace("Gates=2", f"Gates={gates}").replace("=1h", f"={drain}"))
        one.cli("reload")

    def gate(index):
        return next((p["pid"] for p in one.status()["processes"] if (p["role"], p["index"]) == ("gate", index)), None)
    first, second = gate(0), gate(1)
    os.kill(first, signal.SIGSTOP)  # so that the other one takes it
    ws = WebSocket(one.port)
    os.kill(first, signal.SIGCONT)
    reload(1, "1h")
    ws.say("alive")
    assert ws.hear() == "alive" and second in one.pids("gate")
    reload(2, "1h")
    wait_until("its successor beside it", lambda: len(one.pids("gate")) == 3)
    ws.say("still alive")
    assert ws.hear() == "still alive" and second in one.pids("gate")
    reload(1, "1s")
    assert ws.closing()[0] == 1001
    ws.put(CLOSE, close_payload(1001))
    assert ws.ended()
    ws.close()
    wait_until("the end of both", lambda: one.pids("gate") == [first])


def test_no_pong(up):  # noqa: F811
    """A client that answers no ping has gone, though its connection stands; one that does stays."""
    one = up(**{"sitecustomize.py": "import sys\nif '--asgi' in sys.argv: sys.argv += ['--ping', '1']\n"},
             conf="Path=.\n", env="PYTHONPATH=.")
    with WebSocket(one.port) as dead, WebSocket(one.port) as alive:
        assert dead.get_frame() == (PING, b"")
        for _ in range(3):
            opcode, payload = alive.get_frame()
            assert opcode == PING
            alive.put(PONG, payload)
        assert dead.closing()[0] == 1011 and dead.ended()
        alive.say("here")
        assert alive.hear() == "here"
