"""An app that fills the disk, or uses up its inodes, is stopped; the others go on, the state is written, and a deploy says what
to do. On a small file system of its own."""

import os
import pwd
import subprocess
import threading

import pytest

import deploybed
from deploybed import app, write
from program import BUILD, TIMEOUT, TOP, wait_until
from test_parent_root import private_mounts
from test_root import UP, RootStead

pytestmark = pytest.mark.skipif(not private_mounts(), reason="needs root and mount namespaces")

# What pkg/stead.service leaves it: these capabilities, and a /proc in which each user sees his own processes.
CAPABILITIES = ",".join("+" + word.removeprefix("CAP_").lower() for line in (TOP / "pkg/stead.service").read_text().splitlines()
                        if line.startswith("CapabilityBoundingSet=") for word in line.split("=")[1].split())
SMALL = ("mkdir -p /var/lib/stead && mount {mount} /var/lib/stead && "
         "mount -t proc -o hidepid=invisible,subset=pid none /proc && "
         f"exec setpriv --bounding-set -all,{CAPABILITIES} --no-new-privs \"$0\" \"$@\"")
INODES, TAKEN = 60000, 128
FILLER = '''
import ctypes, errno, os
def fill():
    n = 0
    while True:
        try:
            with open(os.environ["STATE_DIRECTORY"] + f"/{n % 64}", "ab") as f:
                f.write(b"x" * 65536)
            n += 1
        except OSError:
            pass
def blocks():
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(os.environ["STATE_DIRECTORY"] + "/blocks", os.O_RDWR | os.O_CREAT)
    done = libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(1 << 20))
    said = "done" if done == 0 else str(ctypes.get_errno() == errno.EOPNOTSUPP)
    os.posix_fallocate(fd, 0, 8192)
    return f"{said} {os.fstat(fd).st_size}"
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fill":
        fill()
    body = blocks() if environ["PATH_INFO"] == "/blocks" else "here"
    start_response("200 OK", [])
    return [body.encode()]
'''
# No process of its user may look at what it writes, so nobody but root.
HIDES = FILLER.replace("    n = 0\n", "    n = 0\n    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n", 1)
# Empty files, in folders of folders, each of whose names is made by a process of its own.
MAKER = '''
import os
def make(name):
    top = os.environ["STATE_DIRECTORY"] + "/" + name
    os.mkdir(top)
    n = 0
    while True:
        try:
            if n % 500 == 0:
                os.mkdir(f"{top}/{n}")
            os.close(os.open(f"{top}/{n - n % 500}/{n}", os.O_WRONLY | os.O_CREAT))
            n += 1
        except OSError:
            pass
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fill":
        for name in "abcd":
            if os.fork() == 0:
                make(name)
    start_response("200 OK", [])
    return [b"here"]
'''
NEIGHBOUR = '''
import os
def app(environ, start_response):
    try:
        if environ["PATH_INFO"] == "/make":
            made = os.environ["STATE_DIRECTORY"] + "/made"
            os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            os.unlink(made)
        fd = os.open(os.environ["STATE_DIRECTORY"] + "/lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, b"line" * 256)
        os.fsync(fd)
        os.close(fd)
        said = "kept"
    except OSError as e:
        said = e.strerror
    start_response("200 OK", [])
    return [said.encode()]
'''

HANGS = '''
import threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
def app(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        time.sleep(600)
    start_response("200 OK", [])
    return [b"here"]
'''


class SmallStead(RootStead):
    """Root's, with a /var/lib/stead of 160 MB; asked from within."""

    mount = "-t tmpfs -o size=160m,nr_inodes=0,mode=0755 none"

    @property
    def command(self):
        return ["unshare", "-m", "sh", "-c", SMALL.format(mount=self.mount), *super().command]

    def inside(self, *command):
        return ["nsenter", "-t", str(self.process.pid), "-m", "--", *command]

    def cli(self, *arguments, code=0, timeout=None, state=True):
        done = subprocess.run(self.inside(str(BUILD / "stead"), *arguments, "--state", str(self.state)), text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout or TIMEOUT, **self.options())
        assert code is None or done.returncode == code, f"{arguments}: {done.returncode}, not {code}:\n{done.stdout}"
        return done.stdout

    def run(self, *command):
        return subprocess.run(self.inside(*command), check=True, text=True, stdout=subprocess.PIPE).stdout

    def left(self):
        """Inodes and bytes."""
        inodes, blocks, size = map(int, self.run("stat", "-f", "-c", "%d %a %S", "/var/lib/stead").split())
        return inodes, blocks * size


class FewInodes(SmallStead):
    mount = f"-t tmpfs -o size=160m,nr_inodes={INODES},mode=0755 none"


class Ext4Stead(SmallStead):
    """On a disk as a small server has it: its speed, its journal, an inode for each 16 KB."""

    @property
    def mount(self):
        image = self.work / "disk"
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(2 << 30)
            subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", image], check=True)
        return f"-o loop {image}"


@pytest.fixture
def server(work, request):
    made = getattr(request, "param", SmallStead)
    one = made(work, write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""}))
    yield deploybed.Server(one.up())
    left = one.end()
    print(one.output())
    for user in pwd.getpwall():
        if user.pw_gecos.startswith(f"stead app up/{one.state.name}"):
            subprocess.run(["/usr/sbin/userdel", user.pw_name], check=True)
    assert not left and one.state.parent == UP


def put(work, name, text, more=""):
    return write(work / name, {**app(conf=f"[Site]\nDomain={name}.test\n{more}[Python]\nWorkers=1\n"), "app.py": text})


def test_the_others_go_on(server, work):
    server.deploy(put(work, "filler", FILLER))
    neighbour = put(work, "neighbour", NEIGHBOUR)
    server.deploy(neighbour)
    assert server.get("/blocks", "filler.test").text == "True 8192"
    assert server.get(host="neighbour.test").text == "kept"
    try:
        server.get("/fill", "filler.test")
    except Exception:  # nobody is left to answer
        pass
    wait_until("the filler is stopped", lambda: server.site("filler")["state"] == "stopped")
    events = [r for r in server.one.logs() if r.get("event") in ("DISK_LOW", "DISK_FILLED")]
    assert {r["event"] for r in events} == {"DISK_LOW", "DISK_FILLED"} and {r["app"] for r in events if "app" in r} == {"filler"}, events
    assert server.get(host="filler.test").status == 503
    for _ in range(5):
        assert server.get(host="neighbour.test").text == "kept"
    # What is kept in the state is.
    server.one.cli("disable", "neighbour")
    server.one.cli("enable", "neighbour")
    said = server.deploy(neighbour, code=1)
    assert "MB free" in said and "du -xh /var/lib/stead/apps" in said, said
    assert server.get(host="neighbour.test").text == "kept"
    # There is room again.
    server.one.run("sh", "-c", f"rm {server.one.state}/apps/filler/data/*")
    wait_until("room", lambda: any(r.get("event") == "DISK_FINE" for r in server.one.logs()))
    server.one.cli("start", "filler")
    assert server.get(host="filler.test").text == "here"
    server.deploy(neighbour)
    assert server.get(host="neighbour.test").text == "kept"


def test_nobody_is_blamed_for_what_others_wrote(server, work):
    """Root fills it: it is said, and nobody is stopped."""
    server.deploy(put(work, "neighbour", NEIGHBOUR))
    server.one.run("sh", "-c", "head -c 1G /dev/zero > /var/lib/stead/roots 2> /dev/null; true")
    wait_until("it is said", lambda: any(r.get("event") == "DISK_LOW" for r in server.one.logs()))
    assert server.get(host="neighbour.test").text == "kept" and server.site("neighbour")["state"] == "live"
    assert not [r for r in server.one.logs() if r.get("event") == "DISK_FILLED"]


def events(server, *names):
    return [r for r in server.one.logs() if r.get("event") in names]


@pytest.mark.parametrize("server", [FewInodes], indirect=True)
def test_inodes_are_left_for_the_others(server, work):
    """One that has many files of before is not taken for the one that makes them."""
    server.deploy(put(work, "maker", MAKER))
    neighbour = put(work, "neighbour", NEIGHBOUR)
    server.deploy(neighbour)
    many = f"{server.one.state}/apps/neighbour/data/many"
    server.one.run("sh", "-c", f"mkdir {many} && cd {many} && seq 34000 | xargs touch")
    assert server.get("/make", "neighbour.test").text == "kept"
    # At each look some more are kept for the others; behind the second it is known that there are still as many.
    before = reserve(server)
    wait_until("two looks", lambda: reserve(server) >= before + 2 * TAKEN)
    server.get("/fill", "maker.test")
    wait_until("the maker is stopped", lambda: server.site("maker")["state"] == "stopped")
    told = events(server, "INODES_LOW", "INODES_FILLED")
    assert {r["event"] for r in told} == {"INODES_LOW", "INODES_FILLED"} and {r["app"] for r in told if "app" in r} == {"maker"}, told
    assert not events(server, "DISK_LOW", "DISK_FILLED", "INODES_UNCOUNTED", "STATE_ERROR")
    assert int(next(r["made"] for r in told if "made" in r)) > 500, told
    assert server.one.left()[0] > 0 and reserve(server) == 0
    assert server.get(host="maker.test").status == 503
    for _ in range(5):
        assert server.get("/make", "neighbour.test").text == "kept"
    # What is kept in the state is.
    server.one.cli("disable", "neighbour")
    server.one.cli("enable", "neighbour")
    said = server.deploy(neighbour, code=1)
    assert "inodes free" in said and "du -x --inodes" in said, said
    # There are some again.
    server.one.run("sh", "-c", f"rm -r {server.one.state}/apps/maker/data/*")
    wait_until("inodes", lambda: events(server, "INODES_FINE"))
    server.one.cli("start", "maker")
    assert server.get(host="maker.test").text == "here"
    server.deploy(neighbour)
    assert server.get("/make", "neighbour.test").text == "kept"


def reserve(server):
    return len(server.one.run("ls", f"{server.one.state}/reserve.inodes").split())


@pytest.mark.parametrize("server", [FewInodes], indirect=True)
def test_nobody_is_blamed_for_files_that_others_made(server, work):
    """Root makes them, and the reserve is the neighbour's."""
    server.deploy(put(work, "neighbour", NEIGHBOUR))
    wait_until("a reserve", lambda: reserve(server) > 0)
    server.one.run("sh", "-c", "mkdir /var/lib/stead/roots && cd /var/lib/stead/roots && "
                   "seq $(($(stat -f -c %d .) - 50)) | xargs touch 2> /dev/null; true")  # and none of the reserve
    wait_until("it is said", lambda: events(server, "INODES_LOW"))
    wait_until("the reserve is given up", lambda: reserve(server) == 0)
    wait_until("a file can be made", lambda: server.get("/make", "neighbour.test").text == "kept")
    assert server.site("neighbour")["state"] == "live"
    assert not events(server, "INODES_FILLED", "INODES_UNCOUNTED")


class Neighbour(threading.Thread):
    """Writes all the time: what was said to be kept, and what was not."""

    def __init__(self, server):
        super().__init__()
        self.server, self.over, self.kept, self.failed = server, threading.Event(), 0, 0
        self.start()

    def run(self):
        while not self.over.is_set():
            if self.server.get("/make", "neighbour.test").text == "kept":
                self.kept += 1
            else:
                self.failed += 1

    def end(self):
        self.over.set()
        self.join()


@pytest.mark.promise
@pytest.mark.skipif("STEAD_PROMISES" not in os.environ, reason="fills a disk of 2 GB three times: `make promises` runs it")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("what,text,told", [("bytes", FILLER, "DISK_FILLED"), ("hidden bytes", HIDES, "DISK_FILLED"), ("inodes", MAKER, "INODES_FILLED")],
                         ids=["bytes", "hidden", "inodes"])
@pytest.mark.parametrize("server", [Ext4Stead], indirect=True)
def test_filling_a_disk_is_promised(server, work, promise, what, text, told):
    server.deploy(put(work, "filler", text))
    neighbour = put(work, "neighbour", NEIGHBOUR)
    server.deploy(neighbour)
    writes = Neighbour(server)
    try:
        server.get("/fill", "filler.test")
    except Exception:  # nobody is left to answer
        pass
    wait_until("the filler is stopped", lambda: server.site("filler")["state"] == "stopped", 300)
    inodes, free = server.one.left()
    before = writes.kept
    wait_until("the neighbour writes on", lambda: writes.kept > before + 20)
    writes.end()
    ended = [r["app"] for r in events(server, told)]
    server.one.cli("disable", "neighbour")
    server.one.cli("enable", "neighbour")
    server.one.run("sh", "-c", f"rm -r {server.one.state}/apps/filler/data/*")
    wait_until("there is room", lambda: events(server, "DISK_FINE", "INODES_FINE"), 60)
    server.deploy(neighbour)
    left = f"{inodes} inodes" if what == "inodes" else f"{free >> 20} MB"
    promise(f"fill the disk, {what}", f"ended with {left} left, {writes.failed} of {writes.kept + writes.failed} writes of a neighbour failed",
            ended == ["filler"] and not events(server, "STATE_ERROR"))
    assert ended == ["filler"]


def test_what_hangs_is_seen_by_what_the_unit_leaves(server, work):
    """Where a thread of another user's process stands, without CAP_SYS_PTRACE."""
    server.deploy(put(work, "hangs", HANGS, "RequestTimeoutSec=1s\n"))
    assert server.get("/hang", "hangs.test").status == 504
    wait_until("where it stands", lambda: any(r.get("event") == "PROC_STACK" for r in server.one.logs()))
    seen = [r for r in server.one.logs() if r.get("event") == "PROC_STACK"]
    assert {r["state"] for r in seen} <= {"S", "R", "D"} and any(r["wchan"] not in ("", "0") for r in seen), seen
