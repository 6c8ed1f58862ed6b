"""What an app is held to as root: the keys of [Service] with systemd's meaning, by cgroups v1 or v2 and setrlimit(2);
what happens when it wants more."""

import json
import pathlib
import re

import pytest

from client import ask
from program import wait_until
from test_root import rooted  # noqa: F401: the fixture

pytestmark = pytest.mark.root

APP = """
import json, os, resource, threading, time

def facts():
    names = {n: list(resource.getrlimit(getattr(resource, "RLIMIT_" + n))) for n in
             ("CPU", "FSIZE", "DATA", "STACK", "CORE", "NOFILE", "AS", "NPROC", "MEMLOCK", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME")}
    mask = os.umask(0)
    os.umask(mask)
    return {"pid": os.getpid(), "limits": names, "umask": mask, "nice": os.nice(0),
            "oom": int(open("/proc/self/oom_score_adj").read()), "cgroup": open("/proc/self/cgroup").read()}

def bomb():
    made, error = [], ""
    for _ in range(200):
        try:
            pid = os.fork()
        except OSError as e:
            error = e.errno
            break
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        made.append(pid)
    for pid in made:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return {"made": len(made), "error": error}

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/memory":
        held = []
        for _ in range(100):
            held.append(bytearray(os.urandom(1) * (4 << 20)))
    body = json.dumps(bomb() if path == "/forks" else facts()).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
"""

INFINITY = -1


def conf(keys):
    return "[Python]\nWorkers=1\n[Service]\n" + keys


def told(one, path="/"):
    return json.loads(ask(one, path).text)


def folder_of(text, controller):
    """Of the app, above the run's own: where /proc/PID/cgroup says that it is."""
    for line in text.splitlines():
        number, names, path = line.split(":", 2)
        if controller in names.split(","):
            return pathlib.Path("/sys/fs/cgroup") / controller / path[1:]
    line = next(line for line in text.splitlines() if line.startswith("0::"))
    tree = next(p for p in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if (pathlib.Path(p) / "cgroup.procs").exists())
    return (pathlib.Path(tree) / line[4:]).parent


def value(text, controller, v2, v1):
    folder = folder_of(text, controller)
    return (folder / (v2 if (folder / v2).exists() else v1)).read_text().strip()


def test_each_limit_is_in_effect(rooted, app_folder):  # noqa: F811
    one = rooted(app_folder({"app.py": APP, "stead.conf": conf(
        "LimitCPU=1h:2h\nLimitFSIZE=1G\nLimitDATA=4G\nLimitSTACK=4M:8M\nLimitCORE=1M\nLimitNOFILE=200:300\nLimitAS=20G\n"
        "LimitNPROC=500\nLimitMEMLOCK=64K\nLimitSIGPENDING=100\nLimitMSGQUEUE=1024\nLimitNICE=+5\nLimitRTPRIO=3\nLimitRTTIME=200ms\n"
        "UMask=0077\nNice=5\nOOMScoreAdjust=321\nMemoryMax=300M\nTasksMax=70\nCPUQuota=150%\nCPUWeight=200\n")})).up()
    got = told(one)
    limits = got["limits"]
    assert limits["CPU"] == [3600, 7200] and limits["FSIZE"] == [1 << 30] * 2 and limits["DATA"] == [4 << 30] * 2, limits
    assert limits["STACK"] == [4 << 20, 8 << 20] and limits["CORE"] == [1 << 20] * 2 and limits["NOFILE"] == [200, 300], limits
    assert limits["AS"] == [20 << 30] * 2 and limits["NPROC"] == [500, 500] and limits["MEMLOCK"] == [65536] * 2, limits
    assert limits["SIGPENDING"] == [100, 100] and limits["MSGQUEUE"] == [1024, 1024] and limits["RTTIME"] == [200000] * 2, limits
    # Where even root may not raise a hard limit (CAP_SYS_RESOURCE), the nearest is taken, as systemd does.
    assert limits["NICE"] in ([15, 15], [0, 0]) and limits["RTPRIO"] in ([3, 3], [0, 0]), limits
    assert (got["umask"], got["nice"], got["oom"]) == (0o077, 5, 321)
    where = one.status()["protection"]["controllers"]
    assert where["memory"] in ("v1", "v2") and where["tasks"] in ("v1", "v2") and where["cpu"] in ("v1", "v2"), where
    text = got["cgroup"]
    assert int(value(text, "memory", "memory.max", "memory.limit_in_bytes")) == 300 << 20
    assert int(value(text, "pids", "pids.max", "pids.max")) == 70
    assert value(text, "cpu", "cpu.max", "cpu.cfs_quota_us") in ("150000 100000", "150000")
    assert value(text, "cpu", "cpu.weight", "cpu.shares") in ("200", "2048")
    shown = one.cli("status")
    assert re.search(r"^  limits     300 MB of memory, 70 tasks, 1\.50 cores; cgroup v[12]: ", shown, re.M), shown
    limits = one.status()["sites"][0]["limits"]
    assert limits["memory_max"] == 300 << 20 and limits["tasks_max"] == 70 and limits["cpu_permille"] == 1500, limits


def test_the_defaults_bound_what_nobody_wrote(rooted, app_folder):  # noqa: F811
    one = rooted(app_folder({"app.py": APP, "stead.conf": conf("")})).up()
    got = told(one)
    assert got["limits"]["CORE"][0] == 0 and (got["umask"], got["nice"]) == (0o022, 0), got
    whole = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)) << 10
    memory = int(value(got["cgroup"], "memory", "memory.max", "memory.limit_in_bytes"))
    assert 0.7 * whole < memory < 0.8 * whole, (memory, whole)
    assert int(value(got["cgroup"], "pids", "pids.max", "pids.max")) == 1024
    # All apps together leave the rest of the machine something, too.
    apps = folder_of(got["cgroup"], "memory").parent
    most = int(next((apps / n).read_text() for n in ("memory.max", "memory.limit_in_bytes") if (apps / n).exists()))
    assert most < whole and most == one.status()["protection"]["apps_memory_max"]


def test_a_fork_bomb_meets_its_bound(rooted, app_folder):  # noqa: F811
    one = rooted(app_folder({"app.py": APP, "stead.conf": conf("TasksMax=50\n")})).up()
    got = told(one, "/forks")
    assert got["error"] == 11 and 20 < got["made"] < 50, got
    assert ask(one).status == 200


def test_no_memory_is_told_as_the_cause(rooted, app_folder):  # noqa: F811
    """What wants more than MemoryMax= is ended by the kernel, started again, and the reason is in the log and the status."""
    one = rooted(app_folder({"app.py": APP, "stead.conf": conf("MemoryMax=120M\nMemorySwapMax=0\n")})).up()
    assert ask(one, "/memory").status in (502, 503)
    def event():
        return [r for r in one.logs() if "the kernel ended processes of it" in json.dumps(r)]
    first = wait_until("the event", event)[0]
    assert "125829120" in json.dumps(first), first
    wait_until("it serves again", lambda: ask(one).status == 200)
    (worker,) = [p for p in one.status()["processes"] if p["role"] == "worker"]
    assert worker["oom_kills"] >= 1 and worker["status"] == -9, worker
    assert "for want of memory (MemoryMax=)" in one.cli("status")


def test_the_folders_go_with_stead(rooted, app_folder):  # noqa: F811
    one = rooted(app_folder({"app.py": APP, "stead.conf": conf("")})).up()
    text = told(one)["cgroup"]
    folders = {folder_of(text, c) for c in ("memory", "pids", "cpu")}
    assert all(f.exists() for f in folders), folders
    assert one.stop() == 0
    one.gone()
    assert not [f for f in folders if f.exists() or f.parent.exists() or f.parent.parent.exists()], folders
