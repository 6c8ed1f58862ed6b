"""Certificates for names that are not written in the configuration (OnDemand=): got at the first handshake, behind a guard."""

import json
import subprocess
import threading
import time

import pytest

import acmebed
import program
from acmebed import DOMAIN
from program import wait_until
from test_certs import bed, root_state  # noqa: F401 - fixtures

pytestmark = pytest.mark.root

GUARD = '''
import http.server, json, sys, time
class Guard(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        does = json.load(open(sys.argv[1]))
        print("asked", self.path, flush=True)
        name = self.path.split("domain=")[-1]
        time.sleep(does.get("sleep", 0))
        self.send_response(200 if name.endswith(tuple(does["permits"])) else 403)
        self.end_headers()
        self.wfile.write(b"x" * does.get("bytes", 2))
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Guard).serve_forever()
'''

# Hellos with so many names, all at once; how long a client of the written name needs meanwhile.
FLOOD = '''
import socket, ssl, sys, time
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
began, all = time.monotonic(), []
for i in range(int(sys.argv[1])):
    read, write = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(read, write, server_hostname=sys.argv[3] % i).do_handshake()
    except ssl.SSLWantReadError:
        pass
    one = socket.create_connection(("127.0.0.1", 443))
    one.sendall(write.read())
    all.append(one)
sent = time.monotonic() - began
slowest = 0
for i in range(20):
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", 443)) as raw, context.wrap_socket(raw, server_hostname=sys.argv[2]) as good:
        assert good.version()
    slowest = max(slowest, time.monotonic() - began)
print(sent, slowest)
'''


class Guard:
    def __init__(self, net, **does):
        self.net, self.file = net, net.work / "guard.json"
        self.does(**does)
        net.start("guard", "python3", "-u", "-c", GUARD, self.file)
        wait_until("the guard", lambda: net.curl("http://127.0.0.1:9000/up", "-o", "/dev/null", "-w", "%{http_code}",
                                                 code=None).strip() == "403")

    def does(self, permits=(), **more):
        new = self.net.work / "guard.new"
        new.write_text(json.dumps({"permits": list(permits), **more}))
        new.rename(self.file)

    def asked(self):
        """The names that it was asked for, in order."""
        lines = (self.net.work / "guard.out").read_text().splitlines()
        return [line.split("domain=")[1] for line in lines if "domain=" in line]


LINE = "OnDemand=http://127.0.0.1:9000/may\n"


@pytest.fixture
def demand(net, bed):  # noqa: F811
    """pebble, guard, stead: a site with a written name and a wildcard, whose guard permits *.yes.DOMAIN."""
    def make(pebble=None, more=LINE, does=None, up=True, **options):
        pebble = pebble or acmebed.Pebble(net, nonce_reject=0, env={"PEBBLE_VA_NOSLEEP": "1"})
        guard = Guard(net, **(does or {"permits": [f".yes.{DOMAIN}"]}))
        stead = bed(pebble, more=more, names=f"{DOMAIN} *.{DOMAIN}", **options)
        if up:
            stead.up()
            wait_until("the written name's", stead.served)
        return pebble, guard, stead
    return make


def certificates(stead):
    said = json.loads(stead.cli("cert", "list", "--json", code=None).splitlines()[-1])
    return {c["names"][0]: c for c in said.get("certificates", ()) if c.get("on_demand")}


@pytest.mark.parametrize("gates", [pytest.param(1, marks=pytest.mark.smoke), 2])
def test_at_the_first_handshake(net, demand, gates):
    """The first client of a name waits, and is served; all others at once. Nobody else's name is got."""
    pebble, guard, stead = demand(gates=gates)
    name = f"a.yes.{DOMAIN}"
    assert pebble.issued() == 1
    serial = stead.served(name)
    assert serial and serial != stead.served() and pebble.issued() == 2
    assert stead.served(name.upper()) == serial and guard.asked() == [name]
    body = net.curl("--cacert", str(pebble.roots), "--resolve", f"{name}:443:127.0.0.1", f"https://{name}/")
    assert body == "hello from the shop\n"
    head = net.curl("-I", "--resolve", f"{name}:80:127.0.0.1", f"http://{name}/x")
    assert "308" in head.splitlines()[0] and f"https://{name}/x" in head
    listed = wait_until("it is told", lambda: certificates(stead).get(name))
    assert listed["site"] == "shop" and listed["serial"] == serial and listed["state"] == "served"
    assert name in stead.cli("cert", "show", "shop")
    # Refused, and asked once only; names that nobody could have are not even asked for.
    assert stead.served(f"no.{DOMAIN}") == "" and stead.served(f"no.{DOMAIN}") == ""
    for odd in (f"under_score.yes.{DOMAIN}", f"-x.yes.{DOMAIN}", "localhost", "single"):
        assert stead.served(odd) in ("", stead.served())
    assert guard.asked() == [name, f"no.{DOMAIN}"] and pebble.issued() == 2
    told = wait_until("the event", lambda: [r for r in stead.logs() if r.get("event") == "CERT_NOT_PERMITTED"])
    assert told[0]["name"] == f"no.{DOMAIN}" and "status 403" in told[0]["why"]
    # It is there after an end, without anybody being asked.
    stead.stop()
    stead.gone()
    stead.up()
    wait_until("the same one", lambda: stead.served(name) == serial)
    assert pebble.issued() == 2 and guard.asked() == [name, f"no.{DOMAIN}"]


def test_without_it_nothing_is_asked(net, demand):
    """No OnDemand=: an unknown name below the wildcard is shown what there is, as before."""
    pebble, guard, stead = demand(more="")
    assert stead.served(f"a.yes.{DOMAIN}") == stead.served()
    assert guard.asked() == [] and pebble.issued() == 1 and certificates(stead) == {}


@pytest.mark.parametrize("does, why", [({"sleep": 8}, "not answer"), ({"bytes": 70000}, "not answer")], ids=["silent", "long"])
def test_guards_that_do_not_answer(net, demand, does, why):
    """A guard that is silent, or never ends, permits nothing."""
    pebble, guard, stead = demand(does={"permits": [DOMAIN], **does})
    assert stead.served(f"a.{DOMAIN}") == "" and pebble.issued() == 1
    told = wait_until("the event", lambda: [r for r in stead.logs() if r.get("event") == "CERT_NOT_PERMITTED"])
    assert why in told[0]["why"]


@pytest.mark.parametrize("role", ["ctl", "certs", "keys", "gate"])
def test_dies_meanwhile(net, demand, role):
    """kill -9 of a process at each step: exactly one certificate for the name, and it is served."""
    pebble = acmebed.Pebble(net)
    _, guard, stead = demand(pebble=pebble)
    name, marks, killed = f"a.yes.{DOMAIN}", ("/order-plz", "/chalZ/", "/finalize-order/"), 0
    before = {mark: pebble.log().count(mark) for mark in marks}
    asks = threading.Thread(target=stead.served, args=(name,))
    asks.start()
    wait_until("the guard", lambda: guard.asked())
    stead.kill(role)
    for mark in marks:
        wait_until(mark, lambda mark=mark: pebble.log().count(mark) > before[mark] or pebble.issued() == 2)
        if pebble.issued() == 2:
            break
        stead.kill(role)
        killed += 1
    asks.join()
    wait_until("the certificate", lambda: stead.served(name))
    wait_until("it is told", lambda: certificates(stead).get(name, {}).get("state") == "served")
    assert pebble.issued() == 2 and killed >= 1
    assert certificates(stead)[name]["serial"] == stead.served(name)


def rss(stead, role):
    for line in open(f"/proc/{stead.pid(role)}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def flood(net, count, names):
    out = subprocess.run(net.enter("python3", "-c", FLOOD, count, DOMAIN, names), stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in out.stdout.split()]


def test_a_thousand_names(net, demand):
    """1,000 random names at once: no order when the guard refuses, few when it permits; the others notice nothing."""
    pebble, guard, stead = demand()
    roles = ("gate", "ctl", "certs")
    before, pids = {role: rss(stead, role) for role in roles}, {role: stead.pid(role) for role in roles}
    _, slowest = flood(net, 1000, f"r%d.no.{DOMAIN}")
    assert slowest < 5
    wait_until("the guard is asked", lambda: len(guard.asked()) >= 4)
    assert pebble.issued() == 1 and len(guard.asked()) <= 600 and certificates(stead) == {}
    # Permitted ones: 20 in a minute. More than these are refused, and told. A gate whose table is full of what was asked
    # for a second ago lets the first ones go, so clients come again, as they do.
    def as_many_as_are_allowed():
        flood(net, 200, f"r%d.yes.{DOMAIN}")
        return pebble.issued() >= 21 or len(certificates(stead)) >= 20
    wait_until("as many as are allowed", as_many_as_are_allowed)
    wait_until("the guard was asked for more", lambda: sum(n.endswith(f".yes.{DOMAIN}") for n in guard.asked()) > 25)
    assert len(certificates(stead)) == 20
    for role in roles:
        assert stead.pid(role) == pids[role] and rss(stead, role) - before[role] < 24 * 1024, role
    assert stead.served()


def test_renewed_while_it_is_asked_for(net, demand):
    """A short life: renewed when its name is asked for and the guard permits it; else it ends."""
    pebble = acmebed.Pebble(net, nonce_reject=0, validity_s=8, env={"PEBBLE_VA_NOSLEEP": "1"})
    _, guard, stead = demand(pebble=pebble)
    name, idle = f"a.yes.{DOMAIN}", f"b.yes.{DOMAIN}"
    first = stead.served(name)
    assert first and stead.served(idle)
    wait_until("it is renewed", lambda: stead.served(name) not in ("", first))
    assert len([n for n in guard.asked() if n == name]) >= 2
    assert [n for n in guard.asked() if n == idle] == [idle]
    guard.does(permits=[])
    wait_until("the renewal is refused", lambda: stead.served(name) is not None and
               "does not permit" in certificates(stead).get(name, {}).get("error", ""))
    wait_until("it ends", lambda: stead.served(name) == "")
    failed = [r for r in stead.logs() if r.get("event") == "CERT_FAILED"]
    assert any(r["name"] == name and "does not permit" in r["why"] for r in failed)


def test_as_root(root_state, net, demand):  # noqa: F811
    """With users and jails."""
    _, _, stead = demand(as_root=True, state=root_state)
    assert stead.served(f"a.yes.{DOMAIN}") not in ("", stead.served())


@pytest.mark.parametrize("line, says", [("OnDemand=http://guard.example/may", "not asked in the clear"),
                                        ("OnDemand=ftp://127.0.0.1/", "does not begin with http")])
def test_what_cannot_be_a_guard(app_folder, line, says):
    folder = app_folder({"stead.conf": f"[Site]\nRoot=.\n{line}\n"})
    done = subprocess.run([program.BUILD / "stead", "check", folder], capture_output=True, text=True, timeout=program.TIMEOUT,
                          **program.unprivileged())
    assert done.returncode == 2 and says in done.stderr
