"""A deploy while visitors come: through two gates, with a long queue before the one worker, and what it costs them in time. Rows of
`make promises`.
"""

import os
import threading
import time

import pytest

import deploybed
from client import Broken, Client
from deploybed import write
from program import wait_until

pytestmark = [pytest.mark.promise, pytest.mark.timeout(600),
              pytest.mark.skipif("STEAD_PROMISES" not in os.environ, reason="`make promises` runs it")]
CLIENTS, MARGIN_S = 30, 0.010
APP = '''
import time
def app(environ, start_response):
    time.sleep({sleep})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{version}"]
'''


class Visitors:
    """Each asks again as soon as it is answered, or at a pace, over a connection that is kept."""

    def __init__(self, one, number, pace_s=0):
        self.one, self.pace_s, self.over, self.lock = one, pace_s, threading.Event(), threading.Lock()
        self.answers, self.failed, self.back = [], [], 0  # (when it was asked, seconds, version)
        self.threads = [threading.Thread(target=self.visit, args=(n,), daemon=True) for n in range(number)]
        for one_of in self.threads:
            one_of.start()

    def visit(self, n):
        seen = ""
        time.sleep(self.pace_s * n / len(self.threads) if self.pace_s else 0)
        with Client(self.one.port) as client:
            while not self.over.wait(self.pace_s):
                began = time.monotonic()
                try:
                    answer = client.ask("/")
                except (Broken, OSError) as error:
                    with self.lock:
                        self.failed.append(str(error))
                    return
                with self.lock:
                    self.answers.append((began, time.monotonic() - began, answer.text))
                    if answer.status != 200:
                        self.failed.append(answer.status)
                    self.back += answer.text < seen
                seen = answer.text

    def count(self, version):
        with self.lock:
            return sum(1 for _, _, text in self.answers if text == version)

    def p99_s(self, begin, end):
        with self.lock:
            times = sorted(took for at, took, _ in self.answers if begin <= at < end)
        return times[len(times) * 99 // 100], len(times)

    def end(self):
        self.over.set()
        for one in self.threads:
            one.join(60)


@pytest.fixture
def server(stead, work):
    folder = write(work / "server", {"stead.conf": deploybed.SERVER + "Gates=2\n", "sites/.keep": ""})
    return deploybed.Server(stead(folder).up())


def release(work, version, sleep, conf):
    return write(work / "shop", {"app.py": APP.format(version=version, sleep=sleep), "stead.conf": conf})


def test_two_gates_and_a_long_queue(server, work, promise):
    """One worker, a request at a time: what waits at the switch is the new release's, at both gates, and nobody is sent back."""
    conf = "[Python]\nWorkers=1\nThreads=1\n[Site]\nQueue=200\n"
    server.deploy(release(work, "1", 0.02, conf))
    assert len(server.one.pids("gate")) == 2
    visitors = Visitors(server.one, CLIENTS)
    try:
        for version in ("2", "3", "4"):
            wait_until("a queue", lambda: visitors.count(str(int(version) - 1)) > CLIENTS)
            server.deploy(release(work, version, 0.02, conf))
        wait_until("the last release", lambda: visitors.count("4") > CLIENTS)
    finally:
        visitors.end()
    kept = not visitors.failed and not visitors.back
    promise("deploy with two gates and a long queue", f"{CLIENTS} wait for one worker, 3 deploys: {len(visitors.failed)} of "
            f"{len(visitors.answers)} failed, {visitors.back} went back to an older release", kept)
    assert kept, visitors.failed[:5]


def test_what_a_deploy_costs_visitors(server, work, promise):
    """Told, with what it was before: on a machine that others load both are noise."""
    conf = "[Python]\nWorkers=2\n"
    server.deploy(release(work, "1", 0, conf))
    visitors = Visitors(server.one, 10, 0.05)
    try:
        begin = time.monotonic()
        time.sleep(6)
        middle = time.monotonic()
        for version in ("2", "3", "4"):
            server.deploy(release(work, version, 0, conf))
        end = time.monotonic()
    finally:
        visitors.end()
    (before, n), (during, m) = visitors.p99_s(begin, middle), visitors.p99_s(middle, end)
    promise("deploy under load, p99", f"{before * 1000:.1f} ms before ({n} requests), {during * 1000:.1f} ms during 3 deploys ({m})",
            during <= before + MARGIN_S and not visitors.failed)
    assert not visitors.failed, visitors.failed[:5]
