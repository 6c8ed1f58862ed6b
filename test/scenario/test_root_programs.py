"""Programs and PHP under real root: each runs as the app's user alone, and nobody but the gates gets to its sockets."""

import glob
import json
import os
import pathlib
import pwd
import re
import socket
import stat
import subprocess

import pytest

from client import Load, ask
from program import wait_until
from test_detect_programs import SERVER as NODE_SERVER
from test_root import rooted, uids  # noqa: F401 (a fixture)
from test_services import SERVER, conf

pytestmark = pytest.mark.root
FPM = glob.glob("/usr/sbin/php-fpm*")
ENTER = """
import socket, sys
with socket.socket(socket.AF_UNIX, getattr(socket, sys.argv[1])) as s:
    s.connect(sys.argv[2])
    s.send(b'READY=1')
"""


def service_pid(one):
    return next(p["pid"] for p in one.status()["processes"] if p["role"] == "service" and p["phase"] == "up")


def environment(pid):
    pieces = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(piece.decode().split("=", 1) for piece in pieces if b"=" in piece)


def app_user(pid):
    """The one uid of that process and of all that it started; a user of stead's range."""
    (uid,) = uids(pid)
    assert 50000 <= uid < 60000
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M) and re.search(r"^CapEff:\s+0+$", status, re.M), status
    groups = re.search(r"^Groups:\s*(.*)$", status, re.M).group(1).split()
    assert not {"0", str(gate_group())} & set(groups), groups
    return uid


def gate_group():
    return pwd.getpwnam("stead-gate").pw_gid


def may_connect(path, user, kind="SOCK_STREAM"):
    """Can a program of that user connect to the socket? False: it was refused for want of rights."""
    who = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    done = subprocess.run(["/usr/bin/python3", "-c", ENTER, kind, str(path)], capture_output=True, text=True, cwd="/",
                          user=who.pw_uid, group=who.pw_gid, extra_groups=[])
    assert done.returncode == 0 or "PermissionError" in done.stderr, done.stderr
    return done.returncode == 0


def mode(path):
    found = os.stat(path)
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def test_a_socket_that_is_handed_over(rooted, app_folder):  # noqa: F811
    """The program has it by its descriptor; to the path only the gates' group may connect, not even the app's user."""
    one = rooted(app_folder({"server.py": SERVER, "stead.conf": conf("Listen=fd\n")}, name="handed")).up()
    pid = service_pid(one)
    uid = app_user(pid)
    places = pathlib.Path(environment(pid)["RUNTIME_DIRECTORY"]).parent
    assert places.parent == pathlib.Path("/run/stead/backends")
    (path,) = places.glob("s*-0-a")
    assert mode(path) == (0o660, 0, gate_group()), mode(path)
    assert not may_connect(path, "nobody") and not may_connect(path, uid) and may_connect(path, "stead-gate")
    assert mode(environment(pid)["RUNTIME_DIRECTORY"]) == (0o2770, uid, gate_group())
    assert environment(pid)["HOME"] != "/root" and not any(k.startswith("SUDO") for k in environment(pid))
    # The code is a copy that belongs to root: the app cannot change what runs.
    cwd = os.readlink(f"/proc/{pid}/cwd")
    assert cwd.startswith(str(one.state / "releases")) and os.stat(cwd + "/server.py").st_uid != uid
    with Load(one, "/", rate=100) as load:
        load.wait_for(20)
        one.cli("restart")
        wait_until("the next one", lambda: service_pid(one) != pid)
        load.wait_for(20)
    assert load.failed == 0, load.seen
    assert {uid} == uids(service_pid(one))
    assert one.stop() == 0
    one.gone()
    assert not list(places.glob("s*")), "a socket is left"


def test_a_socket_that_it_makes(rooted, app_folder):  # noqa: F811
    """In %t, which others cannot enter; the gates can."""
    one = rooted(app_folder({"server.py": SERVER, "stead.conf": conf("Listen=unix:%t/own.sock\n", {"WHERE": "%t/own.sock"})},
                            name="makes")).up()
    pid = service_pid(one)
    uid = app_user(pid)
    folder = pathlib.Path(environment(pid)["RUNTIME_DIRECTORY"])
    path = folder / "own.sock"
    assert path.stat().st_uid == uid and path.stat().st_gid == gate_group() and path.stat().st_mode & 0o007 == 0
    assert not may_connect(path, "nobody") and may_connect(path, "stead-gate")
    for user in ("nobody", "stead-log"):
        listed = subprocess.run(["ls", str(folder)], user=user, group="nogroup", extra_groups=[], capture_output=True, text=True)
        assert listed.returncode != 0, listed.stdout
    os.kill(pid, 9)
    wait_until("the next one", lambda: ask(one).status == 200 and service_pid(one) != pid)


def test_its_word_alone_counts(rooted, app_folder):  # noqa: F811
    """The socket for notifications is the app's user's: another user cannot say that it is ready."""
    one = rooted(app_folder({"server.py": SERVER, "stead.conf": conf("Type=notify\n", {"SAYS": "READY=1|STATUS=well"})}, name="word")).up()
    pid = service_pid(one)
    uid = app_user(pid)
    path = environment(pid)["NOTIFY_SOCKET"]
    assert mode(path)[:2] == (0o600, uid)
    assert not may_connect(path, "nobody", "SOCK_DGRAM") and not may_connect(path, "stead-gate", "SOCK_DGRAM")
    wait_until("its status", lambda: any(p.get("says") == "well" for p in one.status()["processes"]))


def test_node_by_its_package(rooted, app_folder):  # noqa: F811
    """Found without a stead.conf; its packages come along in the copy."""
    files = {"package.json": json.dumps({"scripts": {"start": "node server.js"}, "dependencies": {"greet": "1"}}),
             "node_modules/greet/index.js": "module.exports = 'hello'", "node_modules/greet/package.json": "{}",
             "server.js": NODE_SERVER.replace("JSON.stringify({", "JSON.stringify({greet: require('greet'), uid: process.getuid(), ")}
    one = rooted(app_folder(files, name="noderoot")).up()
    told = json.loads(ask(one).text)
    assert told["greet"] == "hello" and told["uid"] == app_user(service_pid(one))
    assert told["file"].startswith(str(one.state / "releases"))
    (one.folder / "node_modules/greet/index.js").write_text("module.exports = 'again'")
    one.cli("reload")
    assert json.loads(ask(one).text)["greet"] == "again"


def test_two_apps_cannot_reach_each_other(rooted, app_folder):  # noqa: F811
    """A program of one app can neither connect to the other's socket nor look into its folder."""
    ones = [rooted(app_folder({"server.py": SERVER, "stead.conf": conf("Listen=fd\n").replace("Name=prog", f"Name={name}")}, name=name)).up()
            for name in ("left", "right")]
    pids = [service_pid(one) for one in ones]
    left, right = (app_user(pid) for pid in pids)
    assert left != right
    folder = pathlib.Path(environment(pids[1])["RUNTIME_DIRECTORY"])
    (path,) = folder.parent.glob("s*-0-a")
    assert not may_connect(path, left)
    assert subprocess.run(["ls", str(folder)], user=left, group=left, extra_groups=[], capture_output=True).returncode != 0


PHP = """<?php
header('Content-Type: application/json');
echo json_encode(['uid' => posix_getuid(), 'gid' => posix_getgid(), 'groups' => posix_getgroups(), 'script' => $_SERVER['SCRIPT_FILENAME'],
    'writes' => @file_put_contents(__DIR__ . '/new', 'x') !== false, 'shadow' => @file_get_contents('/etc/shadow') !== false]);
"""


@pytest.mark.skipif(not FPM, reason="no PHP-FPM here")
def test_php(rooted, app_folder):  # noqa: F811
    """Its pool, master and processes, are the app's user's; its scripts run and are never handed out as text."""
    secret = "<?php /* SECRET */ echo 'ran';"
    files = {"public/index.php": PHP, "public/tool.php": secret, "public/style.css": "p{}", "public/sub/index.php": secret,
             "public/old.php.txt": "text", "config.php": "<?php /* SECRET */", "public/.env.php": secret}
    one = rooted(app_folder(files, name="phproot")).up()
    told = json.loads(ask(one).text)
    uid = app_user(service_pid(one))
    assert told["uid"] == uid and told["gid"] not in (0, gate_group()) and not told["writes"] and not told["shadow"]
    assert told["script"].startswith(str(one.state / "releases"))
    for pid, comm in one.tree().items():
        if comm.startswith("php-fpm"):
            assert uids(pid) == {uid}, comm
    assert ask(one, "/style.css").text == "p{}" and ask(one, "/tool.php").text == "ran" and ask(one, "/sub/").text == "ran"
    for path in ("/tool.php", "/tool.php/", "/tool.php/x", "/TOOL.PHP", "/tool.PHP", "/tool.php%00", "/tool.php%20", "/tool.php.", "/tool.php~",
                 "/./tool.php", "/sub/../tool.php", "/sub//index.php", "/%74ool.php", "/tool%2ephp", "/config.php", "/../config.php",
                 "/..%2fconfig.php", "/.env.php", "/tool.php?x", "/tool.php;x", "/tool.php::$DATA"):
        for method in ("GET", "HEAD", "POST"):
            answer = ask(one, path, method, headers={"Range": "bytes=0-20", "Accept-Encoding": "gzip"} if method == "GET" else {})
            assert b"<?php" not in answer.body and b"SECRET" not in answer.body, (path, method, answer)
    # What the gates see of the folder has no script's text in it: a gate that was taken over gets none either.
    published = [p for p in (one.state / "public").rglob("*") if p.is_file()]
    assert any(p.name == "style.css" for p in published)
    assert not [p for p in published if b"SECRET" in p.read_bytes()], published
    pool = service_pid(one)
    one.cli("restart")
    wait_until("the next pool", lambda: service_pid(one) != pool)
    assert ask(one, "/tool.php").text == "ran"
