"""https://localhost out of the box: the user's own certificate authority, and the certificate for local names."""

import json
import os
import pathlib
import pwd
import re
import shutil
import socket
import sqlite3
import ssl
import stat
import subprocess

import pytest

from client import Client
from program import TIMEOUT, free_port, give, wait_until
from test_root import RootStead
from tlsbed import certificate, connect, context, fetch, once

SITE = {"public/index.html": "hello", "stead.conf": "[Site]\nName=shop\nRoot=public\n"}


class Local:
    """Instances of one user: they share the folder of his authority."""

    def __init__(self, stead, app_folder, work):
        self.stead, self.app_folder, self.work = stead, app_folder, work
        self.home = work / "home"
        self.home.mkdir()
        give(self.home)
        self.folder = self.home / ".local/share/stead/ca"
        self.count = 0

    @property
    def trust(self):
        return self.folder / "ca.pem"

    def new(self, files=SITE, port=None, arguments=(), **options):
        """An instance with --https; port 0: without, so that it tries the default."""
        port = free_port() if port is None else port
        self.count += 1
        one = self.stead(self.app_folder(dict(files), name=f"app{self.count}"), arguments=[*(["--https", f"127.0.0.1:{port}"] if port else []), *arguments],
                         **options)
        one.environment["HOME"] = str(self.home)
        del one.environment["STEAD_CA"]
        one.secure = port
        return one


@pytest.fixture
def local(stead, app_folder, work):
    return Local(stead, app_folder, work)


def trusting(local):
    return context(local.trust)


def fetched(local, one, name="localhost"):
    """The body, by a client that trusts the user's authority and nobody else."""
    with connect(one.secure, name, trusting(local)) as sock:
        status, _, body = fetch(sock, name=f"[{name}]" if ":" in name else name)
        assert status == 200
        return body, sock.getpeercert(True)


@pytest.mark.smoke
def test_localhost_out_of_the_box(local):
    """Both URLs are printed; the certificate is good for localhost, for addresses and for the site's local names, and what
    comes in the clear is answered as ever."""
    one = local.new({**SITE, "stead.conf": "[Site]\nName=shop\nRoot=public\nDomain=shop.localhost shop.test *.shop.test\n"
                     "Alias=www.shop.test shop.example\nHttp=redirect\nHsts=1d\n"}).up()
    assert f"live  {one.url}  https://localhost:{one.secure}\n" in one.output()
    for name in ("localhost", "127.0.0.1", "::1", "shop.localhost", "shop.test", "a.shop.test"):
        assert fetched(local, one, name)[0] == b"hello", name
    assert fetched(local, one)[0] == b"hello"
    with pytest.raises(ssl.SSLCertVerificationError):
        once(one.secure, name="shop.example", using=trusting(local))
    _, head, _, _ = once(one.secure, name="localhost", using=trusting(local))
    assert "Strict-Transport-Security" not in head
    for host in ("localhost", "shop.test", "shop.example"):
        with Client(one.port) as client:
            client.host = host
            got = client.ask("/")
            assert got.status in (200, 308) and "https" not in (got["Location"] or ""), (host, got)
    body = subprocess.run(["curl", "-sS", "--cacert", local.trust, f"https://localhost:{one.secure}/"], capture_output=True,
                          text=True, timeout=TIMEOUT)
    assert (body.stdout, body.stderr) == ("hello", "")


def test_the_authority_is_the_users(local):
    """Two folders, one authority; its files are his alone; its key is in no file and no process that could be asked for it."""
    first, second = local.new().up(), local.new({**SITE, "stead.conf": "[Site]\nName=two\nRoot=public\n"}).up()
    certificates = {fetched(local, one)[1] for one in (first, second)}
    assert len(certificates) == 2
    assert stat.S_IMODE(local.folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in local.folder.iterdir()}
    assert modes == {"ca.pem": 0o644, "key": 0o600, "secret": 0o600}
    assert b"PRIVATE" not in b"".join(path.read_bytes() for path in local.folder.iterdir())
    # Nobody but keys has the folder open, and keys has nothing open. Who is not root may not even look at keys.
    for role in ("gate", "ctl", "keys", "log"):
        try:
            opened = list(pathlib.Path(f"/proc/{first.pid(role)}/fd").iterdir())
        except PermissionError:
            assert os.geteuid() != 0 and role == "keys", role
            continue
        for fd in opened:
            assert str(local.folder) not in os.readlink(fd), role
    text = subprocess.run(["openssl", "x509", "-in", local.trust, "-noout", "-text"], capture_output=True, text=True, check=True).stdout
    assert "X509v3 Name Constraints: critical" in text and "CA:TRUE, pathlen:0" in text


def test_kept_and_made_anew(local):
    """The same certificate after a reload, a new start and the death of ctl or keys; another one for more names, and when the
    authority is another."""
    one = local.new().up()
    _, before = fetched(local, one)
    one.cli("reload")
    for role in ("ctl", "keys"):
        one.kill_and_wait(role)
        wait_until(f"a new {role}", lambda: json.loads(one.cli("status", "--json", code=None) or "{}").get("state") == "live")
        assert fetched(local, one)[1] == before, role
    one.stop()
    one.gone()
    again = local.new(state=one.state, port=one.secure)
    shutil.copy(one.folder / "stead.conf", again.folder / "stead.conf")
    again.up()
    assert fetched(local, again)[1] == before
    (again.folder / "stead.conf").write_text("[Site]\nName=shop\nRoot=public\nDomain=more.test\n")
    again.cli("reload")
    assert fetched(local, again, "more.test")[1] != before
    again.stop()
    again.gone()
    for path in local.folder.iterdir():
        path.unlink()
    anew = local.new(state=one.state, port=one.secure).up()
    assert fetched(local, anew)[0] == b"hello"  # by the new authority's certificate


def test_renewed_by_itself(local):
    """When two thirds of its life are over it is made anew, at the next start at the latest."""
    one = local.new().up()
    _, before = fetched(local, one)
    one.stop()
    one.gone()
    later = local.new(state=one.state, port=one.secure, env={})
    # The clock of the machine is not ours to set: the one that is stored gets older instead.
    with sqlite3.connect(one.state / "state.db") as db:
        whole, = db.execute("SELECT whole FROM cert_stored").fetchone()
        end = int.from_bytes(whole[64:72], "little")
        db.execute("UPDATE cert_stored SET whole = ?", (whole[:64] + (end - 61 * 86400).to_bytes(8, "little") + whole[72:80]
                                                        + (end - 151 * 86400).to_bytes(8, "little") + whole[88:],))
    db.close()
    give(one.state)
    later.up()
    assert fetched(local, later)[1] != before


@pytest.fixture
def taken():
    """127.0.0.1:8443 is somebody else's, whoever that is."""
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", 8443))
            sock.listen()
        except OSError:
            pass
        yield


def test_default_that_is_taken(local, taken):
    """The default address is somebody else's: it is said, and `up` goes on; with --https it is an error."""
    one = local.new(port=0).up()
    assert "https is not served: 127.0.0.1:8443 cannot be listened on (Address already in use)" in one.output()
    assert f"live  {one.url}\n" in one.output()
    one.cli("reload")
    one.kill_and_wait("ctl")
    wait_until("ctl again", lambda: json.loads(one.cli("status", "--json", code=None) or "{}").get("state") == "live")
    with Client(one.port) as client:
        assert client.ask("/").text == "hello"
    asked = local.new(port=8443)
    assert "cannot listen on 127.0.0.1:8443" in asked.fails(1)
    same = local.new(port=0, http="127.0.0.1:8443")
    assert "127.0.0.1:8443" in same.fails(1)  # that one is asked for


def test_no_authority(local):
    """A folder that cannot be used, or a damaged one: said in the log with what to do; the site is live all the same."""
    local.folder.mkdir(parents=True)
    (local.folder / "ca.pem").write_text("nonsense")
    give(local.home)
    local.folder.chmod(0o700)
    one = local.new().up()
    with Client(one.port) as client:
        assert client.ask("/").text == "hello"
    said = [r for r in one.logs() if r.get("event") == "LOCAL_CA_OFF"]
    assert len(said) == 1
    with pytest.raises(OSError):
        once(one.secure, name="localhost")
    assert (local.folder / "ca.pem").read_text() == "nonsense"
    one.stop()
    one.gone()
    local.folder.chmod(0o755)  # others could look into it: not used at all
    shutil.rmtree(local.folder)
    local.folder.mkdir(mode=0o755)
    give(local.home)
    other = local.new(state=one.state)
    other.secure = one.secure
    other.up()
    with Client(other.port) as client:
        assert client.ask("/").text == "hello"
    assert list(local.folder.iterdir()) == []


def test_own_certificate_comes_first(local):
    """A site with Certificate= keeps it, also for localhost; only what has none is served with the local one."""
    one = local.new({**SITE, "stead.conf": "[Site]\nName=shop\nDomain=a.example\nRoot=public\nCertificate=own.crt\n"
                     "CertificateKey=own.key\n[Server]\nSites=sites\n",
                     "sites/dev.conf": "[Site]\nDomain=dev.test\nRedirect=302 /* /x\n",
                     "sites/out.conf": "[Site]\nDomain=out.test\nHttps=off\nRedirect=302 /* /x\n"})
    certificate(one.folder, "own", ("a.example",))
    give(one.folder)
    one.up()
    assert f"https://127.0.0.1:{one.secure}" in one.output()
    assert once(one.secure, name="a.example", using=context(one.folder / "own.crt"))[2] == b"hello"
    assert once(one.secure, name="dev.test", using=trusting(local))[0] == 302
    with pytest.raises(OSError):
        once(one.secure, name="out.test")


@pytest.mark.root
def test_as_root(work, app_folder):
    """The authority of root: its folder belongs to the process that holds the key, and to nobody else."""
    port = free_port()
    folder = app_folder({**SITE, "stead.conf": f"[Site]\nName=localroot\nRoot=public\n[Server]\nListenTls=127.0.0.1:{port}\n"},
                        name="localroot")
    home = pathlib.Path(f"/var/lib/stead/test-ca-{os.getpid()}")
    one = RootStead(work, folder, env={"STEAD_CA": str(home)})
    try:
        one.up()
        assert f"https://localhost:{port}" in one.output()
        assert once(port, name="localhost", using=context(home / "ca.pem"))[2] == b"hello"
        assert home.stat().st_uid == pwd.getpwnam("stead-keys").pw_uid and stat.S_IMODE(home.stat().st_mode) == 0o700
        one.kill_and_wait("keys")
        assert once(port, name="localhost", using=context(home / "ca.pem"))[2] == b"hello"
    finally:
        one.end()
        shutil.rmtree(one.state, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def test_renew_says_why_not(local):
    """There is no authority to ask: `cert renew` says so, shows what there is, and it stays that."""
    one = local.new().up()
    before, = one.status()["certificates"]
    said = one.cli("cert", "renew")
    assert "made anew by itself" in said and "stead local CA" in said
    assert one.status()["certificates"] == [before]


def test_status_tells_of_it(local):
    """`stead status` and `cert list`: names, issuer, until when, the next renewal; the same as JSON."""
    one = local.new().up()
    for words in (one.cli("status"), one.cli("cert", "list")):
        assert re.search(r"\(local\) +served, until \d{4}-\d\d-\d\d \(in (89|90) days\); renewal \d{4}-\d\d-\d\d\n", words), words
        assert re.search(r"for +localhost 127\.0\.0\.1 ::1\n +by +stead local CA ", words), words
    found, = one.status()["certificates"]
    assert (found["site"], found["state"], found["from"], found["names"]) == ("(local)", "served", "local CA", ["localhost", "127.0.0.1", "::1"])
    assert found["issuer"].startswith("stead local CA ") and found["until"] > found["next"] and len(found["serial"]) == 32
