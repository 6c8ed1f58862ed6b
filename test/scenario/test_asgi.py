"""ASGI 3 over HTTP, from a real client to a real worker: one test for each MUST of the specifications "ASGI", "HTTP &
WebSocket" (2.5) and "Lifespan" (2.0), and how requests, clients and workers end."""

import ast
import concurrent.futures
import json
import os
import pathlib
import re
import socket
import struct

import pytest

from client import Broken, Client, ask
from program import TOP, wait_until

APP = (TOP / "test" / "scenario" / "asgi_app.py").read_text()
CONF = "[Python]\nAsgi=asgi_app:app\nWorkers=%d\n"


@pytest.fixture
def site(stead, app_folder, work):
    def make(conf="", env="", workers=1, **files):
        notes = work / "notes"
        notes.mkdir(mode=0o777)
        notes.chmod(0o777)
        text = CONF % workers + conf + f"[Service]\nEnvironment=ASGI_NOTES={notes} {env}\n"
        one = stead(app_folder({"asgi_app.py": APP, "stead.conf": text, **files}))
        one.notes = notes / "notes"
        return one
    return make


@pytest.fixture
def up(site):
    return lambda *args, **files: site(*args, **files).up()


def seen(one):
    return json.loads(ask(one, "/seen").text)


def scope_of(text):
    return ast.literal_eval(text)


# Ask each of them on one instance: what it does is said by the rule.
RULES = {}


def rule(text):
    def keep(function):
        RULES[text] = function
        return function
    return keep


@rule("asgi: scope is a dict with type and asgi[version]; HTTP: spec_version, http_version, method, scheme")
def _(one):
    scope = scope_of(ask(one, "/scope").text)
    assert scope["type"] == "http" and scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["http_version"], scope["method"], scope["scheme"]) == ("1.1", "GET", "http")
    assert scope["root_path"] == "" and scope["query_string"] == b""


@rule("HTTP: http_version 1.0")
def _(one):
    with Client(one.port) as client:
        client.send(b"GET /scope HTTP/1.0\r\nHost: a\r\n\r\n")
        assert scope_of(client.answer().text)["http_version"] == "1.0"


@rule("HTTP: path is decoded, from percent and from UTF-8; raw_path and query_string are not")
def _(one):
    with Client(one.port) as client:
        client.send(b"GET /%73cope?a=%20%C3%A4 HTTP/1.1\r\nHost: a\r\n\r\n")
        scope = scope_of(client.answer().text)
        assert scope["path"] == "/scope" and scope["raw_path"] == b"/%73cope"
        assert scope["query_string"] == b"a=%20%C3%A4"


@rule("HTTP: headers are pairs of bytes, names in small letters, values in order, duplicates kept as received")
def _(one):
    with Client(one.port) as client:
        client.send(b"GET /scope HTTP/1.1\r\nHost: example.test:81\r\nX-Two: 1\r\nCookie: a=1\r\nX-TWO: 2\r\n"
                    b"X_Real: forged\r\nProxy: http://evil\r\nX-Latin: \xe4\r\nCookie: b=2\r\n\r\n")
        scope = scope_of(client.answer().text)
    headers = [tuple(pair) for pair in scope["headers"]]
    assert headers == [(b"host", b"example.test:81"), (b"x-two", b"1"), (b"cookie", b"a=1"), (b"x-two", b"2"),
                       (b"x-latin", b"\xe4"), (b"cookie", b"b=2")]
    assert all(type(name) is type(value) is bytes for name, value in headers)


@rule("HTTP: client and server are [host, port]")
def _(one):
    with Client(one.port) as client:
        mine = client.socket.getsockname()
        scope = scope_of(client.ask("/scope").text)
    assert tuple(scope["client"]) == mine and tuple(scope["server"]) == ("127.0.0.1", one.port)


@rule("HTTP: a body comes in http.request, with more_body; one that is chunked comes without its framing")
def _(one):
    body = os.urandom(300000)
    assert ask(one, "/echo", "POST", body=body).body == body
    with Client(one.port) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        client.send(b"2;x=y\r\nde\r\n0\r\n\r\n")
        assert client.answer().text == "abcde"
    total, pieces, most = re.findall(r"\d+", ask(one, "/len", "POST", body=body).text)
    assert int(total) == 300000 and int(pieces) > 1 and int(most) <= 65536
    assert ask(one, "/len").text == "0 in 1 of at most 0"


@rule("HTTP: Transfer-Encoding of the app is ignored; header order is kept, and duplicates")
def _(one):
    answer = ask(one, "/headers")
    assert answer.all("Set-Cookie") == ["a=1", "b=2"] and answer["Transfer-Encoding"] is None
    names = [name.lower() for name, _ in answer.headers if name.lower() in ("set-cookie", "x-one")]
    assert names == ["set-cookie", "x-one", "set-cookie"]


@rule("HTTP: what is optional may be missing; headers may be any iterable of two-item iterables")
def _(one):
    assert (ask(one, "/defaults").status, ask(one, "/defaults").body) == (200, b"")
    answer = ask(one, "/iter")
    assert (answer["X-A"], answer["X-B"], answer.text) == ("v", "v", "array view")


@rule("HTTP: every piece is flushed before send() returns: nothing is delayed")
def _(one):
    with Client(one.port) as client:
        client.send(b"GET /steps HTTP/1.1\r\nHost: a\r\n\r\n")
        while client.line():
            pass
        for i in range(3):
            assert client.exactly(6) == b"1\r\n%d\r\n" % i and not client.rest
            ask(one, f"/set/step{i}")
        assert client.chunks() == b"end"


@rule("HTTP: behind the end further messages are ignored, and receive() says http.disconnect")
def _(one):
    assert ask(one, "/ignored").text == "once"
    wait_until("both", lambda: seen(one) == ["nothing", {"type": "http.disconnect"}] or None)


@rule("HTTP: receive() says http.disconnect when the client has gone; send() then raises an OSError, which is not logged")
def _(one):
    with Client(one.port) as client:
        client.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        ask(one, "/")  # behind it, so that it runs
        # Gone for good: an end alone may be a client that still reads.
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    found = []
    wait_until("the disconnect", lambda: found.extend(seen(one)) or len(found) == 2)
    assert found == ["http.disconnect", "ClientGone"]
    assert "ClientGone" not in one.cli("logs", "-n", "1000")


@rule("asgi: keys that are not known raise nothing")
def _(one):
    assert ask(one, "/extra").text == "extra keys"


@rule("HTTP: HEAD has no body, and its length")
def _(one):
    with Client(one.port) as client:
        answer = client.ask("/", "HEAD")
        assert answer.status == 200 and answer["Content-Length"] == "5"
        assert client.ask("/").text == "hello"


@rule("asgi: an app that raises before its answer gets 500, and its traceback the log")
def _(one):
    for path in ("/raise", "/nothing", "/half", "/exit"):
        assert ask(one, path).status == 500, path
    wait_until("the traceback", lambda: "raised on purpose" in one.cli("logs"))
    wait_until("the reason", lambda: "returned without a response" in one.cli("logs"))


@rule("asgi: an app that raises behind its answer's beginning ends the connection")
def _(one):
    with Client(one.port) as client:
        with pytest.raises(Broken):
            client.ask("/late")


@rule("HTTP: what does not fit Content-Length is an error, and never a wrong answer")
def _(one):
    assert ask(one, "/length?5,5").body == b"yyyyy"
    assert ask(one, "/length?5,6").status == 500
    assert ask(one, "/length?5,4").status == 500


@rule("asgi: the app may work on behind its answer")
def _(one):
    with Client(one.port) as client:
        assert client.ask("/background").text == "answered"
        assert client.ask("/set/background").text == "set"
    wait_until("its end", lambda: "worked on" in seen(one))


@rule("asgi: receive() and send() can be tasks, have limits and be cancelled; each request is a task")
def _(one):
    assert json.loads(ask(one, "/tasks").text) == ["http.request", 0, "yes", True, True]


@rule("asgi: each request has a context of its own; many run at once")
def _(one):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(ask, one, f"/context?{i}") for i in range(1, 21)]
        with Client(one.port) as client:
            client.ask("/set/go")
        assert [int(a.result().text) for a in answers] == list(range(1, 21))


@rule("asgi: a request's first step is a task's: cancelled, with limits, in a context of its own")
def _(one):
    for _ in range(3):
        assert json.loads(ask(one, "/step").text) == [0, ["cancelled", "timed out"], True, True, True, True]


@rule("Lifespan: scope[state] is a shallow copy of the lifespan's")
def _(one):
    first, mine = map(int, ask(one, "/state").text.split())
    assert ask(one, "/state").text == f"{first + 1} 1" and mine == 1


@rule("extension http.response.pathsend: a file is the body")
def _(one):
    assert ask(one, "/file").text == APP
    with Client(one.port) as client:
        answer = client.ask("/file", "HEAD")
        assert int(answer["Content-Length"]) == len(APP.encode())
        assert client.ask("/file?nosuch").status == 500


@pytest.mark.smoke
def test_rules(up):
    one = up()
    for text, check in RULES.items():
        try:
            check(one)
        except BaseException as e:
            e.args = (f"{text}\n{e.args[0] if e.args else ''}", *e.args[1:])
            raise


def test_wrong_messages(up):
    """asgi: an invalid message must raise out of send()."""
    one = up()
    expected = {
        "body first": "RuntimeError", "started twice": "RuntimeError", "no type": "ValueError",
        "unknown type": "ValueError", "not a dict": "TypeError", "no status": "TypeError",
        "status a str": "TypeError", "status 99": "ValueError", "status 101": "ValueError",
        "header a str": "TypeError", "header a line": "ValueError", "header a name": "ValueError",
        "header of three": "ValueError", "body a str": "TypeError", "a WebSocket's message": "ValueError",
        "trailers that were not offered": "ValueError",
    }
    with Client(one.port) as client:
        for what, error in expected.items():
            answer = client.ask("/wrong?" + what.replace(" ", "%20"))
            assert answer.status == 200 and answer.text.partition(":")[0] == error, (what, answer.text)


def test_lifespan(site):
    """Startup before the first request, shutdown at the end, once for each process; a restart has both."""
    one = site().up()
    pid = one.pid("worker")
    assert one.notes.read_text() == f"startup {pid}\n"
    one.cli("restart")
    other = wait_until("a new worker", lambda: one.pids("worker") != [pid] and one.pids("worker"))[-1]
    wait_until("the old one's end", lambda: f"shutdown {pid}" in one.notes.read_text())
    assert ask(one, "/pid").text == str(other)
    one.stop()
    assert one.notes.read_text().splitlines() == [f"startup {pid}", f"startup {other}", f"shutdown {pid}",
                                                  f"shutdown {other}"]


def test_lifespan_that_fails(site):
    """startup.failed: the start fails with its message."""
    one = site(env="LIFESPAN=fails")
    out = one.fails(1)
    assert "no database, on purpose" in out, out


def test_no_lifespan(site):
    """An app that raises for the lifespan is served without one, and its scopes have no state."""
    one = site(env="LIFESPAN=raises").up()
    assert ask(one, "/").text == "hello"
    assert ask(one, "/state").status == 500


def test_slow_reader_stops_the_app(up):
    """send() waits for a client that does not read; others are served meanwhile; nothing is held without bound."""
    one = up()
    with Client(one.port) as client:
        client.send(b"GET /big?300 HTTP/1.1\r\nHost: a\r\n\r\n")
        client.more()
        for _ in range(20):
            assert ask(one, "/").text == "hello"
        assert "big is out" not in seen(one)
        got = len(client.rest)
        while not client.rest.endswith(b"0\r\n\r\n"):
            client.rest = client.rest[-8:]
            kept = len(client.rest)
            client.more()
            got += len(client.rest) - kept
        assert got > 30000000
    wait_until("its end", lambda: "big is out" in seen(one))


def test_more_than_the_link_has_seats(up):
    """More requests at once than a link has near seats; what is more than Concurrency= waits, and comes to its turn."""
    one = up(conf="Concurrency=100\n")
    clients = [Client(one.port) for _ in range(120)]
    for i, client in enumerate(clients):
        client.send(b"GET /context?%d HTTP/1.1\r\nHost: a\r\n\r\n" % i)
    wait_until("a queue", lambda: queued(one) == 20)
    # All seats are taken by those that wait, so the word that frees them must come from elsewhere.
    clients[0].close()
    wait_until("the next", lambda: queued(one) == 20)
    for client in clients:
        client.close()


def queued(one):
    found = re.search(r'^stead_site_queue\S* (\d+)', one.cli("metrics"), re.M) or \
        re.search(r'^stead_\w*queued\w*\{[^}]*\} (\d+)', one.cli("metrics"), re.M)
    return int(found.group(1)) if found else None


def pss(pid):
    """Private memory in KB: of what is shared with others nothing counts."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_100_mb_both_ways(stead, app_folder, promise, kind):
    """100 MB up to the app and down from it, with flat memory: at most 2 MB more in all processes together."""
    wsgi = '''
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/len":
        total = 0
        for piece in iter(lambda: environ["wsgi.input"].read(65536), b""):
            total += len(piece)
        return [b"%d in" % total]
    return (b"x" * 100000 for _ in range(1000)) if environ["PATH_INFO"] == "/big" else [b"hello"]
'''
    files = {"asgi_app.py": APP, "stead.conf": CONF % 1} if kind == "asgi" else \
        {"app.py": wsgi, "stead.conf": "[Python]\nWsgi=app:app\nWorkers=1\n[Site]\nBodyMax=200M\n"}
    if kind == "asgi":
        files["stead.conf"] += "[Site]\nBodyMax=200M\n"
    one = stead(app_folder(files)).up()
    ours = [one.pid("gate"), one.pid("worker")]

    def memory():
        return sum(pss(pid) for pid in ours)

    def upload(mb, looked=lambda: None):
        with Client(one.port) as client:
            client.send(b"POST /len HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (mb * 1000000))
            for i in range(mb):
                client.send(b"u" * 1000000)
                looked()
            assert client.answer().text.startswith(f"{mb * 1000000} in")

    def download(mb, looked=lambda: None):
        with Client(one.port) as client:
            client.send(b"GET /big?%d HTTP/1.1\r\nHost: a\r\n\r\n" % (mb * 10))
            got = 0
            while got < mb * 1000000:
                client.more()
                got += len(client.rest)
                client.rest = b""
                if got // 1000000 % 10 == 0:
                    looked()
    for warm in range(2):
        upload(5)
        download(5 if kind == "asgi" else 100)
    before, most = memory(), []
    upload(100, lambda: most.append(memory()))
    up_kb = max(most) - before
    before, most = memory(), []
    download(100, lambda: most.append(memory()))
    down_kb = max(most) - before
    promise(f"100 MB to and from an app ({kind})", f"{up_kb} KB and {down_kb} KB more PSS")
    assert up_kb <= 2048 and down_kb <= 2048


def test_worker_dies(up):
    """What it ran gets 502 or is asked again; the next is served."""
    one = up()
    pid = one.pid("worker")
    assert ask(one, "/die", "POST", body=b"x").status == 502
    wait_until("another", lambda: one.pids("worker") and one.pid("worker") != pid)
    assert ask(one, "/").text == "hello"


def test_a_loop_that_hangs(up):
    """A blocked event loop: 504 for its request, the stack in the log, a new worker."""
    one = up(conf="[Site]\nRequestTimeoutSec=1\n")
    pid = one.pid("worker")
    assert ask(one, "/spin").status == 504
    wait_until("another", lambda: one.pids("worker") and one.pid("worker") != pid)
    assert ask(one, "/").text == "hello"
    assert "asgi_app.py" in one.cli("logs", "-n", "1000")


def test_task_factory(up):
    """Who makes the loop's tasks in his own way makes those of requests too."""
    assert ask(up(env="FACTORY=own"), "/task").text == "Own"


def test_callbacks_while_tasks_are_made(up):
    """call_soon() from inside a Task that is being made is the loop's, and answers come as ever."""
    one = up(env="CALLS=1")
    for i in range(1, 4):
        made, came, handles = json.loads(ask(one, "/calls").text)
        assert made == came >= 2 * i and handles


def test_many_requests_leave_the_loop_time(up):
    """However many requests wait, the loop's other work comes between them."""
    one = up()
    waiting = [socket.create_connection(("127.0.0.1", one.port), 30) for _ in range(101)]
    for i, s in enumerate(waiting):
        s.sendall(b"GET /%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % (b"among" if i else b"hold"))
        if not i:
            wait_until("it holds", lambda: given(one) == 1)
    wait_until("all are given", lambda: given(one) == 101)
    pathlib.Path(f"{one.notes}.go").touch()
    answers = [b"".join(iter(lambda s=s: s.recv(65536), b"")).rpartition(b"\r\n\r\n")[2] for s in waiting]
    ask(one, "/set/enough")
    assert answers[0] == b"held" and max(map(int, answers[1:])) <= 32


def given(one):
    """Requests that the worker has now."""
    return sum(int(line.split()[-1]) for line in one.cli("metrics").splitlines()
               if line.startswith("stead_site_worker_requests_active{"))


def test_uvloop_when_there(up):
    pytest.importorskip("uvloop")
    assert ask(up(), "/loop").text == "uvloop"


def test_hides_uvloop(up):
    """Without uvloop in the app's environment asyncio's own loop serves the same."""
    one = up(**{"uvloop.py": "raise ImportError('hidden by the test')\n"})
    assert ask(one, "/loop").text.startswith("asyncio")
    assert ask(one, "/echo", "POST", body=b"q" * 100000).body == b"q" * 100000


def test_a_gate_dies(up):
    """Another gate takes its place, and its link is watched by the loop."""
    one = up()
    one.kill_and_wait("gate")
    wait_until("an answer", lambda: try_ask(one))
    assert ask(one, "/echo", "POST", body=b"q" * 100000).body == b"q" * 100000


def try_ask(one):
    try:
        return ask(one, "/").text == "hello"
    except (Broken, OSError):
        return False


@pytest.mark.parametrize("text, says", [
    ("class app:\n    def __init__(self, scope): pass\n    async def __call__(self, receive, send): pass\n",
     "guarantee_single_callable"),
    ("def app(environ, start_response): return []\n", "Wsgi=old:app"),
    ("app = 3\n", "cannot be called"),
])
def test_no_asgi_3_app(stead, app_folder, text, says):
    out = stead(app_folder({"old.py": text, "stead.conf": "[Python]\nAsgi=old:app\n"})).fails(2)
    assert says in out and "stead.conf:2" in out, out
