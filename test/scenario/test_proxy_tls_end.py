"""How a TLS backend ends its answer: an end that TLS did not say is a cut, whatever TCP says (RFC 8446 section 6.1)."""

import socket
import ssl
import subprocess

import pytest

from gatebed import request
from proxybed import bed  # noqa: F401 - a fixture

HEADS = {"until its end": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
         "a length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
         "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"}


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    top = tmp_path_factory.mktemp("tls")
    key, cert = top / "key", top / "cert"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-keyout", key, "-out", cert, "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)
    it = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    it.load_cert_chain(cert, key)
    return it


@pytest.mark.parametrize("size", [1000, 3000000])
@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("framing", HEADS)
def test_end_of_an_answer(bed, context, monkeypatch, framing, said, size):  # noqa: F811
    """Only where close_notify came is an answer of unknown length whole; one that says its length is whole without."""
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    body = b"z" * size

    def script(t):
        t.head()
        head = HEADS[framing]
        if framing == "a length":
            t.send(head % size + body)
        elif framing == "chunks":
            t.send(head + b"%x\r\n" % size + body + b"\r\n0\r\n\r\n")
        else:
            t.send(head + body)
        if said:
            # Says close_notify, and waits for the peer's or its end.
            try:
                t.sock.unwrap()
            except OSError:
                pass
        else:
            # TCP's end alone, as anybody on the way could say it.
            raw = socket.socket(fileno=t.sock.fileno())
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(65536):
                pass
            raw.detach()
    gate, _ = bed(script, wrap=lambda s: context.wrap_socket(s, server_side=True, suppress_ragged_eofs=True), tls=True,
                  retry=0)
    with gate.connect() as sock:
        sock.sendall(request("/", Connection="close"))
        got = b""
        try:
            while piece := sock.recv(65536):
                got += piece
        except ConnectionResetError:
            pass
    head, _, rest = got.partition(b"\r\n\r\n")
    whole = rest.endswith(b"\r\n0\r\n\r\n") if b"chunked" in head else len(rest) == size
    if framing == "until its end" and not said:
        assert not whole
        assert gate.records(1)[0]["close"] == "up_closed"
    else:
        assert head.startswith(b"HTTP/1.1 200 ") and whole
        assert gate.records(1)[0]["close"] == "done"
