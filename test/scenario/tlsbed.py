"""Certificates made for a test, and a client that speaks TLS: Python's ssl, which shows what was agreed upon. No test
framework here."""

import pathlib
import socket
import ssl
import subprocess

from program import TIMEOUT

KINDS = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-newkey", "rsa:2048"],
         "ed25519": ["-newkey", "ed25519"]}


def certificate(folder, name, names=("a.example",), kind="ec", days=30, addresses=()):
    """Makes NAME.crt and NAME.key in the folder, signed by itself."""
    folder = pathlib.Path(folder)
    subprocess.run(["openssl", "req", "-x509", *KINDS[kind], "-nodes", "-keyout", folder / f"{name}.key",
                    "-out", folder / f"{name}.crt", "-days", str(days), "-subj", f"/CN={names[0]}",
                    "-addext", "subjectAltName=" + ",".join([*(f"DNS:{n}" for n in names), *(f"IP:{a}" for a in addresses)])],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=TIMEOUT)
    (folder / f"{name}.key").chmod(0o600)
    return folder / f"{name}.crt"


def context(trust=None, version=None, alpn=("http/1.1",)):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trust:
        made.load_verify_locations(trust)
    else:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if version:
        made.minimum_version = made.maximum_version = version
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def connect(port, name="a.example", using=None, session=None):
    """A connection whose handshake is over."""
    using = using or context()
    raw = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return using.wrap_socket(raw, server_hostname=name, session=session)


def head_of(sock):
    got = b""
    while b"\r\n\r\n" not in got:
        more = sock.recv(65536)
        if not more:
            raise AssertionError(f"the connection ended after {got!r}")
        got += more
    return got


def fetch(sock, path="/", name="a.example", method="GET", body=b"", fields=()):
    """One exchange on an open connection: status, head, body."""
    head = [f"{method} {path} HTTP/1.1", f"Host: {name}", *fields]
    if body:
        head.append(f"Content-Length: {len(body)}")
    sock.sendall("\r\n".join([*head, "", ""]).encode() + body)
    got = head_of(sock)
    head, rest = got.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0)
    while len(rest) < length:
        more = sock.recv(65536)
        if not more:
            raise AssertionError("the answer ended early")
        rest += more
    return int(lines[0].split()[1]), head.decode(), rest


def once(port, path="/", name="a.example", using=None, session=None):
    """A connection for one request: status, head, body, and the socket's own words on the handshake."""
    with connect(port, name, using, session) as sock:
        said = {"version": sock.version(), "cipher": sock.cipher()[0], "reused": sock.session_reused,
                "certificate": sock.getpeercert(True)}
        status, head, body = fetch(sock, path, name)
        said["session"] = sock.session
        return status, head, body, said
