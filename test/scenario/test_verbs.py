"""The verbs on a running site: what they print, what they change, how they end."""

import json
import os
import re
import signal
import stat
import subprocess

import pytest

from client import Client, Load, ask
from program import BUILD, free_port, processes, wait_until

HELLO = '''
import sys
print("this is the app", file=sys.stderr, flush=True)
def application(environ, start_response):
    if environ["PATH_INFO"] == "/say":
        print("said by the app", flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"VERSION\\n"]
'''
# Leaves behind what a careless app leaves behind: children in sessions of their own.
FORKS = '''
import os, subprocess
subprocess.Popen(["setsid", "sleep", "1000"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "1000"])
    os._exit(0)
os.wait()
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\\n"]
'''


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_by_signal(stead, guestbook, number):
    one = stead(guestbook).up()
    assert one.stop(number) == 0
    one.gone()
    assert "live" not in one.cli("status", code=3)


@pytest.mark.promise
def test_stop_leaves_no_process(stead, app_folder, promise):
    """Also when the app double-forks into sessions of its own."""
    one = stead(app_folder({"app.py": FORKS})).up()
    sleepers = wait_until("the app's children",
                          lambda: [pid for pid, comm in one.tree().items() if comm == "sleep"])
    count = len(one.tree())
    assert one.stop() == 0
    one.gone()
    running = processes()
    assert not [pid for pid in sleepers if running.get(pid, (0, 0, ""))[2] == "sleep"]
    promise("no leaked process", f"{count} stopped, {len(sleepers)} of them double-forked, 0 left")


def test_stop_finishes_what_runs(stead, app_folder):
    """A request that runs when the stop comes is answered whole."""
    one = stead(app_folder({"app.py": '''
import os, time
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begun "
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    yield b"done"
'''})).up()
    with Client(one.port) as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until("the answer's begin", lambda: client.more() or b"begun" in client.rest)
        one.process.send_signal(signal.SIGTERM)
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"begun done")
    assert one.process.wait(30) == 0
    one.gone()


@pytest.mark.smoke
def test_detach(stead, app_folder):
    """The command returns when the site is live, and leaves the terminal alone."""
    one = stead(app_folder({"app.py": HELLO}), arguments=["--detach"])
    one.start()
    assert one.process.wait(30) == 0
    assert one.output().rstrip().endswith(f"live  {one.url}")
    assert ask(one).status == 200
    one.tree()
    assert "live" in one.cli("status")
    one.cli("stop")
    one.gone()
    one.cli("stop", code=3)


def test_the_foreground_command_is_killed(stead, app_folder):
    """kill -9 of `stead up` itself: its lifeline breaks and everything stops gracefully."""
    one = stead(app_folder({"app.py": FORKS})).up()
    one.process.kill()
    one.process.wait()
    one.gone()


def test_status(stead, guestbook):
    one = stead(guestbook).up()
    ask(one)
    told = one.status()
    roles = {p["role"] for p in told["processes"]}
    assert {"parent", "gate", "ctl", "log", "worker", "postgres"} <= roles, told
    for process in told["processes"]:
        assert process["pid"] in one.tree(), process
        # Exact for who may read it: the instance's own user, and root.
        assert process["memory_kind"] == "pss", process
        assert process["memory"] > 0 and process["restarts"] >= 0 and process["uptime_ms"] >= 0, process
    site = told["sites"][0]
    assert site["url"] == one.url and site["name"] == "guestbook"
    assert site["workers"] >= 1 and site["requests"] >= 1 and site["errors"] == 0, site
    assert told["database"], told
    text = one.cli("status")
    assert one.url in text and "guestbook" in text and "postgres" in text
    if os.geteuid() != 0 or not one.as_root:
        assert "root" in text  # the protections that are off are named
    one.kill_and_wait("worker")
    wait_until("the restart to be counted",
               lambda: any(p["role"] == "worker" and p["restarts"] for p in one.status()["processes"]))


def test_nothing_of_it_is_open_to_others(stead, guestbook):
    """State, control socket and database socket: the owner's alone. No TCP but the site's."""
    one = stead(guestbook).up()
    assert stat.S_IMODE(one.state.stat().st_mode) == 0o700
    assert stat.S_IMODE((one.state / "state.db").stat().st_mode) & 0o077 == 0
    inodes = {}
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == "0A":
                    inodes[fields[9]] = int(fields[1].split(":")[1], 16)
    ports = set()
    for pid in one.tree():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
            except OSError:
                continue
            if found and found.group(1) in inodes:
                ports.add(inodes[found.group(1)])
    assert ports == {one.port}


@pytest.mark.smoke
def test_logs(stead, app_folder):
    """Requests and the app's own lines together."""
    one = stead(app_folder({"app.py": HELLO})).up()
    ask(one, "/say?word=first")
    text = wait_until("the line", lambda: (t := one.cli("logs")) and "said by the app" in t and "/say?word=first" in t and t)
    assert "this is the app" in text and "200" in text
    records = one.logs()
    assert any("/say?word=first" in json.dumps(r) and '"status": 200' in json.dumps(r) for r in records)
    assert any("said by the app" in json.dumps(r) for r in records)
    assert len(one.cli("logs", "-n", "2").splitlines()) == 2


def test_logs_follow(stead, app_folder):
    one = stead(app_folder({"app.py": HELLO})).up()
    follower = subprocess.Popen([str(BUILD / "stead"), "logs", "-f", "-n", "0", "--state", str(one.state)],
                                stdout=subprocess.PIPE, **one.options())
    try:
        lines = []
        # The follower is heard only from the moment when it is connected: ask until it says something.
        def heard():
            ask(one, "/followed")
            os.set_blocking(follower.stdout.fileno(), False)
            try:
                lines.append(os.read(follower.stdout.fileno(), 65536))
            except BlockingIOError:
                pass
            return b"/followed" in b"".join(lines)
        wait_until("a followed line", heard)
    finally:
        follower.terminate()
        follower.wait()


@pytest.mark.promise
def test_reload(stead, app_folder, promise):
    """A new configuration, no process restarted, no connection closed, no request lost."""
    folder = app_folder({"app.py": HELLO, "a/x.txt": "old", "b/x.txt": "new", "stead.conf": "[Site]\nStatic=/files a\n"})
    one = stead(folder).up()
    gates, workers = one.pids("gate"), one.pids("worker")
    with Client(one.port) as kept, Load(one, "/files/x.txt", rate=400, renew=20) as load:
        assert kept.ask("/files/x.txt").body == b"old"
        for number in range(10):
            (folder / "stead.conf").write_text(f"[Site]\nStatic=/files {'ab'[(number + 1) % 2]}\n")
            one.cli("reload")
            load.wait_for(50)
        (folder / "stead.conf").write_text("[Site]\nStatic=/files b\n")
        one.cli("reload")
        assert kept.ask("/files/x.txt").body == b"new" and kept.used == 2
    assert load.failed == 0 and load.done["ended"] == 0, load.seen
    assert one.pids("gate") == gates and one.pids("worker") == workers
    served = [r for r in one.logs() if r.get("event") == "SNAPSHOT"]
    generations = [int(r["generation"]) for r in served]
    assert len(served) == 12 and generations == sorted(set(generations)), served
    assert all(int(r["bytes"]) > 100 for r in served), served
    promise("reload, 11 times", f"failed/done: {load}")


def test_a_reload_of_a_bad_configuration(stead, app_folder):
    """It is refused with its place, and the old one serves on."""
    folder = app_folder({"app.py": HELLO, "a/x.txt": "old", "stead.conf": "[Site]\nStatic=/files a\n"})
    one = stead(folder).up()
    (folder / "stead.conf").write_text("[Site]\nStatic=/files a\nBodyMax=lots\n")
    output = one.cli("reload", code=2)
    assert "stead.conf:3:" in output and "lots" in output
    assert ask(one, "/files/x.txt").body == b"old"
    one.kill_and_wait("gate")
    assert ask(one, "/files/x.txt").body == b"old"


@pytest.mark.promise
def test_restart_of_the_app(stead, app_folder, promise):
    """New code by `stead restart`, under load: the new workers are ready before the old ones end."""
    folder = app_folder({"app.py": HELLO.replace("VERSION", "one"), "stead.conf": "[Site]\nName=shop\n[Python]\nWorkers=2\n"})
    one = stead(folder).up()
    old = one.pids("worker")
    with Load(one, "/", rate=200) as load:
        load.wait_for(100)
        # Another length: Python takes bytecode of the same second and size for the source of this one.
        (folder / "app.py").write_text(HELLO.replace("VERSION", "second"))
        one.cli("restart", "shop")
        load.wait_for(100)
        assert ask(one).body == b"second\n"
    assert load.failed == 0 and load.done["ended"] == 0, load.seen
    wait_until("the old workers to be gone", lambda: not set(old) & set(one.pids("worker")))
    promise("app restarted", f"failed/done: {load}")
    one.cli("restart", "nosuch", code=4)


def test_a_restart_into_broken_code(stead, app_folder):
    """The new workers do not come up: the old ones serve on, and the reason is printed."""
    folder = app_folder({"app.py": HELLO, "stead.conf": "[Python]\nWsgi=app:application\nWorkers=1\n"})
    one = stead(folder).up()
    (folder / "app.py").write_text("import no_such_module_here\n")
    one.cli("restart", code=1, timeout=120)
    assert ask(one).status == 200


def test_the_same_folder_on_another_port(stead, app_folder):
    one = stead(app_folder({"app.py": HELLO})).up()
    assert one.stop() == 0
    one.gone()
    old = one.port
    one.port = free_port()
    one.http, one.url = f"127.0.0.1:{one.port}", f"http://127.0.0.1:{one.port}"
    one.up()
    assert ask(one).status == 200 and one.port != old


def test_help_and_version(stead, app_folder):
    one = stead(app_folder({"app.py": HELLO}))
    def say(*arguments):
        return subprocess.run([str(BUILD / "stead"), *arguments], text=True, capture_output=True, timeout=30, check=True).stdout
    text = say("--help")
    for verb in ("up", "check", "status", "stop", "reload", "restart", "logs", "introspect"):
        assert re.search(rf"^\s+(?:stead )?{verb}\b", text, re.M), verb
    assert re.search(r"\d+\.\d+\.\d+", say("--version"))
    assert "--detach" in say("up", "--help")
    for table in ("config", "commands", "metrics", "events", "closes", "messages", "procs"):
        assert len(json.loads(say("introspect", table, "--json"))["rows"]) > 3
    for shell in ("bash", "zsh", "fish"):
        assert "restart" in say("completion", shell)
    assert one.process is None
