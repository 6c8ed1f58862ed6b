"""Authorities give 50 certificates a week to a registered domain: stead keeps below that by itself, over restarts."""

import sqlite3
import time

import pytest

import stubbed
from acmebed import DOMAIN
from program import wait_until
from test_certs_stub import bed, due, failures, names  # noqa: F401 - fixtures

pytestmark = pytest.mark.root
WEEK, ONE = 7 * 86400, 7 * 86400 // 45
REGISTERED = "stead-test.example"


def rows(stead):
    with sqlite3.connect(stead.state / "state.db") as db:
        return {domain: spent for domain, spent in db.execute("SELECT domain, spent FROM acme_domain")}


def set_spent(stead, spent):
    with sqlite3.connect(stead.state / "state.db") as db:
        assert db.execute("UPDATE acme_domain SET spent = ?", (spent,)).rowcount == 1


def with_names(stead, names):  # noqa: F811
    file = stead.folder / "stead.conf"
    lines = [f"Domain={names}" if line.startswith("Domain=") else line for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines) + "\n")


def test_a_domain_is_full(net, bed):  # noqa: F811
    """What was given is written down by the registered domain; without room nothing is asked, and it is told when it goes on. A
    renewal that says what it replaces needs no room, and another domain has its own."""
    now = int(time.time())
    stub = stubbed.Stub(net, renewal=[now + 40 * 86400, now + 41 * 86400])
    stead = bed(stub).up()
    first = wait_until("the certificate", stead.served)
    wait_until("it is written down", lambda: list(rows(stead)) == [REGISTERED])
    assert now + ONE <= rows(stead)[REGISTERED] <= time.time() + ONE
    stead.stop()
    stead.gone()
    set_spent(stead, int(time.time()) + WEEK)
    with_names(stead, f"{DOMAIN} www.{DOMAIN}")
    stead.up()
    told = wait_until("it is told", lambda: [r for r in failures(stead) if "within a week" in r["why"]])[0]
    assert told["name"] == REGISTERED and REGISTERED in told["why"] and "there is room at 20" in told["help"]
    assert len(stub.seen("order")) == 1 and stead.served() == first
    assert ONE - 120 <= due(stead) - time.time() <= ONE + 120
    stead.kill_and_wait("ctl")
    wait_until("another ctl knows it", lambda: ONE - 150 <= due(stead) - time.time() <= ONE + 120)
    assert len(stub.seen("order")) == 1
    # The names that there is one for: it replaces that.
    with_names(stead, DOMAIN)
    stead.cli("reload")
    wait_until("its own time", lambda: now + 39 * 86400 < due(stead) and stead.certificate()["failures"] == 0)
    assert len(stub.seen("order")) == 1
    stead.cli("cert", "renew")
    assert stead.served() not in ("", first) and len(stub.issued()) == 2
    assert rows(stead)[REGISTERED] <= time.time() + WEEK
    with_names(stead, f"{DOMAIN} www.other-test.example")
    stead.cli("reload")
    assert "within a week" in stead.cli("cert", "renew", code=1)
    with_names(stead, "www.other-test.example")
    stead.cli("reload")
    wait_until("another domain's", lambda: len(stub.issued()) == 3)
    wait_until("it is written down", lambda: set(rows(stead)) == {REGISTERED, "other-test.example"})
