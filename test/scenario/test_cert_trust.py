"""`stead cert trust`: this machine believes the user's own authority. In mount namespaces, so that the test's machine does not."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from program import BUILD, TIMEOUT, wait_until
from test_local_https import local  # noqa: F401 (a fixture)

pytestmark = pytest.mark.root

MOUNTS = ("mkdir -p {0}/local {0}/certs && cp -a /usr/local/share/ca-certificates/. {0}/local/ && cp -a /etc/ssl/certs/. {0}/certs/ && "
          "mount --bind {0}/local /usr/local/share/ca-certificates && mount --bind {0}/certs /etc/ssl/certs && ")


class Machine:
    """Commands that share a namespace in which the system's store is a copy."""

    def __init__(self, work):
        self.work = work
        self.holder = subprocess.Popen(["unshare", "-m", "sh", "-ec", MOUNTS.format(work / "store") + "echo ready; exec sleep infinity"],
                                       stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n"

    def run(self, *command, env=(), user=False, code=0):
        who = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if user else []
        done = subprocess.run(["nsenter", "-t", str(self.holder.pid), "-m", "--", *who, *map(str, command)], text=True, timeout=2 * TIMEOUT,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={"PATH": os.environ["PATH"] + ":/usr/sbin", "HOME": str(self.work), **dict(env)})
        assert code is None or done.returncode == code, done.stdout
        return done.stdout

    def end(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


@pytest.fixture
def machine(work):
    one = Machine(work)
    yield one
    one.end()


def trust(machine, local, *more, user=False, code=0):
    env = {"HOME": str(local.home)} if user else {"HOME": str(local.home), "STEAD_CA": str(local.folder)}
    out = machine.run(BUILD / "stead", "cert", "trust", "--json", *more, env=env, user=user, code=code)
    return {(p["place"], p["state"]): p for p in json.loads(out.splitlines()[-1])["places"]}


def test_the_systems_store(machine, local):  # noqa: F811
    """As root curl and Python believe it from then on; again it changes nothing; --remove takes it back."""
    one = local.new().up()
    url = f"https://localhost:{one.secure}/"
    python = [sys.executable, "-c", f"import urllib.request as u; print(u.urlopen('{url}').read().decode())"]
    machine.run("curl", "-sS", url, code=60)
    places = trust(machine, local)
    assert ("system", "added") in places
    assert machine.run("curl", "-sS", url) == "hello" and machine.run("/usr/bin/python3", *python[1:]) == "hello\n"
    assert ("system", "was there") in trust(machine, local)
    if shutil.which("node"):
        script = f"require('https').get('{url}', r => r.on('data', d => process.stdout.write(d))).on('error', e => console.log(e.code))"
        assert machine.run("node", "-e", script, env={"NODE_EXTRA_CA_CERTS": str(local.trust)}) == "hello"
    assert ("system", "removed") in trust(machine, local, "--remove")
    machine.run("curl", "-sS", url, code=60)
    assert ("system", "was not there") in trust(machine, local, "--remove")


def test_as_a_user(machine, local):  # noqa: F811
    """What needs root is not tried: the command is shown, and it works as it stands."""
    one = local.new().up()
    place = trust(machine, local, user=True, code=5)["system", "needs root"]
    assert place["todo"].startswith("sudo install -m 644 ")
    machine.run("sh", "-c", place["todo"].replace("sudo ", ""))
    assert machine.run("curl", "-sS", f"https://localhost:{one.secure}/") == "hello"
    assert ("system", "was there") in trust(machine, local, user=True, code=None)
    place = trust(machine, local, "--remove", user=True, code=5)["system", "needs root"]
    machine.run("sh", "-c", place["todo"].replace("sudo ", ""))
    machine.run("curl", "-sS", f"https://localhost:{one.secure}/", code=60)
    words = machine.run(BUILD / "stead", "cert", "trust", env={"HOME": str(local.home)}, user=True, code=None)
    assert "export REQUESTS_CA_BUNDLE=" in words and f"export NODE_EXTRA_CA_CERTS='{local.trust}'" in words and "SSL_CERT_FILE" in words


@pytest.mark.skipif(not shutil.which("certutil"), reason="THERE IS NO certutil (package libnss3-tools): browsers' stores are not tried")
def test_browsers_stores(machine, local):  # noqa: F811
    """Chromium's store, which is made when it is not there, and one for each profile of Firefox; idempotent, and taken back."""
    local.new().up()
    profile = local.home / ".mozilla/firefox/abc.default"
    profile.mkdir(parents=True)
    subprocess.run(["certutil", "-N", "--empty-password", "-d", f"sql:{profile}"], check=True)
    subprocess.run(["chown", "-R", "nobody:nogroup", local.home / ".mozilla"], check=True)

    def places(*more):
        out = machine.run(BUILD / "stead", "cert", "trust", "--json", *more, env={"HOME": str(local.home)}, user=True, code=None)
        return {p["where"]: p["state"] for p in json.loads(out.splitlines()[-1])["places"] if p["place"] == "browser"}

    stores = [str(local.home / ".pki/nssdb"), str(profile)]
    assert places() == dict.fromkeys(stores, "added")
    assert places() == dict.fromkeys(stores, "was there")
    shown = subprocess.run(["certutil", "-L", "-d", f"sql:{profile}"], capture_output=True, text=True, check=True).stdout
    assert "stead-local-ca-" in shown and "C,," in shown
    assert places("--remove") == dict.fromkeys(stores, "removed")
    assert places("--remove") == dict.fromkeys(stores, "was not there")


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(not (CHROMIUM and shutil.which("certutil")), reason="THERE IS NO chromium: no browser is tried")
def test_a_real_browser(machine, local):  # noqa: F811
    """Headless Chromium shows an error page before, and the site's page after."""
    one = local.new().up()

    def shows():
        return machine.run("timeout", "25", CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                           f"--user-data-dir={local.home / 'chromium'}", "--dump-dom", f"https://localhost:{one.secure}/",
                           env={"HOME": str(local.home)}, user=True, code=None)

    assert "hello" not in shows()
    trust(machine, local, user=True, code=5)
    wait_until("the page", lambda: "hello" in shows())


def test_without_one(machine, work):
    """There is no authority yet: said, with what makes it; and one that somebody else made is not trusted as root."""
    env = {"HOME": str(work), "STEAD_CA": str(work / "none")}
    assert "`stead up` makes it" in machine.run(BUILD / "stead", "cert", "trust", env=env, code=4)
    folder = work / "evil"
    folder.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "key",
                    "-out", folder / "ca.pem", "-subj", "/CN=stead local CA", "-addext", "keyUsage=critical,keyCertSign"],
                   check=True, capture_output=True)
    said = machine.run(BUILD / "stead", "cert", "trust", env={"HOME": str(work), "STEAD_CA": str(folder)}, code=2)
    assert "may sign more than local names" in said
    assert not list(pathlib.Path("/usr/local/share/ca-certificates").glob("stead-*"))
