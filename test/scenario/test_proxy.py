"""Requests passed on to backends that behave as the test says, by a real gate."""

import hashlib
import socket
import threading
import time

import pytest

from backendbed import Backend, Talk, answer, keep
from gatebed import Answer, request
from proxybed import bed, break_idle, description, echo, get, lines_of, rss  # noqa: F401 - a fixture


def test_kept_connection(bed):
    gate, backend = bed(keep)
    for _ in range(5):
        got = get(gate)
        assert got.status == 200 and got.body == b"hello"
    assert backend.conns == 1
    counters = gate.counters()
    assert counters["stead_backend_reuses_total"] == 4 and counters["stead_backend_connections_open"] == 1


def test_what_a_backend_reads(bed):
    gate, _ = bed(echo)
    line, fields, _ = lines_of(get(gate, "/a/%7Eb/%2e%2E/c%2fd|e?x=%41", X_Forwarded_For="6.6.6.6", Forwarded="for=x",
                                   X_Forwarded_Proto="https", Connection="x-one, close", X_One="1", X_Two="2",
                                   TE="trailers", Keep_Alive="x", Proxy_Authorization="x", Via="1.0 other"))
    assert line == "GET /a/c%2Fd%7Ce?x=%41 HTTP/1.1"
    names = [f.split(":")[0] for f in fields]
    assert len(names) == len(set(names))
    for gone in ("x-one", "keep-alive", "proxy-authorization", "close"):
        assert gone not in names
    for there in ("host: localhost", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-two: 2",
                  "x-forwarded-host: localhost", f"x-forwarded-port: {gate.port}", "te: trailers",
                  'forwarded: for=127.0.0.1;host="localhost";proto=http', "via: 1.0 other, 1.1 stead"):
        assert there in fields


def test_strip(bed):
    gate, _ = bed(echo, route={"path": "/api", "strip": True, "match": "prefix"})
    for target, want in (("/api", "/"), ("/api/", "/"), ("/api/x%41/y?q", "/xA/y?q"), ("/ap%69/x", "/x"),
                         ("/api?q=1", "/?q=1")):
        assert lines_of(get(gate, target))[0] == f"GET {want} HTTP/1.1"
    assert get(gate, "/api%2Fx").status == 400


BAD = [b"", b"garbage\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 99 X\r\n\r\n", b"HTTP/1.1 200 OK\nA: b\n\n",
       b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
       b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
       b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
       b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
       b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
       b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\n\r\n",
       b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000 + b"\r\n\r\n",
       b"HTTP/1.1 100 C\r\n\r\n" * 20 + answer()]


@pytest.mark.parametrize("cut", [False, True])
def test_bad_answers(bed, cut):
    data = []

    def script(t):
        while t.head():
            if cut and len(data[0]) < 1000:
                for i in range(len(data[0])):
                    t.send(data[0][i:i + 1])
            else:
                t.send(data[0])
            t.close()
            return
    gate, backend = bed(script, retry=0, fail_max=1000)
    for bad in BAD:
        data[:] = [bad]
        got = get(gate)
        assert got.status == 502, bad
    assert {r["close"] for r in gate.records(len(BAD))} == {"up_garbage", "up_closed"}


GOOD = [(answer(b"x" * 5), b"x" * 5), (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n", b"abcde"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil close", b"until close"), (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil", b"until"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"late"), b"late"), (answer(b""), b""),
        (b"HTTP/1.1 204 No\r\n\r\n", b""), (b"HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n", b"")]


@pytest.mark.parametrize("cut", [False, True])
def test_good_answers(bed, cut):
    data = []

    def script(t):
        while t.head():
            mine = data[0]  # the client may go on to the next before this is over
            for i in range(0, len(mine), 1 if cut else 1000):
                t.send(mine[i:i + (1 if cut else 1000)])
            if b"lose" in mine or b"1.0" in mine:
                return
    gate, backend = bed(script)
    for good, want in GOOD:
        data[:] = [good]
        got = get(gate)
        assert got.body == want and got.status in (200, 204, 304), good
    assert backend.conns <= 3


def test_head(bed):
    def script(t):
        while t.head():
            t.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    gate, backend = bed(script)
    for _ in range(3):
        got = get(gate, method="HEAD")
        assert got.fields["content-length"] == "1000" and got.body == b""
    assert backend.conns == 1


def test_early_hints(bed):
    def script(t):
        while t.head():
            t.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
            assert t.go.wait(5)
            t.send(answer())
    go = threading.Event()
    gate, backend = bed(lambda t: (setattr(t, "go", go), script(t)))
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(request())
        hint = Answer(reader)
        assert hint.status == 103 and hint.fields["link"] == "</a.css>; rel=preload"
        go.set()
        assert Answer(reader).body == b"hello"


def test_streams_without_delay(bed):
    steps = [threading.Event() for _ in range(5)]

    def script(t):
        t.head()
        t.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i, step in enumerate(steps):
            t.send(b"9\r\ndata: %d\n\n\r\n" % i)
            assert step.wait(5)
        t.send(b"0\r\n\r\n")
    gate, _ = bed(script)
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(request())
        while reader.readline() != b"\r\n":
            pass
        for i, step in enumerate(steps):
            assert reader.readline() == b"9\r\n" and reader.read(11) == b"data: %d\n\n\r\n" % i
            step.set()
        assert reader.read(5) == b"0\r\n\r\n"


def test_trailers(bed):
    def script(t):
        while (got := t.head()) is not None:
            t.body(got[1])
            told = getattr(t, "trailers", [])
            t.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 3\r\n"
                   + b"".join(b"x-got: " + x.encode() + b"\r\n" for x in told) + b"\r\n")
    for flags in ({}, {"body_buffer": True}):
        gate, _ = bed(script, route=flags)
        with gate.connect() as sock:
            sock.sendall(request("/", "POST", TE="trailers", Connection="te", Transfer_Encoding="chunked")
                         + b"3\r\nabc\r\n0\r\nX-Mine: 5\r\nHost: evil\r\n\r\n" + request(Connection="close"))
            data = sock.makefile("rb").read()
        assert data.count(b"HTTP/1.1 200") == 2
        assert b"0\r\nx-sum: 7\r\nx-got: x-mine: 5\r\n\r\n" in data and data.endswith(b"2\r\nok\r\n0\r\n\r\n")


def test_body_streamed(bed):
    seen = threading.Event()

    def script(t):
        line, fields = t.head()
        assert dict(fields)["content-length"] == "6"
        assert t.reader.read(3) == b"abc"
        seen.set()
        assert t.reader.read(3) == b"def"
        t.send(answer())
    gate, _ = bed(script)
    with gate.connect() as sock:
        sock.sendall(request("/", "POST", Content_Length="6") + b"abc")
        assert seen.wait(5)
        sock.sendall(b"def")
        assert Answer(sock.makefile("rb")).status == 200


def test_body_buffered(bed):
    gate, backend = bed(echo, route={"body_buffer": True})
    with gate.connect() as sock:
        sock.sendall(request("/", "POST", Transfer_Encoding="chunked", Expect="100-continue"))
        reader = sock.makefile("rb")
        assert Answer(reader).status == 100
        sock.sendall(b"3\r\nabc\r\n")
        assert get(gate).status == 200 and backend.conns == 1
        sock.sendall(b"3\r\ndef\r\n0\r\n\r\n")
        _, fields, body = lines_of(Answer(reader))
        assert body == b"abcdef" and "content-length: 6" in fields
    assert backend.conns == 1


def test_large_both_ways(bed):
    size = 100 << 20
    piece = bytes(range(256)) * 256

    def script(t):
        while (got := t.head()) is not None:
            fields = dict(got[1])
            sha, left = hashlib.sha256(), int(fields.get("content-length", 0))
            while left:
                data = t.reader.read1(min(left, 1 << 16))
                sha.update(data)
                left -= len(data)
            t.send(b"HTTP/1.1 200 OK\r\nX-Sum: %s\r\nContent-Length: %d\r\n\r\n" % (sha.hexdigest().encode(), size))
            for _ in range(size // len(piece)):
                t.send(piece)
    want = hashlib.sha256(piece * (size // len(piece))).hexdigest()
    for flags in ({"body_max": 0}, {"body_buffer": True, "body_max": 0}):
        gate, _ = bed(script, route=flags)
        before = rss(gate.pid)
        with gate.connect() as sock:
            reader = sock.makefile("rb")
            sock.sendall(request("/", "PUT", Content_Length=str(size)))
            for _ in range(size // len(piece)):
                sock.sendall(piece)
            got = Answer(reader, "HEAD")
            assert got.fields["x-sum"] == want
            sha, left = hashlib.sha256(), size
            while left:
                data = reader.read(min(left, 1 << 20))
                assert data
                sha.update(data)
                left -= len(data)
            assert sha.hexdigest() == want
            assert rss(gate.pid) - before < 4 << 20


def test_slow_client_holds_backend_back(bed):
    sent = []

    def script(t):
        t.head()
        t.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        t.sock.settimeout(1.0)
        try:
            while True:
                sent.append(t.sock.send(b"x" * 65536))
        except TimeoutError:
            done.set()
    done = threading.Event()
    gate, _ = bed(script)
    before = rss(gate.pid)
    with gate.connect() as sock:
        sock.sendall(request())
        assert done.wait(10)
        assert sum(sent) < 30 << 20 and rss(gate.pid) - before < 1 << 20


# Failing backends.


def refused():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, {"address": f"127.0.0.1:{sock.getsockname()[1]}"}


def test_refused_goes_elsewhere(bed):
    sock, dead = refused()
    gate, backend = bed(keep)
    gate.snap(description([dead, backend.server]))
    for method in ("GET", "POST", "GET", "POST"):
        assert get(gate, method=method, Content_Length="0").status == 200
    assert gate.counters()["stead_backend_retries_total"] >= 2
    sock.close()


def test_refused_alone(bed):
    sock, dead = refused()
    gate, backend = bed(keep)
    gate.snap(description([dead], queue=0))
    assert get(gate).status == 502
    got = [get(gate) for _ in range(3)]
    assert got[2].status == 503 and got[2].fields["retry-after"] == "2"
    assert [r["close"] for r in gate.records(4)] == ["up_connect"] * 3 + ["up_none"]
    sock.close()


def test_queue_until_a_server_is_back(bed):
    sock, dead = refused()
    gate, backend = bed(keep)
    gate.snap(description([dead], fail_max=1))
    assert get(gate).status == 502
    port = int(dead["address"].split(":")[1])
    sock.close()
    again = Backend.__new__(Backend)
    result = []
    waiter = threading.Thread(target=lambda: result.append(get(gate)))
    waiter.start()
    again.__init__(keep)
    again.sock.close()
    late = socket.socket()
    late.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    late.bind(("127.0.0.1", port))
    late.listen()
    conn, _ = late.accept()
    t = Talk(conn)
    t.head()
    t.send(answer(b"back"))
    waiter.join(5)
    assert result[0].status == 200 and result[0].body == b"back"
    t.close()
    late.close()


def test_slow_backend(bed):
    go = threading.Event()

    def script(t):
        t.head()
        go.wait(5)
    gate, _ = bed(script, timeout_ms=200, retry=0)
    assert get(gate).status == 504
    go.set()
    assert gate.records(1)[0]["close"] == "up_timeout"


@pytest.mark.parametrize("how", ["close", "reset", "unread"])
def test_keep_alive_race(bed, how):
    """The second request meets a connection that the backend gives up at that moment."""
    def script(t):
        if backend_conns.append(1) or len(backend_conns) % 2 == 1:
            got = t.head()
            t.body(got[1])
            t.send(answer(b"first"))
            if how == "unread":
                assert t.reader.peek(1)  # it came, and is never read by the program
                t.reset()
                return
            t.head()
            t.reset() if how == "reset" else t.close()
            return
        keep(t, answer(b"second"))
    backend_conns = []
    gate, backend = bed(script)
    for method in ("GET", "POST"):
        del backend_conns[:]
        gate.snap(description([backend.server], keep_alive=4, name="u"))
        first = get(gate, method=method, Content_Length="0")
        second = get(gate, method=method, Content_Length="0")
        assert first.body == b"first"
        if method == "GET" or how != "close":
            assert second.status == 200 and second.body == b"second"
        else:
            assert second.status == 502
        if second.status == 200:
            backend_conns.append(1) if len(backend_conns) % 2 else None
        break_idle(gate, backend)


def test_dead_idle_connection_is_never_used(bed):
    closed = threading.Event()

    def script(t):
        t.body(t.head()[1])
        t.send(answer())
        t.close()
        closed.set()
    gate, backend = bed(script)
    for i in range(5):
        closed.clear()
        assert get(gate, method="POST", Content_Length="0").status == 200
        assert closed.wait(5)
        end = time.monotonic() + 5
        while gate.counters()["stead_backend_connections_open"] and time.monotonic() < end:
            pass
    assert gate.counters()["stead_backend_retries_total"] == 0 and backend.conns == 5


def test_answer_cut(bed):
    def script(t):
        t.head()
        t.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    gate, _ = bed(script)
    with gate.connect() as sock:
        sock.sendall(request())
        data = sock.makefile("rb").read()
    assert data.endswith(b"hello")
    assert gate.records(1)[0]["close"] == "up_closed"


def test_client_gone_frees_backend(bed):
    gone = threading.Event()

    def script(t):
        t.head()
        t.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        assert t.reader.read(1) == b""
        gone.set()
    gate, _ = bed(script)
    with gate.connect() as sock:
        sock.sendall(request())
        assert sock.recv(100)
    assert gone.wait(5)
