"""Programs of the app that serve nothing: [Worker NAME]."""

import json
import os
import re
import signal

import pytest

from client import ask
from program import wait_until

APP = "def application(environ, start_response):\n    start_response('200 OK', [('Content-Length', '2')])\n    return [b'ok']\n"
# Says on each line of its own what it is, and lives until it is told otherwise.
LOOP = """#!/bin/sh
trap 'echo "$NAME ends"; exit 0' TERM
echo "$NAME $STEAD_PROGRAM $STEAD_APP $EXTRA $(pwd) ${SECRET_KEY:+secret} begins $$ $1"
while :; do sleep 0.05; done
"""


def conf(*programs, extra="one"):
    return f"[Site]\nName=shop\n[Service]\nEnvironment=EXTRA={extra} NAME=prog\n[Python]\nWsgi=app:application\nWorkers=1\n" + "".join(programs)


@pytest.fixture
def run(stead, app_folder):
    def make(text, **files):
        folder = app_folder({"app.py": APP, "loop.sh": LOOP, "stead.conf": text, **files})
        (folder / "loop.sh").chmod(0o755)
        return stead(folder).up()
    return make


def programs(one, name=None):
    """What runs beside the app: {(program, index): process}."""
    return {(p["program"], p["index"]): p for p in one.status()["processes"]
            if p["program"] and p["phase"] == "up" and name in (None, p["program"])}


def said(one):
    return [r["text"] for r in one.logs() if r["kind"] == "app"]


def rewrite(one, text):
    (one.folder / "stead.conf").write_text(text)
    return one.cli("reload")


MAIL = "[Worker mail]\nExecStart=./loop.sh a\n"
FEED = "[Worker feed]\nExecStart=./loop.sh b\nWorkers=2\n"


def test_beside_the_app(run):
    """Same environment, folder and log; any number of each; in status."""
    one = run(conf(MAIL, FEED))
    assert set(wait_until("all three", lambda: len(programs(one)) == 3 and programs(one))) == {
        ("mail", 0), ("feed", 0), ("feed", 1)}
    wait_until("their words", lambda: sum("begins" in line for line in said(one)) == 3)
    line = next(line for line in said(one) if "prog mail" in line)
    assert line.startswith(f"prog mail shop one {one.folder} secret begins") and line.endswith(" a"), line
    assert "mail 0" in one.cli("status")
    assert ask(one).body == b"ok"


def test_started_again(run):
    one = run(conf(MAIL))
    pid = wait_until("it", lambda: programs(one))["mail", 0]["pid"]
    os.kill(pid, signal.SIGKILL)
    again = wait_until("another", lambda: {k: p for k, p in programs(one).items() if p["pid"] != pid})
    assert again["mail", 0]["restarts"] >= 1
    assert ask(one).body == b"ok"


def test_failing_one(run):
    """One that only fails is tried again with pauses, and neither stops the site nor hides."""
    one = run(conf("[Worker bad]\nExecStart=/bin/sh -c 'echo no table >&2; exit 3'\n", MAIL))
    wait_until("its pause", lambda: any(p["program"] == "bad" and p["restarts"] >= 2 and p["status"] == 3
                                        for p in one.status()["processes"]))
    assert ask(one).body == b"ok"
    assert ("mail", 0) in wait_until("the other", lambda: programs(one, "mail"))
    wait_until("its words", lambda: "no table" in said(one))


def test_reload_and_restart(run):
    """A reload starts what is new, ends what is gone, replaces what changed, and leaves the rest alone."""
    one = run(conf(MAIL, FEED))
    before = wait_until("all three", lambda: len(programs(one)) == 3 and programs(one))
    rewrite(one, conf(MAIL, "[Worker more]\nExecStart=./loop.sh c\n"))
    after = wait_until("the new ones", lambda: set(programs(one)) == {("mail", 0), ("more", 0)} and programs(one))
    assert after["mail", 0]["pid"] == before["mail", 0]["pid"]
    wait_until("its leave", lambda: sum(line == "prog ends" for line in said(one)) == 2)
    rewrite(one, conf(MAIL.replace(" a", " changed"), "[Worker more]\nExecStart=./loop.sh c\n"))
    changed = wait_until("it", lambda: {k: p for k, p in programs(one, "mail").items() if p["pid"] != after["mail", 0]["pid"]})
    assert changed and programs(one, "more")["more", 0]["pid"] == after["more", 0]["pid"]
    one.cli("restart")
    wait_until("both anew", lambda: len(programs(one)) == 2 and not {p["pid"] for p in programs(one).values()} &
               {changed["mail", 0]["pid"], after["more", 0]["pid"]})


def test_control_killed(run):
    """A new ctl finds them as they are."""
    one = run(conf(MAIL))
    pid = wait_until("it", lambda: programs(one))["mail", 0]["pid"]
    one.kill_and_wait("ctl")
    assert wait_until("it", lambda: programs(one))["mail", 0]["pid"] == pid
    rewrite(one, conf())
    wait_until("it is gone", lambda: not programs(one))


def test_stopped(run):
    """The end waits for the program's own."""
    one = run(conf(MAIL))
    wait_until("its words", lambda: any("begins" in line for line in said(one)))
    one.stop()
    text = (one.state / "log" / "current.jsonl").read_text()
    assert any(json.loads(line).get("text") == "prog ends" for line in text.splitlines())


def test_conf(stead, app_folder):
    for text, words in (("[Worker mail]\nWorkers=2\n", "[Worker mail] has no program"), ("[Worker]\nExecStart=/bin/true\n", "needs a name"),
                        ("[Worker mail]\nExecStart=./none\n", "none"), ("[Worker mail]\nExecStart=/bin/true\nListen=fd\n", "Listen")):
        folder = app_folder({"app.py": APP, "stead.conf": conf(text)})
        assert words in stead(folder).fails(2)


# ---- [Timer] ----

# One line for each run, in a file of its own folder: its number, and what state the others are in.
TICK = """#!/bin/sh
echo "begin $STEAD_RUN" >> "$STATE_DIRECTORY/runs"
[ -n "$1" ] && sleep "$1"
echo "end $STEAD_RUN" >> "$STATE_DIRECTORY/runs"
exit ${2:-0}
"""


def runs(one):
    file = one.state / "data" / "runs"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def begun(one):
    return [number for what, number in runs(one) if what == "begin"]


def timer(one, name="tick"):
    return next((t for t in one.status()["timers"] if t["name"] == name), None)


def timed(run, lines, arguments=""):
    one = run(conf(f"[Timer tick]\nExecStart=/bin/sh tick.sh {arguments}\n{lines}"), **{"tick.sh": TICK})
    assert ask(one).body == b"ok"
    return one


def never_twice_nor_over(one):
    """Each number began once, and ended before the next began."""
    lines, open_run = runs(one), None
    for what, number in lines:
        assert (what == "begin") == (open_run is None), lines
        assert open_run in (None, number), lines
        open_run = number if what == "begin" else None
    assert len(set(begun(one))) == len(begun(one)), lines


@pytest.mark.parametrize("lines", ["OnUnitActiveSec=300ms", "OnCalendar=*:*:*", "OnUnitInactiveSec=200ms", "OnCalendar=*:*:0/2"])
def test_timer(run, lines):
    one = timed(run, lines + "\n")
    wait_until("three runs", lambda: len(begun(one)) >= 3)
    never_twice_nor_over(one)
    # On a busy machine it is often seen while it runs.
    t = wait_until("one to end", lambda: (lambda t: t["ended_us"] > t["last_us"] and t["next_us"] and t)(timer(one)))
    assert t["status"] == 0 and t["next_us"] > t["last_us"]
    wait_until("its line", lambda: re.search(r"tick .*next in", one.cli("status")))


def test_timer_never_overlaps(run):
    one = timed(run, "OnUnitActiveSec=100ms\n", "0.6")
    wait_until("three runs", lambda: len(begun(one)) >= 3)
    never_twice_nor_over(one)


def test_timer_once_and_failure(run):
    """OnActiveSec= alone is one run; its status is shown, and it is not tried again by itself."""
    one = timed(run, "OnActiveSec=100ms\n", "0 3")
    wait_until("its end", lambda: timer(one)["status"] == 3)
    assert "failed with exit status 3" in one.cli("status")
    assert not timer(one)["running"] and timer(one)["next_us"] == 0
    # It is told by its name, and as what it is: nobody starts it again.
    failed, = wait_until("its word", lambda: [r for r in one.logs() if r.get("event") == "TIMER_FAILED"])
    assert failed["timer"] == "tick" and failed["status"] == "3" and failed["level"] == "error", failed
    assert [r["status"] for r in one.logs() if r.get("event") == "RUN_FAILED"] == ["3"]
    assert not [r for r in one.logs() if r.get("event") == "PROC_DIED"]
    # Another of its kind has had time to run by now, if it would.
    rewrite(one, conf("[Timer tick]\nExecStart=/bin/sh tick.sh 0 3\nOnActiveSec=100ms\n[Timer other]\nExecStart=/bin/true\nOnActiveSec=300ms\n"))
    wait_until("the other", lambda: timer(one, "other")["ended_us"])
    assert len(begun(one)) == 1


def test_timer_not_found(run):
    one = run(conf("[Timer gone]\nExecStart=/bin/sh gone.sh\nOnActiveSec=100ms\n", extra="x"))
    wait_until("its end", lambda: timer(one, "gone")["status"] not in (0, None) and timer(one, "gone")["ended_us"])


def test_timer_control_killed(run):
    """ctl dies again and again: no run is lost for ever, none happens twice or over another."""
    one = timed(run, "OnUnitActiveSec=200ms\n", "0.1")
    for _ in range(4):
        have = len(begun(one))
        one.kill_and_wait("ctl")
        wait_until("the next run", lambda: len(begun(one)) > have)
    never_twice_nor_over(one)
    wait_until("it is known", lambda: timer(one)["last_us"] and str(timer(one)["last_us"]) in begun(one))


def test_timer_while_control_is_dead(run):
    """A run that goes on while ctl dies is not begun again, and its end is seen."""
    one = timed(run, "OnActiveSec=100ms\n", "2 5")
    wait_until("it runs", lambda: timer(one)["running"])
    one.kill_and_wait("ctl")
    wait_until("its end", lambda: timer(one)["status"] == 5)
    assert len(begun(one)) == 1


@pytest.mark.parametrize("persistent", [True, False])
def test_timer_missed(run, persistent):
    """What came due while stead was down is made up for once, with Persistent= alone."""
    one = timed(run, f"OnCalendar=*:*:0/2\nPersistent={'yes' if persistent else 'no'}\n")
    wait_until("one run", lambda: timer(one)["ended_us"])
    # A far time that has passed meanwhile: the base lies before it, as after a night without power.
    one.stop()
    import sqlite3
    with sqlite3.connect(one.state / "state.db") as db:
        (base,) = db.execute("SELECT value FROM meta WHERE key = 'timer/tick/base'").fetchone()
        db.execute("UPDATE meta SET value = ? WHERE key = 'timer/tick/base'", (base - 86400 * 400 * 10**6,))
    have = len(begun(one))
    (one.folder / "stead.conf").write_text(conf(
        f"[Timer tick]\nExecStart=/bin/sh tick.sh\nOnCalendar=yearly\nPersistent={'yes' if persistent else 'no'}\n"
        "[Timer other]\nExecStart=/bin/true\nOnActiveSec=500ms\n"))
    one.up()
    wait_until("the other", lambda: timer(one, "other")["ended_us"])
    if persistent:
        wait_until("it is made up for", lambda: len(begun(one)) == have + 1)
    assert len(begun(one)) == have + (1 if persistent else 0)


def test_timer_conf(stead, app_folder):
    for lines, words in (("OnCalendar=25:00\n", "is no time of the calendar"), ("", "never runs"),
                         ("OnCalendar=daily Europe/Nowhere\n", "there is no time zone Europe/Nowhere"),
                         ("OnCalendar=daily\n[Worker tick]\nExecStart=/bin/true\n", "another program has this name")):
        folder = app_folder({"app.py": APP, "stead.conf": conf(f"[Timer tick]\nExecStart=/bin/true\n{lines}")})
        assert words in stead(folder).fails(2)
