"""FastCGI's backends: records in every cut, what a program's head may say, and what is not taken."""

import queue
import threading

import pytest

from fcgibed import END, STDERR, STDOUT, answering, end, question, record, said
from gatebed import Answer, request
from proxybed import ask, bed, description, get, rss  # noqa: F401 - bed is a fixture
from program import TIMEOUT, wait_until


@pytest.fixture
def fcgi(bed):
    def make(*answers, route=None, **upstream):
        return bed(answering(*answers), route, protocol="fastcgi", **upstream)
    return make


def told(variables, body, records):
    text = "".join(f"{k}={v}\n" for k, v in variables.items())
    return said(b"Content-Type: text/plain\r\nX-Records: %d" % records, text.encode() + b"\n" + body[:100000])


def lines(got):
    head, _, body = got.body.partition(b"\n\n")
    return dict(line.split("=", 1) for line in head.decode().split("\n")), body


def test_variables(fcgi):
    gate, _ = fcgi(told)
    env, body = lines(ask(gate, b"POST /a%20b/c?d=%20 HTTP/1.1\r\nHost: Localhost:81\r\nContent-Length: 3\r\nX-Two: 1\r\nX-Two: 2\r\n"
                                b"X_Real: forged\r\nProxy: http://evil\r\nContent-Type: text/x\r\n\r\nabc"))
    assert body == b"abc" and env["CONTENT_LENGTH"] == "3" and env["CONTENT_TYPE"] == "text/x"
    assert env["REQUEST_URI"] == "/a%20b/c?d=%20" and env["QUERY_STRING"] == "d=%20" and env["SERVER_PORT"] == "81"
    assert env["HTTP_X_TWO"] == "1, 2" and "HTTP_PROXY" not in env and "HTTP_X_REAL" not in env
    assert env["GATEWAY_INTERFACE"] == "CGI/1.1" and env["REMOTE_ADDR"] == "127.0.0.1"


def test_many_variables_are_cut_between_pairs_only(fcgi):
    gate, backend = fcgi(told)
    got = get(gate, **{f"X-A{i}": "v" * 3000 for i in range(10)})
    assert got.fields["x-records"] == "1" and len(lines(got)[0]["HTTP_X_A9"]) == 3000
    what = description([backend.server], protocol="fastcgi")
    what["sites"][0]["head_max"] = 262144
    gate.snap(what)
    got = get(gate, **{f"X-A{i}": "v" * 1000 for i in range(100)})
    assert int(got.fields["x-records"]) == 2 and lines(got)[0]["HTTP_X_A99"] == "v" * 1000
    assert get(gate, **{"X-B": "v" * 65500}).status == 200
    assert get(gate, **{"X-B": "v" * 65530}).status == 431


def test_bodies(fcgi):
    """Of a known length, in chunks (their length is told), none; and the answer's, in records of every size."""
    def script(variables, body, records):
        out = b"Status: 201 Made\r\nX-Length: %d\r\nX-Told: %s\r\n\r\n" % (
            len(body), variables.get("CONTENT_LENGTH", "none").encode())
        out += bytes(i % 251 for i in range(200_000))
        sizes, at, sent = [1, 7, 0x8000, 65535, 100, 2, 8], 0, b""
        for i in range(len(out)):
            size = sizes[i % len(sizes)]
            sent += record(STDOUT, out[at:at + size], i * 37 % 256) + (record(STDERR) if i % 3 else b"")
            at += size
            if at >= len(out):
                break
        return sent + record(STDOUT) + end(padding=3)
    gate, backend = fcgi(script)
    data = bytes(200_000)
    for way in (b"Content-Length: 200000\r\n\r\n" + data,
                b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)):
        got = ask(gate, b"POST / HTTP/1.1\r\nHost: localhost\r\n" + way)
        assert (got.status, got.reason) == (201, "Made")
        assert (got.fields["x-length"], got.fields["x-told"]) == ("200000", "200000")
        assert got.body == bytes(i % 251 for i in range(200_000))
    assert get(gate, method="POST").fields["x-told"] == "0" and get(gate).fields["x-told"] == "none"
    assert backend.conns == 1


@pytest.mark.parametrize("head,status,fields", [
    (b"Content-Type: text/html", 200, {"content-type": "text/html"}),
    (b"Status: 404", 404, {}),
    (b"Status: 500 Broken  pipe\nX-A: 1\n\n", 500, {"x-a": "1"}),
    (b"Location: http://other.example/", 302, {"location": "http://other.example/"}),
    (b"Location: /here?a", 302, {"location": "/here?a"}),
    (b"Location: /here\r\nStatus: 201 Made", 201, {"location": "/here"}),
    (b"Connection: close\r\nTransfer-Encoding: chunked\r\nUpgrade: h2c\r\nKeep-Alive: 1\r\nX-A: 1", 200, {"x-a": "1"}),
])
def test_heads(fcgi, head, status, fields):
    whole = head if head.endswith(b"\n\n") else head + b"\r\n\r\n"
    gate, backend = fcgi(record(STDOUT, whole + b"hello") + end())
    for _ in range(2):
        got = get(gate)
        assert got.status == status and got.body == b"hello"
        assert fields.items() <= got.fields.items()
        assert not {"upgrade", "keep-alive"} & got.fields.keys() and got.fields.get("connection") != "close"
    assert backend.conns == 1


@pytest.mark.parametrize("wrong", [
    b"HTTP/1.1 200 OK\r\nA: b", b"Status: 200\r\nStatus: 200", b"Status: 20", b"Status: 2000", b"Status: 101", b"Status: 100",
    b"Status: abc", b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: +5", b"Location: /a\r\nLocation: /b",
    b"Content-Type: a\r\nContent-Type: b", b"A : b", b"A: b\r\n c", b"A: b\rc", b"A: \0", b": b", b"no colon",
])
def test_heads_that_are_refused(fcgi, wrong):
    gate, _ = fcgi(said(wrong), retry=0, fail_max=100)
    assert get(gate).status == 502
    assert gate.records(1)[-1]["close"] == "up_garbage"


@pytest.mark.parametrize("wrong", [
    record(STDOUT, b"A: b\r\n\r\n", number=2) + end(), record(11, b"\0" * 8), b"\2" + record(STDOUT)[1:],
    record(9, b"\x0f\1FCGI_MPXS_CONNS0"), record(END, b"\0" * 7), record(STDOUT) + record(STDOUT, b"A: b\r\n\r\n") + end(),
    end(), record(STDOUT, b"A: b\r\n") + end(), end(protocol=9), record(STDOUT, b"A: " + b"v" * 65000) + record(STDOUT, b"v" * 600),
])
def test_records_that_are_refused(fcgi, wrong):
    gate, _ = fcgi(wrong, retry=0, fail_max=100)
    assert get(gate).status == 502
    assert gate.records(1)[-1]["close"] == "up_garbage"


def test_length_and_body_must_agree(fcgi):
    """What is less is cut for the client too; what is more is dropped; HEAD and 204 have none."""
    gate, backend = fcgi(said(b"Content-Length: 9"), said(b"Content-Length: 2"), said(b"Content-Length: 5"),
                         said(b"Status: 204"))
    with gate.connect() as sock, pytest.raises(AssertionError):
        sock.sendall(request("/"))
        Answer(sock.makefile("rb"))
    assert gate.records(1)[-1]["close"] == "up_closed"
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        for method, status, body in (("HEAD", 200, b""), ("GET", 200, b"he"), ("HEAD", 200, b""), ("GET", 204, b"")):
            sock.sendall(request("/", method))
            got = Answer(reader, method)
            assert (got.status, got.body) == (status, body)
    assert backend.conns == 2


@pytest.mark.parametrize("protocol,status,close", [(1, 503, "up_busy"), (2, 503, "up_busy"), (3, 502, "up_role")])
def test_refusals(bed, protocol, status, close):
    """A backend that says it takes no more: another is asked, for a POST too; with no other the client hears of it."""
    busy, well = answering(end(protocol=protocol)), answering(lambda v, body, n: said(body=body))
    gate, *_ = bed([busy, well], {"body_buffer": True}, protocol="fastcgi", retry=1, fail_max=100)
    for i in range(4):
        assert ask(gate, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n%d" % i).body == b"%d" % i
    gate, *_ = bed([busy], protocol="fastcgi", retry=1, fail_max=100)
    got = get(gate, method="POST")
    assert got.status == status and gate.records(1)[-1]["close"] == close


def test_a_lost_connection(fcgi, bed):
    """A kept one that was closed meanwhile costs nothing; a fresh one that ends without an answer is 502; a GET is
    then asked elsewhere."""
    def once(talk):
        if question(talk) is not None:
            talk.send(said())
    gate, backend = bed(once, protocol="fastcgi", retry=0)
    for _ in range(5):
        assert get(gate).status == 200
    gate, backend, _ = bed([question, answering(said())], protocol="fastcgi", retry=1, fail_max=100)
    assert sorted(get(gate, method="POST").status for _ in range(2)) == [200, 502] and backend.conns == 1
    assert [get(gate).status for _ in range(4)] == [200] * 4 and backend.conns > 1


def test_the_client_goes(bed):
    """Then the connection is closed, whatever the backend still says."""
    seen = []

    def script(talk):
        question(talk)
        talk.send(record(STDOUT, b"A: b\r\n\r\n" + b"x" * 1000))
        seen.append(talk.reader.read(1))
    gate, _ = bed(script, protocol="fastcgi")
    with gate.connect() as sock:
        sock.sendall(request("/"))
        assert sock.recv(10)
    wait_until("the end", lambda: seen)
    assert seen == [b""]


def test_error_stream(fcgi):
    """Its lines are events of the site, bounded; the answer is not touched."""
    long = b"z" * 3000 + b"\n" + b"many\n" * 20000
    gate, _ = fcgi(record(STDERR, b"PHP message: one\nand ") + record(STDERR, b"two\0\n", 7) + said(errors=b"without an end"),
                   record(STDERR, long[:60000]) + record(STDERR, long[60000:]) + said())
    for _ in range(2):
        assert get(gate).body == b"hello"
    events = wait_until("the last line", lambda: (got := gate.events("BACKEND_SAID")) and got[-1]["text"].endswith("more") and got)
    assert [e["text"] for e in events[:3]] == ["PHP message: one", "and two?", "without an end"]
    assert {(e["site"], e["upstream"]) for e in events} == {("a", "u")}
    rest = [e["text"] for e in events[3:]]
    assert max(map(len, rest)) == 800 and sum(map(len, rest[:-1])) <= 8192 and rest[-1].endswith("bytes more")


def test_large_answers_and_slow_clients(bed):
    """A gigabyte-like answer passes through a window, not through memory."""
    def script(talk):
        question(talk)
        talk.send(record(STDOUT, b"Content-Type: a/b\r\n\r\n"))
        piece = record(STDOUT, bytes(65528))
        for _ in range(1600):
            talk.send(piece)
        talk.send(end())
    gate, _ = bed(script, protocol="fastcgi")
    before = rss(gate.pid)
    with gate.connect() as sock:
        sock.sendall(request("/"))
        got = 0
        while (data := sock.recv(1 << 20)) and not data.endswith(b"\r\n0\r\n\r\n"):
            got += len(data)
        assert 1600 * 65528 <= got + len(data) < 1600 * 66000
    assert rss(gate.pid) - before < 8 << 20


def test_probes_ask(bed):
    asked = []

    def script(talk):
        while (got := question(talk)) is not None:
            asked.append(got[0])
            talk.send(said(b"Status: 200" if len(asked) < 3 else b"Status: 500"))
    gate, _ = bed(script, protocol="fastcgi", check="/ping", check_ms=100, fail_max=1)
    wait_until("a probe that fails", lambda: len(asked) >= 3 and get(gate).status == 503)
    assert asked[0]["REQUEST_METHOD"] == "GET" and asked[0]["PATH_INFO"] == "/ping"


def test_a_reload_while_a_body_is_received(fcgi):
    """Its backend is not in the configuration any more when the body is whole: 503, and the gate lives on."""
    gate, backend = fcgi(said(), route={"body_buffer": True})
    with gate.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello")
        what = description([backend.server], protocol="fastcgi", name="v")
        what["sites"][0]["routes"][0]["upstream"] = "v"
        wait_until("the body's beginning", lambda: gate.counters()["stead_requests_active"] == 1)
        gate.snap(what)
        assert get(gate).status == 200
        sock.sendall(b"hello")
        assert Answer(sock.makefile("rb")).status == 503
    assert get(gate).status == 200


def processes(count, answer):
    """A script of Backend with so many processes: each serves one connection until that ends, the others wait."""
    free = threading.Semaphore(count)

    def script(talk):
        with free:
            while (got := question(talk)) is not None:
                answer(talk, got[0]["REQUEST_URI"])
    return script


def test_no_more_connections_than_processes(bed):
    """What has been answered is kept while another connection waits for its first byte: both have a process."""
    asked, go = queue.Queue(), {"/a": threading.Event(), "/b": threading.Event()}

    def answer(talk, path):
        asked.put(path)
        assert path not in go or go[path].wait(TIMEOUT)
        talk.send(said(body=path.encode()))
    gate, backend = bed(processes(2, answer), protocol="fastcgi", connections_max=2)
    with gate.connect() as one, gate.connect() as other:
        one.sendall(request("/a"))
        other.sendall(request("/b"))
        assert {asked.get(timeout=TIMEOUT), asked.get(timeout=TIMEOUT)} == {"/a", "/b"}
        go["/a"].set()
        assert Answer(one.makefile("rb")).body == b"/a"
        for i in range(5):
            assert get(gate, f"/{i}").body == b"/%d" % i
        go["/b"].set()
        assert Answer(other.makefile("rb")).body == b"/b"
    counted = gate.counters()
    assert counted["stead_backend_connects_total"] == backend.conns == 2 and counted["stead_backend_reuses_total"] == 5


def test_a_probe_does_not_wait_for_a_kept_connection(bed):
    """It is a connection more than there are processes: the kept one gives way."""
    seen = queue.Queue()

    def answer(talk, path):
        seen.put(path)
        talk.send(said())
    gate, _ = bed(processes(1, answer), protocol="fastcgi", connections_max=1, check="/probe", check_ms=300, idle_ms=60000)
    for _ in range(3):
        assert get(gate, "/asked").status == 200
        while seen.get(timeout=TIMEOUT) != "/probe":
            pass


def test_fewer_processes_than_gates(bed):
    """Then a connection is kept no longer than another gate can wait."""
    gate, _ = bed(processes(1, lambda talk, _: talk.send(said())), protocol="fastcgi", connections_max=1, scarce=True, idle_ms=60000)
    assert get(gate).status == 200 and get(gate).status == 200
    assert gate.counters()["stead_backend_connects_total"] == 1
    wait_until("the end of the idle one", lambda: gate.counters()["stead_backend_connections_open"] == 0)
    with gate.connect() as sock:
        reader = sock.makefile("rb")

        def again():
            sock.sendall(request("/"))
            assert Answer(reader).status == 200
            return gate.counters()["stead_backend_connects_total"] >= 3
        wait_until("a busy one to be opened anew", again)
