"""`stead logs` on a running site: what is asked for and nothing else, also while the log process is replaced."""

import json
import os
import re
import subprocess
import time

from client import ask
from program import BUILD, wait_until

APP = '''
import sys
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/long":
        print("L" * 40000, flush=True)
    elif path == "/control":
        sys.stdout.buffer.write("red \\x1b[31m and \\x9b31m, \\u202eback, \\xe4 and a bell \\x07 and \\xff\\n".encode())
        sys.stdout.buffer.flush()
    elif path == "/half":
        sys.stdout.write("no end of line")
        sys.stdout.flush()
    elif path == "/flood":
        for number in range(200000):
            print("flood", number, "x" * 100)
    else:
        print("asked for " + path, file=sys.stderr, flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x"]
'''
CONF = "[Python]\nWsgi=app:application\nWorkers=1\n"


def site(stead, app_folder):
    return stead(app_folder({"app.py": APP, "stead.conf": CONF}, name="shop")).up()


def test_what_is_asked_for(stead, app_folder):
    one = site(stead, app_folder)
    ask(one, "/one")
    wait_until("the line", lambda: any(r.get("text") == "asked for /one" for r in one.logs()))
    wait_until("the record", lambda: any(r.get("target") == "/one" for r in one.logs()))
    kinds = {r["kind"] for r in one.logs()}
    assert kinds == {"access", "app", "event"}
    ours = [json.loads(line) for line in one.cli("logs", "shop", "--json").splitlines()]
    assert ours and all(r.get("app", r.get("site")) == "shop" for r in ours)
    assert not one.cli("logs", "--level", "error", "--json")
    assert not one.cli("logs", "nobody", "--json")
    assert len(one.cli("logs", "-n", "1").splitlines()) == 1
    one.cli("logs", "--level", "loud", code=2)
    one.cli("logs", "--since", "whenever", code=2)
    one.cli("logs", "-n", "many", code=2)


def test_since(stead, app_folder):
    one = site(stead, app_folder)
    ask(one, "/before")
    wait_until("the line", lambda: "asked for /before" in one.cli("logs"))
    stamp = next(r["ts"] for r in one.logs() if r.get("text") == "asked for /before")
    # --since is in whole seconds; the next one begins behind the record.
    wait_until("the next second", lambda: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) > stamp[:19])
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ask(one, "/after")
    wait_until("the line", lambda: "asked for /after" in one.cli("logs", "--since", now))
    assert "/before" not in one.cli("logs", "--since", now)
    assert "/before" in one.cli("logs", "--since", "1h")


def test_untrusted_output(stead, app_folder):
    """Long lines in pieces, control characters never to the terminal, half a line when its process ends."""
    one = site(stead, app_folder)
    ask(one, "/long")
    wait_until("the long line's end", lambda: sum(r.get("text", "").count("L") for r in one.logs()) == 40000)
    ask(one, "/control")
    text = wait_until("the line", lambda: (t := one.cli("logs")) and "bell" in t and t)
    assert "\x1b" not in text and "\x07" not in text and "\\x1b[31m" in text
    # C1 has the same functions, and what turns the order around makes a line look like another.
    assert "\x9b" not in text and "\u202e" not in text and "\\xc2\\x9b31m, \\xe2\\x80\\xaeback, \u00e4" in text
    shown = subprocess.run(["script", "-qec", f"{BUILD}/stead logs --json --state {one.state}", "/dev/null"], capture_output=True,
                           stdin=subprocess.DEVNULL, timeout=60).stdout.decode()
    assert "bell" in shown and "\x9b" not in shown and "\u202e" not in shown and "\x1b" not in shown
    ask(one, "/half")
    one.kill_and_wait("worker")
    wait_until("the half line", lambda: any(r.get("text") == "no end of line" for r in one.logs()))


def test_an_app_that_floods(stead, app_folder):
    """22 MB of output: bounded on the disk, what was left out is counted, the site serves on."""
    one = site(stead, app_folder)
    assert ask(one, "/flood").status == 200
    assert ask(one, "/next").status == 200
    wait_until("the line behind it", lambda: "asked for /next" in one.cli("logs", "-n", "1000"))
    size = sum(f.stat().st_size for f in (one.state / "log").iterdir())
    assert size < 45 * 1024 * 1024
    # Whole lines are dropped: what is told is told as it was said.
    told = [r["text"] for r in one.logs() if r["kind"] == "app" and r.get("stream") == "stdout"]
    assert told and all(re.fullmatch(r"flood \d+ x{100}", text) for text in told), [
        text for text in told if not re.fullmatch(r"flood \d+ x{100}", text)][:5]
    # Reported once a second for each ring, so that a flood of losses is not one more flood.
    wait_until("the count of what was lost",
               lambda: "LOG_DROPPED" in one.cli("logs", "-n", "100", "--json"))


def test_the_log_process_dies(stead, app_folder):
    """Nothing that was written before is lost, and a follower's next question is answered."""
    one = site(stead, app_folder)
    ask(one, "/first")
    wait_until("the line", lambda: "asked for /first" in one.cli("logs"))
    one.kill_and_wait("log")
    ask(one, "/second")
    text = wait_until("both", lambda: (t := one.cli("logs", code=None)) and "asked for /second" in t and t)
    assert "asked for /first" in text
    # `up` in the foreground follows on by itself.
    wait_until("the foreground command to go on",
               lambda: ask(one, "/third") and "asked for /third" in one.output())


def test_follow_ends_with_the_site(stead, app_folder):
    one = site(stead, app_folder)
    follower = subprocess.Popen([str(BUILD / "stead"), "logs", "-f", "--state", str(one.state)],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **one.options())
    try:
        assert os.read(follower.stdout.fileno(), 1)
        assert one.stop() == 0
        follower.communicate(timeout=30)
        assert follower.returncode is not None
    finally:
        follower.kill()
        follower.wait()


def test_no_more_than_its_bound(stead, app_folder):
    """LogMax=: what older files hold beyond it goes at a reload; the new ones stay."""
    one = stead(app_folder({"index.html": "home"})).up()
    log, files = one.state / "log", [f"{number}.jsonl" for number in range(1, 5)]
    for name in files:
        (log / name).write_bytes(b" " * 30 * 1024 * 1024)
    for most, stay in (("100M", 3), ("64M", 2), ("9M", 2)):
        (one.folder / "stead.conf").write_text(f"[Server]\nLogMax={most}\n")
        said = one.cli("reload", code=2 if most == "9M" else 0)
        wait_until("the oldest goes", lambda stay=stay: not (log / files[stay]).exists())
        assert [(log / name).exists() for name in files] == [n < stay for n in range(4)] and (log / "current.jsonl").exists()
    assert "stead.conf:2" in said
