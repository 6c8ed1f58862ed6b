"""[Service] with systemd's meaning: units run under a real systemd and under stead, on one fresh server, and what happened is
compared (test/conformance). Rows of `make promises`; that each key has its units is looked at in every run."""

import json
import os
import pathlib
import socket
import struct
import subprocess
import sys

import pytest


from program import BUILD, wait_until

CONFORMANCE = pathlib.Path(__file__).resolve().parent.parent / "conformance"
sys.path.insert(0, str(CONFORMANCE))

import bed  # noqa: E402
import run  # noqa: E402
import table  # noqa: E402

STEADS_OWN = {"Listen", "Workers", "Threads", "LifetimeSec", "RssMax"}
UNITS_MIN = 150


def rows():
    done = subprocess.run([BUILD / "stead", "introspect", "config"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    return [row for row in json.loads(done.stdout)["rows"] if row["section"] in ("Service", "Unit", "Install")]


def accepted():
    return {(row["section"], row["key"]) for row in rows() if row["status"] == "built" and row["key"] not in STEADS_OWN}


@pytest.mark.smoke
def test_each_key_has_three_units():
    units = table.read_all()
    assert len(units) >= UNITS_MIN
    # systemd itself knows the newer name in [Unit] alone.
    few = {key: n for key in accepted() - {("Service", "StartLimitIntervalSec"), ("Unit", "StartLimitInterval")}
           if (n := sum(key in unit.keys for unit in units)) < 3}
    assert few == {}


@pytest.fixture
def server(fresh_server):
    made = fresh_server(run.SYSTEM)
    made.install_build()
    bed.prepare(made, BUILD / "test/conformance/conformance-probe")
    return made


@pytest.mark.root
@pytest.mark.promise
@pytest.mark.timeout(3000)
def test_under_both(server, promise):
    if "STEAD_PROMISES" not in os.environ:
        pytest.skip("runs for minutes: `make promises` runs it")
    known = {(row["section"], row["key"]) for row in rows()}
    section, unknown = "", []
    for line in server.run("/usr/lib/systemd/systemd --dump-configuration-items").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif section in ("Unit", "Service", "Install") and "=" in line and (section, line.split("=")[0]) not in known:
            unknown.append(line)
    promise("conformance, keys of systemd that nobody knows", f"{len(unknown)}", not unknown)
    units = table.read_all()
    results = run.run(server, units)
    wrong = {f"{unit.area}/{unit.name}": unexpected + gone for unit, (_, unexpected, gone) in results.items() if unexpected or gone}
    meant = sum(bool(unit.differs) for unit in units)
    promise("conformance, units under systemd and stead",
            f"{len(units) - len(wrong)} of {len(units)} as declared, {meant} of them with a difference that is meant", not wrong)
    assert not wrong, json.dumps(wrong, indent=1)
    assert not unknown, unknown


# --- the classic: an emperor of uWSGI ---

EMPEROR = """
[Service]
Environment=DATABASE_URL=postgresql:///shop
ExecStart=/srv/venv/bin/uwsgi --master --emperor /srv/uwsgi/shop.ini --die-on-term
Restart=always
KillSignal=SIGQUIT
Type=notify
NotifyAccess=all
RuntimeDirectory=shop
Listen=uwsgi:%t/shop/shop.sock
"""
SITE = "[Site]\nDomain=shop.test\n"
VASSAL = """[uwsgi]
socket = $(RUNTIME_DIRECTORY)/shop.sock
chmod-socket = 660
plugin = python3
chdir = /srv/uwsgi
module = shop:application
need-app = true
"""
SHOP = """
import os
def application(environ, start):
    start('200 OK', [('Content-Type', 'text/plain')])
    return [os.environ['DATABASE_URL'].encode()]
"""


def ask_uwsgi(path):
    """One request by the uwsgi protocol, and its answer as it comes."""
    fields = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REQUEST_URI": "/", "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "shop.test",
              "SERVER_NAME": "shop.test", "SERVER_PORT": "80", "SCRIPT_NAME": ""}
    packed = b"".join(struct.pack("<H", len(part)) + part.encode() for pair in fields.items() for part in pair)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(path))
        s.sendall(struct.pack("<BHB", 0, len(packed), 0) + packed)
        return b"".join(iter(lambda: s.recv(65536), b""))


@pytest.mark.root
@pytest.mark.promise
@pytest.mark.timeout(900)
def test_an_emperor_of_uwsgi(fresh_server, promise):
    """The same file under both, live through its uwsgi socket, killed and there again."""
    if "STEAD_PROMISES" not in os.environ:
        pytest.skip("installs packages: `make promises` runs it")
    server = fresh_server("debian-12")
    server.add("uwsgi-core", "uwsgi-plugin-python3")
    server.install_build()
    for name, text in (("uwsgi/shop.ini", VASSAL), ("uwsgi/shop.py", SHOP), ("shop.service", EMPEROR + SITE)):
        server.write(f"/srv/{name}", text)
    server.run("mkdir -p /srv/venv/bin && ln -s /usr/bin/uwsgi-core /srv/venv/bin/uwsgi && cp /srv/shop.service /etc/systemd/system/shop.service && "
               "systemctl daemon-reload && systemctl start shop")
    run_dir = pathlib.Path(f"/proc/{server.leader}/root/run/shop")
    assert b"postgresql:///shop" in wait_until("its answer under systemd", lambda: (run_dir / "shop.sock").exists() and ask_uwsgi(run_dir / "shop.sock"))
    server.run("systemctl stop shop && systemctl start stead")
    said = server.run("stead deploy /srv/shop.service 2>&1")
    assert "live  shop" in said, said
    assert server.get(headers={"Host": "shop.test"}) == (200, b"postgresql:///shop")
    server.run("kill -9 $(stead status shop --json | python3 -c \"import json,sys; print(next(p['pid'] for p in json.load(sys.stdin)['processes'] "
               "if p['app'] == 'shop'))\")")
    wait_until("it to be there again", lambda: server.answers(headers={"Host": "shop.test"}) == (200, b"postgresql:///shop"))
    server.run("stead stop shop")
    assert server.status("pgrep uwsgi") == 1
    promise("conformance, an emperor of uWSGI", "live through its uwsgi socket, killed and there again, stopped")
