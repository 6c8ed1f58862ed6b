"""stead-resolve with this test as its parent and its gate, and a name server of the test's own."""

import os
import socket
import struct
import subprocess
import threading

import pytest

import program

HEAD = struct.Struct("<IHHQ")
HELLO, START, CHANNEL, READY, RESOLVE, RESOLVED = 1, 100, 101, 200, 410, 411
ROWS = [line for line in (program.TOP / "tbl/procs.h").read_text(encoding="utf-8").splitlines() if line.startswith("PROC(")]
ROLE = {line.split("(")[1].split(",")[0]: i + 1 for i, line in enumerate(ROWS)}

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs a resolv.conf of its own (unshare -m)")


class Channel:
    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(10)
        self.send(HELLO, struct.pack("<HHI40s", 1, 1, 0, b"test"))

    def send(self, kind, body=b"", fds=(), ident=0):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        self.sock.sendmsg([HEAD.pack(len(body), kind, 1, ident) + body], rights)

    def until(self, kind):
        while True:
            data = self.sock.recv(65536)
            assert data, "it ended"
            _, got, _, ident = HEAD.unpack_from(data)
            if got == kind:
                return ident, data[HEAD.size:]


class NameServer:
    """Answers A questions from a table: name → (addresses, ttl); what is not there is NXDOMAIN."""

    def __init__(self, address):
        self.table = {}
        self.asked = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 53))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def end(self):
        self.sock.sendto(b"", self.sock.getsockname())
        self.thread.join(10)
        self.sock.close()

    def run(self):
        while True:
            data, peer = self.sock.recvfrom(4096)
            if not data:
                return
            at, labels = 12, []
            while data[at]:
                labels.append(data[at + 1:at + 1 + data[at]].decode())
                at += 1 + data[at]
            name, (kind,) = ".".join(labels), struct.unpack_from(">H", data, at + 1)
            self.asked.append((name, kind))
            if name == "silent.test":
                continue
            found, ttl = self.table.get(name, (None, 0))
            addresses = found or [] if kind == 1 else []
            answers = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, ttl, 4) + socket.inet_aton(a) for a in addresses)
            head = data[:2] + struct.pack(">HHHHH", 0x8180 | (0 if found is not None else 3), 1, len(addresses), 0, 0)
            self.sock.sendto(head + data[12:at + 5] + answers, peer)


@pytest.fixture
def bed(tmp_path):
    server = NameServer("127.1.2.3")
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.1.2.3\n")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    exe = program.BUILD / "src/resolve/stead-resolve"
    process = subprocess.Popen(["unshare", "-m", "sh", "-c", f"mount --bind {conf} /etc/resolv.conf && exec {exe}"],
                               preexec_fn=lambda: os.dup2(theirs.fileno(), 3), pass_fds=[3])
    theirs.close()
    parent = Channel(ours)
    parent.send(START, struct.pack("<IIQIIII", ROLE["RESOLVE"], 0, 7, 1, 0, 0, 0))
    parent.until(READY)
    gate, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent.send(CHANNEL, struct.pack("<IIQ", ROLE["GATE"], 0, 9), [far.fileno()])
    far.close()
    channel = Channel(gate)
    channel.until(HELLO)
    yield server, channel, process
    gate.close()
    ours.close()
    assert process.wait(10) == 0
    server.end()


def look_up(channel, name, ident=1):
    channel.send(RESOLVE, struct.pack("<II", 0, 0) + name.encode() + b"\0", ident=ident)
    got, body = channel.until(RESOLVED)
    assert got == ident
    err, ttl, n, _ = struct.unpack_from("<IIII", body)
    addresses = [socket.inet_ntop(socket.AF_INET6, body[16 + 16 * i:32 + 16 * i]) for i in range(n)]
    assert body[16 + 16 * n:] == name.encode() + b"\0"
    return err, ttl, addresses


def test_names(bed):
    server, channel, process = bed
    server.table["one.test"] = (["10.0.0.1"], 30)
    server.table["two.test"] = (["10.0.0.2", "10.0.0.3"], 100000)
    server.table["short.test"] = (["10.0.0.4"], 0)
    assert look_up(channel, "one.test") == (0, 30000, ["::ffff:10.0.0.1"])
    err, ttl, addresses = look_up(channel, "two.test")
    assert (err, ttl, sorted(addresses)) == (0, 300000, ["::ffff:10.0.0.2", "::ffff:10.0.0.3"])
    assert look_up(channel, "short.test")[1] == 1000
    assert look_up(channel, "none.test")[0] == 2
    assert "::ffff:127.0.0.1" in look_up(channel, "localhost")[2]
    with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as f:
        print("PSS", next(line for line in f if line.startswith("Pss:")))


def test_one_silent_name_stops_nothing(bed):
    server, channel, _ = bed
    server.table["one.test"] = (["10.0.0.1"], 30)
    channel.send(RESOLVE, struct.pack("<II", 0, 0) + b"silent.test\0", ident=5)
    for i in range(20):
        assert look_up(channel, "one.test", ident=100 + i)[0] == 0


def test_what_is_no_name(bed):
    server, channel, _ = bed
    server.table["one.test"] = (["10.0.0.1"], 30)
    for bad in (b"", b"\0", b"x" * 300 + b"\0", b"a\0b\0"):
        channel.send(RESOLVE, struct.pack("<II", 0, 0) + bad)
    assert look_up(channel, "one.test")[0] == 0
