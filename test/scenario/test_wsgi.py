"""WSGI from a real client to a real worker: PEP 3333 over HTTP, and workers that misbehave."""

import json
import os
import random
import signal
import threading
import time

import pytest

from client import Client, Load, ask
from program import wait_until

APP = '''
import os, signal, sys, time
from wsgiref.validate import validator

PLAIN = [("Content-Type", "text/plain")]

def inner(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"valid"]

checked = validator(inner)

def slow(n):
    for i in range(n):
        time.sleep(0.02)
        yield b"%d\\n" % i

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/valid":
        return checked(environ, start_response)
    if path == "/raise":
        raise RuntimeError("raised on purpose")
    if path == "/stuck":
        time.sleep(600)
    if path == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    if path == "/garbage":
        return garbage(start_response)
    write = start_response("200 OK", PLAIN)
    if path == "/pid":
        return [str(os.getpid()).encode()]
    if path == "/environ":
        return [repr({k: v for k, v in environ.items() if k.startswith(("HTTP_", "REQUEST", "SERVER", "REMOTE", "PATH",
            "QUERY", "CONTENT", "SCRIPT"))}).encode()]
    if path == "/scribble":
        seen = repr({k: v for k, v in environ.items() if isinstance(v, str)}).encode()
        environ.clear()
        environ["HTTP_X_LEFT"] = environ["wsgi.url_scheme"] = "left"
        return [seen]
    if path == "/len":
        total = 0
        while True:
            piece = environ["wsgi.input"].read(5000)
            if not piece:
                return [str(total).encode()]
            total += len(piece)
    if path == "/slow":
        return slow(5)
    if path == "/big":
        return (b"x" * 50000 for _ in range(100))
    if path == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if path == "/cut":
        return environ["wsgi.file_wrapper"](open(os.path.join(os.path.dirname(__file__), "large"), "rb"))
    if path == "/late":
        write(b"begun")
        raise RuntimeError("late on purpose")
    return [b"hello"]

def garbage(start_response):
    """What an extension module that writes over memory may do to the worker's own ring."""
    import ctypes
    start_response("200 OK", PLAIN)
    for line in open("/proc/self/maps"):
        if "memfd:stead-link" in line and " rw-s " in line:
            low, high = (int(x, 16) for x in line.split()[0].split("-"))
            ctypes.memset(low, 0xa5, 4096)
    return [b"after the garbage"]
'''


@pytest.fixture
def site(stead, app_folder):
    def make(conf="", **files):
        return stead(app_folder({"app.py": APP, "stead.conf": "[Python]\nWorkers=2\n" + conf, **files})).up()
    return make


def pids(one):
    return {ask(one, "/pid").text for _ in range(30)}


@pytest.mark.smoke
def test_answers(site):
    one = site()
    assert ask(one, "/").text == "hello"
    assert ask(one, "/valid").text == "valid"
    assert ask(one, "/raise").status == 500
    assert ask(one, "/slow").text == "0\n1\n2\n3\n4\n"
    assert len(ask(one, "/big").body) == 5000000
    assert ask(one, "/file").text == APP
    wait_until("the traceback in the log", lambda: "raised on purpose" in one.cli("logs"))


@pytest.mark.smoke
def test_environ(site):
    """What the app sees of a request; a name with an underscore cannot pretend to be one with a hyphen."""
    one = site()
    with Client(one.port) as client:
        client.send(b"GET /environ?a=b%20c HTTP/1.1\r\nHost: Example.test:81\r\nX-Two: 1\r\nX-Two: 2\r\n"
                    b"Cookie: a=1\r\nCookie: b=2\r\nX_Real: forged\r\nX-Real: true\r\nProxy: http://evil\r\n\r\n")
        env = eval(client.answer().text)
    assert env["HTTP_X_TWO"] == "1, 2" and env["HTTP_COOKIE"] == "a=1; b=2"
    assert env["HTTP_X_REAL"] == "true" and "HTTP_PROXY" not in env
    assert env["QUERY_STRING"] == "a=b%20c" and env["PATH_INFO"] == "/environ" and env["SCRIPT_NAME"] == ""
    assert env["SERVER_NAME"] == "example.test" and env["SERVER_PORT"] == "81"
    assert env["REQUEST_METHOD"] == "GET" and env["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert env["REMOTE_ADDR"] == "127.0.0.1" and "CONTENT_LENGTH" not in env and "HTTP_CONTENT_TYPE" not in env


def test_environs_do_not_mix(site):
    """Whatever came before, on whichever connection: an environ has what its own request says, and nothing else."""
    chance, kinds = random.Random(7), [f"X-{c * 7}-{c}" for c in "abcdef"]
    one = site()
    with Client(one.port) as first, Client(one.port) as second:
        # Enough of one kind that it is known by heart, then others between them.
        for i in range(300):
            names = kinds[:3] if i < 60 or chance.random() < 0.5 else chance.sample(kinds, chance.randrange(6))
            fields = {n: chance.choice(["1", "two", f"{i}", "long" * chance.choice([20, 100, 700])]) for n in names}
            query, method = chance.choice(["", "?a=1", f"?b={i}"]), chance.choice(["GET", "DELETE"])
            client = chance.choice([first, second])
            client.send(f"{method} /scribble{query} HTTP/1.1\r\nHost: h{i % 3}\r\n".encode()
                        + b"".join(f"{n}: {v}\r\n".encode() for n, v in fields.items()) + b"\r\n")
            env = eval(client.answer().text)
            want = {"HTTP_" + n.upper().replace("-", "_"): v for n, v in fields.items()} | {"HTTP_HOST": f"h{i % 3}"}
            assert {k: v for k, v in env.items() if k.startswith("HTTP_")} == want
            assert (env["QUERY_STRING"], env["REQUEST_METHOD"]) == (query[1:], method)
            assert env["wsgi.url_scheme"] == "http" and env["SERVER_NAME"] == f"h{i % 3}"
            assert env["REMOTE_PORT"] == str(client.socket.getsockname()[1])


def test_bodies(site):
    one = site()
    with Client(one.port) as client:
        data = b"x" * 700000
        client.send(b"POST /len HTTP/1.1\r\nHost: a\r\nContent-Length: 700000\r\n\r\n" + data)
        assert client.answer().text == "700000"
        client.send(b"POST /len HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            client.send(b"2710\r\n" + b"y" * 10000 + b"\r\n")
        client.send(b"0\r\n\r\n")
        assert client.answer().text == "200000"


def test_a_file_cut_on_its_way(site):
    """The record tells what went, not what was meant to go."""
    one = site(large=b"x" * 32000000)
    with Client(one.port) as client:
        client.send(b"GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
        got = client.socket.recv(4096)
        assert got.startswith(b"HTTP/1.1 200")
        os.truncate(one.folder / "large", 1000)
        while piece := client.socket.recv(1 << 20):
            got += piece
    body = len(got.split(b"\r\n\r\n", 1)[1])
    assert 0 < body < 32000000
    told = wait_until("the record", lambda: [r for r in one.logs() if r.get("target") == "/cut"])
    # Who met the new end first: the gate as it sent, or the worker as it handed the file over.
    assert [r["bytes"] for r in told] == [body] and told[0]["close"] in ("file_error", "app_short")


def test_late_error_cuts(site):
    """After the head an error cannot be told: the client must see that the answer is not whole."""
    one = site()
    with Client(one.port) as client:
        client.send(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        got = b""
        while True:
            piece = client.socket.recv(4096)
            if not piece:
                break
            got += piece
    assert b"begun" in got and not got.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("path, status", [("/die", 502), ("/garbage", None)])
def test_worker_is_lost(site, path, status):
    """The worker that breaks is replaced; the others' requests do not notice."""
    one = site()
    before = pids(one)
    with Load(one, "/", rate=100) as load:
        load.wait_for(50)
        def broken():
            """Garbage that the worker's next word mends before the gate looks harms nobody: then once more."""
            answer = ask(one, path, method="POST") if status else ask(one, path)
            assert answer.status == status if status else answer.status in (200, 502)
            load.wait_for(50)
            return pids(one) - before
        if status:
            broken()
            wait_until("another worker", lambda: pids(one) - before)
        else:
            wait_until("another worker", broken)
        load.wait_for(50)
    assert load.failed == 0, load.seen


def test_deadline(site):
    """504 in time, the stack in the log, the worker replaced, nobody else waits."""
    one = site("[Site]\nRequestTimeoutSec=1s\n")
    before = pids(one)
    start = time.monotonic()
    answer = ask(one, "/stuck")
    assert answer.status == 504 and time.monotonic() - start < 15
    assert ask(one, "/").status == 200
    wait_until("the stack in the log", lambda: 'in app' in one.cli("logs") and "most recent call first" in one.cli("logs"))
    wait_until("another worker", lambda: pids(one) - before)


MEET = '''
import os, threading, time
here = os.environ["MEETING"]
lock = threading.Lock()
now = most = 0

def app(environ, start_response):
    """/meet/N ends when N requests are in it at once, in whatever process and thread they are."""
    global now, most
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/flags":
        return [b"%d %d" % (environ["wsgi.multithread"], environ["wsgi.multiprocess"])]
    with lock:
        now += 1
        most = max(most, now)
    wanted = int(environ["PATH_INFO"].rsplit("/", 1)[1])
    open(os.path.join(here, "%d-%d" % (os.getpid(), threading.get_ident())), "w").close()
    until = time.monotonic() + 30
    while len(os.listdir(here)) < wanted and time.monotonic() < until:
        time.sleep(0.005)
    with lock:
        now -= 1
    return [b"%d of %d: %d" % (len(os.listdir(here)), os.getpid(), most)]
'''


def test_processes_times_threads(stead, app_folder, work):
    """Two processes of three threads run six requests at once, three in each, and never a seventh."""
    meeting = work / "meeting"
    meeting.mkdir()
    meeting.chmod(0o777)
    one = stead(app_folder({"app.py": MEET, "stead.conf": "[Python]\nWsgi=app:app\nWorkers=2\nThreads=3\n[Service]\n"
                            f"Environment=MEETING={meeting}\n[Site]\nHealth=/flags\n"})).up()
    assert ask(one, "/flags").text == "1 1"
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(one, "/meet/6").text)) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(answers) == 12 and all(a.startswith("6 of ") and a.endswith(": 3") for a in answers), answers
    assert len({a.split()[2] for a in answers}) == 2
