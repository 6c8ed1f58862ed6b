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


def openssl(*words, **options):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=TIMEOUT, **options).stdout


def authority(folder, name, by=None, subject=None):
    """NAME.pem and NAME.key: an authority, by itself or by another one."""
    folder = pathlib.Path(folder)
    sign = ["-CA", folder / f"{by}.pem", "-CAkey", folder / f"{by}.key"] if by else []
    openssl("req", "-x509", *KINDS["ec"], "-nodes", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem",
            "-days", 30, "-subj", subject or f"/O=Test/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", *sign)
    return folder / f"{name}.pem"


def client_certificate(folder, name, by, subject=None, kind="ec", days=30, usage="clientAuth", chain=()):
    """NAME.pem (with its chain behind it) and NAME.key, vouched for by the authority."""
    folder = pathlib.Path(folder)
    dates = ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"] if days < 0 else []
    openssl("req", *KINDS[kind], "-nodes", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr",
            "-subj", subject or f"/O=Test/CN={name}", "-utf8")
    if dates:  # only `openssl ca` back-dates
        (folder / "ca.cnf").write_text("[ca]\ndefault_ca=it\n[it]\ndatabase=index.txt\nrand_serial=yes\npolicy=any\n"
                                       "default_md=sha256\nnew_certs_dir=.\n[any]\norganizationName=optional\ncommonName=optional\n")
        (folder / "index.txt").write_text("")
        openssl("ca", "-batch", "-config", "ca.cnf", "-cert", f"{by}.pem", "-keyfile", f"{by}.key", "-in", f"{name}.csr",
                "-out", f"{name}.pem", "-notext", "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", cwd=folder)
    else:
        (folder / "ext.cnf").write_text(f"extendedKeyUsage={usage}\n")
        openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / f"{by}.pem", "-CAkey", folder / f"{by}.key",
                "-days", days, "-extfile", folder / "ext.cnf", "-out", folder / f"{name}.pem")
    whole = (folder / f"{name}.pem").read_text() + "".join((folder / f"{c}.pem").read_text() for c in chain)
    (folder / f"{name}.pem").write_text(whole)
    return folder / f"{name}.pem"


def context(trust=None, version=None, alpn=("http/1.1",), own=None):
    """`own`: the client's certificate, beside which its key lies."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trust:
        made.load_verify_locations(trust)
    else:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if version:
        made.minimum_version = made.maximum_version = version
    if own:
        made.load_cert_chain(own, pathlib.Path(own).with_suffix(".key"))
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
