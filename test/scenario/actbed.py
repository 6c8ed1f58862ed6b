"""stead-act as root, in a mount namespace with an /etc, /run and /var/lib of its own, so that the machine's accounts stay as
they are. Each question goes to the real process over its channel, as ctl asks it. No test framework here."""

import contextlib
import os
import socket
import struct
import subprocess
import sys

from parentbed import BUILD, HEAD, hello, packed

ACT = BUILD / "src" / "act" / "stead-act"
USER_ROLE, USER_APP, TREE_COPY, FOLDER_MAKE, TREES_CLEAR, SCRIPTS_COPY = 1, 2, 3, 4, 5, 6
TREE_REMOVE, PERSIST = 11, 12
ACT_ASK, ACT_END = 630, 631
STATE = "/var/lib/stead/up/one"


@contextlib.contextmanager
def namespace(folder):
    """Command words that run a program in a namespace kept alive by its first process; None: there can be none here."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        yield None
        return
    script = ('set -e; mount --make-rprivate /; mkdir "$0/etc"; cp -a /etc/. "$0/etc/"; mount --bind "$0/etc" /etc; '
              'mount -t tmpfs none /run; mount -t tmpfs none /var/lib; echo ready; exec cat')
    keeper = subprocess.Popen(["unshare", "-m", "sh", "-c", script, str(folder)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    assert keeper.stdout.readline() == b"ready\n"
    yield ["nsenter", f"--mount=/proc/{keeper.pid}/ns/mnt", "--"]
    keeper.stdin.close()
    keeper.wait(10)


@contextlib.contextmanager
def running(world, state):
    """What says that root's stead runs there: its lock."""
    code = ("import fcntl, os, sys; os.makedirs(sys.argv[1], exist_ok=True); "
            "fd = os.open(sys.argv[1] + '/lock', os.O_RDWR | os.O_CREAT, 0o600); fcntl.flock(fd, fcntl.LOCK_EX); "
            "print('held', flush=True); sys.stdin.read()")
    keeper = subprocess.Popen([*world, sys.executable, "-c", code, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert keeper.stdout.readline() == b"held\n"
    yield
    keeper.stdin.close()
    keeper.wait(10)


def inside(world, code):
    """A line of Python in the namespace: what it prints."""
    names = "import os, pwd, grp, stat, pathlib\n"
    return subprocess.run([*world, sys.executable, "-c", names + code], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def ask(world, act, *arguments):
    """(errno, exit code, error, what to do, result), or None when the process refused to talk."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def give():
        os.dup2(theirs.fileno(), 3)
        os.set_inheritable(3, True)
    process = subprocess.Popen([*world, str(ACT)], close_fds=False, preexec_fn=give, stderr=subprocess.DEVNULL)
    theirs.close()
    body = struct.pack("<I", act) + packed(*arguments)
    ours.settimeout(30)
    ours.send(HEAD.pack(len(hello()), 1, 1, 0) + hello())
    ours.send(HEAD.pack(len(body), ACT_ASK, 1, 7) + body)
    answer = None
    while data := ours.recv(1 << 17):
        _, kind, _, ident = HEAD.unpack_from(data)
        if kind != ACT_END:
            continue
        assert ident == 7
        err, code = struct.unpack_from("<II", data, 16)
        texts, at = [], 24
        while at < len(data):
            n, = struct.unpack_from("<I", data, at)
            texts.append(data[at + 4:at + 4 + n].decode())
            at += 4 + n + 1
        answer = (err, code, *texts)
    process.wait(10)
    ours.close()
    return answer


def app_user(world, name="shop", state=STATE):
    err, _, error, _, result = ask(world, USER_APP, name, "", state)
    assert err == 0, error
    return result.split(":")
