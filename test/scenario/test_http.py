"""HTTP/1.1 as bytes: what the gate takes, what it refuses, and what it does with the connection then.

A real gate, with test/unit/gate/harness.c as its parent. Each row of BAD is a request that is not one; "accepted" rows
stand in GOOD with the reason why they are taken.
"""

import socket
import threading
import time

import pytest

from gatebed import FILES, HEAD_MAX, folder, gate, Answer, request, is_closed, talk, H, GET, POST, CHUNKED  # noqa: F401 (fixtures too)

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
