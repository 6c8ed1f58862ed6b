"""RateLimit=, ConnectionsMax=, ProxyProtocol=, sizes, deadlines and rates on a real gate."""

import os
import select
import signal
import socket
import struct
import threading
import time

import pytest

from backendbed import Backend
from client import ask as http
from gatebed import Answer, Gate, described, folder, is_closed, request, talk  # noqa: F401
from program import wait_until
from proxybed import UPSTREAM, echo

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def static(root, path="/", **more):
    return {"path": path, "match": "prefix", "to": "static", "root": str(root), "index": ["index.html"], **more}


def rate(number=1, per_s=0.01, burst=3, by="address", header=""):
    return {"by": by, "burst": burst, "per_s_milli": int(per_s * 1000), "number": number, "header": header}


@pytest.fixture
def made(folder):  # noqa: F811
    gates = []

    def make(*sites, **site):
        sites = sites or ({"name": "one", "hosts": ["localhost"], "default": True, "routes": [static(folder)], **site},)
        gates.append(Gate(described({"sites": list(sites)})))
        return gates[-1]
    yield make
    for gate in gates:
        if gate.process.poll() is None:
            assert gate.end() == 0


def open_from(gate, source="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", gate.port), timeout=8, source_address=(source, 0))


def ask(gate, path="/a.txt", source="127.0.0.1", **fields):
    with open_from(gate, source) as sock:
        sock.sendall(request(path, **fields))
        return Answer(sock.makefile("rb"))


def statuses(gate, n, **more):
    return [ask(gate, **more).status for _ in range(n)]


# Rates.

def test_a_client_beyond_its_rate_gets_429(made, folder):  # noqa: F811
    gate = made(routes=[static(folder, rates=[rate(per_s=0.5)])])
    assert statuses(gate, 3) == [200] * 3
    answer = ask(gate)
    assert answer.status == 429 and answer.fields["retry-after"] == "2" and b"More requests" in answer.body
    assert statuses(gate, 3, source="127.0.0.2") == [200] * 3
    assert ask(gate, source="127.0.0.2").status == 429
    assert gate.counters()["stead_rate_limited_total"] == 2
    lines = []
    while len(lines) < 9:
        lines += gate.say("records")
    # Two refusals within a second are one event.
    assert sum(line.startswith("event ") for line in lines) == 1 and sum('"rate_limited"' in line for line in lines) == 2


def test_a_bucket_fills_again(made, folder):  # noqa: F811
    gate = made(routes=[static(folder, rates=[rate(per_s=5, burst=2)])])
    assert statuses(gate, 3) == [200, 200, 429]
    began = time.monotonic()
    while ask(gate).status != 200:
        assert time.monotonic() - began < 3
    assert 0.1 < time.monotonic() - began < 1.5


def test_a_rate_of_a_whole_site(made, folder):  # noqa: F811
    gate = made(routes=[static(folder, rates=[rate(by="site")])])
    assert statuses(gate, 2) + statuses(gate, 2, source="127.0.0.2") == [200, 200, 200, 429]


def test_a_rate_by_a_header(made, folder):  # noqa: F811
    gate = made(routes=[static(folder, rates=[rate(by="header", header="x-key")])])
    assert statuses(gate, 4, X_Key="a") == [200] * 3 + [429]
    assert statuses(gate, 4, X_Key="b") == [200] * 3 + [429]
    # Without the field everybody has a bucket of their own, and not one for all.
    assert statuses(gate, 4) == [200] * 3 + [429]
    assert ask(gate, source="127.0.0.2").status == 200


def test_a_limit_is_of_its_number_and_outlives_a_reload(made, folder):  # noqa: F811
    routes = [static(folder, rates=[rate(7)]), static(folder, "/sub", rates=[rate(7)]),
              static(folder, "/pre", rates=[rate(8)])]
    site = {"name": "one", "hosts": ["localhost"], "default": True, "routes": routes}
    gate = made(site)
    assert [ask(gate, p).status for p in ("/a.txt", "/sub/", "/a.txt", "/sub/")] == [200, 200, 200, 429]
    assert ask(gate, "/pre/a.txt").status == 200
    assert gate.snap({"sites": [site]}) == ["loaded 2 0"]
    assert ask(gate).status == 429


def test_where_a_limit_stands_among_the_phases(made, folder):  # noqa: F811
    """Who is not served at all uses nothing up; a password is not looked at beyond the limit."""
    denied = made(routes=[static(folder, deny=["127.0.0.2"], rates=[rate(by="site")])])
    assert statuses(denied, 5, source="127.0.0.2") == [403] * 5
    assert statuses(denied, 4) == [200, 200, 200, 429]
    guarded = made(routes=[static(folder, users=[{"name": "a", "hash": "$6$a$b"}], rates=[rate()])])
    assert statuses(guarded, 4) == [401, 401, 401, 429]


def test_rates_of_clients_behind_a_trusted_proxy(made, folder):  # noqa: F811
    gate = made(trusted_proxies=["127.0.0.1"], routes=[static(folder, rates=[rate()])])
    assert statuses(gate, 4, X_Forwarded_For="192.0.2.1") == [200] * 3 + [429]
    assert ask(gate, X_Forwarded_For="192.0.2.2").status == 200
    # One who has a /64 has one bucket.
    six = [ask(gate, X_Forwarded_For=f"2001:db8::{n}").status for n in range(1, 5)]
    assert six == [200] * 3 + [429]
    assert ask(gate, X_Forwarded_For="2001:db8:0:1::1").status == 200
    # Who is not trusted cannot choose a bucket.
    assert [ask(gate, source="127.0.0.2", X_Forwarded_For=f"192.0.2.{n}").status for n in range(4)] == [200] * 3 + [429]


# Connections.

def first_answer(sock):
    sock.sendall(request("/a.txt"))
    return Answer(sock.makefile("rb"))


def test_one_connection_too_many(made):
    gate = made(connections_max=2)
    with open_from(gate) as a, open_from(gate) as b:
        assert first_answer(a).status == 200 and first_answer(b).status == 200
        with open_from(gate) as c:
            reader = c.makefile("rb")
            answer = Answer(reader)
            assert answer.status == 503 and answer.fields["retry-after"] == "1" and reader.read() == b""
        with open_from(gate, "127.0.0.2") as other:
            assert first_answer(other).status == 200
        assert first_answer(a).status == 200 and first_answer(b).status == 200
    assert gate.counters()["stead_connections_refused_total"] == 1
    # They are gone, so there is room again.
    began = time.monotonic()
    while True:
        with open_from(gate) as a, open_from(gate) as b:
            if first_answer(a).status == 200 and first_answer(b).status == 200:
                break
        assert time.monotonic() - began < 3


def test_connections_where_another_site_takes_more(made, folder):  # noqa: F811
    """No connection is refused before its site is known; then the newest is, and no older one."""
    gate = made({"name": "few", "hosts": ["few"], "routes": [static(folder)], "connections_max": 1, "number": 1},
                {"name": "many", "hosts": ["many"], "routes": [static(folder)], "number": 2})
    with open_from(gate) as old, open_from(gate) as new:
        new.sendall(request("/a.txt", host="many"))
        assert Answer(new.makefile("rb")).status == 200
        old.sendall(request("/a.txt", host="few"))
        assert Answer(old.makefile("rb")).status == 200
        reader = new.makefile("rb")
        new.sendall(request("/a.txt", host="few"))
        answer = Answer(reader)
        assert answer.status == 503 and answer.fields["connection"] == "close" and reader.read() == b""
        old.sendall(request("/a.txt", host="few"))
        assert Answer(old.makefile("rb")).status == 200
    assert [r["close"] for r in gate.records(4)].count("conns_address") == 1


def test_connections_of_a_trusted_proxy_are_not_bounded(made):
    gate = made(connections_max=1, trusted_proxies=["127.0.0.3"])
    with open_from(gate, "127.0.0.3") as a, open_from(gate, "127.0.0.3") as b:
        assert first_answer(a).status == 200 and first_answer(b).status == 200
    with open_from(gate) as a, open_from(gate) as b:
        assert first_answer(a).status == 200 and Answer(b.makefile("rb")).status == 503


# The PROXY protocol.

V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
V2 = SIGNATURE + b"\x21\x11" + struct.pack("!H", 12 + 8) + socket.inet_aton("192.0.2.8") + \
    socket.inet_aton("198.51.100.1") + struct.pack("!HH", 56324, 443) + b"\x20\0\5\1\0\0\0\0"
V2_SIX = SIGNATURE + b"\x21\x21" + struct.pack("!H", 36) + socket.inet_pton(socket.AF_INET6, "2001:db8::9") + \
    socket.inet_pton(socket.AF_INET6, "2001:db8::1") + struct.pack("!HH", 1, 2)
HEADERS = {V1: "192.0.2.7", V2: "192.0.2.8", V2_SIX: "2001:db8::9", b"PROXY UNKNOWN\r\n": "127.0.0.1",
           SIGNATURE + b"\x20\0\0\0": "127.0.0.1", SIGNATURE + b"\x21\0\0\0": "127.0.0.1",
           SIGNATURE + b"\x21\x31" + struct.pack("!H", 216) + b"\0" * 216: "127.0.0.1"}


@pytest.fixture(scope="module")
def behind(folder):  # noqa: F811
    it = Gate(described({"sites": [{"name": "one", "hosts": ["localhost"], "default": True,
                                    "routes": [static(folder)], "proxy_protocol": ["127.0.0.1"],
                                    "header_timeout_ms": 2000}]}))
    yield it
    assert it.end() == 0


@pytest.mark.parametrize("header", HEADERS)
def test_who_the_header_names(behind, header):
    with behind.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(header + request("/a.txt") * 2)
        assert Answer(reader).status == 200 and Answer(reader).status == 200
        # A second header on the connection is none.
        sock.sendall(header)
        assert reader.read(1) == b"" or header[:1] == b"\r" or b"400" in reader.readline()
    assert {r["client"] for r in behind.records(3)} == {HEADERS[header]}


def test_a_header_split_at_every_byte(behind):
    for header in (V1, V2, V2_SIX):
        for at in range(1, len(header)):
            with behind.connect() as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.sendall(header[:at])
                sock.sendall(header[at:] + request("/a.txt", Connection="close"))
                assert Answer(sock.makefile("rb")).status == 200
        assert {r["client"] for r in behind.records(len(header) - 1)} == {HEADERS[header]}
    with behind.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(V2)):
            sock.sendall(V2[at:at + 1])
        sock.sendall(request("/a.txt"))
        assert Answer(sock.makefile("rb")).status == 200
    assert {r["client"] for r in behind.records(1)} == {HEADERS[V2]}


@pytest.mark.parametrize("start", [
    request("/a.txt"), b"PROXY TCP4 192.0.2.7\r\n", b"PROXY " + b"x" * 200, SIGNATURE + b"\x21\x11\xff\xff",
    SIGNATURE[:11] + b"X", b"\x16\x03\x01\x02\0\x01"])
def test_without_a_sound_header_it_is_closed(behind, start):
    """No answer: nobody knows whose it would be."""
    before = behind.counters()["stead_proxy_header_faults_total"]
    with behind.connect() as sock:
        sock.sendall(start)
        try:
            assert sock.recv(100) == b""
        except ConnectionResetError:
            pass
    assert behind.counters()["stead_proxy_header_faults_total"] == before + 1


@pytest.mark.parametrize("start", [b"", b"PRO", V2[:20]])
def test_a_header_that_does_not_come(behind, start):
    began = time.monotonic()
    before = behind.counters()["stead_proxy_header_faults_total"]
    with behind.connect() as sock:
        sock.sendall(start)
        assert sock.recv(100) == b""
    assert 1.5 < time.monotonic() - began < 8
    assert behind.counters()["stead_proxy_header_faults_total"] == before + 1


def test_whoever_is_not_trusted_names_nobody(behind):
    for header in (V1, V2):
        with open_from(behind, "127.0.0.2") as sock:
            reader = sock.makefile("rb")
            sock.sendall(header + request("/a.txt"))
            answer = Answer(reader)
            assert answer.status == 400 and reader.read() == b""
    assert {r["client"] for r in behind.records(2)} == {"127.0.0.2"}


def test_a_check_that_says_nothing_is_no_fault(behind):
    before = behind.counters()["stead_proxy_header_faults_total"]
    with behind.connect() as sock:
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert behind.counters()["stead_proxy_header_faults_total"] == before


def test_limits_are_of_the_client_that_the_header_names(made, folder):  # noqa: F811
    gate = made(proxy_protocol=["127.0.0.1"], connections_max=1, routes=[static(folder, rates=[rate()])])

    def named(address):
        sock = gate.connect()
        sock.sendall(f"PROXY TCP4 {address} 198.51.100.1 1 2\r\n".encode() + request("/a.txt"))
        return sock, Answer(sock.makefile("rb")).status
    a, first = named("192.0.2.1")
    b, second = named("192.0.2.1")
    c, third = named("192.0.2.2")
    assert (first, second, third) == (200, 503, 200)
    assert [first_answer(a).status for _ in range(3)] == [200, 200, 429]
    assert first_answer(c).status == 200
    for sock in (a, b, c):
        sock.close()


# Sizes, deadlines, rates.

@pytest.fixture(scope="module")
def strict(folder):  # noqa: F811
    """Two sites with other bounds; the lenient one is the default."""
    it = Gate(described({"sites": [
        {"name": "lenient", "hosts": ["lenient"], "default": True, "number": 1, "head_max": 65536,
         "header_timeout_ms": 8000, "idle_timeout_ms": 20000, "rate_min": 100, "routes": [static(folder)]},
        {"name": "strict", "hosts": ["strict"], "number": 2, "head_max": 2000, "header_timeout_ms": 1000,
         "idle_timeout_ms": 1000, "rate_min": 1000, "routes": [static(folder, body_max=100)]}]}))
    yield it
    assert it.end() == 0


def test_head_of_the_sites_own_size(strict):
    for host, size, status in (("lenient", 60000, 200), ("lenient", 66000, 431), ("strict", 1500, 200),
                               ("strict", 2500, 431), ("strict", 60000, 431)):
        data = request("/a.txt", host=host, **{f"X_{n}": "x" * min(7000, size - n * 7000)
                                               for n in range((size + 6999) // 7000)})
        (answer,), _ = talk(strict, data)
        assert answer.status == status, (host, size)


def test_idle_for_the_sites_own_time(strict):
    began = time.monotonic()
    with strict.connect() as a, strict.connect() as b:
        for sock, host in ((a, "strict"), (b, "lenient")):
            sock.sendall(request("/a.txt", host=host))
            assert Answer(sock.makefile("rb")).status == 200
        assert a.recv(1) == b""
        assert 0.9 < time.monotonic() - began < 3
        assert first_answer(b).status == 200


@pytest.fixture(scope="module")
def slow_bed(folder):  # noqa: F811
    """An echoing backend behind two sites of other rates, and a large file."""
    backend = Backend(echo)
    (folder / "large").write_bytes(b"l" * 30000000)
    routes = [{"path": "/", "match": "prefix", "to": "upstream", "upstream": "u", "body_max": 1 << 30},
              static(folder, "/files")]
    limits = {"header_timeout_ms": 1000, "idle_timeout_ms": 1500}
    it = Gate(described({"sites": [
        {"name": "lenient", "hosts": ["lenient"], "default": True, "number": 1, "rate_min": 100, "routes": routes, **limits},
        {"name": "strict", "hosts": ["strict"], "number": 2, "rate_min": 3000, "routes": routes, **limits}],
        "upstreams": [{**UPSTREAM, "timeout_ms": 30000, "servers": [backend.server]}]}))
    yield it
    assert it.end() == 0
    backend.end()


def drip(sock, piece, every, seconds):
    """Sends a piece every so many seconds; what came back by the end."""
    end, got = time.monotonic() + seconds, b""
    while time.monotonic() < end and not got:
        if piece:
            sock.sendall(piece)
        ready, _, _ = select.select([sock], [], [], every)
        if ready:
            got = sock.recv(65536)
    return got


@pytest.mark.parametrize("host,ended", [("lenient", False), ("strict", True)])
def test_body_of_the_sites_own_rate(slow_bed, host, ended):
    """1000 bytes a second, steadily: enough for one site, too slow for the other."""
    slow_bed.records()
    with slow_bed.connect() as sock:
        sock.sendall(request("/", "POST", host=host, Content_Length="4000"))
        got = drip(sock, b"x" * 100, 0.1, 3.5)
        if ended:
            assert got.startswith(b"HTTP/1.1 408 ")
        else:
            sock.sendall(b"x" * 4000)
            assert (got or sock.recv(65536)).startswith(b"HTTP/1.1 200 ")
    assert (slow_bed.records(1)[0]["close"] == "body_too_slow") == ended


def test_body_that_stops(slow_bed):
    with slow_bed.connect() as sock:
        began = time.monotonic()
        sock.sendall(request("/", "POST", host="lenient", Content_Length="4000") + b"x" * 3000)
        # Quick at first is no credit for later.
        assert drip(sock, b"", 0.2, 6).startswith(b"HTTP/1.1 408 ")
        assert 0.9 < time.monotonic() - began < 4


def read_slowly(gate, host, rate, seconds):
    """Takes `rate` bytes a second with a small window. True: the gate ended it."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.settimeout(8)
        sock.connect(("127.0.0.1", gate.port))
        sock.sendall(request("/files/large", host=host))
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                if not sock.recv(max(1, rate // 20)):
                    return True
                waiter.wait(0.05 if rate >= 20 else 1 / rate)
                # The gate ended it when the kernel says so, whatever still lies in the buffer.
                if struct.unpack("B", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0] != 1:
                    return True
        except ConnectionResetError:
            return True
    return False


waiter = threading.Event()


@pytest.mark.parametrize("host,rate,ended", [
    ("lenient", 1, True), ("strict", 1, True), ("strict", 400, True), ("strict", 40000, False), ("lenient", 4000, False)])
def test_answer_at_the_clients_rate(slow_bed, host, rate, ended):
    """One byte a second is ended by rule; slow and steady above the site's rate is served."""
    slow_bed.records()
    assert read_slowly(slow_bed, host, rate, 6) == ended
    close = slow_bed.records(1)[0]["close"]
    assert close == ("send_too_slow" if ended else "client_gone")


# Charges.

def test_a_body_that_is_mostly_framing(made, folder):  # noqa: F811
    """A connection that sends much and brings nothing is ended, whatever each request's own bound is."""
    gate = made(routes=[static(folder)])
    post = b"POST /a.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60000
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        answered = 0
        try:
            for _ in range(40):
                sock.sendall(post)
                Answer(reader)
                answered += 1
        except (EOFError, ConnectionResetError, BrokenPipeError):
            pass
        assert 15 <= answered <= 20


def test_many_requests_of_which_each_brings_something(made, folder):  # noqa: F811
    gate = made(routes=[static(folder)])
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        for _ in range(300):
            sock.sendall(b"POST /a.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n" + b"x" * 4000)
            assert Answer(reader).status == 405
        assert not is_closed(sock, reader)


# The whole program: several gates, one limit.

def test_one_rate_over_several_gates(stead, app_folder):
    """Whatever gate a connection comes to, also one that was started anew: the client's bucket is the same."""
    conf = "[Server]\nGates=3\n\n[Site]\nRoot=public\nRateLimit=6/h burst=20\n\n[Route /free]\nRateLimit=off\n"
    one = stead(app_folder({"public/index.html": "hello", "public/free/index.html": "free", "stead.conf": conf})).up()
    used = 20 - sum(http(one, "/").status == 200 for _ in range(40))
    # What asked whether the site is up may have taken a few.
    assert 0 <= used <= 3
    assert {http(one, "/").status for _ in range(10)} == {429}
    for pid in one.pids("gate"):
        os.kill(pid, signal.SIGKILL)
    wait_until("three gates", lambda: len(one.pids("gate")) == 3)
    assert {http(one, "/").status for _ in range(10)} == {429}
    assert {http(one, "/free/").status for _ in range(40)} == {200}
    assert "RateLimit" in one.cli("logs", "-n", "200")
