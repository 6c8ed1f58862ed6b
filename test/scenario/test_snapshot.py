"""A damaged snapshot is refused by the gate, and the one before it serves on.

No part of stead makes a damaged snapshot, so the test takes the parent's own end of its channel to the gate
(pidfd_getfd) and says on it what the parent would say, with memfds that are wrong in one thing each.
"""

import ctypes
import fcntl
import os
import re
import socket
import struct
import subprocess

import pytest

from client import Client, ask
from program import TOP, processes, wait_until

SNAP = 104
SYS_PIDFD_GETFD = 438
MAGIC = int(re.search(r"SNAP_MAGIC (0x[0-9a-f]+)", (TOP / "src/snap/snap.h").read_text()).group(1), 16)
F_ADD_SEALS, SEALS = 1033, 0x1 | 0x2 | 0x4 | 0x8  # SEAL, SHRINK, GROW, WRITE


def descriptors(pid):
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield int(fd), os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue


def channel_to(parent, child):
    """The parent's end of the child's descriptor 3, as a socket of our own."""
    far = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{child}/fd/3")).group(1)

    def peer():
        # The kernel's list is told in pieces: one that other sockets' ends shorten meanwhile misses some.
        listed = subprocess.run(["ss", "-xnH"], text=True, capture_output=True, check=True).stdout
        return next((f[5] for f in (line.split() for line in listed.splitlines()) if len(f) > 7 and f[7] == far), None)
    near = wait_until(f"the peer of socket {far} in ss's list", peer)
    return taken(parent, next(fd for fd, name in descriptors(parent) if name == f"socket:[{near}]"))


def taken(pid, fd):
    """A socket of another process as one of our own."""
    pidfd = os.pidfd_open(pid)
    try:
        mine = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, pidfd, fd, 0)
    finally:
        os.close(pidfd)
    if mine < 0:
        pytest.skip("this user may not take a descriptor of another process (Yama): run it as root")
    return socket.socket(fileno=mine)


def current(parent):
    """The root and the segments that the parent keeps, as bytes: (generation, root, [segment…])."""
    roots, rest = [], []
    for fd, name in descriptors(parent):
        if not name.startswith(("/memfd:stead-root", "/memfd:stead-sites")):
            continue
        with open(f"/proc/{parent}/fd/{fd}", "rb") as file:
            data = file.read()
        assert struct.unpack_from("<Q", data)[0] == MAGIC
        if name.startswith("/memfd:stead-root"):
            _, segments, generation = struct.unpack_from("<IIQ", data, 8)
            roots.append((generation, segments, data))
        else:
            rest.append(data)
    generation, segments, root = max(roots)
    sizes = [struct.unpack_from("<IIQQ", root, 32 + number * 24)[2] for number in range(segments)]
    return generation, root, [next(data for data in rest if len(data) == size) for size in sizes]


def memfd(data, seals=SEALS):
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


def say(channel, generation, fds):
    payload = struct.pack("<QIIII", generation, len(fds) - 1, 0, 0, 0)
    message = struct.pack("<IHHQ", len(payload), SNAP, 1, 0) + payload
    socket.send_fds(channel, [message], fds)
    for fd in fds:
        os.close(fd)


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:]


@pytest.mark.promise
def test_a_damaged_snapshot_is_refused(stead, promise):
    one = stead(TOP / "examples" / "static").up()
    gates = one.pids("gate")
    generation, root, segments = current(one.pid("parent"))
    wrong = {
        "the segment's last byte": (root, [flipped(segments[0], len(segments[0]) - 1)], SEALS),
        "the segment's first byte": (root, [flipped(segments[0], 0)], SEALS),
        "a byte in the segment's middle": (root, [flipped(segments[0], len(segments[0]) // 2)], SEALS),
        "the root's magic": (flipped(root, 0), segments, SEALS),
        "the root's version": (flipped(root, 8), segments, SEALS),
        "the root's checksum": (flipped(root, 24), segments, SEALS),
        "a segment cut short": (root, [segments[0][:-8]], SEALS),
        "an empty segment": (root, [b""], SEALS),
        "the root cut short": (root[:20], segments, SEALS),
        "no seals": (root, segments, 0),
    }
    with Client(one.port) as kept:
        for number, (root_bytes, segment_bytes, seals) in enumerate(wrong.values(), 1):
            for gate in gates:
                with channel_to(one.pid("parent"), gate) as channel:
                    say(channel, generation + number,
                        [memfd(root_bytes, seals), *(memfd(data, seals) for data in segment_bytes)])
            assert kept.ask("/").status == 200
            assert ask(one, "/style.css").status == 200
        wait_until("all refusals in the log", lambda: one.cli("logs", "--json", "-n", "1000").count(
            "SNAPSHOT_REFUSED") >= len(wrong))
        assert kept.used == len(wrong)
    assert one.pids("gate") == gates
    assert set(one.pids("gate")) <= set(processes())
    promise("damaged snapshots refused", f"{len(wrong)} of {len(wrong)}, the old one served on")
