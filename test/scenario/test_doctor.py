"""`stead doctor`: what is wrong is found and named, and --fix opens a firewall without locking anybody out.

The firewall tests have a machine of their own: a network and a mount namespace with real nft, iptables and ufw in it, and a
second network at the other end of a cable, where visitors are.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from program import BUILD, TIMEOUT, processes, unprivileged, wait_until

STEAD = str(BUILD / "stead")
ACT = next(BUILD.glob("libexec/stead/*/stead-act"))
SSHD, WEB = 2222, 80
# Listens at a port under a name of its own, keeps what comes, and says when it is ready.
LISTENER = """
import socket, sys
open("/proc/self/comm", "w").write(sys.argv[1])
s = socket.create_server(("", int(sys.argv[2])), reuse_port=True)
print("ready", flush=True)
kept = []
while True:
    kept.append(s.accept())
"""
VISITOR = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3]))
print("connected", flush=True)
sys.stdin.read()
"""


class Machine:
    """Namespaces that live as long as this; here() runs in the machine, there() at the other end of the cable."""

    def __init__(self, work):
        self.work, self.ends, self.children = work, [], []
        for n in range(2):
            end = subprocess.Popen(["unshare", "-n", "-m", "sh", "-c", "echo ready; exec sleep 1000"], stdout=subprocess.PIPE)
            assert end.stdout.readline() == b"ready\n"
            self.ends.append(end)
        (work / "lib").mkdir()
        shutil.copytree("/etc/ufw", work / "ufw")
        self.here("ip", "link", "set", "lo", "up")
        self.here("mount", "--bind", str(work / "lib"), "/var/lib/stead")
        self.here("mount", "--bind", str(work / "ufw"), "/etc/ufw")
        self.here("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(self.ends[1].pid))
        for run, last in ((self.here, 1), (self.there, 2)):
            run("ip", "addr", "add", f"10.77.0.{last}/24", "dev", "eth0")
            run("ip", "link", "set", "eth0", "up")
        self.here("ip", "route", "add", "default", "via", "10.77.0.2")

    def command(self, end, *words):
        return ["nsenter", "-t", str(self.ends[end].pid), "-n", "-m", *words]

    def run(self, end, *words, code=0, **options):
        done = subprocess.run(self.command(end, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=TIMEOUT * 2, **options)
        assert code is None or done.returncode == code, (words, done.returncode, done.stdout)
        return done.stdout

    def here(self, *words, **options):
        return self.run(0, *words, **options)

    def there(self, *words, **options):
        return self.run(1, *words, **options)

    def start(self, end, *words):
        child = subprocess.Popen(self.command(end, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        self.children.append(child)
        return child

    def listens(self, name, port):
        child = self.start(0, sys.executable, "-c", LISTENER, name, str(port))
        assert child.stdout.readline() == "ready\n"
        return child

    def reaches(self, port):
        """Does a visitor get through? Dropped packets are waited for briefly: nothing is on this cable but this."""
        return "connected" in self.there(sys.executable, "-c", VISITOR, "10.77.0.1", str(port), "0.4", code=None, input="")

    def nft(self, text):
        self.here("nft", "-f", "-", input=text)

    def doctor(self, *words, code, area="firewall"):
        """What it found there."""
        found = json.loads(self.here(STEAD, "doctor", area, "--json", *words, code=code))
        assert found["well"] == (code == 0)
        return found["findings"]

    def end(self):
        for child in [*self.children, *self.ends]:
            child.kill()
            child.wait()


@pytest.fixture
def machine(work):
    one = Machine(work)
    yield one
    one.end()


DROP = """table inet filter {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state vmap { established : accept, related : accept, invalid : drop }
        iif lo accept
        icmp type echo-request accept
        tcp dport 2222 accept
    }
}
"""


def names(findings):
    return [one["finding"] for one in findings]


@pytest.mark.root
def test_no_firewall(machine):
    assert names(machine.doctor(code=0)) == ["firewall_none"]


@pytest.mark.root
def test_the_rule_that_drops_is_named(machine):
    machine.nft(DROP)
    found = machine.doctor(code=1)
    assert {one["finding"] for one in found} == {"firewall_drops"}
    assert any("port 80 over IPv4" in one["where"] and "table inet filter" in one["where"]
               and "chain input" in one["where"] and "policy drop" in one["where"] for one in found)
    assert all(one["mend"] == "stead doctor --fix firewall" and one["why"] for one in found)
    # In another chain, by its text.
    machine.nft("flush ruleset\n" + DROP.replace("policy drop", "policy accept").replace(
        "        tcp dport 2222", "        jump more\n        tcp dport 2222").replace(
        "    chain input", "    chain more {\n        meta l4proto tcp counter reject\n    }\n    chain input"))
    where = machine.doctor(code=1)[0]["where"]
    assert "chain more" in where and "meta l4proto tcp counter" in where and "reject" in where and "handle" in where, where


@pytest.mark.root
def test_rules_that_let_in_are_understood(machine):
    """Sets, intervals, maps, interfaces, and chains of chains."""
    machine.nft(DROP.replace("tcp dport 2222 accept", """tcp dport @web accept
        iifname "eth0" goto world""").replace("    chain input", """    set web {
        type inet_service; flags interval
        elements = { 79-81 }
    }
    chain world {
        tcp dport vmap { 443 : accept, 8080 : drop }
        tcp dport != 22 drop
    }
    chain input"""))
    assert names(machine.doctor(code=0)) == ["firewall_open"]
    # Another interface's rules are not a stranger's.
    machine.nft("flush ruleset\n" + DROP.replace("tcp dport 2222", 'iifname "tun0" tcp dport { 80, 443 }'))
    assert set(names(machine.doctor(code=1))) == {"firewall_drops"}


@pytest.mark.root
def test_what_lets_some_in_is_left_alone(machine):
    """Ports that are open to a proxy's network only are meant so: it is said, and --fix changes nothing."""
    machine.nft(DROP.replace("tcp dport 2222 accept", "ip saddr 192.0.2.0/24 tcp dport { 80, 443 } accept\n"
                                                      "        ip6 saddr 2001:db8::/32 tcp dport { 80, 443 } accept"))
    before = machine.here("nft", "list", "ruleset")
    assert set(names(machine.doctor(code=0))) == {"firewall_some"}
    machine.doctor("--fix", "--yes", code=0)
    assert machine.here("nft", "list", "ruleset") == before


@pytest.mark.root
def test_fix_stays_when_somebody_comes_in_anew(machine):
    machine.nft(DROP)
    machine.listens("sshd", SSHD)
    machine.listens("web", WEB)
    assert not machine.reaches(WEB)
    old = machine.start(1, sys.executable, "-c", VISITOR, "10.77.0.1", str(SSHD), "5")  # who is logged in already
    assert old.stdout.readline() == "connected\n"
    fix = machine.start(0, STEAD, "doctor", "--fix", "firewall", "--timeout", "600")
    assert "opened" in fix.stdout.readline()
    assert machine.reaches(WEB)
    assert fix.poll() is None  # neither the old connection nor one to port 80 is a new login
    new = machine.start(1, sys.executable, "-c", VISITOR, "10.77.0.1", str(SSHD), "5")
    assert new.stdout.readline() == "connected\n"
    assert fix.wait(TIMEOUT) == 0, fix.stdout.read()
    assert machine.reaches(WEB)
    assert not (machine.work / "lib" / "firewall.undo").exists()
    assert set(names(machine.doctor(code=0))) == {"firewall_open"}


@pytest.mark.root
def test_fix_is_taken_back_when_nobody_does(machine):
    machine.nft(DROP)
    machine.listens("sshd", SSHD)
    machine.listens("web", WEB)
    before = machine.here("nft", "list", "ruleset")
    said = machine.here(STEAD, "doctor", "--fix", "firewall", "--timeout", "1", code=1)
    assert "as it was" in said
    assert machine.here("nft", "list", "ruleset") == before
    assert not machine.reaches(WEB)


@pytest.mark.root
def test_an_act_that_dies_is_undone_at_the_next_start(machine):
    machine.nft(DROP)
    machine.listens("sshd", SSHD)
    before = machine.here("nft", "list", "ruleset")
    fix = machine.start(0, STEAD, "doctor", "--fix", "firewall", "--timeout", "600")
    assert "opened" in fix.stdout.readline()
    act = next(pid for pid, (ppid, _, comm) in processes().items() if comm == "stead-act" and ppid == fix.pid)
    os.kill(act, signal.SIGKILL)
    assert fix.wait(TIMEOUT) == 1
    assert machine.here("nft", "list", "ruleset") != before
    machine.here(str(ACT), "--boot")
    assert machine.here("nft", "list", "ruleset") == before
    assert not (machine.work / "lib" / "firewall.undo").exists()


@pytest.mark.root
def test_fix_goes_on_without_its_terminal(machine):
    """The connection of whoever typed it may be what breaks: the firewall is taken back all the same."""
    machine.nft(DROP)
    machine.listens("sshd", SSHD)
    before = machine.here("nft", "list", "ruleset")
    fix = machine.start(0, STEAD, "doctor", "--fix", "firewall", "--timeout", "2")
    assert "opened" in fix.stdout.readline()
    fix.kill()
    fix.wait()
    wait_until("the firewall as it was", lambda: machine.here("nft", "list", "ruleset") == before)


@pytest.mark.root
def test_sshd_that_is_shut_out_comes_first(machine):
    machine.nft(DROP.replace("tcp dport 2222 accept", "tcp dport 22 accept"))
    machine.listens("sshd", SSHD)
    machine.listens("web", WEB)
    found = machine.doctor(code=1)
    assert {"firewall_ssh", "firewall_drops"} == {one["finding"] for one in found}
    machine.here(STEAD, "doctor", "--fix", "firewall", "--yes", "--quiet")
    assert machine.reaches(SSHD) and machine.reaches(WEB)


@pytest.mark.root
def test_iptables(machine):
    """The accepting rule stands right before the one that drops: what was refused before that stays refused."""
    for program in ("iptables", "ip6tables"):
        machine.here(program, "-A", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT")
    machine.here("iptables", "-A", "INPUT", "-s", "198.51.100.0/24", "-j", "DROP")
    machine.here("iptables", "-A", "INPUT", "-p", "tcp", "-m", "multiport", "--dports", "1:1023", "-m", "comment",
                 "--comment", "no system ports", "-j", "REJECT")
    machine.here("ip6tables", "-P", "INPUT", "DROP")
    machine.listens("web", WEB)
    assert not machine.reaches(WEB)
    where = [one["where"] for one in machine.doctor(code=1)]
    assert any("IPv4" in one and "rule 3" in one and "no system ports" in one for one in where), where
    assert any("IPv6" in one and "policy drop" in one for one in where), where
    machine.doctor("--fix", "--yes", code=0)
    assert machine.reaches(WEB)
    rules = machine.here("iptables", "-S", "INPUT").splitlines()
    ours = next(n for n, rule in enumerate(rules) if "stead" in rule)
    assert "198.51.100" in rules[ours - 1] and "REJECT" in rules[ours + 1]


@pytest.mark.root
def test_ufw(machine):
    machine.here("ufw", "--force", "enable")
    machine.here("ufw", "allow", "2222/tcp")
    machine.listens("sshd", SSHD)
    machine.listens("web", WEB)
    assert not machine.reaches(WEB)
    assert any("ufw is active" in one["where"] for one in machine.doctor(code=1))
    before = machine.here("ufw", "status")
    machine.here(STEAD, "doctor", "--fix", "firewall", "--timeout", "1", code=1)
    assert machine.here("ufw", "status") == before
    machine.doctor("--fix", "--yes", code=0)
    assert machine.reaches(WEB) and machine.reaches(SSHD)
    assert "80/tcp" in machine.here("ufw", "status") and "443/tcp" in machine.here("ufw", "status")


@pytest.mark.root
def test_ports(machine):
    assert names(machine.doctor(code=0, area="ports")) == ["port_free"] * 2
    other = machine.listens("apache2", WEB)
    pid = next(pid for pid, (ppid, _, comm) in processes().items() if comm == "apache2" and pid == other.pid)
    taken = machine.doctor(code=1, area="ports")[0]
    assert taken["finding"] == "port_taken" and f"apache2, pid {pid}" in taken["where"] and "port 80" in taken["where"]
    other.kill()
    other.wait()
    machine.listens("stead-gate", WEB)
    assert names(machine.doctor(code=0, area="ports")) == ["port_ours", "port_free"]


# The first process of a machine that keeps sockets, as systemd does for what it starts; a child may have them, too.
KEEPER = """
import json, os, signal, socket, subprocess, sys
kept = socket.create_server(("", 80))
def look():
    said = subprocess.run([sys.argv[1], "doctor", "ports", "--json"], stdout=subprocess.PIPE).stdout
    return json.loads(said)["findings"][0]
alone, child = look(), os.fork()
if child == 0:
    open("/proc/self/comm", "w").write("stead-gate")
    signal.pause()
while open(f"/proc/{child}/comm").read() != "stead-gate\\n":
    pass
print(json.dumps([alone, look()]))
"""


@pytest.mark.root
def test_ports_that_the_first_process_keeps(machine):
    """systemd keeps stead's own sockets: doctor must not take it for another program, and never says to end it."""
    said = machine.here("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", KEEPER, STEAD)
    alone, shared = json.loads(said)
    assert alone["finding"] == "port_taken" and "list-sockets" in alone["mend"] and "kill" not in alone["mend"]
    assert shared["finding"] == "port_ours" and "stead-gate" in shared["where"]


@pytest.mark.root
def test_names_and_resolver(machine):
    """A resolver that says nothing is told; so is one that answers."""
    (machine.work / "resolv.conf").write_text("nameserver 127.0.0.77\n")
    machine.here("mount", "--bind", str(machine.work / "resolv.conf"), "/etc/resolv.conf")
    assert names(machine.doctor(code=1, area="dns")) == ["resolver_silent"]
    answers = machine.start(0, sys.executable, "-c", """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.77", 53))
print("ready", flush=True)
while True:
    ask, who = s.recvfrom(512)
    s.sendto(b"xx" + ask[2:], who)  # of nobody's question
    s.sendto(ask[:2] + b"\\x80" + ask[3:], who)
""")
    assert answers.stdout.readline() == "ready\n"
    assert names(machine.doctor(code=0, area="dns")) == ["resolver_ok"]


def run(*words, **options):
    return subprocess.run([STEAD, "doctor", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=TIMEOUT * 2, **options)


def test_it_needs_neither_root_nor_a_server(work):
    """All areas are looked at, what cannot be is said, and each finding that is no good news says why and what to do."""
    done = run("--json", cwd=work, **unprivileged())
    assert done.returncode in (0, 1)
    found = json.loads(done.stdout)
    assert {one["area"] for one in found["findings"]} == {"ports", "firewall", "clock", "disk", "memory", "kernel", "postgresql",
                                                          "upgrades", "files", "dns", "stead"}
    rows = {row["name"].lower(): row for row in json.loads(
        subprocess.run([STEAD, "introspect", "findings"], stdout=subprocess.PIPE, check=True).stdout)["rows"]}
    for one in found["findings"]:
        row = rows[one["finding"]]
        assert (one["level"], one["area"], one["what"]) == (row["level"], row["area"], row["what"])
        assert "{}" not in one["mend"] + one["why"]
        assert one["level"] == "ok" or one["why"]
    assert "firewall_unseen" in names(found["findings"])
    assert (done.returncode == 1) == any(one["level"] in ("warning", "error") for one in found["findings"])
    text = run(cwd=work, **unprivileged())
    assert "unseen" in text.stdout and "sudo stead doctor" in text.stdout
    assert run("--fix", cwd=work, **unprivileged()).returncode == 5
    assert run("walls").returncode == 4


def test_it_sees_a_running_stead(stead, app_folder):
    one = stead(app_folder({"index.html": "hello"})).up()
    done = run("stead", "--json", "--state", str(one.state), **unprivileged())
    found = json.loads(done.stdout)["findings"]
    assert names(found) == ["stead_runs"] and done.returncode == 0
    gate = next(pid for pid, comm in one.tree().items() if comm == "stead-gate")
    os.kill(gate, signal.SIGKILL)
    wait_until("the gate's death told", lambda: "process_dies" in names(json.loads(
        run("stead", "--json", "--state", str(one.state), **unprivileged()).stdout)["findings"]))
    after = json.loads(run("stead", "--json", "--state", str(one.state), **unprivileged()).stdout)
    assert not after["well"]
    assert any(found["finding"] == "last_errors" and "PROC_DIED" in found["where"] for found in after["findings"])


@pytest.mark.root
def test_a_full_disk_is_told(work):
    """On a file system of 48 MB; and one without inodes."""
    for options, files, finding in (("size=48m", 0, "disk_full"), ("size=2g,nr_inodes=1000", 800, "inodes_low"),
                                    ("size=2g,nr_inodes=1000", 950, "inodes_full")):
        fill = f"i=0; while [ $i -lt {files} ]; do : > /mnt/$i; i=$((i+1)); done;"
        done = subprocess.run(["unshare", "-m", "sh", "-ec",
                               f"mount -t tmpfs -o {options} none /mnt; {fill} exec {STEAD} doctor disk --json --state /mnt"],
                              stdout=subprocess.PIPE, text=True, timeout=TIMEOUT)
        assert finding in names(json.loads(done.stdout)["findings"]), done.stdout
        assert done.returncode == 1
