"""Forbidden acts: a program in the place of each role, and of an app's worker, with the jail that the real parent puts
around it, tries to get out (test/escape). Each act is refused, or stands below with the reason why it need not be."""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess

import pytest

import parentbed as pb
from program import BUILD, wait_until
from test_parent_root import ACCOUNTS, APP, POSTGRES, passwd, private_mounts

PROBE = BUILD / "test/escape/escape-probe"
MARK = b"@@stead-escape-targets@@"
ROOM = 2048
OTHER = 50008
REFUSED = {"EPERM", "EACCES", "EROFS", "ENOSYS", "EAFNOSUPPORT", "ENOENT", "ENXIO", "ENODEV", "ESRCH", "EXDEV", "SIGNAL 31"}
# Of bombs: the bound that they meet. SIGNAL 9 is the kernel's, for want of memory.
BOUNDS = {"EAGAIN", "ENOMEM", "ENOSPC", "EFBIG", "SIGNAL 9"}
LEAST = 60
ROLES = ("worker", "build", "check", "db", "resolve", "auth", "keys", "certs", "gate", "log", "ctl")
# (act, roles): why it can be done.
BY_DESIGN = {
    ("read_state_db", ("ctl",)): "the state is its own", ("write_state_db", ("ctl",)): "the state is its own",
    ("add_to_state", ("ctl",)): "the state is its own",
    ("read_operators_conf", ("check", "ctl")): "what the operator wrote is what it goes by",
    ("see_other", ("ctl",)): "it tells how much memory each process has",
    ("take_shared_memory", ("db",)): "PostgreSQL sees by its shared memory that another server has its data",
    ("connect_abstract", ("build", "check", "db", "resolve", "auth", "keys", "certs", "gate", "log", "ctl")):
        "who listens there says whom it lets in; apps, which run others' code, are kept from it",
    ("read_home", ("check", "ctl")): "it looks at the folder that somebody names, wherever that is, as far as its user may read it",
}

pytestmark = [pytest.mark.skipif(not PROBE.exists(), reason="escape-probe is not built"),
              pytest.mark.skipif(not private_mounts(), reason="needs root and mount namespaces")]


def unix_listener(path, uid, mode):
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.bind(path)
    one.listen(4)
    if path[0] != "\0":
        os.chown(path, uid, uid)
        os.chmod(path, mode)
    return one


def private_file(path, uid, mode=0o600):
    path.write_text("secret\n")
    os.chown(path, uid, uid)
    path.chmod(mode)


class Prison:
    """The parent with its real jails, what there is to steal, and the probe in a role's place."""

    def __init__(self, wrap=()):
        base = pathlib.Path("/srv")
        base.mkdir(exist_ok=True)
        self.bed = pb.Bed(base=str(base))
        bed = self.bed
        bed.passwd = bed.dir / "passwd"
        bed.passwd.write_text(passwd(ACCOUNTS))
        # The operator's folder too is one of this namespace's own.
        operators = bed.dir / "operators"
        (operators / "sites").mkdir(parents=True)
        (operators / "stead.conf").write_text("[Server]\n")
        pathlib.Path("/etc/stead").mkdir(exist_ok=True)
        bed.wrap = ["unshare", "-m", "sh", "-c",
                    'mount --bind "$0" /etc/passwd && mount --bind "$1" /etc/stead && shift && exec "$@"',
                    str(bed.passwd), str(operators), *wrap]
        self.other = subprocess.Popen(["sleep", "600"], user=OTHER, group=OTHER, extra_groups=[])
        self.sockets = []
        self.home = pathlib.Path(f"/home/stead-escape-{os.getpid()}")
        libc = ctypes.CDLL(None, use_errno=True)
        self.shm = libc.shmget(self.other.pid, 4096, 0o1666)
        self.remove_shm = lambda: libc.shmctl(self.shm, 0, None)
        bed.boot()
        self.put_up()

    def put_up(self):
        bed = self.bed
        private_file(bed.state / "state.db", ACCOUNTS["ctl"])
        private_file(bed.state / "keys/secret", ACCOUNTS["keys"])
        self.victim = bed.state / "victim"
        self.victim.mkdir(mode=0o700)
        private_file(self.victim / "data", OTHER)
        os.chown(self.victim, OTHER, OTHER)
        self.data = bed.state / "data"
        self.data.mkdir()
        os.chown(self.data, APP, APP)
        self.home.mkdir(parents=True)
        private_file(self.home / "letter", 0, 0o644)
        abstract = f"stead-escape-{os.getpid()}"
        self.sockets = [unix_listener(str(self.victim / "db.sock"), OTHER, 0o600), unix_listener(str(bed.run / "control"), 0, 0o600),
                        unix_listener("\0" + abstract, 0, 0)]
        text = "\n".join(str(v) for v in (bed.process.pid, self.other.pid, bed.state, self.victim, bed.run / "control",
                                          self.home / "letter", bed.roles, bed.dir / "suid", abstract))
        image = PROBE.read_bytes()
        at = image.index(MARK)
        room = text.encode().ljust(ROOM, b"\0")
        self.probe = bed.dir / "probe"
        self.probe.write_bytes(image[:at] + room + image[at + ROOM:])
        self.probe.chmod(0o755)
        shutil.copy(self.probe, bed.dir / "suid")
        (bed.dir / "suid").chmod(0o4755)
        shutil.copy(self.probe, bed.roles / "stead-parent")

    def take_place(self, role):
        """New file, same name: what runs keeps the old one."""
        place = self.bed.roles / f"stead-{role}"
        shutil.copy(self.probe, place.with_suffix(".new"))
        os.rename(place.with_suffix(".new"), place)

    def start(self, role):
        bed = self.bed
        if role == "worker":
            # Where it may write, and bounds of its own: LimitFSIZE=, MemoryMax=, TasksMax=.
            block = pb.jail_block(memory=96 << 20, tasks=40, limits={1: (64 << 20, 64 << 20)},
                                  # What it is shown hides no less of stead's own than what it was not.
                                  paths=[(1, str(self.data)), (2, "/etc"), (2, "/var/lib"), (2, str(bed.state.parent))])
            bed.set(uid=APP, gid=APP, argv=("app", "--bombs"), flags=0, path=str(self.probe), cwd=str(self.data), start_ms=3600000,
                    jail=block)
            return
        self.take_place(role)
        if role in ("check", "build", "db"):
            uid = {"check": 0, "build": APP, "db": POSTGRES}[role]
            bed.ctl.send("ONESHOT", struct.pack("<IIIiII", pb.ROLE[role], uid, uid, 0, 0, 0), ident=5)
            answer = bed.ctl.until("SPAWNED", lambda m: m.id == 5)
            assert struct.unpack_from("<IIIiI", answer.body)[4] == 0
            self.channels = answer.fds
        elif role in ("resolve", "auth", "keys", "certs"):
            bed.gate[0].send("WANT", struct.pack("<II", pb.ROLE[role], 0))
        else:
            {"gate": bed.gate[0], "log": bed.log, "ctl": bed.ctl}[role].kill()

    def words(self, role):
        """What the probe said: an app's words go to the log process, a role's to where the parent's go."""
        if role != "worker":
            wait_until("the probe's end", lambda: "escape end" in self.bed.errors(), timeout=60)
            return self.bed.errors()
        for _ in range(2):
            stream = self.bed.log.until("STREAM")
            if struct.unpack_from("<4I", stream.body)[3] == 2:
                break
        text = b""
        with open(stream.fds[0], "rb", buffering=0) as pipe:
            os.set_blocking(pipe.fileno(), True)
            while b"escape end" not in text:
                piece = pipe.read(65536)
                assert piece, text
                text += piece
        return text.decode()

    def done(self):
        self.other.kill()
        self.other.wait()
        for one in self.sockets:
            one.close()
        shutil.rmtree(self.home, ignore_errors=True)
        self.remove_shm()
        if self.bed.process is not None and self.bed.process.poll() is None:
            self.bed.process.send_signal(signal.SIGKILL)
        self.bed.done()


@pytest.fixture
def prison():
    one = Prison()
    yield one
    one.done()


def excused(role, act):
    return next((why for (name, roles), why in BY_DESIGN.items() if name == act and role in roles), None)


@pytest.mark.parametrize("role", ROLES)
def test_nothing_gets_out(prison, role, promise):
    prison.start(role)
    rows = [line.split(" ", 2)[1:] for line in prison.words(role).splitlines() if line.startswith("escape ")]
    results = dict(row for row in rows if row[0] != "end")
    print(f"\n{role}\n" + "\n".join(f"  {act:26} {result}" + (f"  by design: {why}" if (why := excused(role, act)) else "")
                                    for act, result in results.items()))
    wrong = {}
    refused = 0
    for act, result in results.items():
        good = result in REFUSED or (act.startswith("bomb_") and result in BOUNDS)
        refused += good
        if not good and excused(role, act) is None:
            wrong[act] = result
    assert not wrong, wrong
    assert refused >= LEAST, refused
    stale = [act for act in results if excused(role, act) is not None and results[act] in REFUSED]
    assert not stale, f"these are refused by now: {stale}"
    promise(f"forbidden acts as {role}", f"{refused} of {len(results)} refused, {len(results) - refused} by design")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
def test_the_servers_unit_leaves_the_parent_what_it_needs():
    """With the capabilities of pkg/stead.service alone it makes the same jails."""
    unit = (pathlib.Path(__file__).resolve().parents[2] / "pkg/stead.service").read_text()
    words = [w for line in unit.splitlines() if line.startswith("CapabilityBoundingSet=") for w in line.split("=")[1].split()]
    assert len(words) > 5, words
    kept = ",".join("+" + w.removeprefix("CAP_").lower() for w in words)
    one = Prison(wrap=["setpriv", "--bounding-set", "-all," + kept, "--no-new-privs"])
    try:
        one.start("worker")
        assert "escape read_other_app ENOENT" in one.words("worker")
    finally:
        one.done()
