"""stead as a machine's server, under real systemd, from the tests' own build: it goes live at boot by itself, from /etc/stead.

One fresh server for all of these, booted once; each test leaves it as it was: live, with no site. What the package adds, on
each distribution, is in test_package.py.
"""

import json
import subprocess

import pytest

import freshbed
from program import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
UNIT = "/etc/systemd/system/stead.service.d/test.conf"
CONF = "/etc/stead/stead.conf"


@pytest.fixture(scope="module")
def machine():
    why = freshbed.why_not() or ("" if freshbed.is_made("debian-12") else
                                 "no tree of debian-12 yet: test/scenario/freshbed.py debian-12 makes it")
    if why:
        pytest.skip(why)
    with freshbed.Server() as server:
        server.install_build()
        server.run("systemctl enable --now stead")
        yield server


@pytest.fixture
def server(machine):
    kept = machine.path(CONF).read_text()
    yield machine
    machine.run("rm -rf /etc/stead/sites; mkdir /etc/stead/sites; rm -f " + UNIT + "; systemctl daemon-reload", check=False)
    machine.write(CONF, kept)
    machine.run("systemctl reset-failed; systemctl restart stead")
    wait_until("the server to be back", lambda: machine.answers(status=421))


def put_site(server, text="hello", extra=""):
    server.write("/etc/stead/sites/one/index.html", text)
    server.write("/etc/stead/sites/one.conf", f"[Site]\nRoot=one\n{extra}")


def prop(server, name):
    return server.run(f"systemctl show -P {name} stead").strip()


def status(server):
    return json.loads(server.run("stead status --json --state /var/lib/stead"))


def main_pid(server):
    return int(prop(server, "MainPID"))


def test_it_goes_live_by_itself_and_says_so(server):
    assert server.run("systemctl is-active stead").strip() == "active"
    assert prop(server, "StatusText") == "serving 0 sites"
    assert server.get("/")[0] == 421
    assert server.run("readlink -e /run/stead/control").strip() == "/var/lib/stead/control"


def test_reload_serves_what_was_put_there(server):
    put_site(server)
    server.run("systemctl reload stead")
    assert server.answers() == (200, b"hello")
    assert prop(server, "StatusText") == "serving 1 site"


def test_a_broken_site_keeps_its_last_good_version_and_is_named(server):
    put_site(server)
    server.run("systemctl reload stead")
    put_site(server, extra="Nonsense=1\n")
    server.run("systemctl reload stead")
    assert wait_until("what was found", lambda: "1 finding" in prop(server, "StatusText"))
    assert server.answers() == (200, b"hello")
    found, = status(server)["server"]["found"]
    assert found["file"].endswith("one.conf") and found["line"] == 3 and "Nonsense" in found["text"]
    assert "CONF_FOUND" in server.run("stead logs --json --state /var/lib/stead")
    text = server.run("stead status --state /var/lib/stead")
    assert "one.conf:3:" in text and "not as it should be" in text


def test_a_broken_configuration_never_keeps_it_from_starting(server):
    put_site(server)
    server.run("systemctl reload stead")
    server.write(CONF, "[Server]\nSites=sites\nGates=many\n")
    server.run("systemctl restart stead")
    assert server.answers() == (200, b"hello")
    said = status(server)["server"]
    assert said["serves"] == "the last good configuration"
    assert any(f["line"] == 3 and "Gates" in f["text"] for f in said["found"])
    assert "the last good configuration" in prop(server, "StatusText")


def test_a_deploy_that_fails_is_not_the_servers_trouble(server):
    """What is wrong with the server is still said behind a deploy, and nothing of the app's own files is."""
    server.write("/root/app/index.html", "one")
    server.write("/root/app/stead.conf", "[Site]\nDomain=app.test\nNoSuchKey=1\n")
    assert "NoSuchKey" in server.run("stead deploy /root/app 2>&1", check=False)
    before = status(server)["server"]
    assert (before["error"], before["findings"]) == ("", 0), before
    assert prop(server, "StatusText") == "serving 0 sites"
    put_site(server, extra="Nonsense=1\n")
    server.write(CONF, "[Server]\nListen=nonsense\n")
    server.run("systemctl reload stead", check=False)
    wait_until("its word", lambda: status(server)["server"]["error"])
    wrong = status(server)["server"]
    server.write("/root/app/stead.conf", "[Site]\nDomain=app.test\n")
    server.run("stead deploy /root/app")
    assert status(server)["server"] == wrong
    server.run("stead remove app --data --confirm app")


def test_doctor_knows_its_own_ports(server):
    """systemd keeps stead's listeners for it, and is nobody that has taken the ports."""
    found = json.loads(server.run("stead doctor ports --json"))
    assert [one["finding"] for one in found["findings"]] == ["port_ours", "port_ours"] and found["well"], found


def test_without_a_last_good_one_the_defaults_serve(server):
    server.run("systemctl stop stead; rm -rf /var/lib/stead")
    server.write(CONF, "no section\n")
    server.run("systemctl start stead")
    assert server.get("/")[0] == 421
    assert status(server)["server"]["serves"] == "the defaults"
    assert "SERVER_FALLS_BACK" in server.run("stead logs --json --state /var/lib/stead")


def test_an_address_that_is_taken_is_waited_for(server):
    server.run("systemctl stop stead")
    with server.popen("exec python3 -m http.server 80 2>/dev/null", stdout=subprocess.DEVNULL):
        wait_until("the other server", lambda: server.answers())
        server.run("systemctl start stead")
        assert "nothing is served" in prop(server, "StatusText")
        assert "SERVER_WAITS" in server.run("stead logs --json --state /var/lib/stead")
        server.run("pkill -f '[h]ttp.server'")
    wait_until("its turn", lambda: server.answers(status=421), 90)
    wait_until("its word", lambda: prop(server, "StatusText") == "serving 0 sites")


def test_a_control_process_that_dies_during_a_reload_is_replaced_and_asked_again(server):
    put_site(server)
    server.run("kill -STOP $(pgrep -x stead-ctl); kill -HUP " + str(main_pid(server)) + "; kill -KILL $(pgrep -x stead-ctl)")
    wait_until("the site", lambda: server.answers() == (200, b"hello"))
    wait_until("systemd to be told", lambda: prop(server, "StatusText") == "serving 1 site")
    assert prop(server, "ActiveState") == "active"


def test_a_loop_that_hangs_is_seen(server):
    server.write(UNIT, "[Service]\nWatchdogSec=2s\n")
    server.run("systemctl daemon-reload; systemctl restart stead")
    pid, began = main_pid(server), int(prop(server, "NRestarts"))
    fed = int(prop(server, "WatchdogTimestampMonotonic"))
    wait_until("more than one time of the watchdog to pass",
               lambda: int(prop(server, "WatchdogTimestampMonotonic")) > fed + 3_000_000)
    assert main_pid(server) == pid
    server.run(f"kill -STOP {pid}")
    wait_until("systemd to end it", lambda: main_pid(server) not in (0, pid), 60)
    assert int(prop(server, "NRestarts")) == began + 1
    wait_until("the next one", lambda: server.answers(status=421), 60)


def test_sockets_that_systemd_has_bound_are_taken(server):
    server.run("systemctl stop stead")
    server.write("/etc/systemd/system/stead.socket", "[Socket]\nListenStream=80\nListenStream=127.0.0.1:8085\n")
    server.write(CONF, "[Server]\nSites=sites\nListen=0.0.0.0:80 127.0.0.1:8085\n")
    try:
        server.run("systemctl daemon-reload; systemctl start stead.socket")
        # What comes before the service runs starts it, and is answered.
        assert server.get("/", port=8085, timeout=60)[0] == 421
        assert server.get("/")[0] == 421
        lines = server.run("ss -Hltnp 'sport = :8085'")
        assert "systemd" in lines and "stead-gate" in lines
    finally:
        server.run("systemctl stop stead.socket stead; rm /etc/systemd/system/stead.socket; systemctl daemon-reload", check=False)


def records(server, match):
    """The journal's, that long ago and later."""
    return [json.loads(line) for line in server.run(f"journalctl -q -o json {match}").splitlines()]


def test_events_are_in_the_journal_with_their_fields(server):
    found = wait_until("the event", lambda: records(server, "STEAD_EVENT=LISTENING"))
    assert any(f["STEAD_ADDRESS"] == "0.0.0.0:80" for f in found)
    assert found[-1]["PRIORITY"] == "5" and found[-1]["STEAD_EVENT_ID"] == "1020" and found[-1]["SYSLOG_IDENTIFIER"] == "stead"
    assert found[-1]["MESSAGE"].startswith("listening: address=") and found[-1]["_SYSTEMD_UNIT"] == "stead.service"


def test_a_journal_that_is_gone_or_hangs_keeps_nothing_waiting(server):
    server.run("systemctl stop 'systemd-journald*.socket' systemd-journald 2>/dev/null; pkill -STOP -x systemd-journal; true")
    put_site(server)
    server.run("systemctl reload stead", timeout=30)
    assert server.answers() == (200, b"hello")
    server.run("pkill -CONT -x systemd-journal; systemctl start systemd-journald.socket systemd-journald", check=False)
    put_site(server, "again")
    server.run("systemctl reload stead")
    assert server.answers() == (200, b"again")
    server.run("systemctl restart stead")
    pid = main_pid(server)
    wait_until("the journal to be found again", lambda: [r for r in records(server, "STEAD_EVENT=STARTED")
                                                         if r["STEAD_PID"] == str(pid)])


def test_without_systemd_it_runs_as_well(server):
    command = server.run("systemctl cat stead | sed -n 's/^ExecStart=//p'").strip()
    server.run("systemctl stop stead")
    with server.popen(f"exec {command}") as other:
        wait_until("it to serve", lambda: server.answers(status=421))
        put_site(server)
        server.run("pkill -HUP -o -x stead-parent")
        wait_until("the site", lambda: server.answers() == (200, b"hello"))
        server.run("pkill -TERM -o -x stead-parent")
        assert other.wait(60) == 0


def test_stop_is_graceful_and_leaves_nothing(server):
    server.run("systemctl stop stead")
    assert server.status("pgrep stead-") == 1
    assert prop(server, "Result") == "success"


def test_it_is_back_after_a_reboot(server):
    put_site(server)
    server.run("systemctl reload stead")
    server.reboot(wait=False)
    wait_until("the site", lambda: server.answers() == (200, b"hello"), freshbed.BOOT_S)
    server.settled()
    # From the first process of the machine on, by its clock.
    began, active = (int(server.run(f"systemctl show -P {name}")) for name in
                     ("UserspaceTimestampMonotonic", "ActiveEnterTimestampMonotonic stead"))
    assert active - began < 10_000_000
