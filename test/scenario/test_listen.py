"""`[Server] Listen=`: all of a list is bound, or nothing of it."""

import http.client
import re
import socket

import pytest

from program import free_port, wait_until

PAGE = {"index.html": "<h1>here</h1>"}


def conf(*addresses, root="."):
    return f"[Site]\nRoot={root}\n\n[Server]\nListen={' '.join(addresses)}\n"


def has_six():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def status_of(host, port):
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def refused(host, port):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        return s.connect_ex((host, port)) != 0


@pytest.mark.parametrize("second", ["127.0.0.2", "::1"])
def test_two_addresses(stead, app_folder, second):
    """Both are served; `live`, status and its JSON name them; a ctl that comes later still knows both."""
    if second == "::1" and not has_six():
        pytest.skip("no IPv6 here")
    port, shown = free_port(), f"[{second}]" if ":" in second else second
    folder = app_folder({**PAGE, "stead.conf": conf(f"127.0.0.1:{port}", f"{shown}:{port}")})
    one = stead(folder, http="", port=port).up()
    urls = [f"http://127.0.0.1:{port}", f"http://{shown}:{port}"]
    assert one.output().rstrip().endswith(f"live  {urls[0]}  {urls[1]}")
    for host in ("127.0.0.1", second):
        assert status_of(host, port) == 200
    assert "  ".join(urls) in one.cli("status")
    site, = one.status()["sites"]
    assert site["url"] == urls[0] and site["urls"] == urls
    one.kill_and_wait("ctl")
    wait_until("ctl to answer", lambda: "".join(urls[1:]) in one.cli("status", code=None))
    one.kill_and_wait("gate")
    for host in ("127.0.0.1", second):
        wait_until(host, lambda: not refused(host, port))
        assert status_of(host, port) == 200


def test_free_ports(stead, app_folder):
    """Port 0 takes a free one for each address, and that is what is told."""
    one = stead(app_folder({**PAGE, "stead.conf": conf("127.0.0.1:0", "127.0.0.2:0")}), http="").up()
    found = re.search(r"^live  http://127\.0\.0\.1:(\d+)  http://127\.0\.0\.2:(\d+)$", one.output(), re.M)
    assert found, one.output()
    assert status_of("127.0.0.1", int(found[1])) == status_of("127.0.0.2", int(found[2])) == 200


def test_all_or_nothing(stead, app_folder):
    """The second and the fourth are in use: each is named with its place, and the others are not kept."""
    port = free_port()
    with socket.socket() as taken, socket.socket() as taken_too:
        for number, s in ((2, taken), (4, taken_too)):
            s.bind((f"127.0.0.{number}", port))
            s.listen()
        text = conf(f"127.0.0.1:{port}", f"127.0.0.2:{port}") + f"Listen=127.0.0.3:{port} 127.0.0.4:{port}\n"
        one = stead(app_folder({**PAGE, "stead.conf": text}), http="", port=port)
        out = one.fails(1)
        at = len(f"Listen=127.0.0.1:{port} ") + 1
        assert f"stead.conf:5:{at}: Cannot listen on 127.0.0.2:{port}: Address already in use." in out, out
        assert f"stead.conf:6:{at}: Cannot listen on 127.0.0.4:{port}: Address already in use." in out, out
        assert "what to do: " in out and "ss -ltnp" in out
        assert "Cannot listen on 127.0.0.1" not in out and "live" not in out
        one.gone()
        assert refused("127.0.0.1", port) and refused("127.0.0.3", port)
    assert stead(one.folder, http="", port=port, state=one.state).up()


def test_an_address_of_nobody_here(stead, app_folder):
    out = stead(app_folder({**PAGE, "stead.conf": conf("127.0.0.1:0", "192.0.2.77:8080")}), http="").fails(1)
    assert "stead.conf:5:20: Cannot listen on 192.0.2.77:8080: " in out and "no network interface" in out, out


def test_http_stands_instead_of_the_list(stead, app_folder):
    port = free_port()
    one = stead(app_folder({**PAGE, "stead.conf": conf(f"127.0.0.2:{port}", f"127.0.0.3:{port}")})).up()
    assert one.output().rstrip().endswith(f"live  {one.url}")
    assert one.status()["sites"][0]["urls"] == [one.url]
    assert refused("127.0.0.2", port) and refused("127.0.0.3", port)


def test_a_reload_says_that_it_waits(stead, app_folder):
    """A changed list is told once, as a whole; the old one is served until the next `up`."""
    port = free_port()
    folder = app_folder({**PAGE, "stead.conf": conf(f"127.0.0.1:{port}", f"127.0.0.2:{port}")})
    one = stead(folder, http="", port=port).up()
    assert "needs a new start" not in one.cli("reload")
    (folder / "stead.conf").write_text(conf(f"127.0.0.1:{port}", f"127.0.0.3:{port}"))
    out = one.cli("reload")
    assert out.count("needs a new start") == 1, out
    assert (f"stead.conf:5:8: warning: [Server] Listen=127.0.0.1:{port} 127.0.0.3:{port} needs a new start; "
            f"127.0.0.1:{port} 127.0.0.2:{port} stays until then") in out, out
    assert status_of("127.0.0.2", port) == 200 and refused("127.0.0.3", port)
