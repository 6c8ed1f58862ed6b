"""stead.conf's routes, upstreams, redirects, edits and passwords, on the whole program."""

import base64
import crypt
import http.client
import http.server
import json
import threading

import pytest

from program import wait_until

FILES = {"public/index.html": "home", "public/a.txt": "a", "public/spa.html": "spa", "public/404.html": "own 404",
         "public/closed.html": "closed for today", "docs/index.html": "docs", "other/f": "other"}


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"path": self.path, "fields": {name.title(): value for name, value in self.headers.items()}, "port": self.server.server_port}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def backend():
    made = []

    def make():
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.append(server)
        return server.server_port
    yield make
    for server in made:
        server.shutdown()
        server.server_close()


def conf(first, second):
    return f"""[Site]
Domain=shop.example
Alias=www.shop.example
Root=public
TryFiles=$uri $uri/ /spa.html
ErrorPage=403 /404.html
Header=set X-Frame-Options DENY
Redirect=301 /old/* /new/*
TrustedProxies=127.0.0.0/8 192.0.2.0/24 cloudflare
Redirect=302 ~^/user/([a-z]+)$ /u?name=$1
[Route /docs]
Root=docs
TryFiles=
[Route /api]
To=back
StripPrefix=yes
Header=request set X-From $host
[Route /one]
To=http://127.0.0.1:{first}
[Route /closed]
BasicAuth=users
[Route /nobody]
Deny=0.0.0.0/0 ::/0
[Route ~^/re[0-9]+$]
Root=other
Rewrite=.* /f
TryFiles=
[Route /sticky]
To=kept
[Upstream kept]
Server=http://127.0.0.1:{first}
Server=http://127.0.0.1:{second}
Sticky=who
[Upstream back]
Server=http://127.0.0.1:{first} weight=1
Server=127.0.0.1:{second} weight=1
"""


@pytest.fixture
def site(stead, app_folder, backend):
    ports = backend(), backend()
    users = f"# who may enter\nann:{crypt.crypt('secret', crypt.mksalt(crypt.METHOD_SHA512))}\n"
    one = stead(app_folder({**FILES, "stead.conf": conf(*ports), "users": users}))
    one.ports = ports
    return one.up()


def get(site, path, host="shop.example", **fields):
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.request("GET", path, headers={"Host": host, **fields})
    answer = connection.getresponse()
    answer.body = answer.read()
    connection.close()
    return answer


def test_a_site_without_an_app(site):
    for path, body in (("/", "home"), ("/a.txt", "a"), ("/deep/link", "spa"), ("/docs/", "docs")):
        answer = get(site, path)
        assert (answer.status, answer.body.decode()) == (200, body)
    assert get(site, "/").headers["X-Frame-Options"] == "DENY"
    assert get(site, "/docs/none").status == 404
    assert get(site, "/re7").body == b"other"


def test_redirects_and_aliases(site):
    for path, host, status, to in (
            ("/old/a?b=c", "shop.example", 301, "/new/a?b=c"),
            ("/user/ann", "shop.example", 302, "/u?name=ann"),
            ("/x?y", "www.shop.example", 308, "http://shop.example/x?y")):
        answer = get(site, path, host)
        assert (answer.status, answer.headers["Location"]) == (status, to)


def test_upstreams(site):
    seen = [json.loads(get(site, f"/api/items/{i}?q=1").body) for i in range(10)]
    assert {one["port"] for one in seen} == set(site.ports)
    assert seen[3]["path"] == "/items/3?q=1"
    assert seen[0]["fields"]["X-From"] == "shop.example"
    assert seen[0]["fields"]["Host"] == "shop.example"
    assert seen[0]["fields"]["X-Forwarded-For"] == "127.0.0.1"
    assert json.loads(get(site, "/one/x").body)["path"] == "/one/x"


def test_a_client_stays_at_its_server(site):
    first = get(site, "/sticky")
    cookie = first.getheader("Set-Cookie").split(";")[0]
    assert cookie.startswith("who=") and str(site.ports[0]) not in cookie
    ports = {json.loads(get(site, "/sticky", Cookie=cookie).body)["port"] for _ in range(8)}
    assert ports == {json.loads(first.body)["port"]}
    site.cli("reload")
    assert json.loads(get(site, "/sticky", Cookie=cookie).body)["port"] in ports


def test_passwords(site):
    assert get(site, "/closed/").status == 401
    good = "Basic " + base64.b64encode(b"ann:secret").decode()
    assert get(site, "/closed/", Authorization=good).status == 200
    shown = site.cli("check", str(site.folder), state=False)
    assert "BasicAuthUser=ann:(hidden)" in shown and "$6$" not in shown
    assert "$6$" not in site.cli("check", str(site.folder), "--json", state=False)
    assert any(p["role"] == "auth" for p in site.status()["processes"])


@pytest.mark.parametrize("given,client", [
    ("203.0.113.7", "203.0.113.7"), ("1.1.1.1, 203.0.113.7", "203.0.113.7"), ("203.0.113.7, 192.0.2.9", "203.0.113.7"),
    ("203.0.113.7, 104.16.1.1", "203.0.113.7"), ("203.0.113.7:1234", "203.0.113.7"),
    ("[2001:db8::1]:443", "2001:db8::1"), ("6.6.6.6, unknown, 192.0.2.1", "192.0.2.1"), ("unknown", "127.0.0.1"),
    ("192.0.2.1", "192.0.2.1"), ("", "127.0.0.1")])
def test_the_client_behind_a_trusted_proxy(site, given, client):
    told = json.loads(get(site, "/one/x", **({"X-Forwarded-For": given} if given else {})).body)["fields"]
    assert told["X-Forwarded-For"] == (given + ", " if given else "") + "127.0.0.1"
    wait_until("a record", lambda: any(r.get("target") == "/one/x" and r["client"] == client for r in site.logs()))


def test_the_scheme_behind_a_trusted_proxy(site):
    answer = get(site, "/x", "www.shop.example", **{"X-Forwarded-Proto": "https"})
    assert answer.headers["Location"] == "https://shop.example/x"


def test_networks(site):
    answer = get(site, "/nobody")
    assert (answer.status, answer.body) == (403, b"own 404")


def test_a_reload_changes_routes_and_nothing_else(site):
    pids = {(p["role"], p["pid"]) for p in site.status()["processes"]}
    file = site.folder / "stead.conf"
    file.write_text(file.read_text().replace("[Route /docs]\nRoot=docs", "[Route /docs]\nRoot=other"))
    site.cli("reload")
    assert get(site, "/docs/f").body == b"other"
    file.write_text(file.read_text().replace("To=back", "To=bakc"))
    said = site.cli("reload", code=2)
    assert "stead.conf:15:4" in said and "did you mean back?" in said
    assert get(site, "/docs/f").body == b"other"
    assert {(p["role"], p["pid"]) for p in site.status()["processes"]} == pids


def test_check_shows_sections_with_their_names(site):
    shown = site.cli("check", str(site.folder), state=False)
    assert "[Route /api]" in shown and "[Upstream back]" in shown
    rows = json.loads(site.cli("check", str(site.folder), "--json", state=False))["values"]
    assert any(r["section"] == "Route" and r["argument"] == "/api" and r["key"] == "To" for r in rows)


def test_it_survives_its_control_process(site):
    pid = next(p["pid"] for p in site.status()["processes"] if p["role"] == "ctl")
    site.kill("ctl")
    assert get(site, "/docs/").status == 200
    # Between the two nobody answers on the socket, and `status` says so.
    wait_until("ctl again", lambda: any(p["role"] == "ctl" and p["pid"] != pid for p in json.loads(
        site.cli("status", "--json", code=None))["processes"]))
    assert json.loads(get(site, "/api/x").body)["path"] == "/x"
    site.cli("reload")
    assert get(site, "/a.txt").body == b"a"
