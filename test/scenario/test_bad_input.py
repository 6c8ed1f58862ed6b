"""Bad input: each gives an error that says what, where, why and what to do, or leaves the service unharmed."""

import os
import pathlib
import signal
import socket
import subprocess

import pytest

from client import Client, ask, raw
from program import TEST_USER, TIMEOUT, give, wait_until

HELLO = '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\\n"]
'''


def says(output, *words):
    for word in words:
        assert word.lower() in output.lower(), f"{word!r} is not in:\n{output}"


def test_a_folder_without_an_app(stead, app_folder):
    folder = app_folder({"notes.txt": "nothing here"})
    one = stead(folder)
    says(one.fails(2), str(folder), "app", "stead.conf")
    one.gone()


def test_a_folder_that_is_not_there(stead, work):
    one = stead(work / "nowhere")
    says(one.fails(4), str(work / "nowhere"), "no such")
    one.gone()


def test_a_syntax_error_in_the_app(stead, app_folder):
    one = stead(app_folder({"app.py": "from flask import Flask\napp = Flask(__name__)\ndef broken(:\n    pass\n"}))
    says(one.fails(2), "app.py:3:12", "SyntaxError", "def broken(:", "what to do")
    one.gone()


def test_an_import_that_fails(stead, app_folder):
    one = stead(app_folder({"app.py": "import no_such_module_here\nfrom flask import Flask\napp = Flask(__name__)\n"}))
    says(one.fails(2), "app.py", "no_such_module_here", "requirements.txt")
    one.gone()


def ends_unseen(one, then=lambda: None):
    """The command sleeps while all that it has started ends, and reads then what was said to it: its exit status."""
    one.start()
    wait_until("the look at the app", lambda: "looking at the folder" in one.output())
    parent = one.pid("parent")
    os.kill(one.process.pid, signal.SIGSTOP)
    then()
    wait_until("the parent's end", lambda: pathlib.Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    os.kill(one.process.pid, signal.SIGCONT)
    return one.process.wait(TIMEOUT)


def test_a_reason_that_is_read_late(stead, app_folder):
    """Everything has ended before the command comes to read why: it is told all the same."""
    one = stead(app_folder({"app.py": "import time\ntime.sleep(3)\nimport no_such_module_here\n" + HELLO}))
    assert ends_unseen(one) == 2, one.output()
    says(one.output(), "app.py", "no_such_module_here", "what to do")
    one.gone()


def test_stopped_by_somebody_else_while_it_starts(stead, app_folder):
    one = stead(app_folder({"app.py": "import time\ntime.sleep(15)\n" + HELLO}))
    assert ends_unseen(one, lambda: one.cli("stop")) == 1, one.output()
    says(one.output(), "stead was stopped", "somebody else", "try again")
    one.gone()


def test_a_port_in_use(stead, app_folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        one = stead(app_folder({"app.py": HELLO}), port=port)
        says(one.fails(1), f"127.0.0.1:{port}", "in use", "--http")
        one.gone()


def test_an_address_that_is_none(stead, app_folder):
    one = stead(app_folder({"app.py": HELLO}), http="localhost:many")
    says(one.fails(2), "localhost:many", "--http")
    one.gone()


@pytest.mark.root
@pytest.mark.parametrize("size", ["256k", "4m"])
def test_a_full_disk(stead, guestbook, work, size):
    """A state folder on a disk of that size: too small for the state, too small for the cluster."""
    disk = work / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "none", str(disk)], check=True)
    try:
        give(disk)
        one = stead(guestbook, state=disk / "state")
        says(one.fails(1), "space", str(disk))
        one.gone()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.root
def test_a_disk_that_fills_under_a_live_site(stead, app_folder, work):
    """The log can no longer be written: the site serves on."""
    disk = work / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "none", str(disk)], check=True)
    try:
        give(disk)
        one = stead(app_folder({"app.py": HELLO}), state=disk / "state").up()
        with open(disk / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(65536))
                    filler.flush()
            except OSError:
                pass
        with Client(one.port) as client:
            for _ in range(2000):
                assert client.ask("/").status == 200
        assert one.status()["sites"]
        assert one.stop() == 0
        one.gone()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.root
def test_no_postgresql_installed(stead, guestbook):
    """Where Debian's packages put the server, and where a link to it may be, there is nothing."""
    one = stead(guestbook, hidden=["/usr/lib/postgresql", "/usr/local/bin"])
    says(one.fails(1), "PostgreSQL", "apt", "install postgresql")
    one.gone()


def test_a_state_folder_of_somebody_else(stead, app_folder, work):
    state = pathlib.Path("/usr")
    if os.geteuid() == 0:
        state = work / "theirs"
        state.mkdir(mode=0o755)
        os.chown(state, 0, 0)
    one = stead(app_folder({"app.py": HELLO}), state=state)
    says(one.fails(5), str(state), "own", "--state")
    one.gone()


def test_two_ups_on_one_folder(stead, app_folder):
    folder = app_folder({"app.py": HELLO})
    one = stead(folder).up()
    two = stead(folder, state=one.state)
    # Said by the one that runs, or (when it cannot answer yet) by who finds the lock taken.
    says(two.fails(7), "already", "stead status", "stead stop")
    assert ask(one).status == 200


def test_a_garbage_configuration(stead, app_folder):
    """Every error of the file in one go, each with its place."""
    folder = app_folder({"app.py": HELLO, "stead.conf":
                         "[Site]\nNmae=shop\nBodyMax=lots\n[Pyhton]\nWorkers=2\n[Python]\nWorkers=-1\n"})
    one = stead(folder)
    output = one.fails(2)
    says(output, "stead.conf:2:1", "Nmae", "Name", "stead.conf:3:", "lots", "stead.conf:4:", "Pyhton", "Python",
         "stead.conf:7:", "-1")
    one.gone()


def test_a_configuration_of_random_bytes(stead, app_folder):
    one = stead(app_folder({"app.py": HELLO, "stead.conf": bytes(range(256)) * 200}))
    says(one.fails(2), "stead.conf:1:")
    one.gone()


@pytest.mark.smoke
def test_a_request_line_of_a_megabyte(stead, app_folder):
    one = stead(app_folder({"app.py": HELLO})).up()
    with Client(one.port) as steady:
        assert steady.ask().status == 200
        with Client(one.port) as client:
            try:
                client.send(b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            except ConnectionError:
                pass
            try:
                assert client.answer().status == 414
            except ConnectionError:
                pass  # the rest of the line was still on its way when the gate closed
        answer = raw(one, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n")
        assert answer == b"" or b" 431 " in answer.split(b"\r\n")[0]
        assert steady.ask().status == 200 and steady.used == 2


MALFORMED = {
    "length and chunked": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a list of lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\nhello!",
    "a signed length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
    "a hexadecimal length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello",
    "a length too long": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "an empty length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
    "a bare LF": b"GET / HTTP/1.1\nHost: x\n\n",
    "a bare LF between fields": b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
    "a bare CR": b"GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
    "a bare CR in a value": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "a tab before the colon": b"GET / HTTP/1.1\r\nHost: x\r\nX\t: y\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n",
    "a first field that is folded": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "a field without a colon": b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
    "an empty field name": b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    "a NUL in a value": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "a NUL in a name": b"GET / HTTP/1.1\r\nHost: x\r\nX\0: ab\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a host with a blank": b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "a host with user": b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "a host with a bad port": b"GET / HTTP/1.1\r\nHost: x:port\r\n\r\n",
    "a target with a blank": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is relative": b"GET a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target with a control": b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target with a fragment": b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: x\r\n\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab for a blank": b"GET\t/\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "a blank before the method": b" GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method with a separator": b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"GET /\r\nHost: x\r\n\r\n",
    "a version too new": b"GET / HTTP/9.1\r\nHost: x\r\n\r\n",
    "a version with more digits": b"GET / HTTP/1.10\r\nHost: x\r\n\r\n",
    "a lower-case version": b"GET / http/1.1\r\nHost: x\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "an unknown coding": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n",
    "chunked that is not last": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding with a control": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk's size that is none": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "a chunk's size with 0x": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk's size that is signed": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "a chunk's size too long": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n",
    "a chunk longer than its size": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
    "a bare LF behind a chunk's size": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "an empty chunk size": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
    "a malformed trailer": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n",
}


@pytest.mark.promise
@pytest.mark.smoke
def test_malformed_requests_are_refused(stead, app_folder, promise):
    """400 (or the row's own status) and an end of the connection: what follows is never read as a request."""
    one = stead(app_folder({"app.py": HELLO})).up()
    accepted = []
    for name, data in MALFORMED.items():
        answer = raw(one, data + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        lines = answer.split(b"\r\n")
        if answer and not lines[0].startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")) or answer.count(b"HTTP/1.1 ") > 1:
            accepted.append((name, lines[0]))
    assert not accepted
    assert ask(one).status == 200
    promise("malformed HTTP/1 accepted", f"{len(accepted)} of {len(MALFORMED)}")


def test_bytes_that_are_no_http(stead, app_folder):
    """Random bytes, seeded: no crash, and a client beside them is served."""
    import random
    one = stead(app_folder({"app.py": HELLO})).up()
    gates = one.pids("gate")
    source = random.Random(2)
    with Client(one.port) as steady:
        for _ in range(200):
            with Client(one.port) as client:
                try:
                    client.send(source.randbytes(source.randrange(1, 5000)))
                    client.socket.shutdown(socket.SHUT_WR)
                    client.to_the_end()
                except ConnectionError:
                    pass
        assert steady.ask().status == 200
    assert one.pids("gate") == gates


def test_a_worker_that_hangs(stead, app_folder):
    """504 in time, the worker is replaced, the stack shows where it stood."""
    one = stead(app_folder({"app.py": '''
import time
def wait_for_ever():
    while True:
        time.sleep(1)
def application(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        wait_for_ever()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\\n"]
''', "stead.conf": "[Site]\nRequestTimeoutSec=1s\n[Python]\nWorkers=1\n"})).up()
    before = one.pids("worker")
    assert ask(one, "/hang").status == 504
    wait_until("another worker", lambda: one.pids("worker") and set(one.pids("worker")).isdisjoint(before))
    wait_until("service", lambda: ask(one).status == 200)
    wait_until("the stack in the log", lambda: "wait_for_ever" in one.cli("logs", "-n", "1000"))
    assert "REQUEST_DEADLINE".lower() in one.cli("logs", "--json", "-n", "1000").lower()


def test_a_worker_killed_while_it_runs_a_request(stead, app_folder):
    """GET is replayed once; POST gets 502; the neighbour notices nothing."""
    one = stead(app_folder({"app.py": '''
import os, pathlib, signal
def application(environ, start_response):
    mark = pathlib.Path(os.environ["STATE_DIRECTORY"]) / "died"
    if environ["PATH_INFO"] == "/once" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if environ["PATH_INFO"] == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\\n"]
''', "stead.conf": "[Python]\nWorkers=2\n"})).up()
    assert ask(one, "/once").status == 200
    assert ask(one, "/die", "POST", body=b"x").status == 502
    wait_until("service", lambda: ask(one).status == 200)


def test_an_app_that_raises(stead, app_folder):
    one = stead(app_folder({"app.py": "def application(environ, start_response):\n    raise ValueError('oh no')\n",
                            "stead.conf": "[Site]\nHealth=/health\nHealthTimeoutSec=2s\n"}))
    says(one.fails(1), "oh no", "ValueError", "app.py", "500", "what to do")
    one.gone()


def test_a_client_that_goes_away(stead, app_folder):
    """Half a request, half an answer read: the worker is free again for the next one."""
    one = stead(app_folder({"app.py": '''
def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (b"x" * 65536 for _ in range(200))
''', "stead.conf": "[Python]\nWorkers=1\n"})).up()
    for _ in range(5):
        with Client(one.port) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        with Client(one.port) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            client.exactly(1000)
    assert len(ask(one).body) == 200 * 65536


def test_stop_of_something_that_does_not_run(stead, app_folder):
    one = stead(app_folder({"app.py": HELLO}))
    says(one.cli("status", code=3), "not running")
    says(one.cli("stop", code=3), "not running")


def test_wrong_usage(stead, app_folder):
    one = stead(app_folder({"app.py": HELLO}))
    says(one.cli("statsu", code=2), "status")
    says(one.cli("status", "--jsno", code=2), "--json")
    says(one.cli("introspect", "confg", code=4, state=False), "config")
