"""What takes care of a machine, on a fresh server with the real programs: firewalld, nftables, rsyslog, chrony, names. Rows of
`make promises`. STEAD_DEB names a package that is built already.
"""

import json
import subprocess
import sys

import pytest

from program import TIMEOUT, wait_until
from test_package import deb, put_site  # noqa: F401

pytestmark = [pytest.mark.root, pytest.mark.promise, pytest.mark.timeout(3000)]
ADDRESS, VISITORS = "203.0.113.7", "203.0.113.8"
CABLE = f"""[Unit]
Before=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip link add world type veth peer name wire
ExecStart=ip addr add {ADDRESS}/24 dev world
ExecStart=ip link set world up
ExecStart=ip route add default via {VISITORS} dev world
[Install]
WantedBy=multi-user.target
"""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 80), 0.5).close()"
# chronyd that leaves this machine's clock alone, and reaches nobody.
CHRONY = "chronyd -x 'server 192.0.2.1 iburst' 'pidfile /run/chrony/chronyd.pid' 'bindcmdaddress /'"
UNSYNCHRONISED = """
import ctypes
t = (ctypes.c_char * 512)()
print(ctypes.CDLL(None).adjtimex(t), ctypes.c_int.from_buffer(t, 40).value & 64)
"""


class Care:
    """A server with an address of the world, and a visitor at the other end of the cable (a network of its own)."""

    def __init__(self, fresh_server, deb, packages):  # noqa: F811
        self.server = fresh_server(packages=packages)
        self.server.write("/etc/systemd/system/cable.service", CABLE)
        self.server.run("systemctl enable --now cable")
        self.server.install(deb)
        self.visitor = None
        self.plug()

    def plug(self):
        """The cable's other end, which a reboot pulls out."""
        self.end()
        self.visitor = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec sleep 3000"], stdout=subprocess.PIPE)
        assert self.visitor.stdout.readline() == b"ready\n"
        for words in (["-t", str(self.server.leader), "-n", "ip", "link", "set", "wire", "netns", str(self.visitor.pid)],
                      ["-t", str(self.visitor.pid), "-n", "ip", "addr", "add", f"{VISITORS}/24", "dev", "wire"],
                      ["-t", str(self.visitor.pid), "-n", "ip", "link", "set", "wire", "up"]):
            subprocess.run(["nsenter", *words], check=True)

    def reaches(self):
        return subprocess.run(["nsenter", "-t", str(self.visitor.pid), "-n", sys.executable, "-c", CONNECT, ADDRESS], stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=TIMEOUT).returncode == 0

    def doctor(self, area):
        return {one["finding"]: one for one in json.loads(self.server.run(f"stead doctor {area} --json", check=False))["findings"]}

    def reboot(self):
        self.server.reboot()
        wait_until("stead", lambda: self.server.answers(status=421), 120)
        self.plug()

    def end(self):
        if self.visitor:
            self.visitor.kill()
            self.visitor.wait()
            self.visitor.stdout.close()


@pytest.fixture
def care(fresh_server, deb):  # noqa: F811
    made = []

    def make(*packages):
        made.append(Care(fresh_server, deb, packages))
        return made[-1]
    yield make
    for one in made:
        one.end()


def test_firewalld(care, promise):
    """The real one, as Debian ships it: opened by its own commands, and open after a reboot."""
    one = care("firewalld")
    wait_until("firewalld", lambda: one.server.run("firewall-cmd --state", check=False).strip() == "running")
    assert not one.reaches()
    found = one.doctor("firewall")
    assert "firewall_drops" in found and "firewalld" in found["firewall_drops"]["where"], found
    one.server.run("stead doctor --fix firewall --yes")
    assert "firewall_drops" not in one.doctor("firewall") and one.reaches()
    services = one.server.run("firewall-cmd --list-ports --permanent; firewall-cmd --list-services --permanent")
    one.reboot()
    wait_until("firewalld", lambda: one.server.run("firewall-cmd --state", check=False).strip() == "running")
    assert one.reaches(), services
    promise("a firewall of firewalld", "the drop is named, --fix opens it, open after a reboot")


def test_rules_of_a_file_are_left_alone(care, promise):
    """Opened until they are loaded again: that is said, with what to write; and found again after a reboot."""
    one = care()
    one.server.write("/etc/nftables.conf", "flush ruleset\ntable inet filter {\n chain input {\n  type filter hook input priority 0; policy drop;\n"
                     "  ct state established accept\n  iif lo accept\n }\n}\n")
    one.server.run("systemctl enable --now nftables")
    assert not one.reaches()
    said = one.server.run("stead doctor --fix firewall --yes")
    assert one.reaches()
    line = "tcp dport { 22, 80, 443 } accept"  # sshd's was shut as well
    assert "holds until the rules are loaded again" in said and f"/etc/nftables.conf, in chain input of table inet filter: {line}" in said, said
    one.reboot()
    assert "firewall_drops" in one.doctor("firewall") and not one.reaches()
    conf = one.server.path("/etc/nftables.conf")
    conf.write_text(conf.read_text().replace("  iif lo accept\n", f"  iif lo accept\n  {line}\n"))
    one.server.run("systemctl restart nftables")
    assert "firewall_open" in one.doctor("firewall") and one.reaches()
    promise("a firewall of nftables.conf", "opened until it is loaded again, which is said with the line to write; that line holds")


def test_syslog(care, promise):
    """LogTo=syslog as root, to /dev/log, where rsyslog writes a file of it."""
    one = care("rsyslog")
    conf = one.server.path("/etc/stead/stead.conf")
    conf.write_text(conf.read_text().replace("[Server]\n", "[Server]\nLogTo=syslog\n"))
    put_site(one.server, "hello")
    one.server.run("systemctl is-active rsyslog; systemctl restart stead")
    wait_until("the site", lambda: one.server.answers() == (200, b"hello"))
    text = wait_until("the record", lambda: one.server.run("grep -h 'GET / ' /var/log/syslog || grep -h '\"target\":\"/\"' /var/log/syslog; true").strip())
    assert "stead" in text
    wait_until("an event", lambda: "listening" in one.server.run("grep -h stead /var/log/syslog"))
    promise("LogTo=syslog with rsyslog", "records and events in /var/log/syslog")


def test_names_and_the_clock(care, promise):
    one = care("chrony")
    server = one.server
    for n, name in enumerate(("here", "elsewhere", "nowhere")):
        server.write(f"/etc/stead/sites/{name}.conf", f"[Site]\nDomain={name}.example.org\nRoot={name}\n")
        server.write(f"/etc/stead/sites/{name}/index.html", name)
    server.write("/etc/hosts", f"127.0.0.1 localhost\n{ADDRESS} here.example.org\n198.51.100.9 elsewhere.example.org\n")
    server.run("systemctl reload stead")
    found = {(f["finding"], f["where"].split(":")[0]) for f in json.loads(server.run("stead doctor dns --json", check=False))["findings"]}
    assert {("name_here", "here.example.org"), ("name_elsewhere", "elsewhere.example.org"), ("name_nowhere", "nowhere.example.org")} <= found, found
    returned, bit = map(int, server.run(f"python3 -c '{UNSYNCHRONISED}'").split())
    server.run("pkill -x chronyd; rm -f /run/chrony/chronyd.pid; true")
    alone, = one.doctor("clock")
    assert returned < 0 or alone == ("clock_alone" if bit else "clock_ok")
    server.run("mkdir -p /run/chrony; " + CHRONY)
    kept = one.doctor("clock")
    assert list(kept) == ["clock_unreached" if bit else "clock_ok"], kept
    if bit:
        assert kept["clock_unreached"]["mend"] == "chronyc sources" and "chronyd runs" in kept["clock_unreached"]["where"]
    promise("doctor: names and the clock", f"three names told right; clock: {alone}, with chronyd: {list(kept)[0]}")
