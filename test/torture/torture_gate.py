#!/usr/bin/python3
"""torture_gate.py: a gate that serves three requests while its Nth call fails, for each N.

    torture_gate.py HARNESS TORTURE_GATE [STEP]

HARNESS plays the parent (test/unit/gate/harness.c); TORTURE_GATE is a gate linked with fault.c. A gate may end
at its start, when it says why and its status is 1; refuse a snapshot, when it tells ctl and takes the next;
not take a listening socket, when an event tells it. Once it serves it goes on: a request that met the fault is
answered rightly, answered by an error, or its connection ends; then all work again, no descriptor is left,
and the gate ends with 0. An interrupted call is never seen. STEP: only each STEPth N
(STEAD_TORTURE_STEP, which `make soak` sets to 1, goes before it).
"""

import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

FILES = {"a.txt": b"0123456789", "big.bin": bytes(range(256)) * 1024}
PATHS = ("/a.txt", "/nothing", "/big.bin")
CALLS_MAX = 2000
WAIT = 2


def ask(run, path):
    """(status, body), or None when the connection ended without a whole answer."""
    end = time.monotonic() + WAIT
    with socket.create_connection(("127.0.0.1", run.port), timeout=WAIT) as sock:
        sock.settimeout(0.1)
        got = b""
        try:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            while True:
                try:
                    piece = sock.recv(65536)
                except TimeoutError:
                    if ended(run.pid):
                        return None
                    if time.monotonic() > end:
                        raise
                    continue
                if not piece:
                    break
                got += piece
        except ConnectionError:
            return None
    head, _, body = got.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if not status or not length or len(body) != int(length.group(1)):
        return None
    return int(status.group(1)), body


def right(path, answer):
    if path == "/nothing":
        return answer is not None and answer[0] == 404
    return answer == (200, FILES[path[1:]])


def ended(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def settled(pid, want):
    """How many descriptors the gate holds, once they are no more than `want` or a second is over."""
    end = time.monotonic() + 1
    while descriptors(pid) > want and time.monotonic() < end:
        time.sleep(0.005)
    return descriptors(pid)


class Run:
    def __init__(self, harness, gate, folder, nth, kind):
        self.errors = tempfile.TemporaryFile("w+")
        self.harness = subprocess.Popen([harness, gate, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True,
                                        env={**os.environ, "STEAD_FAULT_NTH": str(nth), "STEAD_FAULT_KIND": kind})
        self.pid = self.port = 0
        self.refused_snap = True  # until ctl is told otherwise
        for line in self.harness.stdout:
            if line.startswith("pid "):
                self.pid = int(line.split()[1])
            if line.startswith("loaded "):
                self.refused_snap = line.split()[2] != "0"
            if line.startswith("port "):
                self.port = int(line.split()[1])
                break
        if not self.port:
            raise RuntimeError("the harness ended")

    def say(self, command):
        self.harness.stdin.write(command + "\n")
        self.harness.stdin.flush()
        lines = []
        while (line := self.harness.stdout.readline().rstrip("\n")) != "ok":
            if not line:
                raise RuntimeError("the harness ended")
            lines.append(line)
        return lines

    def hit(self):
        return b"fault: " in os.pread(self.errors.fileno(), 65536, 0)

    def end(self):
        """(exit status of the gate, what it said)"""
        out, _ = self.harness.communicate(timeout=20)
        self.errors.seek(0)
        said = self.errors.read()
        self.errors.close()
        status = re.search(r"exit (-?\d+)", out)
        return (int(status.group(1)) if status else None), said


def serve(run, wrong):
    """The requests once. How many were not answered rightly."""
    refused = 0
    for path in PATHS:
        if ended(run.pid):
            break
        answer = ask(run, path)
        if not right(path, answer):
            refused += 1
            if answer is not None and answer[0] < 500 and answer[0] != 404:
                wrong.append(f"{path}: a wrong answer {answer[0]}")
    return refused


def work(run, held, wrong):
    """(requests not served, descriptors held, told that it does not listen)"""
    refused = int(run.refused_snap)
    if run.refused_snap and not ended(run.pid):
        run.say("snap")
    try:
        refused += serve(run, wrong)
        came = run.hit()
        again = serve(run, wrong)
    except TimeoutError:
        if "event" in run.say("records"):
            return refused + 1, held, True
        wrong.append("no answer and no end in time")
        return refused + 1, held, False
    if came and again and not ended(run.pid):
        wrong.append("requests are not served after the fault")
    if not ended(run.pid):
        now = settled(run.pid, held or 1 << 30)
        if held and now > held:
            wrong.append(f"{now} descriptors instead of {held}")
        held = held or now
    return refused + again, held, False


def one(harness, gate, folder, nth, kind, held):
    """(did the fault come, what is wrong, how many requests were not served, descriptors held)"""
    run = Run(harness, gate, folder, nth, kind)
    wrong = []
    refused, held, deaf = work(run, held, wrong)
    died = ended(run.pid)
    status, said = run.end()
    hit = f"fault: {nth} " in said
    if "Sanitizer" in said or "runtime error" in said or "stead: bug" in said:
        wrong.append("a report")
    if not died and status != 0:
        wrong.append(f"the gate ended with {status}")
    if died and (status != 1 or "stead-gate: " not in said):
        wrong.append(f"the gate ended with {status} and did not say why")
    if (not hit or kind == "eintr") and (refused or died or deaf):
        wrong.append("the work was not done")
    if wrong:
        print(f"{kind}, call {nth}: {'; '.join(wrong)}\n{said}", flush=True)
    return hit, wrong, refused + died, held


def main(harness, gate, step="1"):
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, content in FILES.items():
            pathlib.Path(folder, name).write_bytes(content)
        for kind in ("hard", "eintr"):
            _, wrong, _, held = one(harness, gate, folder, 0, kind, 0)
            bad += bool(wrong)
            nth, tried, refusing = 1, 0, 0
            while nth < CALLS_MAX:
                hit, wrong, refused, _ = one(harness, gate, folder, nth, kind, held)
                bad += bool(wrong)
                tried += hit
                refusing += refused > 0
                if not hit:
                    break
                nth += int(os.environ.get("STEAD_TORTURE_STEP", step))
            print(f"{kind}: {tried} calls, {refusing} with a request that was not served", flush=True)
            if tried < 5 or nth >= CALLS_MAX:
                print("the fault does not come, or always")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
