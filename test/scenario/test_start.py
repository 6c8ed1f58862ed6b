"""One of stead's own processes does not come up: `stead up` ends soon, and says which, at which step, why, what to do."""

import os
import socket
import struct
import tempfile
import time

import pytest

from client import ask
from program import wait_until
from test_gates import APP, break_crash, break_exit, break_missing, break_mode, own_build
from test_snapshot import channel_to

__all__ = ["own_build"]  # a fixture
LISTENER = 102
NAMES = {"gate": "Gate 0 (stead-gate)", "log": "The log process (stead-log)",
         "ctl": "the control process (stead-ctl) cannot be started"}


def break_silent(program):
    """It runs and says nothing."""
    program.unlink()
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)


@pytest.mark.promise
@pytest.mark.parametrize("role", ["gate", "log", "ctl"])
@pytest.mark.parametrize("damage, said, within", [
    (break_missing, ['"exec" failed: No such file or directory', "install stead again"], 3),
    (break_mode, ['"exec" failed: Permission denied', "may be executed|may not be executed"], 3),
    (break_exit, ["ended with exit status 3", "boot.log", "in a row"], 3),
    (break_crash, ["was ended by signal 11 (Segmentation fault)", "boot.log", "in a row"], 3),
    (break_silent, ["runs, and did not say that it is ready within 5 s", "boot.log"], 8)])
def test_one_that_cannot_start(stead, app_folder, own_build, promise, role, damage, said, within):
    damage(own_build / f"stead-{role}")
    one = stead(app_folder({"app.py": APP}))
    began = time.monotonic()
    text = one.fails(1)
    seconds = time.monotonic() - began
    last = text[text.rindex("stead: "):]
    assert NAMES[role] in last and "what to do: " in last, text
    for words in said:
        assert any(w in last for w in words.split("|")), text
    assert seconds < within
    one.gone()
    promise(f"a {role} that cannot start ({damage.__name__[6:]})", f"told after {seconds:.1f} s")


def test_a_log_that_cannot_start_later(stead, app_folder, own_build):
    """A site that is live serves and reloads without it, and it comes back when it can."""
    one = stead(app_folder({"app.py": APP})).up()
    log = own_build / "stead-log"
    real = log.resolve()
    break_missing(log)
    one.kill("log")
    wait_until("no log", lambda: not one.pids("log"))
    time.sleep(0.5)
    one.cli("reload")
    assert ask(one).status == 200
    os.symlink(real, log)
    wait_until("a log", lambda: one.pids("log"))


def test_a_control_process_that_cannot_start_later(stead, app_folder, own_build):
    """The same: only the first one's failure ends the whole."""
    one = stead(app_folder({"app.py": APP})).up()
    ctl = own_build / "stead-ctl"
    real = ctl.resolve()
    break_missing(ctl)
    one.kill("ctl")
    time.sleep(1.5)
    assert one.process.poll() is None and ask(one).status == 200
    os.symlink(real, ctl)
    wait_until("a control process", lambda: one.pids("ctl"))
    one.cli("status")


@pytest.mark.root
def test_a_gate_that_cannot_accept(stead, app_folder):
    """It does not live on deaf: it says so, ends, and the next one serves. (A file is no socket, and no epoll takes it.)"""
    one = stead(app_folder({"app.py": APP})).up()
    gate = one.pid("gate")
    address = b"127.0.0.1:1\0"
    payload = struct.pack("<II", 9, 0) + address
    with tempfile.TemporaryFile() as file, channel_to(one.pid("parent"), gate) as channel:
        socket.send_fds(channel, [struct.pack("<IHHQ", len(payload), LISTENER, 1, 0) + payload], [file.fileno()])
    wait_until("another gate", lambda: one.pids("gate") not in ([], [gate]))
    wait_until("service", lambda: ask(one).status == 200)
    def told():
        return [r for r in one.logs() if r.get("event") == "BIND_FAILED" and r["address"] == "127.0.0.1:1"]
    record, = wait_until("a record", told)
    assert "not permitted" in record["error"]
    assert any(r.get("event") == "PROC_DIED" and r["role"] == "gate" and r["pid"] == str(gate) for r in one.logs())
    assert "cannot accept connections on 127.0.0.1:1: Operation not permitted" in (one.state / "boot.log").read_text()
