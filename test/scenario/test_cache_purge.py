"""Cache= and `stead cache purge` on the whole program: what is kept outlives a gate, and is forgotten when asked."""

import http.client
import http.server
import json
import threading

import pytest

FILES = {"public/index.html": "home"}


class Counting(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked += 1
        body = str(self.server.asked).encode()
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=600")
        self.send_header("Cache-Tag", "news, " + self.path.strip("/"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def origin():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    server.asked = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def get(site, path):
    conn = http.client.HTTPConnection("127.0.0.1", site.port, timeout=5)
    try:
        conn.request("GET", path)
        return conn.getresponse().read()
    finally:
        conn.close()


@pytest.mark.parametrize("disk", [False, True])
def test_purge(app_folder, stead, origin, disk):
    more = "CacheDisk=4M\n" if disk else ""
    folder = app_folder({**FILES, "stead.conf": f"[Site]\nRoot=public\nCache=4M\n{more}"
                         f"[Route /r]\nTo=http://127.0.0.1:{origin.server_port}\n"})
    site = stead(folder)
    site.up()
    assert [get(site, "/r/a"), get(site, "/r/b"), get(site, "/r/a")] == [b"1", b"2", b"1"]
    site.kill_and_wait("gate")
    assert get(site, "/r/a") == b"1"
    told = site.cli("cache", "purge", "/r/a")
    assert "1 forgotten" in str(getattr(told, "stdout", told))
    assert [get(site, "/r/a"), get(site, "/r/b")] == [b"3", b"2"]
    site.cli("cache", "purge", f"http://127.0.0.1:{site.port}/r/b")
    assert [get(site, "/r/a"), get(site, "/r/b")] == [b"3", b"4"]
    told = site.cli("cache", "purge", "--tag", "news", "--json")
    assert json.loads(getattr(told, "stdout", told))["purged"] == 2
    assert get(site, "/r/a") == b"5"
    site.cli("cache", "drop", "/r/a", code=2)
    site.cli("cache", "purge", "nosuch", "/r/a", code=4)
