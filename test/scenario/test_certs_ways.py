"""How a name is proved to an authority: by TLS (tls-alpn-01), when it is written and when nobody answers at port 80; by DNS
(dns-01), by a program that puts records into a zone that is hosted elsewhere."""

import json
import pwd
import subprocess

import pytest

import acmebed
import program
from acmebed import DOMAIN
from program import wait_until
from test_certs import bed, root_state  # noqa: F401 - fixtures

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


# What is set stands in a file: the name server can only forget all records of a name at once.
HOOK = '''
import fcntl, json, os, sys, urllib.request
what, record, text = sys.argv[-3:]
print("hook", what, record, text, flush=True)
if "fail" in sys.argv:
    print("the provider says no", file=sys.stderr)
    sys.exit(3)
if "stays" in sys.argv and what == "cleanup":
    sys.exit(4)
with open(sys.argv[1] + ".lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    there = json.load(open(sys.argv[1])) if os.path.exists(sys.argv[1]) else {}
    texts = set(there.get(record, ()))
    there[record] = sorted(texts | {text} if what == "present" else texts - {text})
    def tell(verb, **fields):
        urllib.request.urlopen("http://127.0.0.1:8055/" + verb, json.dumps(fields).encode()).read()
    tell("clear-txt", host=record)
    for each in there[record]:
        tell("set-txt", host=record, value=each)
    with open(sys.argv[1] + ".new", "w") as file:
        json.dump(there, file)
    os.replace(sys.argv[1] + ".new", sys.argv[1])
'''


@pytest.fixture
def zone(work):
    """The file in which the hook keeps what is in the zone; how to name the hook; what is there."""
    folder = work / "zone"
    folder.mkdir()
    (folder / "hook.py").write_text(HOOK)
    folder.chmod(0o777)

    class Zone:
        records = folder / "records"

        def line(self, *more):
            return f"ChallengeHook=/usr/bin/python3 {folder}/hook.py {self.records} {' '.join(more)}\n"

        def left(self):
            return [text for texts in json.loads(self.records.read_text()).values() for text in texts]
    return Zone()


def hooked(stead):
    """What the hook was run for: present or cleanup, and the record, in order."""
    said = [r.get("text", "").split() for r in stead.logs() if r.get("text", "").startswith("hook ")]
    return [(words[1], words[2]) for words in said]


def test_wildcards_by_dns(net, bed, zone):  # noqa: F811
    """A wildcard and the name above it: two records of one name. The other name is proved at port 80. Nothing is left."""
    pebble = acmebed.Pebble(net)
    names = [DOMAIN, f"*.{DOMAIN}", f"www.other.{DOMAIN}"]
    stead = bed(pebble, names=" ".join(names), server=zone.line()).up()
    wait_until("the certificate", lambda: stead.served(f"any.{DOMAIN}"))
    wait_until("it is told", lambda: (stead.certificate() or {}).get("state") == "served")
    assert stead.certificate()["names"] == names and pebble.issued() == 1
    assert HTTP in pebble.log() and not stead.certificate()["left_out"]
    wait_until("the record is taken away", lambda: zone.left() == [])
    record = f"_acme-challenge.{DOMAIN}."
    assert hooked(stead) == [("present", record), ("cleanup", record)]


def test_written_dns(net, bed, zone):  # noqa: F811
    """With Challenge=dns-01 all names are proved so, and nobody needs to be at port 80 or 443."""
    pebble = acmebed.Pebble(net)
    stead = bed(pebble, more="Challenge=dns-01\n", names=f"{DOMAIN} *.{DOMAIN}", listen="127.0.0.1:8080", server=zone.line()).up()
    pebble.set_name("add-a", host=DOMAIN, addresses=["127.0.0.9"])
    wait_until("the certificate", lambda: stead.served(f"any.{DOMAIN}"))
    assert pebble.issued() == 1 and HTTP not in pebble.log()
    wait_until("the records are taken away", lambda: zone.left() == [])
    assert sorted(hooked(stead)) == [(what, f"_acme-challenge.{DOMAIN}.") for what in ("cleanup", "cleanup", "present", "present")]


def test_a_hook_that_fails(net, bed, zone):  # noqa: F811
    """Its status and where its words are is told; corrected, the certificate is got."""
    pebble = acmebed.Pebble(net, nonce_reject=0)
    stead = bed(pebble, names=f"*.{DOMAIN}", server=zone.line("fail")).up()
    said = wait_until("the reason", lambda: [r for r in stead.logs() if r.get("event") == "CERT_FAILED"])[0]
    assert said["name"] == DOMAIN and "ChallengeHook= ended with status 3" in said["why"] and "stead logs" in said["help"]
    wait_until("its words", lambda: any("the provider says no" in r.get("text", "") for r in stead.logs()))
    assert pebble.issued() == 0 and "ended with status 3" in stead.certificate()["error"]
    file = stead.folder / "stead.conf"
    file.write_text(file.read_text().replace(" fail\n", "\n"))
    stead.cli("reload")
    stead.cli("cert", "renew")
    assert stead.served(f"any.{DOMAIN}") == stead.certificate()["serial"] and pebble.issued() == 1


def test_a_record_that_stays(net, bed, zone):  # noqa: F811
    """One that the program does not take away is told; the certificate is there all the same."""
    stead = bed(acmebed.Pebble(net, nonce_reject=0), names=f"*.{DOMAIN}", server=zone.line("stays")).up()
    wait_until("the certificate", lambda: stead.served(f"any.{DOMAIN}"))
    said = wait_until("it is told", lambda: [r for r in stead.logs() if r.get("event") == "CHALLENGE_LEFT"])[0]
    assert said["record"] == DOMAIN and "status 4" in said["why"] and len(zone.left()) == 1


def test_wildcards_without_a_hook(net, bed):  # noqa: F811
    """What nothing can prove is told, with what to do, and hinders no other name; alone it is refused."""
    pebble = acmebed.Pebble(net, nonce_reject=0)
    stead = bed(pebble, names=f"{DOMAIN} *.{DOMAIN}").up()
    wait_until("the certificate", stead.served)
    told = [r for r in stead.logs() if r.get("event") == "CERT_LEFT_OUT"]
    assert [r["names"] for r in told] == [f"*.{DOMAIN}"] and stead.certificate()["left_out"] == [f"*.{DOMAIN}"]
    said = stead.cli("cert", "list")
    assert f"left out *.{DOMAIN}\n" in said and "only DNS proves a wildcard: see ChallengeHook=" in said
    file = stead.folder / "stead.conf"
    text = file.read_text()
    for more, names, why in (("", f"*.{DOMAIN}", "all its names are wildcards"),
                             ("Challenge=dns-01\n", DOMAIN, "Challenge=dns-01 wants a program")):
        file.write_text(text.replace(f"Domain={DOMAIN} *.{DOMAIN}\n", f"Domain={names}\n{more}"))
        stead.cli("reload")
        said = stead.cli("cert", "renew", code=1)
        assert why in said and "ChallengeHook=" in said


def test_by_dns_as_root(root_state, net, bed, zone):  # noqa: F811
    """With users and jails: the program of ChallengeHook= is the app's user, who may do no more than the app."""
    stead = bed(acmebed.Pebble(net), names=f"*.{DOMAIN}", server=zone.line(), as_root=True, state=root_state,
                more=f"[Service]\nReadWritePaths={zone.records.parent}\n").up()
    wait_until("the certificate", lambda: stead.served(f"any.{DOMAIN}"))
    owner = pwd.getpwuid(zone.records.stat().st_uid)
    assert owner.pw_gecos.startswith("stead app up/") and owner.pw_uid != 0
    wait_until("the record is taken away", lambda: zone.left() == [])


@pytest.mark.parametrize("role", ["certs", "ctl"])
def test_dies_at_each_step_by_dns(net, bed, zone, role):  # noqa: F811
    """kill -9 at each step of an order: exactly one certificate, it is served, and no record is left in the zone."""
    acmebed.dies_at_each_step(acmebed.Pebble(net), lambda pebble: bed(pebble, more="Challenge=dns-01\n", server=zone.line()), role)
    wait_until("the records are taken away", lambda: zone.left() == [])


def test_the_record_has_to_be_everywhere(net, bed, zone, work):  # noqa: F811
    """The authority is told to look when each name server of the zone has the record, and not before."""
    pebble = acmebed.Pebble(net, nonce_reject=0)
    servers = {number: work / f"dns{number}.json" for number in (3, 4, 5)}

    def answers(number, records):
        servers[number].write_text(json.dumps({"records": records}))

    def asked(number):
        return (work / f"dns{number}.out").read_text().count(f"TXT _acme-challenge.{DOMAIN}")

    answers(3, {DOMAIN: {"A": ["127.0.0.1"], "NS": [f"ns4.{DOMAIN}", f"ns5.{DOMAIN}"]}, acmebed.AUTHORITY: {"A": ["127.0.0.1"]},
                **{f"ns{number}.{DOMAIN}": {"A": [f"127.0.0.{number}"]} for number in (4, 5)}})
    for number in servers:
        if number > 3:
            answers(number, {})
        net.start(f"dns{number}", "python3", program.TOP / "test/scenario/stub_dns.py", servers[number], f"127.0.0.{number}")
    (work / "resolv.conf").write_text("nameserver 127.0.0.3\n")
    stead = bed(pebble, names=f"*.{DOMAIN}", server=zone.line()).up()
    text, = wait_until("the record", lambda: zone.records.exists() and zone.left())
    record = {f"_acme-challenge.{DOMAIN}": {"TXT": [text]}}
    wait_until("both are asked", lambda: asked(4) and asked(5))
    answers(4, record)
    count = asked(5)
    wait_until("the other is asked again", lambda: asked(5) > count + 1)
    assert "/chalZ/" not in pebble.log()
    answers(5, record)
    wait_until("the certificate", lambda: stead.served(f"any.{DOMAIN}"))
    # It is not asked of what keeps answers.
    assert asked(3) == 0 and "/chalZ/" in pebble.log()


ADDRESS = "203.0.113.7"


@pytest.mark.parametrize("more, listen", [("", "0.0.0.0:80"), (TLS, "127.0.0.1:8080")], ids=["http", "tls"])
def test_an_address(net, bed, more, listen):  # noqa: F811
    """A site that is named by an address gets a certificate for it (RFC 8738); who comes by it without a name is shown that one."""
    acmebed.sh(*net.enter("ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo"))
    pebble = acmebed.Pebble(net)
    stead = bed(pebble, more=more, names=DOMAIN, listen=listen, tls="0.0.0.0:443", server="Sites=sites\n")
    (stead.folder / "sites").mkdir()
    (stead.folder / "sites/index.html").write_text("hello by the address\n")
    (stead.folder / "sites/other.conf").write_text(f"[Site]\nDomain={ADDRESS}\nRoot=.\n{more}")
    stead.up()
    wait_until("both", lambda: pebble.issued() == 2 and (stead.certificate("shop") or {}).get("state") == "served" and
               (stead.certificate("other") or {}).get("state") == "served")
    assert stead.certificate("other")["names"] == [ADDRESS]
    assert net.curl("--cacert", str(pebble.roots), f"https://{ADDRESS}/") == "hello by the address\n"
    assert not [r for r in stead.logs() if r.get("event") in ("CERT_NOT_SERVED", "CERT_FAILED")]


def test_addresses_are_public_ones_only(net, bed):  # noqa: F811
    """What no authority can reach is not asked for."""
    pebble = acmebed.Pebble(net, nonce_reject=0)
    stead = bed(pebble, names="10.1.2.3 [fd00::7] 192.168.1.9").up()
    assert stead.certificate() is None and not stead.pids("certs")
