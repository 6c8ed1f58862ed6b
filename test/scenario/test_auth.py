"""Names and passwords on a real gate with a real auth process."""

import base64
import crypt
import os
import signal
import socket
import struct
import socket
import time

import pytest

import program
from gatebed import Answer, Gate, described, request, talk

AUTH = program.BUILD / "src/auth/stead-auth"
USERS = {"ann": ("secret", crypt.METHOD_BLOWFISH), "bob": ("pass:with:colons", crypt.METHOD_SHA512),
         "eve": ("ümläut", crypt.METHOD_SHA512), "old": ("md5", crypt.METHOD_MD5)}


def hashes():
    made = []
    for name, (password, method) in USERS.items():
        salt = crypt.mksalt(method, rounds=32) if method is crypt.METHOD_BLOWFISH else crypt.mksalt(method)
        made.append({"name": name, "hash": crypt.crypt(password, salt)})
    return made


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def gate(tmp_path):
    (tmp_path / "index.html").write_text("inside")
    route = {"path": "/", "match": "prefix", "to": "static", "root": str(tmp_path)}
    it = Gate(described({"sites": [{"name": "closed", "default": True, "routes": [
        {**route, "users": hashes()}, {**route, "path": "/open", "root": str(tmp_path)}]}]}))
    it.aide = int(it.say(f"auth {AUTH}")[0].split()[1])
    yield it
    assert it.end() == 0


def ask(gate, target="/", method="GET", **fields):
    return talk(gate, request(target, method=method, **fields), method=method)[0][0]


def test_who_has_no_password_is_asked_for_one(gate):
    answer = ask(gate)
    assert answer.status == 401
    assert answer.fields["www-authenticate"] == 'Basic realm="closed", charset="UTF-8"'
    assert ask(gate, "/open/").status == 200


@pytest.mark.parametrize("user,password,status", [
    ("ann", "secret", 200), ("bob", "pass:with:colons", 200), ("eve", "ümläut", 200), ("ann", "Secret", 401),
    ("ann", "", 401), ("", "secret", 401), ("bob", "secret", 401), ("nobody", "secret", 401),
    ("old", "md5", 401), ("ann", "secret\0x", 401), pytest.param("ann", "s" * 600, 401, id="long")])
def test_passwords(gate, user, password, status):
    assert ask(gate, Authorization=basic(user, password)).status == status


@pytest.mark.parametrize("field", [
    "Basic", "Basic ", "Basic !!!", "Basic YW5u", "Bearer abc", "Basic YW5uOnNlY3JldA", "Basic YW5uOnNlY3JldB==",
    pytest.param("Basic " + "QUFB" * 1000, id="long")])
def test_what_cannot_be_understood(gate, field):
    assert ask(gate, Authorization=field).status == 401


def test_a_body_waits_for_the_check(gate):
    """It comes before the answer of auth, and the handler (static: 405) sees the request whole."""
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        body = b"x" * 50000
        sock.sendall(request("/", "POST", Authorization=basic("bob", "pass:with:colons"),
                             Content_Length=str(len(body))) + body)
        assert Answer(reader).status == 405
        sock.sendall(request("/", Authorization=basic("ann", "secret")))
        assert Answer(reader).body == b"inside"


def test_expect_is_answered_behind_the_check(gate):
    answer = ask(gate, method="POST", Expect="100-continue", Content_Length="5")
    assert answer.status == 401  # and not 100


def test_a_right_password_is_checked_once(gate):
    field = basic("ann", "secret")
    began = time.monotonic()
    assert ask(gate, Authorization=field).status == 200
    first = time.monotonic() - began
    os.kill(gate.aide, signal.SIGSTOP)  # nobody checks now
    try:
        assert ask(gate, Authorization=field).status == 200
    finally:
        os.kill(gate.aide, signal.SIGCONT)
    print(f"  first check: {first * 1000:.0f} ms")


def test_the_gate_serves_while_a_password_is_checked(gate):
    os.kill(gate.aide, signal.SIGSTOP)
    try:
        with gate.connect() as sock:
            sock.sendall(request("/", Authorization=basic("ann", "secret")))
            for _ in range(20):
                assert ask(gate, "/open/").status == 200
            os.kill(gate.aide, signal.SIGCONT)
            assert Answer(sock.makefile("rb")).status == 200
    finally:
        os.kill(gate.aide, signal.SIGCONT)


def test_a_client_that_leaves_while_it_waits(gate):
    os.kill(gate.aide, signal.SIGSTOP)
    gate.records()
    try:
        sock = gate.connect()
        sock.sendall(request("/", Authorization=basic("ann", "secret")))
        assert ask(gate, "/open/").status == 200
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset: it is gone
        sock.close()
        end = time.monotonic() + 5
        while not any(r["close"] == "client_gone" for r in gate.records()):
            assert time.monotonic() < end
    finally:
        os.kill(gate.aide, signal.SIGCONT)
    assert ask(gate, Authorization=basic("ann", "secret")).status == 200


def test_auth_dies_and_comes_again(gate):
    os.kill(gate.aide, signal.SIGKILL)
    with gate.connect() as sock:
        sock.sendall(request("/", Authorization=basic("bob", "pass:with:colons")))
        assert ask(gate, "/open/").status == 200
        gate.say(f"auth {AUTH}")  # as the parent does it
        assert Answer(sock.makefile("rb")).status == 200


def test_guessing_is_throttled(gate):
    statuses = [ask(gate, Authorization=basic("ann", f"guess{i}")).status for i in range(14)]
    assert statuses[0] == 401 and statuses[-1] == 429
    assert statuses.index(429) >= 10
    answer = ask(gate, Authorization=basic("ann", "another"))
    assert answer.status == 429 and int(answer.fields["retry-after"]) > 0


def test_the_queue_is_bounded(gate):
    os.kill(gate.aide, signal.SIGSTOP)
    waiting = []
    try:
        for i in range(64):
            waiting.append(gate.connect())
            waiting[-1].sendall(request("/", Authorization=basic("ann", f"{i}")))
        assert ask(gate, "/open/").status == 200
        assert ask(gate, Authorization=basic("ann", "one more")).status == 503
    finally:
        os.kill(gate.aide, signal.SIGCONT)
        for sock in waiting:
            sock.close()


def test_what_it_costs_idle(gate):
    assert ask(gate, Authorization=basic("ann", "secret")).status == 200
    with open(f"/proc/{gate.aide}/smaps_rollup") as rollup:
        pss = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    print(f"  auth: {pss} KB PSS")
    assert pss < 2000
