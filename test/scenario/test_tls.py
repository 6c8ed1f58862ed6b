"""TLS served by the gates with private keys that are in another process."""

import concurrent.futures
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading

import pytest

import program
from client import Client
from program import BUILD, TIMEOUT, free_port, give, wait_until
from test_root import RootStead
from tlsbed import certificate, connect, context, fetch, once

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BIG = bytes(range(256)) * 16 * 1024


@pytest.fixture
def tls(stead, app_folder, work):
    """up(TEXT) gives a site with a certificate; `secure` is its port for TLS."""
    def up(more="", kind="ec", gates=1, site="", files=(), names=("a.example", "*.a.example"), addresses=(),
           **options):
        port = free_port()
        folder = app_folder({"public/index.html": "hello", "public/big.bin": BIG, **dict(files), "stead.conf": f"""[Site]
Domain=a.example
Root=public
Certificate=own.crt
CertificateKey=own.key
{site}
[Server]
ListenTls=127.0.0.1:{port}
Gates={gates}
{more}
"""})
        certificate(folder, "own", names, kind, addresses=addresses)
        give(folder)
        one = stead(folder, **options)
        one.secure, one.folder = port, folder
        return one.up()
    return up


@pytest.mark.smoke
@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_both_versions(tls, kind):
    """Handshakes of TLS 1.2 and 1.3 with each kind of key, verified by the client; nothing older."""
    one = tls(kind=kind)
    trust = one.folder / "own.crt"
    for version, name in ((V12, "TLSv1.2"), (V13, "TLSv1.3")):
        status, head, body, said = once(one.secure, using=context(trust, version))
        assert (status, body, said["version"]) == (200, b"hello", name)
        assert "Strict-Transport-Security" not in head  # nobody trusts that certificate but this test
    old = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{one.secure}", "-tls1_1", "-cipher", "ALL@SECLEVEL=0"],
                         stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, text=True)
    assert "Cipher is (NONE)" in old.stdout, old.stdout
    record = [r for r in one.logs() if r.get("tls")][-1]
    assert (record["tls"], record["scheme"], "sni" in record) == ("TLSv1.3", "https", False) and record["cipher"].startswith("TLS_"), record
    # What is not encrypted is sent there.
    got = plain(one, "/x?y=1")
    assert (got.status, got["Location"]) == (308, f"https://a.example:{one.secure}/x?y=1")
    metrics = one.cli("metrics")
    assert re.search(r"^stead_tls_handshakes_total\b.* [1-9]", metrics, re.M), metrics


def test_large_bodies_and_protocols(tls, work):
    """Whole answers of 4 MB both ways and by each protocol, by Python, curl and nghttp."""
    one = tls()
    with connect(one.secure) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
        assert fetch(sock, "/big.bin")[2] == BIG
        assert fetch(sock)[2] == b"hello"
    for option, version in (("--http1.1", "1.1"), ("--http2", "2")):
        out = subprocess.run(["curl", "-sS", option, "--cacert", one.folder / "own.crt", "--resolve", f"a.example:{one.secure}:127.0.0.1",
                              f"https://a.example:{one.secure}/big.bin", "-w", "%{stderr}%{http_version}"], capture_output=True, timeout=TIMEOUT)
        assert (out.stdout == BIG, out.stderr) == (True, version.encode())
    load = subprocess.run(["h2load", "-n", "400", "-c", "8", "-m", "10", f"https://127.0.0.1:{one.secure}/"], capture_output=True,
                          timeout=TIMEOUT, text=True)
    assert "400 succeeded, 0 failed" in load.stdout, load.stdout


def test_resumed_everywhere(tls):
    """A session of one gate is resumed at the other, behind a reload, by gates that are new, and by keys that is new."""
    one = tls(gates=2)
    wait_until("both gates", lambda: len(one.pids("gate")) == 2)
    using = {version: context(version=version) for version in (V12, V13)}
    sessions = {version: once(one.secure, using=using[version])[3]["session"] for version in using}

    def resumes(what):
        for version in using:
            for _ in range(6):  # the kernel deals connections to both
                status, _, body, said = once(one.secure, using=using[version], session=sessions[version])
                assert (status, body, said["reused"]) == (200, b"hello", True), (what, version)

    resumes("as it is")
    one.cli("reload")
    resumes("behind a reload")
    for pid in one.pids("gate"):
        os.kill(pid, signal.SIGKILL)
        wait_until("another gate", lambda pid=pid: pid not in one.pids("gate") and len(one.pids("gate")) == 2)
    wait_until("it answers again", lambda: answers(one))
    resumes("by new gates")
    one.kill_and_wait("keys")
    wait_until("the new keys", lambda: answers(one))
    resumes("with a new keys")
    assert not once(one.secure, using=context(), session=None)[3]["reused"]


@pytest.mark.parametrize("version", [V12, V13])
def test_resumed_each_time(tls, version):
    """A client that uses each session once, as browsers do (RFC 8446 appendix C.4), shakes hands in full once."""
    one, session = tls(), None
    using = context(version=version)
    for nth in range(4):
        said = once(one.secure, using=using, session=session)[3]
        assert said["reused"] == (nth > 0), nth
        session = said["session"]


def plain(one, path="/", headers=(), host="a.example"):
    """A request in the clear."""
    with Client(one.port) as client:
        client.host = host
        return client.ask(path, headers={"Connection": "close", **dict(headers)})


def answers(one):
    try:
        return once(one.secure)[0] == 200
    except OSError:
        return False


@pytest.mark.promise
def test_keys_is_killed_at_load(tls, promise):
    """Handshakes wait for the next keys process; none is lost."""
    one = tls()
    once(one.secure)
    stop, failed, done = threading.Event(), [], []

    def load():
        while not stop.is_set():
            try:
                assert once(one.secure)[2] == b"hello"
                done.append(1)
            except (OSError, AssertionError) as error:
                failed.append(repr(error))

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for _ in range(6):
            pool.submit(load)
        for _ in range(3):
            before = len(done)
            one.kill_and_wait("keys")
            wait_until("handshakes go on", lambda before=before: len(done) > before + 12)
        stop.set()
    promise("key process killed", f"3 times: {len(failed)} of {len(done) + len(failed)} full handshakes failed", not failed)
    assert not failed, failed[:3]
    one.kill_and_wait("ctl")
    one.kill_and_wait("keys")  # the parent has the vault, whoever else is there
    wait_until("it answers again", lambda: answers(one))


def test_names(tls, app_folder):
    """Each name gets its site's certificate; one that no site has gets none; without a name the first that there is."""
    one = tls(more="Sites=sites", files={"sites/b.conf": "[Site]\nDomain=b.example *.w.example\nRoot=web\nCertificate=b.crt\nCertificateKey=b.key\n", "sites/web/index.html": "b",
                                         "sites/c.conf": "[Site]\nDomain=c.example\nRoot=web\n"})
    # The second one's files come now: its site is what was wrong, and no other.
    assert answers(one)
    certificate(one.folder / "sites", "b", ("b.example", "*.w.example"))
    give(one.folder)
    one.cli("reload")
    own, b = (ssl.PEM_cert_to_DER_cert((one.folder / f"{n}.crt").read_text()) for n in ("own", "sites/b"))
    for name, der in (("a.example", own), ("b.example", b), ("B.Example", b), ("x.w.example", b), (None, own)):
        with connect(one.secure, name) as sock:
            assert sock.getpeercert(True) == der, name
    with pytest.raises(ssl.SSLError, match="unrecognized|UNRECOGNIZED"):
        connect(one.secure, "c.example")
    assert re.search(r"^stead_tls_unknown_names_total\b.* [1-9]", one.cli("metrics"), re.M)


def test_reload_swaps(tls):
    """A new certificate is served by new connections; an open one stays, and goes on."""
    one = tls()
    with connect(one.secure) as kept:
        first = kept.getpeercert(True)
        assert fetch(kept)[2] == b"hello"
        certificate(one.folder, "own", kind="rsa")
        give(one.folder)
        one.cli("reload")
        wait_until("the new certificate", lambda: once(one.secure)[3]["certificate"] != first)
        assert fetch(kept)[2] == b"hello"
        assert kept.getpeercert(True) == first


def test_bad_files(tls, stead, app_folder, work):
    """Each error with its place, its reason and what to do; the last good certificate serves on."""
    one = tls()
    conf = (one.folder / "stead.conf").read_text()
    other = work / "other"
    other.mkdir()
    certificate(other, "x", kind="rsa")
    good = {name: (one.folder / name).read_bytes() for name in ("own.crt", "own.key")}

    def said(name, content):
        (one.folder / name).write_bytes(content)
        give(one.folder)
        text = one.cli("reload", code=None)
        (one.folder / name).write_bytes(good[name])
        return text

    assert "the private key is not the certificate's" in said("own.key", (other / "x.key").read_bytes())
    assert "there is no private key in the file" in said("own.key", b"none")
    assert "there is no certificate in the file" in said("own.crt", b"\x00\xff" * 100)
    place = said("own.crt", b"")
    assert re.search(r"stead\.conf:4:\d+: error: Certificate=", place), place
    assert answers(one)
    locked = subprocess.run(["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", one.folder / "own.key"], capture_output=True, check=True)
    assert "protected by a password" in said("own.key", locked.stdout)
    (one.folder / "own.key").chmod(0o644)
    assert re.search(r"stead\.conf:5:\d+: warning: CertificateKey=: other users", one.cli("check", str(one.folder), code=None))
    (one.folder / "own.key").chmod(0o600)
    (one.folder / "stead.conf").write_text(conf.replace("CertificateKey=own.key", ""))
    assert "the private key is missing" in one.cli("reload", code=None)
    (one.folder / "stead.conf").write_text(conf.replace("Domain=a.example", "Domain=a.example other.example"))
    assert "not for other.example" in one.cli("reload", code=None)
    # One that is over is served, with a warning: browsers say the rest.
    subprocess.run(["openssl", "x509", "-in", one.folder / "own.crt", "-signkey", one.folder / "own.key", "-days", "-1",
                    "-out", one.folder / "own.crt"], check=True, capture_output=True)
    give(one.folder)
    assert "the certificate ended on" in one.cli("reload", code=None)
    assert answers(one)


def secrets_of(key):
    """What a private key is made of, as it may lie in memory: big-endian, and in words as the library computes."""
    text = subprocess.run(["openssl", "pkey", "-in", key, "-noout", "-text"], capture_output=True, text=True, check=True).stdout
    found = []
    for name in ("priv:", "privateExponent:", "prime1:", "prime2:"):
        if name in text:
            rest = text.split(name, 1)[1]
            digits = re.match(r"[\s0-9a-f:]+?(?=\n\S)", rest).group(0)
            raw = bytes.fromhex(re.sub(r"[\s:]", "", digits)).lstrip(b"\0")
            found += [raw, raw[::-1]]
    assert found, text
    # A part is as good as the whole for whoever looks for it; and parts survive better.
    return [piece[at:at + 24] for piece in found for at in (0, len(piece) - 24)]


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_no_key_in_a_gate(tls, kind):
    """After handshakes of all sorts no gate (nor ctl) holds a part of a private key; keys does, so the search works."""
    one = tls(kind=kind, gates=2)
    wait_until("both gates", lambda: len(one.pids("gate")) == 2)
    for version in (V12, V13):
        for _ in range(8):
            once(one.secure, using=context(version=version))
    secrets = secrets_of(one.folder / "own.key")
    blobs = [(one.folder / "own.key").read_bytes().splitlines()[2]]

    def holds(pid):
        return [s.hex() for chunk in program.memory_of(pid) for s in (*secrets, *blobs) if s in chunk]

    assert holds(one.pid("keys")), "the search finds nothing at all"
    for role in ("gate", "ctl", "log", "parent"):
        for pid in one.pids(role):
            assert not holds(pid), (role, pid)
    # And at rest: nothing readable in the state folder.
    for file in one.state.rglob("*"):
        if file.is_file() and not file.is_symlink():
            content = file.read_bytes()
            assert not any(s in content for s in (*secrets, *blobs)), file
    assert oct((one.state / "keys" / "secret").stat().st_mode & 0o777) == "0o600"


@pytest.mark.root
def test_keys_is_jailed(tls):
    """System calls are filtered, it cannot be looked into by its user, and it has no network."""
    one = tls()
    pid = one.pid("keys")
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status, status
    assert pathlib.Path(f"/proc/{pid}/mem").stat().st_uid == 0  # what is not dumpable is root's
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not [link for link in links if link.startswith("/") and link != "/dev/null" and str(one.work) not in link and "memfd" not in link], links
    assert not [link for link in links if "/keys" in link], links


def test_slow_handshakes_end(tls):
    """Who begins a handshake and does not go on is ended at HeaderTimeoutSec=, whatever it sends, and holds nobody up."""
    one = tls(site="HeaderTimeoutSec=400ms\n")
    quiet = socket.create_connection(("127.0.0.1", one.secure), TIMEOUT)
    slow = socket.create_connection(("127.0.0.1", one.secure), TIMEOUT)
    slow.sendall(b"\x16\x03\x01\x02\x00\x01")
    assert answers(one)
    assert quiet.recv(1) == b"" and slow.recv(1) == b""
    # Bytes that are no TLS: a fatal alert, or the end.
    with socket.create_connection(("127.0.0.1", one.secure), TIMEOUT) as clear:
        clear.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        got = clear.recv(100)
        assert got == b"" or got[:1] == b"\x15", got
    assert answers(one)
    assert re.search(r"^stead_tls_timeouts_total\b.* [1-9]", one.cli("metrics"), re.M)


def test_http_key(tls):
    """Http=serve answers, Http=off refuses; a trusted proxy that says https is never sent round."""
    one = tls(site="Http=serve\nHsts=1d\nTrustedProxies=127.0.0.1\n")
    assert plain(one).text == "hello"
    assert "Strict-Transport-Security: max-age=86400" in once(one.secure)[1]
    conf = one.folder / "stead.conf"
    conf.write_text(conf.read_text().replace("Http=serve", "Http=off"))
    one.cli("reload")
    assert plain(one).status == 403
    conf.write_text(conf.read_text().replace("Http=off", "Http=redirect"))
    one.cli("reload")
    assert plain(one).status == 308
    assert plain(one, headers={"X-Forwarded-Proto": "https"}).text == "hello"
    assert plain(one, headers={"X-Forwarded-Proto": "http"}).status == 308
    conf.write_text(conf.read_text().replace("Http=redirect", "Http=redirect\nProtocols=h1"))
    one.cli("reload")
    with connect(one.secure, using=context(alpn=("h2", "http/1.1"))) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
    conf.write_text(conf.read_text().replace("Http=redirect", "Https=off"))
    one.cli("reload")
    assert plain(one).text == "hello"
    with pytest.raises(OSError):
        once(one.secure)


def test_command_line(stead, app_folder):
    """--https stands before the file, also after a reload; a wrong one is found before anything starts."""
    port = free_port()
    folder = app_folder({"public/index.html": "hello", "stead.conf": "[Site]\nDomain=a.example\nRoot=public\nCertificate=own.crt\nCertificateKey=own.key\n"})
    certificate(folder, "own")
    give(folder)
    one = stead(folder, arguments=["--https", f"127.0.0.1:{port}"])
    one.secure = port
    one.up()
    assert f"https://127.0.0.1:{port}" in one.output()
    assert once(port)[2] == b"hello"
    one.cli("reload")
    assert once(port)[2] == b"hello"
    wrong = subprocess.run([BUILD / "stead", "up", folder, "--https", "nowhere"], capture_output=True, text=True, timeout=TIMEOUT)
    assert wrong.returncode == 2 and "--https nowhere is not an address" in wrong.stderr + wrong.stdout


def test_written_by_hand(stead, app_folder):
    """What is found by Certificate= and is nonsense when it is written: nothing is served over TLS, and the rest is."""
    port = free_port()
    one = stead(app_folder({"public/index.html": "hello", "stead.conf": f"""[Site]
Root=public
CertificateChain=MAA=
CertificateBox=MAA=
[Server]
ListenTls=127.0.0.1:{port}
"""}))
    one.up()
    assert plain(one).text == "hello"
    with pytest.raises(OSError):
        once(port)
    assert plain(one).text == "hello"


@pytest.mark.root
def test_as_root(work, app_folder, request):
    """Each role under a user of its own: keys in an empty root folder, its memory locked, its secret its own."""
    port = free_port()
    folder = app_folder({"public/index.html": "hello", "stead.conf": f"""[Site]
Root=public
Certificate=own.crt
CertificateKey=own.key
[Server]
ListenTls=127.0.0.1:{port}
"""}, name="tlsroot")
    certificate(folder, "own")
    one = RootStead(work, folder)
    try:
        one.up()
        for version in (V12, V13):
            assert once(port, using=context(version=version))[2] == b"hello"
        pid = one.pid("keys")
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        uid = pwd.getpwnam("stead-keys").pw_uid
        assert re.search(rf"^Uid:\t{uid}\t{uid}\t", status, re.M) and "Seccomp:\t2" in status, status
        # A container may not raise the limit; then the log says what is off.
        off = [r["what"] for r in one.logs() if r.get("event") == "JAIL_SKIPPED"]
        locked = int(re.search(r"VmLck:\s+(\d+)", status).group(1)) > 1000
        assert (locked and not off) or off == ["memory of the private keys that is never swapped out"], (off, status)
        seen = {line.split()[4] for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()}
        assert not [at for at in seen if at.startswith(("/home", "/etc", "/var/lib/postgresql", "/tmp"))], seen
        secret = (one.state / "keys" / "secret").stat()
        assert (secret.st_uid, secret.st_mode & 0o777) == (uid, 0o600)
        one.kill_and_wait("keys")
        wait_until("it answers again", lambda: once(port)[0] == 200)
    finally:
        one.end()
        shutil.rmtree(one.state, ignore_errors=True)


def test_more_handshakes_than_stacks(tls):
    """While keys stands still more handshakes come than may wait with a stack of their own: the rest waits for those."""
    one = tls(site="HeaderTimeoutSec=30s\n")
    once(one.secure)
    pid = one.pid("keys")
    using, waiting = context(), []
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(400):
            raw = socket.create_connection(("127.0.0.1", one.secure), TIMEOUT)
            raw.setblocking(False)
            sock = using.wrap_socket(raw, server_hostname="a.example", do_handshake_on_connect=False)
            with pytest.raises(ssl.SSLWantReadError):
                sock.do_handshake()
            waiting.append(sock)
        for sock in waiting[::7]:  # some lose patience, in the queue and with a stack
            sock.close()
        assert answers_plain(one)
    finally:
        os.kill(pid, signal.SIGCONT)
    for sock in waiting:
        if sock.fileno() >= 0:
            sock.settimeout(TIMEOUT)
            sock.do_handshake()
            assert fetch(sock)[2] == b"hello"
            sock.close()
    assert answers(one)


def answers_plain(one):
    return plain(one).status == 308


# A certificate for a.example, one level below it, and one address: who is sent to https, and who is answered as before.
FITS = [("a.example", True), ("A.Example:8080", True), ("x.a.example", True), ("a.example.", True), ("192.0.2.7", True),
        ("[2001:db8::7]", True), ("x.y.a.example", False), ("b.example", False), ("127.0.0.1", False), ("192.0.2.8", False),
        ("[::1]", False), ("localhost", False), ("shop.localhost", False), ("shop.test", False), ("intranet", False)]


def test_redirects_only_where_a_name_fits(tls):
    """Http=redirect (the default) sends to https only by names that the certificate has, and never by a local one, also
    when it has that. What a proxy of TrustedProxies= got encrypted is answered; nobody else can say so."""
    names = ("a.example", "*.a.example", "localhost", "shop.test")
    one = tls(names=names, addresses=("192.0.2.7", "2001:db8::7", "127.0.0.1"), site="Alias=b.example\nHsts=1d\n")
    for host, sent in FITS:
        got = plain(one, "/", host=host)
        if sent:
            bare = host.lower().split(":80")[0].rstrip(".")
            assert (got.status, got["Location"]) == (308, f"https://{bare}:{one.secure}/"), host
        elif host == "b.example":  # an alias leads to the site's name first
            assert (got.status, got["Location"]) == (308, "http://a.example/"), host
        else:
            assert (got.status, got.text) == (200, "hello"), host
    # Who is no trusted proxy says nothing that counts.
    assert plain(one, headers={"X-Forwarded-Proto": "https"}).status == 308
    # HSTS would hold for every app that is ever at a local name.
    assert "Strict-Transport-Security" in once(one.secure)[1]
    for host in ("localhost", "shop.test", "127.0.0.1"):
        status, head, body, _ = once(one.secure, name=host)
        assert (status, body) == (200, b"hello") and "Strict-Transport-Security" not in head, host
