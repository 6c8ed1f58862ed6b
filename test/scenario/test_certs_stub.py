"""Certificates from an authority that does what Pebble cannot be told to do: the stub of stub_ca.py."""

import time

import pytest

import acmebed
import stubbed
from acmebed import DOMAIN
from program import wait_until

pytestmark = pytest.mark.root


@pytest.fixture
def bed(net, work, app_folder):
    """stead(…) on a site with a public name, not started yet."""
    stubbed.Names(net)
    made = []

    def make(stub, more="", server="", names=DOMAIN, files=(), **options):
        folder = app_folder({**acmebed.site(stub, more=more, names=names), **dict(files)})
        file = folder / "stead.conf"
        file.write_text(file.read_text() + f"Gates=1\n{server}\n")
        made.append(acmebed.Stead(net, work, folder, number=len(made), **options))
        return made[-1]
    yield make
    for file in sorted(work.glob("stub-*.out")):
        print(file.name, file.read_text(errors="replace")[-3000:])
    acmebed.finish(made)


def failures(stead):
    return [r for r in stead.logs() if r.get("event") == "CERT_FAILED"]


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
