"""The MUSTs of RFC 9110 that concern a gateway that also serves files, a function for each (rulesbed.py)."""

import email.utils
import re

from gatebed import Answer
from rulesbed import GET, answer, get, head_of, one, rule

DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT")


@rule("9110 2.5", "the version of an answer is the server's own, whatever the client's minor version")
def _(w):
    for version in (b"1.0", b"1.1"):
        with w.static.connect() as sock:
            sock.sendall(b"GET /a.txt HTTP/%s\r\nHost: h\r\nConnection: close\r\n\r\n" % version)
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")


@rule("9110 2.5", "a higher minor version is read as the highest that is known")
def _(w):
    assert one(w.files(b"GET /a.txt HTTP/1.2\r\nHost: h\r\nConnection: close\r\n\r\n")).status == 200


@rule("9110 4.2.3", "a scheme and a host are compared without regard to case")
def _(w):
    _, heard = w.through(b"GET HTTP://EXAMPLE.Com/p HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
    assert heard[0][0] == "GET /p HTTP/1.1" and head_of(heard)["host"] == "example.com"


@rule("9110 4.2.4", "userinfo in a target is refused")
def _(w):
    assert one(w.files(b"GET http://user@h/a.txt HTTP/1.1\r\nHost: h\r\n\r\n")).status == 400


@rule("9110 5.1", "field names know no case")
def _(w):
    assert one(w.files(b"GET /a.txt HTTP/1.1\r\nhOsT: h\r\ncOnNeCtIoN: close\r\n\r\n")).status == 200


@rule("9110 5.1", "unknown fields are handed on")
def _(w):
    got, heard = w.through(GET % (b"/", b"X-New: 1\r\n"), answer(X_Other="2"))
    assert head_of(heard)["x-new"] == "1" and one(got).fields["x-other"] == "2"


@rule("9110 5.3", "lines of one name keep their order")
def _(w):
    _, heard = w.through(GET % (b"/", b"X-A: 1\r\nX-B: 2\r\nX-A: 3\r\n"))
    values = [v for n, v in heard[0][1] if n == "x-a"]
    assert values in (["1", "3"], ["1, 3"])


@rule("9110 5.4", "a head that is too large gets a 4xx")
def _(w):
    assert one(w.files(GET % (b"/a.txt", b"X: " + b"a" * 300000 + b"\r\n"))).status == 431


@rule("9110 5.5", "CR, LF and NUL in a value are refused or replaced")
def _(w):
    for byte in (b"\r", b"\n", b"\0"):
        assert one(w.files(GET % (b"/a.txt", b"X: a%sb\r\n" % byte))).status == 400


@rule("9110 5.5", "CR, LF and NUL in a backend's value go no further")
def _(w):
    for byte in (b"\r", b"\0"):
        got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a%sb\r\n\r\n" % byte)
        assert one(got).status == 502


@rule("9110 5.5", "blanks around a value are no part of it")
def _(w):
    _, heard = w.through(GET % (b"/", b"X-A: \t v w \t\r\n"))
    assert head_of(heard)["x-a"] == "v w"


@rule("9110 5.6.2", "a name that is no token is refused")
def _(w):
    for name in (b"X Y", b"X(", b"", b"X\x80"):
        assert one(w.files(GET % (b"/a.txt", name + b": 1\r\n"))).status == 400


@rule("9110 5.6.7", "dates are written as IMF-fixdate")
def _(w):
    got = get(w)
    assert DATE.fullmatch(got.fields["date"]) and DATE.fullmatch(got.fields["last-modified"])


@rule("9110 5.6.7", "all three forms of a date are read")
def _(w):
    when = email.utils.parsedate_to_datetime(get(w).fields["last-modified"])
    for form in ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT"):
        assert get(w, fields=f"If-Modified-Since: {when.strftime(form)}\r\n".encode()).status == 304, form
    asc = when.strftime("%a %b ") + f"{when.day:2}" + when.strftime(" %H:%M:%S %Y")
    assert get(w, fields=f"If-Modified-Since: {asc}\r\n".encode()).status == 304, asc


@rule("9110 6.4.1", "204 and 304 have no content, and HEAD's answer has none")
def _(w):
    with w.static.connect() as sock:
        sock.sendall(b"HEAD /a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert sock.makefile("rb").read().endswith(b"\r\n\r\n")
    got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n")
    assert (one(got).status, one(got).body) == (204, b"")


@rule("9110 6.5.1", "trailers are not merged into the head")
def _(w):
    with w.proxy.connect() as sock:
        w.reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"
        sock.sendall(GET % (b"/", b"TE: trailers\r\n"))
        text = sock.makefile("rb").read()
    assert text.startswith(b"HTTP/1.1 200") and b"x-late" not in text.partition(b"\r\n\r\n")[0].lower()


@rule("9110 6.6.1", "answers have a Date")
def _(w):
    for path in (b"/a.txt", b"/none", b"/sub"):
        assert DATE.fullmatch(get(w, path).fields["date"])


@rule("9110 6.6.1", "a Date is added to an answer that came without one, and one that is there is kept")
def _(w):
    got, _ = w.through(GET % (b"/", b""))
    assert DATE.fullmatch(one(got).fields["date"])
    got, _ = w.through(GET % (b"/", b""), answer(Date="Sun, 06 Nov 1994 08:49:37 GMT"))
    assert one(got).fields["date"] == "Sun, 06 Nov 1994 08:49:37 GMT"


@rule("9110 7.2", "Host is handed on, once")
def _(w):
    _, heard = w.through(GET % (b"/", b""))
    assert [v for n, v in heard[0][1] if n == "host"] == ["h"]


@rule("9110 7.2", "of a target in absolute form the host counts, and Host is written anew")
def _(w):
    _, heard = w.through(b"GET http://other/p HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert not heard or [v for n, v in heard[0][1] if n == "host"] == ["other"]


@rule("9110 7.6.1", "what Connection names is not handed on, nor Connection itself")
def _(w):
    got, heard = w.through(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Own\r\nX-Own: 1\r\n\r\n",
                           answer(Connection="X-His", X_His="1"))
    assert not {"x-own", "connection"} & set(head_of(heard))
    assert "x-his" not in one(got).fields and "X-His" not in one(got).fields.get("connection", "")


@rule("9110 7.6.1", "Keep-Alive, Proxy-Connection, TE, Transfer-Encoding and Upgrade are of one connection")
def _(w):
    _, heard = w.through(b"GET / HTTP/1.1\r\nHost: h\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: gzip\r\n"
                         b"Upgrade: x\r\nConnection: close\r\n\r\n")
    assert not {"keep-alive", "proxy-connection", "te", "upgrade", "transfer-encoding"} & set(head_of(heard))


@rule("9110 7.6.1", "a backend's own hop-by-hop fields stay with it")
def _(w):
    got, _ = w.through(GET % (b"/", b""), answer(Keep_Alive="timeout=5", Proxy_Connection="keep-alive"))
    assert not {"keep-alive", "proxy-connection"} & set(one(got).fields)


@rule("9110 7.6.2", "Max-Forwards of 0 ends an OPTIONS or TRACE here")
def _(w):
    for method in (b"OPTIONS", b"TRACE"):
        got, heard = w.through(method + b" / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n")
        assert heard == [] and one(got).status < 600, method


@rule("9110 7.6.2", "Max-Forwards is counted down for OPTIONS, and left alone for others")
def _(w):
    _, heard = w.through(b"OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 10\r\nConnection: close\r\n\r\n")
    assert head_of(heard)["max-forwards"] == "9"
    _, heard = w.through(GET % (b"/", b"Max-Forwards: 10\r\n"))
    assert head_of(heard)["max-forwards"] == "10"


@rule("9110 7.6.3", "Via tells a backend the version that came in, behind what others said")
def _(w):
    _, heard = w.through(GET % (b"/", b"Via: 1.0 fred\r\n"))
    assert re.fullmatch(r"1\.0 fred, 1\.1 \S+", head_of(heard)["via"])
    _, heard = w.through(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
    assert re.fullmatch(r"1\.0 \S+", head_of(heard)["via"])


@rule("9110 7.7", "no-transform: content is left as it is")
def _(w):
    text = b"<p>text</p>" * 400
    accepts = b"Accept-Encoding: gzip\r\n"
    got, _ = w.through(GET % (b"/", accepts), answer(text, Content_Type="text/html"))
    assert one(got).fields.get("content-encoding") == "gzip"
    got, _ = w.through(GET % (b"/", accepts), answer(text, Content_Type="text/html", Cache_Control="no-transform"))
    assert "content-encoding" not in one(got).fields and one(got).body == text


@rule("9110 7.8", "Upgrade in an HTTP/1.0 request is not heard")
def _(w):
    _, heard = w.through(b"GET / HTTP/1.0\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    assert "upgrade" not in head_of(heard)


@rule("9110 7.8", "an Upgrade that is handed on is named by Connection")
def _(w):
    _, heard = w.through(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    assert head_of(heard)["upgrade"] == "websocket" and head_of(heard)["connection"].lower() == "upgrade"


@rule("9110 7.8", "101 is not passed to a client that did not ask for that protocol")
def _(w):
    for reply in (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n",
                  b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n"):
        got, _ = w.through(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", reply)
        assert one(got).status == 502
    got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    assert one(got).status == 502


@rule("9110 8.6", "no Content-Length with 204 or 1xx")
def _(w):
    got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
    assert one(got).status == 204 and "content-length" not in one(got).fields


@rule("9110 8.6", "a backend's Content-Length that is no number, or two of them, are not handed on")
def _(w):
    for lines in (b"Content-Length: x\r\n", b"Content-Length: 2\r\nContent-Length: 3\r\n", b"Content-Length: -1\r\n",
                  b"Content-Length: 2, 3\r\n"):
        got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 200 OK\r\n%s\r\nok" % lines)
        assert one(got).status == 502, lines


@rule("9110 8.6", "HEAD's Content-Length is that of GET")
def _(w):
    got = one(w.files(b"HEAD /a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
    assert got.fields["content-length"] == get(w).fields["content-length"] == "10"


@rule("9110 8.8.2.1", "Last-Modified is never later than Date")
def _(w):
    got = get(w, b"/future.txt")
    parse = email.utils.parsedate_to_datetime
    assert "last-modified" not in got.fields or parse(got.fields["last-modified"]) <= parse(got.fields["date"])


@rule("9110 8.8.3", "an ETag is quoted, weak or strong")
def _(w):
    assert re.fullmatch(r'(W/)?"[!#-~]*"', get(w).fields["etag"])


@rule("9110 8.8.3.3", "another coding of a file has another strong ETag")
def _(w):
    plain = get(w, b"/text.html")
    coded = get(w, b"/text.html", b"Accept-Encoding: gzip\r\n")
    if coded.fields.get("content-encoding"):
        assert coded.fields.get("etag", "").startswith("W/") or coded.fields.get("etag") != plain.fields["etag"]


@rule("9110 9.1", "GET and HEAD are there; an unknown method is 405 or 501")
def _(w):
    assert one(w.files(b"HEAD /a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).status == 200
    assert one(w.files(b"BREW /a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).status in (405, 501)


@rule("9110 9.1", "methods know case")
def _(w):
    assert one(w.files(b"get /a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).status in (400, 405, 501)


@rule("9110 9.3.2", "HEAD is handed on as HEAD, and its answer's length is not waited for")
def _(w):
    got, heard = w.through(b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                           b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    assert heard[0][0].startswith("HEAD ") and one(got).fields["content-length"] == "1000"


@rule("9110 9.3.6", "CONNECT makes no tunnel")
def _(w):
    got, heard = w.through(b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n")
    assert heard == [] and one(got).status >= 400


@rule("9110 10.1.1", "no 100 to HTTP/1.0")
def _(w):
    with w.proxy.connect() as sock:
        w.reply = answer()
        sock.sendall(b"POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi")
        assert sock.makefile("rb").read().startswith(b"HTTP/1.1 200")


@rule("9110 10.1.1", "100-continue is answered with 100 or a final status, and the body counts")
def _(w):
    with w.proxy.connect() as sock:
        w.reply, w.heard = answer(), []
        reader = sock.makefile("rb")
        sock.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert Answer(reader).status == 100
        sock.sendall(b"hi")
        assert Answer(reader).status == 200
    assert w.heard[0][2] == b"hi"


@rule("9110 10.1.1", "another expectation is 417, or not heard")
def _(w):
    assert one(w.files(b"GET /a.txt HTTP/1.1\r\nHost: h\r\nExpect: x\r\nConnection: close\r\n\r\n")).status in (200, 417)


@rule("9110 13.1.1", "If-Match compares strongly; where none matches it is 412")
def _(w):
    tag = get(w).fields["etag"]
    assert get(w, fields=b"If-Match: \"other\"\r\n").status == 412
    assert get(w, fields=f"If-Match: W/{tag}\r\n".encode()).status == 412
    assert get(w, fields=f"If-Match: \"x\", {tag}\r\n".encode()).status == 200
    assert get(w, fields=b"If-Match: *\r\n").status == 200


@rule("9110 13.1.2", "If-None-Match compares weakly; where one matches GET and HEAD get 304")
def _(w):
    tag = get(w).fields["etag"]
    for value in (tag, f"W/{tag}", f"\"x\", {tag}", "*"):
        assert get(w, fields=f"If-None-Match: {value}\r\n".encode()).status == 304, value
    assert one(w.files(f"HEAD /a.txt HTTP/1.1\r\nHost: h\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n".encode())).status == 304
    assert get(w, fields=b"If-None-Match: \"other\"\r\n").status == 200


@rule("9110 13.1.3", "If-Modified-Since is not heard beside If-None-Match")
def _(w):
    when = get(w).fields["last-modified"]
    assert get(w, fields=f"If-None-Match: \"other\"\r\nIf-Modified-Since: {when}\r\n".encode()).status == 200


@rule("9110 13.1.3", "If-Modified-Since that is no date is not heard")
def _(w):
    for value in (b"tomorrow", b"Sun, 06 Nov 2094 25:49:37 GMT", b""):
        assert get(w, fields=b"If-Modified-Since: %s\r\n" % value).status == 200


@rule("9110 13.1.3", "If-Modified-Since: not modified since is 304, modified is 200")
def _(w):
    assert get(w, fields=f"If-Modified-Since: {get(w).fields['last-modified']}\r\n".encode()).status == 304
    assert get(w, fields=b"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n").status == 200


@rule("9110 13.1.4", "If-Unmodified-Since: modified is 412; not heard beside If-Match, nor when it is no date")
def _(w):
    old = b"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    assert get(w, fields=old).status == 412
    assert get(w, fields=b"If-Match: *\r\n" + old).status == 200
    assert get(w, fields=b"If-Unmodified-Since: x\r\n").status == 200


@rule("9110 13.1.5", "If-Range without Range is not heard")
def _(w):
    assert get(w, fields=b"If-Range: \"other\"\r\n").status == 200


@rule("9110 13.1.5", "If-Range compares strongly, a date exactly")
def _(w):
    first = get(w)
    tag, when = first.fields["etag"], first.fields["last-modified"]
    part = b"Range: bytes=0-3\r\n"
    assert get(w, fields=part + f"If-Range: {tag}\r\n".encode()).status == 206
    assert get(w, fields=part + f"If-Range: W/{tag}\r\n".encode()).status == 200
    assert get(w, fields=part + b"If-Range: \"other\"\r\n").status == 200
    later = email.utils.format_datetime(email.utils.parsedate_to_datetime(when).replace(year=2090), usegmt=True)
    assert get(w, fields=part + f"If-Range: {later}\r\n".encode()).status == 200


@rule("9110 13.2.1", "conditions count only where the answer would be 2xx")
def _(w):
    assert get(w, b"/none", b"If-Match: \"x\"\r\n").status == 404


@rule("9110 13.2.2", "If-None-Match comes before Range: 304 and no part")
def _(w):
    assert get(w, fields=f"If-None-Match: {get(w).fields['etag']}\r\nRange: bytes=0-3\r\n".encode()).status == 304


@rule("9110 13.2.2", "conditions reach a backend, which judges them")
def _(w):
    _, heard = w.through(GET % (b"/", b"If-None-Match: \"x\"\r\nIf-Modified-Since: x\r\n"))
    assert head_of(heard)["if-none-match"] == '"x"'


@rule("9110 14.2", "Range is for GET alone")
def _(w):
    got = one(w.files(b"HEAD /a.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=0-3\r\nConnection: close\r\n\r\n"))
    assert got.status == 200 and "content-range" not in got.fields


@rule("9110 14.2", "a Range of another unit, or in no form, is not heard")
def _(w):
    for value in (b"lines=0-3", b"bytes=x", b"bytes 0-3", b"bytes=3-0", b"bytes="):
        assert get(w, fields=b"Range: %s\r\n" % value).status in (200, 416), value
    assert get(w, fields=b"Range: lines=0-3\r\n").status == 200


@rule("9110 14.1.2", "the last bytes, the rest, and an end behind the end")
def _(w):
    for value, body, said in ((b"-3", b"789", "7-9"), (b"7-", b"789", "7-9"), (b"8-100", b"89", "8-9"), (b"-100", b"0123456789", "0-9")):
        got = get(w, fields=b"Range: bytes=%s\r\n" % value)
        assert (got.status, got.body, got.fields["content-range"]) == (206, body, f"bytes {said}/10"), value


@rule("9110 14.4", "416 says how long the whole is")
def _(w):
    got = get(w, fields=b"Range: bytes=10-\r\n")
    assert (got.status, got.fields["content-range"]) == (416, "bytes */10")


@rule("9110 15.2", "no 1xx to HTTP/1.0")
def _(w):
    got, _ = w.through(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer())
    assert one(got).status == 200


@rule("9110 15.2", "1xx is handed on to HTTP/1.1")
def _(w):
    got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer())
    assert [a.status for a in got] == [103, 200] and got[0].fields["link"] == "x"


@rule("9110 15.3.7.1", "206 of one part has Content-Range, ETag and Date")
def _(w):
    got = get(w, fields=b"Range: bytes=0-3\r\n")
    assert got.body == b"0123" and got.fields["content-range"] == "bytes 0-3/10"
    assert got.fields["etag"] == get(w).fields["etag"] and got.fields["date"]


@rule("9110 15.3.7.2", "206 of several parts has none in its head, and one in each part")
def _(w):
    got = get(w, fields=b"Range: bytes=0-1,8-9\r\n")
    assert got.status == 206 and "content-range" not in got.fields
    assert got.fields["content-type"].startswith("multipart/byteranges; boundary=")
    assert re.findall(rb"content-range: bytes (\d+-\d+/10)", got.body, re.I) == [b"0-1/10", b"8-9/10"]


@rule("9110 15.3.7.2", "one part that was asked for is never sent as multipart")
def _(w):
    assert "multipart" not in get(w, fields=b"Range: bytes=2-3\r\n").fields["content-type"]


@rule("9110 15.4.5", "304 has Date, ETag and what else 200 had of Cache-Control, Expires, Vary, Content-Location")
def _(w):
    first = get(w)
    got = get(w, fields=f"If-None-Match: {first.fields['etag']}\r\n".encode())
    for name in ("date", "etag", "cache-control", "expires", "vary", "content-location"):
        assert (name in got.fields) == (name in first.fields), name
    assert got.fields["etag"] == first.fields["etag"]


@rule("9110 15", "a status that nobody knows is handed on")
def _(w):
    for status in (b"299", b"499", b"599"):
        got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 %s Odd\r\nContent-Length: 2\r\n\r\nok" % status)
        assert one(got).status == int(status)


@rule("9110 15", "a status that is none is 502")
def _(w):
    for status in (b"99", b"600", b"000", b"20x", b"2000"):
        got, _ = w.through(GET % (b"/", b""), b"HTTP/1.1 %s Odd\r\nContent-Length: 2\r\n\r\nok" % status)
        assert one(got).status == 502, status


@rule("9110 15.5.6", "405 says what is allowed")
def _(w):
    got = one(w.files(b"DELETE /a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
    assert got.status == 405 and {"GET", "HEAD"} <= set(re.split(r", *", got.fields["allow"]))


@rule("9110 15.6.6", "another major version is 505")
def _(w):
    assert one(w.files(b"GET /a.txt HTTP/2.0\r\nHost: h\r\n\r\n")).status == 505


@rule("9110 12.5.5", "who chooses a coding by Accept-Encoding says so in Vary")
def _(w):
    text = answer(b"<p>text</p>" * 400, Content_Type="text/html")
    for accepts in (b"Accept-Encoding: gzip\r\n", b""):
        got, _ = w.through(GET % (b"/", accepts), text)
        assert "accept-encoding" in one(got).fields["vary"].lower(), accepts


@rule("9110 12.5.3", "identity is sent where no coding is taken, gzip;q=0 is not taken")
def _(w):
    text = answer(b"<p>text</p>" * 400, Content_Type="text/html")
    for accepts in (b"", b"Accept-Encoding: gzip;q=0\r\n", b"Accept-Encoding: identity\r\n", b"Accept-Encoding:\r\n"):
        got, _ = w.through(GET % (b"/", accepts), text)
        assert "content-encoding" not in one(got).fields, accepts
