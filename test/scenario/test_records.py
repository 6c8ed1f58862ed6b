"""Records on the whole program: access records in three forms, whatever clients send; ids through to backends."""

import http.server
import json
import re
import threading

import pytest

from client import Client, ask
from program import wait_until

COMBINED = re.compile(r'(\S+) - (\S+) \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] '
                      r'"((?:[^"\\]|\\x[0-9A-F]{2})*)" (\d{3}) (\d+) "((?:[^"\\]|\\x[0-9A-F]{2})*)" '
                      r'"((?:[^"\\]|\\x[0-9A-F]{2})*)"')
HOSTILE = [b"\x1b[31mred", b'" 200 1 "-" "forged"', b"\\x22\\", b"\xff\xfe\xc3", b"\xc3\xa9 caf\xc3\xa9", b"tab\there", b"U" * 8000]


def site(stead, app_folder, conf, name="shop"):
    return stead(app_folder({"public/index.html": "home", "public/a/x.txt": "x", "stead.conf": conf}, name=name)).up()


def raw(one, data):
    """The status of what is answered to these bytes; 0 when nothing is."""
    with Client(one.port) as c:
        c.send(data)
        try:
            return int(c.line().split()[1])
        except Exception:  # closed without an answer
            return 0


def records(one, *arguments):
    return [r for r in one.logs(*arguments) if r["kind"] == "access"]


def hostile_requests():
    for text in HOSTILE:
        yield b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: " + text + b"\r\nReferer: " + text + b"\r\n\r\n"
    yield b'GET /%0a10.0.0.1%20-%20-%20"%22?\\x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    yield b"GET /\xff\xc3\xa9\x1b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    yield b"GET /" + b"t" * 8000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    yield b'G"ET / HTTP/1.1\r\nHost: x\r\n\r\n'
    yield b"nonsense\r\n\r\n"


@pytest.mark.parametrize("log, lines", [("json", False), ("combined", True),
                                        ('$remote_addr "$request" $status "$http_user_agent" $request_id', True)])
def test_hostile_requests_forge_nothing(stead, app_folder, log, lines):
    one = site(stead, app_folder, f"[Site]\nRoot=public\nAccessLog={log}\n")
    before = len(records(one))
    statuses = [raw(one, data) for data in hostile_requests()]
    wait_until("all records", lambda: len(records(one)) >= before + len(statuses))
    # --json is one object a line, and each of them is whole.
    text = one.cli("logs", "-n", "1000", "--json")
    got = [json.loads(line) for line in text.splitlines()]
    got = [r for r in got if r["kind"] == "access"][before:]
    assert [r["status"] for r in got] == statuses
    assert text.isprintable() or all(c.isprintable() or c == "\n" for c in text)
    assert got[1].get("agent", "") == '" 200 1 "-" "forged"'
    assert got[3]["agent"].count("\ufffd") == 3 and got[4]["agent"] == "\u00e9 caf\u00e9"
    assert got[6]["agent"].endswith("U\u2026") and len(got[6]["agent"]) == 513
    assert all(re.fullmatch("[0-9a-f]{32}", r["id"]) for r in got) and len({r["id"] for r in got}) == len(got)
    assert all(("line" in r) == lines for r in got)
    # In the combined format each is one line that a parser takes apart in one way.
    shown = one.cli("logs", "-n", "1000", "--format", "combined").splitlines()
    assert len(shown) == before + len(statuses)
    for r, line in zip(got, shown[before:]):
        found = COMBINED.fullmatch(line)
        assert found, line
        assert int(found[5]) == r["status"] and int(found[6]) == r["bytes"] and found[1] == "127.0.0.1"
        assert line.isascii() and line.isprintable()
    if log == "combined":
        for r in got:
            assert COMBINED.fullmatch(r["line"]), r["line"]
        assert "\\xFF\\xFE\\xC3" in got[3]["line"] and "\\x22-\\x22 \\x22forged" in got[1]["line"]
    elif lines:
        for r in got:
            assert r["line"].endswith(r["id"]) and r["line"].startswith('127.0.0.1 "') and r["line"].isascii()
    if lines:
        plain = one.cli("logs", "-n", "1000").splitlines()
        assert all(r["line"] in plain for r in got)


def test_format_of_ones_own(stead, app_folder):
    one = site(stead, app_folder, "[Site]\nRoot=public\n[Route /a]\nAccessLog=off\n")
    assert [ask(one, path).status for path in ("/?q=1", "/a/none", "/none")] == [200, 404, 404]
    wait_until("the records", lambda: any(r["target"] == "/none" for r in records(one)))
    assert not any(r["target"] == "/a/none" for r in records(one))
    lines = one.cli("logs", "--format", "$request_method ${uri} $args $status $$").splitlines()
    assert "GET / q=1 200 $" in lines and "GET /none - 404 $" in lines
    assert "did you mean $status?" in one.cli("logs", "--format", "$statsu", code=2)
    one.cli("logs", "--format", "plain", code=2)
    assert json.loads(one.cli("logs", "--format", "json", "-n", "1"))


def test_bad_format_is_placed(stead, app_folder):
    folder = app_folder({"public/index.html": "", "stead.conf": "[Site]\nRoot=public\nAccessLog=$status $statsu\n"})
    text = stead(folder).fails(2)
    assert "stead.conf:3:20: error: AccessLog=: there is no variable $statsu" in text and "did you mean $status?" in text


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps(self.headers.items()).encode()
        self.send_response(203)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def backend():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def ids_of(answer):
    return [value for name, value in json.loads(answer.body) if name.lower() == "x-request-id"]


@pytest.mark.parametrize("trusted", [False, True])
def test_ids_and_backends(stead, app_folder, backend, trusted):
    """The id that the record has is the one that the backend gets; only a trusted proxy's word on it counts."""
    proxies = "TrustedProxies=127.0.0.0/8\n" if trusted else ""
    one = site(stead, app_folder, f"[Site]\nRoot=public\n{proxies}Header=set X-Id $request_id\n"
                                  f"[Route /api]\nTo=api\n[Upstream api]\nServer=127.0.0.1:{backend}\n")
    made = ask(one, "/api/1")
    given = ask(one, "/api/2", headers={"X-Request-Id": "edge-4711"})
    bad = ask(one, "/api/3", headers={"X-Request-Id": 'e"vil id'})
    wait_until("the records", lambda: any(r["target"] == "/api/3" for r in records(one)))
    by = {r["target"]: r for r in records(one)}
    for answer, target in ((made, "/api/1"), (given, "/api/2"), (bad, "/api/3")):
        assert ids_of(answer) == [by[target]["id"]]
    assert (by["/api/2"]["id"] == "edge-4711") is trusted
    assert re.fullmatch("[0-9a-f]{32}", by["/api/3"]["id"])
    r = by["/api/1"]
    assert r["upstream"].endswith("api") and r["server"] == f"127.0.0.1:{backend}" and r["upstream_status"] == 203
    assert 0 <= r["upstream_ms"] <= r["ms"] and 0 <= r["first_ms"] <= r["ms"] and r["protocol"] == "HTTP/1.1"
    assert r["status"] == 203 and r["bytes"] == len(made.body) and r["port"] > 0
