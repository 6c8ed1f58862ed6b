"""The Debian package on fresh servers of each system: one file for all of them, built here. Rows of `make promises`.

STEAD_DEB names one that is built already; else pkg/deb.sh builds it, twice, in folders of different names.
"""

import filecmp
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import freshbed
import program
from program import wait_until

pytestmark = [pytest.mark.root, pytest.mark.promise, pytest.mark.timeout(3000)]
MAX_BYTES = 3 * 1000 * 1000
BACK_S = 10


def build(folder):
    """The package's path; skipped where debhelper is missing."""
    if not shutil.which("dh"):
        pytest.skip("needs debhelper (tools/install-deps.sh pkg)")
    folder.mkdir(parents=True)
    done = subprocess.run([program.TOP / "pkg/deb.sh"], env={**os.environ, "DEB_WORK": str(folder)}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return pathlib.Path(done.stdout.split()[-1])


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    given = os.environ.get("STEAD_DEB")
    if not given and "STEAD_PROMISES" not in os.environ:
        pytest.skip("builds packages for minutes: `make promises` runs it")
    return pathlib.Path(given) if given else build(tmp_path_factory.mktemp("deb") / "one")


def test_the_same_sources_are_the_same_bytes(deb, tmp_path, promise):
    if "STEAD_DEB" in os.environ:
        pytest.skip("STEAD_DEB was built elsewhere")
    again = build(tmp_path / "another-name-that-is-longer")
    same = filecmp.cmp(deb, again, shallow=False)
    promise("deb, built twice", f"{deb.stat().st_size} bytes, {'the same' if same else 'others'}", same)
    assert same


def test_its_size(deb, promise):
    size = deb.stat().st_size
    promise("deb, size", f"{size / 1e6:.2f} MB", size <= MAX_BYTES)
    assert size <= MAX_BYTES


def prop(server, name):
    return server.run(f"systemctl show -P {name} stead").strip()


def accounts(server):
    return server.run("cut -d: -f1 /etc/passwd /etc/group | grep -E '^(stead|app-)' | sort -u; true").split()


def put_site(server, text):
    server.write("/etc/stead/sites/one/index.html", text)
    server.write("/etc/stead/sites/one.conf", "[Site]\nRoot=one\n")


def installs_and_serves(server, deb):
    server.install(deb)
    assert prop(server, "ActiveState") == "active"
    assert server.run("systemctl is-enabled stead").strip() == "enabled"
    assert server.get("/")[0] == 421
    modern = int(re.search(r"\d+", server.run("systemctl --version"))[0]) >= 253
    assert prop(server, "Type") == ("notify-reload" if modern else "notify")
    # A small root has no manual pages, which verify would show.
    assert server.run("systemd-analyze verify --man=no stead.service 2>&1 | grep -i stead; true") == ""
    put_site(server, "hello")
    server.run("systemctl reload stead")
    wait_until("the site", lambda: server.answers() == (200, b"hello"))


def comes_back(server):
    """Seconds from the machine's first process to the unit that serves."""
    server.reboot(wait=False)
    wait_until("the site", lambda: server.answers() == (200, b"hello"), freshbed.BOOT_S)
    server.settled()
    began = int(server.run("systemctl show -P UserspaceTimestampMonotonic"))
    return (int(prop(server, "ActiveEnterTimestampMonotonic")) - began) / 1e6


def goes(server, deb):
    server.run("dpkg --remove stead")
    assert server.status("pgrep stead-") == 1
    assert not server.path("/usr/lib/stead").exists()
    assert server.path("/etc/stead/sites/one/index.html").exists() and server.path("/var/lib/stead/state.db").exists()
    assert "stead-gate" in accounts(server)
    server.install(deb)
    wait_until("the site, of what was left", lambda: server.answers() == (200, b"hello"))
    server.run("dpkg --purge stead")
    assert not [p for p in ("/etc/stead", "/var/lib/stead", "/usr/lib/stead") if server.path(p).exists()]
    assert accounts(server) == []
    assert server.status("test -e /run/stead") == 1
    server.install(deb)
    assert server.get("/")[0] == 421


@pytest.mark.parametrize("system", sorted(freshbed.SYSTEMS))
def test_install_reload_reboot_remove_purge(fresh_server, deb, system, promise):
    server = fresh_server(system)
    installs_and_serves(server, deb)
    back = comes_back(server)
    promise(f"deb on {system}, reboot", f"back {back:.1f} s after boot", back <= BACK_S)
    goes(server, deb)
    promise(f"deb on {system}", "installed, reloaded, rebooted, removed, purged, installed again")
    assert back <= BACK_S


def processes(server):
    """{pid: name} of stead's, as the machine numbers them."""
    lines = server.run("pgrep -l stead-").splitlines()
    return {int(pid): name for pid, name in (line.split() for line in lines)}


def woken(server, pids):
    """{pid: how often it went to sleep so far}."""
    text = server.run("grep -H ^voluntary " + " ".join(f"/proc/{pid}/task/*/status" for pid in pids))
    found = dict.fromkeys(pids, 0)
    for line in text.splitlines():
        found[int(line.split("/")[2])] += int(line.split()[-1])
    return found


def idle(server, seconds=60):
    """(MB of memory in all, {name: wake-ups within that time})"""
    def settled():
        pids = processes(server)
        before = woken(server, pids)
        server.run("sleep 3")
        return processes(server) == pids and sum(woken(server, pids).values()) - sum(before.values()) <= 1
    wait_until("nothing to happen any more", settled)
    names = processes(server)
    pss = sum(int(line.split()[1]) for line in
              server.run("cat " + " ".join(f"/proc/{pid}/smaps_rollup" for pid in names)).splitlines() if line.startswith("Pss:"))
    before = woken(server, names)
    server.run(f"sleep {seconds}")
    after = woken(server, names)
    return pss / 1024, {names[pid]: after[pid] - before[pid] for pid in names if after[pid] != before[pid]}


def test_idle(fresh_server, deb, promise):
    server = fresh_server()
    server.install(deb)
    half_s = int(prop(server, "WatchdogUSec").rstrip("s")) / 2 if prop(server, "WatchdogUSec").endswith("s") else 15
    most = 2 * (60 / half_s + 1)  # a timer of more than 256 ms passes from one circle of its wheel to the next on the way
    for what in ("no site", "a static site"):
        if what != "no site":
            put_site(server, "hello")
            server.run("systemctl reload stead")
            assert server.answers() == (200, b"hello")
        mb, wakes = idle(server)
        kept = mb <= 15 and set(wakes) <= {"stead-parent"} and wakes.get("stead-parent", 0) <= most
        promise(f"idle server, {what}", f"{mb:.1f} MB PSS in all, wake-ups in 60 s: {wakes}", kept)
        assert kept
