"""The Debian package on fresh servers of each system: one file for all of them, built here. Rows of `make promises`.

STEAD_DEB and STEAD_DEB_ARM64 name what is built already; else pkg/deb.sh builds it, twice, in folders of different names.
The other processor's programs run under emulation, which is registered in a namespace of the test's own.
"""

import filecmp
import io
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest

import freshbed
import program
from program import wait_until

pytestmark = [pytest.mark.root, pytest.mark.promise, pytest.mark.timeout(3000)]
MAX_BYTES = 3 * 1000 * 1000
EM_X86_64, EM_AARCH64 = 62, 183
BACK_S = 10


def build(folder, *arch):
    """The package's path; skipped where debhelper is missing."""
    if not shutil.which("debootstrap" if arch else "dh"):
        pytest.skip("needs debhelper and debootstrap (tools/install-deps.sh pkg)")
    folder.mkdir(parents=True)
    done = subprocess.run([program.TOP / "pkg/deb.sh", *arch], env={**os.environ, "DEB_WORK": str(folder)}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return pathlib.Path(done.stdout.split()[-1])


def given_or_built(tmp_path_factory, name, *arch, work="one"):
    given = os.environ.get(name)
    if not given and "STEAD_PROMISES" not in os.environ:
        pytest.skip("builds packages for minutes: `make promises` runs it")
    return pathlib.Path(given) if given else build(tmp_path_factory.mktemp("deb") / work, *arch)


@pytest.fixture(scope="session")
def deb(tmp_path_factory):
    return given_or_built(tmp_path_factory, "STEAD_DEB")


@pytest.fixture(scope="session")
def arm64(tmp_path_factory):
    return given_or_built(tmp_path_factory, "STEAD_DEB_ARM64", "arm64")


def is_built_again(package, folder, promise, name, *arch):
    again = build(folder / "another-name-that-is-longer", *arch)
    same = filecmp.cmp(package, again, shallow=False)
    promise(f"{name}, built twice", f"{package.stat().st_size} bytes, {'the same' if same else 'others'}", same)
    assert same


def is_small(package, promise, name):
    size = package.stat().st_size
    promise(f"{name}, size", f"{size / 1e6:.2f} MB", size <= MAX_BYTES)
    assert size <= MAX_BYTES


@pytest.mark.skipif("STEAD_DEB" in os.environ, reason="STEAD_DEB was built elsewhere")
def test_the_same_sources_are_the_same_bytes(deb, tmp_path, promise):
    is_built_again(deb, tmp_path, promise, "deb")


@pytest.mark.skipif("STEAD_DEB_ARM64" in os.environ, reason="STEAD_DEB_ARM64 was built elsewhere")
def test_the_same_sources_are_the_same_bytes_for_arm64(arm64, tmp_path, promise):
    is_built_again(arm64, tmp_path, promise, "deb for arm64", "arm64")


def test_its_size(deb, promise):
    is_small(deb, promise, "deb")


def test_arm64_is_the_same_package(deb, arm64, promise):
    """The same files, as many programs, each of them for that processor; as small."""
    is_small(arm64, promise, "deb for arm64")
    programs = {}
    for package in (deb, arm64):
        names, found = [], {}
        with tarfile.open(fileobj=io.BytesIO(subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, check=True).stdout)) as tar:
            for one in tar:
                names.append(re.sub("(x86_64|aarch64)-linux-gnu", "TRIPLET", one.name))
                head = tar.extractfile(one).read(20) if one.isfile() else b""
                if head.startswith(b"\x7fELF"):
                    found[names[-1]] = int.from_bytes(head[18:20], "little")
        programs[package] = names, found
    assert sorted(programs[deb][0]) == sorted(programs[arm64][0]) and set(programs[deb][1]) == set(programs[arm64][1])
    assert set(programs[arm64][1].values()) == {EM_AARCH64} and set(programs[deb][1].values()) == {EM_X86_64}
    assert subprocess.run(["dpkg-deb", "-f", arm64, "Architecture"], stdout=subprocess.PIPE, text=True).stdout.strip() == "arm64"


# In a user namespace of its own: what is registered there is nobody else's (Linux 6.7), and over the Debian that it was built in.
REGISTER = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc; cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register"
EMULATED = REGISTER + """
mount -t overlay overlay -o lowerdir=$1/tree:$2,upperdir=$1/upper,workdir=$1/work $1/root
mount -t proc proc $1/root/proc
root=$1/root
shift 2
exec chroot "$root" "$@"
"""
APART = ["unshare", "-U", "-r", "-m", "-p", "-f", "--mount-proc", "sh", "-ec"]


def test_arm64_runs(deb, arm64, tmp_path, promise):
    cross = pathlib.Path(os.environ.get("STEAD_CROSS") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "stead-cross") / "bookworm-arm64"
    if not cross.exists() or not pathlib.Path("/usr/lib/binfmt.d/qemu-aarch64.conf").exists():
        pytest.skip("needs qemu-user-static (tools/install-deps.sh pkg) and the Debian that pkg/cross.sh makes")
    if subprocess.run([*APART, REGISTER], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("nothing can be registered in a namespace here (Linux 6.7)")
    for part in ("tree", "upper", "work", "root"):
        (tmp_path / part).mkdir()
    subprocess.run(["dpkg-deb", "-x", arm64, tmp_path / "tree"], check=True)
    shutil.copytree(tmp_path / "tree/lib", tmp_path / "tree/usr/lib", dirs_exist_ok=True)  # /lib is a link there
    shutil.rmtree(tmp_path / "tree/lib")
    shutil.copytree(program.TOP / "examples", tmp_path / "tree/examples", ignore=shutil.ignore_patterns(".stead", "__pycache__"))

    def run(*words):
        done = subprocess.run([*APART, EMULATED, "sh", tmp_path, cross, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        return done.returncode, done.stdout

    version = subprocess.run(["dpkg-deb", "-f", arm64, "Version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    code, said = run("/usr/bin/stead", "--version")
    assert code == 0 and version in said, said
    # Whole programs, each with its libraries, and the tables that they were made from.
    subprocess.run(["dpkg-deb", "-x", deb, tmp_path / "here"], check=True)
    for table in ("config", "messages", "events"):
        assert run("/usr/bin/stead", "introspect", table) == (0, subprocess.run([tmp_path / "here/usr/bin/stead", "introspect", table],
                                                                               stdout=subprocess.PIPE, text=True, check=True).stdout)
    roles = sorted((tmp_path / f"tree/usr/lib/stead/{version}").glob("stead-*"))
    for role in roles:
        code, words = run("/usr/bin/env", "LD_BIND_NOW=1", f"/usr/lib/stead/{version}/{role.name}")
        assert code in (1, 2) and "cannot open shared object" not in words and "symbol" not in words, (role, code, words)
    # Parsing is done behind a filter of system calls or not at all, and the emulation has none.
    code, words = run("/usr/bin/stead", "check", "/examples/static")
    assert code == 0 or (code == 2 and "could not be parsed" in words and emulation_has_no_filter(run)), words
    promise("deb for arm64, emulated", f"{said.strip()}, {len(roles)} roles begin, tables as on this machine; check: {code}")


def emulation_has_no_filter(run):
    code, words = run("/usr/bin/env", "QEMU_STRACE=1", "/usr/bin/stead", "check", "/examples/static")
    return code == 2 and re.search(r"(seccomp|prctl\(PR_SET_SECCOMP|prctl\(22).*= -1", words) is not None


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
    # The operator's folder runs nothing, so there is nobody for it.
    assert not [name for name in accounts(server) if name.startswith("app-")], accounts(server)


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
    most = 60 / half_s + 1
    for what in ("no site", "a static site"):
        if what != "no site":
            put_site(server, "hello")
            server.run("systemctl reload stead")
            assert server.answers() == (200, b"hello")
        mb, wakes = idle(server)
        kept = mb <= 15 and set(wakes) <= {"stead-parent"} and wakes.get("stead-parent", 0) <= most
        promise(f"idle server, {what}", f"{mb:.1f} MB PSS in all, wake-ups in 60 s: {wakes}", kept)
        assert kept
