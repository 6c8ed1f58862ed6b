"""Who starts leaves the processor to those that serve: as root a new release is nicer than the old one until it can serve.

Without root nobody may make a process less nice again, so there it starts as it will run.
"""

import json
import os
import signal

import pytest

from deploybed import write
from program import wait_until
from test_deploy_root import server  # noqa: F401  (a fixture)

NICER = 10
CAP_SYS_NICE = 1 << 23
APP = '''
import json, os, threading, time

STARTED = os.getpriority(os.PRIO_PROCESS, 0)
EARLY = threading.Thread(target=time.sleep, args=(600,), daemon=True)
EARLY.start()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    now = {int(t): os.getpriority(os.PRIO_PROCESS, int(t)) for t in os.listdir("/proc/self/task")}
    return [json.dumps({"pid": os.getpid(), "started": STARTED, "now": sorted(set(now.values())), "threads": len(now)}).encode()]
'''
SERVICE = '''
import http.server, json, os
STARTED = os.getpriority(os.PRIO_PROCESS, 0)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"started": STARTED, "now": os.getpriority(os.PRIO_PROCESS, 0)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


def may_renice():
    with open("/proc/self/status", encoding="ascii") as text:
        return any(line.startswith("CapEff:") and int(line.split()[1], 16) & CAP_SYS_NICE for line in text)


pytestmark = [pytest.mark.root, pytest.mark.skipif(not may_renice(), reason="CAP_SYS_NICE is not to be had here")]


def told(server):
    answer = server.get()
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


def test_a_new_release(server, work):
    """Nicer while it is imported, with all its threads as asked when it serves; so is the next one beside it."""
    folder = work / "shop"
    conf = "[Python]\nWorkers=1\n[Service]\nNice=3\n"
    for version in ("1", "2"):
        server.deploy(write(folder, {"app.py": APP + f"# {version}\n", "stead.conf": conf}))
        seen = told(server)
        assert seen["started"] == 3 + NICER, seen
        assert seen["now"] == [3] and seen["threads"] >= 2, seen


def test_one_in_a_hurry(server, work):
    """A worker that takes the place of a dead one starts as it will run."""
    server.deploy(write(work / "shop", {"app.py": APP, "stead.conf": "[Python]\nWorkers=1\n"}))
    first = told(server)
    os.kill(server.one.pids("worker")[0], signal.SIGKILL)
    wait_until("another worker", lambda: server.get().status == 200 and told(server)["pid"] != first["pid"])
    own = os.getpriority(os.PRIO_PROCESS, 0)
    seen = told(server)
    assert first["started"] == own + NICER and seen["started"] == own and seen["now"] == [own], (first, seen)


def test_a_program(server, work):
    """A program that is asked whether it answers has served from then on."""
    server.deploy(write(work / "shop", {"serve.py": SERVICE, "stead.conf":
                                        "[Service]\nExecStart=/usr/bin/python3 serve.py\n[Site]\nDomain=p.test\n"}))
    own = os.getpriority(os.PRIO_PROCESS, 0)
    seen = json.loads(server.get(host="p.test").text)
    assert seen == {"started": own + NICER, "now": own}, seen
