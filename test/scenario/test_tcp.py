"""[Tcp]: connections passed on as they are, with the real program, real servers and real clients."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import program
import tcpbed
from program import free_port, wait_until
from tcpbed import Server, all_of, connect, echo, exactly, named


@pytest.fixture
def servers():
    made = []

    def make(script=echo, **options):
        made.append(Server(script, **options))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture
def site(stead, app_folder):
    def make(tcp, **options):
        return stead(app_folder({"public/index.html": "home", "stead.conf": tcpbed.conf(tcp, **options)})).up()
    return make


def section(port, *servers, name="echo", more=""):
    lines = "".join(f"Server=127.0.0.1:{s.port if isinstance(s, Server) else s}\n" for s in servers)
    return f"[Tcp {name}]\nListen=127.0.0.1:{port}\n{lines}{more}"


# --- bytes ---

@pytest.mark.smoke
def test_bytes_pass_both_ways(site, servers):
    port = free_port()
    one = site(section(port, servers()))
    with connect(port) as c:
        for size in (1, 100, 20000):
            c.sendall(b"x" * size)
            assert exactly(c, size) == b"x" * size
    record, = tcpbed.closes(one, "echo", 1)
    assert (record["bytes_in"], record["bytes_out"], record["close"], record["tries"]) == (20101, 20101, "tcp_end", 1)
    assert record["client"] == "127.0.0.1" and record["server"].startswith("127.0.0.1:") and record["level"] == "info"
    assert "tcp echo  to 127.0.0.1:" in one.cli("logs", "-n", "20")


def test_100_mb_each_way(site, servers):
    port, size, seen = free_port(), 100 << 20, {}

    def script(sock):
        thread = threading.Thread(target=lambda: seen.update(got=tcpbed.drain(sock)))
        thread.start()
        seen["sent"] = tcpbed.pump(sock, size, b"server")
        sock.shutdown(socket.SHUT_WR)
        thread.join()
        sock.close()
    one = site(section(port, servers(script)))
    got = {}
    with connect(port) as c:
        reader = threading.Thread(target=lambda: got.update(got=tcpbed.drain(c)))
        reader.start()
        sent = tcpbed.pump(c, size, b"client")
        c.shutdown(socket.SHUT_WR)
        reader.join(program.TIMEOUT * 4)
    assert got["got"] == (size, seen["sent"])
    wait_until("the server to have it all", lambda: "got" in seen)
    assert seen["got"] == (size, sent)
    record, = tcpbed.closes(one, "echo", 1)
    assert (record["bytes_in"], record["bytes_out"], record["close"]) == (size, size, "tcp_end")


def test_half_close_both_directions(site, servers):
    port = free_port()
    said = []

    def answers_at_the_end(sock):
        said.append(all_of(sock))
        sock.sendall(b"answer to " + said[-1])
        sock.close()

    def ends_first(sock):
        sock.sendall(b"all of mine")
        sock.shutdown(socket.SHUT_WR)
        said.append(all_of(sock))
        sock.close()
    other = free_port()
    one = site(section(port, servers(answers_at_the_end)) + section(other, servers(ends_first), name="first"))
    with connect(port) as c:
        c.sendall(b"question")
        c.shutdown(socket.SHUT_WR)
        assert all_of(c) == b"answer to question"
    with connect(other) as c:
        assert all_of(c) == b"all of mine"
        c.sendall(b"still heard")
        c.shutdown(socket.SHUT_WR)
    wait_until("the late words", lambda: said == [b"question", b"still heard"])
    assert {r["close"] for r in tcpbed.closes(one, "first", 1) + tcpbed.closes(one, "echo", 1)} == {"tcp_end"}


def test_half_close_with_netcat(site, servers):
    """nc -N ends its side with its input and waits for the answer."""
    port = free_port()

    def script(sock):
        data = all_of(sock)
        sock.sendall(data[::-1])
        sock.close()
    site(section(port, servers(script)))
    got = subprocess.run(["nc", "-N", "127.0.0.1", str(port)], input=b"abc" * 50000, stdout=subprocess.PIPE,
                         timeout=program.TIMEOUT, check=True)
    assert got.stdout == (b"abc" * 50000)[::-1]


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_is_passed_on(site, servers, who):
    port, ends, seen = free_port(), threading.Event(), []

    def script(sock):
        sock.sendall(b"hello")
        if who == "server":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            ends.wait(program.TIMEOUT)
            sock.close()
            return
        try:
            seen.append(sock.recv(10))
        except ConnectionResetError:
            seen.append("reset")
    one = site(section(port, servers(script)))
    c = connect(port)
    assert exactly(c, 5) == b"hello"
    if who == "server":
        ends.set()
        with pytest.raises(ConnectionResetError):
            c.recv(10)
    else:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()
    if who == "client":
        wait_until("the server to hear it", lambda: seen)
        assert seen == ["reset"]
    record, = tcpbed.closes(one, "echo", 1)
    assert record["close"] == f"tcp_{who}_broke"


def test_a_slow_reader_holds_the_sender_back(site, servers):
    """The gate's memory stays where it is while 40 clients do not read what a server sends without end."""
    port, stop = free_port(), threading.Event()
    sent = []

    def floods(sock):
        mine = [0]
        sent.append(mine)
        while not stop.is_set():
            mine[0] += sock.send(b"z" * 65536)
    one = site(section(port, servers(floods)))
    gate = one.pid("gate")
    before = tcpbed.pss(gate)
    clients = []
    for _ in range(40):
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.connect(("127.0.0.1", port))
        clients.append(c)
    wait_until("all to flow", lambda: len(sent) == 40)

    def stands():
        was = sum(m[0] for m in sent)
        time.sleep(0.3)
        return was > 0 and sum(m[0] for m in sent) == was
    wait_until("the servers to be held back", stands)
    grown = tcpbed.pss(gate) - before
    stop.set()
    for c in clients:
        c.close()
    assert grown < 40 * 20 * 1024 + 1024 * 1024, grown  # of pages shared with other tests' gates a part becomes its own


# --- servers that fail ---

def test_the_next_server_is_asked(site, servers):
    """A server that refuses is passed over without the client noticing, and comes back by itself."""
    port, gone = free_port(), free_port()
    one = site(section(port, gone, servers(named(b"B"))))
    for _ in range(6):
        with connect(port) as c:
            assert exactly(c, 1) == b"B"
    tries = [r["tries"] for r in tcpbed.closes(one, "echo", 6)]
    assert 2 in tries and set(tries) <= {1, 2}
    seen = dict(line.rsplit(" ", 1) for line in one.cli("metrics").splitlines() if line[:1] not in ("#", ""))
    faults = [int(v) for k, v in seen.items() if k.startswith("stead_upstream_faults_total") and "tcp/echo" in k]
    active = [int(v) for k, v in seen.items() if k.startswith("stead_upstream_requests_active") and "tcp/echo" in k]
    assert sum(faults) >= 1 and sum(active) == 0, seen
    servers(named(b"A"), port=gone)

    def back():
        with connect(port) as c:
            return exactly(c, 1) == b"A"
    wait_until("the first to be used again", back)


def test_a_server_killed_with_its_connections(site, servers):
    port = free_port()
    first, second = servers(named(b"A")), servers(named(b"B"))
    site(section(port, first, second))
    socks = [connect(port) for _ in range(8)]
    names = [exactly(c, 1) for c in socks]
    assert sorted(names) == [b"A"] * 4 + [b"B"] * 4
    first.stop()
    for c, name in zip(socks, names):
        if name == b"A":
            try:
                assert c.recv(1) == b""
            except ConnectionResetError:
                pass
        else:
            c.sendall(b"here")
            assert exactly(c, 4) == b"here"
    for _ in range(8):
        with connect(port) as c:
            assert exactly(c, 1) == b"B"
    for c in socks:
        c.close()


def test_all_down_then_back_by_a_check(site, servers):
    port, gone = free_port(), free_port()
    one = site(section(port, gone, more="Check=connect\nCheckSec=100ms\nFailMax=2\n"))
    for _ in range(3):
        began = time.monotonic()
        with connect(port) as c:
            try:
                assert c.recv(1) == b""
            except ConnectionResetError:
                pass
        assert time.monotonic() - began < 10
    down, = tcpbed.events(one, "TCP_DOWN")
    assert down["tcp"] == "tcp/echo" and down["level"] == "error" and down["todo"]
    servers(named(b"A"), port=gone)
    tcpbed.events(one, "TCP_BACK")
    with connect(port) as c:
        assert exactly(c, 1) == b"A"
    reasons = {r["close"] for r in tcpbed.closes(one, "echo", 3)}
    assert reasons & {"up_connect", "up_none"}


def test_a_server_that_does_not_take_connections(site, servers):
    """Its queue is full, so SYNs go unanswered: after ConnectTimeoutSec= the next one is asked."""
    deaf = socket.socket()
    deaf.bind(("127.0.0.1", 0))
    deaf.listen(0)
    fillers = []
    for _ in range(4):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(deaf.getsockname())
        fillers.append(s)
    port = free_port()
    one = site(section(port, deaf.getsockname()[1], servers(named(b"B")), more="ConnectTimeoutSec=300ms\n"))
    for _ in range(2):
        with connect(port) as c:
            assert exactly(c, 1) == b"B"
    assert max(r["connect_ms"] for r in tcpbed.closes(one, "echo", 2)) >= 290
    for s in [deaf, *fillers]:
        s.close()


def test_idle_connections_end(site, servers):
    port = free_port()
    one = site(section(port, servers(), more="IdleTimeoutSec=500ms\n"))
    with connect(port) as c:
        for _ in range(4):
            c.sendall(b"x")
            assert exactly(c, 1) == b"x"
            time.sleep(0.2)
        assert c.recv(1) == b""
    assert tcpbed.closes(one, "echo", 1)[0]["close"] == "tcp_idle"


def test_balance(site, servers):
    three = [servers(named(n)) for n in (b"A", b"B", b"C")]
    turn, least, hashed = free_port(), free_port(), free_port()
    lines = "".join(f"Server=127.0.0.1:{s.port} weight={w}\n" for s, w in zip(three, (2, 1, 1)))
    site(f"[Tcp turn]\nListen=127.0.0.1:{turn}\n{lines}" + section(least, *three, name="least", more="Balance=least\n")
         + section(hashed, *three, name="hash", more="Balance=hash\n"))

    def names(port, n):
        socks = [connect(port) for _ in range(n)]
        got = b"".join(sorted(exactly(c, 1) for c in socks))
        for c in socks:
            c.close()
        return got
    assert names(turn, 8) == b"AAAABBCC"
    assert names(least, 6) == b"AABBCC"
    assert len(set(names(hashed, 1) for _ in range(5))) == 1


def test_unix_socket(site, servers, work):
    path = work / "echo.sock"
    servers(path=path)
    program.give(work)
    port = free_port()
    site(f"[Tcp echo]\nListen=127.0.0.1:{port}\nServer=unix:{path}\n")
    with connect(port) as c:
        c.sendall(b"over a socket")
        assert exactly(c, 13) == b"over a socket"


def test_a_name_is_looked_up(site, servers):
    port = free_port()
    site(f"[Tcp echo]\nListen=127.0.0.1:{port}\nServer=localhost:{servers().port}\n")
    with connect(port) as c:
        c.sendall(b"x")
        assert exactly(c, 1) == b"x"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_servers_are_told_the_client(site, servers, version):
    port, seen = free_port(), []

    def script(sock):
        seen.append(all_of(sock))
        sock.close()
    site(section(port, servers(script), more=f"SendProxy={version}\n"))
    with connect(port) as c:
        source = c.getsockname()[1]
        c.sendall(b"GET")
        c.shutdown(socket.SHUT_WR)
        all_of(c)
    if version == "v1":
        assert seen == [f"PROXY TCP4 127.0.0.1 127.0.0.1 {source} {port}\r\nGET".encode()]
    else:
        assert seen == [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + b"\x7f\0\0\1" * 2 + struct.pack(">HH", source, port)
                        + b"GET"]


# --- configuration ---

def test_a_port_in_use(site, stead, app_folder, servers):
    taken = servers().port
    one = stead(app_folder({"public/index.html": "x", "stead.conf": tcpbed.conf(section(taken, 1))}))
    out = one.fails(1)
    assert f"stead.conf:6:8: [Tcp echo] cannot listen on 127.0.0.1:{taken}: Address already in use." in out
    assert "ss -ltnp" in out


def test_the_address_of_the_site_is_not_taken(stead, app_folder):
    """Also when it came with --http, which no check of the file sees."""
    one = stead(app_folder({"public/index.html": "x"}))
    (one.folder / "stead.conf").write_text(tcpbed.conf(section(one.port, 1)))
    out = one.fails(2)
    assert f"[Tcp echo] cannot listen on 127.0.0.1:{one.port}: the site is answered there." in out
    (one.folder / "stead.conf").write_text(tcpbed.conf(""))
    one.up()
    (one.folder / "stead.conf").write_text(tcpbed.conf(section(one.port, 1)))
    assert "the site is answered there" in one.cli("reload", code=2)
    with connect(one.port) as c:
        c.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 200 OK" in all_of(c)


def test_a_reload_that_cannot_bind_changes_nothing(site, servers):
    port, fresh, taken = free_port(), free_port(), servers().port
    target = servers(named(b"A"))
    one = site(section(port, target))
    tcpbed.rewrite(one, tcpbed.conf(section(port, target) + section(fresh, target, name="new")
                                    + section(taken, target, name="taken")))
    out = one.cli("reload", code=1)
    assert f"[Tcp taken] cannot listen on 127.0.0.1:{taken}" in out
    with connect(port) as c:
        assert exactly(c, 1) == b"A"
    with pytest.raises(ConnectionRefusedError):
        connect(fresh)


@pytest.mark.parametrize("text,line,words", [
    ("[Tcp a]\nServer=127.0.0.1:1\n", 6, "has no address to listen on"),
    ("[Tcp a]\nListen=127.0.0.1:2\n", 6, "has no server"),
    ("[Tcp a]\nListen=127.0.0.1:0\nServer=127.0.0.1:1\n", 6, "needs a port of its own"),
    ("[Tcp a]\nListen=127.0.0.1:2\nServer=http://127.0.0.1:1\n", 7, "knows no URL"),
    ("[Tcp a]\nListen=127.0.0.1:2\nServer=127.0.0.1\n", 7, "the port is missing"),
    ("[Tcp a]\nListen=127.0.0.1:2\nServer=a:1\n[Tcp b]\nListen=127.0.0.1:2\nServer=a:1\n", 9, "is there twice"),
    ("[Tcp a]\nListen=127.0.0.1:8080\nServer=a:1\n[Server]\nListen=127.0.0.1:8080\n", 6, "address of [Server]"),
    ("[Tcp a b]\n", 5, "is not a name"),
    ("[Tcp a]\nListen=127.0.0.1:2\nServer=a:1\nBalance=fair\n", 8, "roundrobin"),
])
def test_what_is_wrong_is_said_with_its_place(stead, app_folder, text, line, words):
    one = stead(app_folder({"public/index.html": "x", "stead.conf": tcpbed.conf(text)}))
    out = one.cli("check", str(one.folder), code=2, state=False)
    assert f"stead.conf:{line}:" in out and words in out


def test_a_reload_opens_and_closes(site, servers):
    """A removed [Tcp] closes its port at once; its connections live on until they end."""
    first, second, third = free_port(), free_port(), free_port()
    target = servers(named(b"A"))
    one = site(section(first, target, name="a") + section(second, target, name="b"))
    gate = one.pid("gate")
    old = connect(second)
    assert exactly(old, 1) == b"A"
    tcpbed.rewrite(one, tcpbed.conf(section(first, target, name="a") + section(third, target, name="c")))
    one.cli("reload")
    for port in (first, third):
        with connect(port) as c:
            assert exactly(c, 1) == b"A"

    def closed():
        try:
            connect(second).close()
        except ConnectionRefusedError:
            return True
    wait_until("the port to be closed", closed)
    old.sendall(b"lives on")
    assert exactly(old, 8) == b"lives on"
    tcpbed.rewrite(one, tcpbed.conf(section(first, servers(named(b"Z")), name="a")))
    one.cli("reload")
    with connect(first) as c:
        assert exactly(c, 1) == b"Z"
    old.sendall(b"still")
    assert exactly(old, 5) == b"still"
    old.close()
    assert tcpbed.closes(one, "b", 1)[0]["bytes_out"] == 14
    assert one.pid("gate") == gate


def test_it_survives_its_control_process(site, servers):
    port, later = free_port(), free_port()
    target = servers(named(b"A"))
    one = site(section(port, target))
    one.kill_and_wait("ctl")
    with connect(port) as c:
        assert exactly(c, 1) == b"A"
    tcpbed.rewrite(one, tcpbed.conf(section(later, target)))
    wait_until("ctl to answer", lambda: "live" in one.cli("status", code=None))
    one.cli("reload")
    with connect(later) as c:
        assert exactly(c, 1) == b"A"
    wait_until("the old port to be closed", lambda: socket.socket().connect_ex(("127.0.0.1", port)))


def test_a_new_gate_goes_on(site, servers):
    port = free_port()
    one = site(section(port, servers(named(b"A"))))
    one.kill("gate", signal.SIGKILL)
    with connect(port) as c:
        assert exactly(c, 1) == b"A"


def test_stop_ends_open_connections(site, servers):
    """Connections that would never end by themselves do not hold a stop up beyond its limit; they are told."""
    port = free_port()
    one = site(section(port, servers(named(b"A"))))
    c = connect(port)
    assert exactly(c, 1) == b"A"
    began = time.monotonic()
    one.stop()
    assert time.monotonic() - began < 15
    assert c.recv(1) == b""
    assert '"close":"drained"' in one.log_tail()
    c.close()


# --- many ---

@pytest.mark.promise
def test_idle_connections_are_small(site, servers, promise):
    port, n = free_port(), 2000
    one = site(section(port, servers(lambda sock: sock.sendall(b"+") or sock.recv(1))))
    gate = one.pid("gate")
    warm = [connect(port) for _ in range(20)]
    for c in warm:
        exactly(c, 1)
    before = tcpbed.pss(gate)
    socks = [connect(port) for _ in range(n)]
    for c in socks:
        exactly(c, 1)
    each = (tcpbed.pss(gate) - before) / n
    promise("2,000 idle [Tcp] connections", f"{each:.0f} bytes of PSS each in the gate (bound 1024)")
    for c in warm + socks:
        c.close()
    assert each <= 1024
    assert one.pid("gate") == gate


def test_20_reloads_at_load(site, servers):
    """New and standing connections, all the time, over 20 reloads: none is broken."""
    port, stop = free_port(), threading.Event()
    target = servers()
    one = site(section(port, target))
    done, wrong = [0, 0], []

    def short():
        try:
            while not stop.is_set():
                with connect(port) as c:
                    c.sendall(b"ping" * 100)
                    exactly(c, 400)
                done[0] += 1
        except Exception as e:  # noqa: BLE001 - told below
            wrong.append(repr(e))

    def standing():
        try:
            with connect(port) as c:
                while not stop.is_set():
                    c.sendall(b"ping" * 1000)
                    exactly(c, 4000)
                    done[1] += 1
        except Exception as e:  # noqa: BLE001 - told below
            wrong.append(repr(e))
    threads = [threading.Thread(target=t) for t in [short] * 3 + [standing] * 3]
    for t in threads:
        t.start()
    for i in range(20):
        tcpbed.rewrite(one, tcpbed.conf(section(port, target, more=f"IdleTimeoutSec={i + 60}\n")))
        one.cli("reload")
    stop.set()
    for t in threads:
        t.join(program.TIMEOUT)
    assert not wrong, wrong[:5]
    assert done[0] > 100 and done[1] > 100


# --- other people's servers and clients ---

def test_redis_with_a_pipeline(site, work):
    port, backend = free_port(), free_port()
    redis = subprocess.Popen(["redis-server", "--port", str(backend), "--bind", "127.0.0.1", "--save", "", "--dir",
                              str(work)], stdout=subprocess.DEVNULL)
    try:
        site(section(port, backend, name="redis", more="Check=connect\nCheckSec=100ms\n"))

        def pong():
            got = subprocess.run(["redis-cli", "-p", str(port), "ping"], stdout=subprocess.PIPE, text=True,
                                 stderr=subprocess.STDOUT, timeout=program.TIMEOUT)
            return got.stdout == "PONG\n"
        wait_until("redis", pong)
        lines = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\nk%d\r\n$5\r\nvalue\r\n" % (len(str(i)) + 1, i)
                         for i in range(20000))
        got = subprocess.run(["redis-cli", "-p", str(port), "--pipe"], input=lines, stdout=subprocess.PIPE,
                             timeout=program.TIMEOUT, check=True)
        assert b"errors: 0, replies: 20000" in got.stdout
        bench = subprocess.run(["redis-benchmark", "-p", str(port), "-t", "get,set", "-n", "20000", "-P", "16", "-q"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=program.TIMEOUT * 4)
        assert bench.returncode == 0 and b"requests per second" in bench.stdout, bench.stdout
    finally:
        redis.terminate()
        redis.wait(program.TIMEOUT)


def pg_programs():
    folders = sorted(program.pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


@pytest.mark.skipif(not pg_programs(), reason="no PostgreSQL here")
def test_postgresql_with_psql_and_pgbench(site, work):
    programs, data, backend, port = pg_programs(), work / "pg", free_port(), free_port()
    who = program.unprivileged()
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(work)}

    def run(*command, **options):
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=program.TIMEOUT * 4, env=environment, cwd=work, **options).stdout
    run(programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", **who)
    server = subprocess.Popen([programs / "postgres", "-D", data, "-p", str(backend), "-k", str(work), "-F"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd=work, **who)
    try:
        site(section(port, backend, name="pg"))
        client = ("-h", "127.0.0.1", "-p", str(port), "-U", "postgres")
        psql = shutil.which("psql")

        def there():
            return subprocess.run([psql, *client, "-c", "select 1"], stdout=subprocess.DEVNULL, env=environment,
                                  stderr=subprocess.DEVNULL, timeout=program.TIMEOUT).returncode == 0
        wait_until("PostgreSQL", there)
        assert run(psql, *client, "-Atc", "select sum(i) from generate_series(1, 1000) i").strip() == "500500"
        assert len(run(psql, *client, "-Atc", "select repeat('x', 5000000)")) == 5000001
        pgbench = shutil.which("pgbench") or str(programs / "pgbench")
        run(pgbench, *client, "-i", "-q", "-s", "1", "postgres")
        out = run(pgbench, *client, "-n", "-c", "8", "-j", "2", "-t", "100", "postgres")
        assert "number of transactions actually processed: 800/800" in out
        out = run(pgbench, *client, "-n", "-C", "-S", "-c", "4", "-t", "25", "postgres")
        assert "number of transactions actually processed: 100/100" in out
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(program.TIMEOUT)
