"""`stead up` as real root: state in /var/lib/stead/up/ID, nothing of the app's runs as root."""

import os
import pathlib
import pwd
import re
import shutil
import stat
import subprocess

import pytest

from client import Client, Visitor, ask
from program import BUILD, Stead, processes, wait_until

pytestmark = pytest.mark.root
UP = pathlib.Path("/var/lib/stead/up")


def uids(pid):
    """Real, effective, saved and file-system uid."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {int(n) for n in re.search(r"^Uid:\s+(.*)$", text, re.M).group(1).split()}


class RootStead(Stead):
    """Started as root, with the state where root's state lies: found by its parent's words, removed at the end."""

    def __init__(self, work, folder, **options):
        super().__init__(work, folder, as_root=True, **options)

    @property
    def command(self):
        return [str(BUILD / "stead"), "up", str(self.folder), "--http", self.http]

    def up(self):
        before = self.output().count("live  ")
        self.start()
        def made():
            for pid, (ppid, _, comm) in processes().items():
                if comm == "stead-parent" and ppid == self.process.pid:
                    words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                    self.state = pathlib.Path(words[words.index("--state") + 1])
            return self.process.poll() is not None or self.output().count("live  ") > before
        wait_until("live", made)
        assert self.process.poll() is None, self.output()
        self.tree()
        return self


@pytest.fixture
def rooted(work):
    made = []

    def make(folder, **options):
        one = RootStead(work, folder, **options)
        made.append(one)
        return one
    yield make
    for one in made:
        left = one.end()
        print(one.output())
        if one.state.parent == UP:
            shutil.rmtree(one.state, ignore_errors=True)
            for user in pwd.getpwall():
                if user.pw_gecos == f"stead app up/{one.state.name}":
                    subprocess.run(["/usr/sbin/userdel", user.pw_name], check=True)
        assert not left


def test_the_app_is_not_root(rooted, guestbook):
    """Workers, database and build have their own users; the app's folder is copied, not run in place."""
    one = rooted(guestbook).up()
    assert one.state.parent == UP
    visitor = Visitor(one)
    assert visitor.sign("Root", "as an app's user").status == 303
    assert "as an app&#39;s user" in ask(one).text
    postgres = pwd.getpwnam("postgres").pw_uid
    app_uids = set()
    for pid, comm in one.tree().items():
        if comm == "postgres":
            assert uids(pid) == {postgres}
        elif pid in one.pids("worker"):
            app_uids |= uids(pid)
    assert len(app_uids) == 1 and 50000 <= next(iter(app_uids)) < 60000, app_uids
    for role in ("gate", "ctl", "log"):
        for pid in one.pids(role):
            assert 0 not in uids(pid), role
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            assert re.search(r"^NoNewPrivs:\s+1$", status, re.M), role
            assert re.search(r"^CapEff:\s+0+$", status, re.M), role
    for pid in one.pids("gate"):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Seccomp:\s+2$", status, re.M), "the gate has no seccomp filter"
        assert os.readlink(f"/proc/{pid}/root") != "/" or not (
            pathlib.Path(f"/proc/{pid}/root/etc/passwd").exists()), "the gate sees the whole file system"
    told = one.status()
    assert told["sites"][0]["url"] == one.url
    # ctl may not read the others' share of the memory; root, who asks, may.
    assert {p["memory_kind"] for p in told["processes"]} == {"pss"}, told
    assert "resident" not in one.cli("status")


def test_the_database_socket_is_closed_to_others(rooted, guestbook):
    one = rooted(guestbook).up()
    environment = {}
    for pid in one.pids("worker"):
        environment = dict(part.split(b"=", 1) for part in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                           if b"=" in part)
    folder = pathlib.Path(environment[b"PGHOST"].decode())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o710
    result = subprocess.run(["psql", "-h", str(folder), "-d", environment[b"PGDATABASE"].decode(),
                             "-U", environment[b"PGUSER"].decode(), "-c", "select 1"],
                            user="nobody", group="nogroup", extra_groups=[], capture_output=True, text=True, cwd="/",
                            env={"PATH": os.environ["PATH"]})
    assert result.returncode != 0 and "permission denied" in result.stderr.lower(), result


def test_stop_as_root_leaves_nothing(rooted, app_folder):
    """The app's children cannot outlive it in sessions of their own: they die with their cgroup."""
    from test_verbs import FORKS
    one = rooted(app_folder({"app.py": FORKS})).up()
    sleepers = wait_until("the app's children", lambda: [p for p, comm in one.tree().items() if comm == "sleep"])
    assert one.stop() == 0
    one.gone()
    assert sleepers


def test_kill_of_each_kind_as_root(rooted, guestbook):
    one = rooted(guestbook).up()
    for role in ("gate", "ctl", "log", "worker", "postgres"):
        one.kill_and_wait(role)
        wait_until(f"service after {role}", lambda: ask(one, "/health").status == 200)


SAYS = """
def application(environ, start_response):
    start_response("{status}", [("Content-Type", "text/plain")])
    return [open(__file__.replace("app.py", "words.txt"), "rb").read()]
"""
CONF = "[Site]\nStatic=/static static\nHealthTimeoutSec=2s\n[Python]\nWorkers=1\n"


def version(number, status="200 OK"):
    return {"app.py": SAYS.format(status=status), "words.txt": f"version {number}", "static/a.txt": f"file {number}",
            "stead.conf": CONF}


def trees(one):
    return [sorted(p.name for p in (one.state / name).iterdir()) for name in ("releases", "public")]


def settled(one):
    """One worker, and no other is on its way in or out."""
    return [p["phase"] for p in one.status()["processes"] if p["role"] == "worker"] == ["up"]


def serves(one, number):
    wait_until("replacements to end", lambda: settled(one))
    assert ask(one).text == f"version {number}" and ask(one, "/static/a.txt").text == f"file {number}"
    one.kill_and_wait("worker")
    wait_until("the app", lambda: ask(one).status == 200)
    one.kill_and_wait("gate")
    assert ask(one).text == f"version {number}" and ask(one, "/static/a.txt").text == f"file {number}"


def test_two_folders_of_one_name(rooted, app_folder):
    """Two owners' apps never share a user; each keeps its own at the next start."""
    ones = []
    for owner, uid in (("a", 1234), ("b", 1235)):
        folder = app_folder(version(owner), name=f"{owner}/shop")
        os.chown(folder, uid, uid)
        ones.append(rooted(folder).up())
    users = [uids(one.pid("worker")) for one in ones]
    assert len(users[0] | users[1]) == 2 and all(50000 <= uid < 60000 for uid in users[0] | users[1]), users
    for one, owner in zip(ones, "ab"):
        assert ask(one).text == f"version {owner}"
        assert {p.stat().st_gid for p in (one.state / "releases").glob("*/*")} == uids(one.pid("worker"))
    assert ones[1].stop() == 0
    ones[1].gone()
    ones[1].up()
    assert uids(ones[1].pid("worker")) == users[1]
    assert trees(ones[0]) == [["1"], ["1"]]
    wait_until("the first copy to go", lambda: trees(ones[1]) == [["2"], ["2"]])


@pytest.mark.parametrize("bad, said", [
    ({"app.py": "def application(:\n"}, "app.py:1"),
    ({"stead.conf": CONF + "Wrokers=3\n"}, "Wrokers"),
    ({"app.py": SAYS.format(status="500 No")}, "status 500"),
    ({"app.py": "assert 'stead_worker' not in open('/proc/self/cmdline').read()\n" + SAYS.format(status="200 OK")},
     "worker ended with exit status")],
    ids=["syntax", "configuration", "health", "start"])
def test_a_bad_reload_leaves_the_old_tree(rooted, app_folder, bad, said):
    """What serves is not touched on the disk either: what dies comes back as it was."""
    folder = app_folder(version(1))
    one = rooted(folder).up()
    assert trees(one) == [["1"], ["1"]]
    for path, text in {**version(2), **bad}.items():
        (folder / path).write_text(text)
    told = one.cli("reload", code=None)
    assert said in told, told
    wait_until("the old one", lambda: ask(one).text == "version 1")  # new ones may have run before it failed
    serves(one, 1)
    for path, text in version(3).items():
        (folder / path).write_text(text)
    one.cli("reload")
    serves(one, 3)
    wait_until("the old copies to go", lambda: trees(one) == [["2"], ["2"]])


def test_restart_takes_the_folder_as_it_is_now(rooted, app_folder):
    """New code and files, the configuration as it was; a bad one changes nothing."""
    folder = app_folder(version(1))
    one = rooted(folder).up()
    before = one.pid("worker")
    for path, text in version(2).items():
        (folder / path).write_text(text)
    (folder / "stead.conf").write_text(CONF.replace("Workers=1", "Workers=3"))
    one.cli("restart")
    wait_until("the old one to go", lambda: settled(one))
    assert one.pid("worker") != before
    serves(one, 2)
    assert len(one.pids("worker")) == 1
    (folder / "app.py").write_text("def application(:\n")
    told = one.cli("restart", code=1)
    assert "before it was ready" in told and "serve on" in told, told
    serves(one, 2)


def test_an_old_copy_stays_while_a_worker_uses_it(rooted, app_folder):
    """A request that runs on the old worker finds its files until it is done."""
    slow = SAYS.format(status="200 OK").replace("    return", "    import time; time.sleep("
                                                "2 if environ['PATH_INFO'] == '/slow' else 0)\n    return")
    folder = app_folder({**version(1), "app.py": slow})
    one = rooted(folder).up()
    with Client(one.port) as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        (folder / "words.txt").write_text("version 2")
        one.cli("reload")
        assert ask(one).text == "version 2"
        answer = client.answer()
        assert answer.status == 200 and answer.text == "version 1"
    wait_until("the old copies to go", lambda: trees(one) == [["2"], ["2"]])
