"""Certificates from an authority that does what Pebble cannot be told to do: the stub of stub_ca.py."""

import base64
import os
import re
import secrets
import shlex
import sqlite3
import subprocess
import threading
import time

import pytest
from cryptography import x509

import acmebed
import program
import stubbed
from acmebed import AUTHORITY, DOMAIN
from program import wait_until

pytestmark = pytest.mark.root
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@pytest.fixture
def names(net):
    return stubbed.Names(net)


@pytest.fixture
def bed(net, names, work, app_folder):
    """stead(…) on a site with a public name, not started yet."""
    made = []

    def make(stub, more="", server="", domain=DOMAIN, files=(), **options):
        folder = app_folder({**acmebed.site(stub, more=more, names=domain), **dict(files)})
        file = folder / "stead.conf"
        file.write_text(file.read_text() + f"Gates=1\n{server}\n")
        made.append(acmebed.Stead(net, work, folder, number=len(made), **options))
        return made[-1]
    yield make
    for file in sorted(work.glob("stub-*.out")):
        print(file.name, file.read_text(errors="replace")[-3000:])
    acmebed.finish(made)


def events(stead, name):
    return [r for r in stead.logs() if r.get("event") == name]


def failures(stead):
    return events(stead, "CERT_FAILED")


def test_a_certificate_of_the_stub(net, bed):
    """The stub is an authority: what it gives is believed by who believes its root, and an impatient look is not needed."""
    stub = stubbed.Stub(net, bad_nonces=30, pending=1, processing=2)
    stead = bed(stub).up()
    serial = wait_until("the certificate", stead.served)
    assert stub.issued() == [serial]
    body = net.curl("--cacert", str(stub.root()), "--resolve", f"{DOMAIN}:443:127.0.0.1", f"https://{DOMAIN}/")
    assert body == "hello from the shop\n"


def test_it_says_later_at_each_step(net, bed):
    """Retry-After in every answer is kept to: no answer of a later step comes before it."""
    stub = stubbed.Stub(net, pending=1, processing=1, retry_after={"challenge": 1, "authz": 1, "finalize": 1, "look": 1})
    begun = time.monotonic()
    stead = bed(stub).up()
    wait_until("the certificate", stead.served)
    # A look at the proof behind the challenge's answer, a second look, one at the order.
    assert time.monotonic() - begun >= 3 and len(stub.issued()) == 1


@pytest.mark.parametrize("step", ["account", "order", "authz", "challenge", "finalize", "certificate"])
def test_an_outage_at_each_step(net, bed, step):
    """429 and 503 with Retry-After in the middle of it are waited out: one order, one certificate."""
    stub = stubbed.Stub(net, fail=[{"step": step, "status": 503, "retry_after": 1},
                                   {"step": step, "status": 429, "type": "rateLimited", "retry_after": 1}])
    stead = bed(stub).up()
    wait_until("the certificate", stead.served)
    assert len(stub.issued()) == 1 and len(stub.asked("order")) == 1
    assert len([one for one in stub.seen(step) if "refused" in one]) == 2


@pytest.mark.parametrize("step", ["order", "challenge", "finalize"])
def test_the_authority_dies(net, bed, step):
    """It ends in the middle of an order, without an answer, and comes back: one certificate, no failure."""
    stub = stubbed.Stub(net, die=step)
    stead = bed(stub).up()
    wait_until("its end", lambda: stub.process.poll() is not None)
    stub.begin()
    wait_until("the certificate", stead.served)
    assert len(stub.issued()) == 1


def test_the_limits_of_the_authority(net, bed):
    """rateLimited with a Retry-After that is longer than an order may last: the next try is not before it, also of another ctl."""
    stub = stubbed.Stub(net, fail=[{"step": "order", "status": 429, "type": "rateLimited", "retry_after": 7200}])
    stead = bed(stub).up()
    said = wait_until("the reason", lambda: failures(stead))[0]
    assert "too many" in said["why"] and "wait" in said["help"]
    assert due(stead) - time.time() > 7000
    stead.kill_and_wait("ctl")
    wait_until("another ctl", lambda: (stead.certificate() or {}).get("failures") == 1)
    assert len(stub.seen("order")) == 1


def due(stead):
    """When it is renewed, in seconds since 1970; 0: it is not known."""
    text = (stead.certificate() or {}).get("next")
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone if text else 0


def test_the_window_moves(net, bed):
    """RFC 9773: another window is kept to, a later one too, and one that is over brings a certificate at once."""
    now, day = int(time.time()), 86400
    stub = stubbed.Stub(net, renewal=[now + 40 * day, now + 41 * day])
    stead = bed(stub).up()
    first = wait_until("the certificate", stead.served)
    wait_until("the window", lambda: now + 40 * day <= due(stead) <= now + 41 * day)
    stub.also(renewal=[now + 50 * day, now + 51 * day])
    stead.kill_and_wait("ctl")
    wait_until("a later one", lambda: now + 50 * day <= due(stead) <= now + 51 * day)
    # Not later than a third of its life before its end, whatever it says.
    stub.also(renewal=[now + 80 * day, now + 81 * day])
    stead.kill_and_wait("ctl")
    wait_until("the bound", lambda: now + 55 * day <= due(stead) <= now + 65 * day)
    stub.also(renewal=[now - 20, now - 10])
    stead.kill_and_wait("ctl")
    second = wait_until("another", lambda: stead.served() not in ("", first) and stead.served())
    assert stub.issued() == [first, second]
    replaced = stub.payloads("order")[1]["replaces"]
    assert stub.asked("renewal")[0]["path"] == f"/renewal/{replaced}"


def life(net, name=DOMAIN):
    """Seconds that the served certificate is valid for, and the name of its last issuer."""
    text = subprocess.run(net.enter("openssl", "s_client", "-showcerts", "-connect", "127.0.0.1:443", "-servername", name),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    chain = [x509.load_pem_x509_certificate(f"{begin}{rest.split(END)[0]}{END}\n".encode())
             for begin in (BEGIN,) for rest in text.split(begin)[1:]]
    top = chain[-1].issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    return (chain[0].not_valid_after - chain[0].not_valid_before).total_seconds(), top


def test_a_profile(net, bed):
    """Profile= is asked for; one that the authority has not is told with those that it has, and no order is placed."""
    stub = stubbed.Stub(net, profiles={"classic": {}, "shortlived": {"life": 6 * 86400}})
    stead = bed(stub, more="Profile=tiny").up()
    said = wait_until("the reason", lambda: failures(stead))[0]
    assert "no profile tiny" in said["why"] and "classic shortlived" in said["why"] and "Profile=" in said["help"]
    assert not stub.seen("order")
    conf = stead.folder / "stead.conf"
    conf.write_text(conf.read_text().replace("Profile=tiny", "Profile=shortlived"))
    stead.cli("reload")
    stead.cli("cert", "renew")
    assert [order["profile"] for order in stub.payloads("order")] == ["shortlived"]
    assert life(net)[0] == 6 * 86400


@pytest.mark.parametrize("wanted,got", [("", "old root"), ("New Root", "new root"), ("no root", "old root")])
def test_a_preferred_chain(net, bed, wanted, got):
    """Of several chains the one to AcmeChain= is served; when none leads there, the usual one."""
    stub = stubbed.Stub(net, chains=["old root", "other root", "new root"])
    stead = bed(stub, server=f"AcmeChain={wanted}" if wanted else "").up()
    wait_until("the certificate", stead.served)
    assert life(net)[1] == got and len(stub.issued()) == 1


def test_another_chain_that_is_not_to_be_had(net, bed):
    """An alternate that fails is no reason to have no certificate."""
    stub = stubbed.Stub(net, chains=["old root", "new root"])
    stub.also(broken_alternates=True)
    stead = bed(stub, server="AcmeChain=new root").up()
    wait_until("the certificate", stead.served)
    assert life(net)[1] == "old root"


def test_an_external_account(net, bed, work):
    """Without AcmeEabKid= nothing is sent; with it the account is bound; the key lies nowhere in the clear but in its file."""
    key = secrets.token_bytes(32)
    text = base64.urlsafe_b64encode(key).decode().rstrip("=")
    stub = stubbed.Stub(net, eab={"kid-1": text})
    stead = bed(stub, files={"acme.key": text + "\n"}).up()
    said = wait_until("the reason", lambda: failures(stead))[0]
    assert "customers only" in said["why"] and "AcmeEabKid=" in said["help"] and not stub.seen("account")
    (stead.folder / "acme.key").chmod(0o600)
    conf = stead.folder / "stead.conf"
    conf.write_text(conf.read_text() + "AcmeEabKid=kid-0\nAcmeEabKey=acme.key\n")
    stead.cli("reload")
    assert "customer desk" in stead.cli("cert", "renew", code=1)
    conf.write_text(conf.read_text().replace("kid-0", "kid-1"))
    stead.cli("reload")
    stead.cli("cert", "renew")
    assert stub.issued() == [stead.served()] and len(stub.asked("account")) == 2
    # Not in the state, in no value that ctl tells, and in no message of certs'.
    for file in stead.state.rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        assert key not in data and text.encode() not in data, file
    for role in ("ctl", "certs", "gate", "parent"):
        assert not any(key in piece or text.encode() in piece for piece in program.memory_of(stead.pid(role))), role
    assert any(key in piece for piece in program.memory_of(stead.pid("keys")))


def test_words_of_an_external_account(stead, app_folder):
    """One half of it alone, a file that is none, and a key that is too short: each is told with its place."""
    folder = app_folder({"www/index.html": "x", "short.key": "AAAA", "stead.conf": "[Site]\nRoot=www\n[Server]\nAcmeEabKid=k\n"})
    assert "AcmeEabKid=: the key is missing" in stead(folder).cli("check", str(folder), code=2)
    (folder / "stead.conf").write_text("[Site]\nRoot=www\n[Server]\nAcmeEabKey=short.key\n")
    assert "identifier is missing" in stead(folder).cli("check", str(folder), code=2)
    (folder / "stead.conf").write_text("[Site]\nRoot=www\n[Server]\nAcmeEabKid=k\nAcmeEabKey=short.key\n")
    assert "not a key of 16 to 128 bytes" in stead(folder).cli("check", str(folder), code=2)
    (folder / "stead.conf").write_text("[Site]\nRoot=www\n[Server]\nAcmeEabKid=k\nAcmeEabKey=none.key\n")
    assert "none.key" in stead(folder).cli("check", str(folder), code=2)
    # What is found by AcmeEabKey= and written by hand is no key, and no harm.
    (folder / "stead.conf").write_text("[Site]\nRoot=www\n[Server]\nAcmeEabBox=MAA=\n")
    stead(folder).up()


def test_a_second_authority(net, bed):
    """The first cannot be reached: the second one gives the certificate at once; who is in trouble is told, and left alone."""
    stub, other = stubbed.Stub(net), stubbed.Stub(net, number=1, profiles={})
    stub.kill()
    stead = bed(stub, more="Profile=shortlived", server=f"AcmeFallback={other.url}").up()
    serial = wait_until("the certificate", stead.served)
    assert other.issued() == [serial] and "profile" not in other.payloads("order")[0]
    certificate = stead.certificate()
    assert certificate["from"] == other.url and certificate["failures"] == 0
    told = wait_until("it is told", lambda: events(stead, "AUTHORITY_FAILS"))
    assert [r["authority"] for r in told] == [stub.url] and 60 <= int(told[0]["next_s"]) <= 75
    # When the other one is asked when to renew, not the one that did not give it; and its pause outlives ctl.
    stub.begin()
    stead.kill_and_wait("ctl")
    wait_until("another ctl", lambda: (stead.certificate() or {}).get("serial") == serial)
    assert not stub.seen("order")


def test_limits_of_one_are_not_the_others(net, bed):
    """rateLimited at the first authority: the second one is asked at once, and the first not before its time."""
    stub = stubbed.Stub(net, fail=[{"step": "order", "status": 429, "type": "rateLimited", "retry_after": 7200}])
    other = stubbed.Stub(net, number=1)
    stead = bed(stub, server=f"AcmeFallback={other.url}").up()
    serial = wait_until("the certificate", stead.served)
    assert other.issued() == [serial] and len(stub.seen("order")) == 1
    assert not events(stead, "AUTHORITY_FAILS")


def test_both_authorities_are_down(net, bed):
    """One try at each, then both are left alone; `stead cert renew` asks at once, and gets one from who is back."""
    stub, other = stubbed.Stub(net), stubbed.Stub(net, number=1)
    stub.kill()
    other.kill()
    stead = bed(stub, server=f"AcmeFallback={other.url}").up()
    told = wait_until("both", lambda: events(stead, "AUTHORITY_FAILS")[1:])
    assert told[0]["authority"] == other.url
    wait_until("its pause", lambda: due(stead) > time.time() + 30)
    assert stead.certificate()["failures"] == 2
    stub.begin()
    stead.cli("cert", "renew")
    assert stub.issued() == [stead.served()]


def test_it_is_tried_where_it_costs_nothing(net, bed):
    """Behind a refusal the next try is made at AcmeStaging=, and at the authority only when that went well."""
    stub, staging = stubbed.Stub(net, refuse=[DOMAIN]), stubbed.Stub(net, number=1, refuse=[DOMAIN])
    stead = bed(stub, server=f"AcmeStaging={staging.url}").up()
    wait_until("the reason", lambda: failures(stead))
    assert len(stub.asked("order")) == 1 and not staging.seen("order")

    def again():
        """As if the pause were over."""
        seen = len(failures(stead))
        stead.stop()
        stead.gone()
        with sqlite3.connect(stead.state / "state.db") as db:
            db.execute("UPDATE cert SET next = 0")
        db.close()
        program.give(stead.state)
        return bed(stub, server=f"AcmeStaging={staging.url}", state=stead.state).up(), seen
    stead, seen = again()
    wait_until("the next reason", lambda: len(failures(stead)) > seen)
    assert len(stub.asked("order")) == 1 and len(staging.asked("order")) == 1
    stub.also(refuse=None)
    staging.also(refuse=None)
    stead, seen = again()
    serial = wait_until("the certificate", stead.served)
    # What the place for trying gave is served by nobody.
    assert stub.issued() == [serial] and len(staging.issued()) == 1 and len(failures(stead)) == seen
    assert stead.certificate()["from"] == stub.url


def test_refused_too_often(net, bed):
    """A fifth refused try within an hour is not made, whoever asks for it: an authority would count it."""
    stub = stubbed.Stub(net, refuse=[DOMAIN])
    stead = bed(stub).up()
    wait_until("the reason", lambda: failures(stead))
    for _ in range(3):
        assert "not this server's" in stead.cli("cert", "renew", code=1)
    assert "within an hour" in stead.cli("cert", "renew", code=1)
    assert len(stub.asked("order")) == 4


CAA = "ca.example"


@pytest.mark.parametrize("records,why", [
    ({DOMAIN: [[0, "issue", "other.example"]]}, "does not let this authority"),
    # The closest one counts; of the domain above it nobody asks then.
    ({"stead-test.example": [[0, "issue", ";"]]}, "at stead-test.example does not"),
    ({DOMAIN: [[0, "issue", f"{CAA}; validationmethods=dns-01"]]}, "validationmethods is not ours"),
    ({DOMAIN: [[0, "issue", f"{CAA}; accounturi=https://x/1"]]}, "accounturi is not ours"),
    ({DOMAIN: [[128, "future", "x"]]}, "marked critical"),
])
def test_records_that_forbid_it(net, bed, names, records, why):
    """CAA is looked at before an order costs anything: name, record and remedy are told; corrected, it is got."""
    names.does(records={name: {"A": ["127.0.0.1"], "CAA": all_of} for name, all_of in records.items()})
    stub = stubbed.Stub(net, caa=[CAA])
    stead = bed(stub).up()
    said = wait_until("the reason", lambda: failures(stead))[0]
    assert said["name"] == DOMAIN and why in said["why"] and "record" in said["help"]
    assert not stub.seen("order") and not stub.seen("account")
    names.does(records={DOMAIN: {"A": ["127.0.0.1"], "CAA": [[0, "issue", "other.example"], [0, "issue", CAA]]}})
    stead.cli("cert", "renew")
    assert stub.issued() == [stead.served()]


def test_a_domain_whose_dnssec_does_not_hold(net, bed, names):
    """The name servers answer for it only when they need not look at it: that is told, with the remedy."""
    names.does(bogus=["stead-test.example"], secure=["stead-test.example"])
    names.does(records={AUTHORITY: {"A": ["127.0.0.1"]}}, bogus=[DOMAIN])
    stub = stubbed.Stub(net, caa=[CAA])
    stead = bed(stub).up()
    said = wait_until("the reason", lambda: failures(stead))[0]
    assert said["name"] == DOMAIN and "DNSSEC" in said["why"] and "DS and DNSKEY" in said["help"]
    assert not stub.seen("order")
    names.does(secure=["stead-test.example"])
    stead.cli("cert", "renew")
    assert stub.issued() == [stead.served()]


def test_name_servers_that_know_no_caa(net, bed, names):
    """What is not told stands in nobody's way: the authority asks others."""
    names.does(fails={"CAA": 2})
    stub = stubbed.Stub(net, caa=[CAA])
    stead = bed(stub).up()
    wait_until("the certificate", stead.served)
    assert names.asked("CAA", DOMAIN)


NO_RENEWAL = [{"step": "order", "skip": 1, "status": 403, "type": "unauthorized", "times": 1000}]


def test_it_is_told_when_a_renewal_is_late(net, bed):
    """Less than a third of the life is left, then less than a tenth, then none, and nothing comes of the renewal: an event each
    time, once, and a line in `stead status`; renewed, all of it is of the past."""
    stub = stubbed.Stub(net, life=3600, backdate=3600 - 20, fail=NO_RENEWAL)
    stead = bed(stub).up()
    wait_until("the certificate", stead.served)
    stub.also(life=None, backdate=None)
    # Of 3,600 s a tenth is left from the first moment on.
    said = wait_until("the error", lambda: events(stead, "CERT_ENDS"))[0]
    assert said["level"] == "error" and said["site"] == "shop" and 0 < int(said["left_s"]) <= 20
    certificate = stead.certificate()
    assert certificate["alert"] == "ends" and certificate["state"] == "served, ends soon"
    assert "ends soon, and browsers warn" in stead.cli("status")
    wait_until("its end", lambda: stead.certificate()["alert"] == "over")
    wait_until("it is told", lambda: len(events(stead, "CERT_ENDS")) == 2)
    assert not events(stead, "CERT_LATE")
    stub.also(fail=None)
    stead.cli("cert", "renew")
    wait_until("it is well", lambda: stead.certificate()["alert"] == "")
    assert "browsers warn" not in stead.cli("status")


def test_a_third_is_left(net, bed):
    """The warning comes when the last third begins; another ctl tells it again, once."""
    stub = stubbed.Stub(net, life=3600, backdate=2400 - 10, fail=NO_RENEWAL)
    stead = bed(stub).up()
    said = wait_until("the warning", lambda: events(stead, "CERT_LATE"))
    assert said[0]["level"] == "warning" and 1190 <= int(said[0]["left_s"]) <= 1200
    assert stead.certificate()["alert"] == "late" and "late to renew" in stead.cli("status")
    stead.kill_and_wait("ctl")
    wait_until("another ctl tells it", lambda: len(events(stead, "CERT_LATE")) == 2)
    assert not events(stead, "CERT_ENDS")


def load(net, *more):
    """A client that asks as fast as it gets answers, for as long as the test's renewals take."""
    return subprocess.Popen(net.enter("wrk", "-t1", "-c16", "-d8s", "--timeout", "8s", "-H", f"Host: {DOMAIN}", *more,
                                      "https://127.0.0.1/"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_renewed_under_full_load(net, bed):
    """Renewed twice while clients ask as fast as they can, on connections that stay and on new ones: no request fails."""
    stub = stubbed.Stub(net)
    stead = bed(stub).up()
    wait_until("the certificate", stead.served)
    staying, new = load(net), load(net, "-H", "Connection: close")
    try:
        seen = [stead.served()]
        for _ in range(2):
            stead.cli("cert", "renew")
            seen.append(wait_until("the new one", lambda: (now := stead.served()) not in ("", *seen) and now))
        assert staying.poll() is None and new.poll() is None
    finally:
        said = [one.communicate(timeout=60)[0] for one in (staying, new)]
    assert stub.issued() == seen
    for text in said:
        assert "Socket errors" not in text and "Non-2xx" not in text, text
        assert int(re.search(r"(\d+) requests in", text)[1]) > 50, text


@pytest.mark.parametrize("role", ["certs", "ctl", "keys"])
def test_dies_at_each_step_of_a_renewal(net, bed, role):
    """kill -9 at each step of a renewal: one more certificate, and until then the old one is served."""
    stub = stubbed.Stub(net, pending=1, processing=1)
    stead = bed(stub).up()
    first = wait_until("the certificate", stead.served)
    wait_until("it is looked at", lambda: (stead.certificate() or {}).get("state") == "served")
    seen = len(stub.seen())
    asked, killed = threading.Thread(target=stead.cli, args=("cert", "renew"), kwargs={"code": None}), 0
    asked.start()
    for step in ("directory", "order", "challenge", "finalize", "certificate"):
        wait_until(step, lambda step=step: any(one["step"] == step for one in stub.seen()[seen:]) or len(stub.issued()) > 1)
        if stead.served() not in ("", first):
            break
        stead.kill(role)
        killed += 1
    second = wait_until("the new one", lambda: (now := stead.served()) not in ("", first) and now)
    asked.join()
    assert stub.issued() == [first, second] and killed >= 3


TERMS = "https://authority.stead-test.example/terms.html"


def without_email(stead):
    conf = stead.folder / "stead.conf"
    conf.write_text("".join(line for line in conf.read_text().splitlines(True) if not line.startswith("AcmeEmail=")))
    return stead


def test_nobody_agreed_to_the_terms(net, bed):
    """Without AcmeEmail= nothing is asked for, and that is said with what to do; `stead cert agree` shows the terms, and
    agrees with --yes, once: also what comes after a new start is got."""
    stub = stubbed.Stub(net, terms=TERMS)
    stead = without_email(bed(stub)).up()
    said = stead.output()
    assert f"no certificate is got for {DOMAIN}" in said and stub.url in said and "cert agree" in said
    assert stead.certificate() is None
    said = stead.cli("cert", "agree", code=1)
    assert TERMS in said and DOMAIN in said and "--yes" in said
    assert not stub.seen("account") and stead.served() == ""
    stead.cli("cert", "agree", "--yes")
    serial = wait_until("the certificate", stead.served)
    assert stub.issued() == [serial] and "contact" not in stub.payloads("account")[0]
    assert "agreed already" in stead.cli("cert", "agree")
    stead.stop()
    stead.gone()
    again = without_email(bed(stub, state=stead.state)).up()
    assert "no certificate is got" not in again.output()
    wait_until("it is served again", lambda: again.served() == serial)


def test_agreed_on_the_command_line(net, bed):
    """`stead up --yes`."""
    stub = stubbed.Stub(net, terms=TERMS)
    stead = without_email(bed(stub, arguments=["--yes"])).up()
    serial = wait_until("the certificate", stead.served)
    assert stub.issued() == [serial]


@pytest.mark.parametrize("word,got", [("y", True), ("n", False)])
def test_asked_at_the_terminal(net, bed, word, got):
    """Who sits there is shown the terms and asked, once the site is live; a no leaves the site as it is."""
    stub = stubbed.Stub(net, terms=TERMS)
    stead = without_email(bed(stub))
    ours, theirs = os.openpty()
    kept = stead.options
    stead.options = lambda: {**kept(), "stdin": theirs}
    try:
        with open(stead.out_path, "ab") as out:
            stead.process = subprocess.Popen(["script", "-qec", shlex.join(stead.command), "/dev/null"], stdout=out, stderr=out,
                                             start_new_session=True, **stead.options())
        wait_until("the question", lambda: "do you agree to them?" in stead.output())
        assert TERMS in stead.output() and stead.output().index("live  ") < stead.output().index(TERMS)
        os.write(ours, f"{word}\n".encode())
        if got:
            serial = wait_until("the certificate", stead.served)
            assert stub.issued() == [serial]
        else:
            wait_until("what that means", lambda: "nobody agreed to the terms" in stead.output())
            assert net.curl(f"http://{DOMAIN}/", "--resolve", f"{DOMAIN}:80:127.0.0.1") == "hello from the shop\n"
            assert not stub.seen("account")
    finally:
        os.close(ours)
        os.close(theirs)
        stead.stop()
