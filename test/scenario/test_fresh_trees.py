"""Folders of files under real systemd and the unit's hardening: shown to the gates, kept when the parent is killed, gone at the stop."""

import json
import pathlib

import pytest

from program import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]
SITE = "[Site]\nRoot={}\n"


def prop(server, name):
    return server.run(f"systemctl show -P {name} stead").strip()


def gate_mounts(server):
    """What the gate's own table of mounts says of published folders."""
    text = server.run("cat /proc/$(pgrep -o -x stead-gate)/mountinfo")
    return [line for line in text.splitlines() if "/public/" in line]


@pytest.mark.parametrize("system", ["debian-12", "debian-13", "ubuntu-24.04"])
def test_folders_of_a_fresh_server(fresh_server, promise, system):
    server = fresh_server(system, made=True)
    server.install_build()
    server.run("useradd -m alice && install -d -o alice -g alice -m 0700 /home/alice/site /srv/www && "
               "install -o alice -m 0600 /dev/stdin /home/alice/site/index.html", input="alice's\n")
    server.run("mount -t tmpfs -o mode=0755 stead-test /srv/www && chown alice: /srv/www && chmod 0700 /srv/www && "
               "install -o alice -m 0600 /dev/stdin /srv/www/index.html", input="hello\n")
    server.write("/etc/stead/sites/one.conf", SITE.format("/srv/www"))
    server.run("systemctl enable --now stead")
    # tmpfs maps owners from Linux 6.3 on; an overlay, as the tests' /home is, does not.
    mapped = any("idmapped" in line for line in wait_until("the mount", lambda: gate_mounts(server)))
    release = tuple(int(n) for n in pathlib.Path("/proc/sys/kernel/osrelease").read_text().split("-")[0].split(".")[:2])
    assert mapped == (release >= (6, 3))
    if not mapped:
        server.run("chmod -R o+rX /srv/www")
    wait_until("the page", lambda: server.answers() == (200, b"hello\n"))
    server.run("echo changed >/srv/www/index.html")
    wait_until("the change", lambda: server.answers() == (200, b"changed\n"))
    # Nothing of it is a mount of the machine's, which systemd would make units of.
    assert "/var/lib/stead" not in server.run("cat /proc/1/mountinfo") and not server.run("systemctl list-units --all '*stead-public*' -q").strip()

    server.write("/etc/stead/sites/two.conf", SITE.format("/home/alice/site") + "Domain=two.test\n")
    server.run("systemctl reload stead")
    # Before systemd 253 the command does not wait until it is done: the first site answers meanwhile.
    wait_until("the second site", lambda: server.get(headers={"Host": "two.test"}) != (200, b"changed\n"))
    status, _ = server.get(headers={"Host": "two.test"})
    found = json.loads(server.run("stead status --json --state /var/lib/stead"))["server"]["found"]
    if status == 403:
        assert any("two.conf" in f["file"] and "403" in f["text"] and "chmod" in f["todo"] for f in found), found
        server.run("chmod o+r /home/alice/site/index.html; chmod o+x /home/alice/site; systemctl reload stead")
    wait_until("alice's page", lambda: server.answers(headers={"Host": "two.test"}) == (200, b"alice's\n"))
    assert server.run("stat -c %a:%U /home/alice").strip().split(":")[1] == "alice"

    pid, gate = prop(server, "MainPID"), server.run("pgrep -x stead-gate").strip()
    server.run(f"kill -9 {pid}")
    wait_until("the next parent", lambda: prop(server, "MainPID") not in ("0", pid) and prop(server, "ActiveState") == "active")
    assert server.run("pgrep -x stead-gate").strip() == gate and server.get() == (200, b"changed\n")
    server.run(f"kill -9 {gate}")
    wait_until("another gate", lambda: server.status("pgrep -x stead-gate") == 0 and server.answers() == (200, b"changed\n"))
    server.run("install -d -o alice /srv/three && echo three >/srv/three/index.html")
    server.write("/etc/stead/sites/three.conf", SITE.format("/srv/three") + "Domain=three.test\n")
    server.run("systemctl reload stead")
    wait_until("the third site", lambda: server.answers(headers={"Host": "three.test"}) == (200, b"three\n"))
    security = float(server.run("systemd-analyze security stead --no-pager | tail -1").split("stead.service:")[1].split()[0])

    server.run("systemctl stop stead && umount /srv/www && systemctl start stead")
    wait_until("the disk to be missed", lambda: server.answers(status=404) or server.answers(status=403))
    kept = security <= 4.5
    promise(f"folders of {system}", f"{'owners mapped' if mapped else 'owners not mapped by this kernel'}, a parent and a gate killed, "
            f"a disk gone; exposure {security}", kept)
    assert kept
