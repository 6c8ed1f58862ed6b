"""Rows of tbl/closes.h and tbl/events.h as the log shows them: each is brought about once by what it names.

A row that no test can bring about from outside is listed by `tools/tidy.py --untested`.
"""

import signal
import socket

from client import Client, ask, raw
from program import wait_until
from test_snapshot import taken

HELLO = '''
def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\\n"]
'''
SITE = "[Site]\nStatic=/files files\nBodyMax=1K\nHeadMax=16K\n"
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n%sConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n%s\r\n"
CLOSES = {
    "bad_request": (400, GET % (b"/bad_request", b"X Y: z\r\n")),
    "bad_framing": (400, POST % b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
    "bad_chunk": (400, POST % b"Transfer-Encoding: chunked\r\n" + b"zz\r\n"),
    "bad_host": (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "bad_target": (400, GET % (b"/%zz", b"")),
    "bad_version": (505, b"GET / HTTP/2.1\r\nHost: x\r\n\r\n"),
    "line_too_long": (414, GET % (b"/" + b"a" * 20000, b"")),
    "head_too_large": (431, GET % (b"/", b"X: " + b"a" * 20000 + b"\r\n")),
    "body_too_large": (413, POST % b"Content-Length: 2000\r\n"),
    "bad_expect": (417, POST % b"Content-Length: 1\r\nExpect: miracles\r\n"),
    "bad_coding": (501, POST % b"Transfer-Encoding: rot13\r\n"),
    "not_found": (404, GET % (b"/files/none", b"")),
    "forbidden": (403, GET % (b"/files/secret", b"")),
    "range_bad": (416, GET % (b"/files/a.txt", b"Range: bytes=100-\r\n")),
    "bad_method": (405, b"DELETE /files/a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    "done": (200, GET % (b"/files/a.txt", b"")),
}


def events(one, name):
    return [record for record in one.logs() if record.get("event") == name]


def test_closes(stead, app_folder):
    folder = app_folder({"app.py": HELLO, "stead.conf": SITE, "files/a.txt": "a", "files/secret": "s"})
    (folder / "files" / "secret").chmod(0)
    one = stead(folder).up()
    wrong = {}
    for name, (status, data) in CLOSES.items():
        seen = len([r for r in one.logs() if r["kind"] == "access"])
        first = raw(one, data).split(b"\r\n")[0]
        record = wait_until(f"a record of {name}",
                            lambda: [r for r in one.logs() if r["kind"] == "access"][seen:])[-1]
        if not first.startswith(b"HTTP/1.1 %d " % status) or (record["close"], record["status"]) != (name, status):
            wrong[name] = (first, record["close"], record["status"])
    assert not wrong


def test_a_body_too_slow(stead, app_folder):
    """Less than RateMin= bytes a second of a body: 408, and the worker is free again."""
    one = stead(app_folder({"app.py": HELLO, "stead.conf":
                            "[Site]\nRateMin=1M\nIdleTimeoutSec=2s\nRequestTimeoutSec=60s\n[Python]\nWorkers=1\n"})).up()
    with Client(one.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
        assert client.answer().status == 408
    wait_until("the record", lambda: any(r.get("close") == "body_too_slow" for r in one.logs()))
    assert ask(one).status == 200


def test_the_app_is_down(stead, app_folder):
    """All workers die at once and cannot start: 503 with Retry-After, never a hang; then it comes back."""
    folder = app_folder({"app.py": HELLO, "stead.conf": "[Site]\nQueueTimeoutSec=1s\n[Python]\nWorkers=1\n"})
    one = stead(folder).up()
    (folder / "app.py").write_text("raise SystemExit(3)\n")
    one.kill("worker")
    answer = wait_until("503", lambda: (a := ask(one)).status == 503 and a)
    assert answer["Retry-After"]
    reasons = wait_until("the reason", lambda: {r["close"] for r in one.logs() if r.get("status") == 503})
    assert reasons <= {"app_down", "app_starting", "queue_timeout"}
    wait_until("the event", lambda: events(one, "APP_CRASHING"))
    (folder / "app.py").write_text(HELLO)
    wait_until("service", lambda: ask(one).status == 200, timeout=90)


def test_events_of_a_life(stead, app_folder):
    """Start, live, a death, a stop: each written once for each process."""
    one = stead(app_folder({"app.py": HELLO, "stead.conf": "[Python]\nWorkers=2\n"})).up()
    wait_until("all to be ready", lambda: len(events(one, "PROC_STARTED")) == len(events(one, "PROC_READY")))
    names = {name: len(events(one, name)) for name in
             ("STARTED", "PROC_STARTED", "PROC_READY", "LISTENING", "SITE_LIVE", "JAIL_SKIPPED")}
    assert names["STARTED"] == names["LISTENING"] == names["SITE_LIVE"] == 1, names
    assert names["PROC_STARTED"] == names["PROC_READY"] >= 5, names
    assert names["JAIL_SKIPPED"] >= 1 or one.as_root, names
    pid = one.kill("worker")
    died = wait_until("the death in the log", lambda: events(one, "PROC_DIED"))[0]
    assert (died["pid"], died["status"]) == (str(pid), "-9"), died
    assert one.stop() == 0
    text = "".join(file.read_text() for file in (one.state / "log").glob("*") if file.is_file())
    for name in ("STOPPING", "PROC_ENDED", "STOPPED"):
        assert f'"event":"{name}"' in text, name


def test_a_worker_that_does_not_want_to_end(stead, app_folder):
    """It ignores SIGTERM and never leaves its request: killed, told, and nothing is left."""
    one = stead(app_folder({"app.py": '''
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"hello\\n"
    while environ["PATH_INFO"] == "/stay":
        time.sleep(1)
''', "stead.conf": "[Site]\nRequestTimeoutSec=300s\n"})).up()
    with Client(one.port) as client:
        client.send(b"GET /stay HTTP/1.1\r\nHost: x\r\n\r\n")
        client.socket.setblocking(True)
        wait_until("the request to run", lambda: client.more() or True)
        one.tree()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 0
    one.gone()
    text = "".join(file.read_text() for file in (one.state / "log").glob("*") if file.is_file())
    assert '"event":"PROC_KILLED"' in text


def test_an_app_that_is_never_ready(stead, app_folder):
    """It loads when it is looked at, and hangs when a worker loads it: `stead up` says so in time."""
    one = stead(app_folder({"app.py": "import os, time\nif not os.environ['SECRET_KEY'].startswith('placeholder'):\n"
                                      "    time.sleep(1000)\n" + HELLO,
                            "stead.conf": "[Site]\nHealthTimeoutSec=2s\n"}))
    output = one.fails(1)
    assert "ready" in output and "what to do" in output, output
    one.gone()
    text = "".join(file.read_text() for file in (one.state / "log").glob("*") if file.is_file())
    assert '"event":"PROC_NOT_READY"' in text


def test_a_head_larger_than_the_site_allows(stead, app_folder):
    """A small HeadMax=: the head arrives at once or in pieces, and is answered in both cases."""
    one = stead(app_folder({"app.py": HELLO, "stead.conf": "[Site]\nHeadMax=4K\n"})).up()
    for size in (3000, 4200, 8000, 20000):
        expected = b"HTTP/1.1 200" if size < 4000 else b"HTTP/1.1 431"
        assert raw(one, GET % (b"/", b"X: " + b"a" * size + b"\r\n")).startswith(expected), size
        with Client(one.port) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
            for _ in range(0, size, 500):
                client.send(b"a" * 500)
                if client.readable():
                    break
            client.send(b"\r\n\r\n")
            assert client.answer().status == int(expected[9:]), size


def test_a_process_that_breaks_the_protocol(stead, app_folder):
    """A gate says what no gate may say: its channel ends, it is replaced, the site serves on."""
    one = stead(app_folder({"app.py": HELLO})).up()
    gate = one.pid("gate")
    with taken(gate, 3) as channel:  # the gate's own end, as if the gate had been taken over
        channel.send(b"\x04\x00\x00\x00" + (305).to_bytes(2, "little") + b"\x01\x00" + bytes(8) + b"evil")
    wait_until("another gate", lambda: one.pids("gate") and gate not in one.pids("gate"))
    assert ask(one).status == 200
    wait_until("the event", lambda: events(one, "CHANNEL_BROKEN"))


def test_a_port_in_use_is_an_event(stead, app_folder):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        one = stead(app_folder({"app.py": HELLO}), port=busy.getsockname()[1])
        one.fails(1)
    text = "".join(file.read_text() for file in (one.state / "log").glob("*") if file.is_file())
    assert '"event":"BIND_FAILED"' in text
    one.gone()
