"""The parent with the test as its ctl: more and fewer gates (GATES); how soon a successor comes."""

import os
import pathlib
import signal
import statistics
import struct
import tempfile
import time

import pytest

import parentbed as pb
from test_parent import NOBODY, assert_bound, bed, drained, make, state_of

__all__ = ["bed", "make"]  # fixtures


def ask_gates(bed, count, drain_max_ms=3600000):
    bed.ctl.send("GATES", struct.pack("<II", count, drain_max_ms), ident=9)
    return struct.unpack_from("<I", bed.ctl.until("DONE", lambda m: m.id == 9).body)[0]


def told_to_stop(gate):
    """The time for its requests, and for its tunnels."""
    return struct.unpack("<II", gate.until("STOP").body)


def test_a_new_gate_is_wired_and_one_too_many_drains(bed):
    address = assert_bound(bed)
    assert ask_gates(bed, 2) == 0
    second = bed.next("stead-gate").begin()
    assert struct.unpack_from("<IIQI", second.start.body)[1::2] == (1, 2)  # its index, and how many there shall be
    assert second.until("CHANNEL").body[0] == pb.ROLE["ctl"]
    assert second.until("LISTENER").body[8:].rstrip(b"\0").decode() == address
    second.send("READY")
    state_of(bed, role=pb.ROLE["gate"], index=1, phase=pb.UP)
    assert ask_gates(bed, 2) == 0  # nothing to do
    assert ask_gates(bed, 1) == 0
    assert told_to_stop(second) == (30000, 3600000)
    second.kill()
    state_of(bed, role=pb.ROLE["gate"], index=1, phase=pb.DOWN)
    # The same place again; the other gate heard nothing of all this.
    assert ask_gates(bed, 2) == 0
    assert struct.unpack_from("<II", bed.next("stead-gate").begin().start.body)[1] == 1
    assert not any(m.name == "STOP" for m in drained(bed.gate[0]))


def test_a_gate_that_is_wanted_again_while_it_drains(bed):
    assert ask_gates(bed, 2) == 0
    second = bed.next("stead-gate").ready()
    state_of(bed, role=pb.ROLE["gate"], index=1, phase=pb.UP)
    assert ask_gates(bed, 1, 20000) == 0
    assert told_to_stop(second) == (20000, 20000)
    assert ask_gates(bed, 2) == 0 and ask_gates(bed, 1) == 0  # it has less time left than it would be given
    assert not any(m.name == "STOP" for m in drained(second))
    assert ask_gates(bed, 2) == 0
    second.kill()
    bed.next("stead-gate").ready()
    state_of(bed, role=pb.ROLE["gate"], index=1, phase=pb.UP)


def test_a_gate_with_tunnels_makes_room(bed):
    """Its successor, or the end of all, waits for its place: what has an hour is told of seconds."""
    assert ask_gates(bed, 2) == 0
    for last in (False, True):
        second = bed.next("stead-gate").ready()
        state_of(bed, role=pb.ROLE["gate"], index=1, phase=pb.UP)
        assert ask_gates(bed, 1) == 0
        assert told_to_stop(second) == (30000, 3600000)
        if last:
            bed.process.send_signal(signal.SIGTERM)
            assert told_to_stop(second) == (5000, 5000)
        else:
            assert ask_gates(bed, 2) == 0
            assert told_to_stop(second) == (30000, 5000)
        second.do("exit 0")


@pytest.mark.parametrize("count", [0, 61, 2 ** 32 - 1])
def test_a_number_of_gates_that_is_refused(bed, count):
    assert ask_gates(bed, count) == 22 and ask_gates(bed, 1, 2 ** 31) == 22
    assert ask_gates(bed, 1) == 0


def test_only_ctl_says_how_many_gates(bed):
    bed.gate[0].send("GATES", struct.pack("<II", 2, 0))
    assert bed.gate[0].ended()  # its channel is broken: it is killed and replaced
    assert struct.unpack_from("<IIQI", bed.next("stead-gate").begin().start.body)[3] == 1


@pytest.mark.promise
def test_how_soon_the_first_restart_comes(bed, promise):
    """That no pause is made is the simulation's to see (sim_check.c), on a clock of its own; here it is only measured."""
    took = []
    for victim, name in ((bed.ctl, "stead-ctl"), (bed.log, "stead-log"), (bed.gate[0], "stead-gate")):
        died = time.monotonic()
        victim.kill()
        assert bed.next(name)
        took.append((time.monotonic() - died) * 1000)
    promise("restart latency", f"{statistics.median(took):.1f} ms to the first word of ctl, log or gate, when they do nothing else "
            f"(median of {len(took)})", statistics.median(took) <= 5)


@pytest.mark.parametrize("mode, given", [(0o700, True), (0o750, False)])
def test_the_authoritys_folder_is_for_keys_alone(make, request, mode, given):
    """--ca DIR: keys is handed it, and ctl is told; not one that others can look into."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="stead-bed-ca-", dir="/tmp"))
    request.addfinalizer(folder.rmdir)
    folder.chmod(mode)
    if NOBODY:
        os.chown(folder, NOBODY, NOBODY)
    bed = make(args=("--ca", str(folder))).boot()
    bed.ctl.send("WANT", struct.pack("<II", pb.ROLE["keys"], 0))
    keys = bed.next("stead-keys").ready()
    told = [struct.unpack_from("<I", peer.start.body, 24)[0] for peer in (keys, bed.ctl, bed.log, bed.gate[0])]
    assert told == [int(given), int(given), 0, 0]
    folders = [os.fstat(fd).st_ino for fd in keys.start.fds]
    assert folders[1:] == ([folder.stat().st_ino] if given else []) and len(bed.gate[0].start.fds) == 0
