"""Programs that do not come up, or stop coming up: what visitors get, what `stead status` says, and that it ends by itself."""

import os
import signal
import threading

import pytest

from client import ask
from program import wait_until
from test_services import SERVER, conf


@pytest.fixture
def serve(stead, app_folder):
    def make(service="", environment=None, site="", **options):
        return stead(app_folder({"server.py": SERVER, "stead.conf": conf(service, environment, site)}), **options)
    return make


def site_of(one):
    return one.status()["sites"][0]


def break_it(one):
    """The program's next starts come to nothing, until mend()."""
    (one.folder / "server.py").write_text("import sys\nprint('the table of guests is gone', file=sys.stderr)\nsys.exit(4)\n")
    for process in one.status()["processes"]:
        if process["role"] == "service":
            os.kill(process["pid"], signal.SIGKILL)


def mend(one):
    (one.folder / "server.py").write_text(SERVER)


@pytest.mark.smoke
@pytest.mark.parametrize("listen", ["fd", "port"])
def test_a_crash_loop(serve, listen):
    """503 with Retry-After at once, and not when a connection is refused or its time is over; status has the last lines."""
    one = serve(f"Listen={listen}\n", {"WHERE": listen}).up()
    early = []
    break_it(one)
    asker = threading.Thread(target=lambda: early.append(ask(one, "/early")))
    asker.start()
    wait_until("it to be known as down", lambda: any(r.get("event") == "APP_DOWN" for r in one.logs()))
    answer = wait_until("503", lambda: (a := ask(one)).status == 503 and a)
    assert int(answer["Retry-After"]) >= 1
    record = wait_until("its record", lambda: [r for r in one.logs() if r.get("status") == 503])[-1]
    assert record["close"] == "app_down" and record["ms"] < 1000, record
    asker.join()
    assert early[0].status == 503 and early[0]["Retry-After"], early
    assert {r["close"] for r in one.logs() if r.get("target") == "/early"} == {"app_down"}, "who waited is answered as well"
    site = site_of(one)
    assert site["state"] == "failing" and site["trouble"]["down"] and site["trouble"]["status"] == 4, site
    assert any("the table of guests is gone" in line["text"] for line in site["trouble"]["lines"]), site
    text = one.cli("status")
    assert "exit status 4" in text and "the table of guests is gone" in text and "answered with 503" in text, text
    one.kill_and_wait("gate")
    wait_until("503 by the new gate", lambda: ask(one)["Retry-After"] and ask(one).status == 503)
    mend(one)
    wait_until("service", lambda: ask(one).status == 200, timeout=90)
    wait_until("peace", lambda: site_of(one)["state"] == "live" and "trouble" not in site_of(one))
    assert any(r.get("event") == "APP_BACK" for r in one.logs())


def test_what_waits_in_its_socket(serve):
    """A request that lies in the socket of a program that died waits for the next one; when none comes up it is let go."""
    one = serve("Listen=fd\n").up()
    pid = service_of(one)["pid"]
    os.kill(pid, signal.SIGSTOP)
    (one.folder / "server.py").write_text("import sys\nsys.exit(4)\n")
    got = {}
    askers = [threading.Thread(target=lambda m=m: got.update({m: ask(one, "/waits", m)})) for m in ("GET", "POST")]
    for asker in askers:
        asker.start()
    wait_until("both to wait", lambda: site_of(one)["active"] == 2)
    os.kill(pid, signal.SIGKILL)
    for asker in askers:
        asker.join()
    assert got["GET"].status == 503 and got["GET"]["Retry-After"], got
    assert got["POST"].status == 502, "it may have been read: it is not asked again"
    assert {r["close"] for r in one.logs() if r.get("target") == "/waits" and r["method"] == "GET"} == {"app_down"}
    mend(one)
    wait_until("service", lambda: ask(one).status == 200, timeout=90)


def service_of(one):
    return next(p for p in one.status()["processes"] if p["role"] == "service")


@pytest.mark.parametrize("listen, where, words", [("auto", "fd", "asked at the socket that it was handed"),
                                                  ("port", "port", "asked at 127.0.0.1:{port}"),
                                                  ("unix:%t/a.sock", "%t/a.sock", "asked at the socket that it made")])
def test_status_says_where_it_is_asked(serve, listen, where, words):
    one = serve(f"Listen={listen}\n", {"WHERE": where}).up()
    process = service_of(one)
    assert process["listen"] == {"auto": "fd", "port": "port"}.get(listen, "path")
    assert ("port" in process) == (listen == "port")
    assert words.format(port=process.get("port")) in one.cli("status")


@pytest.mark.parametrize("address, exposed", [("0.0.0.0", True), ("::", True), ("127.0.0.1", False), ("::ffff:127.0.0.1", False)])
def test_a_port_that_is_open_to_the_network(serve, address, exposed):
    """Who listens at every address is reached past stead, and is told so once; it serves."""
    family = "AF_INET6" if ":" in address else "AF_INET"
    one = serve("Listen=port\n", {"WHERE": "port"})
    (one.folder / "server.py").write_text(SERVER.replace('Server(("127.0.0.1", ', f'Server(("{address}", ').replace(
        "daemon_threads = True", f"daemon_threads = True\n    address_family = socket.{family}"))
    one.up()
    assert service_of(one).get("exposed", False) == exposed
    assert ("open to the network past stead" in one.cli("status")) == exposed
    told = [r for r in one.logs() if r.get("event") == "APP_EXPOSED"]
    assert len(told) == exposed and all(r["port"] == str(service_of(one)["port"]) for r in told), told


def test_status_says_what_it_says(serve):
    """The last STATUS=, made fit to be read; told again to a control process that comes new; not of the one before."""
    says = "READY=1|STATUS=0 of 9 tables read|STATUS=all \x01tables \u00e4 \x1b[31m\u009bread"
    one = serve("Type=notify\n", {"SAYS": says}).up()
    wait_until("it to be known", lambda: service_of(one).get("says") == "all ?tables \u00e4 ?[31m?read")
    assert "it says: all ?tables" in one.cli("status")
    one.kill_and_wait("ctl")
    wait_until("the new one to know it", lambda: service_of(one).get("says", "").startswith("all ?tables"))
    (one.folder / "server.py").write_text(SERVER.replace("def notify(text):", "def notify(text):\n    if 'STATUS' in str(text): return"))
    first = service_of(one)["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until("the next one", lambda: (p := service_of(one))["phase"] == "up" and p["pid"] != first and ask(one).status == 200)
    assert "says" not in service_of(one)


def test_status_of_no_utf8(serve):
    """Bytes that are no text do not spoil the answer."""
    one = serve("Type=notify\n", {"SAYS": "READY=1|hex:" + b"STATUS=x\xff y".hex()}).up()
    wait_until("it to be known", lambda: service_of(one).get("says") == "x? y")
