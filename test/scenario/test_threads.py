"""What went wrong for others, tried here: each test names the thread. THREADS.md says where the other threads are tested."""

import os
import signal
import socket
import time

import pytest

from client import Client, ask
from program import give, wait_until

# Says what it was asked before; /stall waits until the file is there.
APP = '''
import os, time
seen = []
def application(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/seen":
        return ["\\n".join(seen).encode()]
    seen.append(path)
    if path == "/stall":
        open("at-it", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.01)
    return [b"hello\\n"]
'''


@pytest.fixture
def one_worker(stead, app_folder):
    folder = app_folder({"app.py": APP, "files/a.txt": "a",
                         "stead.conf": "[Site]\nStatic=/files files\nQueueTimeoutSec=25s\n[Python]\nWorkers=1\n"})
    one = stead(folder).up()
    return one, folder


def test_one_name_that_does_not_resolve(stead, app_folder):
    """nginx-ui #593: one unresolvable upstream stops everything. Here at the first start and at a reload; what needs it
    is 502 or 503, all else is served."""
    conf = ("[Site]\nStatic=/files files\nQueueTimeoutSec=500ms\n[Route /api]\nTo=u\n[Route /one]\nTo=http://other-name.invalid:8000\n"
            "[Upstream u]\nServer=http://no-such-name.invalid:8000\n")
    folder = app_folder({"app.py": APP, "files/a.txt": "a", "stead.conf": conf})
    one = stead(folder).up()
    for more in ("", "[Route /two]\nTo=http://third-name.invalid:8000\n"):
        (folder / "stead.conf").write_text(conf + more)
        give(folder)
        one.cli("reload")
        assert ask(one, "/files/a.txt").body == b"a" and ask(one).status == 200
        assert ask(one, "/api").status in (502, 503) and ask(one, "/one").status in (502, 503)
        assert ask(one, "/files/a.txt").body == b"a"


def test_idle_connections_take_no_worker(one_worker):
    """mitodl/ol-infrastructure #5694 (Granian counts connections: idle ones caused 503s), gunicorn #2652 (an idle client
    holds a thread for ever): 500 idle connections, one worker of one thread, and each request is answered."""
    one, _ = one_worker
    idle = [Client(one.port) for _ in range(500)]
    try:
        for client in idle[:100]:
            assert client.ask("/").status == 200
        assert all(ask(one, "/").status == 200 for _ in range(50))
        assert not any(client.readable() for client in idle)
    finally:
        for client in idle:
            client.close()


def test_a_burst_waits(one_worker):
    """uWSGI #1804 (a backlog of 100): 1,000 connections come while the gate does nothing, and none is refused."""
    one, _ = one_worker
    gates = one.pids("gate")
    for pid in gates:
        os.kill(pid, signal.SIGSTOP)
    waiting = []
    try:
        for _ in range(1000):
            sock = socket.create_connection(("127.0.0.1", one.port), 10)
            sock.sendall(b"GET /files/a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            waiting.append(sock)
    finally:
        for pid in gates:
            os.kill(pid, signal.SIGCONT)
    for sock in waiting:
        with sock, sock.makefile("rb") as reader:
            assert reader.read().startswith(b"HTTP/1.1 200 ")
    assert one.pids("gate") == gates


def test_dead_requests_are_not_run(one_worker):
    """freeunit #198: after a stall the requests of clients that left long ago were run, oldest first. Here who leaves while
    he waits takes his request with him."""
    one, folder = one_worker
    stalls = Client(one.port)
    stalls.send(b"GET /stall HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until("the worker to be at it", lambda: (folder / "at-it").exists())
    left = [Client(one.port) for _ in range(20)]
    for number, client in enumerate(left):
        client.send(f"GET /left/{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    waits = Client(one.port)
    waits.send(b"GET /waits HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(0.5)  # an end right behind a request is that of a client that reads on (nc in a pipe)
    for client in left:
        client.close()
    wait_until("the gate to see that they left",
               lambda: sum(r.get("close") == "client_gone" for r in one.logs() if r["kind"] == "access") >= 20)
    (folder / "go").write_text("")
    assert stalls.answer().status == 200 and waits.answer().status == 200
    assert ask(one, "/seen").text.split("\n")[-2:] == ["/stall", "/waits"]
    stalls.close()
    waits.close()


def test_a_failed_reload_is_seen(one_worker):
    """nginx-proxy-manager #5853: a reload failed and nobody saw it. Here the verb fails, says the place and the reason, and
    the log has it."""
    one, folder = one_worker
    (folder / "stead.conf").write_text("[Site]\nStatic=/files files\n[Route ~(]\nTo=app\n")
    text = one.cli("reload", code=2)
    assert "stead.conf:3:" in text and "old configuration serves on" in text
    assert ask(one, "/files/a.txt").body == b"a"


def test_no_app_at_all(stead, app_folder):
    """uWSGI #1172: it starts with no app at all and answers errors. Here the start fails, and says what it looked for."""
    text = stead(app_folder({"notes.md": "nothing to serve\n"})).fails(2)
    assert "what to do" in text
