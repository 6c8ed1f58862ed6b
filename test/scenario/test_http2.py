"""HTTP/2 on a real gate (RFC 9113): with prior knowledge, by other people's clients and by one that breaks rules."""

import os
import shutil
import socket
import struct
import subprocess
import time

import pytest

import h2raw
from gatebed import FILES, Gate, described, folder  # noqa: F401
from h2raw import ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, PRIORITY, \
    PROTOCOL_ERROR, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, Client, frame
from proxybed import bed, echo  # noqa: F401

TICK = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def gate(folder):  # noqa: F811
    it = Gate(folder)
    yield it
    assert it.end() == 0


@pytest.fixture
def client(gate):
    with Client(gate.port) as it:
        yield it


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def get(gate, path="/a.txt"):
    """A client that does nothing wrong is served."""
    with Client(gate.port) as it:
        it.ask(1, path)
        return it.answer(1)[0]


# What is right.

def test_a_file(client):
    client.ask(1, "/a.txt")
    status, fields, body = client.answer(1)
    assert (status, body) == (200, FILES["a.txt"])
    assert dict(fields)["content-length"] == "10" and dict(fields)["server"] == "stead"
    assert all(name == name.lower() for name, _ in fields)


def test_many_at_once_and_one_behind_the_other(client):
    for stream in range(1, 161, 2):
        client.ask(stream, "/a.txt")
    for stream in range(1, 161, 2):
        assert client.answer(stream)[2] == FILES["a.txt"] if stream == 159 else True


def test_a_large_file_by_the_clients_window(client):
    client.ask(1, "/big.bin")
    assert client.answer(1)[2] == FILES["big.bin"]


def test_head_range_and_conditional(client):
    client.ask(1, "/a.txt", "HEAD")
    status, fields, body = client.answer(1)
    assert (status, body, dict(fields)["content-length"]) == (200, b"", "10")
    client.ask(3, "/a.txt", more=[("range", "bytes=2-4")])
    assert client.answer(3)[::2] == (206, b"234")
    client.ask(5, "/a.txt", more=[("if-none-match", dict(fields)["etag"])])
    assert client.answer(5)[::2] == (304, b"")


def test_errors_have_pages(client):
    client.ask(1, "/none")
    assert client.answer(1)[0] == 404
    client.ask(3, "/.env")
    assert client.answer(3)[0] == 404
    client.ask(5, "/a.txt", "DELETE")
    assert client.answer(5)[0] == 405
    client.ask(7, "/../x")
    assert client.answer(7)[0] == 400


def test_the_record_says_how_it_came(folder):  # noqa: F811
    it = Gate(folder)
    assert get(it) == 200
    record = it.records(1)[0]
    assert (record["protocol"], record["target"], record["status"], record["bytes"]) == ("HTTP/2.0", "/a.txt", 200, 10)
    assert it.end() == 0


@pytest.mark.parametrize("program", ["curl", "nghttp"])
def test_other_peoples_clients(gate, program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    command = {"curl": ["curl", "-sS", "--http2-prior-knowledge"], "nghttp": ["nghttp"]}[program]
    for path in ("/a.txt", "/big.bin"):
        got = subprocess.run([*command, f"http://127.0.0.1:{gate.port}{path}"], capture_output=True, timeout=20)
        assert got.stdout == FILES[path[1:]], got.stderr


def test_h2load_loses_nothing(gate):
    if not shutil.which("h2load"):
        pytest.skip("h2load is not installed")
    got = subprocess.run(["h2load", "-c8", "-m16", "-n4000", f"http://127.0.0.1:{gate.port}/a.txt"], text=True,
                         capture_output=True, timeout=60).stdout
    assert "4000 succeeded, 0 failed, 0 errored" in got, got


# Through to a backend.

def test_a_body_of_unknown_length_and_cookie_crumbs(bed):  # noqa: F811
    it, _ = bed(echo)
    with Client(it.port) as client:
        client.ask(1, "/up?a=b", "POST", [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")], end=False)
        client.send(frame(DATA, 0, 1, b"hello ") + frame(DATA, 0, 1, b"") + frame(DATA, END_STREAM, 1, b"world"))
        status, _, body = client.answer(1)
    assert status == 200 and b"hello world" in body
    assert b"a=1; b=2" in body and b"POST /up?a=b HTTP/1.1" in body


def websocket(t):
    line, fields = t.head()
    fields = dict(fields)
    assert line == "GET /chat HTTP/1.1" and fields["upgrade"] == "websocket" and fields["connection"] == "upgrade"
    assert len(fields["sec-websocket-key"]) == 24 and fields["sec-websocket-version"] == "13"
    t.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
    while data := t.reader.read1(100):
        t.send(data.upper())


def test_a_websocket_through_connect(bed):  # noqa: F811
    """RFC 8441: what the backend sees is a WebSocket of HTTP/1.1."""
    it, _ = bed(websocket)
    with Client(it.port) as client:
        client.until(SETTINGS)
        assert client.settings[h2raw.ENABLE_CONNECT_PROTOCOL] == 1
        block = client.encoder.encode([(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                                       (":path", "/chat"), (":authority", "localhost"), ("sec-websocket-version", "13")])
        client.send(frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, 0, 1, b"early "))
        head = dict(client.decoder.decode(client.until(HEADERS, stream=1)[3]))
        assert head[":status"] == "200" and head["sec-websocket-protocol"] == "chat"
        assert not {"connection", "upgrade", "sec-websocket-accept", "content-length"} & set(head)
        got = b""
        while got != b"EARLY ":
            got += client.until(DATA, stream=1)[3]
        for n in range(20):
            client.send(frame(DATA, 0, 1, b"hello%d" % n))
            got = b""
            while got != b"HELLO%d" % n:
                got += client.until(DATA, stream=1)[3]
        client.send(frame(DATA, END_STREAM, 1))
        while not client.until(DATA, stream=1)[1] & END_STREAM:
            pass


def test_a_slow_reader_holds_nobody_else(gate):
    with Client(gate.port) as client:
        client.ask(1, "/big.bin")  # 1 MB; its window is never updated
        client.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 24)))
        client.ask(3, "/a.txt")
        assert client.answer(3)[2] == FILES["a.txt"]


def test_many_bodies_move_at_once(bed):  # noqa: F811
    it, _ = bed(echo)
    with Client(it.port) as client:
        for stream in (1, 3, 5):
            client.ask(stream, "/x", "POST", end=False)
        for piece in (b"a" * 5000, b"b" * 5000):
            for stream in (5, 1, 3):
                client.send(frame(DATA, 0, stream, piece))
        for stream in (3, 5, 1):
            client.send(frame(DATA, END_STREAM, stream))
        got, ended = {1: b"", 3: b"", 5: b""}, set()
        while len(ended) < 3:
            kind, flags, stream, payload = client.next()
            if kind == HEADERS:
                client.decoder.decode(payload)
            if kind == DATA:
                got[stream] += payload
                ended |= {stream} if flags & END_STREAM else set()
        assert all(body.endswith(b"a" * 5000 + b"b" * 5000) for body in got.values())


# What is malformed.

@pytest.mark.parametrize("more", [
    [("connection", "close")], [("transfer-encoding", "chunked")], [("Upper", "x")], [("te", "gzip")],
    [("x", "a\r\nb: c")], [("x", "a\0b")], [("", "x")], [(":path", "/twice")], [("a b", "c")], [("x", " lead")],
    [("content-length", "1"), ("content-length", "2")], [("content-length", "-1")], [("upgrade", "h2c")],
], ids=str)
def test_malformed_heads_are_refused(gate, more):
    with Client(gate.port) as client:
        client.ask(1, "/a.txt", more=more)
        got = client.answer(1)
        assert got in (PROTOCOL_ERROR,) or got[0] == 400, got
    assert get(gate) == 200


@pytest.mark.parametrize("change", [{"authority": ""}, {"authority": "a b"}, {"authority": "u@localhost"}, {"path": ""},
                                    {"path": "a"}, {"path": "/a b"}, {"scheme": "ftp"}, {"method": "G T"}], ids=str)
def test_malformed_pseudo_fields_are_refused(gate, change):
    with Client(gate.port) as client:
        client.ask(1, **change)
        got = client.answer(1)
        assert got == PROTOCOL_ERROR or got[0] == 400, got


def test_two_hosts_are_refused(client):
    client.ask(1, "/a.txt", more=[("host", "localhost")])
    assert client.answer(1)[0] == 200
    client.ask(3, "/a.txt", more=[("host", "other")])
    assert client.answer(3)[0] == 400


@pytest.mark.parametrize("frames, code", [
    (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    (frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\x82"), PROTOCOL_ERROR),
    (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    (frame(PRIORITY, 0, 0, b"\0\0\0\0\1"), PROTOCOL_ERROR),
    (frame(PRIORITY, 0, 5, b"\0\0\0\5\1"), PROTOCOL_ERROR),
    (frame(CONTINUATION, 0, 1, b""), PROTOCOL_ERROR),
    (frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), PROTOCOL_ERROR),
    (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff"), 9),
], ids=["data on 0", "even", "settings on 1", "priority on 0", "on itself", "continuation", "update by 0", "hpack"])
def test_broken_rules_end_the_connection(gate, frames, code):
    with Client(gate.port) as client:
        client.send(frames)
        assert client.ends() == code
    assert get(gate) == 200


def test_data_on_a_stream_that_ended(client):
    client.ask(1, "/a.txt")
    client.answer(1)
    client.send(frame(DATA, END_STREAM, 1, b"x"))
    assert client.ends() == STREAM_CLOSED


def test_no_preface_no_http2(gate):
    with Client(gate.port, hello=False) as client:
        client.send(h2raw.PREFACE[:-2] + b"XX" + h2raw.settings())
        assert client.ends() in (None, PROTOCOL_ERROR)


@pytest.mark.parametrize("cut", [None, 1, 15, 17, 20])
def test_a_preface_that_goes_on_otherwise(gate, cut):
    """The first line is HTTP/2's, and what follows is not: it is ended, and not answered as a request of HTTP/1.1."""
    wrong = h2raw.PREFACE[:-6] + b"XX\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (wrong[:cut], wrong[cut:]) if cut else (wrong,):
            raw.sendall(piece)
        got = b""
        try:
            while more := raw.recv(4096):
                got += more
        except ConnectionResetError:
            pass
    assert b"HTTP/1.1" not in got
    assert get(gate) == 200


@pytest.mark.parametrize("line", [b"INVALID CONNECTION PREFACE\r\n\r\n", b"SSH two zero\r\n", b"a b c\r\n\r\n"])
def test_three_words_that_are_no_http(gate, line):
    """A wrong preface (RFC 9113 section 3.4): it is ended without an answer that its sender could not read."""
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as raw:
        raw.sendall(line)
        try:
            assert raw.recv(4096) == b""
        except ConnectionResetError:
            pass
    assert get(gate) == 200


@pytest.mark.parametrize("line", [b"PRI * HTTP/1.1\r\nHost: localhost\r\n\r\n", b"PRI * HTTP/2.1\r\n\r\n", b"INVALID /PREFACE HERE\r\n\r\n",
                                  b"INVALID PREFACE HTTP/\r\n\r\n", b"INVALID PREFACE\r\n\r\n", b"hello\r\n\r\n",
                                  b"CONNECT host:1 X\r\n\r\n", b"OPTIONS * X\r\n\r\n"])
def test_what_appears_to_be_1_1_is_answered(gate, line):
    """RFC 9112 section 2.2: a request of HTTP/1.1, though a wrong one, gets an answer that says so."""
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as raw:
        raw.sendall(line)
        assert raw.recv(4096).startswith(b"HTTP/1.1 4" if b"HTTP/2" not in line else b"HTTP/1.1 505")


def test_only_a_first_line_is_a_preface(gate):
    """Behind a request such a line is a bad request of HTTP/1.1."""
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as raw:
        raw.sendall(b"HEAD /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\nINVALID CONNECTION PREFACE\r\n\r\n")
        got = b""
        while more := raw.recv(4096):
            got += more
    assert got.count(b"HTTP/1.1 ") == 2 and b"HTTP/1.1 400" in got


# What costs more than it brings. Each is bounded in time, CPU and memory, and others are served meanwhile.

def attack(gate, pieces, seconds=4.0):
    """Sends pieces until the gate ends it or the time is over: (bytes sent, GOAWAY's code, CPU seconds)."""
    before, sent = cpu_s(gate.pid), 0
    end = time.monotonic() + seconds
    with Client(gate.port) as client:
        try:
            for piece in pieces(client):
                client.send(piece)
                sent += len(piece)
                if time.monotonic() > end:
                    break
            client.socket.settimeout(2)
            code = client.ends()
        except (OSError, h2raw.Ended):
            code = None
            try:
                code = client.ends()
            except OSError:
                pass
    return sent, code, cpu_s(gate.pid) - before


def rapid_reset(client):
    block = client.encoder.encode(client.head("/a.txt"))
    for stream in range(1, 200001, 2):
        if stream % 200 == 1:
            batch = b""
        batch += frame(HEADERS, END_HEADERS | END_STREAM, stream, block) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")
        if stream % 200 == 199:
            yield batch


def made_you_reset(client):
    block = client.encoder.encode(client.head("/big.bin"))
    for stream in range(1, 200001, 2):
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, block) + frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\0")


def continuations(client):
    yield frame(HEADERS, END_STREAM, 1, client.encoder.encode(client.head("/a.txt")))
    while True:
        yield frame(CONTINUATION, 0, 1, b"\0\1a\1b" * 50) * 20


def empty_continuations(client):
    yield frame(HEADERS, END_STREAM, 1, client.encoder.encode(client.head("/a.txt")))
    while True:
        yield frame(CONTINUATION, 0, 1) * 500


def pings(client):
    while True:
        yield frame(PING, 0, 0, b"12345678") * 500


def many_settings(client):
    while True:
        yield h2raw.settings(initial_window_size=65535) * 500


def priorities(client):
    while True:
        yield frame(PRIORITY, 0, 3, b"\0\0\0\1\1") * 500


def small_updates(client):
    client.ask(1, "/big.bin")
    while True:
        yield frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1") * 500


def empty_data(client):
    client.ask(1, "/a.txt", "POST", end=False)
    while True:
        yield frame(DATA, 0, 1) * 500


@pytest.mark.promise
@pytest.mark.parametrize("pieces", [rapid_reset, made_you_reset, continuations, empty_continuations, pings, many_settings,
                                    priorities, small_updates, empty_data])
def test_floods_end_early(folder, pieces, promise):  # noqa: F811
    it = Gate(folder)
    sent, code, cpu = attack(it, pieces)
    streams = it.counters()["stead_requests_total"]
    assert code in (ENHANCE_YOUR_CALM, None, 9, PROTOCOL_ERROR, STREAM_CLOSED)
    assert sent < 24 * 1024 * 1024 and cpu < 1.5
    if pieces in (rapid_reset, made_you_reset):
        assert streams < 500
    assert get(it) == 200
    promise(f"HTTP/2 {pieces.__name__.replace('_', ' ')}",
            f"ended after {sent / 1024:.0f} KB and {streams:.0f} requests executed, {cpu:.2f} s of CPU", streams < 500)
    assert it.end() == 0


def bomb(connections, gate, size, times, name):
    """As many requests as there may be, behind a window of nothing, each with references to one large entry
    (CVE-2026-49975). The clients, and how many bytes each sent; every frame was read when this returns."""
    opened, sent = [], 0
    for _ in range(connections):
        client = Client(gate.port, initial_window_size=0)
        first, again = (client.encoder.encode(client.head("/big.bin", more=[(name, "c" * size)] * n if size else []))
                        for n in (1, times))
        data = b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, again if stream > 1 else first)
                        for stream in range(1, 201, 2))
        try:
            client.send(data + frame(PING, 0, 0, b"all read"))
            while not client.until(PING)[1] & ACK:
                pass
        except (OSError, h2raw.Ended):
            pass
        opened.append(client)
        sent = len(data)
    return opened, sent


def held_by_bombs(folder, size, times, name):  # noqa: F811
    """KB that each such connection holds, and how many bytes it sent. What a gate allocates once, at its first clients, is
    theirs and not the bomb's."""
    it = Gate(folder)
    first, _ = bomb(10, it, size, times, name)
    assert get(it) == 200
    before = pss_kb(it.pid)
    opened, sent = bomb(20, it, size, times, name)
    assert get(it) == 200
    each = max(pss_kb(it.pid) - before, 0) / len(opened)
    for client in opened + first:
        client.socket.close()
    assert get(it) == 200
    assert {r["close"] for r in it.records(1)} <= {"done", "ledger", "client_gone", "head_too_large"}
    assert it.end() == 0
    return each, sent


@pytest.mark.promise
def test_a_bomb_is_small(folder, promise):  # noqa: F811
    """Whoever refers to an entry again and again is ended at his first such head. Who refers to it once or twice in each, as
    clients do, is served, and holds hardly more than as many requests without it: a large value is kept once."""
    bare, _ = held_by_bombs(folder, 0, 1, "")
    ended, sent = held_by_bombs(folder, 3000, 9, "cookie")
    ratio = ended * 1024 / sent
    more, most = 0, bare
    for size, times, name in ((3900, 1, "x-large"), (3000, 2, "cookie"), (3000, 2, "x-large"), (1500, 4, "cookie"), (240, 14, "x-small")):
        each, sent = held_by_bombs(folder, size, times, name)
        more, most = max(more, each - bare), max(most, each)
    promise("HTTP/2 bomb, memory", f"{ended:.0f} KB for each connection, {ratio:.1f}:1 of what it sent; references that are let pass "
            f"add {more:.0f} KB to the {bare:.0f} of as many requests without them (bound 1024)", max(ended, most) <= 1024 and ratio <= 4)
    assert ratio <= 4 and most <= 1024 and more <= 48


def test_what_is_not_paid_for_is_refused(gate):
    """Many small entries by reference, too small to be kept once: the next requests are refused, those before are answered, and
    behind their end it goes on."""
    small = [(f"x-{n}", "c" * 200) for n in range(14)]
    with Client(gate.port, initial_window_size=0) as client:
        refused, taken = set(), set()
        for stream in range(1, 101, 2):
            client.ask(stream, "/big.bin", more=small)
        while len(refused) + len(taken) < 50:
            kind, _, stream, payload = client.until(HEADERS, RST_STREAM)
            if kind == HEADERS:
                client.decoder.decode(payload)
                taken.add(stream)
            else:
                assert int.from_bytes(payload, "big") == h2raw.REFUSED_STREAM
                refused.add(stream)
        assert 10 < len(refused) < 45 and 1 not in refused
        client.send(b"".join(frame(RST_STREAM, 0, stream, b"\0\0\0\x08") for stream in taken)
                    + h2raw.settings(initial_window_size=65535))
        client.ask(101, "/a.txt", more=small)
        assert client.answer(101)[0] == 200


def test_large_fields_of_many_requests(bed):  # noqa: F811
    """Values that requests have alike are kept once, and each request's stay right while others come and go, in any order."""
    it, _ = bed(echo)
    values = [f"{n}" * 700 for n in range(8)]
    asked = {stream: [(f"x-{n}", values[(stream // 2 * n) % 8] if n % 3 else f"of {stream}") for n in range(7)]
             + [("cookie", values[stream % 3]), ("cookie", "crumb=1"), ("x-last", "end")] for stream in range(1, 61, 2)}
    with Client(it.port) as client:
        left = sorted(asked)
        while left:
            now, left = left[:6], left[6:]
            for stream in now:
                client.ask(stream, f"/{stream}", "POST", asked[stream], end=False)
            for stream in reversed(now):
                client.send(frame(DATA, END_STREAM, stream, b"body"))
                status, _, body = client.answer(stream)
                head = body.decode().split("\n\n")[0].split("\n")
                assert status == 200 and head[0] == f"POST /{stream} HTTP/1.1"
                got = [tuple(line.split(": ", 1)) for line in head if line.startswith(("x-", "cookie"))]
                want = [f for f in asked[stream] if f[0] != "cookie"] + [("cookie", f"{values[stream % 3]}; crumb=1")]
                assert sorted(f for f in got if not f[0].startswith("x-forwarded") and f[0] != "x-request-id") == sorted(want)


def test_trailers_count_with_heads(gate):
    """A head of some KB behind each body, by references, on as many streams as there are: a bound holds for all of them."""
    with Client(gate.port, initial_window_size=0) as client:
        entry = [("x-large", "c" * 3000)]
        for stream in range(1, 201, 2):
            client.send(frame(HEADERS, END_HEADERS, stream, client.encoder.encode(client.head("/big.bin", "POST"))))
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, client.encoder.encode(entry * (1 if stream == 1 else 2))))
        while int.from_bytes(client.until(RST_STREAM)[3], "big") != h2raw.INTERNAL_ERROR:
            pass
    assert get(gate) == 200


def test_who_takes_nothing_loses_the_answer(folder):  # noqa: F811
    site = {"name": "one", "hosts": ["localhost"], "default": True, "idle_timeout_ms": 1000, "header_timeout_ms": 1000,
            "routes": [{"path": "/", "match": "prefix", "to": "static", "root": str(folder), "index": ["index.html"]}]}
    it = Gate(described({"sites": [site]}))
    with Client(it.port, initial_window_size=0) as client:
        client.ask(1, "/big.bin")
        assert client.answer(1) == h2raw.CANCEL
    assert it.records(1)[0]["close"] == "send_too_slow"
    with Client(it.port) as client:
        client.until(SETTINGS)
        client.until(SETTINGS)  # ours is acknowledged, and nothing else will come
        client.send(frame(HEADERS, END_STREAM, 1, client.encoder.encode(client.head("/a.txt"))))  # and no end of it
        assert client.ends() == ENHANCE_YOUR_CALM
    assert it.end() == 0


def test_a_drained_gate_says_so(folder):  # noqa: F811
    it = Gate(folder)
    with Client(it.port) as client:
        client.ask(1, "/a.txt")
        client.answer(1)
        it.process.stdin.write("stop\n")
        it.process.stdin.flush()
        kind, _, _, payload = client.until(GOAWAY)
        assert int.from_bytes(payload[:4], "big") in (1, 0x7fffffff)
        if int.from_bytes(payload[:4], "big") == 0x7fffffff:
            client.ask(3, "/a.txt")
            assert client.answer(3)[0] == 200
    it.process.communicate(timeout=20)
