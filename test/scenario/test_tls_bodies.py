"""What goes through TLS: bodies both ways, slow readers, many requests in one record, WebSockets, the end of it."""

import hashlib
import os
import socket
import ssl
import subprocess
import time

from program import TIMEOUT, free_port, give
from tlsbed import certificate, connect, context, fetch, head_of
from wsclient import WebSocket

APP = '''
import hashlib


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            got = await receive()
            await send({"type": got["type"] + ".complete"})
            if got["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (got := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": got.get("text"), "bytes": got.get("bytes")})
        return
    digest, more = hashlib.sha256(), True
    while more:
        got = await receive()
        digest.update(got.get("body", b""))
        more = got.get("more_body", False)
    body = (scope["scheme"] + " " + digest.hexdigest()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
'''
BIG = os.urandom(3 * 1024 * 1024)


class SecureWebSocket(WebSocket):
    def send(self, data):
        if not isinstance(self.socket, ssl.SSLSocket):
            self.socket = context().wrap_socket(self.socket, server_hostname="a.example")
        super().send(data)


def up(stead, app_folder):
    port = free_port()
    folder = app_folder({"app.py": APP, "public/big.bin": BIG, "public/small.txt": "small", "stead.conf": f"""[Site]
Domain=a.example
Static=/static public
Certificate=own.crt
CertificateKey=own.key
BodyBuffer=no
[Python]
Asgi=app:app
Workers=1
[Server]
ListenTls=127.0.0.1:{port}
"""})
    certificate(folder, "own")
    give(folder)
    one = stead(folder)
    one.secure = port
    return one.up()


def test_bodies(stead, app_folder, work):
    """3 MB up and down by HTTP/1.1 and HTTP/2; the app sees https; a WebSocket does not notice a reload."""
    one = up(stead, app_folder)
    wanted = "https " + hashlib.sha256(BIG).hexdigest()
    (work / "big").write_bytes(BIG)
    for option in ("--http1.1", "--http2"):
        out = subprocess.run(["curl", "-sSk", option, "--resolve", f"a.example:{one.secure}:127.0.0.1", "--data-binary", f"@{work}/big",
                              f"https://a.example:{one.secure}/"], capture_output=True, timeout=TIMEOUT, text=True)
        assert out.stdout == wanted, (option, out)
    with connect(one.secure) as sock:
        assert fetch(sock, "/", method="POST", body=BIG)[2].decode() == wanted
        assert fetch(sock, "/static/big.bin")[2] == BIG
        # Expect: 100-continue, then a body in many small records.
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 300\r\nExpect: 100-continue\r\n\r\n")
        assert head_of(sock).startswith(b"HTTP/1.1 100 ")
        for at in range(0, 300, 10):
            sock.sendall(BIG[at:at + 10])
        got = head_of(sock)
        assert got.endswith(hashlib.sha256(BIG[:300]).hexdigest().encode()), got
    with SecureWebSocket(one.secure) as ws:
        assert ws.opened
        for text in ("hello", "x" * 300000):
            ws.say(text)
            assert ws.hear() == text
        one.cli("reload")
        ws.say("after the reload")
        assert ws.hear() == "after the reload"
        assert ws.say_close(1000, "bye") == (1000, "")


def test_slow_readers_and_the_end(stead, app_folder):
    """A client that does not read holds nobody up and gets every byte; requests in one record; close_notify at the end."""
    one = up(stead, app_folder)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(TIMEOUT)
    raw.connect(("127.0.0.1", one.secure))
    with context().wrap_socket(raw, server_hostname="a.example") as slow:
        slow.sendall(b"GET /static/big.bin HTTP/1.1\r\nHost: a.example\r\n\r\n" * 2)
        with connect(one.secure) as other:
            for _ in range(20):
                assert fetch(other, "/static/small.txt")[2] == b"small"
        got, whole = b"", len(BIG)
        while len(got) < whole:
            more = slow.recv(65536)
            assert more
            got += more
            if whole == len(BIG) and b"\r\n\r\n" in got:
                whole = 2 * (got.index(b"\r\n\r\n") + 4 + len(BIG))
        first, rest = got.split(b"\r\n\r\n", 1)
        assert rest[:len(BIG)] == BIG and rest[len(BIG):].split(b"\r\n\r\n", 1)[1] == BIG
    with connect(one.secure) as sock:
        sock.sendall(b"GET /static/small.txt HTTP/1.1\r\nHost: a.example\r\n\r\n" * 20)
        got = b""
        while got.count(b"small") < 20:
            got += sock.recv(65536)
    for last in (b"Connection: close\r\n", b""):
        # With ragged ends allowed a cut would pass for an end.
        plain = socket.create_connection(("127.0.0.1", one.secure), TIMEOUT)
        with context().wrap_socket(plain, server_hostname="a.example", suppress_ragged_eofs=False) as sock:
            sock.sendall(b"GET /static/big.bin HTTP/1.1\r\nHost: a.example\r\n" + last + b"\r\n")
            got = b""
            while last or not got.endswith(BIG[-1000:]):
                more = sock.recv(65536)
                if not more:
                    break
                got += more
            assert got.endswith(BIG[-1000:])


def test_a_record_that_does_not_fit(stead, app_folder):
    """The end of one record and a whole next one come at once, and are more than a buffer takes: what OpenSSL keeps of it is read
    without another byte of the client's."""
    one, body = up(stead, app_folder), BIG[:25000]
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = context().wrap_bio(incoming, outgoing, server_hostname="a.example")

    def exchange(act, *arguments):
        while True:
            try:
                return act(*arguments)
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))

    with socket.create_connection(("127.0.0.1", one.secure), TIMEOUT) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        exchange(end.do_handshake)
        end.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % len(body))
        sock.sendall(outgoing.read())
        end.write(body[:10000])
        first = outgoing.read()
        end.write(body[10000:])
        sock.sendall(first[:-1000])
        time.sleep(0.2)  # so that they come apart; if they do not, the test proves less and does not fail
        sock.sendall(first[-1000:] + outgoing.read())
        got = b""
        while b"\r\n\r\n" not in got or not got.endswith(hashlib.sha256(body).hexdigest().encode()):
            more = exchange(end.read, 65536)
            assert more, got
            got += more
