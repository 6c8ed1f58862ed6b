"""The row `idle` of bench/run: what idle keep-alive connections cost: memory each, and p99 of active ones.

As a program (bench/idle.py PORT PATH N ADDRESS) it is one of the clients: opens N connections from ADDRESS, asks for
PATH once on each, says "open", and keeps them until its standard input ends."""

import os
import socket
import subprocess
import sys

import measure
import servers

CONNECTIONS = 15000
CLIENT_MAX = 5000  # of one client: it may have fewer descriptors than the server
ACTIVE = 64
PAIRS = 5
IDLE_BYTES_MAX = 1024
P99_MAX = 1.2


def read_answer(s):
    head, rest = b"", b""
    while b"\r\n\r\n" not in head:
        piece = s.recv(65536)
        if not piece:
            raise RuntimeError("the server ended a connection before its answer")
        head += piece
    head, rest = head.split(b"\r\n\r\n", 1)
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    left = int(fields[b"content-length"]) - len(rest)
    while left > 0:
        left -= len(s.recv(65536))
    if b" 200 " not in head.split(b"\r\n")[0] + b" " or fields.get(b"connection") == b"close":
        raise RuntimeError(f"a connection was not kept: {head!r}")


def hold(port, path, n, address):
    kept = []
    for _ in range(n):
        s = socket.socket()
        s.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: a port for each peer, not for each address
        s.bind((address, 0))
        s.connect(("127.0.0.1", port))
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        read_answer(s)
        kept.append(s)
    print("open", flush=True)
    sys.stdin.read()
    for s in kept:
        s.setblocking(False)
        try:
            if s.recv(1) == b"":
                raise RuntimeError("the server ended a connection that was to stay")
        except BlockingIOError:
            pass
    print("kept", flush=True)


class Idle:
    """The clients, in processes of their own."""

    def __init__(self, port, path, n):
        self.clients = []
        for i, at in enumerate(range(0, n, CLIENT_MAX)):
            argv = [sys.executable, os.path.abspath(__file__), str(port), path, str(min(CLIENT_MAX, n - at)), f"127.0.0.{i + 2}"]
            self.clients.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        self.expect("open")

    def expect(self, word):
        for p in self.clients:
            said = p.stdout.readline().strip()
            if said != word:
                raise RuntimeError(f"a client of idle connections said {said!r} and not {word!r}")

    def close(self):
        for p in self.clients:
            p.stdin.close()
        try:
            self.expect("kept")
        finally:
            for p in self.clients:
                p.stdout.close()
                p.wait(30)


def gate_pss(server):
    return sum(measure.pss_bytes(pid) for pid, row in measure.families(server.roots()).items() if row[2] == "stead-gate")


def slab_bytes():
    with open("/proc/meminfo", encoding="latin-1") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Slab:"))


def idle(args):
    """Pairs of runs, without and with the idle connections in turns; the memory is that of the first pair."""
    n, pairs, seconds = (200, 1, 1) if args.smoke else (CONNECTIONS, PAIRS, args.seconds)
    server = servers.Stead(os.path.join(servers.HERE, "apps", "static"), "/1k.txt", False, args.stead,
                           keys=[("Site", "IdleTimeoutSec=3600")])
    p99, bytes_each, slab_each = [], None, None
    try:
        measure.wrk(server.port, "/1k.txt", ACTIVE, 1)
        for _ in range(pairs):
            without = measure.wrk(server.port, "/1k.txt", ACTIVE, seconds)["p99_us"]
            pss, slab = gate_pss(server), slab_bytes()
            clients = Idle(server.port, "/1k.txt", n)
            if bytes_each is None:
                bytes_each, slab_each = (gate_pss(server) - pss) / n, (slab_bytes() - slab) / n
            p99.append((without, measure.wrk(server.port, "/1k.txt", ACTIVE, seconds)["p99_us"]))
            clients.close()
    finally:
        server.stop()
    ratios = [b / a for a, b in p99]
    return [f"### idle: {n} idle keep-alive connections", "",
            "| what | figure | goal |", "|---|---|---|",
            f"| the gate's memory (PSS) for each | **{bytes_each:.0f} bytes** | ≤ {IDLE_BYTES_MAX} |",
            f"| the kernel's memory (slabs) for each, both ends, and all else that ran | {slab_each / 1024:.1f} KB | |",
            f"| p99 of {ACTIVE} active connections with them / without, median of {pairs} pairs | **{measure.median(ratios):.2f}** | ≤ {P99_MAX} |",
            "| the pairs | " + ", ".join(f"{b:.0f} / {a:.0f} µs" for a, b in p99) + " | |", ""]


if __name__ == "__main__":
    hold(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
