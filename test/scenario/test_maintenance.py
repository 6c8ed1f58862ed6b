"""`stead maintenance on|off`: a page instead of the site, at every gate at once, over the death of everything."""

import json
import os
import signal

import pytest

from client import ask
from program import wait_until
from test_sites import get, static, write

APP = '''
def application(environ, start_response):
    seen = environ.get("HTTP_STEAD_PROBE", "none")
    open("seen", "a").write(f"{environ['PATH_INFO']} {environ.get('HTTP_USER_AGENT', '')[:6]} {seen}\\n")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the app"]
'''


@pytest.fixture
def folder(app_folder):
    return app_folder({
        "app.py": APP, "seen": "",
        "stead.conf": "[Site]\nDomain=app.example\nAlias=www.app.example\nMaintenance=pages/later.html\nHealth=/healthz\n"
                      "[Route /files]\nRoot=pages\n[Python]\nWorkers=1\n[Server]\nGates=2\nSites=sites\n",
        "pages/later.html": "<p>later", "sites/pub/index.html": "files",
        "sites/a.conf": static("a.example"), "sites/b.conf": static("b.example")})


def is_page(answer, text="<p>later"):
    status, fields, body = answer
    return status == 503 and int(fields["Retry-After"]) > 0 and fields["Cache-Control"] == "no-store" and text in body


def test_on_and_off(stead, folder):
    one = stead(folder).up()
    assert get(one, "app.example")[2] == "the app"
    assert "app is in maintenance" in one.cli("maintenance", "on")
    before = (folder / "seen").read_text()
    # Every request of the site at each gate, whatever it is and whoever would answer; but not its health.
    for _ in range(8):
        assert is_page(get(one, "app.example", "/any"))
    assert is_page(get(one, "app.example", "/files/later.html")) and is_page(get(one, "app.example", "/x", "POST"))
    assert is_page(get(one, "nobody.example"))
    status, fields, body = get(one, "app.example", method="HEAD")
    assert (status, fields["Content-Length"], body) == (503, "8", "")
    status, fields, body = get(one, "app.example", headers={"Accept": "application/json"})
    assert status == 503 and fields["Content-Type"] == "application/json" and fields["Retry-After"]
    assert json.loads(body)["status"] == 503 and len(json.loads(body)["request"]) == 32
    assert get(one, "app.example", headers={"Accept": "text/html, application/json"})[1]["Content-Type"].startswith("text/html")
    assert is_page(get(one, "app.example", headers={"Stead-Probe": "0" * 32}))
    assert (folder / "seen").read_text() == before
    assert get(one, "app.example", "/healthz")[2] == "the app"
    # The others are untouched; the state is shown, once more is no fault.
    assert get(one, "a.example")[2] == "files"
    assert one.status()["sites"][0]["state"] == "maintenance" and "maintenance" in one.cli("status")
    assert json.loads(one.cli("maintenance", "on", "--json"))["maintenance"] is True
    wait_until("the record", lambda: any(r.get("close") == "maintenance" for r in one.logs()))
    assert "answers again" in one.cli("maintenance", "off")
    for _ in range(8):
        assert get(one, "app.example")[2] == "the app"
    assert one.status()["sites"][0]["state"] == "live"


def test_over_deaths_and_starts(stead, folder):
    """A gate that comes while there is no ctl, a new ctl, a reload, another start: the page stays, and the probe passes."""
    one = stead(folder).up()
    one.cli("maintenance", "on")
    ctl = one.pid("ctl")
    os.kill(ctl, signal.SIGSTOP)  # no word of it reaches a gate
    try:
        for _ in range(2):
            one.kill_and_wait("gate")
        for _ in range(8):
            assert is_page(get(one, "app.example"))
    finally:
        os.kill(ctl, signal.SIGCONT)
    one.kill_and_wait("ctl")
    wait_until("the state", lambda: one.status()["sites"][0]["state"] == "maintenance")
    assert is_page(get(one, "app.example"))
    write(folder, {"app.py": APP.replace("the app", "the new app"), "pages/later.html": "<p>much later"})
    one.cli("reload")
    one.cli("restart")
    wait_until("the new page", lambda: is_page(get(one, "app.example"), "<p>much later"))
    assert one.stop() == 0
    (folder / "seen").write_text("")
    one.up()
    assert is_page(get(one, "app.example"), "<p>much later")
    # stead itself has asked the app behind the page, and the app saw no word that would let others in.
    assert [line.split() for line in (folder / "seen").read_text().splitlines()] == [["/healthz", "stead/", "none"]] * 2
    one.kill_and_wait("gate")
    one.cli("maintenance", "off")
    assert get(one, "app.example")[2] == "the new app"
    one.kill_and_wait("gate")
    one.kill_and_wait("ctl")
    wait_until("the state", lambda: one.status()["sites"][0]["state"] == "live")
    assert get(one, "app.example")[2] == "the new app"


def test_one_of_many(stead, folder):
    """By its name; with ErrorPage=503 or the built-in page; gone and back it still is."""
    write(folder, {"sites/b.conf": static("b.example", more="ErrorPage=503 /503.html\n"), "sites/pub/503.html": "soon",
                   "stead.conf": "[Server]\nSites=sites\n"})
    (folder / "app.py").unlink()
    one = stead(folder).up()
    assert "has no site of its own" in one.cli("maintenance", "on", code=2)
    one.cli("maintenance", "on", "nobody", code=4)
    one.cli("maintenance", "over", code=2)
    one.cli("maintenance", "on", "a")
    one.cli("maintenance", "on", "b")
    assert is_page(get(one, "a.example"), "The site is under maintenance") and is_page(get(one, "b.example"), "soon")
    text = (folder / "sites/a.conf").read_text()
    (folder / "sites/a.conf").unlink()
    one.cli("reload")
    assert get(one, "a.example")[0] == 421
    write(folder, {"sites/a.conf": text + "Maintenance=/503.html\n"})
    one.cli("reload")
    assert is_page(get(one, "a.example"), "soon")
    one.cli("maintenance", "off", "a")
    assert get(one, "a.example")[2] == "files" and is_page(get(one, "b.example"), "soon")
    states = {s["name"]: s["state"] for s in one.status()["sites"]}
    assert states == {"a": "live", "b": "maintenance"}


def test_while_not_running(stead, folder):
    one = stead(folder)
    one.cli("maintenance", "on", code=3)
    one.up()
    assert ask(one).status == 200


def test_a_page_that_is_not_there(stead, folder):
    write(folder, {"stead.conf": "[Site]\nMaintenance=none.html\n"})
    assert "stead.conf:2:13: error: Maintenance=: there is no file" in stead(folder).cli("check", str(folder), code=2)
