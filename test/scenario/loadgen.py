"""The load of test/load/load.c: a million requests, of which each must get the answer to itself. No test framework here."""

import json
import queue
import subprocess
import threading

import program
from program import TIMEOUT

LOAD = program.BUILD / "test/load/load"


class LoadGen:
    """gets: ["WEIGHT:WORD:TARGET"]. It goes on until all requests are done and done() was called."""

    def __init__(self, port, gets, requests, sec, **options):
        words = [f"{name}={value}" for name, value in {"requests": requests, "sec": sec, **options}.items()]
        self.process = subprocess.Popen([LOAD, str(port), *words, *(f"get={get}" for get in gets)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.steps, self.asked_lines, self.faults, self.seen = queue.Queue(), queue.Queue(), [], None
        self.sec, self.reader = sec, threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "step":
                self.steps.put(int(rest))
            elif word == "asked":
                self.asked_lines.put({int(port) for port in rest.split()})
            elif word == "fault":
                kind, which, port, *more = rest.split(" ", 4)
                self.faults.append((kind, which, int(port), more))
            elif word == "end":
                self.seen = json.loads(rest)
        self.steps.put(None)

    def step(self):
        """Waits for the next part of the requests to be answered."""
        got = self.steps.get(timeout=self.sec + TIMEOUT)
        assert got is not None, f"the load ended early: {self.seen} {self.faults[:20]}"
        return got

    def asked(self):
        """Its own ports of the connections that wait for an answer just now."""
        self.process.stdin.write("asked\n")
        self.process.stdin.flush()
        return self.asked_lines.get(timeout=TIMEOUT)

    def done(self):
        """Lets it end: what it has seen."""
        self.process.stdin.close()
        self.process.wait(self.sec + TIMEOUT)
        self.reader.join()
        assert self.process.returncode == 0, f"the load ended with {self.process.returncode}: {self.seen}"
        return self.seen

    def end(self):
        """Whatever became of the test."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def told(seen):
    """new failed/answered, reused failed/answered, for people."""
    new, reused = seen["new"], seen["reused"]
    return (f"new {new['failed']}/{new['ok']}, reused {reused['failed']}/{reused['ok']}, "
            f"{(new['ok'] + reused['ok']) / max(1, seen['ms']) * 1000:.0f} a second")
