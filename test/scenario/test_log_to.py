"""LogTo=: records also go to journald and to syslog, whoever listens there; nobody waits for them, and what is lost is counted."""

import os
import re
import socket
import threading

import pytest

from client import ask
from program import TEST_USER, Stead, wait_until

pytestmark = pytest.mark.root  # a mount namespace, in which the socket is this test's


class Collector:
    """The socket that records are sent to. take() reads from it for ever; without it, it fills up."""

    def __init__(self, path):
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o755)
        self.path, self.got, self.sock = path, [], socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.bind(str(path))
        path.chmod(0o666)

    def take(self):
        threading.Thread(target=self.read, daemon=True).start()
        return self

    def read(self):
        while data := self.sock.recv(1 << 20):
            self.got.append(data)

    def fields(self):
        """Each datagram of journald's protocol, as a dict."""
        return [parse(data) for data in list(self.got)]


def parse(data):
    found = {}
    while data:
        name, sep, rest = data.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
            data = rest
        else:
            key, n = name, int.from_bytes(rest[:8], "little")
            value, data = rest[8:8 + n], rest[9 + n:]
        assert re.fullmatch(rb"[A-Z_][A-Z0-9_]{0,63}", key), key
        found[key.decode()] = value.decode()
    return found


class Shipping(Stead):
    """Sees the folder of the collector where the system has journald's."""

    where = ""

    @property
    def command(self):
        who = [f"--reuid={TEST_USER}", "--regid=nogroup", "--clear-groups"]
        return ["unshare", "-m", "sh", "-ec", self.where + '; exec "$@"', "sh", "setpriv", *who, *super().command]

    def options(self):
        return {**super().options(), "user": None, "group": None, "extra_groups": None}


@pytest.fixture
def shipping(work, app_folder):
    made = []

    def make(to, folder, name):
        collector = Collector(work / folder / name)
        files = {"index.html": "home", "stead.conf": f"[Server]\nLogTo={to}\nGates=1\n"}
        one = Shipping(work, app_folder(files))
        if to == "journald":
            one.where = (f"mount -t tmpfs none /run; mkdir -p /run/systemd/journal; "
                         f"mount --bind {work / folder} /run/systemd/journal")
        else:
            one.where = (f"mkdir -p {work}/dev; for f in null zero random urandom tty full; do touch {work}/dev/$f; "
                         f"mount --bind /dev/$f {work}/dev/$f; done; ln -sfn {work / folder / name} {work}/dev/log; "
                         f"mkdir -p {work}/dev/shm; mount --rbind {work}/dev /dev")
        made.append(one)
        return one, collector
    yield make
    for one in made:
        one.end()


def test_journald(shipping):
    one, journal = shipping("journald", "journal", "socket")
    journal.take()
    one.up()
    assert ask(one, "/?q=1").status == 200
    access = wait_until("the access record", lambda: [f for f in journal.fields() if f.get("STEAD_TARGET") == "/?q=1"])[0]
    assert access["STEAD_KIND"] == "access" and access["STEAD_STATUS"] == "200" and access["SYSLOG_IDENTIFIER"] == "stead"
    assert access["MESSAGE"] == '127.0.0.1 "GET /?q=1" 200' and access["PRIORITY"] == "6"
    event = wait_until("an event", lambda: [f for f in journal.fields() if f.get("STEAD_EVENT") == "SITE_LIVE"])[0]
    assert event["PRIORITY"] == "5" and event["MESSAGE"]


def test_syslog(shipping):
    one, syslog = shipping("syslog", "syslog", "log")
    syslog.take()
    one.up()
    assert ask(one, "/?q=2").status == 200
    line = wait_until("the access record", lambda: [d for d in list(syslog.got) if b"/?q=2" in d])[0].decode()
    assert re.match(r"<30>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ stead \d+ access - \{.*\}$", line)


def test_nobody_waits_for_a_collector_that_stands_still(shipping):
    """It takes nothing: sites and files go on, and when it takes something again it is told how much it lost."""
    one, journal = shipping("journald", "journal", "socket")
    one.up()
    for n in range(300):
        assert ask(one, f"/?n={n}").status == 200
    wait_until("all to be in the files", lambda: sum(r["kind"] == "access" and "?n=" in r["target"] for r in one.logs()) == 300)
    assert not any(r.get("event") == "LOG_DROPPED" for r in one.logs())
    journal.take()

    def told():
        assert ask(one).status == 200
        return [r for r in one.logs() if r.get("event") == "LOG_DROPPED"]
    dropped = wait_until("the loss to be told", told)[0]
    assert "journal" in dropped["ring"] and int(dropped["records"]) > 200
    assert os.path.exists(journal.path)
