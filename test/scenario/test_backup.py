"""`stead backup` and `stead restore` of an instance: what comes back is what was there, and what is damaged changes nothing."""

import json
import os
import pathlib
import random
import signal
import socket
import stat
import subprocess
import time

import pytest

import deploybed
import program
from deploybed import app, write
from program import BUILD, TIMEOUT, wait_until
from test_db import VERSION_APP, wheels  # noqa: F401 - a fixture

CONF = "[Site]\nDomain=shop.test\nPersist=uploads\n"


def version(text):
    """An app that says its version, with a file that outlives releases."""
    return app(text, CONF, **{"uploads/first": "kept"})


@pytest.fixture
def server(stead, work):
    folder = write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""})
    one = deploybed.Server(stead(folder).up())
    one.deploy(write(work / "shop", version("one")))
    return one


def data(server):
    return server.one.state / "apps/shop/data"


def backup(server, work, *arguments, code=0):
    file = work / "backup"
    said = server.one.cli("backup", str(file), *arguments, code=code, timeout=TIMEOUT * 2)
    return file, said


def restore(server, file, *arguments, code=0):
    return server.one.cli("restore", str(file), *arguments, code=code, timeout=TIMEOUT * 2)


def ended(server):
    server.one.process.wait(TIMEOUT)
    server.one.gone()


def test_what_comes_back_is_what_was_there(server, work):
    """Pages, releases, data folders and files that outlive releases; deployed anew, it goes on from there."""
    (data(server) / "note").write_text("before")
    (data(server) / "persist/uploads/deep").mkdir(parents=True)
    (data(server) / "persist/uploads/deep/link").symlink_to("../first")
    (data(server) / "persist/uploads/odd \x01\n").write_text("odd")
    with open(data(server) / "sparse", "wb") as file:
        file.seek(300_000_000)
        file.write(b"end")
    program.give(data(server))
    file, said = backup(server, work)
    assert "1 app," in said and "not encrypted" in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.stat().st_size < 3_000_000
    server.deploy(write(work / "shop", version("two")))
    (data(server) / "note").write_text("after")
    (data(server) / "more").write_text("after")
    assert "--yes" in restore(server, file, code=6)
    assert server.get(host="shop.test").text == "two"
    said = restore(server, file, "--yes")
    assert "restored" in said and "1 app," in said
    ended(server)
    server.one.up()
    assert server.get(host="shop.test").text == "one"
    assert server.releases("shop") == {1: True}
    assert (data(server) / "note").read_text() == "before" and not (data(server) / "more").exists()
    assert (data(server) / "persist/uploads/first").read_text() == "kept"
    assert os.readlink(data(server) / "persist/uploads/deep/link") == "../first"
    assert (data(server) / "persist/uploads/odd \x01\n").read_text() == "odd"
    sparse = (data(server) / "sparse").stat()
    assert sparse.st_size == 300_000_003 and sparse.st_blocks * 512 < 10_000_000
    assert not (server.one.state / "restore").exists() and not (server.one.state / "restored").exists()
    assert [r for r in server.one.logs() if r.get("event") == "RESTORED"]
    server.deploy(write(work / "shop", version("three")))
    assert server.get(host="shop.test").text == "three" and server.releases("shop") == {2: True, 1: False}


def test_a_secret_stays_the_same(server, work):
    """SECRET_KEY is part of the state: sessions hold."""
    def secret():
        return [p for p in server.get("/env", "shop.test").text.split("('") if p.startswith("SECRET_KEY")][0]
    before = secret()
    file, _ = backup(server, work, "--quiet")
    restore(server, file, "--yes", "--quiet")
    ended(server)
    server.one.up()
    assert secret() == before


def test_json(server, work):
    file, said = backup(server, work, "--json")
    told = json.loads(said.splitlines()[-1])
    assert told["event"] == "end" and told["bytes"] == file.stat().st_size and told["left_out"] == 0
    assert {p["part"] for p in told["parts"]} >= {"state", "keys", "own", "apps", "app"}
    assert all(len(p["sha256"]) == 64 for p in told["parts"])
    assert [p["of"] for p in told["parts"] if p["part"] == "app"] == ["shop"]
    again = json.loads(restore(server, file, "--yes", "--json").splitlines()[-1])
    assert again["apps"] == 1 and again["made_us"] == told["made_us"] and again["host"] == told["host"]


def test_apps_are_those_that_are_deployed(server, work):
    """First releases that failed are none, and what a removed app left is told by itself."""
    for name in ("blog", "wiki"):
        server.deploy(write(work / name, app(status="500 Oh no", conf="[Site]\nHealthTimeoutSec=300ms\n")), code=1)
    wait_until("no folder of theirs", lambda: [p.name for p in (server.one.state / "apps").iterdir()] == ["shop"])
    file, said = backup(server, work)
    assert "; 1 app," in said and "not deployed" not in said, said
    server.deploy(write(work / "old", app("old", "[Site]\nDomain=old.test\n")))
    (server.one.state / "apps/old/data/kept").write_text("kept")
    server.one.cli("remove", "old")
    file, said = backup(server, work)
    assert "; 1 app," in said and "the data of 1 app that is not deployed" in said, said


def test_sockets_and_pipes_are_left_out(server, work):
    os.mkfifo(data(server) / "pipe")
    program.give(data(server))
    _, said = backup(server, work)
    assert "left out: 1" in said


def test_a_deploy_waits_for_it(server, work):
    """The state and the releases in a backup belong together."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(server.one.state / "control"))
        s.sendall(b'{"verb":"backup"}\n')
        told = json.loads(s.makefile().readline())
        assert told["event"] == "backup" and (server.one.state / "backup.db").exists()
        deploy = subprocess.Popen([BUILD / "stead", "deploy", write(work / "shop", version("two")), "--state", server.one.state],
                                  stdout=subprocess.PIPE, text=True, **server.one.options())
        wait_until("the deploy to wait", lambda: "waiting for a backup" in deploy.stdout.readline())
        assert server.releases("shop") == {1: True} and server.get(host="shop.test").text == "one"
    assert deploy.wait(TIMEOUT) == 0
    assert server.get(host="shop.test").text == "two" and not (server.one.state / "backup.db").exists()


def tree(folder):
    """What is there, but for what changes by itself."""
    return {str(p.relative_to(folder)): p.lstat().st_size for p in folder.rglob("*")
            if not p.relative_to(folder).parts[0] in ("log", "state.db", "state.db-wal", "state.db-shm")}


def test_what_is_damaged_changes_nothing(server, work):
    """A byte changed anywhere, a cut anywhere, something else: refused at once, with the reason, and all serves on."""
    file, _ = backup(server, work)
    good, bad = file.read_bytes(), work / "bad"
    before, chance = tree(server.one.state), random.Random(6)
    cases = [(b"", "empty"), (b"x" * 600, "does not begin"), (good + b"\0", "behind its end"), (good[:-1], "missing")]
    for _ in range(6):
        at = chance.randrange(len(good))
        cases.append((good[:at] + bytes([good[at] ^ 1 << chance.randrange(8)]) + good[at + 1:], "cannot be restored"))
        cases.append((good[:at], "cannot be restored"))
    for text, why in cases:
        bad.write_bytes(text)
        said = restore(server, bad, "--yes", code=2)
        assert why in said and "Nothing was changed" in said, said
    assert restore(server, work / "nowhere", "--yes", code=4)
    assert tree(server.one.state) == before and server.get(host="shop.test").text == "one"


def test_another_folders_state(server, work):
    """Its paths are those of the state that it was made of."""
    file, _ = backup(server, work)
    (work / "elsewhere").mkdir()
    program.give(work / "elsewhere")
    done = subprocess.run([BUILD / "stead", "restore", file, "--state", work / "elsewhere"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **server.one.options())
    assert done.returncode == 2 and str(server.one.state) in done.stdout


def test_no_place_for_the_file(server, work):
    assert server.one.cli("backup", str(work / "nowhere/file"), code=1)
    assert server.one.cli("backup", str(server.one.state), code=2)
    assert server.one.cli("backup", "", code=2)
    assert not list(work.glob(".stead-backup*"))


def test_nothing_runs(stead, work):
    one = stead(write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""}))
    one.state.mkdir()
    program.give(one.state)
    assert "not running" in one.cli("backup", str(work / "file"), code=3)


def kill_all(process):
    """The command and what it has started, at once."""
    running = program.processes()
    ours = {process.pid} | {pid for pid, (ppid, _, _) in running.items() if ppid == process.pid}
    for pid in ours:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait(TIMEOUT)


def killed_at(server, work, moments):
    """A restore killed so many seconds after its begin: what starts next is the state of before or that of the backup."""
    file, _ = backup(server, work)
    (data(server) / "note").write_text("before")
    server.deploy(write(work / "shop", version("two")))
    seen = []
    for moment in moments:
        restoring = subprocess.Popen([BUILD / "stead", "restore", file, "--yes", "--state", server.one.state], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, **server.one.options())
        try:
            restoring.wait(moment)
        except subprocess.TimeoutExpired:
            kill_all(restoring)
        if server.one.process.poll() is not None or not server.one.pids("gate"):
            ended(server)
            server.one.up()
        text, note = server.get(host="shop.test").text, (data(server) / "note").exists()
        assert (text, note) in (("one", False), ("two", True)), moment
        seen.append(text)
        if text == "one":
            server.deploy(write(work / "shop", version("two")))
            (data(server) / "note").write_text("before")
    return seen


def test_killed_at_a_moment(server, work):
    killed_at(server, work, (0.02, 0.3))


@pytest.mark.skipif("STEAD_PROMISES" not in os.environ, reason="takes minutes: `make promises` runs it")
@pytest.mark.promise
@pytest.mark.timeout(600)
def test_killed_at_each_moment(server, work, promise):
    began = time.monotonic()
    file, _ = backup(server, work)
    restore(server, file, "--yes")
    ended(server)
    server.one.up()
    whole = time.monotonic() - began
    seen = killed_at(server, work, [whole * i / 30 for i in range(1, 31)])
    promise("a restore killed", f"30 moments: {seen.count('two')} times the old state, {seen.count('one')} times the backup's, never half")


def test_a_database_comes_back(stead, guestbook, work):
    """The rows as they were when the backup was made, through a cluster that is made anew."""
    one = stead(guestbook).up()

    def sql(text):
        env = dict(p.split("=", 1) for p in pathlib.Path(f"/proc/{one.pid('worker')}/environ").read_text().split("\0") if "=" in p)
        done = subprocess.run(["psql", "-At", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              **{**one.options(), "env": env})
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()
    server = deploybed.Server(one)
    sql("INSERT INTO entry (form, name, message) VALUES ('1', 'ann', 'first words')")
    file, said = backup(server, work)
    assert "1 database," in said
    sql("INSERT INTO entry (form, name, message) VALUES ('2', 'bob', 'other words')")
    restore(server, file, "--yes")
    ended(server)
    one.up()
    page = server.get().text
    assert "first words" in page and "other words" not in page
    assert sql("SELECT count(*) FROM entry") == "1"
    # The dump is gone with its loading: what comes later stays.
    sql("INSERT INTO entry (form, name, message) VALUES ('3', 'eve', 'last words')")
    one.stop()
    ended(server)
    one.up()
    assert "last words" in server.get().text and not (one.state / "pg/restore/guestbook.dump").exists()


def test_a_database_that_cannot_be_loaded(server, guestbook, work):
    """Its app is not run, for it would find an empty one; the others serve. It is tried again at the next start."""
    server.deploy(write_conf(guestbook))
    assert server.get(host="book.test").status == 200
    file, said = backup(server, work)
    assert "2 apps, 1 database" in said
    restore(server, file, "--yes")
    ended(server)
    dump = server.one.state / "pg/restore/guestbook.dump"
    whole = dump.read_bytes()
    dump.write_bytes(b"no dump")
    server.one.up()
    seen, = wait_until("the event", lambda: [r for r in server.one.logs() if r.get("event") == "RESTORE_NOT_LOADED"])
    assert seen["app"] == "guestbook" and "pg_restore" in seen["error"]
    assert server.get(host="shop.test").text == "one"
    assert not [p for p in server.one.status()["processes"] if p.get("app") == "guestbook" and p["role"] == "worker"]
    assert "pg_restore" in (server.one.state / "restored.failed").read_text() and (server.one.state / "restored").exists()
    # Nor does a deploy give it an empty one.
    assert "could not be loaded" in server.deploy(guestbook, code=1)
    server.one.stop()
    ended(server)
    dump.write_bytes(whole)
    server.one.up()
    wait_until("the app", lambda: server.get(host="book.test").status == 200)
    wait_until("the mark to go", lambda: not (server.one.state / "restored").exists())
    assert not dump.exists() and not (server.one.state / "restored.failed").exists()


def test_another_python(stead, work, wheels):  # noqa: F811
    """An environment that is of another Python is made anew, by itself."""
    folder = write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""})
    server = deploybed.Server(stead(folder, env=wheels).up())
    server.deploy(write(work / "shop", {"app.py": VERSION_APP, "requirements.txt": "tinypkg==1.0\n", "stead.conf": "[Site]\nDomain=shop.test\n"}))
    assert server.get(host="shop.test").text == "1.0"
    file, _ = backup(server, work)
    restore(server, file, "--yes")
    ended(server)
    for package in (server.one.state / "apps/shop/own/venv").rglob("tinypkg.py"):
        package.unlink()
    for stamp in (server.one.state / "apps/shop/own/venv").glob("*/.stead*"):
        stamp.write_text(stamp.read_text().replace("3.", "2."))
    server.one.up()
    wait_until("its packages", lambda: server.get(host="shop.test").text == "1.0")
    wait_until("the mark to go", lambda: not (server.one.state / "restored").exists())


def write_conf(folder):
    (folder / "stead.conf").write_text("[Site]\nDomain=book.test\n")
    program.give(folder)
    return folder
