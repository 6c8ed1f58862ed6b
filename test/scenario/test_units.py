"""systemctl's habits: start, stop, restart, enable, disable, is-active and status of an app."""

import json
import re
import subprocess
import threading

from client import Client, ask
from program import BUILD, wait_until

APP = ('import os, time\n'
       'def app(environ, start_response):\n'
       '    if environ["PATH_INFO"] == "/slow": time.sleep(1.5)\n'
       '    print("asked for", environ["PATH_INFO"], flush=True)\n'
       '    start_response("200 OK", [("Content-Type", "text/plain")])\n'
       '    return [str(os.getpid()).encode()]\n')
CONF = ('[Site]\nName=shop\nStatic=/static files\nHealth=/health\n'
        '[Python]\nWsgi=app:app\nWorkers=1\n[Worker mill]\nExecStart=/bin/sleep 1000\n')


def shop(app_folder, extra=""):
    return app_folder({"app.py": APP, "stead.conf": CONF + extra, "files/a.txt": "a file\n"})


def state(one):
    return one.status()["sites"][0]["unit"]["active"]


def test_stop_and_start(stead, app_folder):
    """The whole site says that it is stopped, its files and health too; a request that runs is finished first."""
    one = stead(shop(app_folder)).up()
    worker, mill = one.pids("worker"), [p["pid"] for p in one.status()["processes"] if p["program"] == "mill"]
    assert one.cli("is-active", "shop") == "active\n"
    assert one.cli("start", "shop") == "", "it is active: nothing to do"
    answers = []
    slow = threading.Thread(target=lambda: answers.append(ask(one, "/slow").status))
    slow.start()
    wait_until("the slow one to run", lambda: one.status()["sites"][0]["active"] > 0)
    one.cli("stop", "shop")
    slow.join()
    assert answers == [200]
    alive = {pid for pid, _ in one.alive()}
    assert not alive & {*worker, *mill}
    for path in ("/", "/static/a.txt", "/health", "/nothing"):
        got = ask(one, path)
        assert got.status == 503 and "The site is stopped" in got.text and got["Retry-After"], path
    assert one.cli("is-active", "shop", code=3) == "inactive\n"
    told = one.cli("status", "shop", code=3)
    assert told.startswith(f"○ shop - {one.url}\n") and re.search(r"^     Active: inactive \(dead\) since .* ago$", told, re.M)
    assert "shop  stopped" in one.cli("status")
    one.cli("stop", "shop")
    one.cli("start", "shop")
    assert ask(one, "/").status == 200 and ask(one, "/static/a.txt").text == "a file\n"
    assert state(one) == "active" and one.pids("worker") != worker
    assert [p for p in one.status()["processes"] if p["program"] == "mill"]


def test_a_stop_holds_until_it_is_started(stead, app_folder):
    """Over the deaths of ctl and of gates, over a reload; a restart starts it, as with systemd."""
    one = stead(shop(app_folder)).up()
    one.cli("stop", "shop")
    for role in ("ctl", "gate"):
        one.kill_and_wait(role)
        wait_until("it to answer", lambda: ask(one, "/").status == 503)
        assert "The site is stopped" in ask(one, "/").text
        wait_until("ctl to answer", lambda: one.cli("is-active", "shop", code=None) == "inactive\n")
        assert one.pids("worker") == []
    (one.folder / "files" / "b.txt").write_text("b\n")
    one.cli("reload")
    assert ask(one, "/").status == 503 and one.pids("worker") == []
    one.cli("restart", "shop")
    assert ask(one, "/").status == 200 and state(one) == "active"
    one.kill_and_wait("ctl")
    wait_until("it to be active", lambda: one.cli("is-active", "shop", code=None) == "active\n")
    assert ask(one, "/").status == 200


def test_a_start_that_comes_to_nothing(stead, app_folder):
    """Exit status 1 with what to do; the app is not stopped any more and is tried again."""
    one = stead(shop(app_folder)).up()
    one.cli("stop", "shop")
    (one.folder / "app.py").write_text("raise SystemExit('no')\n")
    told = one.cli("start", "shop", code=1)
    assert "ended before it was ready" in told and "stead logs" in told
    assert one.cli("is-active", "shop", code=3) in ("activating\n", "failed\n")
    (one.folder / "app.py").write_text(APP)
    wait_until("it to be active", lambda: one.cli("is-active", "shop", code=None) == "active\n")
    assert ask(one, "/").status == 200


def test_status_as_systemctl_has_it(stead, app_folder):
    one = stead(shop(app_folder)).up()
    ask(one, "/hello")
    wait_until("its line", lambda: "asked for /hello" in one.cli("logs", "shop"))
    told = one.cli("status", "shop")
    pid = one.pids("worker")[0]
    lines = told.splitlines()
    assert lines[0] == f"● shop - {one.url}"
    assert re.match(r"     Loaded: loaded \(.*stead\.conf; enabled\)$", lines[1]), told
    assert re.match(r"     Active: active \(running\) since \w{3} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+; \d+s ago$", lines[2]), told
    assert lines[3].startswith(f"   Main PID: {pid} (python")
    assert re.match(r"      Tasks: \d+", lines[4]) and re.match(r"     Memory: \d+\.\d+M$", lines[5])
    assert re.match(r"        CPU: \d", lines[6]) and lines[7].startswith("     CGroup: /")
    assert f"{pid} " in told and "└─" in told and "sleep 1000" in told and "asked for /hello" in told
    assert one.cli("status", "shop", "--json") and json.loads(one.cli("status", "shop", "--json"))["sites"][0]["unit"]["sub"] == "running"
    assert "no app" in one.cli("status", "nosuch", code=4)
    for verb in ("start", "stop", "restart", "enable", "disable", "is-active"):
        assert "no app" in one.cli(verb, "nosuch", code=4), verb


def test_enable_and_disable(stead, app_folder):
    """Neither changes what runs."""
    one = stead(shop(app_folder)).up()
    worker = one.pids("worker")
    one.cli("disable", "shop")
    assert "; disabled)" in one.cli("status", "shop") and ask(one, "/").status == 200
    one.kill_and_wait("ctl")
    wait_until("ctl", lambda: "; disabled)" in one.cli("status", "shop", code=None))
    assert one.pids("worker") == worker
    one.cli("enable", "shop")
    assert "; enabled)" in one.cli("status", "shop")


def test_several_names_in_one_call(stead, app_folder):
    """A name that is wrong does not keep the others from it; the first exit status that is none counts."""
    sites = {"sites/docs.conf": "[Site]\nDomain=docs.example\nRoot=docs\n", "sites/docs/a.txt": "a doc"}
    folder = app_folder({"app.py": APP, "stead.conf": CONF + "[Server]\nSites=sites\n", "files/a.txt": "a", **sites})
    one = stead(folder).up()
    assert one.cli("is-active", "docs", "shop") == "active\nactive\n"
    assert one.cli("is-active", "nosuch", "shop").endswith("active\n")
    told = one.cli("stop", "nosuch", "docs", "shop", code=4)
    assert "nosuch" in told and "maintenance on" in told
    assert state(one) == "inactive"
    with Client(one.port) as client:
        client.host = "docs.example"
        assert client.ask("/a.txt").text == "a doc"
    assert one.cli("status", "shop", "docs", code=3).count("●") == 1
    assert one.cli("is-active", "shop", "docs") == "inactive\nactive\n"
    assert one.cli("is-active", "--quiet", "shop", code=3) == ""
    result = subprocess.run([str(BUILD / "stead"), "is-active", "--json", "shop", "--state", str(one.state)], text=True,
                            capture_output=True, **one.options() | {"stdin": None})
    assert json.loads(result.stdout) == {"app": "shop", "active": "inactive"}
