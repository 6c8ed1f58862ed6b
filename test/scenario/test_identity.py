"""As whom an app runs (User=, Group=, SupplementaryGroups=, DynamicUser= and [Server] AllowUsers=), and the folders that are its
own (StateDirectory= and its kin)."""

import ast
import os
import pathlib
import pwd
import shutil
import signal
import stat
import struct
import subprocess
import tempfile

import pytest

import deploybed
import parentbed as pb
from client import ask
from deploybed import app, write
from program import TOP, give, wait_until
from test_detect import check
from test_parent_root import ACCOUNTS, APP, POSTGRES, passwd, private_mounts
from test_root import UP, RootStead, uids
from test_services import services

needs_root = pytest.mark.skipif(not private_mounts(), reason="needs root and mount namespaces")
OPERATORS = 'mount --bind "$0" /etc/stead && exec "$@"'
SAYS = '''
import os, stat
def seen(path):
    s = os.stat(path)
    return [s.st_uid, s.st_gid, oct(stat.S_IMODE(s.st_mode)), sorted(os.listdir(path))]
def tried(what):
    try:
        what()
        return "done"
    except OSError as e:
        return e.strerror
def app(environ, start_response):
    if environ["PATH_INFO"] == "/write":
        for key in ("STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY", "RUNTIME_DIRECTORY"):
            open(os.environ[key].split(":")[0] + "/kept", "w").close()
    if environ["PATH_INFO"] == "/die":
        os._exit(1)
    keys = [k for k in os.environ if k.endswith("_DIRECTORY")]
    body = repr({"uid": os.getresuid(), "gid": os.getresgid(), "groups": sorted(os.getgroups()),
                 "env": dict(os.environ), "seen": {k: [seen(p) for p in os.environ[k].split(":")] for k in keys},
                 "config": tried(lambda: open(os.environ["CONFIGURATION_DIRECTORY"] + "/x", "w")) if "CONFIGURATION_DIRECTORY" in keys else "",
                 "data": tried(lambda: open(os.environ["STATE_DIRECTORY"].split(":")[0] + "/made", "w"))})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
'''


class OperatedStead(RootStead):
    """Root's, with an /etc/stead of its own."""

    operators = None

    @property
    def command(self):
        return ["unshare", "-m", "sh", "-c", OPERATORS, str(self.operators), *super().command]


def operators(work, text):
    folder = work / "operators"
    folder.mkdir(exist_ok=True)
    (folder / "stead.conf").write_text(text)
    os.chown(folder / "stead.conf", 0, 0)
    (folder / "stead.conf").chmod(0o644)
    pathlib.Path("/etc/stead").mkdir(exist_ok=True)
    return folder


@pytest.fixture
def operated(work):
    made = []

    def make(text):
        folder = write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""})
        one = OperatedStead(work, folder)
        one.operators = operators(work, text)
        made.append(one)
        return deploybed.Server(one.up())
    yield make
    for one in made:
        left = one.end()
        print(one.output(), one.log_tail())
        if one.state.parent == UP:
            shutil.rmtree(one.state, ignore_errors=True)
            for user in pwd.getpwall():
                if user.pw_gecos.startswith(f"stead app up/{one.state.name}"):
                    subprocess.run(["/usr/sbin/userdel", user.pw_name], check=True)
        assert not left


def files(keys, site="", **more):
    return app(conf=f"[Site]\nDomain=shop.test\n{site}[Python]\nWorkers=1\n[Service]\n{keys}", **more) | {"app.py": SAYS}


def told(server, path="/"):
    return ast.literal_eval(server.get(path, "shop.test").text)


@needs_root
def test_it_runs_as_an_account_that_the_operator_allows(operated, work):
    """Uid, groups, home; its data and what persists change hands, and back at a rollback; what is not allowed is left out with
    its line."""
    www, games = pwd.getpwnam("www-data"), pwd.getpwnam("games")
    server = operated("[Server]\nAllowUsers=games\n")
    folder = write(work / "shop", files("User=www-data\n", "Persist=uploads\n"))
    assert "User=www-data is left out" in server.deploy(folder)
    # The operator's word counts from the next look on.
    operators(work, "[Server]\nAllowUsers=www-data games no-such-account\n")
    write(work / "shop", files("", "Persist=uploads\n"))
    server.deploy(folder)
    first = told(server)
    own = first["uid"][0]
    assert 50000 <= own < 60000 and first["uid"] == (own,) * 3 and first["groups"] == [own] and first["data"] == "done", first
    write(work / "shop", files("User=www-data\nGroup=games\nSupplementaryGroups=www-data\n", "Persist=uploads\n"))
    said = server.deploy(folder)
    assert "left out" not in said, said
    got = told(server)
    assert got["uid"] == (www.pw_uid,) * 3 and got["gid"] == (games.pw_gid,) * 3, got
    assert got["groups"] == sorted([games.pw_gid, www.pw_gid, own]) and got["data"] == "done", got
    assert [got["env"][k] for k in ("HOME", "USER", "LOGNAME", "SHELL")] == [www.pw_dir, "www-data", "www-data", www.pw_shell]
    data = server.one.state / "apps/shop/data"
    assert {p.stat().st_uid for p in [data, *data.rglob("*")]} == {www.pw_uid} and (data / "persist/uploads").is_dir()
    assert data.stat().st_gid == own and stat.S_IMODE(data.stat().st_mode) == 0o770
    server.one.cli("rollback", "shop")
    assert told(server)["uid"] == (own,) * 3 and told(server)["data"] == "done"
    assert {p.stat().st_uid for p in [data, *data.rglob("*")]} == {own} and stat.S_IMODE(data.stat().st_mode) == 0o700
    write(work / "shop", files("User=nobody\nGroup=root\nSupplementaryGroups=adm\n"))
    said = server.deploy(folder)
    for line, words in ((6, "User=nobody is left out: [Server] AllowUsers= of /etc/stead/stead.conf does not name it; the app runs as app-shop"),
                        (7, "Group=root is left out: no app is ever in root's group"),
                        (8, "SupplementaryGroups=adm is left out: no account that AllowUsers=")):
        assert f"stead.conf:{line}:" in said and words in said, said
    assert told(server)["uid"] == (own,) * 3 and told(server)["groups"] == [own]
    assert "there is no such account in /etc/passwd" in server.one.cli("logs", "-n", "1000", "--json")
    write(work / "shop", files("User=root\n"))
    assert "User=root is left out: no app ever runs as root" in server.deploy(folder)
    write(work / "shop", files("User=www-data\nDynamicUser=yes\n"))
    assert "left out" not in server.deploy(folder)
    assert told(server)["uid"] == (own,) * 3


@needs_root
def test_its_database_knows_it_by_that_account(operated, work):
    """Peer authentication and Migrate= as the account."""
    server = operated("[Server]\nAllowUsers=www-data\n")
    shutil.copytree(TOP / "examples/guestbook", work / "shop", ignore=shutil.ignore_patterns(".stead", "__pycache__"))
    conf = work / "shop/stead.conf"
    text = conf.read_text() if conf.exists() else ""
    conf.write_text(text + "\n[Site]\nName=shop\nDomain=shop.test\n[Service]\nUser=www-data\n[Postgres]\n"
                    "Migrate=/bin/sh -c 'test $(id -un) = www-data && psql -Atc \"select current_user\"'\n")
    give(work / "shop")
    server.deploy(work / "shop")
    assert server.get(host="shop.test").status == 200
    workers = [pid for pid in server.one.tree() if b"stead_worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert workers and {pid: uids(pid) for pid in workers} == {pid: {pwd.getpwnam("www-data").pw_uid} for pid in workers}


@needs_root
@pytest.mark.parametrize("names, why", [
    ("www-data stead-keys", "stead itself runs as it"), ("postgres", "it is the database's"), ("other", "another app's own"),
    ("toor", "no app ever runs as root"), ("nobody-at-all", "there is no such account"), ("wheeled", "its first group is one that no app may have")])
def test_whom_the_operator_cannot_allow(names, why):
    """The parent refuses them whatever the file says, tells ctl why, and holds ctl to it."""
    bed = pb.Bed()
    try:
        users = bed.dir / "passwd"
        users.write_text(passwd(ACCOUNTS) + "www-data:x:33:33::/var/www:/bin/sh\ntoor:x:0:33::/:/bin/sh\nother:x:50008:50008::/:/bin/sh\n"
                         "wheeled:x:34:0::/:/bin/sh\n")
        folder = bed.dir / "operators"
        folder.mkdir()
        (folder / "stead.conf").write_text(f"[Server]\nAllowUsers={names}\n")
        pathlib.Path("/etc/stead").mkdir(exist_ok=True)
        # All of /etc: a mount on /etc/passwd alone goes when somebody renames another file to it, as useradd(8) does.
        bed.wrap = ["unshare", "-m", "sh", "-c", 'cp -a /etc "$0.etc" && cp "$0" "$0.etc/passwd" && mount --bind "$0.etc" /etc && '
                    'mount --bind "$1" /etc/stead && shift && exec "$@"', str(users), str(folder)]
        bed.boot()
        body = bed.ctl.until("ACCOUNTS").body
        allowed, refused = struct.unpack_from("<II", body)
        assert refused == 1 and why.encode() in body and allowed == ("www-data" in names), body

        def asked(uid, gid, *groups):
            block = bytearray(pb.jail_block())
            wide = struct.pack(f"<{len(groups)}I", *groups).ljust(48 * 4, b"\0")
            fixed = struct.unpack_from("<I", block)[0]
            block = struct.pack("<I", fixed + len(wide)) + bytes(block[4:4 + fixed]) + wide + bytes(block[4 + fixed:])
            return bed.set(uid=uid, gid=gid, flags=0, start_ms=3600000, jail=block)

        for uid, gid, groups in ((0, 0, ()), (0, APP, ()), (ACCOUNTS["keys"], ACCOUNTS["keys"], ()), (POSTGRES, POSTGRES, ()), (34, 34, ()),
                                 (APP, 0, ()), (APP, ACCOUNTS["ctl"], ()), (APP, APP, (ACCOUNTS["keys"],)), (APP, APP, (APP, 0x7fffffff))):
            assert asked(uid, gid, *groups) == 1, (uid, gid, groups)  # EPERM
        can = [(APP, APP, ())] + ([(33, 33, (APP,)), (APP, APP, (33,)), (33, APP, ())] if allowed else [])
        assert allowed or asked(33, 33) == 1
        for uid, gid, groups in can:
            assert asked(uid, gid, *groups) == 0, (uid, gid, groups)
    finally:
        bed.done()


@needs_root
@pytest.mark.parametrize("mode, owner", [(0o664, 0), (0o646, 0), (0o644, 1000)])
def test_a_file_that_others_can_write_allows_nobody(operated, work, mode, owner):
    folder = operators(work, "[Server]\nAllowUsers=www-data\n")
    server = None

    class Spoilt(OperatedStead):
        def start(self):
            os.chown(folder / "stead.conf", owner, 0)
            (folder / "stead.conf").chmod(mode)
            return super().start()
    one = Spoilt(work, write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""}))
    one.operators = folder
    try:
        server = deploybed.Server(one.up())
        said = server.deploy(write(work / "shop", files("User=www-data\n")))
        assert "User=www-data is left out" in said and told(server)["uid"][0] >= 50000
        assert "it is not root's alone to write" in one.cli("logs", "-n", "1000", "--json")
    finally:
        assert not one.end()
        if one.state.parent == UP:
            shutil.rmtree(one.state, ignore_errors=True)
            for user in pwd.getpwall():
                if user.pw_gecos.startswith(f"stead app up/{one.state.name}"):
                    subprocess.run(["/usr/sbin/userdel", user.pw_name], check=True)


def test_allowing_root_is_an_error(app_folder):
    for name in ("root", "0"):
        found = check(app_folder({"stead.conf": f"[Server]\nAllowUsers=www-data {name}\n[Site]\nRoot=public\n", "public/index.html": "x"}))["findings"]
        assert [f for f in found if f["level"] == "error" and f["line"] == 2 and "no app ever runs as root" in f["text"]], found


# ---- folders ----

FOLDERS = ("StateDirectory=shop more/deep\nStateDirectoryMode=0750\nCacheDirectory=shop\nCacheDirectoryMode=0700\nLogsDirectory=shop\n"
           "ConfigurationDirectory=shop\nConfigurationDirectoryMode=0750\nRuntimeDirectory=shop\nRuntimeDirectoryMode=0711\n"
           "Environment=S=%S C=%C L=%L E=%E T=%t\n")


def folders_hold(got, base, uid, operator):
    """Where they are, whose, with which mode."""
    env = got["env"]
    assert env["STATE_DIRECTORY"] == f"{base}/data/shop:{base}/data/more/deep" and env["CACHE_DIRECTORY"] == f"{base}/cache/shop", env
    assert env["LOGS_DIRECTORY"] == f"{base}/logs/shop" and env["CONFIGURATION_DIRECTORY"] == f"{base}/config/shop", env
    assert [env[k] for k in "SCLE"] == [f"{base}/{n}" for n in ("data", "cache", "logs", "config")], env
    assert env["RUNTIME_DIRECTORY"] == env["T"] + "/shop", env
    for key, mode in (("STATE", "0o750"), ("CACHE", "0o700"), ("LOGS", "0o755"), ("CONFIGURATION", "0o750"), ("RUNTIME", "0o711")):
        for one in got["seen"][key + "_DIRECTORY"]:
            assert one[2][-3:] == mode[-3:], (key, one)
            assert one[0] == (operator if key == "CONFIGURATION" else uid), (key, one)


def kept(got):
    return {k: "kept" in got["seen"][k][0][3] for k in ("STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY", "RUNTIME_DIRECTORY")}


def after_death(get):
    """Its next process's word."""
    get("/write")
    before = get("/")["env"]
    try:
        get("/die")
    except Exception:  # its answer is a 502, which says nothing
        pass
    got = []

    def answered():
        try:
            got[:] = [get("/")]
        except Exception:
            return False
        return True
    wait_until("the next process", answered)
    assert got[0]["env"]["STATE_DIRECTORY"] == before["STATE_DIRECTORY"]
    return got[0]


@needs_root
def test_folders_as_root(operated, work, usual):
    server = operated("[Server]\nAllowUsers=www-data\n")
    folder = write(work / "shop", files(FOLDERS))
    server.deploy(folder)
    got = told(server)
    base = server.one.state / "apps/shop"
    folders_hold(got, base, got["uid"][0], 0)
    assert got["config"] in ("Permission denied", "Read-only file system"), got
    assert kept(after_death(lambda path: told(server, path))) == {
        "STATE_DIRECTORY": True, "CACHE_DIRECTORY": True, "LOGS_DIRECTORY": True, "RUNTIME_DIRECTORY": False}
    # What is there already goes over to whom it runs as from now on; what the operator wrote stays root's.
    (base / "config/shop/x.conf").write_text("x")
    write(work / "shop", files(FOLDERS + "User=www-data\nRuntimeDirectoryPreserve=yes\n"))
    server.deploy(folder)
    got = told(server)
    folders_hold(got, base, pwd.getpwnam("www-data").pw_uid, 0)
    assert got["seen"]["CONFIGURATION_DIRECTORY"][0][3] == ["x.conf"] and got["data"] == "done"
    assert all(kept(after_death(lambda path: told(server, path))).values())
    server.one.cli("remove", "shop", "--data", "--confirm", "shop")
    assert not [p for p in (base / n for n in ("data", "cache", "logs", "config")) if p.exists()]


# A program with the paths of a systemd unit written into it.
HABITS = """
import http.server, os, socket
class Answer(http.server.BaseHTTPRequestHandler):
    address_string = lambda self: "gate"
    def do_GET(self):
        open("/var/lib/shop-usual/deep/" + self.path.strip("/"), "w").close()
        try:
            open("/etc/shop-usual/x", "w").close()
            config = "written"
        except OSError as e:
            config = e.strerror
        body = repr([sorted(os.listdir(p)) for p in ("/var/lib/shop-usual/deep", "/run/shop-usual", "/etc/shop-usual", "/var/lib/stead")]
                    + [config, "%d"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    def server_bind(self):
        self.socket.bind(self.server_address)
Server("/run/shop-usual/own.sock", Answer).serve_forever()
"""
HABITUAL = ("[Site]\nDomain=shop.test\nHealth=/one\n[Service]\nExecStart=/usr/bin/python3 s.py\nListen=unix:/run/shop-usual/own.sock\n"
            "RuntimeDirectory=shop-usual\nStateDirectory=shop-usual/deep\nConfigurationDirectory=shop-usual\nStateDirectory=stead\n")
USUAL = [pathlib.Path(p) for p in ("/run/shop-usual", "/var/lib/shop-usual/deep", "/var/lib/shop-usual", "/etc/shop-usual")]
OF_SHOP = [pathlib.Path(p) for p in ("/run/stranger", "/var/lib/other", "/run/shop", "/var/lib/shop", "/var/lib/more/deep", "/var/lib/more", "/var/cache/shop", "/var/log/shop", "/etc/shop")]


@pytest.fixture
def usual():
    """Takes the places away that were made; nothing may be in what is the machine's."""
    there = [p for p in USUAL + OF_SHOP if p.exists()]
    yield
    (USUAL[3] / "a.conf").unlink(missing_ok=True)
    for place in USUAL + OF_SHOP:
        if place.exists() and place not in there:
            place.rmdir()


@needs_root
def test_folders_where_systemd_has_them(operated, work, usual):
    """The app sees its own at /var/lib, /run and /etc; the machine has empty folders there, and stead's own are nobody's."""
    server = operated("")
    folder = write(work / "shop", {"s.py": HABITS % 1, "stead.conf": HABITUAL})
    server.deploy(folder)
    base = server.one.state / "apps/shop"
    assert told(server, "/one") == [["one"], ["own.sock"], [], ["up"], "Read-only file system", "1"]
    assert [p.name for p in (base / "data/shop-usual/deep").iterdir()] == ["one"]
    assert all(not any(p.iterdir()) for p in (USUAL[0], USUAL[1], USUAL[3]))
    # The next release runs beside this one, with a socket of its own at the same place.
    write(folder, {"s.py": HABITS % 2, "stead.conf": HABITUAL})
    server.deploy(folder)
    assert told(server, "/two")[0] == ["one", "two"] and told(server, "/two")[5] == "2"
    # What the machine has there is taken away, as systemd does at the end of a unit: the next process has it again.
    USUAL[0].rmdir()
    os.kill(services(server.one)[0]["pid"], signal.SIGKILL)
    wait_until("the next process", lambda: server.get("/three", "shop.test").status == 200)
    assert told(server, "/three")[:2] == [["one", "three", "two"], ["own.sock"]]
    # Configuration that somebody wrote on this machine is what the app reads.
    (USUAL[3] / "a.conf").write_text("of the machine")
    server.deploy(folder)
    assert told(server, "/four")[2] == ["a.conf"]
    server.one.cli("remove", "shop", "--data", "--confirm", "shop")


@needs_root
def test_no_name_of_somebody_else_is_made(operated, work, usual):
    """Who deploys an app makes no folder that means something to the machine: /run/nologin would keep everybody out."""
    server = operated("")
    folder = write(work / "shop", files("RuntimeDirectory=stranger\nStateDirectory=other shop\n"))
    said = server.deploy(folder)
    assert "RuntimeDirectory=stranger is not at /run/stranger" in said and "StateDirectory=other is not at /var/lib/other" in said, said
    assert "=shop is" not in said and told(server)["env"]["RUNTIME_DIRECTORY"].endswith("/stranger")
    assert not pathlib.Path("/run/stranger").exists() and not pathlib.Path("/var/lib/other").exists() and pathlib.Path("/var/lib/shop").exists()


@pytest.fixture
def other():
    """A folder that everybody may write, with one of the same name in it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="stead-other-", dir="/var/tmp"))
    (folder / "deep").mkdir()
    for one in (folder, folder / "deep"):
        one.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_the_parent_holds_ctl_to_that():
    """Whoever took ctl over makes no such folder either."""
    make, place = 5, 7  # enum jail_path
    whose = {"uid": APP, "gid": APP} if os.geteuid() == 0 else {}
    bed = pb.Bed()
    try:
        bed.boot()
        for at, err in (("/run/guestbook", 0), ("/run/stranger", 22), ("/run/../etc/guestbook", 22), ("/usr/guestbook", 22),
                        ("/run/guestbook/../../etc/x", 22)):
            name = at.split("/", 2)[2]
            assert bed.set(**whose, jail=pb.jail_block(paths=[(make, f"{bed.dir}/{name}"), (place, at)])) == err, at
        assert bed.set(**whose, jail=pb.jail_block(paths=[(place, "/run/guestbook")])) == 22  # for no folder
    finally:
        bed.done()
        for left in ("guestbook", "stranger"):
            if pathlib.Path("/run", left).is_dir():
                pathlib.Path("/run", left).rmdir()


@needs_root
def test_a_folder_of_its_own_is_no_way_out(operated, work, usual, other):
    """An app that puts a link to somebody else's folder where its own was sees nothing there, and is told why it does not start."""
    server = operated("")
    folder = write(work / "shop", {"s.py": HABITS % 1, "stead.conf": HABITUAL})
    server.deploy(folder)
    assert told(server, "/one")[0] == ["one"]
    deep = server.one.state / "apps/shop/data/shop-usual"
    shutil.rmtree(deep)
    deep.symlink_to(other)
    said = server.deploy(folder, code=1)
    assert "keep folders" in said and "Not a directory" in said, said


def test_folders_without_root(stead, app_folder):
    one = stead(app_folder(files(FOLDERS))).up()
    got = ast.literal_eval(ask(one).text)
    folders_hold(got, one.state, got["uid"][0], got["uid"][0])
    seen = kept(after_death(lambda path: ast.literal_eval(ask(one, path).text)))
    assert seen == {"STATE_DIRECTORY": True, "CACHE_DIRECTORY": True, "LOGS_DIRECTORY": True, "RUNTIME_DIRECTORY": False}


@pytest.mark.parametrize("line", ["StateDirectory=/var/lib/x", "CacheDirectory=a/../b", "LogsDirectory=..", "RuntimeDirectory=a:b",
                                  "ConfigurationDirectory=a//b", "User=a/b", "Group=-x", "StateDirectoryMode=9"])
def test_what_is_no_folder_or_account(app_folder, line):
    found = check(app_folder({"app.py": "def app(e, s): pass\n", "stead.conf": "[Python]\nWsgi=app:app\n[Service]\n" + line + "\n"}))["findings"]
    assert [f["level"] for f in found if f["line"] == 4] == ["error"], found
