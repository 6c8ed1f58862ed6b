"""Which backend is asked, over what, and connections that are upgraded."""

import socket
import ssl
import subprocess
import threading
import time

from backendbed import answer, keep
from gatebed import Answer, request
from program import wait_until
from proxybed import bed, ask, break_idle, description, echo, get, lines_of  # noqa: F401 - a fixture


# Choosing.


def named(name):
    return lambda t: keep(t, answer(name))


def counts(gate, n, **fields):
    seen = {}
    for _ in range(n):
        body = get(gate, **fields).body
        seen[body] = seen.get(body, 0) + 1
    return seen


def test_round_robin_weights(bed):
    gate, a, b = bed([named(b"a"), named(b"b")])
    gate.snap(description([{**a.server, "weight": 3}, {**b.server, "weight": 1}]))
    assert counts(gate, 40) == {b"a": 30, b"b": 10}


def test_hash_keeps_a_client(bed):
    gate, *_ = bed([named(b"a"), named(b"b"), named(b"c")], balance="hash")
    assert len(counts(gate, 20)) == 1


def test_sticky(bed):
    gate, *servers = bed([named(b"a"), named(b"b"), named(b"c")], sticky="where")
    got = get(gate)
    cookie = got.fields["set-cookie"]
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax") and "127.0.0.1" not in cookie
    mine = cookie.split(";")[0]
    for _ in range(10):
        again = get(gate, Cookie=f"a=b; {mine}; c=d")
        assert again.body == got.body and "set-cookie" not in again.fields
    assert "set-cookie" in get(gate, Cookie="where=0123456789abcdef").fields


def test_probes(bed):
    well = threading.Event()

    def script(t):
        while (got := t.head()) is not None:
            if got[0].startswith("GET /health"):
                t.send(answer(b"", "200 OK" if well.is_set() else "503 No"))
            else:
                t.send(answer())
    gate, backend = bed(script, check="/health", check_ms=50, fail_max=1, queue_timeout_ms=5000)
    end = time.monotonic() + 5
    while backend.conns < 3 and time.monotonic() < end:
        time.sleep(0.01)
    timer = threading.Timer(0.3, well.set)
    timer.start()
    before = time.monotonic()
    assert get(gate).status == 200 and time.monotonic() - before > 0.1
    timer.join()


# Other transports.


def test_unix_socket(bed, tmp_path):
    gate, backend = bed(keep, path=tmp_path / "backend.sock")
    assert get(gate).body == b"hello" and get(gate).body == b"hello" and backend.conns == 1


def test_tls(bed, tmp_path, monkeypatch):
    # A gate ends without giving back what the kernel takes back faster.
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    key, cert = tmp_path / "key", tmp_path / "cert"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-keyout", key, "-out", cert, "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    resumed = []

    def script(t):
        resumed.append(t.sock.session_reused)
        while (got := t.head()) is not None:
            body = t.body(got[1])
            t.send(answer(body or b"x" * 300000))
            if got[0].startswith("GET /close"):
                return
    gate, backend = bed(script, wrap=lambda s: context.wrap_socket(s, server_side=True), tls=True)
    assert get(gate).body == b"x" * 300000 and get(gate).body == b"x" * 300000 and backend.conns == 1
    assert get(gate, "/close").status == 200
    end = time.monotonic() + 5
    while gate.counters()["stead_backend_connections_open"] and time.monotonic() < end:
        pass
    big = b"y" * 500000
    got = ask(gate, request("/", "POST", Content_Length=str(len(big))) + big)
    assert got.body == big
    assert resumed == [False, True]
    gate.snap(description([backend.server], tls=True, tls_verify=True, retry=0))
    break_idle(gate, backend)
    gate.snap(description([backend.server], tls=True, tls_verify=True, retry=0))
    assert get(gate).status == 502
    assert gate.records(5)[-1]["close"] == "up_tls"


# Upgrades.


def websocket(t):
    line, fields = t.head()
    fields = dict(fields)
    assert fields["connection"] == "upgrade" and fields["upgrade"] == "websocket"
    t.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: b\r\n\r\nearly")
    while data := t.sock.recv(65536):
        t.send(data.upper())
    t.send(b"bye")


def upgrade(gate):
    sock = gate.connect()
    sock.sendall(request(Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Key="x"))
    reader = sock.makefile("rb")
    got = Answer(reader)
    assert got.status == 101 and got.fields["connection"] == "upgrade" and got.fields["upgrade"] == "websocket"
    assert got.fields["x-a"] == "b" and reader.read(5) == b"early"
    return sock, reader


def test_tunnel(bed):
    gate, backend = bed(websocket)
    sock, reader = upgrade(gate)
    for i in range(20):
        sock.sendall(b"abc%d" % i)
        assert reader.read(len(b"abc%d" % i)) == b"ABC%d" % i
        gate.snap(description([backend.server]))
    sock.shutdown(socket.SHUT_WR)
    assert reader.read() == b"bye"
    sock.close()
    record = gate.records(1)[0]
    assert record["status"] == 101 and record["close"] == "done"


def test_tunnel_backend_ends_first(bed):
    heard = []

    def script(t):
        t.head()
        t.send(b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi")
        t.sock.shutdown(socket.SHUT_WR)
        heard.append(t.reader.read())
        done.set()
    done = threading.Event()
    gate, _ = bed(script)
    with gate.connect() as sock:
        sock.sendall(request(Connection="upgrade", Upgrade="x"))
        assert sock.makefile("rb").read().endswith(b"\r\n\r\nhi")
        sock.sendall(b"still here")
    assert done.wait(5) and heard == [b"still here"]


def test_tunnel_idle(bed):
    gate, _ = bed(websocket)
    sock, reader = upgrade(gate)
    before = time.monotonic()
    assert reader.read() == b"" and 1 < time.monotonic() - before < 6
    assert gate.records(1)[0]["close"] == "tunnel_idle"


def test_tunnel_bulk(bed):
    gate, _ = bed(websocket)
    sock, reader = upgrade(gate)
    data = b"abcdefgh" * (1 << 20)

    def write():
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    writer = threading.Thread(target=write)
    writer.start()
    assert reader.read() == data.upper() + b"bye"
    writer.join()


def test_no_upgrade(bed):
    gate, _ = bed(echo)
    for fields in ({"Upgrade": "websocket"}, {"Upgrade": "h2c", "Connection": "upgrade"},
                   {"Upgrade": "websocket", "Connection": "upgrade", "version": "HTTP/1.0"}):
        _, told, _ = lines_of(get(gate, **fields))
        assert not [f for f in told if f.startswith("upgrade")]


def snapshots(gate):
    """How many snapshots the gate has mapped."""
    with open(f"/proc/{gate.pid}/maps", encoding="ascii") as maps:
        return sum("/memfd:stead-sites" in line for line in maps)


def switching(talk):
    """101, then an echo; what is for /slow never gets an answer."""
    line, _ = talk.head()
    if " /slow " in line:
        talk.reader.read(1)
        return
    talk.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
    while data := talk.sock.recv(100):
        talk.send(data)


class Tunnel:
    def __init__(self, gate):
        self.sock = gate.connect()
        self.reader = self.sock.makefile("rb")
        self.sock.sendall(request("/up", Connection="upgrade", Upgrade="echo"))
        assert Answer(self.reader).status == 101

    def echoes(self, data=b"hello"):
        self.sock.sendall(data)
        assert self.reader.read(len(data)) == data
        return True

    def ended(self):
        try:
            return self.reader.read(1) == b""
        except ConnectionResetError:
            return True


def test_a_tunnel_holds_no_snapshot(bed):
    """It outlives reloads, and its record has the names that were its own when it began."""
    gate, backend = bed(switching)
    once = snapshots(gate)
    assert once >= 1
    tunnel = Tunnel(gate)
    for name in ("b", "c"):
        what = description([backend.server])
        what["sites"][0]["name"], what["upstreams"][0]["name"] = name, f"u{name}"
        what["sites"][0]["routes"][0]["upstream"] = f"u{name}"
        gate.snap(what)
        assert tunnel.echoes()
    assert snapshots(gate) == once
    tunnel.sock.close()
    record = gate.records(1)[0]
    assert (record["site"], record["upstream"], record["status"]) == ("a", "u", 101)


def test_a_gate_that_leaves(bed):
    """Requests have one time and tunnels another; both can be cut short, and then it is gone."""
    gate, _ = bed(switching)
    tunnel = Tunnel(gate)
    with gate.connect() as slow:
        slow.sendall(request("/slow"))
        wait_until("it to be asked", lambda: gate.counters()["stead_requests_active"] == 2)
        gate.say("stop 300 600000")
        assert slow.makefile("rb").read() == b""
    assert {r["close"] for r in gate.records(1)} == {"drained"}
    assert tunnel.echoes() and gate.process.poll() is None
    gate.say("stop 600000 600000")  # never later than was said before
    gate.say("stop 0 0")
    assert tunnel.ended()


def test_the_time_of_tunnels_ends(bed):
    gate, _ = bed(switching)
    tunnel = Tunnel(gate)
    gate.say("stop 100 700")
    assert tunnel.echoes() and tunnel.ended()
