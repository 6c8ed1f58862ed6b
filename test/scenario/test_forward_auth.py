"""ForwardAuth=: a server of the test's own decides who may pass."""

import http.server
import json
import socket
import threading

import pytest

from gatebed import Answer, Gate, described, request, talk


class Decider(http.server.BaseHTTPRequestHandler):
    """Decides by the cookie `who`; remembers what it was asked."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        who = (self.headers.get("Cookie") or "").partition("=")[2]
        if who == "die":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if who == "garbage":
            self.wfile.write(b"what?\r\n\r\n")
            self.close_connection = True
            return
        self.server.gate_open.wait(10)
        body = b"" if who == "ann" else b"<p>who are you?</p>" * (10000 if who == "long" else 1)
        self.send_response(200 if who == "ann" else 302 if who == "guest" else 403)
        self.send_header("Content-Length", str(len(body)))
        if who == "ann":
            self.send_header("Remote-User", "ann")
            self.send_header("X-Auth-Level", "5")
            self.send_header("X-Other", "no")
        else:
            self.send_header("Location", "http://login.example/?back=1")
            self.send_header("Set-Cookie", "session=1")
            self.send_header("X-Secret", "inside")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({k.lower(): v for k, v in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        got = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(got)))
        self.end_headers()
        self.wfile.write(got)

    def log_message(self, *_):
        pass


def served(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.asked, server.gate_open = [], threading.Event()
    server.gate_open.set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def gate():
    decider, echo = served(Decider), served(Echo)
    route = {"match": "prefix", "to": "upstream", "upstream": "echo", "auth_upstream": "decider", "body_buffer": True}
    it = Gate(described({
        "upstreams": [{"name": "echo", "servers": [{"address": f"127.0.0.1:{echo.server_port}"}]},
                      {"name": "decider", "servers": [{"address": f"127.0.0.1:{decider.server_port}"}]},
                      {"name": "gone", "servers": [{"address": "127.0.0.1:1"}]}],
        "sites": [{"name": "f", "default": True, "routes": [
            {**route, "path": "/", "auth_path": "/verify?x=1"},
            {**route, "path": "/gone", "auth_upstream": "gone"}]}]}))
    it.decider = decider
    yield it
    assert it.end() == 0
    for server in (decider, echo):
        server.shutdown()
        server.server_close()


def get(gate, path="/", method="GET", **fields):
    return talk(gate, request(path, method=method, **fields), method=method)[0][0]


def test_who_may_pass(gate):
    answer = get(gate, "/page?q=1", Cookie="who=ann", Authorization="Bearer t")
    told = json.loads(answer.body)
    assert answer.status == 200
    assert told["remote-user"] == "ann" and told["x-auth-level"] == "5" and "x-other" not in told
    path, asked = gate.decider.asked[0]
    assert path == "/verify?x=1"
    assert asked["x-forwarded-method"] == "GET" and asked["x-forwarded-uri"] == "/page?q=1"
    assert asked["x-forwarded-host"] == "localhost" and asked["x-forwarded-for"] == "127.0.0.1"
    assert asked["cookie"] == "who=ann" and asked["authorization"] == "Bearer t"


def test_a_client_cannot_speak_for_the_server(gate):
    told = json.loads(get(gate, Cookie="who=ann", Remote_User="root", Remote_Groups="wheel", X_Auth_Level="9").body)
    assert told["remote-user"] == "ann" and told["x-auth-level"] == "5" and "remote-groups" not in told


def test_the_server_hears_the_path_that_is_served(gate):
    """What a backend would read, so that nothing is allowed by one name and fetched by another."""
    before = len(gate.decider.asked)
    for target in ("/open/../page?q=../x", "/%70age?q=../x", "//page?q=../x", "http://localhost/page?q=../x"):
        assert get(gate, target, Cookie="who=ann").status == 200
    asked = [fields["x-forwarded-uri"] for _, fields in gate.decider.asked[before:]]
    assert [uri for uri in asked if uri != "/a.txt"] == ["/page?q=../x"] * 4  # talk() asks for /a.txt


def test_every_other_answer_is_the_client_s(gate):
    answer = get(gate, Cookie="who=guest")
    assert (answer.status, answer.body) == (302, b"<p>who are you?</p>")
    assert answer.fields["location"] == "http://login.example/?back=1"
    assert answer.fields["set-cookie"] == "session=1" and "x-secret" not in answer.fields
    assert get(gate).status == 403
    assert get(gate, method="HEAD").status == 403
    assert len(get(gate, Cookie="who=long").body) == 64 * 1024


@pytest.mark.parametrize("path,cookie,status", [("/", "who=die", 502), ("/", "who=garbage", 502), ("/gone/", "", 502)])
def test_a_server_that_fails(gate, path, cookie, status):
    assert get(gate, path, Cookie=cookie).status == status


def test_a_body_comes_through_whole(gate):
    body = b"y" * 60000
    with gate.connect() as sock:
        sock.sendall(request("/", "POST", Cookie="who=ann", Content_Length=str(len(body))) + body)
        assert Answer(sock.makefile("rb")).body == body


def test_the_gate_serves_while_it_waits(gate):
    gate.decider.gate_open.clear()
    with gate.connect() as waiting, gate.connect() as leaves:
        for sock in (waiting, leaves):
            sock.sendall(request("/", Cookie="who=ann"))
        leaves.close()
        with gate.connect() as other:
            other.sendall(request("/gone/"))
            assert Answer(other.makefile("rb")).status == 502
        gate.decider.gate_open.set()
        assert Answer(waiting.makefile("rb")).status == 200
