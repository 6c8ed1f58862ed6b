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
    # Its successor comes up beside it, and it has the time that it had.
    assert ask_gates(bed, 2) == 0
    third = bed.next("stead-gate").ready()
    assert struct.unpack_from("<II", third.start.body)[1] == 1
    state_of(bed, role=pb.ROLE["gate"], index=1, phase=pb.UP)
    assert not any(m.name == "STOP" for m in drained(second))
    assert ask_gates(bed, 1, 20000) == 0
    assert told_to_stop(third) == (20000, 20000)
    second.kill()
    assert ask_gates(bed, 2) == 0
    fourth = bed.next("stead-gate").ready()
    places = [struct.unpack_from("<H", gate.start.body, pb.START_PLACE)[0] for gate in (second, third, fourth)]
    assert places[0] != places[1] != places[2], places
    state_of(bed, role=pb.ROLE["gate"], index=1, phase=pb.UP)


def test_a_gate_that_drains_has_its_time_and_no_more(bed):
    """It says what it has, and ctl hears of it; a lower DrainMaxSec= holds for it too; the end of all waits 5 s for it."""
    assert ask_gates(bed, 2) == 0
    second = bed.next("stead-gate").ready()
    state_of(bed, role=pb.ROLE["gate"], index=1, phase=pb.UP)
    assert ask_gates(bed, 1) == 0
    assert told_to_stop(second) == (30000, 3600000)
    second.send("GATE_DRAINS", struct.pack("<II", 4, 3))
    state = bed.ctl.until("PROC_STATE", lambda m: struct.unpack_from("<II", m.body, pb.STATE_CONNS) == (4, 3))
    left = struct.unpack_from("<Q", state.body, pb.STATE_CONNS + 8)[0] / 1e6 - time.time()
    assert 3590 < left < 3605, left
    assert ask_gates(bed, 1, 60000) == 0
    drain, tunnels = told_to_stop(second)
    assert drain == 30000 and 30000 < tunnels <= 60000
    bed.process.send_signal(signal.SIGTERM)
    assert told_to_stop(second) == (5000, 5000)
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
