"""stead as a machine's server on each of the systems: what test_server.py asks of Debian 12, of the package on the others too. Rows
of `make promises`; STEAD_DEB names a package that is built already.
"""

import re

import pytest

import freshbed
import program
from program import wait_until
from test_package import deb  # noqa: F401
from test_server import *  # noqa: F401,F403 - the tests themselves
from test_server import main_pid, prop, put_site

pytestmark = [pytest.mark.root, pytest.mark.promise, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module", params=sorted(freshbed.SYSTEMS))
def machine(request, deb):  # noqa: F811
    why = freshbed.why_not()
    if why:
        pytest.skip(why)
    with freshbed.Server(request.param) as server:
        server.install(deb)
        server.ends, server.kind = [], ""
        yield server
        bad = [name for name, passed in server.ends if not passed]
        program.promise(f"a server of {request.param}", f"{len(server.ends) - len(bad)} of {len(server.ends)} tests, {server.kind}" +
                        (f"; failed: {', '.join(bad)}" if bad else ""), not bad and len(server.ends) >= 15)


@pytest.fixture(autouse=True)
def counted(machine, request):
    yield
    report = getattr(request.node, "report_call", None)
    machine.ends.append((request.node.originalname, report is not None and report.passed))


def test_its_type_is_the_best_that_there_is(server):
    """notify-reload since systemd 253: SIGHUP is all of a reload, and systemd waits for its end."""
    version = int(re.search(r"\d+", server.run("systemctl --version"))[0])
    server.kind = f"systemd {version}, Type={prop(server, 'Type')}"
    assert prop(server, "Type") == ("notify-reload" if version >= 253 else "notify")
    assert (prop(server, "ExecReload") == "") == (version >= 253)
    pid = main_pid(server)
    for n in range(5):
        put_site(server, f"hello {n}")
        server.write("/etc/stead/sites/one.conf", f"[Site]\nRoot=one\nHeader=set X-Number {n}\n")
        server.run("systemctl reload stead")
        assert server.run("curl -si http://127.0.0.1/ | grep -ic '^x-number: " + str(n) + "'").strip() == "1"
    assert main_pid(server) == pid and prop(server, "Result") == "success"


def test_a_hangup_by_hand_is_a_reload_that_systemd_sees(server):
    put_site(server)
    server.run(f"kill -HUP {main_pid(server)}")
    wait_until("the site", lambda: server.answers() == (200, b"hello"))
    wait_until("the end of the reload", lambda: prop(server, "ActiveState") == "active" and prop(server, "StatusText") == "serving 1 site")
