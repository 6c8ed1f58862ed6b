"""`stead up` itself: what it prints, what it leaves, what a change of the folder does to it."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from client import ask
from program import BUILD, TIMEOUT, wait_until

HELLO = '''
import os
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(dict(os.environ)).encode()]
'''


def test_the_steps_and_the_line(stead, guestbook):
    """Each step is a line where there is no terminal, and the last one is `live  URL`."""
    one = stead(guestbook, arguments=["--detach"])
    one.start()
    assert one.process.wait(60) == 0, one.output()
    lines = one.output().splitlines()
    assert lines[-1] == f"live  {one.url}"
    assert any("database" in line for line in lines)
    one.cli("stop")
    one.gone()


def test_events_as_json(stead, app_folder):
    one = stead(app_folder({"app.py": HELLO}), arguments=["--detach", "--json"])
    one.start()
    assert one.process.wait(60) == 0
    events = [json.loads(line) for line in one.output().splitlines()]
    assert events[-1]["event"] == "end" and events[-1]["exit"] == 0 and events[-1]["url"] == one.url
    assert {"progress"} <= {e["event"] for e in events}
    one.cli("stop")


def test_port_0(stead, app_folder):
    """A free port is taken, and the real one printed and told."""
    one = stead(app_folder({"app.py": HELLO}), http="127.0.0.1:0").up()
    port = int(re.search(r"live  http://127\.0\.0\.1:(\d+)$", one.output(), re.M).group(1))
    assert port > 0
    one.port, one.url = port, f"http://127.0.0.1:{port}"
    assert ask(one).status == 200
    assert one.status()["sites"][0]["url"] == one.url


def test_the_environment_of_the_app(stead, app_folder):
    """What interface.md promises, the configuration's before stead's own, and nothing of the caller's shell."""
    folder = app_folder({"app.py": HELLO, "stead.conf":
                         "[Site]\nName=shop\n[Service]\nEnvironment=COLOUR=blue STEAD_RELEASE=mine\n"})
    one = stead(folder, env={"SECRET_OF_THE_SHELL": "x", "PGPORT": "1"}).up()
    told = eval(ask(one).body)  # noqa: S307 our own app's words
    assert told["STEAD_APP"] == "shop" and told["COLOUR"] == "blue" and told["STEAD_RELEASE"] == "mine"
    assert re.fullmatch("[0-9a-f]{64}", told["SECRET_KEY"])
    assert os.path.isdir(told["STATE_DIRECTORY"])
    assert "SECRET_OF_THE_SHELL" not in told and "DATABASE_URL" not in told and "PGPORT" not in told
    assert one.stop() == 0
    one.gone()
    one.up()
    assert eval(ask(one).body)["SECRET_KEY"] == told["SECRET_KEY"]  # made once


def test_no_database_is_started_for_an_app_without_one(stead, app_folder):
    one = stead(app_folder({"app.py": HELLO})).up()
    assert not one.pids("postgres")
    assert not one.status()["database"]


def test_what_failed_leaves_nothing(stead, app_folder):
    """The app dies while its workers start: its own lines are shown, nothing runs on, the next try works."""
    folder = app_folder({"app.py": HELLO, "stead.conf": "[Python]\nWsgi=app:application\n"})
    one = stead(folder, arguments=["--detach"])
    (folder / "app.py").write_text(
        "import os, sys\nif 'STEAD_RELEASE' in os.environ:\n    sys.exit('the moon is in the wrong place')\n" + HELLO)
    output = one.fails(1)
    assert "the moon is in the wrong place" in output and "exit status 1" in output and "what to do" in output
    one.gone()
    (folder / "app.py").write_text(HELLO + "# right again\n")
    one.start()
    assert one.process.wait(60) == 0
    one.cli("stop")


def test_interrupted_while_it_starts(stead, app_folder):
    """Ctrl-C before the site is live: everything ends, exit status 0."""
    one = stead(app_folder({"app.py": "import time, os\nif 'STEAD_RELEASE' in os.environ:\n    time.sleep(60)\n" + HELLO,
                            "stead.conf": "[Python]\nWsgi=app:application\n"}))
    one.start()
    wait_until("a worker", lambda: one.pids("worker"))
    assert one.stop(signal.SIGINT) == 0
    one.gone()
    assert "live" not in one.output().replace("lives", "")


def test_ctl_dies_while_it_starts(stead, app_folder):
    """The flow is lost with it: an error, and nothing is left."""
    one = stead(app_folder({"app.py": "import time, os\nif 'STEAD_RELEASE' in os.environ:\n    time.sleep(60)\n" + HELLO,
                            "stead.conf": "[Python]\nWsgi=app:application\n"}))
    one.start()
    wait_until("a worker", lambda: one.pids("worker"))
    one.kill("ctl")
    assert one.process.wait(30) == 1
    assert "control process died" in one.output()
    one.gone()


def test_a_verb_waits_for_the_next_ctl(stead, app_folder):
    """Who asks while the control process is being replaced is not told that nothing runs."""
    one = stead(app_folder({"index.html": "x"})).up()
    parent = one.pid("parent")
    os.kill(parent, signal.SIGSTOP)  # no next one yet
    try:
        os.kill(one.pid("ctl"), signal.SIGKILL)
        asked = subprocess.Popen([str(BUILD / "stead"), "status", "--json", "--state", str(one.state)], text=True,
                                 stdout=subprocess.PIPE, **one.options())
        time.sleep(0.2)
        assert asked.poll() is None
    finally:
        os.kill(parent, signal.SIGCONT)
    said, _ = asked.communicate(timeout=TIMEOUT)
    assert asked.returncode == 0 and json.loads(said)["sites"], said


def test_ctl_dies_twice_and_the_verbs_go_on(stead, guestbook):
    """A respawned ctl knows the site, asks nothing again, restarts nothing."""
    one = stead(guestbook).up()
    workers, gates, servers = one.pids("worker"), one.pids("gate"), one.pids("postgres")
    for _ in range(2):
        one.kill_and_wait("ctl")
        told = wait_until("an answer", lambda: (t := one.cli("status", "--json", code=None)) and t.startswith("{")
                          and json.loads(t).get("sites") and json.loads(t))
        assert told["sites"][0]["url"] == one.url
        assert ask(one, "/health").status == 200
    assert (one.pids("worker"), one.pids("gate"), one.pids("postgres")) == (workers, gates, servers)
    one.cli("reload")
    one.cli("restart")
    assert one.pids("gate") == gates
    wait_until("the old workers to be gone", lambda: set(one.pids("worker")).isdisjoint(workers))
    assert ask(one, "/health").status == 200


def test_a_reload_into_broken_workers(stead, app_folder):
    """New values under which the app does not start: exit status 1, the old workers serve on, also later."""
    folder = app_folder({"app.py": "import os\nif os.environ.get('MODE') == 'broken':\n    raise RuntimeError('no such mode')\n" + HELLO,
                         "stead.conf": "[Python]\nWsgi=app:application\nWorkers=1\n"})
    one = stead(folder).up()
    workers = one.pids("worker")
    (folder / "stead.conf").write_text("[Python]\nWsgi=app:application\nWorkers=1\n[Service]\nEnvironment=MODE=broken\n")
    output = one.cli("reload", code=None)
    assert "no such mode" in output
    assert ask(one).status == 200 and set(workers) <= set(one.pids("worker"))
    (folder / "stead.conf").write_text("[Python]\nWsgi=app:application\nWorkers=1\n[Service]\nEnvironment=MODE=right\n")
    one.cli("reload")
    assert b"'MODE': 'right'" in ask(one).body


def test_a_reload_names_what_needs_a_new_start(stead, app_folder):
    folder = app_folder({"app.py": HELLO, "stead.conf": "[Site]\nName=shop\n"})
    one = stead(folder).up()
    (folder / "stead.conf").write_text("[Site]\nName=store\nHeadMax=8K\n")
    output = one.cli("reload")
    assert "stead.conf:2:" in output and "store" in output and "stead up" in output
    assert one.status()["sites"][0]["name"] == "shop"


def test_a_foreign_user_may_not_speak(stead, app_folder):
    """The socket is the owner's and root's, also for one who can reach it."""
    if os.geteuid() != 0:
        pytest.skip("needs another user")
    one = stead(app_folder({"app.py": HELLO})).up()
    one.state.chmod(0o711)
    (one.state / "control").chmod(0o666)
    result = subprocess.run([str(BUILD / "stead"), "status", "--state", str(one.state)], user="daemon", group="daemon",
                            extra_groups=[], capture_output=True, text=True, timeout=30, cwd="/")
    assert result.returncode != 0 and one.url not in result.stdout
    assert one.status()["sites"]


def test_garbage_on_the_control_socket(stead, app_folder):
    """Refused with a reason or closed; ctl lives."""
    import socket
    one = stead(app_folder({"app.py": HELLO})).up()
    before = one.pids("ctl")
    for data in (b"\n", b"{}\n", b"[" * 60000 + b"\n", b"x" * 70000, b'{"verb":"up"}\n', b'{"verb":"logs","lines":-1}\n',
                 b'{"verb":"up","folder":"/\\u0000"}\n', os.urandom(5000) + b"\n"):
        with socket.socket(socket.AF_UNIX) as s:
            fd = os.open(one.state, os.O_PATH)
            s.connect(f"/proc/self/fd/{fd}/control")
            os.close(fd)
            s.settimeout(30)
            s.sendall(data)
            answer = json.loads(s.makefile().readline())
            assert answer["event"] == "end" and answer["exit"] == 2, (data[:20], answer)
    assert one.pids("ctl") == before and one.status()["sites"]
