"""Other people's servers as backends: Node (keep-alive, WebSocket handshake, chunked), nginx, gunicorn."""

import base64
import hashlib
import shutil
import socket
import subprocess
import time

import pytest

from gatebed import Answer, Gate, described, request
from proxybed import ask, description, get

NODE = r"""
const http = require('http'), crypto = require('crypto');
const s = http.createServer((q, r) => {
  let n = 0;
  q.on('data', d => n += d.length).on('end', () => {
    r.writeHead(200, {'X-Len': n, 'X-Host': q.headers.host}); r.write('a'); r.end('b'); });
});
s.on('upgrade', (q, sock) => {
  const key = crypto.createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  sock.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + key + '\r\n\r\n');
  sock.on('data', d => { const n = d[1] & 127, m = d.subarray(2, 6), p = Buffer.from(d.subarray(6, 6 + n).map((c, i) => c ^ m[i % 4]));
    sock.write(Buffer.concat([Buffer.from([0x81, n]), p])); });
  sock.on('error', () => {});
});
s.listen(PORT, '127.0.0.1');
"""
NGINX = """worker_processes 1; daemon off; master_process off; pid DIR/pid; error_log DIR/error.log; events { }
http { access_log off; client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u;
scgi_temp_path DIR/s; server { listen 127.0.0.1:PORT; location / { return 200 "nginx $host $request_uri"; } } }"""
WSGI = """
def app(environ, start):
    body = environ['wsgi.input'].read()
    start('200 OK', [('X-Len', str(len(body))), ('X-Proto', environ['wsgi.url_scheme'])])
    return [b'gunicorn']
"""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def serve(tmp_path):
    made = []

    def start(command):
        port = free_port()
        process = subprocess.Popen(command(port), cwd=tmp_path, stderr=subprocess.DEVNULL)
        made.append(process)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.02)
        gate = Gate(described(description([{"address": f"127.0.0.1:{port}"}])))
        made.append(gate)
        return gate
    yield start
    for it in reversed(made):
        if isinstance(it, Gate):
            assert it.end() == 0
        else:
            it.terminate()
            it.wait(10)


def frame(text):
    mask = b"mask"
    return bytes([0x81, 0x80 | len(text)]) + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(text))


@pytest.mark.skipif(not shutil.which("node"), reason="no Node here")
def test_node(serve):
    gate = serve(lambda port: ["node", "-e", NODE.replace("PORT", str(port))])
    for _ in range(3):
        got = get(gate)
        assert got.body == b"ab" and got.fields["x-host"] == "localhost"
    chunked = request("/", "POST", Transfer_Encoding="chunked") + b"5\r\nhello\r\n0\r\n\r\n"
    assert ask(gate, chunked).fields["x-len"] == "5"
    key = base64.b64encode(b"0123456789abcdef").decode()
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(request("/chat", Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Key=key, Sec_WebSocket_Version="13"))
        got = Answer(reader)
        want = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        assert got.status == 101 and got.fields["sec-websocket-accept"] == base64.b64encode(want).decode()
        for text in (b"one", b"two", b"three"):
            sock.sendall(frame(text))
            assert reader.read(2 + len(text)) == bytes([0x81, len(text)]) + text


@pytest.mark.skipif(not shutil.which("nginx"), reason="no nginx here")
def test_nginx(serve, tmp_path):
    def command(port):
        (tmp_path / "conf").write_text(NGINX.replace("DIR", str(tmp_path)).replace("PORT", str(port)))
        return ["nginx", "-c", str(tmp_path / "conf"), "-p", str(tmp_path)]
    gate = serve(command)
    for _ in range(5):
        assert get(gate, "/x?y=%20").body == b"nginx localhost /x?y=%20"
    assert gate.counters()["stead_backend_connects_total"] == 1


@pytest.mark.skipif(not shutil.which("gunicorn"), reason="no gunicorn here")
def test_gunicorn(serve, tmp_path):
    (tmp_path / "site.py").unlink(missing_ok=True)
    (tmp_path / "wsgiapp.py").write_text(WSGI)
    gate = serve(lambda port: ["gunicorn", "-b", f"127.0.0.1:{port}", "wsgiapp:app"])
    assert get(gate).body == b"gunicorn"
    got = ask(gate, request("/", "POST", Content_Length="100000") + b"x" * 100000)
    assert got.fields["x-len"] == "100000"
