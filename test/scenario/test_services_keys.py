"""Keys of a program's life that stead cannot keep: refused with their place, the reason and what to do instead; systemd's
own that hold in another way here are noted with what holds."""

import pytest

from test_detect import check, errors

EXEC = "[Service]\nExecStart=/bin/true\n"
WORKER = EXEC + "[Worker mail]\nExecStart=/bin/true\n"
TIMER = EXEC + "[Timer report]\nExecStart=/bin/true\nOnCalendar=daily\n"
FLASK = "[Python]\nWsgi=app:app\n[Service]\n"

# (stead.conf, line, parts of the text, what to do)
REFUSED = [
    (EXEC + "MaxRequests=100\n", 3, ["MaxRequests= cannot hold in [Service]", "not counted"], "LifetimeSec="),
    (EXEC + "IdleStopSec=5min\n", 3, ["IdleStopSec= cannot hold in [Service]", "not started by a request"], "take it out"),
    (EXEC + "Workers=2:8\n", 3, ["\"2:8\"", "is fixed"], "write one number"),
    (EXEC + "Threads=4\n", 3, ["Threads=", "libstead"], "tell the program itself"),
    (EXEC + "Type=forking\n", 3, ["Type=forking"], "stay in the foreground"),
    (EXEC + "Listen=port:8000\nWorkers=2\n", 4, ["Workers=2", "a fixed port"], "fd, port or auto"),
    (EXEC + "Listen=link\nWatchdogSec=1s\n", 3, ["Listen=link"], "take Type= and WatchdogSec= out"),
    (WORKER + "MaxRequests=1\n", 5, ["MaxRequests= cannot hold in [Worker]"], "RssMax="),
    (WORKER + "IdleStopSec=1s\n", 5, ["IdleStopSec= cannot hold in [Worker]"], "[Timer NAME]"),
    (WORKER + "Threads=2\n", 5, ["Threads= cannot hold in [Worker]"], "take it out"),
    (WORKER + "Workers=1:2\n", 5, ["is fixed"], "write one number"),
    (TIMER + "Restart=no\n", 6, ["Restart= cannot hold in [Timer]", "at its time"], "[Worker NAME]"),
    (TIMER + "WatchdogSec=1s\n", 6, ["WatchdogSec= cannot hold in [Timer]"], "timeout(1)"),
    (WORKER + "Environment=A=1\n", 5, ["Environment= cannot hold in [Worker]"], "write it in [Service]"),
    (TIMER + "Workers=2\n", 6, ["Workers= cannot hold in [Timer]", "never overlap"], "another [Timer NAME]"),
    (TIMER + "LifetimeSec=2\n", 6, ["LifetimeSec= cannot hold in [Timer]"], "timeout(1)"),
    (FLASK + "LifetimeSec=1d\n", 4, ["LifetimeSec= in [Service]", "the app of [Python] is run"], "write it in [Python]"),
    (FLASK + "Workers=4\n", 4, ["Workers= in [Service]"], "write it in [Python]"),
    ("[Php]\nRoot=.\nFpm=/bin/true\n[Service]\nRssMax=1G\n", 5, ["RssMax= in [Service]", "[Php]"], "write it in [Php]"),
]


@pytest.mark.parametrize("text, line, parts, todo", REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_refused(app_folder, text, line, parts, todo):
    files = {"stead.conf": text, "index.php": "", **({"app.py": "def app(e, s): pass\n"} if "Wsgi=" in text else {})}
    found = errors(check(app_folder(files), status=2))
    assert len(found) == 1, found
    assert (found[0]["file"], found[0]["line"]) == ("stead.conf", line), found
    assert all(part in found[0]["text"] for part in parts) and todo in found[0]["todo"], found


@pytest.mark.parametrize("key, holds", [("PIDFile=/run/x.pid", "is the main one"), ("ExitType=cgroup", "when the started process has"),
                                        ("ProtectHostname=no", "the name cannot be changed")])
def test_a_unit_file_as_it_is(app_folder, key, holds):
    """What systemd would do and stead does in another way is said, and no error."""
    answer = check(app_folder({"web.service": EXEC + key + "\n"}), status=0)
    (note,) = [f for f in answer["findings"] if f["line"] == 3]
    assert note["level"] == "note" and "no effect in this version: " in note["text"] and holds in note["text"], note


def test_a_life_that_nobody_has(app_folder):
    """[Service] keys where only files are served: a warning."""
    answer = check(app_folder({"index.html": "", "stead.conf": "[Service]\nRssMax=1G\n"}), status=0)
    assert any(f["level"] == "warning" and "RssMax= has no effect" in f["text"] for f in answer["findings"])
