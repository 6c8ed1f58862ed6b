"""An app that fills the disk is stopped; the others go on, the state is written, and a deploy says what to do. On a small file
system of its own."""

import pwd
import subprocess

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
SMALL = ("mkdir -p /var/lib/stead && mount -t tmpfs -o size=160m,mode=0755 none /var/lib/stead && "
         "mount -t proc -o hidepid=invisible,subset=pid none /proc && "
         f"exec setpriv --bounding-set -all,{CAPABILITIES} --no-new-privs \"$0\" \"$@\"")
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
NEIGHBOUR = '''
import os
def app(environ, start_response):
    try:
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

    @property
    def command(self):
        return ["unshare", "-m", "sh", "-c", SMALL, *super().command]

    def inside(self, *command):
        return ["nsenter", "-t", str(self.process.pid), "-m", "--", *command]

    def cli(self, *arguments, code=0, timeout=None, state=True):
        done = subprocess.run(self.inside(str(BUILD / "stead"), *arguments, "--state", str(self.state)), text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout or TIMEOUT, **self.options())
        assert code is None or done.returncode == code, f"{arguments}: {done.returncode}, not {code}:\n{done.stdout}"
        return done.stdout

    def run(self, *command):
        subprocess.run(self.inside(*command), check=True)


@pytest.fixture
def server(work):
    one = SmallStead(work, write(work / "server", {"stead.conf": deploybed.SERVER, "sites/.keep": ""}))
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


def test_what_hangs_is_seen_by_what_the_unit_leaves(server, work):
    """Where a thread of another user's process stands, without CAP_SYS_PTRACE."""
    server.deploy(put(work, "hangs", HANGS, "RequestTimeoutSec=1s\n"))
    assert server.get("/hang", "hangs.test").status == 504
    wait_until("where it stands", lambda: any(r.get("event") == "PROC_STACK" for r in server.one.logs()))
    seen = [r for r in server.one.logs() if r.get("event") == "PROC_STACK"]
    assert {r["state"] for r in seen} <= {"S", "R", "D"} and any(r["wchan"] not in ("", "0") for r in seen), seen
