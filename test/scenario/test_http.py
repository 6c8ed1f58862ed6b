"""HTTP/1.1 as bytes: what the gate takes, what it refuses, and what it does with the connection then.

A real gate, with test/unit/gate/harness.c as its parent. Each row of BAD is a request that is not one; "accepted" rows
stand in GOOD with the reason why they are taken.
"""

import json
import re
import socket
import subprocess
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


class Gate:
    def __init__(self, folder, **limits):
        options = [f"{name}={value}" for name, value in limits.items()]
        self.process = subprocess.Popen([HARNESS, GATE, folder, *options], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.folder = folder
        self.seen = []
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

    def records(self, n=None):
        """Access records; with n: waits until so many are there."""
        end = time.monotonic() + 5
        while True:
            self.seen += [json.loads(line) for line in self.say("records") if line.startswith("{")]
            if n is None or len(self.seen) >= n or time.monotonic() > end:
                seen, self.seen = self.seen, []
                return seen
            time.sleep(0.02)

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

# name, bytes, status; every one of these ends the connection
BAD = [
    # the line
    ("bare LF after the line", b"GET / HTTP/1.1\n" + H + b"\r\n", 400),
    ("bare LF after a field", GET + b"Host: localhost\n\r\n", 400),
    ("bare LF at the end", GET + H + b"\n", 400),
    ("only LF", b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
    ("bare CR in the line", b"GET /\r HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("bare CR ends the line", b"GET / HTTP/1.1\rHost: localhost\r\n\r\n", 400),
    ("bare CR in a value", GET + H + b"X: a\rb\r\n\r\n", 400),
    ("bare CR ends a field", GET + b"Host: localhost\rX: y\r\n\r\n", 400),
    ("no version", b"GET /\r\n\r\n", 400),
    ("HTTP/0.9 with a blank", b"GET / \r\n\r\n", 400),
    ("two blanks before the target", b"GET  / HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("two blanks before the version", b"GET /  HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("tab instead of a blank", b"GET\t/ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("blank before the method", b" GET / HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("blank behind the version", b"GET / HTTP/1.1 \r\n" + H + b"\r\n", 400),
    ("lower-case version", b"GET / http/1.1\r\n" + H + b"\r\n", 400),
    ("version without a minor", b"GET / HTTP/1\r\n" + H + b"\r\n", 400),
    ("version with two digits", b"GET / HTTP/1.10\r\n" + H + b"\r\n", 400),
    ("version with a comma", b"GET / HTTP/1,1\r\n" + H + b"\r\n", 400),
    ("another protocol", b"GET / ICY/1.1\r\n" + H + b"\r\n", 400),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\n" + H + b"\r\n", 505),
    ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("HTTP/0.9", b"GET / HTTP/0.9\r\n" + H + b"\r\n", 505),
    ("HTTP/3.0", b"GET / HTTP/3.0\r\n" + H + b"\r\n", 505),
    ("no method", b"/ HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("method with a colon", b"GE:T / HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("method with a bracket", b"GET( / HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("method with a control character", b"G\x01T / HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("TLS on the plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("NUL first", b"\0GET / HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("two empty lines first", b"\r\n\r\n" + GET + H + b"\r\n", 400),
    # the target
    ("fragment", b"GET /#x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("blank in the target", b"GET /a b HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("control character in the target", b"GET /\x01 HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("DEL in the target", b"GET /\x7f HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("byte above ASCII in the target", b"GET /\xe4 HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("NUL in the target", b"GET /\0 HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("quote in the target", b'GET /"x" HTTP/1.1\r\n' + H + b"\r\n", 400),
    ("no slash", b"GET index.html HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("asterisk with GET", b"GET * HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("asterisk and more", b"OPTIONS *x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("encoded NUL", request("/%00"), 400),
    ("encoded newline", request("/%0a"), 400),
    ("cut escape", request("/%2"), 400),
    ("wrong escape", request("/%zz"), 400),
    ("backslash in the path", request("/..\\x"), 400),
    ("above the root", request("/../etc/passwd"), 400),
    ("above the root, encoded", request("/%2e%2e/etc/passwd"), 400),
    ("dots between encoded slashes", request("/x%2f..%2fy"), 400),
    ("dots and an encoded backslash", request("/x%5c..%5cy"), 400),
    ("another scheme", request("ftp://localhost/"), 400),
    ("absolute form without a host", request("http:///x"), 400),
    ("absolute form with user", request("http://user@localhost/"), 400),
    ("authority form with GET", request("localhost:80"), 400),
    ("CONNECT without a port", request("localhost", "CONNECT"), 400),
    ("a line too long", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414),
    ("1 MB of line", b"GET /" + b"a" * 1000000, 414),
    # fields
    ("blank before the colon", GET + H + b"X : y\r\n\r\n", 400),
    ("tab before the colon", GET + H + b"X\t: y\r\n\r\n", 400),
    ("folded line", GET + H + b"X: a\r\n b\r\n\r\n", 400),
    ("folded line with a tab", GET + H + b"X: a\r\n\tb\r\n\r\n", 400),
    ("folded first field", GET + b" " + H + b"\r\n", 400),
    ("empty name", GET + H + b": y\r\n\r\n", 400),
    ("no colon", GET + H + b"X y\r\n\r\n", 400),
    ("name only", GET + H + b"X\r\n\r\n", 400),
    ("quoted name", GET + H + b'"X": y\r\n\r\n', 400),
    ("name with brackets", GET + H + b"X[]: y\r\n\r\n", 400),
    ("name above ASCII", GET + H + b"\xc3\xa4: y\r\n\r\n", 400),
    ("NUL in a name", GET + H + b"X\0: y\r\n\r\n", 400),
    ("NUL in a value", GET + H + b"X: a\0b\r\n\r\n", 400),
    ("control character in a value", GET + H + b"X: a\x01b\r\n\r\n", 400),
    ("escape in a value", GET + H + b"X: a\x1b[2Jb\r\n\r\n", 400),
    ("DEL in a value", GET + H + b"X: a\x7fb\r\n\r\n", 400),
    ("too large a head", GET + H + b"X: " + b"a" * HEAD_MAX + b"\r\n\r\n", 431),
    ("too many fields", GET + H + b"X: y\r\n" * 200 + b"\r\n", 431),
    # Host (RFC 9112 section 3.2)
    ("no Host", GET + b"\r\n", 400),
    ("two Hosts", GET + H + H + b"\r\n", 400),
    ("two different Hosts", GET + H + b"Host: other\r\n\r\n", 400),
    ("two Hosts with HTTP/1.0", b"GET / HTTP/1.0\r\n" + H + H + b"\r\n", 400),
    ("empty Host", GET + b"Host:\r\n\r\n", 400),
    ("Host with a path", GET + b"Host: localhost/x\r\n\r\n", 400),
    ("Host with user", GET + b"Host: user@localhost\r\n\r\n", 400),
    ("Host with a scheme", GET + b"Host: http://localhost\r\n\r\n", 400),
    ("Host with a blank", GET + b"Host: local host\r\n\r\n", 400),
    ("Host as a list", GET + b"Host: a, b\r\n\r\n", 400),
    ("Host with a wrong port", GET + b"Host: localhost:x\r\n\r\n", 400),
    ("Host with port 0", GET + b"Host: localhost:0\r\n\r\n", 400),
    ("Host with a port too high", GET + b"Host: localhost:65536\r\n\r\n", 400),
    ("Host with an empty port", GET + b"Host: localhost:\r\n\r\n", 400),
    ("Host with two ports", GET + b"Host: localhost:80:80\r\n\r\n", 400),
    ("Host with an open bracket", GET + b"Host: [::1\r\n\r\n", 400),
    ("Host with an escape", GET + b"Host: loc%61lhost\r\n\r\n", 400),
    ("Host with empty labels", GET + b"Host: a..b\r\n\r\n", 400),
    ("Host of a dot", GET + b"Host: .\r\n\r\n", 400),
    ("bad Host beside an absolute form", request("http://localhost/", host="a b"), 400),
    ("no Host beside an absolute form", request("http://localhost/", host=None), 400),
    # how long is the body?
    ("both lengths", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("both lengths, other order", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("two equal lengths", POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    ("two different lengths", POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
    ("length as a list", POST + b"Content-Length: 1, 1\r\n\r\nx", 400),
    ("length with a plus", POST + b"Content-Length: +1\r\n\r\nx", 400),
    ("negative length", POST + b"Content-Length: -1\r\n\r\n", 400),
    ("hexadecimal length", POST + b"Content-Length: 0x1\r\n\r\nx", 400),
    ("empty length", POST + b"Content-Length:\r\n\r\n", 400),
    ("length with a blank inside", POST + b"Content-Length: 1 0\r\n\r\n", 400),
    ("length with a point", POST + b"Content-Length: 1.0\r\n\r\nx", 400),
    ("length with an exponent", POST + b"Content-Length: 1e1\r\n\r\nx", 400),
    ("length over 64 bits", POST + b"Content-Length: 18446744073709551617\r\n\r\nx", 400),
    ("length over 63 bits", POST + b"Content-Length: 9223372036854775808\r\n\r\nx", 400),
    ("length in other digits", POST + "Content-Length: ١\r\n\r\nx".encode(), 400),
    ("length underscored", POST + b"Content-Length: 1_0\r\n\r\nx", 400),
    ("unknown coding", POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    ("identity", POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    ("coding before chunked", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("nearly chunked", POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    ("chunked with a parameter", POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 501),
    ("quoted chunked", POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    ("chunked and a control character", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked twice", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked is not last", POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    ("two codings fields", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("two different codings", POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("empty coding", POST + b"Transfer-Encoding:\r\n\r\n", 501),
    ("chunked with HTTP/1.0", b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("larger than the site allows", POST + b"Content-Length: 2000000\r\n\r\n", 413),
    # the rest
    ("unknown expectation", POST + b"Expect: miracles\r\nContent-Length: 1\r\n\r\nx", 417),
    ("Connection is no list", GET + H + b"Connection: a b\r\n\r\n", 400),
    ("TRACE", request("/", "TRACE"), 405),
    ("CONNECT", request("localhost:443", "CONNECT"), 405),
]

# What comes behind a head that is good: to the app, so that somebody wants the body. No worker is there, so a body that is
# whole is answered with 503; one that is broken with 400.
BAD_CHUNKS = [
    ("sign", b"+1\r\nx\r\n0\r\n\r\n"), ("negative", b"-1\r\nx\r\n0\r\n\r\n"), ("0x", b"0x1\r\nx\r\n0\r\n\r\n"),
    ("blank before", b" 1\r\nx\r\n0\r\n\r\n"), ("blank behind", b"1 \r\nx\r\n0\r\n\r\n"),
    ("no size", b"\r\nx\r\n0\r\n\r\n"), ("no digit", b"g\r\nx\r\n0\r\n\r\n"),
    ("too many digits", b"00000000000000001\r\nx\r\n0\r\n\r\n"), ("overflow", b"ffffffffffffffff\r\nx"),
    ("overflow to small", b"10000000000000001\r\nx\r\n0\r\n\r\n"), ("bare LF", b"1\nx\n0\n\n"),
    ("LF behind the data", b"1\r\nx\n0\r\n\r\n"), ("CR only", b"1\rx\r\n0\r\n\r\n"),
    ("data too long", b"1\r\nxy\r\n0\r\n\r\n"), ("data too short", b"3\r\nxy\r\n0\r\n\r\n"),
    ("no end of data", b"1\r\nx0\r\n\r\n"), ("LF in an extension", b"1;a\nb\r\nx\r\n0\r\n\r\n"),
    ("CR in an extension", b"1;a\rb\r\nx\r\n0\r\n\r\n"), ("NUL in an extension", b"1;a\0\r\nx\r\n0\r\n\r\n"),
    ("long extension", b"1;" + b"a" * 300 + b"\r\nx\r\n0\r\n\r\n"),
    ("many extensions", (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 40 + b"0\r\n\r\n"),
    ("trailer without a colon", b"0\r\nX\r\n\r\n"), ("trailer with a blank", b"0\r\nX : y\r\n\r\n"),
    ("folded trailer", b"0\r\nX: y\r\n z\r\n\r\n"), ("trailer with NUL", b"0\r\nX: \0\r\n\r\n"),
    ("trailer with LF", b"0\r\nX: y\n\r\n"), ("long trailer", b"0\r\nX: " + b"y" * 9000 + b"\r\n\r\n"),
    ("last chunk with LF", b"0\n\r\n"), ("end with LF", b"0\r\n\n"),
]

# name, bytes, status, closed, and why it is accepted
GOOD = [
    ("one empty line first", b"\r\n" + request(), 200, False, "RFC 9112 section 2.2: SHOULD ignore"),
    ("HTTP/1.2", request(version="HTTP/1.2"), 200, False, "RFC 9110 section 2.5: as the highest known minor"),
    ("obs-text in a value", request(x="\xff\xe4"), 200, False, "RFC 9110 section 5.5: opaque data"),
    ("tabs around a value", GET + H + b"X:\ty\t\r\n\r\n", 200, False, "OWS"),
    ("empty value", GET + H + b"X:\r\n\r\n", 200, False, "RFC 9110 section 5.5"),
    ("bars in the query", request("/?a={|}^`\\"), 200, False, "browsers send them (WHATWG URL)"),
    ("odd method", request("/", "FROB!"), 405, False, "a token"),
    ("lower-case method", request("/", "get"), 405, False, "a token, and another method than GET"),
    ("zeroes before a length", POST + b"Content-Length: 0001\r\n\r\nx", 405, False, "1*DIGIT"),
    ("blanks around a length", POST + b"Content-Length:  1 \r\n\r\nx", 405, False, "OWS"),
    ("CHUNKED", POST + b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", 405, False, "case-insensitive"),
    ("extension of a chunk", CHUNKED + b"1;a=b\r\nx\r\n0;c\r\n\r\n", 405, False, "RFC 9112 section 7.1.1"),
    ("trailer", CHUNKED + b"1\r\nx\r\n0\r\nX: y\r\n\r\n", 405, False, "dropped"),
    ("size in capitals", CHUNKED + b"A\r\n0123456789\r\n00\r\n\r\n", 405, False, "HEXDIG"),
    ("a body with GET", GET + H + b"Content-Length: 1\r\n\r\nx", 200, False, "RFC 9110 section 9.3.1"),
    ("a method with encoded dots", request("/sub/%2e%2e/a.txt"), 200, False, "RFC 3986 section 6.2.2"),
    ("dot segments", request("/sub/./../a.txt"), 200, False, "RFC 3986 section 5.2.4"),
    ("escapes", request("/%61.txt"), 200, False, "RFC 3986 section 2.1"),
    ("host in capitals, with port", request(host="LocalHost:8080"), 200, False, "RFC 9110 section 4.2.3"),
    ("host with a dot", request(host="localhost."), 200, False, "a full name"),
    ("address as host", request(host="127.0.0.1"), 200, False, "IPv4address"),
    ("IPv6 host", request(host="[::1]:80"), 200, False, "IP-literal"),
    ("absolute form", request("http://localhost/a.txt", host="other"), 200, False, "RFC 9112 section 3.2.2"),
    ("absolute form, no path", request("HTTP://localhost"), 200, False, "the empty path is /"),
    ("1.0 without Host", request(version="HTTP/1.0", host=None), 200, True, "RFC 9112 section 3.2"),
    ("1.0", request(version="HTTP/1.0"), 200, True, "closes by itself"),
    ("1.0 keep-alive", request(version="HTTP/1.0", Connection="Keep-Alive"), 200, False, "RFC 9112 C.2.2"),
    ("1.0 ignores Expect", request(version="HTTP/1.0", Expect="miracles"), 200, True, "RFC 9110 section 10.1.1"),
    ("close", request(Connection="close"), 200, True, "asked for"),
    ("close among others", request(Connection="x-a, Close ,te"), 200, True, "a list"),
    ("expectation met at once", GET + H + b"Expect: 100-continue\r\n\r\n", 200, False, "no body to wait for"),
]


@pytest.mark.parametrize("data,status", [pytest.param(*row[1:], id=row[0]) for row in BAD])
def test_bad(gate, data, status):
    gate.records()
    (answer,), closed = talk(gate, data, method=data.split(b" ")[0].decode("latin-1"))
    assert answer.status == status
    assert answer.fields.get("connection") == "close" or status == 405
    assert closed or data.startswith(b"TRACE")
    record, = gate.records(1)[:1]
    assert record["status"] == status and record["close"] != "done"


def test_bad_in_pieces(gate):
    """A verdict does not hang on how the bytes are cut."""
    for name, data, status in BAD:
        if len(data) > 1000:
            continue
        with gate.connect() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for at in range(0, len(data), 7):
                    sock.sendall(data[at:at + 7])
                    time.sleep(0.0005)
            except (ConnectionResetError, BrokenPipeError):
                pass
            assert Answer(sock.makefile("rb")).status == status, name


def test_there_are_many():
    assert len(BAD) + len(BAD_CHUNKS) >= 74


@pytest.mark.parametrize("data", [pytest.param(row[1], id=row[0]) for row in BAD_CHUNKS])
def test_bad_chunk(gate, data):
    head = b"POST /app HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n"
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(head + data)
        answer = Answer(reader)
        # The app is not there: 503 may come before the body is looked at. Either way nothing behind is a request.
        assert answer.status in (400, 503)
        assert is_closed(sock, reader)
    (answer,), closed = talk(gate, CHUNKED + data)
    assert answer.status in (400, 405) and closed


@pytest.mark.parametrize("data,status,closed", [pytest.param(*row[1:4], id=row[0]) for row in GOOD])
def test_good(gate, data, status, closed):
    (answer,), was_closed = talk(gate, data)
    assert (answer.status, was_closed) == (status, closed)


def test_kept_alive(gate):
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        for _ in range(50):
            sock.sendall(request("/a.txt"))
            answer = Answer(reader)
            assert answer.status == 200 and answer.body == b"0123456789"
            assert answer.fields["server"] == "stead" and answer.fields["date"].endswith(" GMT")
            assert "connection" not in answer.fields


def test_pipelined(gate):
    targets = ["/a.txt", "/none", "/sub/", "/big.bin", "/", "/empty"] * 20
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        sender = threading.Thread(target=sock.sendall, args=(b"".join(map(request, targets)),))
        sender.start()
        for target in targets:
            answer = Answer(reader)
            assert answer.status == (404 if target == "/none" else 200)
            assert answer.body == FILES.get({"/none": "404.html", "/": "index.html", "/sub/": "sub/index.html"}.get(
                target, target[1:]))
        sender.join()


def test_byte_by_byte(gate):
    with gate.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request("/a.txt", x="y"):
            sock.sendall(bytes([byte]))
            time.sleep(0.0005)
        assert Answer(sock.makefile("rb")).body == b"0123456789"


def test_head(gate):
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        for target, length in (("/a.txt", "10"), ("/big.bin", str(1 << 20)), ("/none", str(len(FILES["404.html"])))):
            sock.sendall(request(target, "HEAD"))
            answer = Answer(reader, "HEAD")
            assert answer.fields["content-length"] == length
        assert not is_closed(sock, reader)


def test_half_close(gate):
    with gate.connect() as sock:
        sock.sendall(request("/big.bin"))
        sock.shutdown(socket.SHUT_WR)
        reader = sock.makefile("rb")
        assert Answer(reader).body == FILES["big.bin"]
        assert reader.read() == b""


def test_options(gate):
    (answer,), closed = talk(gate, request("*", "OPTIONS"))
    assert answer.status == 204 and "GET" in answer.fields["allow"] and not closed


def test_continue(gate):
    """100 (Continue) only when somebody wants the body; a final answer instead of it ends the connection."""
    (answer,), closed = talk(gate, request("/", "POST", Expect="100-continue", Content_Length=5))
    assert answer.status == 405 and closed
    (answer,), closed = talk(gate, request("/app", "POST", Expect="100-continue", Content_Length=2000000))
    assert answer.status == 413 and closed


def test_body_left_unread(gate):
    """A small body that nobody wants is read and dropped; a large one ends the connection, and the answer arrives."""
    (answer,), closed = talk(gate, request("/", "POST", Content_Length=5000) + b"x" * 5000)
    assert answer.status == 405 and not closed
    (answer,), closed = talk(gate, request("/", "POST", Content_Length=900000) + b"x" * 900000)
    assert answer.status == 405 and answer.fields["connection"] == "close" and closed
    chunks = (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 50 + b"0\r\n\r\n"
    (answer,), closed = talk(gate, CHUNKED + chunks)
    assert answer.status == 405 and closed


# Static files


def get(gate, target, method="GET", **fields):
    (answer,), _ = talk(gate, request(target, method, **fields), method=method)
    return answer


@pytest.mark.parametrize("target,status,body", [
    ("/", 200, FILES["index.html"]), ("/index.html", 200, FILES["index.html"]), ("/sub/", 200, b"sub\n"),
    ("/a.txt?x=1", 200, b"0123456789"), ("/a%20b.txt", 200, b"blank"), ("/sp%25cial.css", 200, b"p{}"),
    ("/.well-known/x", 200, b"known"), ("/empty", 200, b""), ("/pre/a.txt", 200, b"0123456789"),
    ("//a.txt", 200, b"0123456789"), ("/.env", 404, None), ("/.git/config", 404, None), ("/stead.conf", 404, None),
    ("/sub/.env", 404, None), ("/%2eenv", 404, None), ("/none", 404, None), ("/a.txt/", 404, None),
    ("/a.txt/x", 404, None), ("/prea.txt", 404, None), ("/sub/../.env", 404, None), ("/" + "a" * 300, 404, None)])
def test_files(gate, target, status, body):
    answer = get(gate, target)
    assert answer.status == status
    assert answer.body == (body if body is not None else FILES["404.html"])


def test_types(gate):
    assert get(gate, "/").fields["content-type"] == "text/html; charset=utf-8"
    assert get(gate, "/sp%25cial.css").fields["content-type"] == "text/css; charset=utf-8"
    assert get(gate, "/big.bin").fields["content-type"] == "application/octet-stream"


def test_folder_is_redirected(gate):
    answer = get(gate, "/sub?x=1")
    assert answer.status == 301 and answer.fields["location"] == "/sub/?x=1"
    assert get(gate, "//sub").fields["location"] == "/sub/"
    assert get(gate, "/pre").fields["location"] == "/pre/"


def test_links_do_not_lead_out(gate):
    (gate.folder / "out").symlink_to("/etc/passwd")
    (gate.folder / "up").symlink_to("..")
    (gate.folder / "in").symlink_to("a.txt")
    assert get(gate, "/out").status == 404
    assert get(gate, "/up/etc").status == 404
    assert get(gate, "/in").body == b"0123456789"


def test_other_methods(gate):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = get(gate, "/a.txt", method)
        assert answer.status == 405 and answer.fields["allow"] == "GET, HEAD"


def test_conditions(gate):
    first = get(gate, "/a.txt")
    tag, date = first.fields["etag"], first.fields["last-modified"]
    assert re.fullmatch(r'"[0-9a-f-]+"', tag)
    for fields, status in (
            ({"If_None_Match": tag}, 304), ({"If_None_Match": "W/" + tag}, 304), ({"If_None_Match": "*"}, 304),
            ({"If_None_Match": f'"x", {tag}'}, 304), ({"If_None_Match": '"x"'}, 200),
            ({"If_Modified_Since": date}, 304), ({"If_Modified_Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 200),
            ({"If_Modified_Since": "Sunday, 06-Nov-94 08:49:37 GMT"}, 200),
            ({"If_Modified_Since": "Sun Nov  6 08:49:37 1994"}, 200), ({"If_Modified_Since": "nonsense"}, 200),
            ({"If_None_Match": '"x"', "If_Modified_Since": date}, 200),
            ({"If_Match": tag}, 200), ({"If_Match": '"x"'}, 412), ({"If_Match": "*"}, 200), ({"If_Match": "W/" + tag}, 412),
            ({"If_Unmodified_Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 412), ({"If_Unmodified_Since": date}, 200)):
        answer = get(gate, "/a.txt", **fields)
        assert answer.status == status, fields
        if status == 304:
            assert answer.fields["etag"] == tag and answer.body == b""


def test_ranges(gate):
    for field, status, content in (
            ("bytes=0-0", 206, b"0"), ("bytes=2-4", 206, b"234"), ("bytes=8-", 206, b"89"), ("bytes=-3", 206, b"789"),
            ("bytes=-99", 206, b"0123456789"), ("bytes=5-99", 206, b"56789"), ("bytes=10-", 416, None),
            ("bytes=-0", 416, None), ("bytes=99999999999999999999-", 416, None), ("bytes=4-2", 200, b"0123456789"),
            ("lines=1-2", 200, b"0123456789"), ("bytes=", 200, b"0123456789"), ("bytes=a-b", 200, b"0123456789"),
            ("bytes=0-9,0-9", 200, b"0123456789"), ("bytes=99-,0-1", 206, b"01"),
            ("bytes=" + ",".join(["0-0"] * 17), 200, b"0123456789")):
        answer = get(gate, "/a.txt", Range=field)
        assert answer.status == status, field
        if content is not None:
            assert answer.body == content, field
        if status == 206:
            assert answer.fields["content-range"].endswith("/10")
        if status == 416:
            assert answer.fields["content-range"] == "bytes */10"
    assert get(gate, "/a.txt", "HEAD", Range="bytes=0-0").status == 200
    assert get(gate, "/big.bin", Range="bytes=1000-999999").body == FILES["big.bin"][1000:1000000]


@pytest.mark.parametrize("target,ranges", [("/a.txt", [(0, 1), (5, 6)]), ("/big.bin", [(0, 99), (50000, 149999), (900000, 1048575)])])
def test_multipart(gate, target, ranges):
    answer = get(gate, target, Range="bytes=" + ",".join(f"{a}-{b}" for a, b in ranges))
    assert answer.status == 206
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer.fields["content-type"]).group(1).encode()
    parts = answer.body.split(b"\r\n--" + boundary)
    assert parts[0] == b"" and parts[-1] == b"--\r\n" and len(parts) == len(ranges) + 2
    for part, (a, b) in zip(parts[1:], ranges):
        head, _, content = part.partition(b"\r\n\r\n")
        assert b"Content-Range: bytes %d-%d/" % (a, b) in head
        assert content == FILES[target[1:]][a:b + 1]


def test_if_range(gate):
    first = get(gate, "/a.txt")
    for value, status in ((first.fields["etag"], 206), (first.fields["last-modified"], 206), ('"x"', 200),
                          ("W/" + first.fields["etag"], 200), ("Sun, 06 Nov 1994 08:49:37 GMT", 200)):
        assert get(gate, "/a.txt", Range="bytes=0-0", If_Range=value).status == status


def test_a_changed_file_is_served_changed(gate):
    file = gate.folder / "changing.txt"
    file.write_bytes(b"old")
    assert get(gate, "/changing.txt").body == b"old"
    file.write_bytes(b"new")
    program.wait_until("the new content", lambda: get(gate, "/changing.txt").body == b"new", 5)
    file.unlink()
    program.wait_until("its end", lambda: get(gate, "/changing.txt").status == 404, 5)


def test_built_in_page(gate):
    answer = get(gate, "/app")
    assert answer.status == 503 and int(answer.fields["retry-after"]) > 0
    assert b"The app is starting" in answer.body and answer.fields["cache-control"] == "no-store"


# Time, ends, records


def test_header_deadline(fresh):
    gate = fresh(header_ms=300, idle_ms=600)
    with gate.connect() as sock:
        began = time.monotonic()
        sock.sendall(b"GET / HTTP/1.1\r\nHo")
        assert Answer(sock.makefile("rb")).status == 408
        assert 0.25 < time.monotonic() - began < 3
    with gate.connect() as sock:
        assert sock.recv(1) == b""
    assert [r["close"] for r in gate.records(1)] == ["header_timeout"]


def test_idle_deadline(fresh):
    gate = fresh(header_ms=5000, idle_ms=300)
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(request())
        assert Answer(reader).status == 200
        began = time.monotonic()
        assert reader.read(1) == b""
        assert 0.2 < time.monotonic() - began < 6


def test_minimum_rate(fresh):
    """Who stops in the middle is ended; who is slow but moves is not."""
    gate = fresh(header_ms=400, idle_ms=1000, rate_min=1000)
    with gate.connect() as sock:
        sock.sendall(request("/", "POST", Content_Length=50000) + b"x")
        reader = sock.makefile("rb")
        assert Answer(reader).status == 405
        assert reader.read(1) == b""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", gate.port))
        sock.sendall(request("/big.bin") * 8)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            assert sock.recv(200)
            time.sleep(0.01)
        assert {r["close"] for r in gate.records()} <= {"done", "bad_method"}
        program.wait_until("its end", lambda: "send_too_slow" in [r["close"] for r in gate.records()], 5)


def test_drain(fresh):
    """New answers say close, idle connections go after a grace, the process ends by itself."""
    gate = fresh()
    with gate.connect() as busy, gate.connect() as idle:
        reader = busy.makefile("rb")
        for sock in (busy, idle):
            sock.sendall(request())
            Answer(sock.makefile("rb"))
        gate.say("stop 4000")
        time.sleep(0.1)
        busy.sendall(request())
        answer = Answer(reader)
        assert answer.status == 200 and answer.fields["connection"] == "close"
        assert reader.read(1) == b""
        assert idle.recv(1) == b""
    with pytest.raises(OSError):
        # The harness holds the listener open, so that a client may connect; nobody accepts.
        sock = gate.connect()
        sock.settimeout(0.3)
        sock.sendall(request())
        if not sock.recv(1):
            raise OSError
    assert gate.end() == 0


def test_damaged_snapshot_is_refused(fresh):
    gate = fresh()
    loaded = gate.say("damaged")
    assert int(loaded[0].split()[2]) != 0
    assert get(gate, "/a.txt").status == 200
    assert gate.say("snap")[0].split()[2] == "0"
    assert get(gate, "/a.txt").status == 200


def test_records_and_counters(fresh):
    gate = fresh()
    talk(gate, request("/a.txt") + request("/none") + request("/sub"), 3)
    talk(gate, b"nonsense\r\n\r\n")
    records = gate.records(5)
    assert [r["status"] for r in records] == [200, 404, 301, 200, 400]
    assert [r["close"] for r in records] == ["done", "not_found", "done", "done", "bad_request"]
    assert records[0]["target"] == "/a.txt" and records[0]["bytes"] == 10 and records[0]["site"] == "harness"
    assert records[0]["client"] == "127.0.0.1" and records[0]["method"] == "GET" and records[0]["ms"] >= 0
    assert len({r["id"] for r in records}) == 5
    program.wait_until("no open connection", lambda: gate.counters()["stead_connections_open"] == 0)
    counters = gate.counters()
    assert counters["stead_requests_total"] == 5 and counters["stead_requests_active"] == 0
    assert counters["stead_body_budget_used_bytes"] == 0


def test_records_off(fresh):
    gate = fresh(access=0)
    assert get(gate, "/a.txt").status == 200
    assert gate.records() == []


def test_slow_reader_holds_nobody(gate):
    with gate.connect() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.sendall(request("/big.bin") * 8)
        time.sleep(0.1)
        for _ in range(20):
            assert get(gate, "/a.txt").status == 200
        reader = slow.makefile("rb")
        for _ in range(8):
            assert Answer(reader).body == FILES["big.bin"]


def test_client_gone_in_the_middle(gate):
    for _ in range(20):
        with gate.connect() as sock:
            sock.sendall(request("/big.bin") * 4)
            sock.recv(1000)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    program.wait_until("all requests over", lambda: gate.counters()["stead_requests_active"] == 0)
    assert get(gate, "/a.txt").status == 200
