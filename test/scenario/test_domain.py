"""`stead domain`: names that a command attaches to an app."""

import json
import os
import subprocess

import pytest

from client import Client
from program import BUILD, TIMEOUT, wait_until

CONF = "[Site]\nName=shop\nRoot=files\n{}[Server]\nSites=sites\n"


def shop(app_folder, domain=""):
    return app_folder({"stead.conf": CONF.format(domain), "files/index.html": "the shop\n",
                       "sites/docs.conf": "[Site]\nDomain=docs.example *.example\nAlias=manual.example\nRoot=docs\n",
                       "sites/docs/index.html": "the docs\n"})


def says(one, host):
    with Client(one.port) as client:
        client.host = host
        got = client.ask("/")
        return got.text.strip() if got.status == 200 else got.status


def names(one):
    return {(d["name"], d["app"], d["origin"]) for d in json.loads(one.cli("domain", "list", "--json"))}


def test_a_name_is_attached_and_taken_away(stead, app_folder):
    """At once, without the files being read; over a reload, a new ctl and another start."""
    one = stead(shop(app_folder, "Domain=shop.example\n")).up()
    assert says(one, "new.example") == "the docs", "by its *.example"
    told = one.cli("domain", "add", "New.Example")
    assert "shop answers to new.example\n" in told and "new.example.  A" in told
    assert says(one, "new.example") == says(one, "shop.example") == "the shop"
    assert names(one) == {("shop.example", "shop", "file"), ("new.example", "shop", "command"), ("docs.example", "docs", "file"), ("*.example", "docs", "file")}
    one.cli("domain", "add", "new.example", "shop")
    for again in (lambda: one.cli("reload"), lambda: one.kill_and_wait("ctl"), lambda: (one.stop(), one.up())):
        again()
        wait_until("ctl to answer", lambda: one.cli("domain", "list", code=None).count(".example ") == 4)
        assert says(one, "new.example") == "the shop" and ("new.example", "shop", "command") in names(one)
    told = one.cli("domain", "remove", "shop.example", code=2)
    assert "in its configuration" in told
    one.cli("domain", "remove", "new.example")
    assert says(one, "new.example") == "the docs", "by its *.example" and says(one, "shop.example") == "the shop"
    assert names(one) == {("shop.example", "shop", "file"), ("docs.example", "docs", "file"), ("*.example", "docs", "file")}
    assert "does not answer" in one.cli("domain", "remove", "new.example", code=4)
    one.cli("reload")
    assert says(one, "new.example") == "the docs", "by its *.example"


def test_a_name_is_one_sites_alone(stead, app_folder):
    """Refused with whose it is; nothing changes then."""
    one = stead(shop(app_folder)).up()
    for taken in ("docs.example", "manual.example"):
        assert f"{taken} is docs's" in one.cli("domain", "add", taken, code=1)
    assert says(one, "docs.example") == "the docs"
    for wrong in ("not a name", "-x-.example", "a..b", "x" * 70 + ".example", "a/b", "http://a.example"):
        one.cli("domain", "add", "--", wrong, code=2)
    assert "its file alone" in one.cli("domain", "add", "more.example", "docs", code=2)
    assert "no app or site" in one.cli("domain", "add", "more.example", "nosuch", code=4)
    one.cli("domain", "frobnicate", "x", code=2)
    one.cli("domain", "add", code=2)
    assert names(one) == {("docs.example", "docs", "file"), ("*.example", "docs", "file")}
    one.cli("domain", "add", "shop.example")
    assert says(one, "shop.example") == "the shop"
    (one.folder / "sites" / "other.conf").write_text("[Site]\nDomain=shop.example\nRoot=docs\n")
    assert "shop.example" in one.cli("reload", code=None)
    assert says(one, "shop.example") == "the shop", "the command came before the file"


@pytest.mark.root
def test_wait_for_the_record(stead, app_folder, work):
    """It tells where the name leads, and ends when that is here."""
    one = stead(shop(app_folder)).up()
    records = json.loads(one.cli("domain", "add", "late.example", "--json"))["records"]
    if not records:
        pytest.skip("this machine has no address but its own")
    hosts = work / "hosts"
    hosts.write_text("127.0.0.1 localhost\n192.0.2.7 late.example\n")
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-ec", f'mount --bind {hosts} /etc/hosts; exec "$@"', "sh", str(BUILD / "stead"), "domain", "add",
         "late.example", "--wait", "--state", str(one.state)], stdout=subprocess.PIPE, text=True, env={**os.environ, "STEAD_CA": ""})
    try:
        lines = iter(process.stdout.readline, "")
        assert any("late.example leads to 192.0.2.7" in line for line in lines)
        assert process.poll() is None
        with open(hosts, "r+") as file:  # in place: it is mounted
            file.write("127.0.0.1 localhost\n" + "".join(f"{r['value']} late.example\n" for r in records))
            file.truncate()
        assert process.wait(TIMEOUT) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
