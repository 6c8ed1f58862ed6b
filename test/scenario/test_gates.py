"""Several gates: `[Server] Gates=`, a gate that dies, more and fewer of them by reload, one that cannot start."""

import os
import shutil
import signal
import time

import pytest

import program
from client import Client, Load, ask
from program import wait_until

APP = '''
import os

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d %d\\n" % (os.getpid(), len(body))]
'''


def conf(gates):
    return f"[Site]\nStatic=/static static\n[Python]\nWorkers=2\n[Server]\n{gates}\n"


@pytest.fixture
def folder(app_folder):
    return app_folder({"app.py": APP, "static/a.txt": "a" * 70000, "stead.conf": conf("Gates=2")})


def set_gates(one, folder, line):
    (folder / "stead.conf").write_text(conf(line))
    one.cli("reload")


def gates_are(one, count):
    return wait_until(f"{count} gates", lambda: len(one.pids("gate")) == count and one.pids("gate"))


def connections_of(pid):
    """How many TCP connections the process holds (its listeners are told apart by their state)."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(row[3] == "01" and row[9] in inodes for row in rows)


@pytest.mark.parametrize("line, count", [
    ("Gates=1", 1), ("Gates=2", 2), ("Gates=cores", max(1, os.cpu_count() if os.cpu_count() > 2 else 1)), ("", None)])
def test_the_count(stead, app_folder, line, count):
    """As many as the file says; without a word as with `cores`, which is one on two cores."""
    one = stead(app_folder({"app.py": APP, "static/a.txt": "a", "stead.conf": conf(line)})).up()
    count = count or (os.cpu_count() if os.cpu_count() > 2 else 1)
    assert len(one.pids("gate")) == count
    assert ask(one).status == 200


def test_files_and_app_by_two_gates(stead, folder):
    """Many connections at once, each for files and the app: all are answered, and both gates have some of them."""
    one = stead(folder).up()
    gates = gates_are(one, 2)
    clients = []
    try:
        for _ in range(200):
            clients.append(Client(one.port))
        for client in clients:
            assert client.ask("/static/a.txt").body == b"a" * 70000
            assert client.ask("/").status == 200
        if os.geteuid() == 0:  # nobody else may look at a gate's descriptors
            assert sum(connections_of(pid) for pid in gates) == 200

            # Both are woken, and who runs first takes it: on a busy machine one of them may be late for long.
            def both():
                clients.extend(Client(one.port) for _ in range(20))
                return all(connections_of(pid) for pid in gates)
            wait_until("both have some", both)
    finally:
        for client in clients:
            client.close()
    with Load(one, "/", rate=300, renew=2, threads=6) as load, Load(one, "/static/a.txt", rate=300, renew=2) as files:
        load.wait_for(300)
        files.wait_for(300)
    assert load.failed == 0 and files.failed == 0, load.seen + files.seen
    assert one.pids("gate") == gates


@pytest.mark.promise
def test_one_of_two_is_killed(stead, folder, promise):
    """kill -9 of one gate of two under load: nobody is refused, and only what ran in it is lost."""
    one = stead(folder).up()
    gates_are(one, 2)
    with Load(one, "/", rate=300, threads=6, renew=5) as load:
        load.wait_for(200)
        for _ in range(4):
            one.kill_and_wait("gate")
            load.wait_for(200)
    assert load.done["refused"] == 0, load.seen
    assert load.failed <= 4 * 6, load.seen
    gates_are(one, 2)
    promise("one gate of two killed 4 times", f"failed/done: {load}")


@pytest.mark.promise
def test_more_and_fewer_by_reload(stead, app_folder, promise):
    """1, 2, 1, 3 and 1 gates under load: no request fails, workers and the gates that stay are not touched."""
    folder = app_folder({"app.py": APP, "static/a.txt": "a" * 70000, "stead.conf": conf("Gates=1")})
    one = stead(folder).up()
    first, workers = one.pids("gate"), one.pids("worker")
    assert len(first) == 1
    with Load(one, "/", rate=200, renew=20) as load, Load(one, "/static/a.txt", rate=100, renew=20) as files:
        load.wait_for(100)
        for count in (2, 1, 3, 1):
            set_gates(one, folder, f"Gates={count}")
            load.wait_for(200)
            gates_are(one, count)
    assert load.failed == 0 and files.failed == 0, load.seen + files.seen
    assert one.pids("gate") == first and one.pids("worker") == workers
    promise("gates 1, 2, 1, 3, 1 by reload", f"failed/done: {load}")


def test_a_running_request_ends_on_a_gate_that_goes(stead, app_folder):
    """Its client gets the answer; the gate goes behind it."""
    slow = APP.replace("body = environ", 'import time; time.sleep(2 if environ["PATH_INFO"] == "/slow" else 0)\n    body = environ')
    folder = app_folder({"app.py": slow, "static/a.txt": "a", "stead.conf": conf("Gates=2")})
    one = stead(folder).up()
    gates_are(one, 2)
    clients = [Client(one.port) for _ in range(2)]
    for client in clients:
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    set_gates(one, folder, "Gates=1")
    for client in clients:
        assert client.answer().status == 200
        client.close()
    gates_are(one, 1)


def test_control_comes_back_to_the_same_gates(stead, folder):
    """A new ctl says the same number again, and nothing changes; then it takes another."""
    one = stead(folder).up()
    gates = gates_are(one, 2)
    one.kill_and_wait("ctl")
    wait_until("ctl to answer", lambda: "live" in one.cli("status", code=None).lower())
    assert one.pids("gate") == gates
    set_gates(one, folder, "Gates=1")
    gates_are(one, 1)


def test_a_stop_while_a_gate_drains(stead, folder):
    """A gate on its way out holds nothing up beyond the time that the others have."""
    one = stead(folder).up()
    gates_are(one, 2)
    client = Client(one.port)
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    set_gates(one, folder, "Gates=1")
    began = time.monotonic()
    assert one.stop() == 0
    one.gone()
    assert time.monotonic() - began < 25  # by itself it would take half a minute
    client.close()


def test_a_gate_that_hangs(stead, folder):
    """It holds what it accepted; every new connection goes to the other one."""
    one = stead(folder).up()
    gates_are(one, 2)
    for pid in one.pids("gate"):
        os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(20):
                assert ask(one).status == 200
        finally:
            os.kill(pid, signal.SIGCONT)


# --- a gate that cannot start (at the first start: test_start.py) ---

@pytest.fixture
def own_build(work, monkeypatch):
    """A build folder of the test's own, where it may break things."""
    build = work / "build"
    build.mkdir()
    version = next((program.BUILD / "libexec" / "stead").iterdir())
    roles = build / "libexec" / "stead" / version.name
    roles.mkdir(parents=True)
    shutil.copy(program.BUILD / "stead", build / "stead")
    for file in version.iterdir():
        os.symlink(file.resolve(), roles / file.name)
    for path in (build, roles):
        program.give(path)
    monkeypatch.setattr(program, "BUILD", build)
    return roles


def break_missing(gate):
    gate.unlink()


def break_mode(gate):
    gate.unlink()
    gate.write_bytes(b"")
    gate.chmod(0o644)


def break_exit(gate):
    gate.unlink()
    gate.write_text("#!/bin/sh\nexit 3\n")
    gate.chmod(0o755)


def break_crash(gate):
    gate.unlink()
    gate.write_text("#!/bin/sh\nkill -SEGV $$\n")
    gate.chmod(0o755)


def test_a_reload_whose_new_gate_cannot_start(stead, app_folder, own_build):
    """It fails with the reason and the old number stays; mended, it goes through."""
    folder = app_folder({"app.py": APP, "static/a.txt": "a", "stead.conf": conf("Gates=1")})
    one = stead(folder).up()
    gates = gates_are(one, 1)
    gate = own_build / "stead-gate"
    real = gate.resolve()
    break_missing(gate)
    (folder / "stead.conf").write_text(conf("Gates=2"))
    text = one.cli("reload", code=1)
    assert "Gate 1 (stead-gate)" in text and "No such file" in text, text
    assert ask(one).status == 200 and one.pids("gate") == gates
    os.symlink(real, gate)
    one.cli("reload")
    gates_are(one, 2)
