"""The fixture of fresh servers itself: what other tests take for granted of it."""

import pytest

from program import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


def test_a_fresh_server_boots_runs_and_boots_again(fresh_server):
    server = fresh_server(made=True)
    assert "systemd" in server.run("cat /proc/1/comm")
    assert server.run("hostname").strip() == "fresh"
    assert server.status("exit 7") == 7
    with pytest.raises(AssertionError, match="No such file"):
        server.run("cat /nothing")
    server.write("/root/kept", "kept")
    server.run("touch /run/gone")
    server.reboot()
    assert server.run("cat /root/kept; ls /run/gone; true").startswith("kept")
    assert server.status("test -e /run/gone") == 1


def test_its_network_is_its_own(fresh_server):
    server = fresh_server(made=True)
    with pytest.raises(OSError):
        server.connect(8099)
    with server.popen("exec python3 -m http.server 8099 --bind 127.0.0.1 --directory /etc"):
        assert b"Debian" in wait_until("its answer", lambda: server.answers("/os-release", port=8099))[1]
        with server.socket() as inside:
            assert inside.connect_ex(("1.1.1.1", 80)) != 0
        server.run("pkill -f '[h]ttp.server'")
