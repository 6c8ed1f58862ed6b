"""What an app sees and may do as root: the defaults, and the keys of [Service] that make it more or less. The program itself
tries, and tells."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from client import ask
from test_detect import check
from program import TOP, wait_until
from test_root import rooted  # noqa: F401: the fixture

pytestmark = pytest.mark.root

APP = """
import ctypes, errno, json, mmap, os, socket

def tried(what):
    try:
        what()
        return "done"
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))

def write(path):
    def do():
        with open(path, "w") as f:
            f.write("x")
        os.unlink(path)
    return do

def call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    def do():
        if libc.syscall(number, *arguments) < 0:
            raise OSError(ctypes.get_errno(), "")
    return do

def facts(given):
    state = os.environ["STATE_DIRECTORY"]
    return {
        "state": tried(write(state + "/x")), "tmp": tried(write("/tmp/x")), "var_tmp": tried(write("/var/tmp/x")), "shm": tried(write("/dev/shm/x")),
        "usr": tried(lambda: os.stat("/usr/bin/env")), "etc": tried(lambda: open("/etc/hostname").read() if os.path.exists("/etc/hostname") else ""),
        "home": sorted(os.listdir("/home")), "tmp_seen": sorted(os.listdir("/tmp")), "dev": sorted(os.listdir("/dev")),
        "processes": len([p for p in os.listdir("/proc") if p.isdigit()]),
        "stead": sorted(os.listdir("/var/lib/stead")) if os.path.isdir("/var/lib/stead") else [],
        "read": {p: tried(lambda: os.listdir(p) if os.path.isdir(p) else open(p).read()) for p in given},
        "write": {p: tried(write(p + "/x")) for p in given},
        "inet": tried(lambda: socket.socket(socket.AF_INET).close()), "unix": tried(lambda: socket.socket(socket.AF_UNIX).close()),
        "netlink": tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()),
        "user_namespace": tried(lambda: [call(272, 0x10000000)() if os.fork() == 0 else None] and None),
        "uname": tried(lambda: os.uname()), "chroot": tried(lambda: os.chroot("/")),
        "mkdir": tried(lambda: [os.mkdir("/tmp/d"), os.rmdir("/tmp/d")]),
        "exec_memory": tried(lambda: mmap.mmap(-1, 4096, prot=7).close()),
        "interfaces": sorted(os.listdir("/proc/self/net/dev_snmp6")),
    }

def application(environ, start_response):
    if environ["PATH_INFO"] == "/health":
        start_response("200 OK", [])
        return [b""]
    given = [p for p in environ["QUERY_STRING"].split(",") if p]
    body = facts(given)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
""".replace('"user_namespace": tried(lambda: [call(272, 0x10000000)() if os.fork() == 0 else None] and None),\n        ', "")


def conf(keys):
    return "[Site]\nHealth=/health\n[Python]\nWorkers=1\n[Service]\n" + keys


def told(one, *paths):
    return json.loads(ask(one, "/?" + ",".join(str(p) for p in paths)).text)


@pytest.fixture
def place():
    """A folder of the machine's that every user may write."""
    folder = pathlib.Path(f"/srv/stead-sandbox-{os.getpid()}")
    for name in ("a", "b", "c"):
        (folder / name).mkdir(parents=True)
        (folder / name).chmod(0o1777)
        (folder / name / "file").write_text("x")
    yield folder
    shutil.rmtree(folder)


def test_the_defaults(rooted, app_folder, place):  # noqa: F811
    one = rooted(app_folder({"app.py": APP, "stead.conf": conf("")})).up()
    got = told(one, place / "a", "/root", "/run/stead/control")
    assert [got[k] for k in ("state", "tmp", "var_tmp", "shm", "usr", "etc")] == ["done"] * 6, got
    assert got["home"] == [] and got["tmp_seen"] == [] and got["processes"] <= 3, got
    assert got["dev"] == ["fd", "full", "log", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"], got
    assert got["read"][str(place / "a")] == "done" and got["write"][str(place / "a")] in ("EROFS", "EACCES"), got
    assert got["read"]["/run/stead/control"] == "ENOENT" and got["stead"] == ["up"], got
    assert (got["inet"], got["unix"], got["netlink"], got["chroot"]) == ("done", "done", "done", "EPERM"), got


def test_paths(rooted, app_folder, place):  # noqa: F811
    """ReadWritePaths=, InaccessiblePaths=, TemporaryFileSystem=, ReadOnlyPaths=; one that is missing, and may be."""
    a, b, c = (place / n for n in "abc")
    one = rooted(app_folder({"app.py": APP, "stead.conf": conf(
        f"ReadWritePaths={a} -{place}/none\nInaccessiblePaths={b}\nTemporaryFileSystem={c}\nReadOnlyPaths={place}\nProtectSystem=full\n")})).up()
    got = told(one, a, b, c, place)
    assert got["write"][str(a)] == "done" and (a / "file").exists(), got
    assert got["read"][str(b)] in ("EACCES", "EPERM") and got["write"][str(b)] != "done", got
    assert got["read"][f"{c}"] == "done" and not got["write"][str(c)] == "EROFS", got
    assert got["write"][str(place)] in ("EROFS", "EACCES"), got


def test_less_than_the_defaults(rooted, app_folder, place):  # noqa: F811
    """Where the operator says so an app sees more; stead's own folders stay away."""
    one = rooted(app_folder({"app.py": APP, "stead.conf": conf(
        "ProtectSystem=no\nProtectHome=no\nPrivateTmp=no\nPrivateDevices=no\nProtectProc=default\n")})).up()
    got = told(one, place / "a")
    assert got["home"] == sorted(os.listdir("/home")) and got["processes"] > 5, got
    assert "stdin" in got["dev"] and len(got["dev"]) > 14 and got["write"][str(place / "a")] == "done", got
    assert set(os.listdir("/tmp")) & set(got["tmp_seen"]) and got["stead"] == ["up"], got


def test_sockets_memory_and_calls(rooted, app_folder):  # noqa: F811
    one = rooted(app_folder({"app.py": APP, "stead.conf": conf(
        "RestrictAddressFamilies=AF_UNIX\nMemoryDenyWriteExecute=yes\nSystemCallFilter=@system-service\nSystemCallFilter=~mkdir mkdirat\n"
        "SystemCallErrorNumber=EUCLEAN\n")})).up()
    got = told(one)
    assert (got["unix"], got["inet"], got["netlink"]) == ("done", "EAFNOSUPPORT", "EAFNOSUPPORT"), got
    assert got["exec_memory"] in ("EPERM", "EACCES") and got["mkdir"] == "EUCLEAN" and got["chroot"] in ("EPERM", "EUCLEAN"), got


def test_no_network(rooted, app_folder):  # noqa: F811
    one = rooted(app_folder({"app.py": APP, "stead.conf": conf("PrivateNetwork=yes\n")})).up()
    assert told(one)["interfaces"] == ["lo"]


@pytest.mark.parametrize("line, level, words", [
    ("SystemCallFilter=@system-servic", "warning", "no set that is called"), ("SystemCallFilter=opennat", "warning", "no system call"),
    ("SystemCallFilter=open/at", "error", "no system call's name"), ("SystemCallFilter=~open:EFOO", "error", "no errno"),
    ("SystemCallErrorNumber=ENONE", "error", "no errno"), ("RestrictAddressFamilies=AF_INTE", "error", "no kind of socket"),
    ("RestrictNamespaces=user pod", "error", "no kind of namespace"), ("ReadWritePaths=srv", "error", "not an absolute path"),
    ("InaccessiblePaths=/srv/../etc", "error", "not an absolute path"), ("TemporaryFileSystem=/srv:ro", "error", "without a colon"),
    ("ProtectSystem=all", "error", "none of"), ("MemoryMax=much", "error", "not an amount"),
    ("CapabilityBoundingSet=CAP_NET_ADMIN", "note", "no capability"), ("NoNewPrivileges=no", "note", "always on")])
def test_what_is_wrong_is_said(app_folder, line, level, words):
    found = check(app_folder({"app.py": "def app(e, s): pass\n", "stead.conf": "[Python]\nWsgi=app:app\n[Service]\n" + line + "\n"}))["findings"]
    mine = [f for f in found if f["line"] == 4]
    assert len(mine) == 1 and mine[0]["level"] == level and words in mine[0]["text"] + mine[0]["todo"], found


# ---- the same as a unit, judged by systemd ----

# What holds for every app by default; test_escape.py and test_filter.c see to it that each is true.
PROFILE = """[Service]
ExecStart=/bin/true
User=app-x
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
CapabilityBoundingSet=
AmbientCapabilities=
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @debug @module @mount @obsolete @raw-io @reboot @swap
UMask=0022
"""


def judged(unit):
    told = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)], capture_output=True, text=True)
    if "unrecognized option" in told.stderr:
        pytest.skip("this systemd cannot judge a file")
    return float(told.stdout.rstrip().splitlines()[-1].split(":")[1].split()[0]), told.stdout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_the_profile_of_an_app(tmp_path, promise):
    unit = tmp_path / "app.service"
    unit.write_text(PROFILE)
    level, why = judged(unit)
    promise("systemd-analyze security of an app", f"{level}, with a network, sockets and code made at run time", level <= 1.6)
    assert level <= 1.6, why


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_the_servers_unit(tmp_path):
    """It loses nothing of what it has reached; the unit names each reason of the rest."""
    unit = tmp_path / "stead.service"
    unit.write_text((TOP / "pkg/stead.service").read_text().replace("@VERSION@", "0"))
    level, why = judged(unit)
    assert level <= 4.5, why


PIDS = """
import os, subprocess, time
def app(environ, start_response):
    pids = sorted(int(p) for p in os.listdir("/proc") if p.isdigit())
    child = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True).stdout.strip()
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/die":
        subprocess.Popen(["sleep", "600"])
        os._exit(3)
    return [f"{os.getpid()} {os.getppid()} {pids} {child}".encode()]
"""


def test_numbers_of_its_own(rooted, app_folder):  # noqa: F811
    """PrivatePIDs=: the program is process 1 and sees its own alone; what it started ends with it, and stead has the machine's
    numbers."""
    one = rooted(app_folder({"app.py": PIDS, "stead.conf": "[Python]\nWorkers=1\n[Service]\nPrivatePIDs=yes\n"})).up()
    own, parent, *seen = ask(one).text.split(" ")
    assert (own, parent) == ("1", "0") and seen[0] == "[1]" and int(seen[1]) > 1, (own, parent, seen)
    worker = next(pid for pid in one.tree() if b"stead_worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
    assert pathlib.Path(f"/proc/{worker}/status").read_text().split("NSpid:")[1].split("\n")[0].split() == [str(worker), "1"]
    assert str(worker) in one.cli("status", "--json")
    try:
        ask(one, "/die")
    except Exception:  # nobody answers
        pass
    wait_until("the next one", lambda: ask(one).status == 200)
    assert ask(one).text.split(" ")[0] == "1"
    assert not [pid for pid, comm in one.tree().items() if comm == "sleep"]
