"""The response cache of a real gate before backends that count what they are asked."""

import queue
import socket
import threading
import time

import pytest

from gatebed import Answer, request
from proxybed import bed, get  # noqa: F401

ROUTE = {"cache_bytes": 4 << 20}


def body_of(n):
    return f"answer {n}".encode()


class Origin:
    """A backend's script: each request gets the next answer of make(count, target, fields)."""

    def __init__(self, make):
        self.make, self.asked, self.lock = make, [], threading.Lock()

    def __call__(self, talk):
        while (got := talk.head()) is not None:
            line, fields = got
            talk.body(fields)
            with self.lock:
                self.asked.append((line, dict(fields)))
                n = len(self.asked)
            reply = self.make(n, line, dict(fields))
            if reply is None:
                talk.close()
                return
            talk.send(reply)


def fixed(*fields, status="200 OK"):
    return lambda n, line, asked: say(n, *fields, status=status)


def say(n, *fields, status="200 OK", body=None):
    body = body_of(n) if body is None else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def not_modified(*fields):
    return ("\r\n".join(["HTTP/1.1 304 Not Modified", *fields]) + "\r\n\r\n").encode()


def cached(bed, make, **route):
    origin = Origin(make)
    gate, _ = bed(origin, {**ROUTE, **route})
    return gate, origin


def test_hit(bed):
    gate, origin = cached(bed, fixed("Cache-Control: max-age=60", "X-A: b"))
    first, second = get(gate, "/a"), get(gate, "/a")
    assert first.body == second.body == b"answer 1" and len(origin.asked) == 1
    assert second.fields["age"] == "0" and second.fields["x-a"] == "b"
    assert second.fields["cache-status"].startswith("stead; hit; ttl=")
    assert first.fields["cache-status"] == "stead; fwd=uri-miss; fwd-status=200; stored"
    assert get(gate, "/a?x").body == b"answer 2"


def test_no_cache_no_cost(bed):
    origin = Origin(fixed("Cache-Control: max-age=60"))
    gate, _ = bed(origin)
    assert "cache-status" not in get(gate).fields and get(gate).body == b"answer 2"


def test_head_range_and_conditions(bed):
    gate, origin = cached(bed, fixed("Cache-Control: max-age=60", 'ETag: "v"',
                                     "Last-Modified: Sun, 13 Sep 2020 12:00:00 GMT"))
    get(gate)
    head = get(gate, method="HEAD")
    assert head.fields["content-length"] == "8" and head.body == b""
    part = get(gate, Range="bytes=2-4")
    assert (part.status, part.body, part.fields["content-range"]) == (206, b"swe", "bytes 2-4/8")
    assert get(gate, Range="bytes=90-").status == 416
    assert get(gate, Range="bytes=0-1", If_Range='"other"').status == 200
    same = get(gate, If_None_Match='"x", W/"v"')
    assert same.status == 304 and same.fields["etag"] == '"v"' and "content-type" not in same.fields
    assert get(gate, If_Modified_Since="Sun, 13 Sep 2020 12:00:00 GMT").status == 304
    assert get(gate, If_Modified_Since="Sun, 13 Sep 2020 11:00:00 GMT").status == 200
    assert len(origin.asked) == 1


def test_revalidates(bed):
    def make(n, line, asked):
        if asked.get("if-none-match") == '"v"':
            return not_modified("Cache-Control: max-age=60", 'ETag: "v"', "X-New: 1")
        return say(n, "Cache-Control: max-age=0", 'ETag: "v"')
    gate, origin = cached(bed, make)
    assert get(gate).body == b"answer 1"
    fresh = get(gate, If_None_Match='"old"')
    assert (fresh.status, fresh.body, fresh.fields["x-new"]) == (200, b"answer 1", "1")
    assert origin.asked[1][1]["if-none-match"] == '"v"'
    assert "fwd-status=304" in fresh.fields["cache-status"]
    assert get(gate).body == b"answer 1" and len(origin.asked) == 2


def test_vary(bed):
    gate, origin = cached(bed, lambda n, line, asked: say(n, "Cache-Control: max-age=60", "Vary: Accept-Language"))
    assert get(gate, Accept_Language="de").body == b"answer 1"
    assert get(gate, Accept_Language="en").body == b"answer 2"
    assert get(gate, Accept_Language="de").body == b"answer 1"
    assert get(gate).body == b"answer 3" and len(origin.asked) == 3


@pytest.mark.parametrize("fields", [["Cache-Control: private, max-age=60"], ["Cache-Control: no-store"],
                                    ["Cache-Control: max-age=60", "Vary: *"], [],
                                    ["Cache-Control: max-age=60", "Set-Cookie: a=b"]])
def test_not_stored(bed, fields):
    gate, origin = cached(bed, fixed(*fields))
    get(gate)
    assert get(gate).body == b"answer 2"


def test_authorization(bed):
    gate, origin = cached(bed, fixed("Cache-Control: max-age=60"))
    get(gate, Authorization="Basic eDp5")
    assert get(gate).body == b"answer 2" and get(gate).body == b"answer 2"


def test_unsafe_method_invalidates(bed):
    gate, origin = cached(bed, lambda n, line, asked: say(
        n, "Cache-Control: max-age=60", *(["Location: /b"] if line.startswith("POST") else [])))
    assert get(gate, "/a").body == b"answer 1" and get(gate, "/b").body == b"answer 2"
    get(gate, "/a", "POST", Content_Length="0")
    assert get(gate, "/a").body == b"answer 4" and get(gate, "/b").body == b"answer 5"


def test_failed_unsafe_method_does_not(bed):
    gate, origin = cached(bed, lambda n, line, asked: say(
        n, "Cache-Control: max-age=60", status="500 No" if line.startswith("POST") else "200 OK"))
    get(gate, "/a")
    get(gate, "/a", "POST", Content_Length="0")
    assert get(gate, "/a").body == b"answer 1"


def test_only_if_cached(bed):
    gate, origin = cached(bed, fixed("Cache-Control: max-age=60"))
    assert get(gate, Cache_Control="only-if-cached").status == 504 and not origin.asked
    get(gate)
    assert get(gate, Cache_Control="only-if-cached").status == 200


@pytest.mark.parametrize("end", ["500", "close"])
def test_stale_if_error(bed, end):
    def make(n, line, asked):
        if n == 1:
            return say(n, "Cache-Control: max-age=0, stale-if-error=60")
        return say(n, status="503 No") if end == "500" else None
    gate, origin = cached(bed, make)
    get(gate)
    stale = get(gate)
    assert (stale.status, stale.body) == (200, b"answer 1") and len(origin.asked) > 1


def test_stale_while_revalidate(bed):
    second = threading.Event()

    def make(n, line, asked):
        if n > 1:
            second.wait(5)
            return say(n, "Cache-Control: max-age=60", 'ETag: "w"')
        return say(n, "Cache-Control: max-age=0, stale-while-revalidate=60", 'ETag: "v"')
    gate, origin = cached(bed, make)
    get(gate)
    for _ in range(3):
        assert get(gate).body == b"answer 1"  # nobody waits for the second answer
    second.set()
    end = time.monotonic() + 5
    while get(gate).body != b"answer 2":
        assert time.monotonic() < end
    assert len(origin.asked) == 2 and origin.asked[1][1]["if-none-match"] == '"v"'
    assert len(gate.records(5)) >= 5


def ask_many(gate, n):
    socks = []
    for _ in range(n):
        sock = gate.connect()
        sock.sendall(request("/one"))
        socks.append(sock)
    return socks


def test_coalesces(bed):
    go, came = threading.Event(), queue.Queue()

    def make(n, line, asked):
        came.put(n)
        go.wait(5)
        return say(n, "Cache-Control: max-age=60")
    gate, origin = cached(bed, make)
    socks = ask_many(gate, 20)
    came.get(timeout=5)
    while gate.counters()["stead_requests_active"] < 20:
        pass
    go.set()
    answers = [Answer(sock.makefile("rb")) for sock in socks]
    assert {a.body for a in answers} == {b"answer 1"} and len(origin.asked) == 1
    assert sum("collapsed" in a.fields["cache-status"] for a in answers) == 19


def test_waiters_of_what_is_not_stored_ask_themselves(bed):
    go, came = threading.Event(), queue.Queue()

    def make(n, line, asked):
        came.put(n)
        if n == 1:
            go.wait(5)
        return say(n, "Cache-Control: no-store")
    gate, origin = cached(bed, make)
    socks = ask_many(gate, 5)
    came.get(timeout=5)
    while gate.counters()["stead_requests_active"] < 5:
        pass
    go.set()
    answers = {Answer(sock.makefile("rb")).body for sock in socks}
    assert len(answers) == 5 and len(origin.asked) == 5


def test_leader_goes_away(bed):
    go, came = threading.Event(), queue.Queue()

    def make(n, line, asked):
        came.put(n)
        go.wait(5)
        return say(n, "Cache-Control: max-age=60")
    gate, origin = cached(bed, make)
    first = ask_many(gate, 1)
    came.get(timeout=5)
    others = ask_many(gate, 3)
    while gate.counters()["stead_requests_active"] < 4:
        pass
    first[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    first[0].close()
    came.get(timeout=5)
    go.set()
    assert {Answer(sock.makefile("rb")).body for sock in others} == {b"answer 2"}


def test_streams_while_it_stores(bed):
    """The first byte is there before the last is made; cut answers are not stored."""
    more = threading.Event()
    count = []

    def script(talk):
        while talk.head() is not None:
            count.append(1)
            talk.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            if len(count) == 1:
                more.wait(5)
                talk.close()
                return
            talk.send(b"3\r\ndef\r\n0\r\n\r\n")
    gate, _ = bed(script, ROUTE)
    with gate.connect() as sock:
        sock.sendall(request("/s"))
        got = b""
        while b"abc" not in got:
            got += sock.recv(4096)
        more.set()
        while sock.recv(4096):
            pass
    assert get(gate, "/s").body == b"abcdef" and get(gate, "/s").body == b"abcdef" and len(count) == 2


def test_large_and_slow(bed):
    body = bytes(range(256)) * 3000
    gate, origin = cached(bed, lambda n, line, asked: say(n, "Cache-Control: max-age=60", body=body))
    assert get(gate).body == body
    with gate.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)  # more than once as much waits in the gate
        sock.sendall(request())
        assert Answer(sock.makefile("rb")).body == body
    assert get(gate, Range="bytes=500000-500009").body == body[500000:500010]
    assert len(origin.asked) == 1


def test_too_large_is_passed_on(bed):
    body = b"x" * (2 << 20)
    gate, origin = cached(bed, lambda n, line, asked: say(n, "Cache-Control: max-age=60", body=body))
    assert get(gate).body == body and get(gate).body == body and len(origin.asked) == 2
