"""The app that test_wsgi.c asks: one path for each rule of PEP 3333 that a server must keep."""

import io
import os
import signal
import sys
import threading
import time
from wsgiref.validate import validator

closed = 0
PLAIN = [("Content-Type", "text/plain")]
barrier = threading.Barrier(4)


class Quiet(io.StringIO):
    """The errors that tests provoke are not printed."""


sys.stderr = Quiet()


class Closing:
    def __init__(self, items):
        self.items = iter(items)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.items)

    def close(self):
        global closed
        closed += 1


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"Hello"]


def check_environ(environ):
    assert environ["REQUEST_METHOD"] == "GET" and environ["SERVER_NAME"] == "localhost", environ
    assert environ["SERVER_PORT"] == "8080" and environ["wsgi.version"] == (1, 0), environ
    assert environ["wsgi.url_scheme"] == "http" and environ["wsgi.input"].read() == b"", environ
    assert type(environ) is dict and environ["wsgi.input_terminated"] is True
    assert environ["wsgi.run_once"] is False and len(environ["stead.request_id"]) == 32
    assert not any("stead" in p for p in sys.path if "test" not in p), sys.path


def raise_late():
    yield b"begun"
    raise RuntimeError("late")


def chunks(environ):
    path, body = environ["PATH_INFO"], environ["wsgi.input"]
    if path == "/sum":
        return [body.read()]
    if path == "/sum-lines":
        return body.readlines()
    if path == "/sum-iter":
        return list(body)
    got = []
    while True:
        piece = body.read(777) + body.readline(10)
        if not piece:
            return got
        got.append(piece)


ran = []


def exact(beyond):
    """Six bytes; what stands behind the last of them runs, and what it says there is not sent."""
    ran.clear()
    try:
        yield b"abc"
        yield b"def"
        ran.append("behind")
        while beyond:
            yield b"more"
            ran.append("again")
    finally:
        ran.append("closed")


def rest(environ, start_response):
    global closed
    path = environ["PATH_INFO"]
    if path == "/twice":
        start_response("200 OK", [])
    if path == "/no-start":
        return [b"x"]
    if path == "/bad-header":
        start_response("200 OK", [("X", "a\r\nSet-Cookie: b")])
    if path == "/raise":
        raise RuntimeError("raised")
    if path == "/exit":
        sys.exit(3)
    if path in ("/short", "/long"):
        start_response("200 OK", [("Content-Length", "10" if path == "/short" else "4")])
        return [b"12345678"]
    if path in ("/exc_info", "/exc_info-late"):
        write = start_response("200 OK", PLAIN)
        try:
            if path == "/exc_info-late":
                write(b"gone")
            raise KeyError("x")
        except KeyError:
            start_response("500 Oops", PLAIN, sys.exc_info())
            return [b"replaced"]
    if path in ("/exact", "/beyond"):
        start_response("200 OK", [("Content-Length", "6")])
        return exact(path == "/beyond")
    if path == "/closed":
        before = closed
        closed = 0
        start_response("200 OK", PLAIN)
        return Closing([b"closed ", str(before).encode()])
    write = start_response("200 OK", PLAIN)
    if path == "/environ?":
        check_environ(environ)
        return [b"ok"]
    if path == "/pieces":
        return Closing([b"one ", b"", b"two ", b"three"])
    if path == "/write":
        write(b"written ")
        closed = 0
        return Closing([b"returned"])
    if path == "/raise-late":
        return raise_late()
    if path == "/not-bytes":
        return ["text"]
    if path == "/late":
        return iter(())
    if path == "/big":
        return (b"x" * 100000 for _ in range(30))
    if path == "/ran":
        return [",".join(ran).encode()]
    if path == "/endless":
        closed = 0
        return Closing(b"x" * 1000 for _ in iter(int, 1))
    if path == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    if path == "/sleep":
        time.sleep(60)
    if path == "/barrier":
        barrier.wait(10)
        return [b"met"]
    if path == "/fork":
        pid = os.fork()
        if not pid:
            try:
                write(b"from the child")
            except RuntimeError:
                os._exit(7)
            except BaseException:
                os._exit(0)
            os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return [b"child %d" % status]
    if path == "/file":
        return environ["wsgi.file_wrapper"](open("file.txt", "rb"))
    if path == "/file-offset":
        f = open("file.txt", "rb")
        f.read(5)
        return environ["wsgi.file_wrapper"](f)
    if path == "/file-like":
        return environ["wsgi.file_wrapper"](io.BytesIO(b"like contents"), 3)
    if path.startswith("/sum"):
        return [str(sum(len(c) for c in chunks(environ))).encode()]
    return [b"what?"]


def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"valid"]


validated = validator(plain)


def app(environ, start_response):
    if environ["PATH_INFO"] == "/hello":
        return hello(environ, start_response)
    if environ["PATH_INFO"] == "/validate":
        return validated(environ, start_response)
    return rest(environ, start_response)


def make():
    return app


def hears():
    """What is heard of SIGUSR2 is told."""
    signal.signal(signal.SIGUSR2, lambda *_: os.write(int(os.environ["HEARD_FD"]), b"."))
    return app
