"""A real gate that a stand-in for the parent drives (test/unit/gate/harness.c), and a client that sees bytes."""

import json
import re
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import program

GATE = program.BUILD / "src/gate/stead-gate"
HARNESS = program.BUILD / "test/unit/gate/gate-harness"
FILES = {"index.html": b"<h1>hello</h1>\n", "a.txt": b"0123456789", "empty": b"", "sub/index.html": b"sub\n",
         "404.html": b"<p>own page</p>\n", "big.bin": bytes(range(256)) * 4096, ".env": b"SECRET",
         ".git/config": b"SECRET", "stead.conf": b"SECRET", ".well-known/x": b"known", "a b.txt": b"blank",
         "sp%cial.css": b"p{}"}
HEAD_MAX = 32 * 1024


def described(description):
    """The harness's argument for a snapshot that JSON describes."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        json.dump(description, file)
    return "@" + file.name


class Gate:
    """folder: a folder to serve, or described(…)."""

    def __init__(self, folder, **limits):
        options = [f"{name}={value}" for name, value in limits.items()]
        self.process = subprocess.Popen([HARNESS, GATE, folder, *options], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.folder = folder
        self.seen, self.told = [], []
        line = ""
        while not line.startswith("port "):
            line = self.process.stdout.readline()
            assert line, "the harness ended"
            if line.startswith("pid "):
                self.pid = int(line.split()[1])
        self.port = int(line.split()[1])

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        lines = []
        while True:
            line = self.process.stdout.readline().rstrip("\n")
            assert line or self.process.poll() is None, "the harness ended"
            if line == "ok":
                return lines
            lines.append(line)

    def snap(self, description):
        """Another snapshot: a description as in test/unit/snap/json_snap.h."""
        return self.say("snap " + described(description))

    def records(self, n=None):
        """Access records; with n: waits until so many are there."""
        end = time.monotonic() + 5
        while True:
            lines = self.say("records")
            self.seen += [json.loads(line) for line in lines if line.startswith("{")]
            self.told += [json.loads(line[6:]) for line in lines if line.startswith("event ")]
            if n is None or len(self.seen) >= n or time.monotonic() > end:
                seen, self.seen = self.seen, []
                return seen
            time.sleep(0.02)

    def events(self, name):
        """What the gate told of that kind until now, after its last record was asked for."""
        self.seen += self.records(0)
        return [event for event in self.told if event["event"] == name]

    def counters(self):
        return {name: int(value) for name, value in (line.split() for line in self.say("counters"))}

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=8)

    def end(self):
        out, _ = self.process.communicate(timeout=20)
        return int(re.search(r"exit (-?\d+)", out).group(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    top = tmp_path_factory.mktemp("http")
    for name, content in FILES.items():
        file = top / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return top


@pytest.fixture(scope="module")
def gate(folder):
    it = Gate(folder)
    yield it
    assert it.end() == 0


@pytest.fixture
def fresh(folder):
    made = []

    def make(**limits):
        made.append(Gate(folder, **limits))
        return made[-1]
    yield make
    for it in made:
        if it.process.poll() is None:
            assert it.end() == 0


class Answer:
    def __init__(self, reader, method="GET"):
        line = reader.readline()
        if not line:
            raise EOFError
        version, status, self.reason = line.decode().rstrip("\r\n").split(" ", 2)
        assert version == "HTTP/1.1" and line.endswith(b"\r\n")
        self.status = int(status)
        self.fields = {}
        while (line := reader.readline()) != b"\r\n":
            assert line.endswith(b"\r\n")
            name, value = line.decode().rstrip("\r\n").split(": ", 1)
            assert name.lower() not in self.fields
            self.fields[name.lower()] = value
        self.body = b""
        if method == "HEAD" or self.status in (204, 304) or self.status < 200:
            return
        if "content-length" in self.fields:
            self.body = reader.read(int(self.fields["content-length"]))
            assert len(self.body) == int(self.fields["content-length"])
        elif self.fields.get("transfer-encoding") == "chunked":
            while size := int(reader.readline(), 16):
                self.body += reader.read(size)
                assert reader.readline() == b"\r\n"
            assert reader.readline() == b"\r\n"
        else:
            self.body = reader.read()


def request(target="/", method="GET", version="HTTP/1.1", host="localhost", **fields):
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


PROBE = request("/a.txt")


def is_closed(sock, reader):
    """Does the gate end the connection? A probe on a kept one is answered."""
    try:
        sock.sendall(PROBE)
        return reader.read(1) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True


def talk(gate, data, answers=1, method="GET"):
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(data)
        got = [Answer(reader, method) for _ in range(answers)]
        return got, is_closed(sock, reader)


H = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n"
POST = b"POST / HTTP/1.1\r\n" + H
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
