"""A fresh server: Debian or Ubuntu with real systemd, booted by systemd-nspawn. No test framework here.

    with freshbed.Server("debian-12") as server:
        server.install(deb)                 # or install_build(): the tests' own build, without a package
        server.run("systemctl is-active stead")
        status, body = server.get("/")
        server.reboot()

A base tree for each system is made once by debootstrap, with what stead depends on, and kept outside of the repository
(STEAD_FRESH, or XDG_CACHE_HOME/stead-test, or ~/.cache/stead-test). Each server is a writable overlay on it, so the next
one is as clean as the first. Its network is a loopback of its own: nothing of it reaches the outside, nor the outside it.
Packages come from where the host's own come from (mirror and proxy of its apt).

Needs root, debootstrap and systemd-nspawn; why_not() says what is missing.
"""

import ctypes
import fcntl
import glob
import hashlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from program import BUILD, TOP, wait_until

BOOT_S = 180  # for a machine that others load
# debootstrap's script, the suites, the components. A newer suite is made by the script of an older one.
SYSTEMS = {
    "debian-12": ("bookworm", "bookworm", "main"),
    "debian-13": ("trixie", "trixie", "main"),
    "ubuntu-24.04": ("jammy", "noble", "main,universe"),
    "ubuntu-26.04": ("jammy", "resolute", "main,universe"),
}
BASIC = ["systemd", "systemd-sysv", "dbus", "iproute2", "procps"]
# What stead.deb depends on, and what the examples run with: a server has no network to fetch it by.
MORE = ["libjansson4", "libsqlite3-0", "libpq5", "libseccomp2", "libpcre2-8-0", "libnghttp2-14", "libbrotli1", "libzstd1",
        "zlib1g", "libc-ares2", "libcurl4", "libssl3", "libcrypt1", "ca-certificates", "curl", "strace", "nftables", "sudo",
        "openssh-server", "openssh-client", "python3", "python3-venv", "python3-flask", "python3-psycopg2", "postgresql"]
CLONE_NEWNET = 0x40000000


def why_not():
    """What keeps a fresh server from being made here; "" when nothing does."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("debootstrap", "systemd-nspawn", "nsenter"):
        if not shutil.which(tool):
            return f"needs {tool} (tools/install-deps.sh fresh)"
    return ""


def cache():
    base = os.environ.get("STEAD_FRESH") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "stead-test")
    folder = pathlib.Path(base)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# --- the base trees ---

def _host_mirrors():
    """Every URI that the host's apt fetches packages from."""
    found = []
    for name in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        try:
            text = pathlib.Path(name).read_text()
        except (OSError, UnicodeDecodeError):
            continue
        for line in text.splitlines():
            if line.startswith("URIs:"):
                found += line.split()[1:]
            elif line.startswith("deb "):
                found += re.findall(r"\S+://\S+", line)[:1]
    return [uri.rstrip("/") for uri in found]


def mirror_of(system):
    """The host's own mirror when it is of that distribution, else the distribution's usual one."""
    family = system.split("-")[0]
    for uri in _host_mirrors():
        if uri.endswith("/" + family):
            return uri
    return {"debian": "http://deb.debian.org/debian", "ubuntu": "http://archive.ubuntu.com/ubuntu"}[family]


def _proxy():
    """The environment that makes debootstrap use the proxy of the host's apt."""
    done = subprocess.run(["apt-config", "dump", "--format=%v", "Acquire::http::Proxy"], stdout=subprocess.PIPE, text=True)
    return {"http_proxy": done.stdout.strip()} if done.stdout.strip() else {}


def _apt_env():
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", **_proxy()}


def _checked(command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout[-3000:]}")


def _make(system, tree):
    script, suite, components = SYSTEMS[system]
    env = _apt_env()
    check = [] if system.startswith("debian") else ["--no-check-gpg"]
    _checked(["debootstrap", *check, "--variant=minbase", f"--components={components}", f"--include={','.join(BASIC)}",
              suite, tree, mirror_of(system), f"/usr/share/debootstrap/scripts/{script}"], env=env)
    (tree / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (tree / "usr/sbin/policy-rc.d").chmod(0o755)
    (tree / "etc/postgresql-common").mkdir(exist_ok=True)
    (tree / "etc/postgresql-common/createcluster.conf").write_text("create_main_cluster = false\n")
    for command in (["apt-get", "-qq", "install", "-y", "--no-install-recommends", *MORE], ["apt-get", "clean"]):
        _checked(["chroot", str(tree), *command], env=env)
    (tree / "usr/sbin/policy-rc.d").unlink()
    (tree / "etc/hostname").write_text("fresh\n")
    (tree / "etc/machine-id").write_text("")
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "etc/resolv.conf").write_text("")


def remove(folder):
    """Removes a folder, but never what is mounted below it: debootstrap that was killed leaves /proc in its tree."""
    below = [line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()
             if (line.split()[1] + "/").startswith(f"{folder}/")]
    for mount in sorted(below, reverse=True):
        _checked(["umount", mount])
    _checked(["rm", "-rf", "--one-file-system", str(folder)])


def _tree(system):
    key = hashlib.sha256(repr((SYSTEMS[system], BASIC, MORE)).encode()).hexdigest()[:10]
    return cache() / f"{system}-{key}"


def is_made(system):
    return _tree(system).exists()


def base(system):
    """The clean tree of that system; made when it is not there. Several processes may ask at once."""
    tree = _tree(system)
    with open(cache() / f"{system}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            for old in cache().glob(f"{system}-*"):
                if old.name.endswith(".new"):
                    remove(old)
            new = tree.with_name(tree.name + ".new")
            _make(system, new)
            new.rename(tree)
    return tree


def layer(system, packages):
    """What these packages add to that system's tree, as a folder to lay over it; made when it is not there."""
    lower = base(system)
    name = f"{lower.name}+{'+'.join(packages)}"
    done = cache() / name
    with open(cache() / f"{system}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            new = cache() / f"{name}.new"
            remove(new)
            for part in ("upper", "work", "root"):
                (new / part).mkdir(parents=True)
            root = new / "root"
            _checked(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={new}/upper,workdir={new}/work", root])
            try:
                env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", **_proxy()}
                shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
                (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
                (root / "usr/sbin/policy-rc.d").chmod(0o755)
                for command in (["update"], ["install", "-y", "--no-install-recommends", *packages], ["clean"]):
                    _checked(["chroot", str(root), "apt-get", "-qq", *command], env=env)
                (root / "usr/sbin/policy-rc.d").unlink()
                (root / "etc/resolv.conf").write_text("")
            finally:
                _checked(["umount", root])
            (new / "upper").rename(done)
            remove(new)
    return done


# --- one server ---

def _children(pid):
    return [int(c) for t in glob.glob(f"/proc/{pid}/task/*/children") for c in pathlib.Path(t).read_text().split()]


class Server:
    """One machine. unified: cgroup v2 alone, as today's systems have it; False: as the host has it. packages: what it has besides."""

    def __init__(self, system="debian-12", unified=True, name=None, packages=()):
        self.system, self.unified = system, unified
        self.name = name or f"fresh-{os.getpid()}-{threading.get_native_id()}-{time.monotonic_ns() % 10**6}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="stead-fresh-", dir="/tmp"))
        self.root = self.folder / "root"
        self.process = self.leader = None
        for part in ("root", "upper", "work"):
            (self.folder / part).mkdir()
        lower = ":".join(str(one) for one in ([layer(system, packages)] if packages else []) + [base(system)])
        _checked(["mount", "-t", "overlay", "overlay", "-o",
                  f"lowerdir={lower},upperdir={self.folder}/upper,workdir={self.folder}/work", self.root])

    def __enter__(self):
        try:
            self.boot()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    # --- life ---

    def _cgroups(self):
        """A group of its own wherever systemd looks, so that several servers run at once."""
        found = [pathlib.Path(p) for p in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                 if (pathlib.Path(p) / "cgroup.procs").exists()]
        return [p / self.name for p in found]

    def boot(self, wait=True):
        """Returns the seconds from the power switch to `running` (or to the end of starting, without wait)."""
        began = time.monotonic()
        for group in self._cgroups():
            group.mkdir(exist_ok=True)
        env = {**os.environ, **({"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"} if self.unified else {})}
        enter = "".join(f'echo $$ > "{g}/cgroup.procs"; ' for g in self._cgroups())
        with open(self.folder / "console", "ab") as console:
            self.process = subprocess.Popen(
                ["sh", "-c", enter + 'exec "$@"', "sh", "systemd-nspawn", "-q", "-D", str(self.root), "-M", self.name,
                 "--register=no", "--keep-unit", "--private-network", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
                 "--console=pipe", "-b"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=env, start_new_session=True)
        wait_until("the server's first process", self._find_leader, BOOT_S)
        if wait:
            self.settled()
        return time.monotonic() - began

    def _find_leader(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended at once:\n{self.console()}")
        for pid in _children(self.process.pid):
            try:
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    self.leader = pid
                    return True
            except OSError:
                continue
        return False

    def settled(self):
        """Waits for the end of booting; the state that systemd names."""
        def state():
            word = self.run("systemctl is-system-running", check=False).strip().splitlines()[-1:]
            return word[0] if word and word[0] in ("running", "degraded") else None
        return wait_until("the end of booting", state, BOOT_S)

    def kill(self):
        """Power off, without a word to anybody."""
        if self.process is None:
            return
        if self.leader:
            try:
                os.kill(self.leader, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = self.leader = None

    def shut_down(self):
        os.kill(self.leader, signal.SIGRTMIN + 4)  # what systemd calls poweroff.target for
        try:
            self.process.wait(BOOT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process = self.leader = None

    def reboot(self, wait=True):
        """Down in order and up again; the seconds of boot()."""
        self.shut_down()
        return self.boot(wait)

    def end(self):
        self.kill()
        for group in self._cgroups():
            for folder in sorted(glob.glob(f"{group}/**/", recursive=True), key=len, reverse=True):
                try:
                    os.rmdir(folder)
                except OSError:
                    pass
        remove(self.folder)

    def console(self):
        try:
            return (self.folder / "console").read_text(errors="replace")[-4000:]
        except OSError:
            return ""

    # --- within ---

    def command(self, argv):
        """How the host runs that inside, as root, in all of its namespaces."""
        return ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--", "env", "-i",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
                "SYSTEMD_PAGER=", "DEBIAN_FRONTEND=noninteractive", *argv]

    def popen(self, script, **options):
        """Its process here is nsenter's: what runs inside is ended from inside (pkill)."""
        return subprocess.Popen(self.command(["sh", "-c", script]), **{"stdin": subprocess.DEVNULL, **options})

    def run(self, script, check=True, timeout=BOOT_S, input=None):
        """A shell script's output, stderr with it. AssertionError when it failed, unless check is False."""
        done = subprocess.run(self.command(["sh", "-c", script]), input=input, timeout=timeout, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, **({} if input is not None else {"stdin": subprocess.DEVNULL}))
        assert not check or done.returncode == 0, f"{script!r} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def status(self, script, timeout=BOOT_S):
        """Its exit status alone."""
        return subprocess.run(self.command(["sh", "-c", script]), stdin=subprocess.DEVNULL, timeout=timeout,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

    def path(self, inside):
        """Where a file of the server's lies for the host. /run, /tmp, /proc and /sys are mounts that only it sees."""
        return self.root / str(inside).lstrip("/")

    def write(self, inside, text, mode=0o644):
        self.path(inside).parent.mkdir(parents=True, exist_ok=True)
        self.path(inside).write_bytes(text if isinstance(text, bytes) else text.encode())
        self.path(inside).chmod(mode)

    def copy(self, folder, inside):
        """A folder of the host's, as it is."""
        shutil.copytree(folder, self.path(inside), symlinks=True, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(".stead", "__pycache__"))

    def install(self, deb):
        """dpkg's own words; what it depends on is there already."""
        self.path("/root").mkdir(exist_ok=True)
        shutil.copy(deb, self.path("/root/stead.deb"))
        return self.run("dpkg -i --force-confold /root/stead.deb")

    def add(self, *packages):
        """Further packages of its system, from where those of the base tree came. They start nothing."""
        resolver = self.path("/etc/resolv.conf")
        shutil.copy("/etc/resolv.conf", resolver)
        _checked(["chroot", str(self.root), "apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages], env=_apt_env())
        resolver.write_text("")

    def install_build(self):
        """What the package would bring, from the build folder of the tests: no time for a package. Does not start it."""
        version, = (BUILD / "libexec/stead").iterdir()
        roles = self.path(f"/usr/lib/stead/{version.name}")
        shutil.copytree(version, roles, dirs_exist_ok=True)
        shutil.copy(BUILD / "stead", self.path("/usr/bin/stead"))
        for folder in (roles, roles / "python"):
            folder.chmod(0o755)
        unit = (TOP / "pkg/stead.service").read_text().replace("@VERSION@", version.name)
        self.write("/etc/systemd/system/stead.service", unit)
        self.write("/etc/stead/stead.conf", (TOP / "pkg/stead.conf").read_text())
        self.path("/etc/stead/sites").mkdir(exist_ok=True)
        self.run(f"/usr/lib/stead/{version.name}/stead-act --boot && systemctl daemon-reload")

    def journal(self, unit="stead"):
        return self.run(f"journalctl -q --no-pager -o cat -u {unit}", check=False)

    # --- its network ---

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        """A socket of the server's own network, for a client that runs here."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/proc/self/task/{threading.get_native_id()}/ns/net") as ours, open(f"/proc/{self.leader}/ns/net") as its:
            if libc.setns(its.fileno(), CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                return socket.socket(family, kind)
            finally:
                if libc.setns(ours.fileno(), CLONE_NEWNET) < 0:
                    os.abort()  # a test that goes on in the wrong network proves nothing

    def connect(self, port=80, host="127.0.0.1", timeout=10):
        s = self.socket()
        s.settimeout(timeout)
        try:
            s.connect((host, port))
        except BaseException:
            s.close()
            raise
        return s

    def get(self, path="/", port=80, headers=None, timeout=10):
        """(status, body) of one request. OSError while nobody listens."""
        with self.connect(port, timeout=timeout) as s:
            conn = http.client.HTTPConnection("127.0.0.1", port)
            conn.sock = s
            conn.request("GET", path, headers=headers or {})
            answer = conn.getresponse()
            return answer.status, answer.read()

    def answers(self, path="/", status=200, **options):
        """(status, body) when it answers so, else None: for wait_until."""
        try:
            seen = self.get(path, **options)
        except (OSError, http.client.HTTPException):
            return None
        return seen if seen[0] == status else None


if __name__ == "__main__":
    import sys
    for name in sys.argv[1:] or SYSTEMS:
        print(base(name), flush=True)
