"""The MUSTs of RFC 9112 that concern a gateway that also serves files, a function for each (rulesbed.py)."""

import re
import socket

from rulesbed import GET, head_of, one, rule


@rule("9112 2.2", "an empty line before a request is passed over")
def _(w):
    assert one(w.files(b"\r\n" + GET % (b"/a.txt", b""))).status == 200


@rule("9112 2.2", "a lone CR is refused")
def _(w):
    assert one(w.files(b"GET /a.txt HTTP/1.1\rHost: h\r\n\r\n")).status == 400


@rule("9112 2.2", "a blank line's begin behind the request line is refused")
def _(w):
    assert one(w.files(b"GET /a.txt HTTP/1.1\r\n Host: h\r\n\r\n")).status == 400


@rule("9112 2.2", "what is no HTTP gets 400 and a close")
def _(w):
    for data in (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"hello\r\n\r\n", b"GET\r\n\r\n"):
        assert one(w.files(data)).status == 400, data


@rule("9112 2.3", "the version's name knows case")
def _(w):
    assert one(w.files(b"GET /a.txt http/1.1\r\nHost: h\r\n\r\n")).status in (400, 505)


@rule("9112 3", "a target that is too long is 414")
def _(w):
    assert one(w.files(b"GET /" + b"a" * 300000 + b" HTTP/1.1\r\nHost: h\r\n\r\n")).status == 414


@rule("9112 3", "blanks within a target are refused")
def _(w):
    assert one(w.files(b"GET /a .txt HTTP/1.1\r\nHost: h\r\n\r\n")).status == 400


@rule("9112 3.2", "no Host, two of them, or a bad one is 400")
def _(w):
    for lines in (b"", b"Host: h\r\nHost: h\r\n", b"Host: a b\r\n", b"Host: h/x\r\n", b"Host: h:x\r\n", b"Host: a@h\r\n",
                  b"Host: [::1\r\n", b"Host: h, g\r\n"):
        assert one(w.files(b"GET /a.txt HTTP/1.1\r\n" + lines + b"\r\n")).status == 400, lines


@rule("9112 3.2.2", "absolute form is taken")
def _(w):
    assert one(w.files(b"GET http://h/a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).body == b"0123456789"


@rule("9112 3.2.4", "OPTIONS of a whole server is handed on as *")
def _(w):
    for target in (b"*", b"http://h"):
        got, heard = w.through(b"OPTIONS %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % target)
        assert one(got).status < 500 and (not heard or heard[0][0] == "OPTIONS * HTTP/1.1"), (target, heard)


@rule("9112 5.1", "a blank before the colon is 400 in a request")
def _(w):
    assert one(w.files(GET % (b"/a.txt", b"X : 1\r\n"))).status == 400


@rule("9112 5.1", "a blank before the colon of a backend's field is not handed on")
def _(w):
    got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 0\r\n\r\n")
    assert one(got).status == 502 or one(got).fields.get("x-a") == "1"


@rule("9112 5.2", "a folded line is refused in a request, and refused or unfolded in an answer")
def _(w):
    assert one(w.files(GET % (b"/a.txt", b"X: 1\r\n 2\r\n"))).status == 400
    got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n")
    assert one(got).status == 502 or re.fullmatch("1 +2", one(got).fields["x-a"])


POST = b"POST / HTTP/1.1\r\nHost: h\r\n%sConnection: close\r\n\r\n%s"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


@rule("9112 6.1", "a coding behind chunked, or chunked twice, is 400 and a close")
def _(w):
    for value in (b"chunked, gzip", b"chunked, chunked", b"gzip"):
        got, heard = w.through(POST % (b"Transfer-Encoding: %s\r\n" % value, CHUNKS))
        assert heard == [] and one(got).status in (400, 501), value


@rule("9112 6.1", "a coding that nobody knows is 501")
def _(w):
    assert one(w.through(POST % (b"Transfer-Encoding: rot13, chunked\r\n", CHUNKS))[0]).status == 501


@rule("9112 6.1", "Transfer-Encoding of HTTP/1.0 is bad framing")
def _(w):
    got, heard = w.through(b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS)
    assert heard == [] and one(got).status == 400


@rule("9112 6.1", "chunks are not sent to HTTP/1.0, nor with 204 or 304")
def _(w):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    got, _ = w.through(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n", chunked)
    assert "transfer-encoding" not in one(got).fields and one(got).body == b"ok"
    for status in (b"204 No Content", b"304 Not Modified"):
        got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 %s\r\nTransfer-Encoding: chunked\r\n\r\n" % status)
        assert "transfer-encoding" not in one(got).fields


@rule("9112 6.2", "never both a length and chunks")
def _(w):
    got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    assert one(got).status == 502 or ("content-length" not in one(got).fields and one(got).body == b"ok")


@rule("9112 6.3", "a request with a length and chunks is refused, or read by its chunks and the connection closed")
def _(w):
    got, heard = w.through(POST % (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", CHUNKS))
    assert one(got).status == 400 and heard == []


@rule("9112 6.3", "a length in another form, or two that differ, is 400 and a close")
def _(w):
    for lines in (b"Content-Length: x\r\n", b"Content-Length: +3\r\n", b"Content-Length: 3\r\nContent-Length: 4\r\n",
                  b"Content-Length: 3, 4\r\n", b"Content-Length: 0x3\r\n", b"Content-Length: 99999999999999999999\r\n"):
        got, heard = w.through(POST % (lines, b"abc"))
        assert one(got).status in (400, 413) and heard == [], lines


@rule("9112 6.3", "without a length and chunks a request has no body")
def _(w):
    got = w.files(b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n" + GET % (b"/sub/", b""), "GET")
    assert [a.body for a in got] == [b"0123456789", b"sub\n"]


@rule("9112 6.3", "an answer without a length lasts until its end")
def _(w):
    got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 200 OK\r\n\r\nto the end")
    assert one(got).body == b"to the end"


@rule("9112 6.3", "304 has no body, whatever its length says")
def _(w):
    got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n")
    assert one(got).status == 304


@rule("9112 7.1", "chunks are read, extensions passed over, a size beyond all numbers refused")
def _(w):
    _, heard = w.through(POST % (b"Transfer-Encoding: chunked\r\n", b"3;x=y\r\nabc\r\n0;z\r\n\r\n"))
    assert heard[0][2] == b"abc"
    for size in (b"fffffffffffffffff", b"10000000000000000", b"-1", b"0x3"):
        got, heard = w.through(POST % (b"Transfer-Encoding: chunked\r\n", size + b"\r\nabc\r\n0\r\n\r\n"))
        assert one(got).status in (400, 413) and heard == [], size


@rule("9112 7.1", "an answer's chunks are read, and a cut one is not made whole")
def _(w):
    with w.proxy.connect() as sock:
        w.reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n"
        sock.sendall(GET % (b"/", b""))
        try:
            text = sock.makefile("rb").read()
        except ConnectionResetError:
            text = b""
    assert not text.endswith(b"0\r\n\r\n") or text.startswith(b"HTTP/1.1 502")


@rule("9112 7.1.2", "what frames, routes or authenticates is not taken from a trailer")
def _(w):
    _, heard = w.through(POST % (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\nHost: x\r\nContent-Length: 9\r\nAuthorization: x\r\n\r\n"))
    for _, fields, _, trailers in heard:
        names = {t.partition(":")[0].lower() for t in trailers}
        assert not names & {"host", "content-length", "authorization"} and dict(fields)["host"] == "h"


@rule("9112 7.4", "TE: trailers is handed on with Connection: TE, or not at all")
def _(w):
    _, heard = w.through(b"GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: te, close\r\n\r\n")
    fields = head_of(heard)
    assert "te" not in fields or (fields["te"] == "trailers" and fields["connection"].lower() == "te")


@rule("9112 8", "a request that ends early is not handed on as whole")
def _(w):
    for lines, body in ((b"Content-Length: 10\r\n", b"abc"), (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n")):
        got, heard = w.through(POST % (lines, body))
        assert heard == [] and all(a.status >= 400 for a in got), lines


@rule("9112 8", "an answer that ends early is not shown as whole")
def _(w):
    with w.proxy.connect() as sock:
        w.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nok"
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        sock.settimeout(8)
        data = b""
        try:
            while more := sock.recv(4096):
                data += more
        except (ConnectionResetError, socket.timeout):
            pass
    assert (b" 502 " in data.split(b"\r\n")[0] or b" 504 " in data.split(b"\r\n")[0]
                             or len(data.partition(b"\r\n\r\n")[2]) < 9)


@rule("9112 9.3", "HTTP/1.1 stays open, HTTP/1.0 does not, unless it asks")
def _(w):
    two = b"GET /a.txt HTTP/1.%d\r\nHost: h\r\n%s\r\n"
    assert len(w.files(two % (1, b"") * 2)) == 2
    assert len(w.files(two % (0, b"") * 2)) == 1
    got = w.files(two % (0, b"Connection: keep-alive\r\n") * 2)
    assert len(got) == 1 or got[0].fields["connection"].lower() == "keep-alive"


@rule("9112 9.3.2", "answers come in the order of their requests")
def _(w):
    got = w.files(b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\nGET /none HTTP/1.1\r\nHost: h\r\n\r\n" + GET % (b"/sub/", b""), "GET")
    assert [a.status for a in got] == [200, 404, 200]


@rule("9112 9.6", "behind Connection: close nothing more is read, and the answer says close")
def _(w):
    got = w.files(GET % (b"/a.txt", b"") * 2)
    assert len(got) == 1 and got[0].fields["connection"] == "close"


@rule("9112 9.6", "an answer is not lost by bytes that come behind it")
def _(w):
    with w.static.connect() as sock:
        sock.sendall(GET % (b"/big.bin", b"") + b"x" * 30000)
        assert len(sock.makefile("rb").read()) > 1 << 20


@rule("9112 11.1", "a redirect's target cannot be split by what a client writes")
def _(w):
    for path in (b"/sub%0d%0aX-Y:1", b"/sub%0D%0ASet-Cookie:a", b"//evil"):
        got = w.files(GET % (path, b""))
        assert all("x-y" not in a.fields and "set-cookie" not in a.fields for a in got)
