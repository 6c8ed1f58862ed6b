"""`stead cert import`: a certificate of one's own into the state."""

import json
import subprocess

import pytest

from client import Client
from program import free_port, give, wait_until
from tlsbed import certificate, context, once


@pytest.fixture
def site(stead, app_folder, work):
    port = free_port()
    folder = app_folder({"public/index.html": "hello", "stead.conf": "[Site]\nName=shop\nDomain=a.example b.example\nRoot=public\n"
                         "[Server]\nSites=sites\n", "sites/two.conf": "[Site]\nDomain=two.example\nRedirect=302 /* /x\n"})
    one = stead(folder, arguments=["--https", f"127.0.0.1:{port}"])
    one.secure = port
    one.tls = work / "tls"
    one.tls.mkdir()
    return one


def make(one, name, names, **options):
    certificate(one.tls, name, names, **options)
    give(one.tls)
    return one.tls / f"{name}.crt", one.tls / f"{name}.key"


def imported(one, name, pair, code=0):
    return one.cli("cert", "import", name, "--cert", str(pair[0]), "--key", str(pair[1]), code=code)


def listed(one, site):
    said = json.loads(one.cli("cert", "list", "--json").splitlines()[-1])["certificates"]
    return next((c for c in said if c["site"] == site), None)


@pytest.mark.smoke
def test_from_files_to_https(site):
    """It is served at once, listed with names, issuer and end; both files may go; it outlives a reload, a new start, ctl and keys."""
    site.up()
    pair = make(site, "own", ("a.example", "b.example"))
    said = imported(site, "shop", pair)
    assert "served" in said and "a.example" in said
    key = pair[1].read_text()
    trust = context(pair[0])
    assert once(site.secure, using=trust)[2] == b"hello"
    found = listed(site, "shop")
    assert (found["names"], found["issuer"], found["from"], found["state"]) == (["a.example", "b.example"], "a.example", "cert import", "served")
    assert found["until"] and found["serial"]
    with Client(site.port) as client:
        client.host = "a.example"
        assert client.ask("/").status == 308
    pair[1].unlink()
    # The key is nowhere but in its box.
    body = "".join(key.splitlines()[1:-1])
    for file in site.state.rglob("*"):
        if file.is_file():
            assert body[:40].encode() not in file.read_bytes(), file
    site.cli("reload")
    for role in ("ctl", "keys"):
        site.kill_and_wait(role)
        wait_until("it is served", lambda: serves(site, trust))
    assert site.stop() == 0
    site.gone()
    site.up()
    assert once(site.secure, using=trust)[2] == b"hello"


def serves(site, trust):
    try:
        return once(site.secure, using=trust)[2] == b"hello"
    except OSError:
        return False


def test_replaced_and_taken_back(site):
    """The next one takes the place of the last; --remove leaves the site as it was; another site's is not touched."""
    site.up()
    first, second, other = (make(site, name, (host,)) for name, host in (("one", "a.example"), ("two", "a.example"), ("three", "two.example")))
    imported(site, "shop", first)
    imported(site, "two", other)
    assert once(site.secure, using=context(first[0]))[2] == b"hello"
    imported(site, "shop", second)
    assert once(site.secure, using=context(second[0]))[2] == b"hello"
    assert "was imported" in site.cli("cert", "renew", "shop", code=4)
    site.cli("cert", "import", "shop", "--remove")
    assert listed(site, "shop") is None
    with pytest.raises(OSError):
        once(site.secure, using=context(second[0]))
    assert once(site.secure, name="two.example", using=context(other[0]))[0] == 302
    assert "No certificate was imported" in site.cli("cert", "import", "shop", "--remove", code=4)


def test_what_is_wrong_is_said(site):
    """The wrong key, no certificate, an end that is over, names that are missing: each with its file; nothing is kept."""
    site.up()
    good, other = make(site, "good", ("a.example",)), make(site, "other", ("a.example",))
    said = imported(site, "shop", (good[0], other[1]), code=2)
    assert f"{other[1]}: error: the private key is not the certificate's" in said
    empty = site.tls / "empty"
    empty.write_text("")
    give(site.tls)
    assert f"{empty}: error: there is no certificate" in imported(site, "shop", (empty, good[1]), code=2)
    assert "No such file" in imported(site, "shop", (site.tls / "none", good[1]), code=4)
    assert "comes with its private key" in site.cli("cert", "import", "shop", "--cert", str(good[0]), code=2)
    assert "no app or site" in imported(site, "nobody", good, code=4)
    assert listed(site, "shop") is None
    good[1].chmod(0o644)
    said = imported(site, "shop", good)  # warnings are no reason to refuse
    assert "other users of this machine can read" in said and "is not for b.example" in said
    assert listed(site, "shop")["names"] == ["a.example"]
    subprocess.run(["openssl", "req", "-x509", "-key", good[1], "-out", site.tls / "old.crt", "-subj", "/CN=a.example", "-days", "1",
                    "-addext", "subjectAltName=DNS:a.example,DNS:b.example"], check=True, capture_output=True)
    give(site.tls)
    assert "the certificate ends on" in imported(site, "shop", (site.tls / "old.crt", good[1]))


def test_certificate_of_the_file_comes_first(site):
    """Certificate= stands before what was imported, which serves when the key is taken out of the file again."""
    own, file = make(site, "own", ("a.example",)), make(site, "file", ("a.example",))
    site.up()
    imported(site, "shop", own)
    conf = site.folder / "stead.conf"
    text = conf.read_text()
    conf.write_text(text.replace("Root=public\n", f"Root=public\nCertificate={file[0]}\nCertificateKey={file[1]}\n"))
    site.cli("reload")
    assert once(site.secure, using=context(file[0]))[2] == b"hello"
    assert listed(site, "shop")["from"] == "Certificate="
    conf.write_text(text)
    site.cli("reload")
    assert once(site.secure, using=context(own[0]))[2] == b"hello"


def test_where_nothing_listened(stead, app_folder, work):
    """Without an address for TLS before, the default is listened on from the import on, when it is free; else it is said."""
    folder = app_folder({"public/index.html": "hello", "stead.conf": "[Site]\nName=shop\nDomain=a.example\nRoot=public\n"})
    one = stead(folder)
    one.tls = work / "tls"
    one.tls.mkdir()
    one.up()
    said = imported(one, "shop", make(one, "own", ("a.example",)))
    assert "served" in said or "https is not served: 127.0.0.1:8443" in said
