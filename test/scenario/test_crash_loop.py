"""Workers that do not come up: the site says so at once and when to come again, status shows the app's last lines,
and nobody else is touched."""

import json
import os
import signal
import subprocess

import program
from client import Load, ask
from program import wait_until

GOOD = '''
import os
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
'''
BROKEN = "print('about to break')\nraise ImportError('broken on purpose')\n"


def status(one):
    return json.loads(one.cli("status", "--json"))


def site_of(one):
    return find(status(one), "sites")[0]


def find(o, key):
    """The member of that name, wherever it lies."""
    if isinstance(o, dict):
        if key in o:
            return o[key]
        o = list(o.values())
    for v in o if isinstance(o, list) else ():
        found = find(v, key)
        if found is not None:
            return found
    return None


def test_the_site_answers_at_once_and_status_says_why(stead, app_folder):
    """Growing pauses; meanwhile 503 with Retry-After, in milliseconds and not after the queue's time; `stead
    status` shows the app's last lines; a mended app comes back by itself."""
    one = stead(app_folder({"app.py": GOOD, "stead.conf": "[Python]\nWorkers=2\n"})).up()
    (one.folder / "app.py").write_text(BROKEN)
    for pid in one.pids("worker"):
        os.kill(pid, signal.SIGKILL)
    wait_until("it to be known as down", lambda: any(r.get("event") == "APP_DOWN" for r in one.logs()))
    answer = wait_until("503", lambda: (a := ask(one)).status == 503 and a)
    assert int(answer["Retry-After"]) >= 1
    record = wait_until("its record", lambda: [r for r in one.logs() if r.get("status") == 503])[-1]
    assert record["close"] == "app_down" and record["ms"] < 5000  # the queue would have let it wait for 10 s
    site = wait_until("the third start", lambda: (found := site_of(one)).get("trouble", {}).get("restarts", 0) >= 3 and found)
    assert site["state"] == "failing" and site["trouble"]["down"] and site["trouble"]["status"] == 1
    assert any("broken on purpose" in line["text"] for line in site["trouble"]["lines"])
    text = one.cli("status")
    assert "ImportError: broken on purpose" in text and "answered with 503" in text
    # A gate that comes new, and a control process that comes new, know it as well.
    one.kill_and_wait("gate")
    wait_until("503 by the new gate", lambda: ask(one).status == 503)
    one.kill_and_wait("ctl")
    wait_until("the new control process to know it", lambda: site_of(one)["state"] == "failing")
    (one.folder / "app.py").write_text(GOOD)
    wait_until("service", lambda: ask(one).status == 200, timeout=90)
    wait_until("peace", lambda: site_of(one)["state"] == "live" and "trouble" not in site_of(one))
    assert any(r.get("event") == "APP_BACK" for r in one.logs())


def test_one_workers_import_error_is_its_own(stead, app_folder):
    """uWSGI #2198: the ImportError of one worker killed all of them. Here the others serve on, however often it
    dies; and what a reload or restart brings that cannot start replaces nobody (gunicorn #394, Granian #629: the
    new code and environment are read by a new process, or the old ones stay)."""
    one = stead(app_folder({"app.py": GOOD, "stead.conf": "[Python]\nWorkers=3\n"})).up()
    before = set(one.pids("worker"))
    with Load(one, "/", rate=100) as load:
        load.wait_for(20)
        (one.folder / "app.py").write_text(BROKEN)
        victim = one.kill("worker")
        wait_until("four deaths", lambda: sum(r.get("event") == "PROC_DIED" and r["role"] == "worker"
                                              for r in one.logs()) >= 4)
        assert set(one.pids("worker")) >= before - {victim}
        assert site_of(one)["state"] == "live"
        assert "broken on purpose" in json.dumps(site_of(one)["trouble"])
        tried = subprocess.run([str(program.BUILD / "stead"), "restart", "--state", str(one.state)],
                               capture_output=True, text=True, timeout=60, **one.options())
        assert tried.returncode == 1
        assert set(one.pids("worker")) >= before - {victim}
        load.wait_for(20)
    # Only what ran in the killed one may have failed, and a GET is given to another.
    assert load.failed == 0, load.seen


def test_no_app_at_all(stead, app_folder):
    """uWSGI #1172: it started with no app at all and answered errors. Here `up` ends with the reason."""
    one = stead(app_folder({"app.py": BROKEN, "stead.conf": "[Python]\nWsgi=app:application\nWorkers=2\n"}))
    one.start()
    assert one.process.wait(program.TIMEOUT) == 2
    assert "broken on purpose" in one.output()


def test_one_failing_app_loses_no_listener(stead, app_folder):
    """Unit #367: one failing app lost all listeners. Here files and other paths of the site are served as before."""
    one = stead(app_folder({"app.py": GOOD, "public/a.txt": "still here",
                            "stead.conf": "[Site]\nStatic=/files public\n[Python]\nWorkers=1\n"})).up()
    (one.folder / "app.py").write_text(BROKEN)
    one.kill("worker")
    with Load(one, "/files/a.txt", rate=50) as load:
        wait_until("it to be down", lambda: any(r.get("event") == "APP_DOWN" for r in one.logs()))
        assert ask(one, "/files/a.txt").text == "still here"
        wait_until("503", lambda: ask(one).status == 503)
        load.wait_for(10)
    assert load.failed == 0, load.seen
