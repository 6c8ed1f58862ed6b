"""The keys of the gateway's sections, written in a stead.conf, have their effect in the real program; and each key that
this version builds is written in some scenario test."""

import collections
import json
import pathlib
import re
import ssl
import subprocess
import time

import pytest

from backendbed import Backend, answer
from client import ask
from program import BUILD, wait_until

HERE = pathlib.Path(__file__).resolve().parent
# Whose effect is another than an answer's, and who tries them.
ELSEWHERE = {"Protocol": "test_backends_uwsgi.py", "DocumentRoot": "test_backends_php.py", "Health": "test_rows.py", "HealthCount": "test_flow.c", "HealthTimeoutSec": "test_rows.py"}
FILES = {"public/index.html": "home", "public/mine/x.txt": "mine", "public/others/x.txt": "others", "public/first.html": "first", "public/sub/x.txt": "x", "public/big.txt": "text " * 2000,
         "public/404.html": "own page"}


class Server:
    """A backend with a name, a health and a count of its connections; what hangs never answers."""

    def __init__(self, name, wrap=None):
        self.name, self.well, self.heard = name, True, collections.Counter()
        self.backend = Backend(self.script, wrap=wrap)
        self.address = self.backend.server["address"]

    def script(self, talk):
        while (got := talk.head()) is not None:
            path = got[0].split()[1]
            talk.body(got[1])
            self.heard[path] += 1
            if path == "/health" and not self.well:
                talk.send(answer(b"", "503 No"))
            elif path.startswith("/hang"):
                talk.reader.read()
                return
            else:
                talk.send(answer(f"{self.name} {path}".encode()))


@pytest.fixture
def servers():
    made = []

    def make(*names, **options):
        made.extend(Server(name, **options) for name in names)
        return made[-len(names):]
    yield make
    for server in made:
        server.backend.end()


@pytest.fixture
def up(stead, app_folder):
    def make(text):
        return stead(app_folder({**FILES, "stead.conf": text})).up()
    return make


def test_files_and_routes(up, servers):
    """Index, Listing, Allow, Deny, Compress, ErrorPage, Methods, MatchHeader, StripPrefix, Redirect, Header."""
    a, b = servers("a", "b")
    one = up(f"""[Site]
Root=public
Index=none.html first.html
ErrorPage=404 /404.html
Header=add X-Seen 1
[Route /list]
Root=public
Index=none.html
Listing=yes
Rewrite=^/list/(.*)$ /$1
[Route /plain]
Root=public
Compress=no
Rewrite=.* /big.txt
[Route /mine]
Allow=127.0.0.1
[Route /others]
Allow=192.0.2.0/24
[Route /api]
Methods=GET
To=http://{a.address}
StripPrefix=yes
[Route /api]
Methods=POST
To=http://{b.address}
[Route /version]
MatchHeader=X-Version 2
To=http://{b.address}
[Route /version]
Methods=DELETE
MatchHeader=X-Version
To=http://{b.address}
StripPrefix=yes
[Route /version]
To=http://{a.address}
""")
    gzip = {"Accept-Encoding": "gzip"}
    assert ask(one).text == "first" and ask(one)["X-Seen"] == "1"
    assert "sub/" in ask(one, "/list/").text and ask(one, "/sub/").status in (403, 404)
    assert ask(one, "/big.txt", headers=gzip)["Content-Encoding"] == "gzip"
    assert ask(one, "/plain", headers=gzip)["Content-Encoding"] is None
    missing = ask(one, "/none")
    assert (missing.status, missing.text) == (404, "own page")
    # A route without a folder of its own is about files of the site's.
    assert ask(one, "/mine/x.txt").text == "mine" and ask(one, "/mine/big.txt").status == 404
    assert ask(one, "/others/x.txt").status == 403
    assert ask(one, "/api/x").text == "a /x" and ask(one, "/api/x", "POST", body=b"1").text == "b /api/x"
    assert ask(one, "/api/x", "DELETE").status in (404, 405)
    assert ask(one, "/version").text == "a /version" and ask(one, "/version", headers={"X-Version": "2"}).text == "b /version"
    assert ask(one, "/version/x", "DELETE", {"X-Version": "3"}).text == "b /x" and ask(one, "/version/x", "DELETE").text == "a /version/x"
    # Of one path each is shown, and two for the same requests are refused; the old ones serve on.
    assert one.cli("check", str(one.folder)).count("[Route /version]") == 3
    with open(one.folder / "stead.conf", "a") as file:
        file.write("[Route /version/]\nMatchHeader=X-Version 2\nTo=static\n")
    shown = one.cli("reload", code=2)
    assert re.search(r"stead.conf:37:.*\[Route /version/\] stands in .*stead.conf:27 already, for the same requests", shown), shown
    assert ask(one, "/version", headers={"X-Version": "2"}).text == "b /version"


def test_upstreams(up, servers):
    """Retry, KeepAlive, FailMax, RequestTimeoutSec, Balance, with a server that refuses."""
    a, = servers("a")
    dead = servers("dead")[0]
    dead.backend.sock.close()  # its port is known to nobody else, and refuses
    one = up(f"""[Site]
Root=public
[Route /retried]
To=retried
[Route /single]
To=single
[Route /fresh]
To=fresh
[Route /hang]
RequestTimeoutSec=1s
To=http://{a.address}
[Upstream retried]
Server={dead.address}
Server={a.address}
Retry=1
FailMax=1000
[Upstream single]
Server={dead.address}
Server={a.address}
Retry=0
FailMax=1000
[Upstream fresh]
Server={a.address}
KeepAlive=0
Balance=least
""")
    dead.backend.end = lambda: None
    assert [ask(one, "/retried").status for _ in range(10)] == [200] * 10
    assert {ask(one, "/single").status for _ in range(10)} == {200, 502}
    before = a.backend.conns
    assert all(ask(one, "/fresh").status == 200 for _ in range(5))
    assert a.backend.conns >= before + 4  # none is kept for the next, but for a second's rest
    began = time.monotonic()
    assert ask(one, "/hang").status == 504 and time.monotonic() - began < 20


def test_checks_and_a_slow_start(up, servers):
    """Check, CheckSec, FailMax: who is not well gets nothing; SlowStartSec: who is back gets a small share at first."""
    a, b = servers("a", "b")
    one = up(f"""[Site]
Root=public
[Route /u]
To=u
[Upstream u]
Server={a.address}
Server={b.address}
Check=/health
CheckSec=100ms
FailMax=1
SlowStartSec=10min
""")

    def share(count=60):
        got = collections.Counter(ask(one, "/u").text[0] for _ in range(count))
        return got["b"]
    b.well = False
    wait_until("b to be out", lambda: share(6) == 0)
    assert share() == 0
    b.well = True
    wait_until("b to be back", lambda: share(10) > 0)
    assert 0 < share() <= 15, "a server that came back has a tenth of another's share"


def test_tls_to_a_backend(up, servers, work):
    """TlsVerify: a certificate that nobody vouches for is 502; with `no` it is taken."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", work / "key", "-out", work / "cert"], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work / "cert", work / "key")
    a, = servers("a", wrap=lambda sock: context.wrap_socket(sock, server_side=True))
    one = up(f"""[Site]
Root=public
[Route /strict]
To=strict
[Route /lax]
To=lax
[Upstream strict]
Server=https://{a.address}
[Upstream lax]
Server=https://{a.address}
TlsVerify=no
""")
    assert ask(one, "/strict").status == 502
    assert ask(one, "/lax").text == "a /lax"


def test_each_key_is_in_a_scenario():
    """A key that no test writes may do nothing."""
    rows = json.loads(subprocess.run([BUILD / "stead", "introspect", "config", "--json"], stdout=subprocess.PIPE, check=True).stdout)["rows"]
    text = "".join(path.read_text() for path in HERE.glob("*.py"))
    missing = [f"[{row['section']}] {row['key']}=" for row in rows
               if row["section"] in ("Site", "Route", "Upstream", "Tcp", "Server") and row["status"] == "built"
               and row["key"] not in ELSEWHERE and not re.search(rf"(\b|\\n){row['key']}=", text)]
    assert not missing, missing
