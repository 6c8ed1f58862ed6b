"""What a row of the corpus is made of: (name, bytes, what becomes of it, RFC section, why)."""

from typing import NamedTuple


class Refused(NamedTuple):
    """An error of one of these statuses, and the connection ends: nothing behind it is read as a request."""
    statuses: tuple


class Here(NamedTuple):
    """stead answers by itself with one of these; no backend hears of it; the connection goes on."""
    statuses: tuple


class Forwarded(NamedTuple):
    """A backend reads exactly this."""
    method: bytes
    target: bytes
    body: bytes
    host: bytes
    has: tuple    # lines that stand in the forwarded head
    lacks: tuple  # names that do not


class Mark(NamedTuple):
    name: str


CUT = Mark("cut")   # the message is not whole when the client ends: no backend may read a whole one
ENDS = Mark("ends")  # behind the last answer stead closes, whatever follows


def bad(*statuses):
    return (Refused(statuses or (400,)),)


def here(*statuses):
    return (Here(statuses),)


def to(target=b"/", method=b"GET", body=b"", host=b"h", has=(), lacks=()):
    return (Forwarded(method, target, body, host, tuple(has), tuple(lacks)),)


def get(*fields, target=b"/"):
    """A GET with Host and these lines."""
    return b"".join(line + b"\r\n" for line in (b"GET " + target + b" HTTP/1.1", b"Host: h", *fields, b""))


def line(first):
    """This first line, and Host."""
    return first + b"\r\nHost: h\r\n\r\n"


def post(*fields, body=b""):
    return b"".join(l + b"\r\n" for l in (b"POST / HTTP/1.1", b"Host: h", *fields, b"")) + body


def chunked(body):
    return post(b"Transfer-Encoding: chunked", body=body)
