"""Reload at full load, gates that go and gates that are killed: what of many requests failed, new and reused
connections apart (test/load/load.c). Each request asks for a token of its own, so that an answer to another is seen.

STEAD_LOAD_REQUESTS and STEAD_LOAD_RELOADS: 50000 and 10; `make promises` takes a million and 50.
"""

import os
import re
import shutil
import signal
import subprocess

import pytest

from client import Client
from loadgen import LoadGen, told
from long_lives import Lives, backend
from program import free_port, give, wait_until

REQUESTS = int(os.environ.get("STEAD_LOAD_REQUESTS", "50000"))
RELOADS = int(os.environ.get("STEAD_LOAD_RELOADS", "10"))
SEC = 60 + REQUESTS // 500
FEWER = min(REQUESTS // 2, 200000)  # where gates come and go
FILES = 200
NEW = 8
APP = '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"app " + environ["QUERY_STRING"].encode() + b"\\n"]
'''
NGINX = """worker_processes 1; daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 4096; }
http { access_log off; client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f;
uwsgi_temp_path DIR/u; scgi_temp_path DIR/s; default_type text/plain; keepalive_requests 1000; BOTH }"""
SERVER = 'server { listen 127.0.0.1:%d backlog=4096; add_header X-Server %s; location / { return 200 "proxy $args\\n"; } }'
GETS = ["4:file:/files/%n.txt", "2:app:/app?%u", "4:proxy:/proxy?%u"]

pytestmark = [pytest.mark.timeout(SEC * 2 + 120),
              pytest.mark.skipif(not shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), reason="no nginx here")]


@pytest.fixture
def nginx(tmp_path):
    """Two servers behind stead, each with a name in its answers: their ports."""
    ports = free_port(), free_port()
    both = " ".join(SERVER % (port, name) for port, name in zip(ports, "ab"))
    (tmp_path / "conf").write_text(NGINX.replace("BOTH", both).replace("DIR", str(tmp_path)))
    process = subprocess.Popen(["nginx", "-c", str(tmp_path / "conf"), "-p", str(tmp_path)],
                               env={"PATH": os.environ["PATH"] + ":/usr/sbin"}, stderr=subprocess.DEVNULL)

    def there():
        assert process.poll() is None, (tmp_path / "error.log").read_text()
        try:
            with Client(ports[1]) as client:
                return client.ask("/?1").text == "proxy 1\n"
        except OSError:
            return False
    wait_until("nginx", there)
    yield ports
    process.terminate()
    process.wait(10)


@pytest.fixture
def lasting():
    it = backend()
    yield it
    it.end()


class Bed:
    """A site of files, an app, a backend behind a proxy and long-lived connections; its configuration changes."""

    def __init__(self, stead, app_folder, nginx, lasting):
        self.nginx, self.lasting, self.generation, self.gates = nginx, lasting, 0, 2
        files = {f"files/{n:03}.txt": f"file {n:03}\n" + "x" * (n * 37 % 4000) for n in range(FILES)}
        self.folder = app_folder({"app.py": APP, **files})
        self.write()
        self.one = stead(self.folder).up()
        wait_until("both gates", lambda: len(self.one.pids("gate")) == self.gates)

    @property
    def server(self):
        return self.generation % 2

    def write(self):
        n = self.generation
        routes = "".join(f"[Route /more/{i}]\nRedirect=302 /more/{i} /to/{n}\n" for i in range(n % 7))
        (self.folder / "stead.conf").write_text(
            f"[Site]\nIdleTimeoutSec=10min\nStatic=/files files\nHeader=set X-Generation {n}\nRedirect=302 /where /at/{n}\n"
            f"[Python]\nWorkers=2\n[Server]\nGates={self.gates}\n"
            f"[Route /proxy]\nTo=u\n[Upstream u]\nServer=http://127.0.0.1:{self.nginx[self.server]}\n"
            f"[Route /lasting]\nBodyBuffer=no\nBodyMax=1G\nTo=http://{self.lasting.server['address']}\n{routes}")
        give(self.folder)

    def reload(self, gates=None):
        """Another configuration: other routes, another server behind the proxy."""
        self.generation += 1
        self.gates = gates or self.gates
        self.write()
        self.one.cli("reload", timeout=120)

    def is_new(self, client):
        """A connection from before reads the configuration of now."""
        where, file, proxied = client.ask("/where"), client.ask("/files/007.txt"), client.ask("/proxy?1")
        assert (where["Location"] or "").endswith(f"/at/{self.generation}"), where
        assert file["X-Generation"] == str(self.generation) and file.text.startswith("file 007\n"), file
        assert (proxied["X-Server"], proxied.text) == ("ab"[self.server], "proxy 1\n"), proxied

    def load(self, requests, steps, **manners):
        return LoadGen(self.one.port, GETS, requests, SEC, steps=steps, files=FILES, **manners)


@pytest.fixture
def bed(stead, app_folder, nginx, lasting):
    return Bed(stead, app_folder, nginx, lasting)


@pytest.mark.promise
def test_reload_at_full_load(bed, promise):
    """Nothing fails, nothing is closed, nothing is restarted; connections from before have the new configuration."""
    one = bed.one
    pids = {role: one.pids(role) for role in ("parent", "gate", "ctl", "log", "worker")}
    lives = Lives(one.port, "/lasting")
    with Client(one.port) as kept, bed.load(REQUESTS, RELOADS + 1, kept=48, thinks=16, new=16) as load:
        for _ in range(RELOADS):
            load.step()
            bed.reload()
            bed.is_new(kept)
        seen = load.done()
    wrong = lives.end()
    assert not load.faults and seen["new"]["failed"] == seen["reused"]["failed"] == 0, (seen, load.faults[:20])
    assert seen["closed_idle"] == 0 and seen["closed_told"] == 0, seen
    assert seen["new"]["ok"] > REQUESTS // 100 and seen["new"]["ok"] + seen["reused"]["ok"] >= REQUESTS, seen
    assert not wrong, wrong
    assert lives.echoed > 100 and lives.moved["up"] > 10, (lives.echoed, lives.moved)
    assert {role: one.pids(role) for role in pids} == pids
    promise("reload: new connections", f"{seen['new']['failed']} of {seen['new']['ok']} failed over {RELOADS} reloads (goal: 0)")
    promise("reload: reused connections", f"{seen['reused']['failed']} of {seen['reused']['ok']} failed, "
            f"{len(lives.sockets)} WebSockets ({lives.echoed} frames) and 2 transfers untouched, 0 restarted (goal: 0)")


@pytest.mark.promise
def test_gates_go_and_come_at_load(bed, promise):
    """Gates= 2, 1, 2, 1, 2: who reuses a connection of a gate that goes is answered, and told to close by that answer."""
    first = next(p["pid"] for p in bed.one.status()["processes"] if (p["role"], p["index"]) == ("gate", 0))
    os.kill(first, signal.SIGSTOP)  # so that all connections are at first those of the gate that goes
    try:
        load = bed.load(FEWER, 5, kept=32, thinks=64, new=16, pause_ms=400, renew=1000)
        load.step()
    finally:
        os.kill(first, signal.SIGCONT)
    with load:
        for gates in (1, 2, 1, 2):
            bed.reload(gates)
            wait_until(f"{gates} gates", lambda: len(bed.one.pids("gate")) == bed.gates)
            load.step()
        seen = load.done()
    assert not load.faults and seen["new"]["failed"] == seen["reused"]["failed"] == 0, (seen, load.faults[:20])
    assert seen["closed_told"] >= 32 + 64, seen
    promise("a gate drained by reload", f"{told(seen)}; {seen['closed_told']} told to close, "
            f"{seen['closed_idle']} closed idle (goal: 0 failed)")


def sockets_of(pid):
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def ports_by(pids, port):
    """{pid: (the ports of the kept connections (load.c has them at 127.0.0.1) that this process holds, how many
    connections it holds in all)}."""
    inodes = {pid: sockets_of(pid) for pid in pids}
    # Not /proc/net/tcp: it has a line for each of some ten thousand connections that are over.
    rows = subprocess.run(["ss", "-tnHe", "state", "established", f"( sport = :{port} )"], stdout=subprocess.PIPE,
                          text=True, check=True).stdout
    found = {}
    for pid in pids:
        own = [(address, int(peer)) for address, peer, inode in re.findall(r":\d+ +(\S+):(\d+) .*\bino:(\d+)", rows)
               if inode in inodes[pid]]
        found[pid] = {peer for address, peer in own if address == "127.0.0.1"}, len(own)
    return found


def held_by(gates, load, port):
    """{pid: ports that wait for an answer of it}, once the connections are spread over the gates."""
    asked = load.asked()
    held = {pid: ports & asked for pid, (ports, _) in ports_by(gates, port).items()}
    return held if min(map(len, held.values())) >= 16 else None


def stop(pid):
    """Until it goes on it neither takes a connection nor ends one."""
    os.kill(pid, signal.SIGSTOP)
    wait_until("it to stand", lambda: open(f"/proc/{pid}/stat", encoding="ascii").read().rpartition(")")[2].split()[0] == "T")


@pytest.mark.promise
@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees whose connections they are")
def test_a_gate_killed_at_load(bed, promise):
    """kill -9, eight times: whatever fails was under way in that gate, one request for each of the connections that it
    held. They are counted while it is stopped, at the kill."""
    kills, failed, at_most, others, spared = 8, 0, 0, 0, 0
    with bed.load(FEWER, kills + 1, kept=64, new=NEW, renew=100) as load:
        for _ in range(kills):
            load.step()
            gates = wait_until("both gates", lambda: len(bed.one.pids("gate")) == 2 and bed.one.pids("gate"))
            before = len(load.faults)
            held = wait_until("connections at both", lambda: held_by(gates, load, bed.one.port))
            stop(gates[0])
            _, under_way = ports_by(gates[:1], bed.one.port)[gates[0]]
            os.kill(gates[0], signal.SIGKILL)
            wait_until("another gate", lambda: len(bed.one.pids("gate")) == 2 and gates[0] not in bed.one.pids("gate"))
            load.asked()  # by then it has seen what the kernel told of the dead gate
            lost = load.faults[before:]
            failed += len(lost)
            at_most += under_way
            assert 0 < len(lost) <= under_way, (lost, under_way)
            spared += len(held[gates[1]])
            others += sum(port in held[gates[1]] for _, which, port, _ in lost if which == "reused")
        seen = load.done()
    kinds = {kind for kind, *_ in load.faults}
    assert kinds <= {"ended"} and seen["new"]["refused"] == 0, (kinds, seen)
    assert failed == seen["new"]["failed"] + seen["reused"]["failed"], (failed, seen)
    assert others == 0 and spared > 64, f"{others} of {spared} connections of the other gate broke"
    promise("a gate killed", f"{kills} times: {failed} failed of {seen['new']['ok'] + seen['reused']['ok']}, "
            f"{at_most} were under way there; refused {seen['new']['refused']}, of the other gate's {others} of {spared} "
            "(goal: only what is under way, 0 refused)")
