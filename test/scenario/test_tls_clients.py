"""Certificates that clients show (ClientCa=, OriginPulls=): who passes, what the app sees, and what no session carries on."""

import base64
import hashlib
import json
import re
import socket
import ssl

import h2.config
import h2.connection
import h2.events
import pytest

import program
from client import Client
from program import TIMEOUT, free_port, give, wait_until
from tlsbed import authority, certificate, client_certificate, connect, context, fetch, once, openssl

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
APP = """
import json
def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({k: v for k, v in environ.items() if "CLIENT" in k}).encode()]
"""


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    """Authorities and certificates, made once."""
    folder = tmp_path_factory.mktemp("issued")
    authority(folder, "ca")
    authority(folder, "other")
    authority(folder, "sub", by="ca")
    client_certificate(folder, "ann", "ca", subject="/O=A, B/CN=Ann \u00c4rger")
    client_certificate(folder, "rsa", "ca", kind="rsa")
    client_certificate(folder, "deep", "sub", chain=["sub"])
    client_certificate(folder, "stranger", "other")
    client_certificate(folder, "over", "ca", days=-1)
    client_certificate(folder, "server", "ca", usage="serverAuth")
    return folder


@pytest.fixture
def mutual(stead, app_folder, issued):
    """up(SITE) gives a site with an app; `secure` is its port for TLS."""
    def up(site="ClientCa=ca.pem\n", more="", files=(), app=APP, begin=program.Stead.up, **options):
        port = free_port()
        folder = app_folder({"app.py": app, **dict(files), "ca.pem": (issued / "ca.pem").read_text(), "other.pem": (issued / "other.pem").read_text(), "stead.conf": f"""[Site]
Domain=a.example
Certificate=own.crt
CertificateKey=own.key
{site}
[Server]
ListenTls=127.0.0.1:{port}
{more}
"""})
        certificate(folder, "own")
        give(folder)
        one = stead(folder, **options)
        one.secure, one.folder = port, folder
        begin(one)
        return one
    return up


def seen(answer):
    """What the app saw of the client."""
    assert answer[0] == 200, answer[1]
    return json.loads(answer[2])


def closes(one):
    return [r["close"] for r in one.logs() if r["kind"] == "access"]


@pytest.mark.smoke
@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_who_passes(mutual, issued, version):
    """Each kind of certificate, good and bad; and whom the app sees."""
    one = mutual()

    def ask(own, **options):
        return once(one.secure, using=context(version=version, own=own and issued / f"{own}.pem"), **options)

    got = seen(ask("ann"))
    der = ssl.PEM_cert_to_DER_cert((issued / "ann.pem").read_text())
    subject = openssl("x509", "-in", issued / "ann.pem", "-noout", "-subject", "-nameopt", "RFC2253").decode().strip().removeprefix("subject=")
    serial = openssl("x509", "-in", issued / "ann.pem", "-noout", "-serial").decode().strip().removeprefix("serial=")
    assert subject == "CN=Ann \\C3\\84rger,O=A\\, B"
    want = {"VERIFY": "SUCCESS", "S_DN": subject, "I_DN": "CN=ca,O=Test", "FINGERPRINT": hashlib.sha256(der).hexdigest()}
    assert got == {**{f"HTTP_X_SSL_CLIENT_{k}": v for k, v in want.items()}, "HTTP_X_SSL_CLIENT_SERIAL": serial,
                   **{f"SSL_CLIENT_{k}": v for k, v in want.items()}, "SSL_CLIENT_M_SERIAL": serial,
                   "HTTP_CLIENT_CERT": f":{base64.b64encode(der).decode()}:"}
    for name in ("rsa", "deep"):
        assert seen(ask(name))["SSL_CLIENT_S_DN"] == f"CN={name},O=Test"
    assert [r["subject"] for r in one.logs() if r.get("status") == 200 and "subject" in r][-3:] == [subject, "CN=rsa,O=Test", "CN=deep,O=Test"]
    before = len(closes(one))
    wrong = {name: ask(name)[0] for name in ("stranger", "over", "server", None)}
    assert wrong == {"stranger": 403, "over": 403, "server": 403, None: 403}
    assert wait_until("the records", lambda: (c := closes(one)[before:]) and len(c) == 4 and c) == ["cert_bad"] * 3 + ["cert_required"]


def test_the_first_request_meets_the_app(mutual, issued):
    """stead's own first request has no certificate, and sees behind the rule whether the app answers; nobody else does."""
    broken = "def application(environ, start_response):\n    raise RuntimeError('broken')\n"
    one = mutual(app=broken, begin=program.Stead.start)
    wait_until("its answer", lambda: "500" in one.output())
    one = mutual(app=APP.replace("return", "print('asked', environ.get('HTTP_X_SSL_CLIENT_VERIFY'), flush=True); return"))
    wait_until("the app is asked", lambda: any(r.get("text") == "asked NONE" for r in one.logs()))
    assert once(one.secure, name="a.example")[0] == 403


def test_a_claim_is_taken_away(mutual, issued):
    """What a client says of itself by our names, in the clear and encrypted, reaches no app; others' fields do."""
    one = mutual("ClientCa=ca.pem\nClientCertificate=optional\nHttp=serve\n[Route /free]\nClientCa=\n")
    lies = ["X-SSL-Client-Verify: SUCCESS", "X-SSL-Client-S-DN: CN=root", "X_SSL_Client_Verify: SUCCESS", "Client-Cert: :MAA=:",
            "Client-Cert-Chain: :MAA=:", "X-SSL-Client-Other: 1", "X-Client-Name: kept"]
    kept = {"HTTP_X_CLIENT_NAME": "kept"}
    with connect(one.secure) as sock:
        assert seen(fetch(sock, fields=lies)) == {**kept, "HTTP_X_SSL_CLIENT_VERIFY": "NONE", "SSL_CLIENT_VERIFY": "NONE"}
        assert seen(fetch(sock, "/free", fields=lies)) == kept
    with connect(one.secure, using=context(own=issued / "rsa.pem")) as sock:
        got = seen(fetch(sock, fields=lies))
        assert (got["HTTP_X_SSL_CLIENT_S_DN"], got["SSL_CLIENT_VERIFY"], "HTTP_CLIENT_CERT_CHAIN" in got) == ("CN=rsa,O=Test", "SUCCESS", False)
        assert seen(fetch(sock, "/free", fields=lies)) == kept
    with Client(one.port) as client:
        client.host = "a.example"
        got = json.loads(client.ask("/", headers={"X-SSL-Client-Verify": "SUCCESS"}).text)
        assert got == {"HTTP_X_SSL_CLIENT_VERIFY": "NONE", "SSL_CLIENT_VERIFY": "NONE"}
    # One that is shown and does not hold is refused, also where none is needed.
    assert once(one.secure, using=context(own=issued / "stranger.pem"))[0] == 403


def test_routes(mutual, issued):
    """Each route has its own authorities; one certificate is good for one of them and not for the other."""
    one = mutual("[Route /ca]\nClientCa=ca.pem\n[Route /other]\nClientCa=other.pem\n[Route /both]\nClientCa=both.pem\n",
                 files={"both.pem": (issued / "ca.pem").read_text() + "words between\n" + (issued / "other.pem").read_text()})
    want = {"ann": {"/": 200, "/ca": 200, "/other": 403, "/both": 200}, "stranger": {"/": 200, "/ca": 403, "/other": 200, "/both": 200},
            None: {"/": 200, "/ca": 403, "/other": 403, "/both": 403}}
    for name, paths in want.items():
        using = context(own=name and issued / f"{name}.pem")
        with connect(one.secure, using=using) as sock:
            assert {path: fetch(sock, path)[0] for path in paths} == paths, name
            assert "SSL_CLIENT_VERIFY" not in seen(fetch(sock, "/"))
            session = sock.session
        with connect(one.secure, using=using, session=session) as sock:  # the verdicts are in the ticket
            assert sock.session_reused
            assert {path: fetch(sock, path)[0] for path in paths} == paths, name


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_sessions(mutual, issued, version):
    """A session carries its certificate on, over gates and reloads, and to no other site, and not when the file has changed."""
    port_of = {}
    one = mutual(more="Gates=2\nSites=sites\n", files={
        "sites/b.conf": "[Site]\nDomain=b.example\nRoot=web\nCertificate=b.crt\nCertificateKey=b.key\nClientCa=../ca.pem\n",
        "sites/web/index.html": "b"})
    certificate(one.folder / "sites", "b", ("b.example",))
    give(one.folder)
    one.cli("reload")
    using = context(version=version, own=issued / "ann.pem")

    def session_of():
        return once(one.secure, using=using)[3]["session"]

    session = session_of()
    for _ in range(4):  # each by the ticket of the one before
        status, _, body, said = once(one.secure, using=using, session=session)
        assert (status, said["reused"]) == (200, True)
        assert json.loads(body)["SSL_CLIENT_VERIFY"] == "SUCCESS"
        session = said["session"]
    # At another site, which trusts the same authorities, it is none: there is a whole handshake.
    status, _, body, said = once(one.secure, name="b.example", using=using, session=session)
    assert (status, body, said["reused"]) == (200, b"b", False)
    # Nor does a connection for one site speak for another.
    with connect(one.secure, using=using) as sock:
        assert fetch(sock)[0] == 200
        assert fetch(sock, name="b.example")[0] == 421
    assert "cert_elsewhere" in closes(one)
    # The file is another: the open connection and the session are of before.
    with connect(one.secure, using=using) as sock:
        assert fetch(sock)[0] == 200
        (one.folder / "ca.pem").write_text((issued / "other.pem").read_text())
        one.cli("reload")
        wait_until("the new rules", lambda: once(one.secure, using=using)[0] == 403)
        assert fetch(sock)[0] == 421
    status, _, _, said = once(one.secure, using=using, session=session)
    assert (status, said["reused"]) == (403, False)
    assert once(one.secure, using=context(version=version, own=issued / "stranger.pem"))[0] == 200


def streams(sock, asks):
    """Requests of one HTTP/2 connection: their statuses."""
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    conn.initiate_connection()
    for number, (host, path) in enumerate(asks):
        conn.send_headers(1 + 2 * number, [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", path)], end_stream=True)
    sock.sendall(conn.data_to_send())
    status, ended = {}, set()
    while len(ended) < len(asks):
        data = sock.recv(65536)
        assert data, "the connection ended"
        for event in conn.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                status[event.stream_id] = int(dict(event.headers)[b":status"])
            if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                ended.add(event.stream_id)
        sock.sendall(conn.data_to_send())
    return [status[1 + 2 * number] for number in range(len(asks))]


def test_http2(mutual, issued):
    """The same by HTTP/2, where browsers send requests for several sites by one connection."""
    one = mutual("ClientCa=ca.pem\n[Route /free]\nClientCa=\n", more="Sites=sites\n", files={
        "sites/b.conf": "[Site]\nDomain=b.example\nRoot=web\nCertificate=../own.crt\nCertificateKey=../own.key\n",
        "sites/web/index.html": "b"})
    own = context(own=issued / "ann.pem", alpn=("h2",))
    with connect(one.secure, using=own) as sock:
        assert streams(sock, [("a.example", "/"), ("b.example", "/"), ("a.example", "/free")]) == [200, 200, 200]
    with connect(one.secure, name="b.example", using=own) as sock:
        assert streams(sock, [("b.example", "/"), ("a.example", "/"), ("a.example", "/free")]) == [200, 421, 200]
    with connect(one.secure, using=context(alpn=("h2",))) as sock:
        assert streams(sock, [("a.example", "/"), ("a.example", "/free")]) == [403, 200]


def test_a_backend_and_a_cache(mutual, issued):
    """A backend over HTTP gets the fields; an answer to one client is stored for nobody else."""
    heard = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                conn, _ = server.accept()
            except OSError:
                return
            with conn:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += conn.recv(65536)
                heard.append(data.decode("latin-1"))
                name = re.search(r"(?im)^x-ssl-client-s-dn: (.*)\r$", heard[-1])
                body = (name[1] if name else "nobody").encode()
                conn.sendall(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    import threading
    threading.Thread(target=serve, daemon=True).start()
    one = mutual(f"Cache=1M\nClientCa=ca.pem\n[Route /b]\nTo=http://127.0.0.1:{server.getsockname()[1]}\n")
    try:
        for name in ("rsa", "deep", "rsa"):
            status, _, body, _ = once(one.secure, "/b", using=context(own=issued / f"{name}.pem"))
            assert (status, body) == (200, f"CN={name},O=Test".encode())
        assert len(heard) == 3 and "client-cert: :" in heard[0].lower()
    finally:
        server.close()


def test_origin_pulls(mutual, issued):
    """Only the network's own connections: nobody here has such a certificate, and all are refused."""
    one = mutual("OriginPulls=cloudflare\n[Route /ours]\nClientCa=ca.pem\n")
    own = context(own=issued / "ann.pem")
    assert once(one.secure, using=own)[0] == 403
    assert once(one.secure)[0] == 403
    assert once(one.secure, "/ours", using=own)[0] == 200
    asked = openssl("s_client", "-connect", f"127.0.0.1:{one.secure}", "-servername", "a.example", input=b"").decode()
    assert "CN = origin-pull.cloudflare.net" in asked, asked
    # The same way with an authority that we have.
    conf = one.folder / "stead.conf"
    conf.write_text(conf.read_text().replace("OriginPulls=cloudflare", "ClientCa=other.pem"))
    one.cli("reload")
    wait_until("the new rules", lambda: once(one.secure, using=context(own=issued / "stranger.pem"))[0] == 200)
    assert once(one.secure, using=own)[0] == 403


def test_findings(mutual, issued):
    """What is wrong has its place, and the last good rules serve on."""
    one = mutual()
    conf, good = one.folder / "stead.conf", (one.folder / "ca.pem").read_text()
    text = conf.read_text()

    def said(ca=good, change=("", ""), code=2):
        (one.folder / "ca.pem").write_text(ca)
        conf.write_text(text.replace(*change))
        shown = one.cli("reload", code=code)
        (one.folder / "ca.pem").write_text(good)
        conf.write_text(text)
        return shown

    assert re.search(r"stead\.conf:5:\d+: error: ClientCa=: .*none\.pem: No such file", said(change=("ca.pem", "none.pem")))
    assert re.search(r"ca\.pem:1:1: error: ClientCa=: there is no certificate in the file", said("nothing\n"))
    broken = good + "\n" + good.replace("MII", "M!I")
    assert re.search(r"ca\.pem:%d:1: error: ClientCa=: the certificate that begins here cannot be read" % (good.count("\n") + 2), said(broken))
    assert "more than 32 certificates" in said(good * 33)
    assert re.search(r"ca\.pem:1:1: warning: ClientCa=: the certificate is over", said((issued / "over.pem").read_text(), code=0))
    assert re.search(r":5:\d+: error: ClientCa=: certificates are shown over TLS", said(change=("ClientCa=", "Https=off\nClientCa="), code=2).replace(":6:", ":5:"))
    assert "ClientCa=: OriginPulls= is there too" in said(change=("ClientCa=", "OriginPulls=cloudflare\nClientCa="))
    assert "nobody is named who vouches" in said(change=("ClientCa=ca.pem", "ClientCertificate=optional"), code=0)
    many = "".join(f"[Route /{n}]\nClientCa=./{'./' * n}ca.pem\n" for n in range(9))
    assert "a site can have 8 different files" in said(change=("[Server]", many + "[Server]"))
    one.cli("reload")
    assert once(one.secure, using=context(own=issued / "ann.pem"))[0] == 200
    assert once(one.secure)[0] == 403


def test_by_hand(mutual, issued):
    """A list that is written by hand counts as the file would; one that is nonsense vouches for nobody."""
    der = openssl("x509", "-in", issued / "ca.pem", "-outform", "DER")
    one = mutual(f"ClientCaCertificate={base64.b64encode(der).decode()}\n[Route /none]\nClientCaCertificate=MAA=\n")
    own = context(own=issued / "ann.pem")
    assert once(one.secure, using=own)[0] == 200
    assert once(one.secure, "/none", using=own)[0] == 403
    assert once(one.secure)[0] == 403
