"""Certificates of many sites: read by one child, each by itself; what is wrong with one is that one's alone."""

import json
import pathlib
import subprocess

import pytest

from program import BUILD, TIMEOUT, free_port, give, wait_until
from tlsbed import certificate, context, once

COUNT = 120


@pytest.fixture
def many(stead, app_folder):
    """Sites s0 … with one certificate for all of them; some are changed by the test."""
    port = free_port()
    folder = app_folder({"public/index.html": "hello", "stead.conf": "[Server]\nSites=sites\nGates=1\n"
                         f"ListenTls=127.0.0.1:{port}\n", "sites/public/index.html": "hello",
                         **{f"sites/s{i}.conf": f"[Site]\nDomain=s{i}.many.example\nRoot=public\nCertificate=all.crt\n"
                            f"CertificateKey=all.key\n" for i in range(COUNT)}})
    certificate(folder / "sites", "all", ("*.many.example",))
    one = stead(folder)
    one.secure = port
    return one


def findings(one):
    out = subprocess.run([BUILD / "stead", "check", one.folder, "--json"], capture_output=True, text=True, timeout=TIMEOUT).stdout
    return {(f["file"].split("/")[-1], f["text"]) for f in json.loads(out)["findings"]}


@pytest.mark.smoke
def test_one_is_wrong_and_the_others_serve(many):
    """No certificate, a damaged one, the wrong key, a file without an end: each is named; all others are served."""
    sites = many.folder / "sites"
    certificate(sites, "other", ("*.many.example",))
    text = (sites / "all.crt").read_text()
    (sites / "damaged.crt").write_text(text + text.replace("MII", "MI!", 1))
    (sites / "empty.crt").write_text("")
    (sites / "cut.crt").write_text(text[:200])
    wrong = {3: ("empty.crt", "all.key"), 50: ("damaged.crt", "all.key"), 51: ("all.crt", "other.key"), 119: ("cut.crt", "all.key")}
    for i, (cert, key) in wrong.items():
        (sites / f"s{i}.conf").write_text(f"[Site]\nDomain=s{i}.many.example\nRoot=public\nCertificate={cert}\nCertificateKey={key}\n")
    give(many.folder)
    said = findings(many)
    assert {file for file, _ in said} == {f"s{i}.conf" for i in wrong}
    assert any("damaged" in text for file, text in said if file == "s50.conf")
    assert any("not the certificate's" in text for file, text in said if file == "s51.conf")
    many.up()
    # Of the first start too, whose keys have to be sealed for a process that is not there yet: each once.
    for i in wrong:
        assert many.output().count(f"sites/s{i}.conf:4") + many.output().count(f"sites/s{i}.conf:5") == 1, many.output()
    trust = context(sites / "all.crt")
    for i in (0, 2, 4, 49, 52, 118):
        assert once(many.secure, name=f"s{i}.many.example", using=trust)[2] == b"hello", i
    for i in wrong:
        with pytest.raises(OSError):
            once(many.secure, name=f"s{i}.many.example", using=trust)


def test_one_child_reads_all(many):
    """A child for the texts, one for all certificates: not one for each."""
    trace = many.work / "trace"
    subprocess.run(["strace", "-f", "-qq", "-e", "trace=clone,clone3,fork,vfork", "-o", trace, BUILD / "stead", "check", many.folder],
                   stdout=subprocess.DEVNULL, timeout=TIMEOUT, check=True)
    forks = [line for line in trace.read_text().splitlines() if "= -1" not in line and ("clone" in line or "fork" in line)]
    assert 2 <= len(forks) < 10, forks


def children(one, *verb):
    """How many processes that verb started, and what it printed."""
    trace, parent = one.work / "trace", one.pid("parent")
    with subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=clone,clone3,fork,vfork", "-o", trace, "-p", str(parent)]) as tracer:
        wait_until("strace", lambda: "TracerPid:\t0" not in pathlib.Path(f"/proc/{parent}/status").read_text())
        said = one.cli(*verb, code=None)
        tracer.terminate()
    return len([line for line in trace.read_text().splitlines() if "= -1" not in line and ("clone" in line or "fork" in line) and "resumed" not in line]), said


def test_what_is_the_same_is_not_looked_at_again(many):
    """No child reads certificates that are what they were; what is another one is read, what ends soon is told each time."""
    sites = many.folder / "sites"
    certificate(sites, "other", ("*.many.example",))
    certificate(sites, "short", ("s8.many.example",), days=5)
    give(many.folder)
    many.up()
    calm, said = children(many, "reload")
    assert "Certificate" not in said
    site = sites / "s7.conf"
    site.write_text(site.read_text().replace("all.", "other."))
    give(many.folder)
    more, _ = children(many, "reload")
    assert more == calm + 1
    assert once(many.secure, name="s7.many.example", using=context(sites / "other.crt"))[2] == b"hello"
    assert once(many.secure, name="s6.many.example", using=context(sites / "all.crt"))[2] == b"hello"
    assert children(many, "reload")[0] == calm
    # Another key in the same place, then names that it is not for: both are seen.
    (sites / "other.key").write_bytes((sites / "all.key").read_bytes())
    _, said = children(many, "reload")
    assert "not the certificate's" in said
    assert once(many.secure, name="s7.many.example", using=context(sites / "other.crt"))[2] == b"hello"
    # Whoever writes by hand what is found by check has his site as it was, and no other one is touched.
    hand = sites / "s9.conf"
    text = hand.read_text()
    hand.write_text(text.replace("Certificate=all.crt\nCertificateKey=all.key", "CertificateInputs=" + "A" * 43 + "="))
    _, said = children(many, "reload")
    assert "no certificate is known by that" in said
    assert once(many.secure, name="s9.many.example", using=context(sites / "all.crt"))[2] == b"hello"
    hand.write_text(text)
    site.write_text(site.read_text().replace("other.", "all.").replace("s7.many", "s7.few"))
    _, said = children(many, "reload")
    assert "is not for s7.few.example" in said
    short = sites / "s8.conf"
    short.write_text(short.read_text().replace("all.", "short."))
    give(many.folder)
    for _ in range(2):
        _, said = children(many, "reload")
        assert "the certificate ends on" in said and "is not for s7.few.example" in said
    # Whoever starts again knows them too.
    many.stop()
    many.up()
    assert children(many, "reload")[0] == calm + 1
    assert once(many.secure, name="s6.many.example", using=context(sites / "all.crt"))[2] == b"hello"


def test_the_order_of_a_chain(stead, app_folder, work):
    """What is between a site's certificate and its authority is missing, or stands in another order: said, and served all the same."""
    folder = app_folder({"public/index.html": "hello"})

    def sign(name, issuer, ca):
        base = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", work / f"{name}.key"]
        if not issuer:
            subprocess.run([*base, "-x509", "-subj", f"/CN={name}", "-out", work / f"{name}.crt"], check=True, capture_output=True)
            return
        (work / f"{name}.ext").write_text("basicConstraints=critical,CA:TRUE\n" if ca else f"subjectAltName=DNS:{name}\n")
        subprocess.run([*base, "-subj", f"/CN={name}", "-out", work / f"{name}.csr"], check=True, capture_output=True)
        subprocess.run(["openssl", "x509", "-req", "-in", work / f"{name}.csr", "-CA", work / f"{issuer}.crt", "-CAkey",
                        work / f"{issuer}.key", "-CAcreateserial", "-extfile", work / f"{name}.ext", "-out", work / f"{name}.crt"],
                       check=True, capture_output=True)

    for name, issuer, ca in (("root", None, True), ("middle", "root", True), ("a.example", "middle", False)):
        sign(name, issuer, ca)
    leaf, middle, root = ((work / f"{n}.crt").read_text() for n in ("a.example", "middle", "root"))
    (folder / "own.key").write_text((work / "a.example.key").read_text())
    (folder / "stead.conf").write_text("[Site]\nDomain=a.example\nRoot=public\nCertificate=own.crt\nCertificateKey=own.key\n")
    (folder / "own.key").chmod(0o600)
    one = stead(folder)
    for text, said in ((leaf + middle, ""), (leaf + middle + root, ""), (leaf, "are missing"), (leaf + root + middle, "certificate 1 of the file"),
                       (leaf + middle + leaf, "certificate 2 of the file")):
        (folder / "own.crt").write_text(text)
        give(folder)
        found = [f for _, f in findings(one)]
        assert (len(found) == 1 and said in found[0]) if said else not found, (said, found)


KEYS = {"p256": ["-name", "prime256v1"], "p384": ["-name", "secp384r1"], "p521": ["-name", "secp521r1"],
        "compressed": ["-name", "prime256v1", "-conv_form", "compressed"]}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("form", ["pkcs8", "sec1"])
def test_each_form_of_a_key(stead, app_folder, kind, form):
    """Each curve, in each form that openssl writes: served; beside another's key of the same curve: refused."""
    port = free_port()
    folder = app_folder({"public/index.html": "hello", "stead.conf": f"[Site]\nDomain=a.example\nRoot=public\nCertificate=own.crt\n"
                         f"CertificateKey=own.key\n[Server]\nListenTls=127.0.0.1:{port}\n"})
    for name in ("own", "other"):
        subprocess.run(["openssl", "ecparam", *KEYS[kind], "-genkey", "-noout", "-out", folder / f"{name}.sec1"], check=True)
        subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", folder / f"{name}.sec1", "-out", folder / f"{name}.pkcs8"], check=True)
    subprocess.run(["openssl", "req", "-x509", "-key", folder / "own.sec1", "-out", folder / "own.crt", "-days", "30", "-subj", "/CN=a.example",
                    "-addext", "subjectAltName=DNS:a.example"], check=True)
    one = stead(folder)
    (folder / "own.key").write_text((folder / f"other.{form}").read_text())
    (folder / "own.key").chmod(0o600)
    give(folder)
    assert ["not the certificate's" in text for _, text in findings(one)] == [True]
    (folder / "own.key").write_text((folder / f"own.{form}").read_text())
    assert not findings(one)
    one.up()
    assert once(port, using=context(folder / "own.crt"))[2] == b"hello"
