"""An HTTP/1.1 client on a plain socket that hides nothing, and a bounded load that tells new connections from
reused ones. No test framework here."""

import html
import re
import select
import socket
import threading
import time
import urllib.parse

from program import TIMEOUT


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __getitem__(self, name):
        """The field's value, or None."""
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def text(self):
        return self.body.decode(errors="replace")

    def __repr__(self):
        return f"<{self.status} {len(self.body)} bytes {self.headers}>"


class Broken(Exception):
    """The connection ended before the answer was whole."""


class Client:
    """One connection. `used` counts the answers that came over it."""

    def __init__(self, port, host="127.0.0.1", timeout=None):
        self.socket = socket.create_connection((host, port), timeout or TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host, self.rest, self.used = f"{host}:{port}", b"", 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionError as error:
            raise Broken(str(error)) from None
        if not data:
            raise Broken("closed")
        self.rest += data

    def line(self):
        while b"\r\n" not in self.rest:
            self.more()
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def exactly(self, count):
        while len(self.rest) < count:
            self.more()
        data, self.rest = self.rest[:count], self.rest[count:]
        return data

    def answer(self, method="GET"):
        """Reads one answer (interim ones are passed over)."""
        while True:
            version, status, *_ = self.line().split(b" ", 2)
            assert version == b"HTTP/1.1", version
            headers = []
            while True:
                line = self.line()
                if not line:
                    break
                name, value = line.split(b":", 1)
                headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
            if int(status) >= 200:
                break
        answer = Answer(int(status), headers, b"")
        if method != "HEAD" and answer.status not in (204, 304):
            if answer["Transfer-Encoding"]:
                answer.body = self.chunks()
            elif answer["Content-Length"] is not None:
                answer.body = self.exactly(int(answer["Content-Length"]))
            else:
                answer.body = self.to_the_end()
        self.used += 1
        return answer

    def chunks(self):
        body = b""
        while True:
            size = int(self.line().split(b";")[0], 16)
            if size == 0:
                while self.line():
                    pass
                return body
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"

    def to_the_end(self):
        body, self.rest = self.rest, b""
        while True:
            data = self.socket.recv(65536)
            if not data:
                return body
            body += data

    def readable(self):
        """Is there something to read (an end, when nothing was asked)?"""
        return bool(select.select([self.socket], [], [], 0)[0])

    def closed(self):
        """Did the other side close, with nothing more to say?"""
        try:
            return self.rest == b"" and self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def ask(self, path="/", method="GET", headers=(), body=b""):
        head = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        head += [f"{name}: {value}" for name, value in dict(headers).items()]
        if body or method in ("POST", "PUT"):
            head.append(f"Content-Length: {len(body)}")
        try:
            self.send(("\r\n".join(head) + "\r\n\r\n").encode() + body)
        except ConnectionError as error:
            raise Broken(str(error)) from None
        return self.answer(method)


def ask(one, path="/", method="GET", headers=(), body=b""):
    """One request on a connection of its own."""
    with Client(one.port) as client:
        return client.ask(path, method, {"Connection": "close", **dict(headers)}, body)


def raw(one, data):
    """Sends bytes, reads until the other side closes."""
    with Client(one.port) as client:
        try:
            client.send(data)
        except ConnectionError:
            pass
        try:
            return client.to_the_end()
        except ConnectionError:
            return b""


class Visitor:
    """A person at the guestbook: keeps the cookie, reads the form, signs."""

    def __init__(self, one):
        self.one, self.cookie, self.form = one, "", {}

    def read(self, path="/"):
        answer = ask(self.one, path, headers={"Cookie": self.cookie} if self.cookie else {})
        self.keep(answer)
        return answer

    def keep(self, answer):
        for value in answer.all("Set-Cookie"):
            self.cookie = value.split(";")[0]
        found = dict(re.findall(r'name="(csrf|form)" value="([^"]+)"', answer.text))
        self.form.update({name: html.unescape(value) for name, value in found.items()})

    def sign(self, name, message, **fields):
        """Sends the form: the answer."""
        if not self.form:
            self.read()
        body = urllib.parse.urlencode({**self.form, "name": name, "message": message, **fields}).encode()
        answer = ask(self.one, "/", "POST", {"Cookie": self.cookie,
                                             "Content-Type": "application/x-www-form-urlencoded"}, body)
        self.form.pop("form", None) if answer.status == 303 else None
        self.keep(answer)
        if answer.status == 303:
            self.read()
        return answer


class Load(threading.Thread):
    """Requests at a steady rate over kept connections, a part of them over new ones.

    What failed is counted by what failed: `refused` (no connection), `new` (the first request of a
    connection), `reused` (a later one, although the server had not said that it would close), `status`
    (an answer of 500 and more). `ended` counts kept connections that the server had closed before anything
    was sent on them: a client sees that in time and takes another, so it is no failure, but it is counted.
    """

    def __init__(self, one, path="/", rate=200, threads=4, renew=10):
        super().__init__(daemon=True)
        self.one, self.path, self.rate, self.threads, self.renew = one, path, rate, threads, renew
        self.over, self.lock = threading.Event(), threading.Lock()
        self.done = {"ok": 0, "new_ok": 0, "refused": 0, "new": 0, "reused": 0, "status": 0, "ended": 0}
        self.worst_sec, self.seen = 0.0, []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        parts = [threading.Thread(target=self.part, daemon=True) for _ in range(self.threads)]
        for part in parts:
            part.start()
        for part in parts:
            part.join()

    def part(self):
        client, pause, due = None, self.threads / self.rate, time.monotonic()
        while not self.over.is_set():
            client = self.one_request(client)
            due = max(due + pause, time.monotonic() - 1)
            self.over.wait(max(0, due - time.monotonic()))
        if client:
            client.close()

    def one_request(self, client):
        began, kind = time.monotonic(), "reused"
        if client and client.readable():
            client.close()
            client = None
            self.count("ended", "ended", began, None)
        try:
            if client is None:
                kind = "refused"
                client = Client(self.one.port)
                kind = "new"
            answer = client.ask(self.path)
            close = answer["Connection"] == "close" or client.used >= self.renew
            self.count("status" if answer.status >= 500 else "ok", kind, began, answer)
            if not close:
                return client
        except (Broken, OSError) as error:
            self.count(kind, kind, began, error)
        if client:
            client.close()
        return None

    def count(self, what, kind, began, seen):
        with self.lock:
            self.done[what] += 1
            if what == "ok" and kind == "new":
                self.done["new_ok"] += 1
            if what not in ("ok", "ended") and len(self.seen) < 20:
                self.seen.append(f"{what}: {seen}")
            self.worst_sec = max(self.worst_sec, time.monotonic() - began)

    @property
    def failed(self):
        return self.done["refused"] + self.done["new"] + self.done["reused"] + self.done["status"]

    def wait_for(self, count):
        """Until that many more requests were answered."""
        from program import wait_until
        goal = self.done["ok"] + count
        wait_until(f"{count} more answers", lambda: self.done["ok"] >= goal)

    def __str__(self):
        reused = self.done["ok"] - self.done["new_ok"]
        return (f"new {self.done['refused'] + self.done['new']}/{self.done['new_ok']}, "
                f"reused {self.done['reused']}/{reused}, ended when idle {self.done['ended']}, 5xx {self.done['status']}, "
                f"worst {self.worst_sec * 1000:.0f} ms")
