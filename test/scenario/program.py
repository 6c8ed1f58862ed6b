"""The program under test, as the scenario tests see it: started, asked, watched, killed. No test framework here."""

import json
import os
import pathlib
import pwd
import signal
import socket
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("STEAD_BUILD", TOP / "build")).resolve()
TIMEOUT = float(os.environ.get("STEAD_TEST_TIMEOUT", "30"))
TEST_USER = "nobody"
PROMISES = []
ROLES = ("parent", "gate", "ctl", "log")


def promise(name, seen, kept=True):
    """A line for `make promises`: what was measured, and whether its goal is kept."""
    PROMISES.append(f"{name}: {seen}" + ("" if kept else "  (NOT KEPT)"))
    if "STEAD_PROMISES" in os.environ:
        with open(os.environ["STEAD_PROMISES"], "a") as file:
            file.write(f"{name} | {seen} | {'kept' if kept else 'not kept'}\n")


def wait_until(what, true, timeout=None):
    """Waits for true() to be true and gives it back."""
    limit = time.monotonic() + (timeout or TIMEOUT)
    while True:
        seen = true()
        if seen:
            return seen
        if time.monotonic() > limit:
            raise AssertionError(f"waited {timeout or TIMEOUT:.0f} s in vain for: {what}")
        time.sleep(0.01)


def unprivileged():
    """How to run a child as the test's user: nothing to do when we are not root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(TEST_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def give(folder):
    """The folder and what is in it belong to the test's user."""
    who = unprivileged()
    if not who:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, who["user"], who["group"], follow_symlinks=False)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def memory_of(pid):
    """Every byte that the process could read, a mapping after the other; what is larger than 1 GB is a sanitizer's own."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, mode = line.split()[:2]
            low, high = (int(x, 16) for x in span.split("-"))
            if "r" not in mode or high - low > 1 << 30 or "[vvar" in line or "[vsyscall" in line:
                continue
            try:
                mem.seek(low)
                yield mem.read(high - low)
            except (OSError, ValueError, OverflowError):
                continue


def processes():
    """{pid: (ppid, start time, comm)} of all that runs; zombies count as gone."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = pathlib.Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue
        comm = text[text.index("(") + 1:text.rindex(")")]
        rest = text[text.rindex(")") + 2:].split()
        if rest[0] not in "ZX":
            found[int(entry)] = (int(rest[1]), int(rest[19]), comm)
    return found


class Stead:
    """One instance: a folder, a state folder, a port."""

    def __init__(self, work, folder, number=0, as_root=False, port=None, http=None, state=None, env=(),
                 arguments=(), hidden=()):
        self.work, self.folder, self.as_root = work, folder, as_root
        self.port = port or free_port()
        self.http = f"127.0.0.1:{self.port}" if http is None else http  # "": none, the file says it
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = pathlib.Path(state) if state else work / f"state{number}"
        self.out_path = work / f"out{number}"
        self.arguments, self.hidden = list(arguments), hidden
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(work), "LANG": "C.UTF-8",
            "STEAD_CA": "",  # no authority of its own: else each would try 127.0.0.1:8443 too
            **{name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}, **dict(env)}
        self.process = None
        self.seen = {}  # (pid, start time): comm, of every process that was ever seen below ours
        self.roots = []  # (pid, start time) of the parents of our trees

    # --- starting and asking ---

    @property
    def command(self):
        return [str(BUILD / "stead"), "up", str(self.folder), "--state", str(self.state),
                *(["--http", self.http] if self.http else []), *self.arguments]

    def options(self):
        return {"env": self.environment, "cwd": self.work, "stdin": subprocess.DEVNULL,
                **({} if self.as_root else unprivileged())}

    def start(self):
        """`stead up` in the foreground; does not wait."""
        command, options = self.command, self.options()
        if self.hidden:  # in a mount namespace of its own, where these folders are empty (needs root)
            mounts = "".join(f"mount -t tmpfs none {folder}; " for folder in self.hidden)
            who = [f"--reuid={TEST_USER}", "--regid=nogroup", "--clear-groups"]
            command = ["unshare", "-m", "sh", "-ec", mounts + 'exec "$@"', "sh", "setpriv", *who, *command]
            options = {**options, "user": None, "group": None, "extra_groups": None}
        with open(self.out_path, "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                                            **options)
        return self

    def up(self):
        """`stead up`, until it says that it is live."""
        before = self.output().count("live  ")
        self.start()
        wait_until("live", lambda: self.output().count("live  ") > before or self.process.poll() is not None)
        assert self.process.poll() is None, f"stead up ended with {self.process.returncode}:\n{self.output()}"
        self.tree()
        return self

    def fails(self, code):
        """`stead up` that shall not come up: what it printed."""
        self.start()
        try:
            got = self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"stead up neither failed nor ended:\n{self.output()}") from None
        assert got == code, f"exit status {got}, not {code}:\n{self.output()}"
        return self.output()

    def cli(self, *arguments, code=0, timeout=None, state=True):
        """Another verb on this instance: what it printed."""
        state = ["--state", str(self.state)] if state else []
        result = subprocess.run([str(BUILD / "stead"), *arguments, *state], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout or TIMEOUT,
                                **self.options())
        assert code is None or result.returncode == code, \
            f"stead {' '.join(arguments)}: exit status {result.returncode}, not {code}:\n{result.stdout}"
        return result.stdout

    def status(self):
        return json.loads(self.cli("status", "--json"))

    def output(self):
        return self.out_path.read_text(errors="replace") if self.out_path.exists() else ""

    def logs(self, *arguments):
        """The records, as objects."""
        return [json.loads(line) for line in self.cli("logs", "--json", "-n", "100000", *arguments).splitlines()]

    def log_tail(self):
        text = ""
        for file in sorted((self.state / "log").glob("*")) if (self.state / "log").is_dir() else ():
            if file.is_file():
                text += f"{file.name}:\n" + file.read_text(errors="replace")[-4000:]
        return text

    def sanitizer_reports(self):
        """What the sanitizers of a sanitized build found in any process."""
        files = [self.out_path, self.state / "boot.log", *(self.state / "log").glob("*")]
        lines = []
        for file in files:
            try:
                text = file.read_text(errors="replace")
            except OSError:
                continue
            lines += [line for line in text.splitlines() if "Sanitizer" in line or "runtime error:" in line]
        return lines

    # --- processes ---

    def tree(self):
        """{pid: comm} of everything that stead started and that runs."""
        running = processes()
        mark = str(self.state).encode()
        for pid, (_, started, comm) in running.items():
            if comm == "stead-parent":
                try:
                    if mark in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                        self.seen[pid, started] = comm
                except OSError:
                    continue
        ours = {pid for pid, (_, started, _) in running.items() if (pid, started) in self.seen}
        grown = True
        while grown:
            more = {pid for pid, (ppid, _, _) in running.items() if ppid in ours} - ours
            grown = bool(more)
            ours |= more
        for pid in ours:
            self.seen[pid, running[pid][1]] = running[pid][2]
        return {pid: running[pid][2] for pid in ours}

    def pids(self, role):
        """The pids of one role: parent gate ctl log worker postgres."""
        tree = self.tree()
        if role == "postgres":
            running = processes()
            return sorted(pid for pid, comm in tree.items()
                          if comm == "postgres" and tree.get(running.get(pid, (0,))[0]) != "postgres")
        if role == "worker":
            return sorted(pid for pid in tree if is_worker(pid))
        return sorted(pid for pid, comm in tree.items() if comm == f"stead-{role}")

    def pid(self, role):
        return wait_until(f"a {role}", lambda: self.pids(role))[0]

    def kill(self, role, number=signal.SIGKILL):
        """Kills one process of that role and gives its pid."""
        def one():
            try:
                pid = self.pid(role)
                os.kill(pid, number)
                return pid
            except ProcessLookupError:
                return None  # it was killed a moment ago, and its successor is not there yet
        return wait_until(f"a {role} to kill", one)

    def kill_and_wait(self, role, number=signal.SIGKILL):
        """Kills one and waits until as many as before run without it. Gives the seconds this took."""
        count = len(self.pids(role)) or 1
        began = time.monotonic()
        pid = self.kill(role, number)
        wait_until(f"a new {role}", lambda: len([p for p in self.pids(role) if p != pid]) >= count)
        return time.monotonic() - began

    # --- ending ---

    def stop(self, number=signal.SIGTERM):
        """Ends the foreground command by a signal: its exit status."""
        self.tree()
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)

    def alive(self):
        """What we ever saw of it and what still runs: [(pid, comm)]."""
        running = processes()
        return [(pid, comm) for (pid, started), comm in self.seen.items()
                if pid in running and running[pid][1] == started]

    def gone(self):
        wait_until("every process to be gone", lambda: not self.alive())

    def end(self):
        """After the test: everything stops; what would not is killed and told."""
        self.tree()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        elif self.pids("parent"):
            subprocess.run([str(BUILD / "stead"), "stop", "--state", str(self.state)], timeout=TIMEOUT,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.options())
        try:
            self.gone()
        except AssertionError:
            left = self.alive()
            for pid, _ in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return left
        return []


def is_worker(pid):
    """A worker is an interpreter whose command line names stead's Python package."""
    try:
        parts = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"python" in os.path.basename(parts[0]) and b"stead_worker" in b" ".join(parts[1:])
