"""What went wrong for app servers before, each thread named, and how it goes here."""

import os
import socket
import subprocess
import threading

import pytest

import program
from client import Client, Load, ask
from program import wait_until

APP = '''
import os, time
MARK = "first"

def stream(n):
    for i in range(n):
        time.sleep(0.05)
        yield b"%d\\n" % i

def application(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/sleep":
        time.sleep(float(query))
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Pid", str(os.getpid()))])
    if path == "/stream":
        return stream(int(query))
    if path == "/endless":
        return (bytes(65536) for _ in range(100000))
    return [f"{MARK} {os.environ.get('COLOUR')}".encode()]
'''


@pytest.fixture
def site(stead, app_folder):
    def make(conf, app=APP, **files):
        return stead(app_folder({"app.py": app, "stead.conf": conf, **files})).up()
    return make


def start(one, path):
    client = Client(one.port)
    client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return client


def restart(one):
    subprocess.run([str(program.BUILD / "stead"), "restart", "--state", str(one.state)], check=True, timeout=60,
                   stdout=subprocess.DEVNULL, **one.options())


def test_a_restart_interrupts_nothing(site):
    """uWSGI #1375: SIGHUP interrupted what was busy; uWSGI #2693: connections in the queue were dropped. What runs
    ends whole in its old worker, what waits is served, by whichever has time first."""
    one = site("[Python]\nWorkers=2\n")
    before = set(one.pids("worker"))
    running = [start(one, "/stream?40") for _ in range(2)]
    assert all(c.line().startswith(b"HTTP/1.1 200") for c in running)
    waiting = [start(one, "/") for _ in range(20)]
    with Load(one, "/", rate=50) as load:
        restart(one)
        assert [c.answer().status for c in waiting] == [200] * 20
        load.wait_for(20)
    assert load.failed == 0, load.seen
    for c in running:
        head = []
        while line := c.line():
            head.append(line)
        pid = next(int(line.split(b":")[1]) for line in head if line.startswith(b"X-Pid"))
        assert pid in before
        assert c.chunks() == b"".join(b"%d\n" % i for i in range(40))
        c.close()
    wait_until("the old ones' end", lambda: not before & set(one.pids("worker")))
    for c in waiting:
        c.close()


def test_a_release_behind_a_link_and_its_environment(stead, app_folder):
    """gunicorn #394: HUP missed a release whose folder is a link that was moved; Granian #629: old code after
    SIGHUP. A restart is a new process in the folder as it is found then; a reload reads the environment again."""
    app_folder({"app.py": APP}, "site/releases/1")
    app_folder({"app.py": APP.replace('"first"', '"second"')}, "site/releases/2")
    folder = app_folder({"colours": "COLOUR=red\n", "stead.conf": "[Python]\nPath=current\nWsgi=app:application\nWorkers=1\n"
                         "[Service]\nEnvironmentFile=colours\n"}, "site")
    (folder / "current").symlink_to("releases/1")
    one = stead(folder).up()
    assert ask(one).text == "first red"
    (folder / "new").symlink_to("releases/2")
    os.rename(folder / "new", folder / "current")
    restart(one)
    assert ask(one).text == "second red"
    (folder / "colours").write_text("COLOUR=blue\n")
    one.cli("reload")
    assert ask(one).text == "second blue"


def test_idle_clients_hold_no_thread(site):
    """gunicorn #2652: an idle client held a thread for ever. One worker with one thread, and a hundred clients that
    say nothing, half a head, or half a body."""
    one = site("[Python]\nWorkers=1\n")
    said = [b"", b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]
    idle = []
    for i in range(100):
        client = Client(one.port)
        client.send(said[i % 3])
        if i % 3 == 2:
            assert client.answer().status == 200
        idle.append(client)
    with Load(one, "/", rate=50) as load:
        load.wait_for(30)
    assert load.failed == 0 and load.worst_sec < 5, load.seen
    for c in idle:
        c.close()


def test_fast_apps_do_not_outrun_slow_clients(site):
    """Unit #168, #861: what a fast app wrote piled up in memory before slow clients. Twenty of them ask for 6 GB each
    and read nothing: gate and workers stay as small as they were, and others are served."""
    one = site("[Site]\nRateMin=0\n[Python]\nWorkers=1\nThreads=24\n")
    assert ask(one).status == 200
    slow = []
    for _ in range(20):
        client = Client(one.port)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.line().startswith(b"HTTP/1.1 200")
        slow.append(client)
    with Load(one, "/", rate=50) as load:
        load.wait_for(60)
    assert load.failed == 0, load.seen
    for pid in one.pids("gate") + one.pids("worker"):
        with open(f"/proc/{pid}/statm") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert resident < 96 << 20, (pid, resident)
    for c in slow:
        c.close()
    done = threading.Event()
    wait_until("the threads to be free", lambda: ask(one).status == 200 or done.is_set())
