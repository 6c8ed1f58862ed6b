"""A power cut at any moment of a deploy, a rollback, a removal, an imported certificate: the state is the old one or the new one,
and the new one once somebody was told so. What is written is recorded, and each prefix of it made again; see powercut.py."""

import os
import pathlib
import pwd
import shutil
import sqlite3
import subprocess
import tempfile

import pytest

import deploybed
import powercut
import program
from deploybed import app, write
from test_root import UP, RootStead

pytestmark = pytest.mark.skipif(powercut.why_not() != "", reason=powercut.why_not())
IN_PROMISES = pytest.mark.skipif("STEAD_PROMISES" not in os.environ, reason="takes minutes: `make promises` runs it")
CONF = "[Site]\nDomain=shop.test\nPersist=uploads\n"
DISKS = (("kept", 0), ("journal", 1), ("strict", 2))
MORE_DISKS = (*DISKS, *(("journal", n) for n in range(3, 8)), *(("strict", n) for n in range(8, 12)))


def version(text):
    """A release is told by each of its files."""
    return app(text, CONF, **{"static/page.css": text * 3000, "uploads/first": "kept"})


@pytest.fixture
def server(stead, work):
    folder = write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""})
    one = deploybed.Server(stead(folder).up())
    one.deploy(write(work / "shop", version("one")))
    return one


def record(server, *acts):
    """What these acts write; each is followed by a mark."""
    one = server.one
    recording = powercut.Recording(one.state, one.pids("parent") + one.pids("ctl"))
    marks = []
    try:
        for act in acts:
            act()
            marks.append(recording.mark())
    finally:
        recording.end()
    assert len(recording.ops) > 20, "nothing was recorded"
    return recording, [recording.marks[m] for m in marks]


def files(folder):
    """What a release has, but for what only links to elsewhere, and what Python keeps for itself and looks at before it believes it."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*")
            if p.is_file() and not p.is_symlink() and "__pycache__" not in p.parts}


def look(state):
    """What stands in that state: {app: (release, its files)}; AssertionError when it cannot be read."""
    for there in (state, *state.rglob("*")):
        if there.is_dir():
            there.chmod(there.stat().st_mode | 0o700)
    db = sqlite3.connect(state / "state.db")
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = db.execute("SELECT deployed.name, app.release FROM deployed JOIN app ON app.number = deployed.app").fetchall()
    finally:
        db.close()
    return {name: (release, files(state / "apps" / name / "releases" / str(release))) for name, release in rows}


class Moments:
    """Each moment of a recording on each disk, the same ones once."""

    def __init__(self, recording, disks=DISKS):
        self.recording, self.disks, self.seen = recording, disks, {}

    def __iter__(self):
        """(moment, disk, seed); found while it is gone through for the first time."""
        yield from self.seen.values()
        if self.seen:
            return
        for cut in self.recording.cuts():
            for disk, seed in self.disks:
                # Which acts were told by then decides what is right, so the same disk may count twice.
                key = (self.recording.make(cut, disk, None, seed), sum(cut >= m for m in self.recording.marks.values()))
                if key not in self.seen:
                    self.seen[key] = cut, disk, seed
                    yield cut, disk, seed

    def some(self, n):
        """So many of them, spread over all."""
        every = list(self)
        return [every[i * (len(every) - 1) // (n - 1)] for i in range(n)] if len(every) > n else every


def allowed(steps, marks, cut):
    """steps: what stands before the first act, behind it, behind the second …; which of them may be there at that moment."""
    told = sum(cut >= m for m in marks)
    return steps[told:told + 2]


def check_all(recording, moments, steps, marks, work):
    # In memory, where there is some: each is made and looked at once.
    n, target = 0, pathlib.Path(tempfile.mkdtemp(prefix="stead-cut-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else work))
    try:
        for cut, disk, seed in moments:
            recording.make(cut, disk, target, seed)
            n += 1
            try:
                found = look(target)
            except (sqlite3.Error, OSError) as err:
                found = repr(err)
            assert found in allowed(steps, marks, cut), f"{n}. after {cut} operations ({disk}, {seed}): " \
                f"{ {k: v[0] for k, v in found.items()} if isinstance(found, dict) else found}, {recording.ops[max(0, cut - 4):cut]}"
    finally:
        shutil.rmtree(target, ignore_errors=True)
    return n


def start_all(server, recording, moments, serves):
    """The real program on that disk, where the state is: what it serves is one of these."""
    one = server.one
    if one.process.poll() is None:
        one.stop()
    one.gone()
    aside = one.state.with_name(one.state.name + ".aside")
    one.state.rename(aside)
    for cut, disk, seed in moments:
        recording.make(cut, disk, one.state, seed)
        one.up()
        seen = server.get(host="shop.test")
        assert (seen.status, seen.text if seen.status == 200 else "") in serves, f"after {cut} operations ({disk}, {seed})"
        one.stop()
        one.gone()
    shutil.rmtree(aside)
    return len(moments)


def test_a_deploy(server, work):
    """Every prefix of what a deploy writes, on disks that lose what nobody made sure of; nothing was missed in recording it; and
    had nobody ever waited for the disk, it would be found to be half."""
    before = look_live(server, work)
    recording, marks = record(server, lambda: server.deploy(write(work / "shop", version("two"))))
    try:
        steps = [before, look_live(server, work)]
        assert [s["shop"][0] for s in steps] == [1, 2]
        recording.make(len(recording.ops), "kept", work / "again")
        assert look(work / "again") == steps[1]
        (work / "again/apps/shop/releases/2/static/page.css").write_text("half")
        assert look(work / "again") != steps[1]
        moments = Moments(recording, DISKS[:2])
        check_all(recording, moments, steps, marks, work)
        start_all(server, recording, moments.some(2)[1:], ((200, "one"), (200, "two")))
        recording.forget_syncs()
        with pytest.raises(AssertionError):
            check_all(recording, Moments(recording, (("journal", 1), ("strict", 3))), steps, marks, work)
    finally:
        recording.remove()


def look_live(server, work):
    """The same of the state of a running instance: of a copy."""
    target = work / "live"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(server.one.state, target, symlinks=True,
                    ignore=lambda folder, names: [n for n in names if n in ("control", "lock") or n.endswith("-shm")])
    try:
        return look(target)
    finally:
        shutil.rmtree(target)


@pytest.fixture
def root_server(work):
    one = RootStead(work, write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""}))
    server = deploybed.Server(one.up())
    server.deploy(write(work / "shop", version("one")))
    yield server
    left = one.end()
    if one.state.parent == UP:
        shutil.rmtree(one.state, ignore_errors=True)
        shutil.rmtree(one.state.with_name(one.state.name + ".aside"), ignore_errors=True)
        for user in pwd.getpwall():
            if user.pw_gecos.startswith(f"stead app up/{one.state.name}"):
                subprocess.run(["/usr/sbin/userdel", user.pw_name], check=True)
    assert not left


@IN_PROMISES
@pytest.mark.root
@pytest.mark.promise
@pytest.mark.timeout(1500)
def test_a_deploy_as_root(root_server, work, promise):
    """The same where releases are root's copies, and static files are published to the gates."""
    server, steps = root_server, [look_live(root_server, work)]

    def act(run):
        run()
        steps.append(look_live(server, work))
    recording, marks = record(server, lambda: act(lambda: server.deploy(write(work / "shop", version("two")))),
                              lambda: act(lambda: server.one.cli("rollback", "shop", timeout=program.TIMEOUT * 4)))
    try:
        assert [s["shop"][0] for s in steps] == [1, 2, 1]
        moments = Moments(recording, MORE_DISKS)
        looked = check_all(recording, moments, steps, marks, work)
        started = start_all(server, recording, moments.some(30), ((200, "one"), (200, "two")))
        promise("power cut, as root", f"{len(recording.ops)} operations of a deploy and a rollback: {looked} different disks, each the old state "
                f"or the new one; stead started on {started} of them")
    finally:
        recording.remove()


@IN_PROMISES
@pytest.mark.promise
@pytest.mark.timeout(1500)
def test_a_life(server, work, promise):
    """A deploy, a rollback, an imported certificate, a removal: each prefix, and the real program started on many."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=shop.test",
                    "-addext", "subjectAltName=DNS:shop.test", "-days", "90", "-keyout", work / "key.pem", "-out", work / "cert.pem"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    program.give(work)
    steps = [look_live(server, work)]

    def act(*arguments):
        def run():
            if arguments[0] == "deploy":
                server.deploy(write(work / "shop", version("two")))
            else:
                server.one.cli(*arguments, timeout=program.TIMEOUT * 4)
            steps.append(look_live(server, work))
        return run
    recording, marks = record(
        server, act("deploy"), act("rollback", "shop"),
        act("cert", "import", "shop", "--cert", str(work / "cert.pem"), "--key", str(work / "key.pem")), act("remove", "shop"))
    try:
        assert [s.get("shop", (0,))[0] for s in steps] == [1, 2, 1, 1, 0]
        moments = Moments(recording, MORE_DISKS)
        looked = check_all(recording, moments, steps, marks, work)
        started = start_all(server, recording, moments.some(60), ((200, "one"), (200, "two"), (421, ""), (308, "")))
        promise("power cut", f"{len(recording.ops)} operations of a deploy, a rollback, a certificate and a removal: {looked} different disks, "
                f"each the old state or the new one; stead started on {started} of them")
    finally:
        recording.remove()
