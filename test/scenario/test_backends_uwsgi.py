"""An existing uWSGI behind the gate, unchanged: the uwsgi protocol over TCP and over a Unix socket."""

import json
import os
import shutil
import signal

import pytest

from gatebed import Answer, Gate, described, request
from program import free_port, wait_until
from proxybed import ask, description, get
from test_backends_others import Process

PLUGIN = "/usr/lib/uwsgi/plugins/python3_plugin.so"
pytestmark = pytest.mark.skipif(not (shutil.which("uwsgi") and os.path.exists(PLUGIN)),
                                reason="no uWSGI with its Python here")
APP = """
import json, os, signal
def application(environ, start):
    path = environ['PATH_INFO']
    if path == '/stream':
        start('200 OK', [('Content-Type', 'text/plain')])
        return (b'%d\\n' % i for i in range(20000))
    if path == '/die':
        os.kill(os.getpid(), signal.SIGKILL)
    if path == '/gone':
        start('404 Not Found', [('X-Two', '1')])
        return [b'not here']
    body = environ['wsgi.input'].read()
    start('200 OK', [('Content-Type', 'application/json'), ('X-Pid', str(os.getpid()))])
    told = {k: v for k, v in environ.items() if isinstance(v, str)}
    return [] if environ['REQUEST_METHOD'] == 'HEAD' else [json.dumps([told, len(body), sum(body)]).encode()]
"""


@pytest.fixture(params=["tcp", "unix"])
def uwsgi(request, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    where = {"port": free_port()} if request.param == "tcp" else {"path": tmp_path / "s"}
    at = f"127.0.0.1:{where['port']}" if request.param == "tcp" else str(where["path"])
    process = Process(["uwsgi", "--plugin", "python3", "--uwsgi-socket", at, "--master", "--processes", "2",
                       "--module", "app:application", "--buffer-size", "65535", "--need-app"], tmp_path, start_new_session=True, **where)
    made = []

    def gate(head_max=32768, **upstream):
        what = description([process.server], protocol="uwsgi", **upstream)
        what["sites"][0]["head_max"] = head_max
        made.append(Gate(described(what)))
        return made[-1]
    yield gate
    for one in made:
        assert one.end() == 0
    os.killpg(process.process.pid, signal.SIGKILL)  # its master does not always hear SIGTERM when just begun
    process.process.wait(10)


def told(answer):
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_variables(uwsgi):
    gate = uwsgi()
    env, length, _ = told(ask(gate, b"GET /a%20b/c;d?e=f%20g&h HTTP/1.1\r\nHost: Localhost:81\r\nX-Two: 1\r\nX-Two: 2\r\n"
                                    b"Cookie: a=1\r\nCookie: b=2\r\nX_Real: forged\r\nX-Real: true\r\nProxy: http://evil\r\n"
                                    b"Content-Type: text/x\r\n\r\n"))
    assert length == 0
    assert env["REQUEST_METHOD"] == "GET" and env["SCRIPT_NAME"] == "" and env["PATH_INFO"] == "/a b/c;d"
    assert env["REQUEST_URI"] == "/a%20b/c;d?e=f%20g&h" and env["QUERY_STRING"] == "e=f%20g&h"
    assert env["SERVER_NAME"].lower() == "localhost" and env["SERVER_PORT"] == "81" and env["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert env["REMOTE_ADDR"] == "127.0.0.1" and env["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert env["HTTP_X_TWO"] == "1, 2" and env["HTTP_COOKIE"] == "a=1; b=2" and env["HTTP_X_REAL"] == "true"
    assert "HTTP_PROXY" not in env and "HTTPS" not in env and env["CONTENT_TYPE"] == "text/x"
    assert env["HTTP_HOST"].lower() == "localhost:81" and env["wsgi.url_scheme"] == "http"


def test_bodies(uwsgi):
    """Of a known length, in chunks (their length is told), and none; larger than any buffer of memory."""
    gate = uwsgi()
    data = bytes(i % 251 for i in range(3_000_000))
    env, length, total = told(ask(gate, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n" + data))
    assert (env["CONTENT_LENGTH"], length, total) == ("3000000", 3000000, sum(data))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (data[i:i + 70000] for i in range(0, 700000, 70000)))
    env, length, total = told(ask(gate, b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" +
                                  chunks + b"0\r\n\r\n"))
    assert (env["CONTENT_LENGTH"], length, total) == ("700000", 700000, sum(data[:700000]))
    env, length, _ = told(ask(gate, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"))
    assert (env["CONTENT_LENGTH"], length) == ("0", 0)


def test_answers(uwsgi):
    """Without a length until the end; other statuses, HEAD; one client connection for all."""
    gate = uwsgi()
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        for _ in range(3):
            sock.sendall(request("/stream"))
            assert Answer(reader).body == b"".join(b"%d\n" % i for i in range(20000))
            sock.sendall(request("/gone"))
            got = Answer(reader)
            assert (got.status, got.body) == (404, b"not here")
            sock.sendall(request("/", "HEAD"))
            assert (got := Answer(reader, "HEAD")).status == 200 and got.body == b""


def test_a_worker_dies(uwsgi):
    """502 for the one, not repeated; the next are served by the worker that uWSGI starts anew."""
    gate = uwsgi()
    assert get(gate, "/die", "POST").status == 502
    wait_until("service", lambda: get(gate).status == 200)


def test_too_many_variables(uwsgi):
    """A packet's variables have 16 bits of length: more is told to the client, never cut."""
    gate = uwsgi(head_max=131072)
    assert get(gate, **{f"X-A{i}": "v" * 1000 for i in range(60)}).status == 200
    assert get(gate, **{f"X-A{i}": "v" * 1000 for i in range(70)}).status == 431
    assert get(gate, **{"X-" + "a" * 249: "v"}).status == 200
    assert get(gate, **{"X-" + "a" * 250: "v"}).status == 431


def test_health_is_asked_in_uwsgi(uwsgi):
    gate = uwsgi(check="/", check_ms=200)
    wait_until("probes", lambda: get(gate).status == 200)
    assert told(get(gate))[0]["PATH_INFO"] == "/"
