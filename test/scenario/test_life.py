"""The life of a worker: limits of its age, each replaced by one that is ready, one at a time."""

import pytest

from client import Load, ask
from program import wait_until

APP = '''
import os, sys, threading, time

KEPT = []
RAN = [0]

def application(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    RAN[0] += 1
    if path == "/sleep":
        time.sleep(float(query))
    if path == "/keep":
        KEPT.append(bytearray(int(query)))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {RAN[0]}".encode()]
'''


@pytest.fixture
def site(stead, app_folder):
    def make(conf="", app=APP, **files):
        return stead(app_folder({"app.py": app, "stead.conf": conf, **files})).up()
    return make


def events(one, *names):
    return [r for r in one.logs() if r.get("event") in names]


def check_one_at_a_time(one):
    """From the first word of a replacement to the old one's end nobody else is replaced."""
    coming, going = None, None
    for r in events(one, "WORKER_RECYCLED", "PROC_READY", "PROC_ENDED", "PROC_DIED"):
        if r.get("role") != "worker":
            continue
        if r["event"] == "WORKER_RECYCLED":
            assert coming is None and going is None, r
            coming, going = r["index"], r["pid"]
        elif r["event"] == "PROC_READY" and r["index"] == coming:
            coming = None
        elif r["event"] in ("PROC_ENDED", "PROC_DIED") and r["pid"] == going:
            assert coming is None, "the old one ended before the new one was ready"
            going = None


def test_max_requests(site, promise):
    """Every worker is replaced many times under load: no request fails, never two at once, each by one that
    is ready before the old one drains. gunicorn #862 #3427: all workers restarted at once at max_requests;
    gunicorn #2422 #3199: errors on recycling, because the old one died before the new one was ready;
    Granian #921: the respawn waited a fixed time, not for readiness."""
    one = site("[Python]\nWorkers=3\nMaxRequests=60\n")
    with Load(one, "/", rate=200) as load:
        wait_until("nine replacements", lambda: len(events(one, "WORKER_RECYCLED")) >= 9, timeout=60)
        # Which of several idle workers a request goes to is the gates' choice.
        wait_until("each of the three", lambda: len({r["index"] for r in events(one, "WORKER_RECYCLED")}) == 3, timeout=60)
        load.wait_for(20)
    assert load.failed == 0, load.seen
    told = events(one, "WORKER_RECYCLED")
    assert {r["why"] for r in told} == {"MaxRequests"}
    assert {r["index"] for r in told} == {"0", "1", "2"}
    check_one_at_a_time(one)
    promise("workers replaced at MaxRequests=", f"{len(told)} times under load, {load}")


def test_a_worker_runs_no_more_than_its_limit(site):
    """One worker, one client: what it counts itself stays at the limit or a little below."""
    one = site("[Python]\nWorkers=1\nMaxRequests=1\n")
    seen = []
    for _ in range(4):
        answer = ask(one, "/").text.split()
        if answer not in seen:
            seen.append(answer)
        last = answer[0]
        wait_until("the next one", lambda: len(events(one, "WORKER_RECYCLED")) >= len({p for p, _ in seen}))
        wait_until("the old one's end", lambda: int(last) not in one.pids("worker"))
    assert len({pid for pid, _ in seen}) == 4


def test_lifetime(site):
    """Replaced because of its age, with a jitter of its own: not both in the same instant."""
    one = site("[Python]\nWorkers=2\nLifetimeSec=2s\n")
    before = set(one.pids("worker"))
    with Load(one, "/", rate=50) as load:
        wait_until("both to be replaced", lambda: not before & set(one.pids("worker")), timeout=60)
        load.wait_for(20)
    assert load.failed == 0, load.seen
    assert {r["why"] for r in events(one, "WORKER_RECYCLED")} == {"LifetimeSec"}
    check_one_at_a_time(one)


def test_rss(site):
    """The one that holds too much is replaced; the other, which does not, stays. The kernel's word counts."""
    one = site("[Python]\nWorkers=2\nRssMax=150M\n")
    before = set(one.pids("worker"))
    fat = int(ask(one, "/keep?200000000").text.split()[0])
    with Load(one, "/", rate=50) as load:
        wait_until("it to be replaced", lambda: fat not in one.pids("worker"), timeout=60)
        load.wait_for(20)
    assert load.failed == 0, load.seen
    assert [int(r["pid"]) for r in events(one, "WORKER_RECYCLED")] == [fat]
    assert events(one, "WORKER_RECYCLED")[0]["why"] == "RssMax"
    assert before - {fat} <= set(one.pids("worker"))


def test_a_successor_that_cannot_start(site):
    """The old one is replaced by nobody: it serves on, also beyond its limit, until a new one is ready."""
    one = site("[Python]\nWorkers=1\nMaxRequests=20\n")
    before = one.pids("worker")
    good = (one.folder / "app.py").read_text()
    (one.folder / "app.py").write_text("raise ImportError('broken meanwhile')\n")
    with Load(one, "/", rate=100) as load:
        wait_until("a successor that failed", lambda: "broken meanwhile" in one.cli("logs", "-n", "1000"))
        load.wait_for(100)
        assert set(before) <= set(one.pids("worker"))
        (one.folder / "app.py").write_text(good)
        wait_until("the successor", lambda: not set(before) & set(one.pids("worker")), timeout=90)
        load.wait_for(20)
    assert load.failed == 0, load.seen
