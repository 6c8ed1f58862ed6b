"""Workers that follow the load: more while requests wait, none while there are none, and the request that wakes them."""

import json
import threading

import pytest

from client import Client, ask
from program import wait_until

APP = '''
import os, time
time.sleep(0.2)
def application(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(float(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
'''


@pytest.fixture
def site(stead, app_folder):
    def make(conf):
        return stead(app_folder({"app.py": APP, "stead.conf": conf})).up()
    return make


def scaled(one):
    return [(int(r["from"]), int(r["to"]), r["why"]) for r in one.logs() if r.get("event") == "WORKERS_SCALED"]


def test_more_workers_while_requests_wait(site):
    """Eight clients of 100 ms requests are too much for one worker; with more nobody is turned away meanwhile."""
    one = site("[Python]\nWorkers=1:4\n")
    over, seen = threading.Event(), []

    def visit():
        with Client(one.port) as client:
            while not over.is_set():
                seen.append(client.ask("/sleep?0.1").status)

    clients = [threading.Thread(target=visit) for _ in range(8)]
    for c in clients:
        c.start()
    try:
        wait_until("four workers", lambda: len(one.pids("worker")) == 4)
    finally:
        over.set()
        for c in clients:
            c.join()
    assert set(seen) == {200}
    assert [w for _, _, w in scaled(one)] == ["requests waited"] * len(scaled(one))
    assert scaled(one)[-1][1] == 4
    status = json.loads(one.cli("status", "--json"))
    assert "\"workers_wanted\": 4" in json.dumps(status)
    # A control process that comes new keeps what there is.
    before = set(one.pids("worker"))
    one.kill_and_wait("ctl")
    wait_until("it to answer", lambda: "\"workers_wanted\": 4" in json.dumps(json.loads(one.cli("status", "--json"))))
    assert set(one.pids("worker")) == before


def test_idle_to_zero_and_back(site, promise):
    """No worker while there is nothing to do; a request starts them and waits; also while no control process is
    there, and again and again in the very moment in which they end."""
    one = site("[Python]\nWorkers=2\nIdleStopSec=1s\n")
    wait_until("no worker", lambda: not one.pids("worker"))
    assert ask(one).status == 200
    assert len(wait_until("both", lambda: len(one.pids("worker")) == 2 and one.pids("worker"))) == 2
    wait_until("no worker", lambda: not one.pids("worker"))
    one.kill("ctl")
    assert ask(one).status == 200
    wait_until("no worker again", lambda: not one.pids("worker"))
    answers = [ask(one) for _ in range(5) if wait_until("the last one's end", lambda: len(one.pids("worker")) < 2) or True]
    assert [a.status for a in answers] == [200] * 5
    assert {w for _, _, w in scaled(one)} == {"no request", "a request"}
    assert one.cli("restart") is not None
    promise("woken by a request", f"{len([s for s in scaled(one) if s[0] == 0])} times, 0 failed")


def test_one_that_cannot_be_woken(site):
    """Its request waits no longer than the queue lets it, and is told when to come again."""
    one = site("[Site]\nQueueTimeoutSec=1s\n[Python]\nWorkers=1\nIdleStopSec=1s\n")
    wait_until("no worker", lambda: not one.pids("worker"))
    (one.folder / "app.py").write_text("raise SystemExit(3)\n")
    answer = ask(one)
    assert answer.status == 503 and answer["Retry-After"]
    (one.folder / "app.py").write_text(APP)
    wait_until("service", lambda: ask(one).status == 200, timeout=60)
