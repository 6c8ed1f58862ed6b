"""Processes are killed under load, clients are slow: the site serves on and nobody else notices."""

import os
import resource
import selectors
import signal
import socket
import time

import pytest

from client import Client, Load, Visitor, ask
from program import wait_until

HELLO = '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\\n"]
'''


@pytest.mark.promise
@pytest.mark.parametrize("role, kills, allowed", [
    # Kills, and how many requests each may cost: those that ran in the process itself.
    ("gate", 5, 4), ("ctl", 5, 0), ("log", 5, 0), ("worker", 5, 0), ("postgres", 3, 0)])
def test_killed_under_load(stead, guestbook, promise, role, kills, allowed):
    """kill -9, again and again, under 200 requests a second over new and reused connections."""
    one = stead(guestbook).up()
    ask(one)
    with Load(one, "/", rate=200, threads=4) as load:
        load.wait_for(200)
        for _ in range(kills):
            one.kill_and_wait(role)
            load.wait_for(200)
    assert load.done["refused"] == 0, load.seen
    assert load.failed <= kills * allowed, load.seen
    promise(f"{role} killed {kills} times", f"failed/done: {load}")
    assert one.status()


@pytest.mark.promise
def test_control_is_dead_and_a_gate_dies(stead, app_folder, promise):
    """ctl is stopped (it cannot even be respawned), then a gate is killed: the new gate serves all the same."""
    one = stead(app_folder({"app.py": HELLO, "static/a.css": "a {}", "stead.conf": "[Site]\nStatic=/static static\n"})).up()
    frozen = one.kill("ctl", signal.SIGSTOP)
    try:
        for _ in range(3):
            one.kill_and_wait("gate")
            wait_until("service", lambda: ask(one).status == 200)
            assert ask(one, "/static/a.css").status == 200
    finally:
        os.kill(frozen, signal.SIGCONT)
    one.kill_and_wait("ctl")
    one.kill_and_wait("gate")
    with Load(one, "/", rate=200) as load:
        load.wait_for(200)
    assert load.failed == 0, load.seen
    wait_until("ctl to answer", lambda: "live" in one.cli("status", code=None).lower())
    promise("ctl dead, then a gate killed", f"served on; failed/done: {load}")


@pytest.mark.promise
def test_restart_latency(stead, app_folder, promise):
    """From kill -9 of every gate to the next answer on a new connection. The first death is answered at once, those
    that follow soon with growing pauses."""
    one = stead(app_folder({"app.py": HELLO})).up()
    seconds = []
    for _ in range(5):
        gate = one.pids("gate")
        for pid in gate:
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        assert ask(one).status == 200  # the listener is the parent's: the connection waits in its queue
        seconds.append(time.monotonic() - began)
        wait_until("the gates to be back", lambda: len(one.pids("gate")) == len(gate))
    assert seconds[0] < 2 and max(seconds) < 10
    promise("gate killed, to the next answer", "first {:.1f} ms, then {} ms".format(
        seconds[0] * 1000, ", ".join(f"{s * 1000:.0f}" for s in seconds[1:])))


def test_a_worker_that_crashes_at_once(stead, app_folder):
    """It is started again with growing pauses and never silently; a fixed app comes back by itself."""
    folder = app_folder({"app.py": HELLO})
    one = stead(folder).up()
    app = folder / "app.py"
    app.write_text("raise RuntimeError('broken now')\n")
    one.kill("worker")
    wait_until("the reason in the log", lambda: "broken now" in one.cli("logs", "-n", "1000"))
    app.write_text(HELLO)
    wait_until("service", lambda: ask(one).status == 200, timeout=90)


@pytest.mark.promise
def test_fifteen_thousand_slow_clients(stead, app_folder, promise):
    """Each has sent half a head and sends no more. Beside them one client is served as ever; they get 408."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = min(15000, hard - 1000)
    one = stead(app_folder({"app.py": HELLO, "stead.conf": "[Site]\nHeaderTimeoutSec=20s\n"})).up()
    gate = one.pids("gate")
    slow = []
    try:
        with Client(one.port) as steady:
            steady.ask()
            for number in range(wanted):
                s = socket.socket()
                # Some addresses of the loopback, so that no limit on one address or its ports decides.
                s.bind((f"127.0.0.{2 + number % 50}", 0))
                s.settimeout(30)
                s.connect(("127.0.0.1", one.port))
                s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
                slow.append(s)
            times = []
            for _ in range(500):
                began = time.monotonic()
                assert steady.ask().status == 200
                times.append(time.monotonic() - began)
            assert ask(one).status == 200
            held = len(slow)
            times.sort()
            ended = count_ended(slow, 60)
            assert steady.ask().status == 200 and steady.used == 502
        assert one.pids("gate") == gate
        assert ended == held, f"{held - ended} of {held} were never answered"
        assert times[494] < 1
        promise("slow headers", f"{held} held, service up (p50 {times[250] * 1000:.1f} ms, "
                f"p99 {times[494] * 1000:.1f} ms), {ended} ended with 408")
    finally:
        for s in slow:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def count_ended(sockets, seconds):
    """How many of them are answered 408 and closed within that time."""
    ended, limit = 0, time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for s in sockets:
            selector.register(s, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < limit:
            for key, _ in selector.select(1):
                selector.unregister(key.fileobj)
                try:
                    ended += key.fileobj.recv(4096).startswith(b"HTTP/1.1 408")
                except ConnectionError:
                    pass
    return ended


def test_a_slow_reader_stops_nobody(stead, app_folder):
    """One client reads nothing of a long answer; its neighbour is served by the other worker, memory stays bounded."""
    one = stead(app_folder({"app.py": '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    if environ["PATH_INFO"] == "/long":
        return (bytes(65536) for _ in range(3000))
    return [b"hello\\n"]
''', "stead.conf": "[Python]\nWorkers=2\n"})).up()
    with Client(one.port) as slow:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.send(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        slow.exactly(1000)
        with Client(one.port) as steady:
            for _ in range(200):
                assert steady.ask().status == 200
        for pid in one.pids("gate"):
            assert resident(pid) < 64 << 20


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.promise
def test_postgres_restarts_under_writes(stead, guestbook, promise):
    """What the visitor was told is kept is there, whatever was killed meanwhile."""
    one = stead(guestbook).up()
    visitor, told = Visitor(one), []
    for number in range(30):
        if number % 10 == 5:
            one.kill("postgres")
        try:
            if visitor.sign("Writer", f"entry {number:03}").status == 303:
                told.append(f"entry {number:03}")
        except OSError:
            pass
    wait_until("the book to be open", lambda: ask(one, "/health").status == 200)
    pages = "".join(ask(one, f"/?page={page}").text for page in range(1, 5))
    lost = [entry for entry in told if entry not in pages]
    assert not lost
    assert all(pages.count(entry) == 1 for entry in told)
    promise("entries kept, postgres killed 3 times", f"{len(told)} told, {len(lost)} lost, 0 twice")
