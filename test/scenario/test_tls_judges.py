"""What other people's tools say of TLS as it is served: sslscan and testssl.sh, on a site with a certificate that the
machine trusts, so with the default HSTS."""

import json
import os
import re
import subprocess
import xml.etree.ElementTree

import pytest

import acmebed
from acmebed import DOMAIN
from program import give
from tlsbed import KINDS, openssl

pytestmark = pytest.mark.root
SLOW = os.environ.get("STEAD_PROMISES_SLOW")
# What testssl.sh says above LOW of every server like this one, and why it does not count.
EXCUSED = {
    "cert_crlDistributionPoints", "cert_ocspURL", "cert_revocation",  # the bed's authority has neither
    "DNS_CAArecord",  # … nor such a zone
    "security_headers",  # Content-Security-Policy and the like are the app's matter
}


@pytest.fixture(params=["ec", "rsa"])
def site(request, net, work, app_folder):
    """A site with a certificate by the one authority that this machine trusts."""
    folder = app_folder({"www/index.html": "hello", "stead.conf": f"""[Site]
Domain={DOMAIN}
Root=www
Certificate=own.pem
CertificateKey=own.key
[Server]
Listen=127.0.0.1:80
ListenTls=127.0.0.1:443
"""})
    openssl("req", *KINDS[request.param], "-nodes", "-keyout", folder / "own.key", "-out", work / "own.csr", "-subj", f"/CN={DOMAIN}")
    (work / "own.ext").write_text(f"subjectAltName=DNS:{DOMAIN}\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\n")
    openssl("x509", "-req", "-in", work / "own.csr", "-CA", net.bundle, "-CAkey", work / "bed.key", "-days", 90, "-extfile",
            work / "own.ext", "-out", folder / "own.pem")
    (folder / "own.key").chmod(0o600)
    give(folder)
    one = acmebed.Stead(net, work, folder)
    one.kind = request.param
    yield one.up()
    acmebed.finish([one])


def test_the_default_hsts(site, net):
    """A certificate that browsers trust: half a year over TLS, and not a word of it in the clear."""
    def head(url):
        return net.curl("-I", "--resolve", f"{DOMAIN}:443:127.0.0.1", "--resolve", f"{DOMAIN}:80:127.0.0.1", url).lower()

    assert "strict-transport-security: max-age=15552000\n" in head(f"https://{DOMAIN}/")
    plain = head(f"http://{DOMAIN}/")
    assert "308" in plain.splitlines()[0] and "strict-transport-security" not in plain
    conf = site.folder / "stead.conf"
    conf.write_text(conf.read_text().replace("Root=www", "Root=www\nHsts=0"))
    site.cli("reload")
    assert "strict-transport-security" not in head(f"https://{DOMAIN}/")


@pytest.mark.promise
def test_sslscan(site, net, promise):
    """Versions, ciphers, groups, renegotiation, compression: as sslscan finds them."""
    out = subprocess.run(net.enter("sslscan", "--xml=-", "--no-colour", f"--sni-name={DOMAIN}", "127.0.0.1:443"), capture_output=True,
                         text=True, timeout=120).stdout
    seen = xml.etree.ElementTree.fromstring(out).find("ssltest")
    versions = {f"{p.get('type')}{p.get('version')}" for p in seen.findall("protocol") if p.get("enabled") == "1"}
    assert versions == {"tls1.2", "tls1.3"}, out
    ciphers = seen.findall("cipher")
    weak = [c.get("cipher") for c in ciphers if int(c.get("bits")) < 128 or not re.match(r"TLS_|ECDHE-", c.get("cipher"))
            or not re.search(r"GCM|POLY1305", c.get("cipher"))]
    assert len(ciphers) >= 6 and not weak, weak
    assert seen.find("renegotiation").get("supported") == "0" and all(c.get("supported") == "0" for c in seen.findall("compression"))
    groups = {g.get("name").split(" ")[0] for g in seen.findall("group")}
    assert groups == {"x25519", "secp256r1", "secp384r1"}, groups
    assert all(h.get("vulnerable") == "0" for h in seen.findall("heartbleed"))
    promise("sslscan", f"{site.kind}: TLS 1.2 and 1.3, {len(ciphers)} ciphers, none weak, no renegotiation, no compression", True)


@pytest.mark.timeout(1200)
@pytest.mark.skipif(not SLOW, reason="testssl.sh takes a minute: `make promises` runs it")
@pytest.mark.promise
def test_testssl(site, net, work, promise):
    """Everything that testssl.sh looks for; nothing above LOW but what is the bed's."""
    subprocess.run(net.enter("testssl", "--quiet", "--color", "0", "--warnings", "batch", "--add-ca", net.bundle, "--ip", "127.0.0.1",
                             "--nodns", "none", "--jsonfile", work / "testssl.json", f"https://{DOMAIN}:443/"), capture_output=True, timeout=900)
    found = json.loads((work / "testssl.json").read_text())
    of = {f["id"]: f for f in found}
    bad = [(f["id"], f["severity"], f["finding"]) for f in found
           if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL") and f["id"].split(" ")[0] not in EXCUSED]
    promise("testssl.sh", f"{site.kind}: {len(found)} findings, {len(bad)} above LOW: {[b[0] for b in bad]}", not bad)
    assert not bad, bad
    assert len(found) > 100 and of["TLS1_3"]["severity"] == "OK"
    assert (of.get("PFS") or of["FS"])["severity"] == "OK"  # its name has changed between versions
    quiet = {name: of[name]["finding"] for name in ("secure_renego", "secure_client_renego", "CRIME_TLS", "heartbleed", "ROBOT", "POODLE_SSL",
                                                    "SWEET32", "FREAK", "DROWN", "LOGJAM", "BEAST", "LUCKY13", "RC4") if of.get(name, {}).get("severity") not in ("OK", "INFO")}
    assert not quiet, quiet
    assert of["HSTS_time"]["severity"] == "OK" and "15552000" in of["HSTS_time"]["finding"], of["HSTS_time"]
