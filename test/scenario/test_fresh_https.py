"""A fresh server from the package to a page over HTTPS in a browser: an app, a name by command, a certificate by itself. Rows of
`make promises`.

The authority is Pebble and the browser Chromium; both stand on the host's side, in the server's own network. STEAD_DEB names a
package that is built already.
"""

import json
import shutil
import subprocess
import time

import pytest

import acmebed
import browser
import program
from program import wait_until
from test_package import deb  # noqa: F401

pytestmark = [pytest.mark.root, pytest.mark.promise, pytest.mark.timeout(3000)]
NAME, ADDRESS = "guestbook.stead-test.example", "203.0.113.7"


@pytest.fixture
def server(fresh_server, deb):  # noqa: F811
    """The guestbook lives there, without a name. Its network has an address that is not its own alone."""
    one = fresh_server()
    one.write("/etc/systemd/system/address.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=ip link add world type veth peer name wire\n"
              f"ExecStart=ip addr add {ADDRESS}/24 dev world\nExecStart=ip link set world up\nExecStart=ip link set wire up\n[Install]\nWantedBy=multi-user.target\n")
    one.run("systemctl enable --now address")
    one.install(deb)
    shutil.copytree(program.TOP / "examples/guestbook", one.path("/root/guestbook"), ignore=shutil.ignore_patterns(".stead", "__pycache__"))
    one.run("stead deploy /root/guestbook 2>&1")
    return one


@pytest.fixture
def authority(server, work):
    """Pebble beside the server, which asks it and believes it."""
    net = acmebed.Net(work, inside=server.leader)
    try:
        pebble = acmebed.Pebble(net)
        pebble.set_name("add-a", host=NAME, addresses=[ADDRESS])
        server.write("/usr/local/share/ca-certificates/bed.crt", net.bundle.read_text())
        server.run("update-ca-certificates 2>&1; printf 'nameserver 127.0.0.1\\n' >/etc/resolv.conf")
        conf = server.path("/etc/stead/stead.conf")
        conf.write_text(conf.read_text().replace("[Server]\n", f"[Server]\nAcmeEmail=admin@stead-test.example\nAcmeDirectory={pebble.url}\n"))
        server.run("systemctl reload stead")
        yield pebble
    finally:
        net.end()


def certificate(server):
    """What is served for the name now, as `stead cert list` says; None while there is none."""
    said = json.loads(server.run("stead cert list --json").splitlines()[-1])
    return next((c for c in said["certificates"] if NAME in c.get("names", ()) and c["state"] == "served"), None)


def added(server):
    """Seconds from the command to the certificate, and the command's words."""
    began = time.monotonic()
    said = server.run(f"stead domain add {NAME} guestbook --wait 2>&1")
    wait_until("the certificate", lambda: certificate(server), 120)
    return time.monotonic() - began, said


def test_a_name_by_command_gets_its_certificate(server, authority, promise):
    """Nothing but `stead domain add`; the record is entered while it waits."""
    authority.set_name("clear-a", host=NAME)
    authority.set_name("add-a", host=NAME, addresses=["203.0.113.99"])
    waits = server.popen(f"stead domain add {NAME} guestbook --wait 2>&1", stdout=subprocess.PIPE, text=True)
    lines = iter(waits.stdout.readline, "")
    said = [next(line for line in lines if f"{NAME}.  A  {ADDRESS}" in line), next(line for line in lines if "leads to 203.0.113.99" in line)]
    assert waits.poll() is None and certificate(server) is None
    authority.set_name("clear-a", host=NAME)
    authority.set_name("add-a", host=NAME, addresses=[ADDRESS])
    began = time.monotonic()
    assert waits.wait(program.TIMEOUT) == 0, said
    wait_until("the certificate", lambda: certificate(server), 300)
    took = time.monotonic() - began
    server.write("/root/roots.pem", authority.roots.read_text())
    assert "guestbook" in server.run(f"curl -sS --cacert /root/roots.pem --resolve {NAME}:443:{ADDRESS} https://{NAME}/").lower()
    assert authority.issued() == 1
    promise("domain add --wait: a certificate by itself", f"{took:.0f} s after the record was entered, {authority.issued()} issued")


def test_the_guestbook_in_a_browser_over_https(server, authority, work, promise):
    if browser.why_not():
        pytest.skip(browser.why_not())
    took, _ = added(server)

    def chromium(folder):
        (work / folder).mkdir()
        program.give(work / folder)
        return browser.Browser(work / folder, lambda *words: ["nsenter", "-t", str(server.leader), "-n", "--", *words],
                               roots=[authority.roots], names={NAME: ADDRESS})
    with chromium("before") as one:
        page = one.open(f"http://{NAME}/")
        assert not page.error and page.js("location.href") == f"https://{NAME}/" and page.js("isSecureContext")
        assert "The book is still empty" in page.text()
        page.fill("[name=name]", "Ada")
        page.fill("[name=message]", "from a browser")
        page.click("button[type=submit]")
        page.waits_for("from a browser")
        # The style sheet came too, and by HTTP/2.
        assert page.js("document.styleSheets.length") == 1
        protocol = page.js("performance.getEntriesByType('navigation')[0].nextHopProtocol")
        assert protocol == "h2"
        other = one.open(f"https://{ADDRESS}/")
        assert "from a browser" not in other.text(), "a certificate is good for its name alone"
    server.reboot(wait=False)
    began = time.monotonic()
    # The redirect to https is there before the app is.
    ask = f"curl -sk -o /dev/null -w '%{{http_code}}' --resolve {NAME}:443:{ADDRESS} https://{NAME}/"
    wait_until("the app", lambda: server.run(ask, check=False) == "200", 120)
    back = time.monotonic() - began
    with chromium("after") as one:
        page = one.open(f"https://{NAME}/")
        page.waits_for("from a browser")
    promise("the guestbook of a fresh server in Chromium", f"certificate in {took:.0f} s, signed over {protocol}, read again after a reboot, "
            f"{back:.1f} s from its first process")
