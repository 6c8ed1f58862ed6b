"""Certificates of many sites at once, and of many names in one: several orders and several proofs at a time, each process
killed meanwhile, and exactly one certificate for each."""

import json
import os
import time

import pytest

import acmebed
from program import wait_until
from test_certs import bed  # noqa: F401 - a fixture

pytestmark = pytest.mark.root
SITES, NAMES = int(os.environ.get("STEAD_CERT_SITES", "16")), 5


def names_of(number):
    """Of a registered domain that no other site has: an authority gives each but so many a week."""
    return [f"n{i}.many-{number}.example" for i in range(NAMES)]


def write_sites(folder, sites):
    (folder / "sites").mkdir()
    (folder / "sites/index.html").write_text("one of many\n")
    for number in range(sites):
        (folder / f"sites/s{number}.conf").write_text(f"[Site]\nDomain={' '.join(names_of(number))}\nRoot=.\n")


def certificates(stead):
    said = json.loads(stead.cli("cert", "list", "--json").splitlines()[-1])
    return {c["site"]: c for c in said.get("certificates", ())}


@pytest.mark.promise
@pytest.mark.timeout(120 + SITES * 5)
def test_many_at_once(net, bed, promise):  # noqa: F811
    """Strict, half of all nonces refused; certs, ctl and keys are killed in the middle: each site has exactly one."""
    pebble = acmebed.Pebble(net, env={"PEBBLE_VA_NOSLEEP": "1"})
    stead = bed(pebble, more="", names="", server="Sites=sites\n")
    write_sites(stead.folder, SITES)
    began = time.monotonic()
    stead.up()
    for count, role in enumerate(("certs", "ctl", "keys"), 1):
        wait_until("some more of them", lambda count=count: pebble.issued() >= max(1, SITES * count // 5),
                   timeout=30 + SITES * 2)
        stead.kill(role)
    wait_until("all of them", lambda: pebble.issued() >= SITES, timeout=60 + SITES * 3)
    wait_until("they are served", lambda: [c["state"] for c in certificates(stead).values()] == ["served"] * SITES,
               timeout=60 + SITES)
    took = time.monotonic() - began
    found = certificates(stead)
    assert len(found) == SITES and all(c["names"] == names_of(site[1:]) for site, c in found.items())
    issued = pebble.issued()
    assert issued == SITES
    for number in {0, SITES // 2, SITES - 1}:
        assert stead.served(names_of(number)[NAMES - 1]) == found[f"s{number}"]["serial"]
    promise("names issued in one run", f"{SITES * NAMES} names in {issued} certificates in {took:.0f} s, -strict, half of all "
            f"nonces refused, certs, ctl and keys killed meanwhile; one certificate each", issued == SITES)


def test_those_that_come_together_share_a_snapshot(net, bed):  # noqa: F811
    """With many sites a snapshot costs something: of certificates that come one behind the other several go out with one, and
    each is served."""
    pebble = acmebed.Pebble(net, nonce_reject=0, env={"PEBBLE_VA_NOSLEEP": "1"})
    stead = bed(pebble, more="", names="", server="Sites=sites\n")
    write_sites(stead.folder, 12)
    for number in range(2000):
        (stead.folder / f"sites/plain{number}.conf").write_text(f"[Site]\nDomain=p{number}.many.example\nHttps=off\nRoot=.\n")
    stead.up()
    wait_until("they are served", lambda: [c["state"] for c in certificates(stead).values()].count("served") == 12, timeout=120)
    wait_until("the last of them", lambda: all(stead.served(names_of(number)[0]) for number in range(12)), timeout=60)
    made = max(int(r["generation"]) for r in stead.logs() if r.get("event") == "SNAPSHOT")
    issued = [r for r in stead.logs() if r.get("event") == "CERT_ISSUED"]
    assert len(issued) == pebble.issued() == 12 and made < 12
    stead.kill_and_wait("ctl")
    wait_until("another ctl serves them", lambda: stead.served(names_of(11)[0]))


def test_more_names_than_a_certificate_holds(net, bed):  # noqa: F811
    """A hundred names are one certificate; one more is refused with what to do, and corrected it is got."""
    names = [f"n{i}.{acmebed.DOMAIN}" for i in range(101)]
    pebble = acmebed.Pebble(net, nonce_reject=0, env={"PEBBLE_VA_NOSLEEP": "1"})
    stead = bed(pebble, names=" ".join(names[:50]), more=f"Alias={' '.join(names[50:])}")
    stead.up()
    certificate = stead.certificate()
    assert certificate["state"] == "failing" and "101 public names" in certificate["error"]
    assert "divide the names between several sites" in certificate["todo"]
    assert "101 public names" in stead.cli("cert", "renew", code=1)
    assert "/order-plz" not in pebble.log()
    told = [r for r in stead.logs() if r.get("event") == "CERT_FAILED"]
    assert len(told) == 1 and "101 public names" in told[0]["why"]
    file = stead.folder / "stead.conf"
    file.write_text(file.read_text().replace(names[100], ""))
    stead.cli("reload")
    wait_until("one for a hundred names", lambda: (stead.certificate() or {}).get("state") == "served", timeout=90)
    assert stead.certificate()["names"] == names[:100] and pebble.issued() == 1
    assert stead.served(names[99]) == stead.certificate()["serial"]
