"""What somebody meets who has a machine's server for the first day: nothing served yet, an app that is wrong in a small way, a
unit that systemd still runs. Each was a word that led nowhere, or nothing at all.
"""

import contextlib
import glob
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

import gatebed
import program
import serverbed
from program import free_port, wait_until

pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(serverbed.why_not()), reason=serverbed.why_not() or "-")]
FPM = sorted(glob.glob("/usr/sbin/php-fpm*"))
UNITS = pathlib.Path("/run/systemd/units")


def state(server):
    """None while ctl starts."""
    said = server.cli("status", "--json", code=None)
    return json.loads(said)["state"] if said.startswith("{") else None


@pytest.fixture
def server(work):
    with serverbed.Server(work) as one:
        wait_until("live", lambda: state(one) == "live")
        yield one


def app(server, files, name="dayshop"):
    for path, text in files.items():
        server.write(f"/srv/{name}/{path}", text)
    return f"/srv/{name}"


def lines(text):
    return [line for line in text.splitlines() if not line.startswith("  receiving")]


def closed(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def page(server, path, headers=None):
    return server.get(path, "shop.test", headers)


class Taken(serverbed.Server):
    """Its port for http is another's."""

    def answers(self):
        assert self.process.poll() is None, (self.work / "stderr").read_text()
        return state(self) == "idle"


def test_a_hello_before_the_first_snapshot(work):
    """It ended the gate: there is nothing to answer it by."""
    one = gatebed.Gate(str(work), late=1, tls=1)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", one.port)) as s, pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
            context.wrap_socket(s, server_hostname="shop.test")
    assert one.end() == 0


def test_a_port_of_two_is_taken(work):
    """Neither is listened at while nothing can be served, and what is said of it leads on."""
    with socket.socket() as other, socket.socket() as four, socket.socket(socket.AF_INET6) as six:
        other.bind(("127.0.0.1", 0))
        other.listen()
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Those of the defaults, which are tried then; somebody else may have them.
        for one, address in ((four, "0.0.0.0"), (six, "::")):
            with contextlib.suppress(OSError):
                one.bind((address, 80))
                one.listen()
        one = Taken(work)
        one.port, tls = other.getsockname()[1], free_port()
        one.write("/etc/stead/stead.conf", f"[Server]\nSites=sites\nListen=127.0.0.1:{one.port}\nListenTls=127.0.0.1:{tls}\n")
        with one:
            wait_until("a pause between two tries", lambda: closed(tls))
            said = wait_until("a pause", lambda: (t := one.cli("status", code=None)) and one.last == 3 and t)
            wait_until("the same in JSON", lambda: state(one) == "idle" and one.last == 3)
            assert "served is:" not in said and "Address already in use" in said
            assert "`stead status` says what hinders it" in one.cli("deploy", app(one, {"index.html": "a"}), code=3)
            logged = one.cli("logs")
            assert "what to do: end what uses it" in logged and "help=" not in logged
            assert re.search(r"tries again  why=(Cannot listen on \S+: Address already in use\. ?)+  next_ms=\d+\n +what to do: end", logged), logged
            found = {one["where"].split(":")[0]: one for one in json.loads(one.cli("doctor", "ports", "--json", code=1))["findings"]}
            assert set(found) == {f"port {one.port}", f"port {tls}"} and found[f"port {one.port}"]["finding"] == "port_taken"
            other.close()
            wait_until("it serves", lambda: serverbed.Server.answers(one))


def test_nothing_is_there_yet(server):
    assert "`stead deploy FOLDER` brings an app" in server.cli("status")
    assert "`stead deploy FOLDER` brings one" in server.cli("status", "nothing", code=4)
    assert '"stead"' not in server.cli("status", "nothing", code=4)
    assert "stead restart APP" in server.cli("restart", code=4)


def test_a_deploy_says_where(server):
    folder = app(server, {"index.html": "a", "stead.conf": "[Site]\nDomain=shop.test\n"})
    assert lines(server.cli("deploy", folder))[-1] == f"live  dayshop, release 1  http://shop.test:{server.port}"
    end = json.loads(server.cli("deploy", folder, "--json").splitlines()[-1])
    assert end["url"] == f"http://shop.test:{server.port}" and end["serves"] is True
    assert "`stead deploy` brings what was changed" in server.cli("restart", "dayshop", code=4)
    other = app(server, {"index.html": "b"}, "dayrest")
    assert lines(server.cli("deploy", other))[-1] == "live  dayrest, release 1  every other name"


@pytest.mark.parametrize("name, files, code, says", [
    ("a main that is not there", {"package.json": '{"main": "index.js"}'}, 2, "its main is index.js, which is not there"),
    ("a script without its bit", {"run.py": "print()", "stead.conf": "[Service]\nExecStart=./run.py\n"}, 2,
     r"run\.py may not be executed\s+what to do: chmod \+x \S+run\.py, or write ExecStart=python3 \./run\.py"),
    ("a unit", {"dayshop.service": "[Service]\nExecStart=/usr/bin/nothing-there\n"}, 2, r"stead: dayshop cannot be served as it is"),
    ("a timer", {"dayshop.timer": "[Timer]\nOnCalendar=daily\n"}, 2, r"write \[Timer NAME\]"),
])
def test_small_mistakes(server, name, files, code, says):
    folder = app(server, files)
    unit = next((path for path in files if path.startswith("dayshop.")), "")
    said = server.cli("deploy", f"{folder}/{unit}", code=code)
    assert re.search(says, said), said


def test_a_program_of_no_kind(server):
    folder = app(server, {"stead.conf": "[Service]\nExecStart=./run\n"})
    server.write(f"{folder}/run", "neither a script nor a program\n", 0o755)
    said = server.cli("deploy", folder, code=1)
    assert "Exec format error" in said and "a script names its interpreter in its first line" in said


def test_all_of_an_error(server):
    """Node and others say first what it is, then twenty lines where."""
    more = "\n".join(f"echo at line {n}" for n in range(20))
    folder = app(server, {"stead.conf": "[Service]\nExecStart=/bin/sh ./run.sh\n", "run.sh": f"echo Error: no such thing\n{more}\nexit 1\n"})
    assert "Error: no such thing" in server.cli("deploy", folder, code=1)


def test_a_program_that_ends_well_is_no_trouble(server):
    unit = app(server, {"clean.service": "[Service]\nType=oneshot\nExecStart=/bin/echo cleaning\n"}, "clean") + "/clean.service"
    assert lines(server.cli("deploy", unit))[-1] == "live  clean, release 1  no site"
    said = server.cli("status")
    assert "clean  ended  no site" in said and "trouble" not in said and "cleaning" not in said, said
    assert "inactive (dead)" in server.cli("status", "clean", code=3)
    server.cli("start", "clean")
    wait_until("the second run", lambda: server.cli("logs", "clean").count("clean: cleaning") == 2)


def test_uwsgi_without_its_socket(server, work):
    """The unit of a machine whose web server knew where the socket is."""
    script = app(server, {"uwsgi": "#!/bin/sh\nsleep 1000\n"}, "bin") + "/uwsgi"
    server.path(script).chmod(0o755)
    unit = app(server, {"old.service": f"[Service]\nType=notify\nTimeoutStartSec=1s\nExecStart={script} --master\n[Site]\n"}, "old")
    assert "write Listen=uwsgi:PATH in [Service]" in server.cli("deploy", f"{unit}/old.service", code=1)


def test_what_a_reload_cannot_change(server):
    """A server's own addresses, not those of `stead up`."""
    port = free_port()
    server.write("/etc/stead/stead.conf", f"[Server]\nSites=sites\nListen=127.0.0.1:{port}\nListenTls=\n")
    server.reload()
    said = server.cli("status")
    assert f"[Server] Listen=127.0.0.1:{port} needs a new start; 127.0.0.1:{server.port} stays until then" in said
    server.write("/etc/stead/stead.conf", "[Server]\nSites=sites\nListenTls=\n")
    server.reload()
    said = server.cli("status")
    assert re.search(r"^  \[Server\] Listen=0\.0\.0\.0:80( \[::\]:80)? needs a new start; ", said, re.M), said


def test_what_systemd_runs_too(server):
    """Its link for a unit that it has started; the machine's own may be there or not."""
    unit = app(server, {"stead-test-two.service": "[Service]\nExecStart=/bin/sleep 1000\n"}, "two") + "/stead-test-two.service"
    assert "systemd has started" not in server.cli("deploy", unit)
    link, made = UNITS / "invocation:stead-test-two.service", not UNITS.exists()
    UNITS.mkdir(parents=True, exist_ok=True)
    link.symlink_to("0" * 32)
    try:
        said = server.cli("deploy", unit)
        assert "systemd has started stead-test-two.service, too" in said and "systemctl disable --now stead-test-two.service" in said
        found = json.loads(server.cli("deploy", unit, "--json").splitlines()[0])
        assert found["event"] == "finding" and "systemctl disable --now" in found["todo"]
    finally:
        link.unlink()
        if made:
            shutil.rmtree("/run/systemd")


def test_a_folder_that_is_gone(server):
    """As behind a restore on another machine: which one is said."""
    app(server, {"here/.keep": ""}, "work")
    unit = app(server, {"far.service": "[Service]\nRestart=always\nWorkingDirectory=/srv/work/here\nExecStart=/bin/sleep 1000\n"}, "far") + "/far.service"
    server.cli("deploy", unit)
    server.remove("/srv/work/here")
    server.cli("stop", "far")
    server.cli("start", "far", code=None)
    wait_until("what hinders it", lambda: '"working folder" of its start failed: /srv/work/here: No such file' in server.cli("status"))


def again(server):
    """As a reboot does it."""
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(program.TIMEOUT)
    server.start()


def test_a_start_with_a_typo(server):
    """The last good configuration serves, and what to do is said for a server."""
    server.write("/etc/stead/stead.conf", server.path("/etc/stead/stead.conf").read_text() + "Lisen=80\n")
    again(server)
    said = wait_until("the finding", lambda: (t := server.cli("status", code=None)) and "served is: the last good configuration" in t and t)
    assert "did you mean Listen=" in said and "`systemctl reload stead`" in said and "stead up" not in said


def test_while_the_control_process_is_replaced(server):
    """What finds the server by itself said that none runs."""
    parent = server.process.pid
    ctl, = server.pids("ctl")
    os.kill(parent, signal.SIGSTOP)
    try:
        os.kill(ctl, signal.SIGKILL)
        wait_until("its end", lambda: pathlib.Path(f"/proc/{ctl}/stat").read_text().rsplit(")")[-1].split()[0] == "Z")
        asked = subprocess.Popen(server.command([program.BUILD / "stead", "status"]), stdin=subprocess.DEVNULL, cwd="/",
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            asked.wait(0.3)
    finally:
        os.kill(parent, signal.SIGCONT)
    said = asked.communicate(timeout=program.TIMEOUT)[0]
    assert asked.returncode == 0 and "process" in said, said


def test_a_server_that_does_not_run(work):
    one = serverbed.Server(work)
    with one:
        pass
    said = subprocess.run([program.BUILD / "stead", "status", "--state", "/var/lib/stead"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert said.returncode == 3 and "systemctl start stead" in said.stdout


def test_numbers_of_a_record(server):
    server.cli("deploy", app(server, {"index.html": "a", "stead.conf": "[Site]\nDomain=shop.test\n"}))
    page(server, "/")
    wait_until("a record", lambda: '"ms":' in server.cli("logs", "dayshop", "--json"))
    assert not re.search(r"\d\.\d{7}", server.cli("logs", "dayshop", "--json"))


def test_https_where_it_is_served(server, work):
    """A certificate of one's own, for one of two sites."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                    "/CN=shop.test", "-addext", "subjectAltName=DNS:shop.test", "-keyout", work / "key.pem", "-out", work / "cert.pem"],
                   check=True, capture_output=True)
    tls = re.search(r"ListenTls=(\S+):(\d+)", server.path("/etc/stead/stead.conf").read_text()).group(2)
    for name in ("dayshop", "dayrest"):
        server.cli("deploy", app(server, {"index.html": "a", "stead.conf": f"[Site]\nDomain={name[3:]}.test\n"}, name))
    server.cli("cert", "import", "dayshop", "--cert", work / "cert.pem", "--key", work / "key.pem")
    wait_until("https", lambda: f"https://shop.test:{tls}" in server.cli("status"))
    assert f"http://rest.test:{server.port}" in server.cli("status")
    assert lines(server.cli("deploy", "/srv/dayshop"))[-1].endswith(f"https://shop.test:{tls}")


@pytest.mark.skipif(not FPM, reason="no PHP-FPM here")
def test_another_version_of_the_system(work, monkeypatch):
    """The PHP that was found at the deploy is gone at the next start."""
    monkeypatch.setitem(serverbed.PLACES, "/usr/local/sbin", "sbin")
    server = serverbed.Server(work)
    newest = server.path("/usr/local/sbin/php-fpm99.9")
    newest.symlink_to(FPM[-1])
    with server:
        wait_until("live", lambda: state(server) == "live")
        folder = app(server, {"index.php": "<?php echo 'here';", "stead.conf": "[Site]\nDomain=shop.test\n"})
        server.cli("deploy", folder)
        assert "/usr/local/sbin/php-fpm99.9" in server.cli("check", folder) and page(server, "/") == (200, b"here")
        newest.unlink()
        again(server)
        wait_until("it answers", lambda: page(server, "/") == (200, b"here"))


@pytest.mark.skipif(not FPM or not os.path.isdir("/var/lib/php/sessions"), reason="no PHP-FPM of Debian's")
def test_sessions_of_php(server):
    """Debian's folder for them is one for all, and not the app's to write: it has its own there, which the next release knows."""
    folder = app(server, {"index.php": "<?php session_start(); echo $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;",
                          "stead.conf": "[Site]\nDomain=shop.test\n"})
    before = set(os.listdir("/var/lib/php/sessions"))
    server.cli("deploy", folder)
    cookie = {"Cookie": "PHPSESSID=abcdefghijklmnopqrstuvwxyz"}
    assert [page(server, "/", cookie)[1] for _ in range(2)] == [b"1", b"2"]
    server.cli("deploy", folder)
    server.cli("restart", "dayshop")
    assert page(server, "/", cookie) == (200, b"3")
    kept = server.path("/var/lib/stead/apps/dayshop/data/php/sessions")
    assert (kept / "sess_abcdefghijklmnopqrstuvwxyz").exists() and kept.stat().st_mode & 0o777 == 0o700
    assert set(os.listdir("/var/lib/php/sessions")) == before
    said = server.cli("deploy", app(server, {"index.php": "<?php http_response_code(500);",
                                             "stead.conf": "[Site]\nHealthTimeoutSec=2s\n"}, "bad"), code=1)
    assert "has no status below 500" in said, said
