"""An existing PHP-FPM behind the gate: which script runs, what it is told, and that no source is ever served."""

import glob
import json
import os
import pathlib
import shutil
import socket
import tempfile
import threading
import time

import pytest

import client

from gatebed import Answer, Gate, described, request
from program import wait_until
from proxybed import ask, description, get, rss
from test_backends_others import Process

FPM = next(iter(sorted(glob.glob("/usr/sbin/php-fpm*"))), None)
pytestmark = pytest.mark.skipif(not FPM, reason="no PHP-FPM here")
# The second pool is as careless as can be: it runs whatever it is told to.
CONF = """[global]
error_log = {dir}/fpm.log
daemonize = no
[www]
listen = {dir}/s
listen.mode = 0666
user = nobody
group = nogroup
pm = static
pm.max_children = {children}
pm.status_path = /fpm-status
ping.path = /fpm-ping
php_admin_value[post_max_size] = 1G
[careless]
listen = {dir}/careless
listen.mode = 0666
user = nobody
group = nogroup
pm = static
pm.max_children = 1
security.limit_extensions =
php_admin_flag[cgi.fix_pathinfo] = {fix}
"""
SHOW = """<?php
$body = file_get_contents('php://input');
header('X-Pid: ' . getmypid());
echo json_encode(['ran' => basename(__FILE__), 'env' => $_SERVER, 'get' => $_GET, 'post' => $_POST,
    'files' => array_map(fn($f) => [$f['name'], $f['size'], sha1_file($f['tmp_name'])], $_FILES),
    'body' => strlen($body), 'sum' => sha1($body)]);
"""
FILES = {
    "index.php": SHOW, "sub/index.php": SHOW, "tool.php": SHOW, "page/index.html": "a page",
    "upload/evil.jpg": "<?php echo 'EVIL'; ?>", "style.css": "p{}", ".env": "SECRET", "empty/x.txt": "x", "x.php.d/y.txt": "y",
    "lib.inc": "<?php SECRET", "tool.php~": "<?php SECRET", "tool.php.bak": "<?php SECRET", "TOOL.PHP": "<?php SECRET",
    "old.phtml": "<?php SECRET", "notes.php.txt": "text",
    "warn.php": "<?php error_log('something is wrong'); header('Content-Type: text/plain'); echo 'done';",
    "slow.php": "<?php usleep((int)($_GET['ms'] ?? 100) * 1000); echo 'slow';",
    "die.php": "<?php posix_kill(getmypid(), 9);",
    "big.php": "<?php header('Content-Type: a/b'); $p = str_repeat('0123456789abcdef', 4096); for ($i = 0; $i < 1600; $i++) { echo $p; flush(); }",
    "loop.php": "<?php ignore_user_abort(false); for ($i = 0; $i < 600; $i++) { echo str_repeat('x', 1000); flush(); usleep(50000); } "
                "file_put_contents(__DIR__ . '/upload/whole', 'x');",
    "count.php": "<?php $h = fopen('php://input', 'r'); for ($n = 0; !feof($h); $n += strlen(fread($h, 65536))); echo $n;",
    "head.php": "<?php header('Location: /there'); setcookie('a', '1'); setcookie('b', '2');",
}


@pytest.fixture(scope="module")
def folder():
    top = pathlib.Path(tempfile.mkdtemp(prefix="stead-php-", dir="/tmp"))
    top.chmod(0o755)
    for name, content in FILES.items():
        file = top / "www" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (top / "www/upload").chmod(0o777)
    (top / "secret.php").write_text("<?php echo 'OUTSIDE';")
    (top / "www/link.php").symlink_to(top / "secret.php")
    yield top
    shutil.rmtree(top)


@pytest.fixture(scope="module", params=["on", "off"])
def careless(request, folder):
    at = folder / request.param
    at.mkdir()
    (at / "fpm.conf").write_text(CONF.format(dir=at, children=1, fix=request.param))
    process = Process([FPM, "-y", str(at / "fpm.conf")], folder, path=at / "careless")
    yield process
    process.end()


@pytest.fixture(scope="module")
def fpm(folder):
    (folder / "fpm.conf").write_text(CONF.format(dir=folder, children=3, fix="on"))
    process = Process([FPM, "-y", str(folder / "fpm.conf")], folder, path=folder / "s")
    yield process
    process.end()


def route_to(folder, fpm, route=None, **upstream):
    what = description([fpm.server], protocol="fastcgi", root=str(folder / "www"), index="index.php",
                       **{"queue": 100, "queue_timeout_ms": 10000, **upstream})
    what["sites"][0]["routes"][0].update({"root": str(folder / "www"), "no_source": True, "scripts": True, "body_buffer": True, **(route or {})})
    return what


@pytest.fixture
def php(folder, fpm):
    made = []

    def make(route=None, **upstream):
        made.append(Gate(described(route_to(folder, fpm, route, **upstream))))
        return made[-1]
    yield make
    for one in made:
        assert one.end() == 0


@pytest.fixture(scope="module")
def gate(folder, fpm):
    it = Gate(described(route_to(folder, fpm)))
    yield it
    assert it.end() == 0


def ran(answer):
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


@pytest.mark.parametrize("target,script,info", [
    ("/", "/index.php", None), ("/index.php", "/index.php", None), ("/sub/", "/sub/index.php", None), ("/tool.php", "/tool.php", None),
    ("/tool.php/a/b", "/tool.php", "/a/b"), ("/tool.php/", "/tool.php", "/"), ("/index.php/a%20b?q=1", "/index.php", "/a b"),
    ("/tool%2Ephp/x", "/tool.php", "/x"), ("/sub/index.php/x.php", "/sub/index.php", "/x.php"), ("/sub/../tool.php", "/tool.php", None),
    # What names no file is the front controller's, also what only looks like a script.
    ("/no/such/page", "/index.php", None), ("/none.php", "/index.php", None), ("/none.php/x", "/index.php", None),
    ("/upload/evil.jpg/x.php", "/index.php", None), ("/upload/evil.jpg%2Fx.php", "/index.php", None),
    ("/upload/evil.jpg/.php", None, None), ("/tool.php.", "/index.php", None), ("/tool.php%20", "/index.php", None),
    ("/empty/", "/index.php", None), ("/empty", "/index.php", None), ("/style.css/x.php", "/index.php", None),
    ("/link.php", "/index.php", None), ("/tool.Php", "/index.php", None), ("/tool.php~", "/index.php", None),
])
def test_which_script_runs(gate, folder, target, script, info):
    got = get(gate, target)
    if script is None:
        assert got.status == 404
        return
    got = ran(got)
    env = got["env"]
    root = str(folder / "www")
    assert got["ran"] == os.path.basename(script)
    assert (env["SCRIPT_NAME"], env.get("PATH_INFO")) == (script, info)
    assert env["SCRIPT_FILENAME"] == root + script and env["DOCUMENT_ROOT"] == root
    assert env["REQUEST_URI"] == target and env["PHP_SELF"] == script + (info or "")


@pytest.mark.parametrize("target", [
    "/upload/evil.jpg", "/upload/evil.jpg/x.php", "/upload/evil.jpg/.php", "/upload/evil.jpg%2Fx.php", "/upload/evil.jpg%00.php",
    "/upload/evil.jpg%20.php", "/tool.php/upload/evil.jpg", "/tool.php/../upload/evil.jpg/x.php", "/tool.php//upload/evil.jpg",
    "/upload/evil.jpg?x.php", "/upload/evil.jpg;x.php", "/upload//evil.jpg/index.php", "/upload/evil.jpg/tool.php/x"])
def test_nothing_but_a_script_runs(folder, careless, target):
    """Also by a PHP that would run anything: what an upload is named like decides nothing."""
    one = Gate(described(route_to(folder, careless)))
    got = get(one, target)
    assert one.end() == 0
    assert got.body != b"EVIL" and (got.status in (400, 404) or got.body.startswith((b"<?php", b"{")))


def test_what_it_is_told(gate):
    got = ran(ask(gate, b"GET /tool.php?a=1&b%5B%5D=%20 HTTP/1.1\r\nHost: Shop.example:81\r\nX-Two: 1\r\nX-Two: 2\r\nX_Two: forged\r\n"
                        b"Proxy: http://evil\r\nAuthorization: Basic YTpi\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n"))
    env = got["env"]
    assert got["get"] == {"a": "1", "b": [" "]}
    assert env["HTTP_HOST"].lower() == "shop.example:81" and (env["SERVER_NAME"], env["SERVER_PORT"]) == ("shop.example", "81")
    assert env["QUERY_STRING"] == "a=1&b%5B%5D=%20" and env["REDIRECT_STATUS"] == "200" and env["GATEWAY_INTERFACE"] == "CGI/1.1"
    assert env["REMOTE_ADDR"] == "127.0.0.1" and env["SERVER_ADDR"] == "127.0.0.1" and env["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert env["HTTP_X_TWO"] == "1, 2" and "HTTP_PROXY" not in env and "HTTPS" not in env and env["REQUEST_SCHEME"] == "http"
    assert env["PHP_AUTH_USER"] == "a" and env["HTTP_COOKIE"] == "a=1; b=2"


@pytest.mark.parametrize("target", [
    "/lib.inc", "/tool.php~", "/tool.php.bak", "/TOOL.PHP", "/TOOL%2ePHP", "/old.phtml", "/tool%2ephp%7e", "/sub/..%2ftool.php~",
    "/TOOL.PHP/", "//TOOL.PHP", "/tool.php.bak?x", "/.env", "/TOOL.PHP%00", "/tool.php%00.txt", "/tool.php%00", "/lib.inc;x"])
def test_no_source_is_served(gate, php, target):
    """Neither by the route that runs scripts, nor by one of the same site that serves the folder as files."""
    static = php({"to": "static", "scripts": False})
    for one in (gate, static):
        for method in ("GET", "HEAD", "POST"):
            got = get(one, target, method)
            assert b"SECRET" not in got.body and b"<?php" not in got.body
            assert got.status in ((200, 400, 404, 405) if one is gate else (400, 404, 405)), got.status
    assert get(static, "/tool.php").status == 404 and get(static, "/style.css").body == b"p{}"
    assert get(static, "/notes.php.txt").body == b"text"


def test_other_files_are_served_as_they_are(gate):
    got = get(gate, "/style.css")
    assert (got.status, got.body, got.fields["content-type"]) == (200, b"p{}", "text/css; charset=utf-8") and "etag" in got.fields
    assert get(gate, "/upload/evil.jpg").body == b"<?php echo 'EVIL'; ?>"  # a picture by its name: nothing runs it
    assert get(gate, "/page/").body == b"a page" and get(gate, "/x.php.d/y.txt").body == b"y"
    for target in ("/page", "/sub"):
        got = get(gate, target + "?q")
        assert got.status == 301 and got.fields["location"] == target + "/?q"
    assert get(gate, "/style.css", "POST").status == 405


def test_try_files_of_the_route(php):
    """In their order and for every method; their own end counts."""
    gate = php({"try_files": ["$uri", "/tool.php"]})
    assert ran(get(gate, "/none"))["ran"] == "tool.php" and ran(get(gate, "/none", "POST"))["ran"] == "tool.php"
    assert get(gate, "/style.css").body == b"p{}" and ran(get(gate, "/sub/"))["ran"] == "index.php"
    gate = php({"try_files": ["$uri", "=404"]})
    assert get(gate, "/none").status == 404 and get(gate, "/upload/evil.jpg/x.php").status == 404
    assert ran(get(gate, "/tool.php/x"))["env"]["PATH_INFO"] == "/x"


def test_below_a_prefix(php):
    """A route of a folder; and one whose prefix names none (StripPrefix=): the script's name is the client's."""
    gate = php({"path": "/sub"})
    assert ran(get(gate, "/sub/"))["env"]["SCRIPT_NAME"] == "/sub/index.php" and get(gate, "/sub").status == 301
    assert ran(get(gate, "/sub/none"))["env"]["SCRIPT_NAME"] == "/index.php"
    gate = php({"path": "/blog", "strip": True})
    env = ran(get(gate, "/blog/tool.php/x?y"))["env"]
    assert (env["SCRIPT_NAME"], env["PATH_INFO"], env["REQUEST_URI"]) == ("/blog/tool.php", "/x", "/blog/tool.php/x?y")
    assert env["SCRIPT_FILENAME"].endswith("/www/tool.php") and env["PHP_SELF"] == "/blog/tool.php/x"
    assert ran(get(gate, "/blog/none"))["env"]["SCRIPT_NAME"] == "/blog/index.php" and get(gate, "/blog").status == 301


def test_a_backend_whose_files_only_it_sees(php, folder):
    """No Root=: the front controller is the only script, whatever the path."""
    gate = php({"root": None})
    for target in ("/", "/tool.php", "/upload/evil.jpg/x.php", "/style.css"):
        got = ran(get(gate, target))
        assert got["ran"] == "index.php" and got["env"]["SCRIPT_FILENAME"] == f"{folder}/www/index.php"
        assert got["env"]["REQUEST_URI"] == target and "PATH_INFO" not in got["env"]


def test_forms_and_uploads(gate):
    got = ran(ask(gate, b"POST /tool.php HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                        b"Content-Length: 11\r\n\r\na=1&b=2%263"))
    assert got["post"] == {"a": "1", "b": "2&3"}
    data = os.urandom(1_500_000)
    body = (b'--xx\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\nContent-Type: a/b\r\n\r\n' + data + b"\r\n--xx--\r\n")
    head = b"POST /tool.php HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=xx\r\n"
    for way in (b"Content-Length: %d\r\n\r\n%s" % (len(body), body),
                b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)):
        name, size, _ = ran(ask(gate, head + way))["files"]["f"]
        assert (name, size) == ("a.bin", 1_500_000)


def test_answers(gate):
    got = get(gate, "/slow.php?ms=0", "HEAD")
    assert got.status == 200 and got.body == b""
    with gate.connect() as sock:
        sock.sendall(request("/head.php"))
        head = sock.recv(65536).decode()
    assert head.startswith("HTTP/1.1 302") and head.count("Set-Cookie") + head.count("set-cookie") == 2
    assert "/there" in head


def test_connections_are_kept(php, fpm):
    """A hundred requests, one connection; and the idle one holds a process no longer than a second where nobody
    said how many there are."""
    gate = php(connections_max=2)
    pids = {get(gate, "/tool.php").fields["x-pid"] for _ in range(100)}
    assert len(pids) == 1
    counted = gate.counters()
    assert counted["stead_backend_connects_total"] == 1 and counted["stead_backend_reuses_total"] == 99
    gate = php()
    for _ in range(3):
        assert get(gate, "/tool.php").status == 200
    assert gate.counters()["stead_backend_connects_total"] == 1
    wait_until("the end of the idle one", lambda: gate.counters()["stead_backend_connections_open"] == 0)


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_more_at_once_than_processes(php, limit):
    """Three processes, twelve clients, two gates: nobody waits for a process that an idle connection holds."""
    gates = [php(connections_max=limit), php(connections_max=limit)] if limit < 3 else [php(connections_max=limit)]
    took, wrong = [], []

    def client(gate):
        for _ in range(5):
            begin = time.monotonic()
            try:
                assert get(gate, "/slow.php?ms=20").body == b"slow"
            except AssertionError as e:
                wrong.append(e)
            took.append(time.monotonic() - begin)
    threads = [threading.Thread(target=client, args=(gates[i % len(gates)],)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and len(took) == 60
    assert max(took) < 6  # one that is never accepted would take all of the ten seconds it is given


def test_processes_that_die(php, fpm):
    """Only what they were running fails."""
    gate = php(connections_max=3, retry=0, fail_max=100)
    assert get(gate, "/die.php", "POST").status == 502
    for _ in range(20):
        assert get(gate, "/tool.php").status == 200
    assert gate.records(21)[0]["close"] == "up_closed"


def test_a_slow_script(php):
    gate = php(timeout_ms=300, retry=0)
    got = get(gate, "/slow.php?ms=3000")
    assert got.status == 504 and gate.records(1)[0]["close"] == "up_timeout"
    assert get(gate, "/tool.php").status == 200


def test_errors_are_logged(php):
    gate = php()
    assert get(gate, "/warn.php").body == b"done"
    said = wait_until("the event", lambda: gate.events("BACKEND_SAID"))
    assert (said[0]["site"], said[0]["upstream"]) == ("a", "u") and "something is wrong" in said[0]["text"]


def test_the_client_goes(php, folder):
    """Then PHP hears of it and ends the script."""
    gate = php(connections_max=3)
    with gate.connect() as sock:
        sock.sendall(request("/loop.php"))
        assert sock.recv(100)
    wait_until("free processes", lambda: gate.counters()["stead_backend_connections_open"] == 0)
    for _ in range(6):
        assert get(gate, "/tool.php").status == 200
    assert not (folder / "www/upload/whole").exists()


def test_large_bodies_and_flat_memory(php):
    """A hundred megabytes each way; what is buffered of an upload lies in a file."""
    gate = php({"body_max": 1 << 30}, connections_max=3)
    get(gate, "/tool.php")
    before = rss(gate.pid)
    with gate.connect() as sock:
        sock.sendall(request("/big.php"))
        got, last = 0, b""
        while data := sock.recv(1 << 20):
            got += len(data)
            last = (last + data)[-7:]
            if last == b"\r\n0\r\n\r\n":
                break
        assert got > 1600 * 65536
    piece = b"0123456789abcdef" * 4096
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as sock:
        sock.sendall(b"POST /count.php HTTP/1.1\r\nHost: localhost\r\nContent-Type: a/b\r\nContent-Length: %d\r\n\r\n" % (1600 * 65536))
        for _ in range(1600):
            sock.sendall(piece)
        assert Answer(sock.makefile("rb")).body == b"%d" % (1600 * 65536)
    assert rss(gate.pid) - before < 8 << 20


def test_probes_find_fpms_ping(php):
    gate = php(check="/fpm-ping", check_ms=100, fail_max=1)
    wait_until("probes", lambda: get(gate, "/tool.php").status == 200)
    gate = php(check="/none.php", check_ms=100, fail_max=1, queue=0)
    wait_until("probes that fail", lambda: get(gate, "/tool.php").status == 503)


def test_by_stead_conf(stead, app_folder, fpm):
    """The same by [Upstream], with a route of its own limits and one that serves the folder as files."""
    one = stead(app_folder({
        "www/index.php": SHOW, "www/admin/tool.php": SHOW, "www/a.txt": "text",
        "stead.conf": f"[Route /]\nTo=php\n[Route /admin]\nTo=php\nBodyMax=10\n[Route /files]\nRoot=www\n"
                      f"[Upstream php]\nProtocol=fastcgi\nServer=unix:{fpm.server['unix']}\nRoot=www\nConnectionsMax=3\n"})).up()
    got = json.loads(client.ask(one, "/any?q").text)
    assert got["env"]["SCRIPT_FILENAME"] == f"{one.folder}/www/index.php" and got["env"]["REQUEST_URI"] == "/any?q"
    assert json.loads(client.ask(one, "/admin/tool.php/x").text)["env"]["SCRIPT_NAME"] == "/admin/tool.php"
    assert client.ask(one, "/admin/tool.php", "POST", body=b"x" * 11).status == 413
    assert client.ask(one, "/a.txt").text == "text" == client.ask(one, "/files/a.txt").text
    assert client.ask(one, "/files/index.php").status == 404 == client.ask(one, "/files/INDEX.php").status
