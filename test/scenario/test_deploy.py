"""`stead deploy`, `releases`, `rollback` and `remove` on a running instance: what serves is the old release or the new
one, whatever fails."""

import json
import os
import signal
import subprocess

import pytest

import deploybed
from client import Load
from deploybed import app, write
from program import BUILD, TIMEOUT, give, wait_until
from test_detect import DJANGO, DJANGO_WSGI, SETTINGS, check


@pytest.fixture
def server(stead, work):
    folder = write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""})
    return deploybed.Server(stead(folder).up())


@pytest.fixture
def folder(work):
    def make(files, name="shop"):
        return write(work / name, files)
    return make


def events(server, name):
    return [r for r in server.one.logs() if r.get("event") == name]


def test_an_app_is_deployed_and_followed(server, folder):
    """The folder is copied: what changes in it changes nothing until the next deploy. Every step is told."""
    shop = folder(app("one", "[Site]\nDomain=shop.test\n"))
    said = server.deploy(shop)
    assert "live  shop, release 1" in said
    for step in ("receiving the folder", "looking at the folder", "starting the new release", "asking the new release",
                 "passing the visitors"):
        assert step in said, said
    assert server.get(host="shop.test").text == "one"
    folder(app("two", "[Site]\nDomain=shop.test\n"))
    assert server.get(host="shop.test").text == "one"
    assert "live  shop, release 2" in server.deploy(shop)
    assert server.get(host="shop.test").text == "two"
    assert server.releases("shop") == {2: True, 1: False}
    environment = server.get("/env", "shop.test").text
    assert "('STEAD_RELEASE', '2')" in environment and "apps/shop/data" in environment
    assert server.site("shop")["release"] == 2
    wait_until("the old workers to end", lambda: len(server.one.pids("worker")) == server.site("shop")["workers_wanted"])
    assert len(events(server, "DEPLOYED")) == 2
    # A name that nobody claims is nobody's.
    assert server.get(host="other.test").status == 421


def test_json_tells_every_step(server, folder):
    lines = [json.loads(line) for line in server.deploy(folder(app()), "--json").splitlines()]
    assert {line["step"] for line in lines if line["event"] == "progress"} >= {
        "prepare", "receive", "check", "start", "probe", "switch"}
    assert lines[-1]["event"] == "end" and lines[-1]["exit"] == 0 and lines[-1]["release"] == 1


def test_two_apps_in_one_instance(server, folder):
    """Each with its own workers, environment and releases; a name that one has is refused to the other, with whose it is."""
    server.deploy(folder(app("shop", "[Site]\nDomain=shop.test\n"), "shop"))
    server.deploy(folder({"index.html": "static", "stead.conf": "[Site]\nDomain=me.test\nRoot=.\n"}, "me"))
    assert server.get(host="shop.test").text == "shop"
    assert server.get(host="me.test").text == "static"
    said = server.deploy(folder(app("blog", "[Site]\nDomain=blog.test shop.test\n"), "blog"), code=2)
    assert "shop.test is another site's: shop has it." in said
    assert server.get(host="blog.test").status == 421 and not server.site("blog")
    said = server.deploy(folder(app("blog", "[Site]\nName=journal\n"), "blog"), code=2)
    assert "called journal" in said and "--app" in said
    server.deploy(folder(app("blog", "[Site]\nName=journal\nDomain=blog.test\n"), "blog"), "--app", "journal")
    assert server.get(host="blog.test").text == "blog"
    # A restart of one touches no other.
    pids = {host: server.get("/pid", host).text for host in ("shop.test", "blog.test")}
    server.one.cli("restart", "journal")
    assert server.get("/pid", "shop.test").text == pids["shop.test"] or len(server.one.pids("worker")) > 2
    assert server.get("/pid", "blog.test").text != pids["blog.test"]
    # Not without a name while there are several.
    assert "several apps" in server.one.cli("rollback", code=2)
    assert "no deployed app" in server.one.cli("rollback", "nobody", code=4)


@pytest.mark.parametrize("files, says, code", [
    (app("two", "[Site]\nDomain=shop.test\n[Python]\nWorkers=nine\n"), "stead.conf:4", 2),
    ({"app.py": "import os\nif 'STEAD_RELEASE' in os.environ:\n    raise SystemExit('no way')\n" + app()["app.py"]}, "no way", 1),
    ({"app.py": "raise SystemExit('at all')\n", "stead.conf": "[Python]\nWsgi=app:app\n"}, "at all", 2),
    (app("two", status="500 Oh no", conf="[Site]\nHealthTimeoutSec=500ms\n"), "status 500", 1),
    ({"notes.txt": "no app"}, "no app was found", 2),
    (app("two", "[Python]\nRequirements=wants.txt\n", **{"wants.txt": "no-such-package-of-stead==1 --nope\n"}), "pip", 1),
], ids=["conf", "start", "import", "probe", "nothing", "packages"])
def test_a_failed_step_leaves_the_old_release(server, folder, files, says, code):
    server.deploy(folder(app("one")))
    said = server.deploy(folder(files), code=code)
    assert says in said, said
    assert server.get().text == "one"
    assert server.releases("shop") == {1: True}
    wait_until("what it left to be gone", lambda: server.trees("shop") == [1])
    failed = events(server, "DEPLOY_FAILED")
    assert len(failed) == 1 and failed[0]["app"] == "shop" and failed[0]["step"]
    folder(app("three"))
    server.deploy(folder(app("three")))
    assert server.get().text == "three"


def test_a_first_release_that_fails_leaves_nothing(server, folder):
    server.deploy(folder(app(status="500 Oh no", conf="[Site]\nHealthTimeoutSec=300ms\n")), code=1)
    assert server.one.status()["sites"] == []
    wait_until("no worker", lambda: not server.one.pids("worker"))
    wait_until("no release", lambda: server.trees("shop") == [])
    assert "No app is deployed" in server.one.cli("releases", code=4)
    wait_until("no folder of it", lambda: not (server.one.state / "apps/shop").exists())
    assert server.one.status()["left"] == [] and "not deployed" not in server.one.cli("status")
    # The next one comes at once, while the one before it is being taken away.
    for _ in range(3):
        server.deploy(folder(app(status="500 Oh no", conf="[Site]\nHealthTimeoutSec=100ms\n")), code=1)
    server.deploy(folder(app("one")))
    assert server.get().text == "one" and (server.one.state / "apps/shop/own").is_dir()


def test_rollback_under_load(server, folder, promise):
    """There and back again, and no request fails: those that run end in their own release, those that wait are the next
    one's. What a release had it has again: its values too."""
    server.deploy(folder(app("one", "[Service]\nEnvironment=COLOR=red\n")))
    server.deploy(folder(app("two", "[Service]\nEnvironment=COLOR=blue\n")))
    with Load(server.one) as load:
        for turn in range(3):
            assert "live  shop, release 1" in server.one.cli("rollback", "shop", timeout=TIMEOUT * 4)
            assert server.get().text == "one" and "('COLOR', 'red')" in server.get("/env").text
            assert "live  shop, release 2" in server.one.cli("rollback", "--release", "2", timeout=TIMEOUT * 4)
            assert server.get().text == "two" and "('COLOR', 'blue')" in server.get("/env").text
        load.wait_for(200)
    promise("rollback under load, failed of", str(load), not load.failed)
    assert not load.failed, str(load)
    assert "is the one that serves" in server.one.cli("rollback", "--release", "2", code=2)
    assert "no release 9" in server.one.cli("rollback", "--release", "9", code=4)
    server.one.cli("rollback")
    assert "no release before 1" in server.one.cli("rollback", code=4)


def test_five_are_kept(server, folder):
    for n in range(1, 4):
        server.deploy(folder(app(str(n), "[Deploy]\nKeep=2\n")))
    assert server.releases("shop") == {3: True, 2: False}
    wait_until("the oldest to be gone", lambda: server.trees("shop") == [2, 3])
    assert "no release 1" in server.one.cli("rollback", "--release", "1", code=4)


def test_what_does_not_go_along(server, folder, work):
    """.git, .stead, environments and links that lead out stay behind; a link inside is one in the release too."""
    shop = folder(app(**{".git/HEAD": "x", ".stead/x": "x", "venv/pyvenv.cfg": "home=/", "venv/bin/python": "",
                         "static/a.txt": "inside", "run.sh": "#!/bin/sh\n"}))
    (shop / "run.sh").chmod(0o755)
    (shop / "inner").symlink_to("static/a.txt")
    (shop / "outer").symlink_to("../secret")
    (shop / "root").symlink_to("/etc/passwd")
    os.mkfifo(shop / "pipe")
    (work / "secret").write_text("secret")
    said = server.deploy(shop)
    assert "left out: 4" in said, said
    release = server.one.state / "apps/shop/releases/1"
    found = {str(p.relative_to(release)) for p in release.rglob("*") if "__pycache__" not in str(p)}
    assert found == {"app.py", "stead.conf", "static", "static/a.txt", "run.sh", "inner"}
    assert os.readlink(release / "inner") == "static/a.txt"
    assert os.access(release / "run.sh", os.X_OK) and not os.access(release / "app.py", os.X_OK)


def test_what_outlives_a_release(server, folder):
    """Persist=: what a first release brings is what it begins with; what the app writes there stays, over deploys and rollbacks."""
    conf = "[Site]\nPersist=uploads var/cache\n"
    shop = folder(app("one", conf, **{"uploads/first.txt": "first"}))
    server.deploy(shop)
    kept = server.one.state / "apps/shop/data/persist"
    assert (kept / "uploads/first.txt").read_text() == "first" and (kept / "var/cache").is_dir()
    (kept / "uploads/mine.txt").write_text("mine")
    folder(app("two", conf, **{"uploads/first.txt": "other"}))
    server.deploy(shop)
    release = server.one.state / "apps/shop/releases/2"
    assert (release / "uploads/first.txt").read_text() == "first"
    assert (release / "uploads/mine.txt").read_text() == "mine"
    assert os.readlink(release / "uploads") == str(kept / "uploads")
    said = server.deploy(folder(app("three", "[Site]\nPersist=../out\n")), code=None)
    assert server.get().text == "two", said


MIGRATE = "[Postgres]\nEnabled=yes\nMigrate=/bin/sh -c '{command}'\n"


def test_a_unit_file_is_an_app(server, folder, work):
    """A systemd unit alone; with [Site] it is asked, without it is a program that nobody asks anything."""
    (work / "tick.sh").write_text("#!/bin/sh\necho ticking\nexec sleep 1000\n")
    (work / "tick.sh").chmod(0o755)
    give(work)
    unit = work / "tick.service"
    unit.write_text(f"[Unit]\nDescription=ticks\n[Service]\nExecStart={work}/tick.sh\n")
    give(work)
    server.deploy(unit)
    wait_until("its word", lambda: "ticking" in server.one.cli("logs", "tick"))
    assert server.get(host="tick").status == 421


# It says by itself that it is ready; a mute one listens nowhere.
NOTIFIES = """
import http.server, os, socket, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    address_string = lambda self: "gate"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"TEXT")
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    def server_bind(self):
        self.socket.bind(self.server_address)
if os.path.exists(sys.argv[1]):
    os.unlink(sys.argv[1])
made = Server(sys.argv[1], Answer) if "TEXT" != "mute" else None
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while made is None:
    time.sleep(100)
made.serve_forever()
"""


def test_one_that_says_itself_that_it_is_ready(server, folder, work):
    """... is asked before it counts as live, also where only one of them can be there: the one before is started again."""
    conf = f"[Site]\nHealthTimeoutSec=2s\n[Service]\nType=notify\nListen=unix:{work}/one.sock\nExecStart=/usr/bin/python3 s.py {work}/one.sock\n"
    server.deploy(folder({"s.py": NOTIFIES.replace("TEXT", "good"), "stead.conf": conf}))
    assert server.get().text == "good"
    assert "Health=" in server.deploy(folder({"s.py": NOTIFIES.replace("TEXT", "mute"), "stead.conf": conf}), code=1)
    wait_until("the one before", lambda: server.get().text == "good")
    assert server.releases() == {1: True}


def test_djangos_debug(server, folder):
    """What is right while one writes an app, and wrong where others visit it, is told by a deploy alone."""
    pytest.importorskip("django")
    files = {**DJANGO, "shop/wsgi.py": DJANGO_WSGI, "shop/settings.py": SETTINGS + "DEBUG = True\n", "stead.conf": "[Site]\nDomain=shop.test\n"}
    assert "DEBUG is on" in server.deploy(folder(files))
    assert "DEBUG" not in json.dumps(check(folder(files), status=0))
    assert "DEBUG" not in server.deploy(folder({**files, "shop/settings.py": SETTINGS}))


def test_removed(server, folder):
    server.deploy(folder(app("one", "[Site]\nDomain=shop.test\n")))
    (server.one.state / "apps/shop/data/kept.txt").write_text("kept")
    assert "no deployed app" in server.one.cli("remove", "blog", code=4)
    assert "confirm" in server.one.cli("remove", "shop", "--data", code=6)
    assert server.one.status()["left"] == []
    assert "removed  shop" in server.one.cli("remove", "shop")
    assert server.get(host="shop.test").status == 421 and not server.one.pids("worker")
    assert (server.one.state / "apps/shop/data/kept.txt").read_text() == "kept"
    assert server.trees("shop") == []
    assert len(events(server, "APP_REMOVED")) == 1
    server.deploy(folder(app("two", "[Site]\nDomain=shop.test\n")))
    assert server.get(host="shop.test").text == "two"
    # A release that fails over what it left takes nothing of that away.
    assert "removed  shop" in server.one.cli("remove", "shop")
    server.deploy(folder(app(status="500 Oh no", conf="[Site]\nHealthTimeoutSec=300ms\n")), code=1)
    wait_until("nothing of the release", lambda: sorted(p.name for p in (server.one.state / "apps/shop").iterdir()) == ["data"])
    assert (server.one.state / "apps/shop/data/kept.txt").read_text() == "kept"
    server.deploy(folder(app("two", "[Site]\nDomain=shop.test\n")))
    server.one.cli("remove", "shop", "--data", "--confirm", "shop")
    wait_until("no folder of it", lambda: not (server.one.state / "apps/shop").exists())


def test_what_a_removed_app_left_is_removed(server, folder):
    server.deploy(folder(app("one", "[Site]\nDomain=shop.test\n")))
    kept = server.one.state / "apps/shop/data/kept.txt"
    kept.write_text("kept")
    server.one.cli("remove", "shop")
    assert server.one.status()["left"] == ["shop"]
    assert "stead remove shop --data --confirm shop" in server.one.cli("status")
    said = server.one.cli("remove", "shop", code=4)
    assert "only its data" in said and "--data" in said and kept.exists()
    assert "confirm" in server.one.cli("remove", "shop", "--data", code=6) and kept.exists()
    assert "removed  shop" in server.one.cli("remove", "shop", "--data", "--confirm", "shop")
    wait_until("no folder of it", lambda: not kept.parent.parent.exists())
    assert server.one.status()["left"] == []
    assert "no deployed app" in server.one.cli("remove", "shop", "--data", "--confirm", "shop", code=4)


def test_busy(server, folder):
    """Of one app one at a time; another app's waits for its turn."""
    slow = "import time\ntime.sleep({})\n"
    first = folder({**app("one"), "app.py": slow.format(1.5) + app("one")["app.py"]}, "one")
    other = folder(app("two", "[Site]\nDomain=two.test\n"), "two")
    command = [str(BUILD / "stead"), "deploy", str(first), "--state", str(server.one.state)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               **server.one.options())
    for line in process.stdout:
        if "looking at" in line:
            break
    assert "Another change of one is under way" in server.deploy(first, code=7)
    assert "live  two, release 1" in server.deploy(other)
    rest = process.stdout.read()
    assert process.wait(TIMEOUT) == 0, rest
    assert server.get(host="two.test").text == "two" and server.get(host="one.test").text == "one"


def test_apps_come_back(server, folder):
    """A new control process keeps what runs; a new start of the instance starts what is deployed."""
    server.deploy(folder(app("one", "[Site]\nDomain=shop.test\n"), "shop"))
    server.deploy(folder(app("two", "[Site]\nDomain=blog.test\n[Timer tick]\nExecStart=/bin/true\nOnActiveSec=1h\n"), "blog"))
    pids = server.one.pids("worker")
    server.one.kill_and_wait("ctl")
    wait_until("an answer", lambda: "shop" in server.one.cli("status", code=None))
    assert server.get(host="shop.test").text == "one" and server.one.pids("worker") == pids
    assert server.one.stop() == 0
    server.one.up()
    assert server.get(host="shop.test").text == "one" and server.get(host="blog.test").text == "two"
    assert server.releases("blog") == {1: True}
    server.deploy(folder(app("three", "[Site]\nDomain=shop.test\n"), "shop"))
    assert server.get(host="shop.test").text == "three"


@pytest.mark.parametrize("step", ["receiving the folder", "looking at", "starting the new", "asking the new",
                                  "passing the visitors"])
def test_control_dies_at_a_step(server, folder, step):
    """The state is the old one or the new one, nothing half of it stays, and the next deploy works."""
    server.deploy(folder(app("one")))
    shop = folder(app("two"))
    command = [str(BUILD / "stead"), "deploy", str(shop), "--state", str(server.one.state)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               **server.one.options())
    for line in process.stdout:
        if step in line:
            server.one.kill("ctl", signal.SIGKILL)
            break
    process.stdout.read()
    code = process.wait(TIMEOUT)
    serves = wait_until("an answer", lambda: "shop" in server.one.cli("status", code=None) and server.get().text)
    assert serves in ("one", "two") and (code == 0) <= (serves == "two")
    kept = server.releases("shop")
    assert kept == ({1: True} if serves == "one" else {2: True, 1: False})
    wait_until("nothing half", lambda: server.trees("shop") == sorted(kept))
    wait_until("one release's workers", lambda: len(server.one.pids("worker")) == server.site("shop")["workers_wanted"])
    server.deploy(folder(app("three")))
    assert server.get().text == "three"


PORT = """import http.server, os, socket, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "{length}")
        self.end_headers()
        self.wfile.write(b"{text}")
    def log_message(self, *words):
        pass
    def address_string(self):
        return "-"
class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        if self.address_family == socket.AF_INET:
            super().server_bind()
        else:
            self.socket.bind(self.server_address)
    address_family = socket.AF_UNIX if len(sys.argv) > 1 else socket.AF_INET
if len(sys.argv) > 1 and os.path.exists(sys.argv[1]):
    os.unlink(sys.argv[1])
Server(sys.argv[1] if len(sys.argv) > 1 else ("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


def program_of(kind, text, work):
    """Files of an app of that kind, that answers with this text."""
    if kind == "php":
        return {"public/index.php": f"<?php echo '{text}';", "stead.conf": f"[Php]\nRoot=public\n"}
    more = {"port": "", "socket": f" {work}/one-place.sock\nListen=unix:{work}/one-place.sock",
            "own socket": " %t/own.sock\nListen=unix:%t/own.sock"}[kind]
    return {"s.py": PORT.format(text=text, length=len(text)), "stead.conf": f"[Service]\nExecStart=/usr/bin/python3 s.py{more}\n"}


@pytest.mark.parametrize("kind", ["port", "socket", "own socket", "php"])
def test_programs_of_every_kind(server, folder, work, kind):
    """What speaks for itself: its first release is asked by the gates before anybody can see it; the next follows beside it
    where there is room for two, and one that does not answer leaves the old one."""
    server.deploy(folder(program_of(kind, "one", work)))
    assert server.get().text == "one"
    with Load(server.one) as load:
        load.wait_for(20)
        server.deploy(folder(program_of(kind, "two", work)))
        wait_until("the new one", lambda: server.get().text == "two")
        server.one.cli("rollback", "shop")
        wait_until("the old one again", lambda: server.get().text == "one")
        load.wait_for(20)
    assert not load.failed, (str(load), load.seen)
