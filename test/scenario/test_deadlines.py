"""Deadlines of requests act on the right victim: 504 to that client, the stack in the log, siblings finish, the
worker's end; never too early, never an innocent worker."""

import os
import signal

import pytest

from client import Client, Load, ask
from program import wait_until

APP = '''
import os, threading, time

def stream(n):
    for i in range(n):
        time.sleep(0.1)
        yield b"%d\\n" % i

def stuck_here():
    time.sleep(600)

def application(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/sleep":
        time.sleep(float(query))
    if path == "/stuck":
        stuck_here()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Pid", str(os.getpid()))])
    if path == "/stream":
        return stream(int(query))
    return [str(os.getpid()).encode()]
'''


@pytest.fixture
def site(stead, app_folder):
    def make(conf, app=APP):
        return stead(app_folder({"app.py": app, "stead.conf": conf})).up()
    return make


def events(one, *names):
    return [r for r in one.logs() if r.get("event") in names]


def start(one, path, method="GET"):
    """Asks, and does not wait for the answer."""
    client = Client(one.port)
    client.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    return client


def test_the_siblings_of_a_stuck_request_finish(site):
    """uWSGI #365: under gevent harakiri killed all that the process ran; uWSGI #2324: the client was answered
    nothing; Unit: 503, and the hung worker was left. Here: 504 to that client, the siblings' answers are whole
    though they end long after it, the stack is in the log, then that process is killed, and no other."""
    one = site("[Site]\nRequestTimeoutSec=1s\n[Python]\nWorkers=1\nThreads=3\n")
    victim = one.pids("worker")
    with start(one, "/stream?30") as sibling, start(one, "/stuck") as stuck:
        assert stuck.answer().status == 504
        answer = sibling.answer()
        assert answer.status == 200 and answer.text == "".join(f"{i}\n" for i in range(30))
        assert [int(answer["X-Pid"])] == victim
    wait_until("the stuck one's end", lambda: not set(victim) & set(one.pids("worker")))
    log = one.cli("logs", "-n", "1000")
    assert "stuck_here" in log and "most recent call first" in log
    killed = [int(r["pid"]) for r in events(one, "PROC_KILLED") if r["role"] == "worker"]
    assert killed == victim
    stacks = events(one, "PROC_STACK")
    assert len(stacks) >= 3 and {int(r["pid"]) for r in stacks} == set(victim)
    assert ask(one, "/").status == 200


def test_never_too_early(site):
    """uWSGI #2606: harakiri fired too early. The time that a request waits for a worker is not its own: nine
    that take 0.6 s each, one after the other, pass a deadline of 1 s, by two gates."""
    one = site("[Site]\nRequestTimeoutSec=1s\n[Python]\nWorkers=1\n[Server]\nGates=2\n")
    before = one.pids("worker")
    clients = [start(one, "/sleep?0.6") for _ in range(9)]
    assert [c.answer().status for c in clients] == [200] * 9
    assert one.pids("worker") == before and not events(one, "REQUEST_DEADLINE", "WORKER_HUNG")
    for c in clients:
        c.close()


def test_a_worker_that_hangs_while_it_is_free(site):
    """Nothing of it runs, so no request's deadline would ever find it: what it was given goes to the other in
    milliseconds, and it is replaced."""
    one = site("[Site]\nRequestTimeoutSec=3s\n[Python]\nWorkers=2\n")
    before = one.pids("worker")
    ask(one, "/")
    with Load(one, "/", rate=100) as load:
        load.wait_for(20)
        os.kill(before[0], signal.SIGSTOP)
        wait_until("another in its place", lambda: before[0] not in one.pids("worker"))
        load.wait_for(20)
    assert load.failed == 0, load.seen
    assert load.worst_sec < 3, "it is found only when a request has waited so long there"
    assert before[1] in one.pids("worker")
    assert len(events(one, "WORKER_HUNG")) == 1


def test_a_request_that_hangs_and_whose_client_has_gone(site):
    """Nobody waits for its answer, and yet it holds the worker: its deadline counts on from there."""
    one = site("[Site]\nRequestTimeoutSec=1s\n[Python]\nWorkers=1\n")
    before = one.pids("worker")
    start(one, "/stuck").close()
    wait_until("another worker", lambda: not set(before) & set(one.pids("worker")))
    assert ask(one, "/").status == 200


def test_one_stuck_worker_is_nobody_elses(site):
    """Of four workers one is stuck again and again: the three others are never touched, no other request fails."""
    one = site("[Site]\nRequestTimeoutSec=500ms\n[Python]\nWorkers=4\n")
    with Load(one, "/", rate=100) as load:
        for _ in range(3):
            before = set(one.pids("worker"))
            assert ask(one, "/stuck").status == 504

            def settled():
                now = set(one.pids("worker"))
                return len(now) == 4 and now != before and now
            assert len(before & wait_until("four, one of them new", settled)) == 3
        load.wait_for(20)
    assert load.failed == 0, load.seen
