"""A bed for the parent alone: every other process is test/unit/parent/relay.c, and the test speaks for it.

Bed starts the real stead-parent with a roles folder full of relays. Each process that the parent starts
connects to the test; bed.next("gate") is that process as a Peer: recv() is the next message that the
parent sent to it, send() makes it send one to the parent, do() has it do something itself.
"""

import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("STEAD_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
PARENT = pathlib.Path(os.environ.get("STEAD_PARENT", BUILD / "src/parent/stead-parent"))
RELAY = pathlib.Path(os.environ.get("STEAD_RELAY", BUILD / "test/unit/parent/parent-relay"))
TIMEOUT = float(os.environ.get("STEAD_TEST_TIMEOUT", "10"))

ROLES = ["none", "parent", "gate", "ctl", "log", "check", "build", "db", "act", "worker", "service", "postgres", "cli",
         "resolve", "auth", "keys", "certs", "alert"]
ROLE = {name: number for number, name in enumerate(ROLES)}
TYPES = {
    "HELLO": 1, "START": 100, "CHANNEL": 101, "LISTENER": 102, "UNLISTEN": 103, "SNAP": 104, "STOP": 105,
    "LIMITS": 119, "SERVICE": 120, "SERVICE_DRAIN": 121, "SERVICE_GONE": 122, "NOTIFY": 123, "NOTIFY_END": 124, "PROTECTION": 140, "ACCOUNTS": 141, "DISK": 142,
    "SERVICE_UP": 215, "SERVICE_IDLE": 216, "SAID": 217, "WORKER_RAN": 208,
    "WORKER": 106, "WORKER_GONE": 107, "WORKER_DRAIN": 108, "RING": 109, "LOG_PAGE": 110, "STREAM": 111,
    "COUNTERS": 112, "PROC_STATE": 113, "BOUND": 114, "SPAWNED": 115, "EXITED": 116, "DONE": 117, "LINK": 118, "UPGRADE_TRY": 160, "UPGRADED": 161,
    "READY": 200, "PAGE": 201, "WORKER_UP": 202, "WORKER_BAD": 203, "WORKER_IDLE": 204, "WORKER_STUCK": 205,
    "WANT": 207,
    "STOPPED": 206, "GATE_DRAINS": 230, "BIND": 300, "UNBIND": 301, "PROC_SET": 302, "PROC_DROP": 303, "PROC_RESTART": 304,
    "ONESHOT": 305, "ONESHOT_KILL": 306, "SHUTDOWN": 307, "GATES": 308, "DISK_MADE": 310, "UPGRADE": 340, "UPGRADE_TRIED": 341, "OVERLAY": 400}
NAMES = {number: name for name, number in TYPES.items()}
DOWN, STARTING, UP, DRAINING, STOPPING, BACKOFF = range(6)
HEAD = struct.Struct("<IHHQ")
WORKER = struct.Struct("<IIQIIQIi8x")
STATE = struct.Struct("<IIIIQiiIIQII32sIIII")
SERVICE = struct.Struct("<IIQIIIIII")
START_PLACE, STATE_CONNS = 30, 112  # where in START a gate's place is, in PROC_STATE what one has that drains
SAID = struct.Struct("<IIQIi")
PROC_SET = struct.Struct("<12I2Q10I192x")  # behind these a unit's wishes of a life: none
LINK, ROLLING, STACKS = 1, 2, 4


def hello():
    return struct.pack("<HHI40s", 1, 1, 0, b"test")


def packed(*strings):
    return b"".join(struct.pack("<I", len(s.encode())) + s.encode() + b"\0" for s in strings)


JAIL = struct.Struct("<4I32Q4Q3I2i4I8I4xQ")


def jail_block(app=1, memory=1 << 64, tasks=1 << 64, limits=None, paths=(), calls=()):
    """What ends a PROC_SET (struct msg_jail). limits: {number: (soft, hard)}; paths: (kind, path)."""
    most = (1 << 64) - 1
    limits = limits or {}
    both = [v for n in range(16) for v in limits.get(n, (0, 0))]
    fixed = JAIL.pack(1, app, 0, sum(1 << n for n in limits), *both, min(memory, most), most, most, min(tasks, most), 0, 100, 100,
                      0, 0, 0, len(paths), len(calls), 0, *(0,) * 8, 0)
    block = struct.pack("<I", len(fixed)) + fixed + b"\0"
    block += b"".join(struct.pack("<I", kind) + packed(path) for kind, path in paths)
    return block + b"".join(struct.pack("<I", call) for call in calls)


def is_killed(pid):
    """Nothing of it will run any more: it is gone, or the kernel has yet to end it (proc(5): SIGKILL is pending)."""
    try:
        told = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return True
    return told["State"][0] in "ZX" or any(int(told[of], 16) >> signal.SIGKILL - 1 & 1 for of in ("SigPnd", "ShdPnd"))


class Message:
    def __init__(self, name, ident, body, fds):
        self.name, self.id, self.body, self.fds = name, ident, body, fds

    def __repr__(self):
        return f"<{self.name} {len(self.body)} bytes, {len(self.fds)} descriptors>"

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def state(self):
        keys = "role index app phase generation pid status restarts backoff_ms since unready spawn_err spawn_step".split()
        return dict(zip(keys, STATE.unpack_from(self.body)))

    def worker(self):
        return dict(zip("app slot generation gate pad gate_generation reason status".split(),
                        WORKER.unpack_from(self.body)))


class Peer:
    """One process that the parent started."""

    def __init__(self, bed, connection, greeting):
        words = greeting.decode().split()
        self.bed, self.sock, self.name, self.pid = bed, connection, words[0], int(words[1])
        self.facts = dict(word.split("=") for word in words[2:])

    def recv(self, timeout=TIMEOUT):
        if not select.select([self.sock], [], [], timeout)[0]:
            raise AssertionError(f"{self.name} {self.pid} heard nothing for {timeout} s")
        data, fds, _, _ = socket.recv_fds(self.sock, 70000, 64)
        if not data:
            raise EOFError(self.name)
        length, kind, _, ident = HEAD.unpack_from(data)
        assert len(data) == HEAD.size + length
        return Message(NAMES[kind], ident, data[HEAD.size:], fds)

    def until(self, name, test=lambda m: True, timeout=TIMEOUT):
        """The next message of that name; the others on the way are dropped."""
        end = time.monotonic() + timeout
        while True:
            message = self.recv(max(0.01, end - time.monotonic()))
            if message.name == name and test(message):
                return message
            message.close()

    def send(self, name, body=b"", fds=(), ident=0):
        kind = TYPES[name] if isinstance(name, str) else name
        socket.send_fds(self.sock, [HEAD.pack(len(body), kind, 1, ident) + body], list(fds))

    def do(self, text):
        self.send(0xffff, text.encode())

    def ask(self, text):
        self.do(text)
        while True:  # messages may be under way; none of them begins so
            assert select.select([self.sock], [], [], TIMEOUT)[0]
            data, fds, _, _ = socket.recv_fds(self.sock, 70000, 64)
            for fd in fds:
                os.close(fd)
            if data[:1] == b"/":
                return data.decode()

    def ended(self, timeout=TIMEOUT):
        """Wait until its connection is gone, dropping what it still hears."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if select.select([self.sock], [], [], max(0.01, end - time.monotonic()))[0]:
                try:
                    data, fds, _, _ = socket.recv_fds(self.sock, 70000, 64)
                except ConnectionResetError:  # killed with something unread
                    return True
                for fd in fds:
                    os.close(fd)
                if not data:
                    return True
        return False

    def kill(self, sig=signal.SIGKILL):
        os.kill(self.pid, sig)

    def begin(self):
        """Both HELLOs and START."""
        assert self.recv().name == "HELLO"
        self.send("HELLO", hello())
        self.start = self.until("START")
        return self

    def ready(self):
        self.begin().send("READY")
        return self


class Bed:
    def __init__(self, gates=1, user=None, wrap=(), args=(), base="/tmp"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="stead-bed-", dir=base))
        self.dir.chmod(0o755)
        self.state, self.run, self.roles = (self.dir / n for n in ("state", "run", "roles"))
        for folder in (self.state, self.run, self.roles):
            folder.mkdir(mode=0o755)
        for role in ("gate", "ctl", "log", "resolve", "auth", "keys", "certs", "alert", "check", "build", "db", "act"):
            shutil.copy(RELAY, self.roles / f"stead-{role}")
        shutil.copy(RELAY, self.dir / "app")
        if user is not None:
            for folder in (self.state, self.run):
                os.chown(folder, user, user)
        self.user, self.gates, self.wrap, self.args = user, gates, list(wrap), list(args)
        self.parked, self.peers, self.process, self.listener = [], [], None, None
        self.err = open(self.dir / "stderr", "w+b")

    def command(self):
        return self.wrap + [str(PARENT), "--state", str(self.state), "--run", str(self.run), "--roles",
                            str(self.roles), "--gates", str(self.gates)] + self.args

    def launch(self, **options):
        """Only the process; its first children find the listener by its pid."""
        if self.user is not None:
            options.update(user=self.user, group=self.user, extra_groups=[])
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.err, **options)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(f"\0stead-test-{self.process.pid}")
        self.listener.listen(64)
        return self

    def next(self, name, timeout=TIMEOUT, test=lambda peer: True):
        """The next process of that name; others that come meanwhile wait for their turn."""
        end = time.monotonic() + timeout
        while True:
            for peer in self.parked:
                if peer.name == name and test(peer):
                    self.parked.remove(peer)
                    return peer
            if not select.select([self.listener], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"no {name} was started in {timeout} s: {self.errors()}")
            connection, _ = self.listener.accept()
            assert select.select([connection], [], [], TIMEOUT)[0]
            greeting = connection.recv(1000)
            if greeting:
                self.parked.append(Peer(self, connection, greeting))
                self.peers.append(self.parked[-1])  # a peer that is forgotten would end its process

    def boot(self):
        """The parent with its core processes, all of them ready."""
        if self.process is None:
            self.launch()
        self.log = self.next("stead-log").ready()
        self.ctl = self.next("stead-ctl").ready()
        self.gate = [self.next("stead-gate").ready() for _ in range(self.gates)]
        return self

    def errors(self):
        self.err.flush()
        return (self.dir / "stderr").read_text()

    def set(self, app=1, count=1, role="worker", argv=("app",), env=(), flags=LINK | ROLLING, stop_ms=2000,
            start_ms=5000, uid=0, gid=0, path=None, ident=77, name="guestbook", stop="TERM", cwd="/",
            listen=0, ready=0, notify=0, watchdog_ms=0, port=0, kill=0, socket="", probe="", jail=b""):
        body = PROC_SET.pack(ROLE[role], app, count, uid, gid, flags, start_ms, stop_ms, len(argv), len(env), 0, 0,
                             0, 0, 0, 0, listen, 1, port, ready, 1, notify, watchdog_ms, kill)
        body += packed(name, cwd, path or str(self.dir / "app"), *argv, "", *env, "", stop, socket, probe) + jail
        self.ctl.send("PROC_SET", body, ident=ident)
        return struct.unpack_from("<I", self.ctl.until("DONE", lambda m: m.id == ident).body)[0]

    def stop(self, sig=signal.SIGTERM, timeout=TIMEOUT):
        """End it; core processes that the test holds are not asked to answer."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.wait(timeout)

    def wait(self, timeout=TIMEOUT):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the parent did not end: {self.errors()}")

    def done(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in descendants_named(self.dir):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.listener is not None:
            self.listener.close()
        self.err.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def descendants_named(folder):
    """Processes whose program lies in that folder, dead ones not counted."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/exe").startswith(str(folder)):
                    found.append(int(entry))
            except OSError:
                pass
    return found
