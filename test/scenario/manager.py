#!/usr/bin/python3
"""A service manager as small as it gets: what systemd does for a unit with Type=notify, Restart=always, KillMode=process and
FileDescriptorStoreMax= (sd_notify(3), sd_listen_fds(3)), so that tests need no systemd. The same is tested under the real one
by `make promises`.

    manager.py NOTIFY_SOCKET COMMAND…

It prints `started PID` and `ended STATUS` for each run of the command and `store N` when the number of descriptors that it
keeps changes; it starts the command again until SIGTERM, which it passes on.
"""

import array
import ctypes
import os
import select
import signal
import socket
import sys

PR_SET_CHILD_SUBREAPER, SYS_KCMP = 36, 312
libc = ctypes.CDLL(None, use_errno=True)


def same_file(a, b):
    return libc.syscall(SYS_KCMP, os.getpid(), os.getpid(), 0, a, b) == 0


class Manager:
    def __init__(self, path, command):
        self.path, self.command, self.store, self.main, self.stopping = path, command, [], None, False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def say(self, text):
        print(text, flush=True)

    def start(self):
        """The descriptors from 3 on, under their names; LISTEN_PID is the shell's, which becomes the command."""
        spare = [os.dup(fd) for _, fd in self.store]
        high = [os.dup2(fd, 10000 + i, inheritable=True) for i, fd in enumerate(spare)]
        actions = [(os.POSIX_SPAWN_DUP2, fd, 3 + i) for i, fd in enumerate(high)]
        actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in high]
        env = {**os.environ, "NOTIFY_SOCKET": self.path}
        if self.store:
            env.update(LISTEN_FDS=str(len(self.store)), LISTEN_FDNAMES=":".join(name for name, _ in self.store))
        script = 'LISTEN_PID=$$ exec "$@"' if self.store else 'exec "$@"'
        self.main = os.posix_spawn("/bin/sh", ["sh", "-c", script, "sh", *self.command], env, file_actions=actions)
        for fd in (*spare, *high):
            os.close(fd)
        self.say(f"started {self.main}")

    def hear(self):
        """All that is there: what was sent before an end is heard before the end."""
        while select.select([self.socket], [], [], 0)[0]:
            data, control, _, _ = self.socket.recvmsg(4096, 4096)
            fds = array.array("i")
            for level, kind, got in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(got[:len(got) - len(got) % fds.itemsize])
            words = dict(line.partition("=")[::2] for line in data.decode().splitlines())
            name, before = words.get("FDNAME", "stored"), len(self.store)
            if "FDSTOREREMOVE" in words:
                for _, fd in (one for one in self.store if one[0] == name):
                    os.close(fd)
                self.store = [one for one in self.store if one[0] != name]
            for fd in fds:
                if "FDSTORE" in words and len(self.store) < 4096 and not any(same_file(fd, old) for _, old in self.store):
                    self.store.append((name, fd))
                else:
                    os.close(fd)
            if len(self.store) != before:
                self.say(f"store {len(self.store)}")

    def reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.main:
                self.hear()
                self.say(f"ended {os.waitstatus_to_exitcode(status)}")
                self.main = None

    def run(self):
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopping", True))
        told = False
        self.start()
        while True:
            ready = select.select([self.socket, wake_read], [], [], 1)[0]
            if self.socket in ready:
                self.hear()
            if wake_read in ready:
                os.read(wake_read, 1000)
            self.reap()
            if self.stopping and self.main and not told:
                os.kill(self.main, signal.SIGTERM)
                told = True
            if self.main is None and self.stopping:
                return
            if self.main is None:
                self.start()


if __name__ == "__main__":
    Manager(sys.argv[1], sys.argv[2:]).run()
