"""What rules_9110.py and rules_9112.py share: two gates, and how a rule is written down.

files(bytes) talks to a gate that serves a folder, through(bytes, reply) to one before a backend that answers as the rule
says; both give the answers of one connection until it ends.
"""

import os
import re
import socket
import time

from backendbed import Backend, answer
from gatebed import FILES, Answer, Gate, described
from proxybed import description

GET = b"GET %s HTTP/1.1\r\nHost: h\r\n%sConnection: close\r\n\r\n"
RULES = []


def rule(section, text):
    def add(function):
        RULES.append((section, text, function))
        return function
    return add


class World:
    def __init__(self, folder):
        for name, content in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / "future.txt").write_bytes(b"later")
        os.utime(folder / "future.txt", (time.time() + 86400,) * 2)
        (folder / "text.html").write_bytes(b"<p>text</p>\n" * 500)
        self.static = Gate(folder)
        self.backend = Backend(self.script)
        self.proxy = Gate(described(description([self.backend.server], {"body_max": 1 << 20, "compress": True}, fail_max=1000)))
        self.reply, self.heard = answer(), []

    def script(self, talk):
        while (got := talk.head()) is not None:
            fields = [(name.lower(), value) for name, value in got[1]]
            talk.trailers = []
            try:
                body = talk.body(got[1])
            except ValueError:  # no chunk where one should begin: cut
                return
            if len(body) < int(dict(fields).get("content-length", 0)):
                return
            self.heard.append((got[0], fields, body, talk.trailers))
            talk.send(self.reply)
            if not re.search(rb"\r\n(content-length|transfer-encoding):", self.reply, re.I):
                return

    @staticmethod
    def exchange(gate, raw, methods):
        found = []
        with gate.connect() as sock:
            reader = sock.makefile("rb")
            try:
                sock.sendall(raw)
                sock.shutdown(socket.SHUT_WR)
            except OSError:  # refused before it was whole
                pass
            while True:
                try:
                    found.append(Answer(reader, methods[min(len(found), len(methods) - 1)]))
                except (EOFError, ConnectionResetError):
                    return found

    def files(self, raw, *methods):
        return self.exchange(self.static, raw, methods or [raw.split(b" ")[0].decode("latin-1")])

    def through(self, raw, reply=answer(), *methods):
        """The answers, and what the backend read: [(first line, fields, body, trailers)]."""
        self.reply, self.heard = reply, []
        got = self.exchange(self.proxy, raw, methods or [raw.split(b" ")[0].decode("latin-1")])
        return got, self.heard

    def end(self):
        assert self.static.end() == 0 and self.proxy.end() == 0
        self.backend.end()


def one(answers):
    assert len(answers) == 1, answers
    return answers[0]


def get(w, path=b"/a.txt", fields=b""):
    return one(w.files(GET % (path, fields)))


def head_of(heard):
    assert len(heard) == 1, heard
    return dict(heard[0][1])
