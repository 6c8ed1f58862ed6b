"""`stead deploy` where stead is root's: each app has a user, a release that is root's, a database of its own."""

import contextlib
import glob
import importlib.util
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import time

import pytest

import deploybed
from client import Load
from deploybed import app, write
from program import BUILD, TIMEOUT, TOP, free_port, give, wait_until
from test_root import RootStead, UP, uids

pytestmark = pytest.mark.root
PID_DIGITS = 7  # an example says which process answers


@pytest.fixture
def server(work):
    folder = write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""})
    one = RootStead(work, folder)
    yield deploybed.Server(one.up())
    left = one.end()
    print(one.output(), one.log_tail())
    if one.state.parent == UP:
        shutil.rmtree(one.state, ignore_errors=True)
        for user in pwd.getpwall():
            if user.pw_gecos.startswith(f"stead app up/{one.state.name}"):
                subprocess.run(["/usr/sbin/userdel", user.pw_name], check=True)
    assert not left


@pytest.fixture
def folder(work):
    def make(files, name="shop"):
        return write(work / name, files)
    return make


def owner(path):
    seen = os.lstat(path)
    return seen.st_uid, seen.st_gid, seen.st_mode & 0o7777


def test_a_port_that_was_not_given(server, folder):
    """As root by the app's own user."""
    port = free_port()
    said = server.deploy(folder({"stead.conf": f"[Site]\nDomain=p.test\n[Service]\nTimeoutStartSec=4s\n"
                                               f"ExecStart=/usr/bin/python3 -m http.server {port}\n"}), code=1)
    assert f"write Listen=port:{port} in [Service]" in said


def test_each_app_is_somebody_else(server, folder):
    """Two apps, two users; neither reads the other's release or data, none writes its own release, static files are
    published as a copy."""
    conf = "[Site]\nDomain={}.test\nStatic=/static static\nPersist=uploads\n"
    for name in ("shop", "blog"):
        server.deploy(folder(app(name, conf.format(name), **{"static/a.txt": f"of {name}"}), name))
    for name in ("shop", "blog"):
        assert server.get(host=f"{name}.test").text == name
        assert server.get("/static/a.txt", f"{name}.test").text == f"of {name}"
    apps, users = server.one.state / "apps", {}
    for name in ("shop", "blog"):
        pid = int(server.get("/pid", f"{name}.test").text)
        users[name] = uids(pid).pop()
        assert 50000 <= users[name] < 60000
        release = apps / name / "releases/1"
        assert owner(release)[0] == 0 and owner(release / "app.py")[0] == 0 and owner(release / "app.py")[2] == 0o640
        assert owner(apps / name / "data")[0] == users[name] and owner(apps / name / "data")[2] == 0o700
        assert owner(apps / name / "data/persist/uploads")[0] == users[name]
        assert not list((apps / name / "incoming").iterdir())
    assert users["shop"] != users["blog"]
    for what in ("releases/1/app.py", "data/persist"):
        seen = subprocess.run(["cat" if "app" in what else "ls", str(apps / "blog" / what)], user=users["shop"],
                              group=users["shop"], extra_groups=[], capture_output=True, text=True)
        assert seen.returncode != 0 and "denied" in seen.stderr, seen
    server.deploy(folder(app("shop 2", conf.format("shop"), **{"static/a.txt": "new"}), "shop"))
    assert server.get("/static/a.txt", "shop.test").text == "new"
    server.one.cli("rollback", "shop", timeout=TIMEOUT * 4)
    assert server.get("/static/a.txt", "shop.test").text == "of shop" and server.get(host="shop.test").text == "shop"
    assert server.get("/static/a.txt", "blog.test").text == "of blog"


def test_what_is_found_names_the_users_folder(server, folder):
    """A copy is looked at; what is told, and what to do, is of the folder that people know."""
    shop = folder({"stead.conf": "[Service]\nExecStart=./server\n"})
    said = server.deploy(shop, code=2)
    assert f"{shop}/./server" in said and str(server.one.state) not in said, said


@pytest.mark.parametrize("kind", ["static", "php"])
def test_a_folder_that_is_the_site(server, folder, kind):
    """Root=. as root: the app's own folder is what is published, without what no gate hands out."""
    front, conf = {"static": ({"index.html": "the page"}, "[Site]\nDomain=shop.test\nRoot=.\n"),
                   "php": ({"index.php": "<?php echo 'the page';"}, "[Site]\nDomain=shop.test\n[Php]\nRoot=.\n")}[kind]
    secret = {".env": "KEY=secret", "sub/.htpasswd": "secret", ".well-known/security.txt": "Contact: a@b.test", "sub/a.css": "a {}"}
    server.deploy(folder({**front, **secret, "stead.conf": conf}, "shop"))
    for path, status in (("/", 200), ("/sub/a.css", 200), ("/.well-known/security.txt", 200), ("/.env", 404),
                         ("/sub/.htpasswd", 404), ("/stead.conf", 404), ("/.stead", 404)):
        assert server.get(path, "shop.test").status == status, path
    assert server.get("/", "shop.test").text == "the page"
    published = {p.name for p in (server.one.state / "public").rglob("*")}
    assert "a.css" in published and not published & {".env", ".htpasswd", "stead.conf"}
    said = server.deploy(folder({**front, "stead.conf": conf.replace("Root=.", "Root=..")}, "shop"), code=None)
    assert "Root" in said or "is not in" in said, said
    assert server.get("/", "shop.test").text == "the page"


def test_two_guestbooks(server, folder, work):
    """Each has a role and a database of its own in one cluster, and Migrate= runs before the switch, as the app's user."""
    for name in ("first", "second"):
        shutil.copytree(TOP / "examples/guestbook", work / name, ignore=shutil.ignore_patterns(".stead", "__pycache__"))
        conf = work / name / "stead.conf"
        text = conf.read_text() if conf.exists() else ""
        conf.write_text(text + f"\n[Site]\nName={name}\nDomain={name}.test\n[Postgres]\n"
                        "Migrate=/bin/sh -c 'id -un; psql -c \"create table if not exists made (n int)\"; "
                        "psql -Atc \"insert into made values (1)\"'\n")
        give(work / name)
        server.deploy(work / name)
    assert server.get(host="first.test").status == 200 and server.get(host="second.test").status == 200
    assert len(server.one.pids("postgres")) == 1
    assert server.site("first")["state"] == "live"
    assert "INSERT 0 1" in server.one.cli("logs", "first", "-n", "1000")
    postgres = server.one.pids("postgres")
    # A migration that fails: nothing of it serves, and its last words are told.
    conf = work / "first/stead.conf"
    conf.write_text(conf.read_text().replace("id -un;", "echo no such column; exit 3;"))
    give(work / "first")
    said = server.deploy(work / "first", code=1)
    assert "Migrate= ended with exit status 3" in said and "no such column" in said, said
    assert server.releases("first") == {1: True} and server.get(host="first.test").status == 200
    assert server.one.pids("postgres") == postgres
    # The server starts again with both.
    assert server.one.stop() == 0
    server.one.up()
    for name in ("first", "second"):
        wait_until(f"{name} with its database", lambda: server.get(host=f"{name}.test").status == 200)
    server.one.cli("remove", "second", "--data", "--confirm", "second", timeout=TIMEOUT * 2)
    assert server.get(host="second.test").status == 421 and server.get(host="first.test").status == 200


def test_a_first_release_that_fails(server, folder):
    """Without data nothing of it stays. With a database that stays, which is told, and goes when somebody says so."""
    server.deploy(folder(app(status="500 Oh no", conf="[Site]\nHealthTimeoutSec=300ms\n"), "blog"), code=1)
    wait_until("no folder of it", lambda: not (server.one.state / "apps/blog").exists())
    for _ in range(3):
        server.deploy(folder(app(status="500 Oh no", conf="[Site]\nHealthTimeoutSec=100ms\n"), "blog"), code=1)
    server.deploy(folder(app("blog", "[Site]\nDomain=blog.test\n"), "blog"))
    assert server.get(host="blog.test").text == "blog" and (server.one.state / "apps/blog/own").is_dir()
    migrate = "/bin/sh -c 'psql -c \"create table made (n int)\"; exit 3'"
    files = app("one", f"[Site]\nDomain=shop.test\n[Postgres]\nDatabase=books\nMigrate={migrate}\n", **{"requirements.txt": "psycopg2>=2.9\n"})
    said = server.deploy(folder(files), code=1)
    assert "Migrate= ended with exit status 3" in said, said
    wait_until("what its release was made of to go", lambda: not (server.one.state / "apps/shop/own").exists())
    assert server.one.status()["left"] == ["shop"]
    server.one.cli("remove", "shop", "--data", "--confirm", "shop", timeout=TIMEOUT * 2)
    wait_until("no folder of it", lambda: not (server.one.state / "apps/shop").exists())
    assert server.one.status()["left"] == []
    # The table that it made is gone, too: it can be made again.
    server.deploy(folder({**files, "stead.conf": files["stead.conf"].replace("; exit 3", " || exit 3")}))
    assert server.get(host="shop.test").text == "one"


def test_nothing_fails_while_roots_releases_follow(server, folder, promise):
    server.deploy(folder(app("one")))
    with Load(server.one) as load:
        for n in range(2, 4):
            server.deploy(folder(app(str(n))))
            assert server.get().text == str(n)
        server.one.cli("rollback", "--release", "1", timeout=TIMEOUT * 4)
        assert server.get().text == "one"
    promise("deploy and rollback as root under load, failed of", str(load), not load.failed)
    assert not load.failed, str(load)


def test_a_link_in_the_apps_own_folder_leads_nowhere(server, folder):
    """What the app's user puts in the way of a release does not make root copy what that user may not read."""
    server.deploy(folder(app("one")))
    uid = uids(int(server.get("/pid").text)).pop()
    incoming = server.one.state / "apps/shop/incoming"
    (incoming / "2").symlink_to("/etc")
    os.lchown(incoming / "2", uid, uid)
    server.deploy(folder(app("two")))
    assert server.get().text == "two"
    assert not (server.one.state / "apps/shop/releases/2/passwd").exists()
    assert pathlib.Path("/etc/passwd").exists()


def killed_at(server, folder, seconds, role):
    """A deploy of which that process is killed then, or ctl when there is none of it: (which, what serves, whether it was told
    to be live)."""
    process = subprocess.Popen([str(BUILD / "stead"), "deploy", str(folder), "--state", str(server.one.state)],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **server.one.options())
    time.sleep(seconds)
    found = server.one.pids(role) or server.one.pids("ctl")
    for pid in found[:1]:
        with contextlib.suppress(ProcessLookupError):  # its work was done meanwhile
            os.kill(pid, signal.SIGKILL)
    process.stdout.read()
    told = process.wait(TIMEOUT * 2) == 0
    wait_until("the control process", lambda: "shop" in server.one.cli("status", code=None))
    return server.get().text, told


@pytest.mark.promise
@pytest.mark.timeout(3600)
def test_killed_at_fifty_moments(server, folder, promise):
    """ctl, build and act, each at moments all over a deploy: the state is the old release or the new one, and what was told to
    be live is it."""
    server.deploy(folder(app("0")))
    began = time.monotonic()
    server.deploy(folder(app("1")))
    took, last, seen = time.monotonic() - began, "1", []
    for n in range(50):
        role = ("ctl", "build", "act")[n % 3]
        serves, told = killed_at(server, folder(app(str(n + 2))), took * 1.1 * n / 50, role)
        assert serves in (last, str(n + 2)), (n, role, serves, last)
        assert not told or serves == str(n + 2), (n, role, serves)
        kept = server.releases("shop")
        assert sum(kept.values()) == 1
        wait_until("nothing half", lambda: server.trees("shop") == sorted(kept))
        wait_until("one release's workers",
                   lambda: len(server.one.pids("worker")) == server.site("shop")["workers_wanted"])
        seen.append(serves != last)
        last = serves
    promise("a deploy killed", f"{len(seen)} times: {seen.count(False)} old, {seen.count(True)} new, nothing half", True)


# What an example needs besides this repository; c-hello is built first.
EXAMPLES = {"c-hello": "cc", "c-server": "cc", "django": "django", "fastapi": "fastapi", "flask": "flask", "hello": "", "node": "node",
            "php": "php", "static": "", "webrick": "ruby"}


def test_every_example_on_one_server(server, work):
    """Each a user, a release and a name of its own, beside the others; a rollback of one touches none; all are back behind a
    restart of everything."""
    here, hosts = [name for name, needs in EXAMPLES.items() if not needs or shutil.which(needs) or importlib.util.find_spec(needs)
                   or (needs == "php" and glob.glob("/usr/sbin/php-fpm*"))], {}
    assert len(here) >= 4
    for name in here:
        shutil.copytree(TOP / "examples" / name, work / name, ignore=shutil.ignore_patterns(".stead", "__pycache__"))
        if (work / name / "Makefile").exists():
            subprocess.run(["make", "-C", str(work / name)], check=True, stdout=subprocess.DEVNULL,
                           env={**os.environ, "PKG_CONFIG_PATH": str(BUILD / "meson-uninstalled")})
        if name == "c-server":
            subprocess.run(["cc", "-O2", "-o", str(work / name / "server"), str(work / name / "server.c"), "-pthread"], check=True)
        own = (work / name / "stead.conf").read_text() if (work / name / "stead.conf").exists() else ""
        (work / name / "stead.conf").write_text(f"[Site]\nDomain={name}.test\n{own}")
        give(work / name)
        server.deploy(work / name)
        hosts[name] = server.get(host=f"{name}.test")
        assert hosts[name].status == 200, name
    users = {p["app"]: uids(p["pid"]) for p in server.one.status()["processes"] if p["role"] in ("worker", "service")}
    assert set(users) == set(here) - {"static"} and all(len(of) == 1 for of in users.values())
    assert len(set().union(*users.values())) == len(users) and {0} not in users.values()
    server.deploy(work / "hello")
    server.one.cli("rollback", "hello")
    server.one.stop()
    server.one.gone()
    server.one.up()
    for name in here:
        wait_until(name, lambda name=name: server.get(host=f"{name}.test").status == 200)
        assert abs(len(server.get(host=f"{name}.test").text) - len(hosts[name].text)) <= PID_DIGITS, name


# ---- another app's socket ----

BANK = '''
import socket
s = socket.socket(fileno=3)
while True:
    c = s.accept()[0]
    asked = c.recv(65536)
    c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\nConnection: close\\r\\n\\r\\nbank")
    c.close()
'''
# Its own socket becomes a link to another's once somebody asks for /turn.
TURNING = '''
import os, socket, sys
path, to = sys.argv[1:]
s = socket.socket(socket.AF_UNIX)
s.bind(path)
os.chmod(path, 0o660)
s.listen()
while True:
    c = s.accept()[0]
    if b" /turn" in c.recv(65536):
        os.symlink(to, path + ".link")
        os.rename(path + ".link", path)
    c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nthief")
    c.close()
'''


@pytest.fixture
def bank(server, folder):
    """A program that its own site keeps from everybody here; its socket."""
    server.deploy(folder({"bank.py": BANK, "stead.conf": "[Site]\nDomain=bank.test\nHealth=/\nAllow=10.9.9.9\n"
                                                         "[Service]\nListen=fd\nExecStart=/usr/bin/python3 bank.py\n"}, "bank"))
    assert server.get(host="bank.test").status == 403
    pid = next(p["pid"] for p in server.one.status()["processes"] if p.get("app") == "bank")
    environ = pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0")
    folder = next(v.partition("=")[2] for v in environ if v.startswith("RUNTIME_DIRECTORY="))
    path, = pathlib.Path(folder).parent.glob("s*-0-a")
    return path


def test_no_app_has_requests_passed_to_anothers_socket(server, folder, bank):
    name = bank.name
    for path in (bank, f"{bank.parent}/../{bank.parent.name}/{name}", f"/run/stead/backends/./{bank.parent.name}/{name}",
                 f"/run/stead/backends//{bank.parent.name}/{name}", bank.parent / "app1" / "x.sock"):
        said = server.deploy(folder({"index.html": "thief", "stead.conf": "[Site]\nDomain=thief.test\n[Route /]\nTo=up\n"
                                                                          f"[Upstream up]\nServer=unix:{path}\n"}, "thief"), code=2)
        assert "another app's" in said or "cannot be reached" in said, said
    assert server.get(host="bank.test").status == 403


def test_no_apps_own_socket_leads_to_anothers(server, folder, bank):
    """A program may write where its socket is; what it puts there leads the gates nowhere."""
    server.deploy(folder({"turn.py": TURNING, "stead.conf": "[Site]\nDomain=thief.test\nHealth=/\nQueueTimeoutSec=1s\n[Service]\nListen=unix:%t/own.sock\n"
                                                            f"ExecStart=/usr/bin/python3 turn.py %t/own.sock ../{bank.name}\n"}, "thief"))
    assert server.get(host="thief.test").text == "thief"
    server.get("/turn", host="thief.test")
    assert "bank" not in server.get(host="thief.test").text
