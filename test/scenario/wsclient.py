"""A WebSocket client on a plain socket that hides nothing (RFC 6455): frames as they are. No test framework here."""

import base64
import hashlib
import os
import struct

from client import Broken, Client

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(opcode, payload=b"", fin=True, mask=b"\x01\x02\x03\x04", rsv=0):
    payload = payload.encode() if isinstance(payload, str) else payload
    n = len(payload)
    head = bytes([fin << 7 | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    head += bytes([bit | n]) if n < 126 else \
        struct.pack("!BH", bit | 126, n) if n < 65536 else struct.pack("!BQ", bit | 127, n)
    if mask:
        key = (mask * (n // 4 + 1))[:n]
        payload = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(n, "big")
    return head + (mask or b"") + payload


def close_payload(code, reason=""):
    return struct.pack("!H", code) + reason.encode()


class WebSocket(Client):
    """`answer` is the handshake's answer. Opened: `opened`."""

    def __init__(self, port, path="/", headers=(), key=None, version="13", **options):
        super().__init__(port, **options)
        self.key = base64.b64encode(os.urandom(16)).decode() if key is None else key
        fields = {"Host": self.host, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": self.key,
                  "Sec-WebSocket-Version": version, **dict(headers)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
        self.send(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        self.shake = self.read_handshake()
        self.opened = self.shake.status == 101

    def read_handshake(self):
        while b"\r\n\r\n" not in self.rest:
            self.more()
        if not self.rest.startswith(b"HTTP/1.1 101 "):
            return self.answer()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        from client import Answer

        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in
                   head.decode("latin-1").split("\r\n")[1:]]
        return Answer(101, headers, b"")

    def accept_is_right(self):
        wanted = base64.b64encode(hashlib.sha1(self.key.encode() + GUID).digest()).decode()
        return self.shake["Sec-WebSocket-Accept"] == wanted

    def put(self, opcode, payload=b"", **options):
        self.send(frame(opcode, payload, **options))

    def say(self, text):
        self.put(TEXT, text)

    def get_frame(self):
        """(opcode, payload); the server's frames are not masked and whole."""
        first, second = self.exactly(2)
        assert first & 0x80 and not first & 0x70 and not second & 0x80, (first, second)
        n = second & 0x7f
        if n == 126:
            n, = struct.unpack("!H", self.exactly(2))
            assert n > 125
        elif n == 127:
            n, = struct.unpack("!Q", self.exactly(8))
            assert n > 65535
        return first & 0x0f, self.exactly(n)

    def hear(self):
        """The next text or bytes; pings are answered."""
        while True:
            opcode, payload = self.get_frame()
            if opcode == PING:
                self.put(PONG, payload)
            elif opcode == TEXT:
                return payload.decode()
            elif opcode == BINARY:
                return payload
            else:
                raise AssertionError((opcode, payload))

    def closing(self):
        """Reads up to the close frame: (code, reason); code None when it is empty."""
        while True:
            opcode, payload = self.get_frame()
            if opcode == CLOSE:
                return (struct.unpack("!H", payload[:2])[0] if payload else None), payload[2:].decode()

    def ended(self):
        """Did the server end the connection, with nothing more to say?"""
        try:
            self.more()
        except Broken:
            return True
        return False

    def say_close(self, code=1000, reason=""):
        self.put(CLOSE, close_payload(code, reason))
        return self.closing()
