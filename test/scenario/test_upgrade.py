"""`stead upgrade`: another version takes over at load, there and back, and a bad one is given up with nothing lost.

STEAD_UPGRADE_REQUESTS: 6000; `make promises` takes 100,000.
"""

import contextlib
import os
import sqlite3
import threading

import pytest

import deploybed
from client import Client, Load, ask
from loadgen import LoadGen, told
from program import wait_until
from test_deploy import program_of
from upgradebed import Upgraded, Versions, events
from wsclient import WebSocket

REQUESTS = int(os.environ.get("STEAD_UPGRADE_REQUESTS", "6000"))
SEC = 60 + REQUESTS // 500
FILES = 50
APP = '''
import asyncio

async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (m := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": m["text"]})
        return
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"app " + scope["query_string"] + b"\\n"})
'''
CORE = ("parent", "gate", "ctl", "log", "worker")

pytestmark = pytest.mark.timeout(SEC * 2 + 120)


@pytest.fixture
def versions(work):
    return Versions(work)


@pytest.fixture
def site(app_folder):
    files = {f"files/{n:03}.txt": f"file {n:03}\n" + "x" * (n * 37 % 4000) for n in range(FILES)}
    return app_folder({"app.py": APP, "stead.conf": "[Site]\nStatic=/files files\n[Python]\nAsgi=app:application\nWorkers=2\n",
                       **files})


@pytest.fixture
def live(versions, work, site, request):
    made = []

    def make(**options):
        made.append(Upgraded(versions, work, site, **options).up())
        return made[-1]
    yield make
    for one in made:
        left = one.end()
        if getattr(request.node, "report_call", None) is None or request.node.report_call.failed:
            print(f"--- output of {one.command}\n{one.output()}\n--- its log\n{one.log_tail()}")
        assert not left, f"processes left over: {left}"


def load(one, requests, steps):
    return LoadGen(one.port, ["4:file:/files/%n.txt", "2:app:/app?%u"], requests, SEC, steps=steps, files=FILES, kept=16,
                   thinks=8, new=8)


def slow(one, into):
    with Client(one.port) as client:
        into.append(client.ask("/slow?1").text)


@pytest.mark.promise
def test_there_and_back(live, versions, promise):
    """Nothing fails, no WebSocket closes, no process of the app is started again."""
    one = live()
    before, answers = {role: one.pids(role) for role in CORE}, []
    waiting = threading.Thread(target=slow, args=(one, answers))
    with WebSocket(one.port) as ws, load(one, REQUESTS, 3) as many:
        assert ws.opened
        many.step()
        waiting.start()
        assert one.upgrade(versions.other)["exit"] == 0
        one.wait_version(versions.other)
        one.cli_of(versions.other, "reload")  # nothing has changed, and it ends
        ws.say("still here")
        assert ws.hear() == "still here"
        ws.close()
        many.step()
        assert one.upgrade(versions.this)["exit"] == 0
        one.wait_version(versions.this)
        seen = many.done()
    waiting.join()
    assert answers == ["app 1\n"]
    assert not many.faults and seen["new"]["failed"] == seen["reused"]["failed"] == 0, (seen, many.faults[:20])
    assert seen["new"]["ok"] + seen["reused"]["ok"] >= REQUESTS
    after = {role: one.pids(role) for role in CORE}
    assert after["parent"] == before["parent"] and after["worker"] == before["worker"]
    assert not set(before["ctl"] + before["log"]) & set(after["ctl"] + after["log"])
    said = wait_until("both events", lambda: len(seen := events(one, "UPGRADED")) >= 2 and seen)
    assert [record["from"] for record in said] == [versions.this, versions.other], said
    promise("binary upgrade", f"{told(seen)} failed/answered over 2 upgrades, 0 WebSockets closed, 0 app processes restarted "
            f"({', '.join(record['ms'] + ' ms' for record in said)}; goal: 0 and 0)")


def conf_of(site, server):
    (site / "stead.conf").write_text((site / "stead.conf").read_text() + f"[Server]\n{server}\n")


def draining(one):
    return [p for p in one.status()["processes"] if p["role"] == "gate" and "ends_in_ms" in p]


def test_again_while_older_gates_drain(live, versions):
    """A WebSocket of each version before goes on, whatever upgrade comes next; stead says what its gate still has."""
    one, others = live(), (versions.other, versions.this, versions.other)
    with contextlib.ExitStack() as sockets, load(one, REQUESTS // 2, 4) as many:
        held = []
        for n, version in enumerate(others):
            held.append(sockets.enter_context(WebSocket(one.port)))
            assert held[-1].opened
            many.step()
            assert one.upgrade(version)["exit"] == 0
            one.wait_version(version)
            for number, ws in enumerate(held):
                ws.say(f"{n} {number}")
                assert ws.hear() == f"{n} {number}"
        seen = many.done()
        assert not many.faults and seen["new"]["failed"] == seen["reused"]["failed"] == 0, (seen, many.faults[:20])
        wait_until("what the older gates have left", lambda: sum(p["tunnels"] for p in draining(one)) == 3 and len(draining(one)) == 3)
        assert all(3500000 < p["ends_in_ms"] <= 3600000 for p in draining(one))
        text = one.cli_of(versions.other, "status")
        assert text.count("finishes 1 connections, 1 of them WebSockets or other tunnels; ends in ") == 3, text
        held[1].close()  # its gate ends with it, the others go on
        wait_until("two of them", lambda: len(draining(one)) == 2)
        for ws in (held[0], held[2]):
            ws.say("still here")
            assert ws.hear() == "still here"
    wait_until("the gate that serves alone", lambda: len(one.pids("gate")) == len(one.status()["processes"]) - len(
        [p for p in one.status()["processes"] if p["role"] != "gate"]) and not draining(one))


@pytest.mark.promise
def test_as_many_as_may_drain(live, versions, site, promise):
    """Beside a gate seven older ones drain; one more upgrade is refused before anything of it is tried, with the way out."""
    conf_of(site, "Gates=1\nDrainMaxSec=1h")
    one = live()
    with contextlib.ExitStack() as sockets:
        held = []
        for n in range(7):
            held.append(sockets.enter_context(WebSocket(one.port)))
            version = (versions.other, versions.this)[n % 2]
            assert one.upgrade(version)["exit"] == 0
            one.wait_version(version)
        held.append(sockets.enter_context(WebSocket(one.port)))
        wait_until("seven that drain", lambda: sum(p["tunnels"] for p in draining(one)) == 7)
        before = {role: one.pids(role) for role in CORE}
        end = one.upgrade(versions.this)
        assert end["exit"] == 7 and "7 older gates still have WebSockets or other connections (7 of them)" in end["error"], end
        assert "DrainMaxSec=" in end["todo"] and "ends at " in end["error"], end
        assert {role: one.pids(role) for role in CORE} == before
        for number, ws in enumerate(held):
            ws.say(f"{number}")
            assert ws.hear() == f"{number}"
        # What it says helps: those that drain are told, and end.
        conf = (site / "stead.conf").read_text()
        (site / "stead.conf").write_text(conf.replace("DrainMaxSec=1h", "DrainMaxSec=1s"))
        one.cli_of(versions.other, "reload")
        for ws in held[:7]:
            assert ws.closing()[0] == 1001
            ws.close()
        wait_until("their end", lambda: not draining(one))
        assert one.upgrade(versions.this)["exit"] == 0
        assert held[7].closing()[0] == 1001  # of the gate that was replaced just now: DrainMaxSec= is a second
    promise("upgrades in a row", "7 older gates with a WebSocket each beside the one that serves, all echo; the next upgrade is "
            "refused (7) and says what drains, until when and what to do (goal: none is cut)")


@pytest.mark.parametrize("kind", ["port", "own socket", "php"])
def test_deployed_programs(live, versions, work, site, kind):
    """What speaks for itself is handed over as Python's workers are; a release may follow under the other version, and that is
    handed back."""
    deploybed.write(site, {"stead.conf": deploybed.SERVER, "sites/.keep": ""})
    one = live()
    folder = deploybed.write(work / "shop", program_of(kind, "one", work))
    one.cli_of(versions.this, "deploy", str(folder))

    def programs():
        return [p["pid"] for p in one.status()["processes"] if p["role"] == "service" and p["phase"] == "up"]

    with Load(one) as many:
        for version, text in ((versions.other, "two"), (versions.this, "three")):
            before = programs()
            assert one.upgrade(version)["exit"] == 0
            one.wait_version(version)
            many.wait_for(40)
            assert programs() == before
            deploybed.write(folder, program_of(kind, text, work))
            one.cli_of(version, "deploy", str(folder))
            wait_until(text, lambda text=text: ask(one).text == text)
    assert not many.failed, (str(many), many.seen)


def test_command(live, versions):
    """The verb takes over to the version of the program that is called; what it says and how it ends."""
    one = live()
    one.version = versions.other
    assert one.cli_of(versions.other, "upgrade").splitlines()[-1] == f"stead {versions.other} serves"
    one.wait_version(versions.other)
    gate = versions.roles / versions.this / "stead-gate"
    gate.unlink()
    gate.write_text("#!/bin/sh\nexit 3\n")
    gate.chmod(0o755)
    text = one.cli_of(versions.this, "upgrade", code=1)
    assert "was given up" in text and "start of stead-gate: it ended with status 3" in text, text
    assert all(one.all_are(versions.other).values())


BAD = {
    "gate ends": (dict(role="gate", text="exit 3"), "start of stead-gate: it ended with status 3"),
    "gate is killed": (dict(role="gate", text="kill -9 $$"), "start of stead-gate: it was ended by signal 9"),
    "gate hangs": (dict(role="gate", text="exec sleep 60"), "start of stead-gate: it does not say that it is ready"),
    "gate answers nonsense": (dict(role="gate", edit=(b"HTTP/1.1", b"HTTP/9.1")), "a first request: the new gate does not answer"),
    "keys ends": (dict(role="keys", text="exit 1"), "start of stead-keys: it ended with status 1"),
    "ctl ends": (dict(role="ctl", text="exit 1"), "start of stead-ctl: it ended with status 1"),
    "log is nonsense": (dict(role="log", edit=(b"\x7fELF", b"\x7fELV")), "Exec format error"),
    "parent refuses": (dict(role="parent", text="exit 1"), "it cannot go on with it"),
    "parent hangs": (dict(role="parent", text="exec sleep 60"), "it does not end"),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.promise
def test_bad_version(live, versions, what, promise):
    """It is given up, the reason is told, and what served serves on, untouched."""
    one = live()
    before = {role: one.pids(role) for role in CORE}
    how, why = BAD[what]
    version = versions.bad("bad", **how)
    with load(one, REQUESTS // 4, 2) as many:
        many.step()
        end = one.upgrade(version)
        seen = many.done()
    assert end["exit"] == 1 and why in end["error"] and "serves on" in end["error"], end
    assert not many.faults and seen["new"]["failed"] == seen["reused"]["failed"] == 0, (seen, many.faults[:20])
    assert {role: one.pids(role) for role in CORE} == before
    assert events(one, "UPGRADE_REFUSED")[-1]["to"] == version
    promise("a bad new binary", f"{what}: given up ({end['error'].split(': ', 1)[1]}), {told(seen)} failed/answered (goal: 0)")
    assert one.upgrade(versions.other)["exit"] == 0  # a good one is taken nevertheless


def test_gate_that_fails_later(live, versions, work):
    """It passes its trial and fails among the real ones: the old gate serves on, and whoever asked is told."""
    one = live()
    gates, mark = one.pids("gate"), work / "tried"
    version = versions.bad("later", "gate", f'[ -e {mark} ] && exit 4; : >{mark}; exec "{versions.roles}/{versions.other}/stead-gate"')
    with load(one, REQUESTS // 4, 2) as many:
        many.step()
        end = one.upgrade(version)
        seen = many.done()
    assert end["exit"] == 1 and "start of stead-gate" in end["error"], end
    assert not many.faults and seen["new"]["failed"] == seen["reused"]["failed"] == 0, (seen, many.faults[:20])
    assert gates[0] in one.pids("gate")
    assert one.upgrade(versions.other)["exit"] == 0
    wait_until("the new gate", lambda: gates[0] not in one.pids("gate"))


def test_state_of_a_newer_version(live, versions):
    """One that may not read the state refuses it, and leaves it as it is."""
    one = live()
    with sqlite3.connect(one.state / "state.db", timeout=30) as db:
        db.execute("UPDATE meta SET value = 1000 WHERE key = 'min_reader'")
    end = one.upgrade(versions.other)
    assert end["exit"] == 1 and "start of stead-ctl" in end["error"], end
    with sqlite3.connect(one.state / "state.db", timeout=30) as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'min_reader'").fetchone() == (1000,)
        db.execute("UPDATE meta SET value = 1 WHERE key = 'min_reader'")
    assert one.upgrade(versions.other)["exit"] == 0


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "nothing-there", "x" * 41, ".hidden"])
def test_no_such_version(live_once, name):
    """Nothing but a folder beside this version's is looked at."""
    end = live_once.upgrade(name)
    assert end["exit"] == 1 and "its folder" in end["error"], end


@pytest.fixture(scope="module")
def live_once(tmp_path_factory):
    import program
    import shutil
    import tempfile
    import pathlib

    work = pathlib.Path(tempfile.mkdtemp(prefix="stead-test-", dir="/tmp"))
    work.chmod(0o755)
    folder = work / "app"
    folder.mkdir()
    (folder / "index.html").write_text("hello\n")
    program.give(work)
    one = Upgraded(Versions(work), work, folder).up()
    yield one
    left = one.end()
    shutil.rmtree(work, ignore_errors=True)
    assert not left, left
