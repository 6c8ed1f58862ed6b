"""What is large, slow or endless through a program of Node's: bodies of 100 MB both ways, a client that is slow, server-sent
events, an upgrade; and what it costs stead."""

import hashlib
import pathlib
import re
import shutil
import threading
import time

import pytest

from client import Client, ask
from program import wait_until
from wsclient import WebSocket

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(not NODE, reason="node is not installed")
MB = 1 << 20
SERVER = """
const http = require('http'), crypto = require('crypto');
const block = crypto.createHash('sha512').update('stead').digest();
const piece = Buffer.alloc(65536, block);
let written = 0, gone = 0, answers = 0;
const server = http.createServer((q, s) => {
  const url = new URL(q.url, 'http://x'), n = Number(url.searchParams.get('n'));
  if (url.pathname === '/up') {
    const hash = crypto.createHash('sha256');
    let bytes = 0;
    q.on('data', (d) => { bytes += d.length; hash.update(d); });
    q.on('end', () => s.end(`${bytes} ${hash.digest('hex')}`));
  } else if (url.pathname === '/down') {
    s.setHeader('Content-Type', 'application/octet-stream');
    if (url.searchParams.has('length')) s.setHeader('Content-Length', n);
    let left = n;
    written = 0;
    const more = () => {
      while (left > 0) {
        const p = left < piece.length ? piece.subarray(0, left) : piece;
        left -= p.length;
        written += p.length;
        if (!s.write(p)) return s.once('drain', more);
      }
      s.end();
    };
    s.on('close', () => { if (left > 0) gone++; });
    more();
  } else if (url.pathname === '/both') {
    q.pipe(s);
  } else if (url.pathname === '/events') {
    s.writeHead(200, {'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache'});
    s.flushHeaders();
    server.say = (text) => s.write(`data: ${text}\\n\\n`);
    s.on('close', () => gone++);
  } else if (url.pathname === '/say') {
    server.say(url.searchParams.get('text'));
    s.end('said');
  } else {
    s.end(JSON.stringify({written, gone}));
  }
});
// An echo, byte for byte, for whoever asks for the protocol "echo".
server.on('upgrade', (q, socket, head) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n');
  if (head.length) socket.write(head);
  socket.pipe(socket);
  socket.on('error', () => 0);
});
server.listen(process.env.LISTEN_FDS ? {fd: 3} : {port: process.env.PORT, host: '127.0.0.1'});
"""


@pytest.fixture
def node(stead, app_folder):
    def make(conf="", **options):
        return stead(app_folder({"server.js": SERVER, "package.json": '{"main": "server.js"}', "stead.conf": conf}), **options).up()
    return make


def block(n):
    piece = hashlib.sha512(b"stead").digest() * 1024
    return piece * (n // len(piece))


def pss(one):
    """KB of all that is stead's own."""
    total = 0
    for role in ("gate", "ctl", "log", "parent"):
        for pid in one.pids(role):
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
    return total


def upload(one, mb, chunked=False, looked=lambda: None):
    piece, hashed = block(MB), hashlib.sha256()
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {mb * MB}"
    with Client(one.port) as client:
        client.send(f"POST /up HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
        for _ in range(mb):
            client.send(b"%x\r\n%b\r\n" % (MB, piece) if chunked else piece)
            hashed.update(piece)
            looked()
        if chunked:
            client.send(b"0\r\n\r\n")
        assert client.answer().text == f"{mb * MB} {hashed.hexdigest()}"


def download(one, mb, looked=lambda: None):
    hashed, got = hashlib.sha256(), 0
    with Client(one.port) as client:
        client.send(f"GET /down?length&n={mb * MB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while b"\r\n\r\n" not in client.rest:
            client.more()
        client.rest = client.rest.split(b"\r\n\r\n", 1)[1]
        next_look = 0
        while True:
            hashed.update(client.rest)
            got += len(client.rest)
            client.rest = b""
            if got >= next_look:
                looked()
                next_look += 10 * MB
            if got >= mb * MB:
                break
            client.more()
    assert got == mb * MB and hashed.hexdigest() == hashlib.sha256(block(MB) * mb).hexdigest()


@pytest.mark.promise
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_100_mb_both_ways(node, promise, chunked):
    """Every byte arrives, and stead is not larger by it: at most 2 MB more."""
    one = node("[Site]\nBodyMax=200M\n[Route /up]\nBodyBuffer=no\n")
    for _ in range(2):
        upload(one, 4, chunked)
        download(one, 4)
    before, most = pss(one), []
    upload(one, 100, chunked, lambda: most.append(pss(one)) if len(most) % 10 == 0 else most.append(0))
    up_kb = max(most) - before
    before, most = pss(one), []
    download(one, 100, lambda: most.append(pss(one)))
    down_kb = max(most) - before
    promise(f"100 MB to and from Node ({'chunked' if chunked else 'length'})", f"{up_kb} KB and {down_kb} KB more PSS", up_kb <= 2048 and down_kb <= 2048)
    assert up_kb <= 2048 and down_kb <= 2048


def test_a_slow_reader_stops_the_program(node):
    """What the client does not take is not asked of Node either: neither stead nor Node holds the rest."""
    one = node()
    before = pss(one)
    with Client(one.port) as client:
        client.send(f"GET /down?n={100 * MB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        client.more()
        seen, still = -1, 0

        def stands():
            nonlocal seen, still
            now = int(re.search(r'"written":(\d+)', ask(one).text)[1])
            still, seen = (still + 1 if now == seen else 0), now
            return still >= 20
        wait_until("Node to stand still", stands)
        assert seen < 20 * MB, seen
        assert pss(one) - before <= 2048
        assert ask(one).status == 200
    wait_until("Node to hear of it", lambda: '"gone":1' in ask(one).text)


def test_events_arrive_one_by_one(node):
    """Each when it is written, compressed or not; and its end is known at both sides."""
    one = node()
    for times, encoding in enumerate(("identity", "gzip"), 1):
        with Client(one.port) as client:
            began = time.monotonic()
            client.send(f"GET /events HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {encoding}\r\n\r\n".encode())
            while b"\r\n\r\n" not in client.rest:
                client.more()
            assert b"text/event-stream" in client.rest
            for text in ("first", "second"):
                before = client.rest
                assert ask(one, f"/say?text={text}").text == "said"
                while client.rest == before or (encoding == "identity" and text.encode() not in client.rest):
                    client.more()
            assert encoding == "gzip" or client.rest.index(b"first") < client.rest.index(b"second")
            # An end right behind a request may be of one who still reads.
            wait_until("0.2 s to be over", lambda: time.monotonic() - began > 0.2)
        wait_until("Node to hear that it is gone", lambda: f'"gone":{times}' in ask(one).text)


def test_an_answer_while_the_request_comes(node):
    """Both directions at once: the answer's first bytes come before the request's last."""
    one = node("[Route /both]\nBodyBuffer=no\n")
    with Client(one.port) as client:
        client.send(b"POST /both HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        while b"hello" not in client.rest:
            client.more()
        client.send(b"6\r\n world\r\n0\r\n\r\n")
        while b" world" not in client.rest:
            client.more()


def test_an_upgrade(node):
    """Raw bytes both ways, much at once, and the other side's end."""
    one = node()
    data = block(4 * MB)
    with Client(one.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        while b"\r\n\r\n" not in client.rest:
            client.more()
        head, client.rest = client.rest.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 101 ")
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        assert client.exactly(len(data)) == data
        sender.join()
    wait_until("the tunnel's end", lambda: one.status()["sites"][0]["active"] == 0)


def test_an_upgrade_that_was_not_asked_for(node):
    """WebSocket is not the protocol that this program speaks: its 101 is no answer to that."""
    one = node()
    with WebSocket(one.port) as ws:
        assert not ws.opened and ws.shake.status == 502
