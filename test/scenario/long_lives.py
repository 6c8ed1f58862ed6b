"""Connections that live through what a test does: WebSockets, a long download, a long upload. No test framework here."""

import base64
import hashlib
import os
import socket
import threading

from backendbed import Backend
from client import Client

PIECE = 65536
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def script(talk):
    """The backend of all of them: /ws echoes frames, /down sends X-Bytes, anything else counts what it is sent."""
    while (got := talk.head()) is not None:
        line, fields = got
        path = line.split()[1]
        fields = {name.lower(): value for name, value in fields}
        if path.endswith("/ws"):
            accept = base64.b64encode(hashlib.sha1(fields["sec-websocket-key"].encode() + MAGIC).digest())
            talk.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            while data := talk.reader.read1(PIECE):
                talk.send(data)
            return
        if path.endswith("/down"):
            pieces = int(fields["x-bytes"]) // PIECE
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (pieces * PIECE))
            for number in range(pieces):
                talk.send(piece(number))
            continue
        digest, count = hashlib.sha256(), 0
        while size := int(talk.reader.readline(), 16):
            digest.update(talk.reader.read(size))
            count += size
            talk.reader.readline()
        talk.reader.readline()
        text = f"{count} {digest.hexdigest()}".encode()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)


def piece(number):
    return hashlib.sha256(b"%d" % number).digest() * (PIECE // 32)


def backend():
    return Backend(script)


class WebSocket:
    """An upgraded connection; its frames are echoed."""

    def __init__(self, port, path):
        self.client = Client(port)
        key = base64.b64encode(os.urandom(16))
        self.client.send(b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n" % (path.encode(), key))
        status, accept = self.client.line(), None
        while line := self.client.line():
            name, _, value = line.partition(b": ")
            accept = value if name.lower() == b"sec-websocket-accept" else accept
        assert status.split()[1] == b"101", status
        assert accept == base64.b64encode(hashlib.sha1(key + MAGIC).digest()), accept

    def says(self, text):
        """Is this text echoed, in one masked frame?"""
        data = text.encode()
        frame = bytes([0x81, 0x80 | len(data)]) + bytes(4) + data
        self.client.send(frame)
        return self.client.exactly(len(frame)) == frame

    @property
    def socket(self):
        return self.client.socket

    def close(self):
        self.client.close()


class Lives:
    """Threads that keep such connections going until end(), which gives what was wrong with any of them."""

    def __init__(self, port, prefix, idle=20, active=20):
        self.port, self.prefix, self.over, self.wrong = port, prefix, threading.Event(), []
        self.sockets = [WebSocket(port, prefix + "/ws") for _ in range(idle + active)]
        self.active, self.echoed, self.moved = self.sockets[idle:], 0, {}
        self.threads = [threading.Thread(target=self.guard, args=(what,), daemon=True)
                        for what in (self.talk, self.download, self.upload)]
        for thread in self.threads:
            thread.start()

    def guard(self, what):
        try:
            what()
        except Exception as error:  # noqa: BLE001 - told by end()
            self.wrong.append(f"{what.__name__}: {error!r}")

    def talk(self):
        while not self.over.is_set():
            for ws in self.active:
                assert ws.says(f"frame {self.echoed}")
                self.echoed += 1
            self.over.wait(0.02)

    def download(self):
        """A small receive buffer and a slow reader: the answer is on its way the whole time."""
        pieces = 512
        with Client(self.port) as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
            client.send(f"GET {self.prefix}/down HTTP/1.1\r\nHost: localhost\r\nX-Bytes: {pieces * PIECE}\r\n\r\n".encode())
            while client.line():
                pass
            for number in range(pieces):
                assert client.exactly(PIECE) == piece(number), f"piece {number} is another"
                self.moved["down"] = number + 1
                self.over.wait(0 if number < pieces // 8 else 0.05)
                while number == pieces // 2 and not self.over.is_set():
                    client.rest += client.socket.recv(256)  # the rest waits for the end
                    self.over.wait(0.1)

    def upload(self):
        """Chunks until the end; the backend has their sum."""
        digest, count = hashlib.sha256(), 0
        with Client(self.port) as client:
            client.send(f"POST {self.prefix}/up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            while not self.over.is_set():
                data = piece(count)[:8192]
                client.send(b"%x\r\n%s\r\n" % (len(data), data))
                digest.update(data)
                count += 1
                self.over.wait(0.05)
            client.send(b"0\r\n\r\n")
            answer = client.answer()
            self.moved["up"] = count
            assert answer.text == f"{count * 8192} {digest.hexdigest()}", answer.text

    def end(self):
        """What went wrong; every WebSocket is tried once more."""
        self.over.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                self.wrong.append("a transfer that never ended")
        for number, ws in enumerate(self.sockets):
            try:
                if not ws.says("last words"):
                    self.wrong.append(f"WebSocket {number} echoes something else")
            except OSError as error:
                self.wrong.append(f"WebSocket {number}: {error!r}")
            except Exception as error:  # noqa: BLE001
                self.wrong.append(f"WebSocket {number}: {error!r}")
            ws.close()
        return self.wrong
