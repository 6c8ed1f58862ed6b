"""An HTTP/2 client that sends the frames it is told to, right or wrong. No test framework here."""

import socket
import struct

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS = 4
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, _, STREAM_CLOSED = range(6)
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 7, 8, 11
INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE, ENABLE_CONNECT_PROTOCOL = 4, 6, 8


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values):
    names = {"header_table_size": 1, "initial_window_size": INITIAL_WINDOW_SIZE}
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", names[name], v) for name, v in values.items()))


class Ended(Exception):
    """The connection is over."""


class Client:
    def __init__(self, port, hello=True, **values):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.rest = b""
        self.settings = {}
        if hello:
            self.send(PREFACE + settings(**values))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def head(self, path="/", method="GET", more=(), scheme="http", authority="localhost"):
        return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *more]

    def ask(self, stream, path="/", method="GET", more=(), end=True, **others):
        block = self.encoder.encode(self.head(path, method, more, **others))
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block))

    def exactly(self, n):
        while len(self.rest) < n:
            try:
                data = self.socket.recv(65536)
            except ConnectionError as error:
                raise Ended(str(error)) from None
            if not data:
                raise Ended
            self.rest += data
        data, self.rest = self.rest[:n], self.rest[n:]
        return data

    def next(self):
        """(kind, flags, stream, payload); settings are acknowledged on the way."""
        head = self.exactly(9)
        length = int.from_bytes(head[:3], "big")
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
        payload = self.exactly(length)
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, length, 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                self.settings[name] = value
            self.send(frame(SETTINGS, ACK, 0))
        return kind, flags, stream, payload

    def until(self, *kinds, stream=None):
        while True:
            got = self.next()
            if got[0] in kinds and (stream is None or got[2] == stream):
                return got

    def answer(self, stream, update=True):
        """(status, fields, body) of that stream, or the error code of its RST_STREAM."""
        fields, body = [], b""
        while True:
            kind, flags, of, payload = self.next()
            if kind == GOAWAY and payload[4:8] != b"\0\0\0\0":
                raise Ended(int.from_bytes(payload[4:8], "big"))
            if kind == HEADERS:
                got = self.decoder.decode(payload)  # every block, so that both tables stay the same
                if of == stream:
                    fields += got
            if of != stream:
                continue
            if kind == RST_STREAM:
                return int.from_bytes(payload, "big")
            if kind == DATA:
                body += payload
                if update and payload:
                    size = struct.pack(">I", len(payload))
                    self.send(frame(WINDOW_UPDATE, 0, stream, size) + frame(WINDOW_UPDATE, 0, 0, size))
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                status = [int(value) for name, value in fields if name == ":status"]
                return status[-1], fields, body

    def ends(self):
        """The error code of GOAWAY (None: there was none) when the connection is over."""
        code = None
        try:
            while True:
                kind, _, _, payload = self.next()
                if kind == GOAWAY:
                    code = int.from_bytes(payload[4:8], "big")
        except Ended:
            return code
