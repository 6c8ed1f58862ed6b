"""The reverse proxy between other people's programs: Node, gunicorn and nginx behind it; curl, wrk and nc before it."""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time

import pytest

import program
from gatebed import Answer, Gate, described, request
from program import free_port, wait_until
from proxybed import ask, description, get, rss
from test_root import rooted  # noqa: F401 - a fixture

HERE = pathlib.Path(__file__).resolve().parent
needs = {name: pytest.mark.skipif(not shutil.which(name), reason=f"no {name} here")
         for name in ("node", "nginx", "gunicorn", "curl", "wrk", "nc")}
NGINX = """worker_processes 1; daemon off; master_process off; pid DIR/pid; error_log DIR/error.log; events { }
http { access_log off; client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f;
uwsgi_temp_path DIR/u; scgi_temp_path DIR/s; keepalive_requests 1000000;
types { text/html html; text/plain txt; }
server { listen 127.0.0.1:PORT; root DIR/files; location /status { stub_status; } } }"""
WSGI = """
import os, signal, time
def app(environ, start):
    path = environ['PATH_INFO']
    if path == '/stream':
        start('200 OK', [('Content-Type', 'text/plain')])
        return [] if environ['REQUEST_METHOD'] == 'HEAD' else (b'%d\\n' % i for i in range(1000))
    if path == '/die':
        os.kill(os.getpid(), signal.SIGKILL)
    if path == '/raise':
        raise RuntimeError('on purpose')
    body = environ['wsgi.input'].read()
    start('200 OK', [('X-Len', str(len(body))), ('X-Pid', str(os.getpid()))])
    return [] if environ['REQUEST_METHOD'] == 'HEAD' else [
        '\\n'.join(f'{k}={environ[k]}' for k in sorted(environ) if k.startswith(('HTTP_', 'QUERY', 'PATH_', 'REQUEST_METHOD'))).encode()]
"""


class Process:
    """Somebody's server; ready when its port or socket takes connections."""

    def __init__(self, command, cwd, port=None, path=None, **options):
        self.process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        **options)
        self.port = port
        self.server = {"unix": str(path)} if path else {"address": f"127.0.0.1:{port}"}

        def there():
            assert self.process.poll() is None, f"{command[0]} ended"
            with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as s:
                return s.connect_ex(str(path) if path else ("127.0.0.1", port)) == 0
        wait_until(command[0], there)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)


@pytest.fixture
def start(tmp_path):
    made = []

    def make(command, **options):
        made.append(Process(command, tmp_path, **options))
        return made[-1]
    yield make
    for one in made:
        one.end()


@pytest.fixture
def node(start):
    def make(name="node", path=None, port=None, tls=()):
        at = path or port or free_port()
        return start(["node", str(HERE / "others_node.js"), str(at), name, *map(str, tls)],
                     **({"path": path} if path else {"port": at}))
    return make


@pytest.fixture
def nginx(start, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "index.html").write_text("<h1>nginx</h1>\n" * 100)
    (files / "a.txt").write_bytes(bytes(range(48, 58)) * 1000)
    port = free_port()
    (tmp_path / "conf").write_text(NGINX.replace("DIR", str(tmp_path)).replace("PORT", str(port)))
    tmp_path.chmod(0o755)
    return start(["nginx", "-c", str(tmp_path / "conf"), "-p", str(tmp_path)], port=port)


@pytest.fixture
def gunicorn(start, tmp_path):
    def make(path=None, *more):
        (tmp_path / "wsgiapp.py").write_text(WSGI)
        port = free_port()
        bind = f"unix:{path}" if path else f"127.0.0.1:{port}"
        return start(["gunicorn", "-b", bind, "--keep-alive", "30", "-k", "gthread", "--threads", "4", *more,
                      "wsgiapp:app"], **({"path": path} if path else {"port": port}))
    return make


@pytest.fixture
def gate():
    made = []

    def make(*servers, route=None, **upstream):
        made.append(Gate(described(description([s if isinstance(s, dict) else s.server for s in servers], route,
                                               **upstream))))
        return made[-1]
    yield make
    for one in made:
        assert one.end() == 0


def told(answer):
    """What Node's server read: its JSON and its fields as (name in lower case, value)."""
    got = json.loads(answer.body)
    raw = got["raw"]
    got["fields"] = [(raw[i].lower(), raw[i + 1]) for i in range(0, len(raw), 2)]
    return got


def curl(*arguments, **options):
    return subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30, **options)


# --- Node ---

@needs["node"]
def test_node_reads_clean_fields(gate, node):
    """Hop-by-hop fields stay here, the client's address goes along, nothing is there twice."""
    bed = gate(node())
    got = told(ask(bed, request("/p/a%2Fb?q=%20", host="shop.example:81", Connection="close, X-Hop", X_Hop="1",
                                Keep_Alive="timeout=5", TE="trailers", X_End="2", Proxy_Connection="keep-alive",
                                Cookie="a=b; c=d")))
    fields = dict(got["fields"])
    assert len(fields) == len(got["fields"])
    assert got["url"] == "/p/a%2Fb?q=%20" and fields["host"] == "shop.example:81"
    assert fields["x-end"] == "2" and fields["cookie"] == "a=b; c=d" and fields["x-forwarded-for"] == "127.0.0.1"
    assert fields["x-forwarded-proto"] == "http" and fields["x-forwarded-host"] == "shop.example:81"
    assert not {"x-hop", "keep-alive", "proxy-connection"} & set(fields)
    assert "for=127.0.0.1" in fields["forwarded"]
    assert fields.get("connection", "keep-alive").lower() in ("keep-alive", "te")


@needs["node"]
def test_node_keeps_its_connections(gate, node):
    bed = gate(node())
    ports = {told(get(bed))["port"] for _ in range(20)}
    assert len(ports) == 1 and bed.counters()["stead_backend_connects_total"] == 1
    assert get(bed, "/close").body == b"closing"
    assert told(get(bed))["port"] not in ports
    assert bed.counters()["stead_backend_connects_total"] == 2


@needs["node"]
def test_node_early_hints(gate, node):
    bed = gate(node())
    with bed.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(request("/early"))
        hints = Answer(reader)
        assert (hints.status, hints.fields["link"], hints.fields["x-early"]) == (
            103, "</style.css>; rel=preload; as=style", "yes")
        assert Answer(reader).body == b"late"


@needs["node"]
def test_node_trailers_both_ways(gate, node):
    bed = gate(node())
    with bed.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(request("/trailers", TE="trailers", Connection="TE"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += reader.readline()
        assert b"transfer-encoding: chunked" in head.lower()
        rest = b""
        while not rest.endswith(b"0\r\n"):
            rest += reader.readline()
        trailers = b""
        while (line := reader.readline()) != b"\r\n":
            trailers += line.lower()
        assert b"x-sum: 4\r\n" in trailers and b"x-kind: short\r\n" in trailers
        sock.sendall(request("/", "POST", Transfer_Encoding="chunked", Trailer="X-End")
                     + b"3\r\nabc\r\n0\r\nX-End: whole\r\n\r\n")
        got = told(Answer(reader))
        assert got["length"] == 3 and got["trailers"] in ({"x-end": "whole"}, {})


@needs["node"]
def test_node_chunked_bodies(gate, node):
    bed = gate(node(), route={"body_buffer": False})
    data = b"".join(bytes([i % 251]) * (i % 5000 + 1) for i in range(200))
    body, at = b"", 0
    for i in range(200):
        n = min(i * 37 % 4000 + 1, len(data) - at)
        if n:
            body += b"%x\r\n%s\r\n" % (n, data[at:at + n])
            at += n
    got = told(ask(bed, request("/", "POST", Transfer_Encoding="chunked") + body + b"0\r\n\r\n"))
    assert (got["length"], got["sha256"]) == (at, hashlib.sha256(data[:at]).hexdigest())


@needs["node"]
def test_node_buffered_body_is_whole_before_node_hears(gate, node):
    """With BodyBuffer=yes a slow client holds no connection to the backend; large ones go through a file."""
    bed = gate(node(), route={"body_buffer": True, "body_max": 1 << 28})
    size = 40 << 20
    with bed.connect() as sock:
        sock.sendall(request("/", "POST", Content_Length=str(size)))
        block, digest = os.urandom(1 << 20), hashlib.sha256()
        for i in range(40):
            if i == 20:
                assert bed.counters()["stead_backend_connects_total"] == 0
            sock.sendall(block)
            digest.update(block)
        got = told(Answer(sock.makefile("rb")))
    assert (got["length"], got["sha256"]) == (size, digest.hexdigest())
    assert rss(bed.pid) < 30 << 20


@needs["node"]
def test_node_expect_continue(gate, node):
    bed = gate(node(), route={"body_buffer": False})
    with bed.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(request("/", "PUT", Content_Length="5", Expect="100-continue"))
        assert Answer(reader).status == 100
        sock.sendall(b"hello")
        got = told(Answer(reader))
        assert (got["method"], got["length"]) == ("PUT", 5)


@needs["node"]
def test_node_websocket(gate, node):
    bed = gate(node())
    key = base64.b64encode(os.urandom(16)).decode()
    want = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    socks = []
    for _ in range(20):
        sock = bed.connect()
        reader = sock.makefile("rb")
        sock.sendall(request("/chat", Connection="keep-alive, Upgrade", Upgrade="websocket", Sec_WebSocket_Key=key,
                             Sec_WebSocket_Version="13"))
        got = Answer(reader)
        assert got.status == 101 and got.fields["sec-websocket-accept"] == want
        socks.append((sock, reader))
    mask = b"mask"
    for text in (b"one", b"x" * 125, b"three"):
        for sock, reader in socks:
            sock.sendall(bytes([0x81, 0x80 | len(text)]) + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(text)))
            assert reader.read(2 + len(text)) == bytes([0x81, len(text)]) + text
    for sock, _ in socks:
        sock.close()


@needs["node"]
def test_node_another_upgrade(gate, node):
    bed = gate(node())
    with bed.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(request("/", Connection="Upgrade", Upgrade="shout/1"))
        got = Answer(reader)
        assert got.status == 101 and got.fields["upgrade"] == "shout/1"
        sock.sendall(b"abc")
        assert reader.read(3) == b"ABC"
        sock.shutdown(socket.SHUT_WR)
        assert reader.read() == b"bye"


@needs["node"]
def test_node_events_are_never_delayed(gate, node):
    bed = gate(node())
    with bed.connect() as sock:
        sock.sendall(request("/events", Accept="text/event-stream", Accept_Encoding="gzip, br, zstd"))
        seen = b""
        for n in range(10):
            want = b"data: %d\n\n" % n
            limit = time.monotonic() + 5
            while want not in seen:
                sock.settimeout(max(limit - time.monotonic(), 0.01))
                seen += sock.recv(4096)
            began = time.monotonic()
            assert get(bed, f"/next?n={n + 1}").body == b"told 1"
            assert time.monotonic() - began < 4
        assert b"text/event-stream" in seen and b"ontent-encoding" not in seen.lower()


@needs["node"]
def test_node_cut_and_hanging(gate, node):
    """An answer that ends early is cut for the client too; one that never comes is 504; a client that goes is noticed."""
    bed = gate(node(), timeout_ms=400, retry=0)
    with bed.connect() as sock:
        sock.sendall(request("/cut"))
        data = b""
        try:
            while more := sock.recv(4096):
                data += more
        except ConnectionResetError:
            pass
        assert b"ontent-length: 100" in data.lower() and data.endswith(b"short")
    assert get(bed, "/hang").status == 504
    assert [r["close"] for r in bed.records(2)] == ["up_closed", "up_timeout"]
    assert told(get(bed))["name"] == "node"


@needs["node"]
def test_node_killed_goes_elsewhere(gate, node):
    """Idempotent requests never fail while one of two servers is killed and started again; its share comes back."""
    first = node("first")
    bed = gate(first, node("second"), retry=2)
    assert {told(get(bed))["name"] for _ in range(4)} == {"first", "second"}
    first.process.kill()
    first.process.wait()
    assert {told(get(bed))["name"] for _ in range(20)} == {"second"}
    node("again", port=first.port)
    wait_until("its share", lambda: told(get(bed))["name"] == "again")


@needs["node"]
def test_node_weights_sticky_and_least(gate, node):
    a, b = node("a"), node("b")
    bed = gate({**a.server, "weight": 3}, {**b.server, "weight": 1})
    names = [told(get(bed))["name"] for _ in range(40)]
    assert (names.count("a"), names.count("b")) == (30, 10)
    bed.snap(description([a.server, b.server], sticky="where"))
    first = get(bed)
    cookie = first.fields["set-cookie"].split(";")[0]
    assert {told(get(bed, Cookie=cookie))["name"] for _ in range(10)} == {told(first)["name"]}
    bed.snap(description([a.server, b.server], balance="least"))
    held = []
    for _ in range(4):
        sock = bed.connect()
        sock.sendall(request("/hang"))
        held.append(sock)
    wait_until("four to hang", lambda: bed.counters()["stead_requests_active"] >= 4)
    counts = [int(subprocess.run(["curl", "-s", f"http://127.0.0.1:{s.port}/seen"], stdout=subprocess.PIPE,
                                 check=True).stdout) for s in (a, b)]
    assert counts == [2, 2]
    for sock in held:
        sock.close()


@needs["node"]
def test_node_over_tls(gate, node, tmp_path, monkeypatch):
    """Encrypted both ways; a certificate that nobody known signed is refused when it is verified."""
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    key, cert = tmp_path / "key", tmp_path / "cert"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-keyout", key, "-out", cert, "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)
    server = node(tls=(key, cert))
    bed = gate(server, tls=True)
    assert told(get(bed))["name"] == "node"
    got = told(ask(bed, request("/", "POST", Content_Length="300000") + b"t" * 300000))
    assert got["length"] == 300000
    assert get(bed, "/big?n=3000000").body == b"n" * 3000000
    strict = gate(server, tls=True, tls_verify=True, retry=0)
    assert get(strict).status == 502
    assert strict.records(1)[0]["close"] == "up_tls"


@needs["node"]
def test_node_on_a_unix_socket(gate, node, tmp_path):
    bed = gate(node(path=tmp_path / "node.sock"))
    assert told(get(bed, "/over"))["url"] == "/over"
    assert get(bed, "/big?n=2000000").body == b"n" * 2000000


# --- nginx ---

@needs["nginx"]
def test_nginx_static_conditions_and_ranges(gate, nginx):
    bed = gate(nginx)
    whole = get(bed, "/a.txt")
    assert whole.status == 200 and len(whole.body) == 10000
    etag, modified = whole.fields["etag"], whole.fields["last-modified"]
    for fields in ({"If_None_Match": etag}, {"If_Modified_Since": modified}):
        got = get(bed, "/a.txt", **fields)
        assert (got.status, got.body, got.fields["etag"]) == (304, b"", etag)
    got = get(bed, "/a.txt", Range="bytes=10-19")
    assert (got.status, got.body, got.fields["content-range"]) == (206, b"0123456789", "bytes 10-19/10000")
    got = get(bed, "/a.txt", Range="bytes=-5", If_Range=etag)
    assert (got.status, got.body) == (206, b"56789")
    assert get(bed, "/a.txt", Range="bytes=0-1", If_Range='"other"').status == 200
    got = get(bed, "/a.txt", Range="bytes=20000-")
    assert (got.status, got.fields["content-range"]) == (416, "bytes */10000")
    parts = get(bed, "/a.txt", Range="bytes=0-1,10-11")
    assert parts.status == 206 and parts.fields["content-type"].startswith("multipart/byteranges")
    head = get(bed, "/a.txt", "HEAD")
    assert (head.status, head.fields["content-length"], head.body) == (200, "10000", b"")
    assert get(bed, "/none").status == 404
    assert bed.counters()["stead_backend_connects_total"] == 1


@needs["nginx"]
@needs["wrk"]
def test_wrk_through_to_nginx(gate, nginx):
    """64 connections at full speed: no error, and no more backend connections than clients."""
    bed = gate(nginx, keep_alive=64)
    got = subprocess.run(["wrk", "-t1", "-c64", "-d2", f"http://127.0.0.1:{bed.port}/index.html"],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, check=True).stdout
    assert "Non-2xx" not in got and "Socket errors" not in got, got
    count = bed.counters()
    assert count["stead_requests_total"] > 1000 and count["stead_backend_connects_total"] <= 64
    assert count["stead_backend_faults_total"] == 0


# --- gunicorn ---

@needs["gunicorn"]
def test_gunicorn_bodies_and_streams(gate, gunicorn):
    bed = gate(gunicorn())
    got = ask(bed, request("/x?y=1", "POST", Content_Length="100000", X_A="b") + b"x" * 100000)
    assert got.fields["x-len"] == "100000"
    lines = got.body.decode().split("\n")
    assert {"HTTP_X_A=b", "QUERY_STRING=y=1", "PATH_INFO=/x", "REQUEST_METHOD=POST"} <= set(lines)
    chunks = b"".join(b"%x\r\n%s\r\n" % (n, b"c" * n) for n in (1, 10, 1000, 30000)) + b"0\r\n\r\n"
    assert ask(bed, request("/", "POST", Transfer_Encoding="chunked") + chunks).fields["x-len"] == "31011"
    assert get(bed, "/stream").body == b"".join(b"%d\n" % i for i in range(1000))
    head = get(bed, "/stream", "HEAD")
    assert head.status == 200 and head.body == b""
    assert get(bed, "/raise").status == 500


@needs["gunicorn"]
def test_gunicorn_worker_killed(gate, gunicorn):
    """The request that killed its worker fails, and only it; what is not idempotent is not repeated."""
    bed = gate(gunicorn(None, "-w", "2"), retry=1)
    assert ask(bed, request("/die", "POST", Content_Length="0"), "POST").status == 502
    for _ in range(20):
        assert get(bed).status == 200


@needs["gunicorn"]
def test_gunicorn_on_a_unix_socket(gate, gunicorn, tmp_path):
    bed = gate(gunicorn(tmp_path / "g.sock"))
    assert [get(bed).status for _ in range(5)] == [200] * 5


# --- clients ---

@needs["curl"]
@needs["node"]
def test_curl(gate, node, tmp_path):
    bed = gate(node(), route={"body_max": 1 << 28})
    url = f"http://127.0.0.1:{bed.port}"
    file = tmp_path / "up"
    file.write_bytes(os.urandom(3 << 20))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    for more in ((), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue"), ("-H", "Expect:"),
                 ("-0",)):
        got = curl("-T", str(file), *more, f"{url}/up")
        assert got.returncode == 0 and json.loads(got.stdout)["sha256"] == digest, more
    assert curl("-0", f"{url}/big?n=100000").stdout == b"n" * 100000
    got = curl("-w", "%{num_connects} ", *(["-o", "/dev/null", f"{url}/"] * 5))
    assert got.stdout == b"1 0 0 0 0 "
    assert curl("-X", "OPTIONS", f"{url}/").returncode == 0
    got = curl("-I", f"{url}/")
    assert got.stdout.startswith(b"HTTP/1.1 200")
    slow = curl("--limit-rate", "2M", f"{url}/big?n=3000000")
    assert slow.stdout == b"n" * 3000000
    got = curl("-D", "-", f"{url}/early")
    assert got.stdout.startswith(b"HTTP/1.1 103 ") and b"late" in got.stdout


@needs["nc"]
@needs["node"]
def test_netcat(gate, node):
    """A client that speaks HTTP/1.0, ends its side at once and reads to the end; and two requests in one packet."""
    bed = gate(node())
    got = subprocess.run(["nc", "-N", "127.0.0.1", str(bed.port)], input=b"GET /old HTTP/1.0\r\nHost: a\r\n\r\n",
                         stdout=subprocess.PIPE, timeout=20, check=True).stdout
    assert got.startswith(b"HTTP/1.1 200") and b'"/old"' in got and b"chunked" not in got.lower()
    two = request("/one") + request("/two", Connection="close")
    got = subprocess.run(["nc", "-N", "127.0.0.1", str(bed.port)], input=two, stdout=subprocess.PIPE, timeout=20,
                         check=True).stdout
    assert got.count(b"HTTP/1.1 200") == 2 and got.index(b'"/one"') < got.index(b'"/two"')


# --- reloads and failures around them ---

@needs["node"]
def test_the_queue_waits_for_node(gate, node):
    """With no server there, requests wait for QueueTimeoutSec=, and are answered when it comes."""
    port, got = free_port(), []
    bed = gate({"address": f"127.0.0.1:{port}"}, retry=0, fail_max=1, queue_timeout_ms=8000)
    assert get(bed).status == 502
    threads = [threading.Thread(target=lambda: got.append(get(bed).status)) for _ in range(4)]
    for t in threads:
        t.start()
    node(port=port)
    for t in threads:
        t.join()
    assert got == [200] * 4


def socket_conf(path):
    return f"[Server]\nGates=1\n[Site]\nRoot=public\n[Route /api]\nTo=back\n[Upstream back]\nServer=unix:{path}\n"


def try_socket(one, event):
    """A request that the socket refuses: 502, and the log says what to do."""
    got = curl("-o", "/dev/null", "-w", "%{http_code}", f"{one.url}/api")
    assert got.stdout == b"502"
    found = wait_until(event, lambda: [r for r in one.logs() if r.get("event") == event])
    assert len(found) == 1
    return found[0]


@needs["gunicorn"]
@pytest.mark.root
def test_a_socket_that_the_gate_may_not_write(stead, app_folder, gunicorn, tmp_path):
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.geteuid() and str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    path = tmp_path / "own.sock"
    gunicorn(path)
    path.chmod(0o600)
    one = stead(app_folder({"public/index.html": "x", "stead.conf": socket_conf(path)})).up()
    told_event = try_socket(one, "BACKEND_SOCKET")
    assert told_event["error"] == "Permission denied" and told_event["path"] == str(path)
    assert "chmod 666" in told_event["todo"]
    path.chmod(0o666)

    def good():
        return curl("-o", "/dev/null", "-w", "%{http_code}", f"{one.url}/api").stdout == b"200"
    wait_until("it to work", good)


@needs["gunicorn"]
@pytest.mark.root
def test_sockets_of_backends_as_root(rooted, app_folder, gunicorn, tmp_path):  # noqa: F811
    """As root a gate sees /run/stead/backends and no other folder of sockets."""
    elsewhere = tmp_path / "hidden.sock"
    folder = pathlib.Path("/run/stead/backends/stead-test")
    folder.mkdir(mode=0o755, parents=True)
    try:
        seen = folder / "app.sock"
        gunicorn(seen)
        seen.chmod(0o600)
        one = rooted(app_folder({"public/index.html": "x", "stead.conf": socket_conf(seen)})).up()
        assert try_socket(one, "BACKEND_SOCKET")["error"] == "Permission denied"
        seen.chmod(0o666)

        def good():
            return curl("-o", "/dev/null", "-w", "%{http_code}", f"{one.url}/api").stdout == b"200"
        wait_until("it to work", good)
        (one.folder / "stead.conf").write_text(socket_conf(elsewhere))
        out = one.cli("reload", code=2)
        assert f"{elsewhere} cannot be reached when stead runs as root" in out and "RuntimeDirectory=" in out
        assert good()
    finally:
        shutil.rmtree(folder)
