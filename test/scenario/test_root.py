"""`stead up` as real root: state in /var/lib/stead/up/ID, nothing of the app's runs as root."""

import os
import pathlib
import pwd
import re
import shutil
import stat
import subprocess

import pytest

from client import Visitor, ask
from program import BUILD, Stead, wait_until

pytestmark = pytest.mark.root
UP = pathlib.Path("/var/lib/stead/up")


def uids(pid):
    """Real, effective, saved and file-system uid."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {int(n) for n in re.search(r"^Uid:\s+(.*)$", text, re.M).group(1).split()}


class RootStead(Stead):
    """Started as root, with the state where root's state lies: found by the lock's owner, removed at the end."""

    def __init__(self, work, folder, **options):
        super().__init__(work, folder, as_root=True, **options)
        self.before = set(UP.glob("*")) if UP.is_dir() else set()

    @property
    def command(self):
        return [str(BUILD / "stead"), "up", str(self.folder), "--http", self.http]

    def up(self):
        self.start()
        def made():
            new = set(UP.glob("*")) - self.before if UP.is_dir() else set()
            if new:
                self.state = new.pop()
            return self.process.poll() is not None or "live  " in self.output()
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
