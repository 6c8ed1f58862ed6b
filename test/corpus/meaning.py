"""Whole and framed, yet ambiguous: connection, expectation, upgrade, ranges, conditions, pipelines (RFC 9110)."""

from .shape import CUT, ENDS, bad, get, line, post, to

HOP = "A field of the connection: it stays here."
STAYS = "Connection cannot take away what frames, routes or authenticates the message (9110 7.6.1 lets a recipient ignore such)."
RANGE = "Ranges are of the backend's resource: passed as they are."
COND = "Conditions are the backend's to judge: passed as they are."
IN = b"GET /in HTTP/1.1\r\nHost: h\r\n\r\n"
P = b"POST"


def conn(value, *more):
    return get(b"Connection: " + value, *more)


ROWS = [
    ("Connection: close", conn(b"close"), to(lacks=[b"connection"]) + (ENDS,), "9112 9.6", "The last request of this connection; what follows is not read."),
    ("Connection: close and a request behind", conn(b"close") + IN, to() + (ENDS,), "9112 9.6", "The server MUST NOT process further requests."),
    ("Connection: CLOSE", conn(b"CLOSE"), to() + (ENDS,), "9110 7.6.1", "Options are the same in any case."),
    ("Connection: keep-alive, close", conn(b"keep-alive, close"), to() + (ENDS,), "9112 9.3", "close wins."),
    ("Connection in two lines", get(b"Connection: keep-alive", b"Connection: close"), to(lacks=[b"connection"]) + (ENDS,), "9110 5.3", "One list."),
    ("Connection: keep-alive", conn(b"keep-alive", b"Keep-Alive: timeout=5"), to(lacks=[b"connection", b"keep-alive"]), "9110 7.6.1", HOP),
    ("an empty Connection", conn(b""), to(lacks=[b"connection"]), "9110 5.6.1", "An empty list."),
    ("Connection: commas", conn(b", ,close,,"), to() + (ENDS,), "9110 5.6.1", "Empty elements are ignored."),
    ("Connection: closed", conn(b"closed"), to(), "9110 7.6.1", "Another word than close."),
    ("Connection: no token", conn(b"a b"), bad(), "9110 7.6.1", "Not a list of tokens."),
    ("Connection: quoted", conn(b'"close"'), bad(), "9110 7.6.1", "Not a list of tokens."),
    ("Connection names a field", conn(b"x-a", b"X-A: 1", b"X-B: 2"), to(lacks=[b"x-a"], has=[b"x-b: 2"]), "9110 7.6.1", "A nominated field goes no further."),
    ("Connection names a field in capitals", conn(b"X-A", b"x-a: 1"), to(lacks=[b"x-a"]), "9110 7.6.1", "As above."),
    ("Connection behind the field it names", get(b"X-A: 1", b"Connection: x-a"), to(lacks=[b"x-a"]), "9110 7.6.1", "As above."),
    ("Connection: host", conn(b"host"), to(), "9110 7.6.1", STAYS),
    ("Connection: content-length", post(b"Connection: content-length", b"Content-Length: 5", body=b"12345"), to(method=P, body=b"12345"), "9110 7.6.1", STAYS),
    ("Connection: transfer-encoding", post(b"Connection: transfer-encoding", b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\n0\r\n\r\n"), to(method=P, body=b"12345"), "9110 7.6.1", STAYS),
    ("Connection: cookie", conn(b"cookie", b"Cookie: a=b"), to(has=[b"cookie: a=b"]), "9110 7.6.1", STAYS),
    ("Connection: authorization", conn(b"authorization", b"Authorization: Basic eDp5"), to(has=[b"authorization: Basic eDp5"]), "9110 7.6.1", STAYS),
    ("Connection: x-forwarded-for", conn(b"x-forwarded-for", b"X-Forwarded-For: 1.2.3.4"), to(has=[b"x-forwarded-for: 127.0.0.1"]), "9110 7.6.1", "What stead adds is added behind."),
    ("Connection: forwarded and via", conn(b"forwarded, via"), to(has=[b"via: 1.1 stead"]), "9110 7.6.1", "What stead adds is added behind."),
    ("TE: trailers", get(b"Connection: TE", b"TE: trailers"), to(), "9110 10.1.4", "Said anew for stead's own connection."),
    ("TE: gzip", get(b"Connection: TE", b"TE: gzip"), to(lacks=[b"te"]), "9110 10.1.4", HOP),
    ("TE: chunked", get(b"TE: chunked"), to(lacks=[b"te", b"transfer-encoding"]), "9110 10.1.4", "TE is no Transfer-Encoding."),
    ("Proxy-Connection", get(b"Proxy-Connection: close"), to(lacks=[b"proxy-connection"]), "9112 C.2.2", HOP),
    ("Proxy-Authorization", get(b"Proxy-Authorization: Basic eDp5"), to(lacks=[b"proxy-authorization"]), "9110 11.7.2", "It is for a proxy, and nobody behind."),
    ("Trailer", get(b"Trailer: X"), to(lacks=[b"trailer"]), "9110 6.6.2", HOP),
    # Expect
    ("Expect: 100-continue", post(b"Expect: 100-continue", b"Content-Length: 5", body=b"12345"), to(method=P, body=b"12345", lacks=[b"expect"]), "9110 10.1.1", "stead says 100 itself; the backend is not asked again."),
    ("Expect: 100-Continue in capitals", post(b"Expect: 100-CONTINUE", b"Content-Length: 5", body=b"12345"), to(method=P, body=b"12345", lacks=[b"expect"]), "9110 10.1.1", "The same in any case."),
    ("Expect: 100-continue without a body", get(b"Expect: 100-continue"), to(lacks=[b"expect"]), "9110 10.1.1", "Nothing to wait for: ignored."),
    ("Expect: 100-continue and chunked", post(b"Expect: 100-continue", b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\n0\r\n\r\n"), to(method=P, body=b"12345", lacks=[b"expect"]), "9110 10.1.1", "As with a length."),
    ("Expect: 100-continue in 1.0", b"POST / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n12345", to(method=P, body=b"12345", lacks=[b"expect"]) + (ENDS,), "9110 10.1.1", "A 1.0 client's expectation MUST be ignored."),
    ("Expect: another", post(b"Expect: 200-ok", b"Content-Length: 5", body=b"12345"), bad(417), "9110 10.1.1", "An expectation that cannot be met: 417; its body is not waited for."),
    ("Expect: two in one", post(b"Expect: 100-continue, x=y", b"Content-Length: 5", body=b"12345"), bad(417), "9110 10.1.1", "One of them cannot be met."),
    ("Expect: 100", post(b"Expect: 100", b"Content-Length: 5", body=b"12345"), bad(417), "9110 10.1.1", "Not the expectation's name."),
    ("Expect with a blank inside", post(b"Expect: 100 -continue", b"Content-Length: 5", body=b"12345"), bad(417), "9110 10.1.1", "Not the expectation's name."),
    ("an empty Expect", post(b"Expect:", b"Content-Length: 5", body=b"12345"), bad(417), "9110 10.1.1", "Not an expectation that is known."),
    # Upgrade
    ("Upgrade: websocket", get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="), to(has=[b"upgrade: websocket", b"connection: upgrade"]), "9110 7.8", "Offered to the backend, which may say no: then the connection goes on."),
    ("Upgrade: websocket and a request behind", get(b"Connection: Upgrade", b"Upgrade: websocket") + IN, to() + to(b"/in"), "9110 7.8", "Nothing of a tunnel passes before 101."),
    ("Upgrade that Connection does not name", get(b"Upgrade: websocket"), to(lacks=[b"upgrade", b"connection"]), "9110 7.8", "Then it is not for this connection: ignored."),
    ("Upgrade twice", get(b"Connection: upgrade", b"Upgrade: websocket", b"Upgrade: x"), to(lacks=[b"upgrade"]), "9110 7.8", "Ignored: one offer or none."),
    ("Upgrade: a list", get(b"Connection: upgrade", b"Upgrade: websocket, h2c"), to(lacks=[b"upgrade"]), "9110 7.8", "Ignored: one offer or none."),
    ("Upgrade: h2c", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), to(lacks=[b"upgrade", b"http2-settings", b"connection"]), "9113 3.1", "A tunnel of HTTP/2 would pass by every rule of stead's; h2c by upgrade is obsolete."),
    ("Upgrade: H2C without settings", get(b"Connection: upgrade", b"Upgrade: H2C"), to(lacks=[b"upgrade"]), "9113 3.1", "As above."),
    ("Upgrade: HTTP/2.0", get(b"Connection: upgrade", b"Upgrade: HTTP/2.0"), to(lacks=[b"upgrade"]), "9110 7.8", "As above."),
    ("Upgrade: TLS/1.0", get(b"Connection: upgrade", b"Upgrade: TLS/1.0"), to(lacks=[b"upgrade"]), "2817 3", "What is inside could not be checked."),
    ("Upgrade: two words", get(b"Connection: upgrade", b"Upgrade: websocket h2c"), to(lacks=[b"upgrade"]), "9110 7.8", "Not a protocol's name; who searches it for a word would find h2c."),
    ("Upgrade: a parameter", get(b"Connection: upgrade", b"Upgrade: websocket;h2c"), to(lacks=[b"upgrade"]), "9110 7.8", "Not a protocol's name."),
    ("an empty Upgrade", get(b"Connection: upgrade", b"Upgrade:"), to(lacks=[b"upgrade"]), "9110 7.8", "No offer."),
    ("Upgrade with a body", post(b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 5", body=b"12345"), to(method=P, body=b"12345", lacks=[b"upgrade"]), "9110 7.8", "The body would have to come first: ignored."),
    ("Upgrade in 1.0", b"GET / HTTP/1.0\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", to(lacks=[b"upgrade"]) + (ENDS,), "9110 7.8", "A 1.0 client's Upgrade MUST be ignored."),
    # ranges
    ("a range", get(b"Range: bytes=0-0"), to(has=[b"range: bytes=0-0"]), "9110 14.2", RANGE),
    ("a range backwards", get(b"Range: bytes=5-1"), to(has=[b"range: bytes=5-1"]), "9110 14.1.1", RANGE),
    ("a range of another unit", get(b"Range: lines=1-2"), to(has=[b"range: lines=1-2"]), "9110 14.2", RANGE),
    ("a thousand ranges", get(b"Range: bytes=" + b",".join([b"0-"] * 1000)), to(has=[b"range: bytes=" + b",".join([b"0-"] * 1000)]), "9110 14.2", RANGE),
    ("a range with a sign", get(b"Range: bytes=+1-2"), to(), "9110 14.1.1", RANGE),
    ("a range of 2^64", get(b"Range: bytes=18446744073709551616-"), to(), "9110 14.1.1", RANGE),
    ("two Range lines", get(b"Range: bytes=0-1", b"Range: bytes=2-3"), to(has=[b"range: bytes=0-1", b"range: bytes=2-3"]), "9110 5.3", RANGE),
    ("If-Range without Range", get(b'If-Range: "x"'), to(has=[b'if-range: "x"']), "9110 13.1.5", RANGE),
    ("Content-Range on PUT", b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\n12345", to(method=b"PUT", body=b"12345", has=[b"content-range: bytes 0-4/9"]), "9110 14.5", "The backend's to judge."),
    # conditions and others
    ("a weak If-Match", get(b'If-Match: W/"a"'), to(has=[b'if-match: W/"a"']), "9110 13.1.1", COND),
    ("If-None-Match: *", get(b"If-None-Match: *"), to(has=[b"if-none-match: *"]), "9110 13.1.2", COND),
    ("an unquoted entity tag", get(b"If-None-Match: abc"), to(), "9110 8.8.3", COND),
    ("an entity tag that is not closed", get(b'If-None-Match: "abc'), to(), "9110 8.8.3", COND),
    ("a date that is none", get(b"If-Modified-Since: yesterday"), to(), "9110 13.1.3", COND),
    ("both conditions", get(b'If-None-Match: "a"', b"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"), to(), "9110 13.2.2", COND),
    ("Max-Forwards: 0 on GET", get(b"Max-Forwards: 0"), to(), "9110 7.6.2", "It is for TRACE and OPTIONS."),
    ("a Via of a client", get(b"Via: 1.0 a, 1.1 b"), to(has=[b"via: 1.0 a, 1.1 b, 1.1 stead"]), "9110 7.6.3", "Each gateway appends itself."),
    ("X-HTTP-Method-Override", post(b"X-HTTP-Method-Override: DELETE", b"Content-Length: 0"), to(method=P, has=[b"x-http-method-override: DELETE"]), "9110 9.1", "The method is what the first line says; the field is the backend's."),
    ("X-Original-URL", get(b"X-Original-URL: /admin"), to(has=[b"x-original-url: /admin"]), "9112 3.2", "The target is what the first line says; the field is the backend's."),
    ("many cookies", get(b"Cookie: a=1", b"Cookie: b=2"), to(has=[b"cookie: a=1", b"cookie: b=2"]), "6265 5.4", "Lines keep their order."),
    # pipelines
    ("three requests", line(b"GET /1 HTTP/1.1") + line(b"GET /2 HTTP/1.1") + line(b"GET /3 HTTP/1.1"), to(b"/1") + to(b"/2") + to(b"/3"), "9112 9.3.2", "Answered in their order."),
    ("the second is malformed", line(b"GET /1 HTTP/1.1") + get(b"X : y"), to(b"/1") + bad(), "9112 9.3.2", "The first is good, the second is not."),
    ("the second has no Host", line(b"GET /1 HTTP/1.1") + b"GET /2 HTTP/1.1\r\n\r\n", to(b"/1") + bad(), "9112 3.2", "Each request has its own Host."),
    ("the second is for another host", line(b"GET /1 HTTP/1.1") + b"GET /2 HTTP/1.1\r\nHost: other\r\n\r\n", to(b"/1") + to(b"/2", host=b"other"), "9112 3.2", "Each request is routed by itself."),
    ("an absolute-form behind", line(b"GET /1 HTTP/1.1") + line(b"GET http://other/2 HTTP/1.1"), to(b"/1") + to(b"/2", host=b"other"), "9112 3.2.2", "As above."),
    ("HTTP/1.0 behind 1.1", line(b"GET /1 HTTP/1.1") + line(b"GET /2 HTTP/1.0"), to(b"/1") + to(b"/2") + (ENDS,), "9112 9.3", "The second ends the connection."),
    ("the second is cut", line(b"GET /1 HTTP/1.1") + b"GET /2 HTTP/1.1\r\nHo", to(b"/1") + (CUT,), "9112 8", "The first is whole; the second is not."),
    ("a body with a request, then a request", post(b"Content-Length: 29", body=IN) + line(b"GET /2 HTTP/1.1"), to(method=P, body=IN) + to(b"/2"), "9112 6.2", "What is inside a body is never a request."),
    ("an error, then a request", get(b"X: \0") + IN, bad(), "9112 9.6", "Behind an error nothing is read."),
    ("HEAD, then GET", line(b"HEAD /1 HTTP/1.1") + line(b"GET /2 HTTP/1.1"), to(b"/1", b"HEAD") + to(b"/2"), "9110 9.3.2", "The answer to HEAD has no body to be confused with the next."),
]
