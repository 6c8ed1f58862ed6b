"""A backend that keeps the very bytes of each request, and reads nothing but the one canonical form stead writes."""

import re
import socket
import threading

LINE = re.compile(rb"([!#-'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.1\r\n\Z")
FIELD = re.compile(rb"([!#-'*+.^`|~0-9a-z-]+): ((?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)\r\n\Z")
SIZE = re.compile(rb"[0-9a-f]{1,16}\r\n\Z")
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Request:
    def __init__(self, method, target):
        self.method, self.target = method, target
        self.raw, self.body, self.fields, self.trailers = b"", b"", [], []

    def values(self, name):
        return [v for n, v in self.fields if n == name]

    def host_is(self, host):
        return self.values(b"host") == [host]


class Recorder:
    """requests: whole ones in order; cuts: how many were cut off; wrong: what was not in the canonical form."""

    def __init__(self):
        self.requests, self.cuts, self.wrong = [], 0, []
        self.changed = threading.Condition()
        self.open = 0  # connections with a part of a request
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.server = {"address": f"127.0.0.1:{self.sock.getsockname()[1]}"}
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        reader = sock.makefile("rb")
        try:
            while True:
                begun = reader.peek(1)[:1]
                if not begun:
                    return
                with self.changed:
                    self.open += 1
                try:
                    got = self.read(reader)
                finally:
                    with self.changed:
                        self.open -= 1
                        self.changed.notify_all()
                with self.changed:
                    self.requests.append(got)
                sock.sendall(ANSWER if got.method != b"HEAD" else ANSWER[:-2])
        except EOFError:
            with self.changed:
                self.cuts += 1
        except ValueError as e:
            with self.changed:
                self.wrong.append(e)
        except OSError:
            pass
        finally:
            reader.close()
            sock.close()

    @staticmethod
    def read(reader):
        raw = []

        def line():
            raw.append(reader.readline())
            if not raw[-1].endswith(b"\n"):
                raise EOFError
            return raw[-1]

        def exactly(n):
            raw.append(reader.read(n))
            if len(raw[-1]) < n:
                raise EOFError
            return raw[-1]

        def fields():
            found = []
            while (more := line()) != b"\r\n":
                match = FIELD.match(more)
                if not match:
                    raise ValueError(f"not a canonical field: {more!r}")
                found.append(match.groups())
            return found
        match = LINE.match(line())
        if not match:
            raise ValueError(f"not a canonical request line: {raw[-1]!r}")
        got = Request(*match.groups())
        got.fields = fields()
        lengths, codings = got.values(b"content-length"), got.values(b"transfer-encoding")
        if len(got.values(b"host")) != 1 or len(lengths) + len(codings) > 1:
            raise ValueError(f"two hosts or two lengths: {got.fields}")
        if codings:
            if codings != [b"chunked"]:
                raise ValueError(f"another coding: {codings}")
            while True:
                size = line()
                if not SIZE.match(size):
                    raise ValueError(f"not a canonical size: {size!r}")
                if not int(size, 16):
                    break
                got.body += exactly(int(size, 16))
                if exactly(2) != b"\r\n":
                    raise ValueError("no CRLF behind a chunk")
            got.trailers = fields()
        elif lengths:
            if not re.fullmatch(rb"0|[1-9][0-9]*", lengths[0]):
                raise ValueError(f"not a canonical length: {lengths}")
            got.body = exactly(int(lengths[0]))
        got.raw = b"".join(raw)
        return got

    def take(self):
        """What came since the last time, once no request is half read."""
        with self.changed:
            self.changed.wait_for(lambda: not self.open, timeout=5)
            got = self.requests, self.cuts, self.wrong
            self.requests, self.cuts, self.wrong = [], 0, []
        return got

    def end(self):
        self.sock.close()
