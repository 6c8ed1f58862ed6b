"""Certificates that stead gets by itself, from a real authority (Pebble: strict, half of all nonces refused)."""

import json
import os
import pathlib
import pwd
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

import acmebed
import program
from acmebed import DOMAIN
from program import wait_until

pytestmark = pytest.mark.root


@pytest.fixture
def bed(net, work, app_folder):
    """stead(…) on a site with a public name, not started yet."""
    made = []

    def make(pebble, more="", names=DOMAIN, gates=1, server="", listen="127.0.0.1:80", tls="127.0.0.1:443", **options):
        folder = app_folder(acmebed.site(pebble, more=more, names=names, listen=listen, tls=tls))
        file = folder / "stead.conf"
        file.write_text(file.read_text() + f"Gates={gates}\n{server}")
        made.append(acmebed.Stead(net, work, folder, number=len(made), **options))
        return made[-1]
    yield make
    acmebed.finish(made)


def test_a_name_becomes_https(net, bed):
    """From a stead.conf with AcmeEmail= to a certificate that is served, and http that leads to it."""
    pebble = acmebed.Pebble(net)
    names = f"{DOMAIN} www.{DOMAIN} *.wild.{DOMAIN}"
    stead = bed(pebble, gates=2, names=names).up()
    wait_until("the certificate", stead.served)
    body = net.curl("--cacert", str(pebble.roots), "--resolve", f"{DOMAIN}:443:127.0.0.1", f"https://{DOMAIN}/")
    assert body == "hello from the shop\n"
    assert stead.served(f"www.{DOMAIN}") == stead.served()
    head = net.curl("-I", "--resolve", f"{DOMAIN}:80:127.0.0.1", f"http://{DOMAIN}/x?y")
    assert "308" in head.splitlines()[0] and f"https://{DOMAIN}/x?y" in head.lower()
    certificate = stead.certificate()
    assert certificate["serial"] == stead.served() and certificate["state"] == "served"
    # What only a DNS record could prove is not asked for.
    assert certificate["names"] == [DOMAIN, f"www.{DOMAIN}"]
    assert "served, until" in stead.cli("cert", "list") and DOMAIN in stead.cli("status")
    assert pebble.issued() == 1
    assert [r["serial"] for r in stead.logs() if r.get("event") == "CERT_ISSUED"] == [stead.served()]
    # Who has nothing to do for weeks holds no memory meanwhile.
    wait_until("the end of certs", lambda: not stead.pids("certs"), 90)
    assert not [p for p in stead.status()["processes"] if p["role"] == "certs"]
    # Once more at once; the old key is not used again.
    before = stead.served()
    assert before not in stead.cli("cert", "renew")
    wait_until("the new one", lambda: stead.served() not in ("", before))
    assert pebble.issued() == 2
    # All of it is there after an end and a new start, without asking the authority.
    now = stead.served()
    stead.stop()
    stead.gone()
    again = bed(pebble, names=names, state=stead.state)
    again.up()
    wait_until("the same one", lambda: again.served() == now)
    assert pebble.issued() == 2


@pytest.fixture
def root_state():
    """A state folder where root's lie; it and the app's user are removed behind the test."""
    folder = pathlib.Path(f"/var/lib/stead/up/certs-{os.getpid()}")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    for user in pwd.getpwall():
        if user.pw_gecos == f"stead app up/{folder.name}":
            subprocess.run(["/usr/sbin/userdel", user.pw_name], check=True)


def test_as_root(root_state, net, bed):
    """With users and jails: certs runs as a user of its own, may start nothing and open nothing, and gets one."""
    stead = bed(acmebed.Pebble(net), as_root=True, state=root_state).up()
    wait_until("the certificate", stead.served)
    status = pathlib.Path(f"/proc/{stead.pid('certs')}/status").read_text()
    assert f"Uid:\t{pwd.getpwnam('stead-certs').pw_uid}\t" in status
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status


@pytest.mark.parametrize("role", ["certs", "ctl", "keys"])
def test_dies_at_each_step(net, bed, role):
    """kill -9 at each step of an order: exactly one certificate, and it is served."""
    acmebed.dies_at_each_step(acmebed.Pebble(net), bed, role)


def test_renewed_under_load(net, bed):
    """A certificate is renewed by itself, when half of its short life is over; no request fails meanwhile."""
    pebble = acmebed.Pebble(net, validity_s=6)
    stead = bed(pebble).up()
    first = wait_until("the certificate", stead.served)
    failed, done, stop = [], [], threading.Event()

    def ask():
        while not stop.is_set():
            # Its own connection each time, so each sees the certificate of the moment.
            out = net.curl("-k", "--resolve", f"{DOMAIN}:443:127.0.0.1", f"https://{DOMAIN}/", code=None)
            (done if out == "hello from the shop\n" else failed).append(out)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        second = wait_until("a renewed one", lambda: stead.served() not in ("", first) and stead.served())
        count = len(done)
        wait_until("requests behind it", lambda: len(done) > count + 5)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed, failed[:3]
    assert second != first and len(done) > 10


def test_a_name_that_leads_elsewhere(net, bed):
    """The preflight says which name, which address and what to do; no order is placed; corrected, it is got."""
    pebble = acmebed.Pebble(net)
    net.start("other", "python3", "-m", "http.server", "80", "--bind", "127.0.0.2")
    wait_until("another server", lambda: "Directory" in net.curl("http://127.0.0.2/", code=None))
    pebble.set_name("add-a", host=f"www.{DOMAIN}", addresses=["127.0.0.2"])
    stead = bed(pebble, names=f"{DOMAIN} www.{DOMAIN}").up()
    said = wait_until("the reason", lambda: [r for r in stead.logs() if r.get("event") == "CERT_FAILED"])[0]
    assert said["name"] == f"www.{DOMAIN}" and "127.0.0.2" in said["why"] and "404" in said["why"]
    assert "A and AAAA record" in said["help"]
    assert "/order-plz" not in pebble.log()
    certificate = stead.certificate()
    assert certificate["state"] == "failing" and certificate["failures"] == 1 and certificate["next"]
    assert f"www.{DOMAIN}" in stead.cli("cert", "list")
    # The site serves on in the clear: nothing leads to a certificate that is not there.
    assert net.curl("--resolve", f"{DOMAIN}:80:127.0.0.1", f"http://{DOMAIN}/") == "hello from the shop\n"
    pebble.set_name("clear-a", host=f"www.{DOMAIN}")
    stead.cli("cert", "renew")
    assert stead.served() == stead.certificate()["serial"]


def test_an_authority_that_is_not_believed(net, bed):
    """Its certificate is not of anybody whom this machine trusts: nothing is sent to it."""
    pebble = acmebed.Pebble(net)
    net.bundle.write_text(pebble.roots.read_text())
    stead = bed(pebble).up()
    said = wait_until("the reason", lambda: [r for r in stead.logs() if r.get("event") == "CERT_FAILED"])[0]
    assert "cannot be reached" in said["why"] and "certificate" in said["why"]
    assert stead.served() == ""


def test_names_are_public_ones_only(net, bed):
    """What no authority can know is not asked for, and without an address of mail nothing is."""
    pebble = acmebed.Pebble(net)
    stead = bed(pebble, names="shop.localhost box.local intranet").up()
    assert stead.certificate() is None
    assert "No certificate is got" in stead.cli("cert", "renew", code=None)
    assert not stead.pids("certs") and "/order-plz" not in pebble.log()


def test_wrong_words(stead, app_folder):
    """An address that is none and an authority in the clear are refused, each with its place."""
    folder = app_folder({"www/index.html": "x", "stead.conf": "[Site]\nRoot=www\n[Server]\nAcmeEmail=nobody\n"
                         "AcmeDirectory=http://authority.example/dir\n"})
    said = stead(folder).cli("check", str(folder), code=2)
    assert "stead.conf:4" in said and "not an address of mail" in said
    assert "stead.conf:5" in said and "in the clear" in said


def at(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def test_the_authority_says_when(net, bed):
    """RFC 9773: it is asked when to renew; a window that is now brings a new certificate, which names the old one."""
    pebble = acmebed.Pebble(net)
    between = acmebed.Between(net, pebble, renewal=[at(-20), at(-10)])
    stead = bed(between).up()
    first = wait_until("the certificate", stead.served)
    wait_until("it is asked", lambda: "GET /renewal/" in between.log())
    second = wait_until("a renewed one", lambda: stead.served() not in ("", first) and stead.served())
    name = between.log().split("GET /renewal/")[1].split()[0]
    orders = [json.loads(line.split(" ", 1)[1]) for line in between.log().splitlines() if "identifiers" in line]
    replaced = [order["replaces"] for order in orders if "replaces" in order]
    assert name.count(".") == 1 and replaced[0] == name and "replaces" not in orders[0]
    assert second != first


def test_an_authority_that_is_busy(net, bed):
    """503 with Retry-After in the middle of an order: it goes on after the time that was asked for."""
    pebble = acmebed.Pebble(net, nonce_reject=0)
    between = acmebed.Between(net, pebble, busy=2, retry_after=1, renewal=[at(86400), at(90000)])
    stead = bed(between).up()
    wait_until("the certificate", stead.served)
    assert pebble.issued() == 1 and json.loads(between.file.read_text())["busy"] == 0


def test_no_more_than_authorities_give(net, bed):
    """A fifth certificate for the same names within a week is not asked for, also not by another ctl."""
    pebble = acmebed.Pebble(net, nonce_reject=0)
    stead = bed(pebble).up()
    wait_until("the certificate", stead.served)
    wait_until("it was looked at", lambda: (stead.certificate() or {}).get("state") == "served")
    stead.stop()
    stead.gone()
    with sqlite3.connect(stead.state / "state.db") as db:  # as three more would have left it
        spent, = db.execute("SELECT spent FROM cert").fetchone()
        assert 0 < spent - time.time() <= 42 * 3600
        db.execute("UPDATE cert SET spent = spent + 3 * 42 * 3600")
    db.close()
    program.give(stead.state)
    again = bed(pebble, state=stead.state).up()
    said = again.cli("cert", "renew", code=1)
    assert "within a week" in said and "wait" in said
    assert pebble.issued() == 1 and again.served() == again.certificate()["serial"]


def test_one_that_is_not_served(net, bed):
    """A certificate that was got and that no handshake shows, because nobody signs, is told as that."""
    between = acmebed.Between(net, acmebed.Pebble(net, nonce_reject=0), hold="/certZ/")
    stead = bed(between, more="HeaderTimeoutSec=500ms").up()
    wait_until("the certificate is ready", lambda: "HELD" in between.log())
    pid = stead.pid("keys")
    os.kill(pid, signal.SIGSTOP)
    try:
        between.does()
        said = wait_until("it is told", lambda: [r for r in stead.logs() if r.get("event") == "CERT_NOT_SERVED"])
    finally:
        os.kill(pid, signal.SIGCONT)
    issued = [r["serial"] for r in stead.logs() if r.get("event") == "CERT_ISSUED"]
    assert [r["serial"] for r in said] == issued and said[0]["site"] == "shop" and said[0]["why"], said
    assert wait_until("it is served", stead.served) == issued[0]
