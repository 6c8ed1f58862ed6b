"""SIGKILL of the parent, under a manager that keeps its descriptors (manager.py): everything serves on, a new parent takes
it all over, and supervises it as before. The same under the real systemd: test_fresh_upgrade.py."""

import os
import pathlib
import signal
import threading

import pytest

import deploybed
from client import Client, Load, ask
from loadgen import LoadGen, told
from program import wait_until
from test_deploy import program_of
from test_upgrade import CORE, FILES, REQUESTS, SEC, site, slow, versions  # noqa: F401 - fixtures
from upgradebed import Managed, events
from wsclient import WebSocket

pytestmark = pytest.mark.timeout(SEC * 2 + 120)


@pytest.fixture
def live(versions, work, site, request):  # noqa: F811
    if "kind" in request.fixturenames:
        deploybed.write(site, {"stead.conf": deploybed.SERVER, "sites/.keep": ""})
    one = Managed(versions, work, site).up()
    yield one
    left = one.end()
    if getattr(request.node, "report_call", None) is None or request.node.report_call.failed:
        print(f"--- output\n{one.output()}\n--- its log\n{one.log_tail()}")
    assert not left, f"processes left over: {left}"


def load(one, requests, steps):
    return LoadGen(one.port, ["4:file:/files/%n.txt", "2:app:/app?%u"], requests, SEC, steps=steps, files=FILES, kept=16,
                   thinks=8, new=8)


@pytest.mark.promise
def test_everything_serves_on(live, promise):
    """Nothing fails and nothing closes; every process is adopted as it is, but ctl, which tells everything again."""
    one, answers, seconds = live, [], []
    before = {role: one.pids(role) for role in CORE}
    waiting = threading.Thread(target=slow, args=(one, answers))
    with WebSocket(one.port) as ws, load(one, REQUESTS, 4) as many:
        many.step()
        waiting.start()
        for _ in range(3):
            seconds.append(one.kill_parent())
            many.step()
        seen = many.done()
        ws.say("still here")
        assert ws.hear() == "still here"
    waiting.join()
    assert answers == ["app 1\n"]
    assert not many.faults and seen["new"]["failed"] == seen["reused"]["failed"] == 0, (seen, many.faults[:20])
    assert {role: one.pids(role) for role in ("gate", "log", "worker")} == {role: before[role] for role in ("gate", "log", "worker")}
    wait_until("a new ctl", lambda: one.answers() and not set(one.pids("ctl")) & set(before["ctl"]))
    said = events(one, "ADOPTED")
    assert [record["lost"] for record in said] == ["0", "0", "0"], said
    promise("root parent killed", f"adopted after {max(seconds) * 1000:.0f} ms at most in 3 kills at load, {told(seen)} failed/answered, "
            "0 WebSockets closed (goal: serve on, ≤ 1 s)", max(seconds) <= 1)


@pytest.mark.parametrize("role", ["gate", "log", "ctl", "worker"])
def test_supervised_as_before(live, role):
    """What was another parent's child and dies is started again; its status is nobody's to know."""
    one = live
    one.kill_parent()
    wait_until("the control process", one.answers)
    one.kill_and_wait(role)
    wait_until("an answer", lambda: ask(one, "/app?2").text == "app 2\n")
    wait_until("the word of its end", lambda: [record for record in events(one, "PROC_DIED") if record["role"] == role])
    assert any(record["role"] == role and record["status"] == "unknown" for record in events(one, "PROC_DIED")) or role == "ctl"
    one.kill_and_wait(role)  # and again, this time its own child


@pytest.mark.parametrize("kind", ["port", "php"])
def test_deployed_programs(live, versions, work, kind):  # noqa: F811
    """They serve on, are watched as before, and a release may follow."""
    one = live
    folder = deploybed.write(work / "shop", program_of(kind, "one", work))
    one.cli_of(versions.this, "deploy", str(folder))

    def programs():
        return [p["pid"] for p in one.status()["processes"] if p["role"] == "service" and p["phase"] == "up"]

    before = programs()
    with Load(one) as many:
        many.wait_for(20)
        one.kill_parent()
        many.wait_for(20)
        wait_until("the control process", one.answers)
        assert programs() == before and before
    assert not many.failed, (str(many), many.seen)
    # PHP-FPM's own children would be the manager's then: without a control group (not as root) nobody finds them.
    if kind != "php":
        os.kill(before[0], signal.SIGKILL)
        wait_until("another one", lambda: programs() and programs() != before and ask(one).text == "one")
    deploybed.write(folder, program_of(kind, "two", work))
    one.cli_of(versions.this, "deploy", str(folder))
    wait_until("the next release", lambda: ask(one).text == "two")


def test_what_died_meanwhile(live):
    """A worker that ends while there is no parent is found missing and started again."""
    one = live
    worker, parent = one.pid("worker"), one.pid("parent")
    os.kill(parent, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    os.kill(parent, signal.SIGKILL)
    wait_until("another parent", lambda: [pid for pid in one.pids("parent") if pid != parent])
    wait_until("two workers", lambda: len(one.pids("worker")) == 2 and worker not in one.pids("worker"))
    with Client(one.port) as client:
        assert client.ask("/app?3").text == "app 3\n"


def test_a_state_that_cannot_be_read(live):
    """It is given up, and said: what was started before is ended, and the next parent begins anew. It does not fail for ever."""
    one = live
    before = one.tree()
    manager, = [pid for pid in (one.process.pid, *one.tree()) if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().find(b"manager.py") >= 0]
    kept, = [fd for fd in pathlib.Path(f"/proc/{manager}/fd").iterdir() if "memfd:stead-state" in os.readlink(fd)]
    with open(kept, "r+b") as memory:
        memory.write(b"no state" * 500)
    begun = one.output().count("started ")
    os.kill(one.pid("parent"), signal.SIGKILL)
    wait_until("another parent to begin anew", lambda: "cannot be taken over" in one.output() and one.answers())
    assert "begins anew" in one.output() and one.output().count("started ") - begun <= 3, one.output()
    wait_until("all of before to be gone", lambda: not set(before) & set(one.tree()) - {manager})
    end = one.ask(verb="up", folder=str(one.folder), http=one.http, https="")
    assert end["exit"] == 0, end
    with Client(one.port) as client:
        assert client.ask("/app?3").text == "app 3\n"


def test_upgrade_and_stop_behind_it(live, versions):  # noqa: F811
    """A version taken over to, a kill of it, and the way back; a stop leaves nothing in the manager's hands."""
    one = live
    one.kill_parent()
    wait_until("the control process", one.answers)
    workers = one.pids("worker")
    end = one.upgrade(versions.other)
    assert end["exit"] == 0, end
    one.wait_version(versions.other)
    assert one.pids("worker") == workers and ask(one, "/app?4").text == "app 4\n"
    one.kill_parent()  # its command is still the first version's, as a unit's is until the manager reads it again
    wait_until("the control process", one.answers)
    one.wait_version(versions.this)
    assert one.pids("worker") == workers and ask(one, "/app?5").text == "app 5\n"
    one.process.terminate()
    assert one.process.wait(30) == 0
    assert one.output().splitlines()[-2:] == ["store 0", "ended 0"], one.output()[-1000:]
