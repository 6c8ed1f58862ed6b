"""How a name is proved to an authority: by TLS (tls-alpn-01), when it is written and when nobody answers at port 80."""

import subprocess

import pytest

import acmebed
from acmebed import DOMAIN
from program import wait_until
from test_certs import bed  # noqa: F401 - a fixture

pytestmark = pytest.mark.root
HTTP = "Attempting to validate w/ HTTP"  # what the authority says when it looks at port 80
TLS = "Challenge=tls-alpn-01\n"


def hello(net, name, protocols):
    """What a client of these protocols is told: openssl's words."""
    return subprocess.run(net.enter("openssl", "s_client", "-connect", "127.0.0.1:443", "-servername", name, "-alpn", protocols),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


@pytest.mark.parametrize("more, listen", [(TLS, "127.0.0.1:80"), ("", "127.0.0.1:8080")], ids=["written", "nobody-at-80"])
def test_by_tls(net, bed, more, listen):  # noqa: F811
    """Two names, two gates; nothing is asked at port 80. The key of the proofs is in no certificate that is served."""
    pebble = acmebed.Pebble(net)
    stead = bed(pebble, more=more, listen=listen, gates=2, names=f"{DOMAIN} www.{DOMAIN}").up()
    wait_until("the certificate", stead.served)
    wait_until("it is told", lambda: (stead.certificate() or {}).get("state") == "served")
    assert stead.certificate()["names"] == [DOMAIN, f"www.{DOMAIN}"] and pebble.issued() == 1
    assert HTTP not in pebble.log()
    # Nothing is left of it: who asks now is refused, and who speaks more than that protocol is a client like others.
    assert "unrecognized name" in hello(net, DOMAIN, "acme-tls/1")
    assert "ALPN protocol: h2" in hello(net, DOMAIN, "acme-tls/1,h2")


def test_written_http_stays_http(net, bed):  # noqa: F811
    """With Challenge=http-01 nobody at port 80 is told as what it is, and nothing is asked at port 443."""
    pebble = acmebed.Pebble(net, nonce_reject=0)
    stead = bed(pebble, more="Challenge=http-01\n", listen="127.0.0.1:8080").up()
    said = wait_until("the reason", lambda: [r for r in stead.logs() if r.get("event") == "CERT_FAILED"])[0]
    assert "cannot connect" in said["why"] and "port 80" in said["help"]
    assert HTTP in pebble.log() and pebble.issued() == 0


def test_a_client_during_the_proof(net, bed):  # noqa: F811
    """While an authority takes its time only who speaks acme-tls/1 sees its certificate, and gets no page there."""
    pebble = acmebed.Pebble(net, nonce_reject=0, env={"PEBBLE_VA_SLEEPTIME": "100000"})
    stead = bed(pebble, more=TLS).up()
    shown = wait_until("the certificate of the proof", lambda: "BEGIN CERTIFICATE" in hello(net, DOMAIN, "acme-tls/1") and
                       hello(net, DOMAIN, "acme-tls/1"))
    assert "ALPN protocol: acme-tls/1" in shown
    text = subprocess.run(["openssl", "x509", "-noout", "-text"], input=shown, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert f"DNS:{DOMAIN}" in text and ("1.3.6.1.5.5.7.1.31: critical" in text or "ACME Identifier: critical" in text)
    assert "unrecognized name" in hello(net, f"www.{DOMAIN}", "acme-tls/1")
    assert "BEGIN CERTIFICATE" not in hello(net, DOMAIN, "h2") and stead.served() == ""
    # What is sent behind the handshake is answered by its end.
    sent = subprocess.run(net.enter("openssl", "s_client", "-connect", "127.0.0.1:443", "-servername", DOMAIN, "-alpn", "acme-tls/1",
                                    "-quiet"), input=f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n", stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout
    assert "HTTP" not in sent and "hello from" not in sent
    # A new gate knows it as well; so does a new process of the keys sign for it.
    stead.kill_and_wait("gate")
    wait_until("the new gate shows it", lambda: "BEGIN CERTIFICATE" in hello(net, DOMAIN, "acme-tls/1"))
    stead.kill_and_wait("keys")
    wait_until("the new one signs", lambda: "New, TLSv1.3" in hello(net, DOMAIN, "acme-tls/1"))


@pytest.mark.parametrize("role", ["certs", "ctl", "keys"])
def test_dies_at_each_step_by_tls(net, bed, role):  # noqa: F811
    """kill -9 at each step of an order: exactly one certificate, and it is served."""
    acmebed.dies_at_each_step(acmebed.Pebble(net), lambda pebble: bed(pebble, listen="127.0.0.1:8080"), role)
