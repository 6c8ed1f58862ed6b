"""PHP apps in a folder: found, run by a pool of PHP-FPM, replaced without a failed request; and one of Debian's."""

import glob
import json
import os
import pathlib
import re
import shutil
import signal
import threading
import urllib.parse

import pytest

from client import Client, Load, ask
from program import TOP, give, processes, wait_until

FPM = glob.glob("/usr/sbin/php-fpm*")
DOKUWIKI = pathlib.Path("/usr/share/dokuwiki")
pytestmark = pytest.mark.skipif(not FPM, reason="no PHP-FPM here")
INDEX = """<?php
header('Content-Type: application/json');
if (isset($_GET['ms'])) usleep((int)$_GET['ms'] * 1000);
if (isset($_GET['say'])) error_log($_GET['say']);
echo json_encode(['uri' => $_SERVER['REQUEST_URI'], 'script' => $_SERVER['SCRIPT_FILENAME'], 'pid' => getmypid(),
    'pool' => posix_getppid(), 'colour' => getenv('COLOUR'), 'app' => $_SERVER['STEAD_APP'] ?? null, 'release' => RELEASE,
    'post' => $_POST, 'length' => strlen(file_get_contents('php://input'))]);
"""


@pytest.fixture
def php(stead, app_folder):
    def make(conf="", files=(), release=1, **options):
        files = {"public/index.php": INDEX.replace("RELEASE", str(release)), "public/style.css": "p{}", "secret.php": "<?php SECRET",
                 "public/tool.php": "<?php echo 'tool';", "config/db.ini": "SECRET", **dict(files)}
        if conf:
            files["stead.conf"] = conf
        return stead(app_folder(files), **options)
    return make


def told(one, path="/", **more):
    answer = ask(one, path, **more)
    assert answer.status == 200, answer
    return json.loads(answer.text)


def pools(one):
    return [p for p in one.status()["processes"] if p["role"] == "service" and p["pid"]]


@pytest.mark.smoke
def test_a_folder_with_php_needs_no_configuration(php):
    one = php().up()
    got = told(one, "/any/page?q=1")
    assert got["uri"] == "/any/page?q=1" and got["script"] == f"{one.folder}/public/index.php" and got["app"] == "app"
    assert ask(one, "/tool.php").text == "tool" and ask(one, "/style.css").text == "p{}"
    assert told(one, "/", method="POST", headers={"Content-Type": "application/x-www-form-urlencoded"}, body=b"a=1")["post"] == {"a": "1"}
    for path in ("/secret.php", "/../secret.php", "/config/db.ini", "/..%2fsecret.php", "/public/index.php"):
        assert "SECRET" not in ask(one, path).text
    assert len(pools(one)) == 1
    # Its configuration is stead's, and the app's folder stays as it was.
    assert not list(one.folder.glob(".stead")) and list(one.state.glob("php/fpm-*.conf"))
    shown = one.cli("check", str(one.folder))
    assert re.search(r"Root\s*=\s*public", shown) and re.search(r"Fpm\s*=\s*/usr/sbin/php-fpm", shown), shown


def test_what_it_says_is_in_the_log(php):
    one = php().up()
    told(one, "/?say=something%20is%20wrong")
    lines = wait_until("the line", lambda: [r for r in one.logs("app") if "something is wrong" in r.get("text", "")])
    assert lines[0]["app"] == "app"


def test_the_environment_reaches_php(php):
    one = php("[Service]\nEnvironment=COLOUR=green\n").up()
    assert told(one)["colour"] == "green"


def test_one_pool_and_few_connections(php):
    """Many requests, as many connections as processes at most, and never more scripts at once than those."""
    one = php("[Php]\nWorkers=2\n[Server]\nGates=1\n").up()
    with Load(one, rate=400, threads=8) as load:
        load.wait_for(300)
    assert load.failed == 0, load.seen
    pids = {told(one)["pid"] for _ in range(20)}
    assert len(pids) <= 2
    connects = re.search(r"^stead_backend_connects_total\S* (\d+)", one.cli("metrics"), re.M)
    # Two and the probe that took it live; a second try or a probe may have closed one that was kept.
    assert int(connects.group(1)) <= 5, one.cli("metrics")


def test_a_reload_replaces_the_pool(php):
    """A new pool is asked before the old one drains; what runs is finished. Nothing fails."""
    one = php("[Php]\nWorkers=2\n").up()
    before = told(one)["pool"]
    slow = []
    asker = threading.Thread(target=lambda: slow.append(ask(one, "/?ms=1500")))
    with Load(one, rate=100) as load:
        load.wait_for(30)
        asker.start()
        (one.folder / "stead.conf").write_text("[Php]\nWorkers=3\n[Service]\nEnvironment=COLOUR=red\n")
        one.cli("reload")
        load.wait_for(30)
        wait_until("the old pool's end", lambda: before not in one.tree())
        load.wait_for(30)
    asker.join()
    assert load.failed == 0, load.seen
    assert slow[0].status == 200
    got = told(one)
    assert got["pool"] != before and got["colour"] == "red"


def test_killed_at_load(php):
    """The master, then single processes: only what ran in them may fail."""
    one = php("[Php]\nWorkers=3\n").up()
    with Load(one, rate=100, threads=4) as load:
        load.wait_for(50)
        pool = told(one)["pool"]
        os.kill(pool, signal.SIGKILL)
        wait_until("a new pool", lambda: (p := pools(one)) and p[0]["pid"] != pool)
        load.wait_for(50)
        for _ in range(3):
            os.kill(told(one)["pid"], signal.SIGKILL)
            load.wait_for(20)
    assert load.done["refused"] == load.done["new"] == load.done["reused"] == 0, load.seen
    assert load.done["status"] <= 4 + 3, load.seen  # what ran when each was killed
    assert told(one)["pool"] != pool


def test_processes_are_replaced_after_so_many_requests(php):
    one = php("[Php]\nWorkers=2\nMaxRequests=20\n").up()
    with Load(one, rate=300, threads=4) as load:
        load.wait_for(300)
    assert load.failed == 0, load.seen
    assert len({told(one)["pid"] for _ in range(45)}) >= 2


def test_processes_that_nobody_needs_end(php):
    one = php("[Php]\nIdleStopSec=1s\n").up()
    pool = told(one)["pool"]

    def children():
        return [pid for pid, (parent, *_) in processes().items() if parent == pool]
    wait_until("the last one's end", lambda: not children())
    assert told(one)["pool"] == pool and len(children()) == 1


def test_a_slow_script(php):
    """504 in time, the others are served; and it does not hold its process for ever."""
    one = php("[Site]\nRequestTimeoutSec=300ms\n[Php]\nWorkers=2\n").up()
    answer = ask(one, "/?ms=60000")
    assert answer.status == 504
    assert told(one)["app"] == "app"
    wait_until("its end", lambda: [r for r in one.logs("app") if "execution timed out" in r.get("text", "")])
    assert told(one)["app"] == "app"


@pytest.mark.parametrize("workers,answers", [(2, 200), (1, 100)])
def test_two_gates_share_the_processes(php, workers, answers):
    """Also when they are fewer than the gates: each hands the one process on."""
    one = php(f"[Php]\nWorkers={workers}\n[Server]\nGates=2\n").up()
    with Load(one, "/?ms=5", rate=200, threads=12) as load:
        load.wait_for(answers)
    assert load.failed == 0, load.seen


def test_sites_that_are_none_of_php(stead, app_folder):
    """A file of Python beside it, an index.html alone: what they were before."""
    one = stead(app_folder({"index.html": "hello", "lib/index.php": "<?php"}))
    assert "Fpm=/" not in one.cli("check", str(one.folder))
    both = app_folder({"app.py": "def app(e, s):\n    s('200 OK', [])\n    return [b'python']\n", "index.php": INDEX}, "both")
    assert "Wsgi=app:app" in one.cli("check", str(both)) and "Fpm=/" not in one.cli("check", str(both))
    (both / "composer.json").write_text("{}")
    assert "Fpm=/" in one.cli("check", str(both)) and "Wsgi=app:app" not in one.cli("check", str(both))


@pytest.mark.parametrize("conf,words", [
    ("[Php]\nRoot=nowhere\n", ["Root=", "there is no folder"]), ("[Php]\nIndex=index.html\n", ["Index=", "not the name of a .php file"]),
    ("[Php]\nFpm=/usr/sbin/nothing\n", ["Fpm=", "there is no program"]), ("[Php]\nIndex=other.php\n", ["[Php]", "no index.php", "write Root="]),
    ("[Php]\nThreads=2\n", ["Threads=", "does not have"]),
])
def test_mistakes_are_told(php, conf, words):
    one = php(conf)
    shown = one.cli("check", str(one.folder), code=2)
    assert all(word in shown for word in words), shown


@pytest.mark.root
def test_no_php_fpm_on_the_machine(php):
    """What to install."""
    one = php(hidden=["/usr/sbin"])
    shown = one.fails(2)
    assert "PHP-FPM" in shown and "apt install php-fpm" in shown, shown


# --- somebody else's application ---

@pytest.fixture
def wiki(stead, work):
    """Debian's DokuWiki, in a folder of its own as its README says, with one user."""
    top = work / "wiki"
    shutil.copytree(DOKUWIKI, top, symlinks=False, ignore=shutil.ignore_patterns(".htaccess", "install.php", "testing"))
    (top / "conf").mkdir(exist_ok=True)
    shutil.copytree("/etc/dokuwiki", top / "conf", dirs_exist_ok=True, symlinks=True,
                    ignore=shutil.ignore_patterns("*.auth.php", "local.php", "apache.conf", "lighttpd.conf", "htaccess"))
    for name in ("pages", "media", "media_meta", "media_attic", "meta", "attic", "cache", "index", "locks", "tmp", "log"):
        (top / "data" / name).mkdir(parents=True, exist_ok=True)
    # "secret", by `openssl passwd -1`
    (top / "conf/users.auth.php").write_text("ann:$1$stead$lma8ZIwvp1AQ9Jgtiuh84.:Ann:ann@example.org:admin,user\n")
    (top / "conf/acl.auth.php").write_text("*\t@ALL\t1\n*\t@user\t8\n")
    (top / "conf/local.php").write_text("<?php\n$conf['title'] = 'A wiki';\n$conf['useacl'] = 1;\n$conf['superuser'] = '@admin';\n"
                                        "$conf['authtype'] = 'authplain';\n$conf['savedir'] = './data';\n$conf['userewrite'] = 2;\n")
    (top / "inc/preload.php").write_text("<?php define('DOKU_CONF', dirname(__DIR__) . '/conf/');\n")
    (top / "stead.conf").write_text("[Site]\nHealth=/doku.php\n[Php]\nRoot=.\nWorkers=2\n"
                                    "[Route /conf]\nDeny=0.0.0.0/0 ::/0\n[Route /data]\nDeny=0.0.0.0/0 ::/0\n[Route /inc]\nDeny=0.0.0.0/0 ::/0\n")
    give(top)
    return stead(top)


class Person:
    """At the wiki: keeps cookies, fills forms in."""

    def __init__(self, one):
        self.one, self.cookies = one, {}

    def ask(self, path, fields=None, body=None, kind="application/x-www-form-urlencoded"):
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        if fields is not None:
            body = urllib.parse.urlencode(fields).encode()
        if body is not None:
            headers["Content-Type"] = kind
        answer = ask(self.one, path, "POST" if body is not None else "GET", headers, body or b"")
        for value in answer.all("Set-Cookie"):
            name, _, value = value.split(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def form(self, path):
        """The hidden fields of its edit form."""
        text = self.ask(path).text
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))


@pytest.mark.skipif(not DOKUWIKI.is_dir(), reason="no DokuWiki here")
def test_dokuwiki(wiki):
    """Read, log in, write a page, upload a picture; its style sheet, its PATH_INFO addresses; nothing of its secrets."""
    wiki.up()
    ann = Person(wiki)
    start = ann.ask("/doku.php")
    assert start.status == 200 and "A wiki" in start.text
    assert ann.ask("/lib/exe/css.php").status == 200 and ann.ask("/lib/tpl/dokuwiki/images/logo.png").status == 200
    ann.ask("/doku.php", ann.form("/doku.php?id=start&do=login") | {"u": "ann", "p": "secret", "do": "login", "id": "start"})
    form = ann.form("/doku.php/notes:first?do=edit")
    assert form.get("sectok"), form
    form |= {"wikitext": "====== Hello ======\nwritten here\n", "do[save]": "1", "do": "save", "id": "notes:first"}
    saved = ann.ask("/doku.php", form)
    assert saved.status in (200, 302), saved
    assert "written here" in ask(wiki, "/doku.php/notes:first").text
    picture = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301"
                            "0100c9fe92ef0000000049454e44ae426082")
    parts = {"sectok": form["sectok"], "ns": "notes", "mediaid": "dot.png"}
    body = b"".join(b'--xx\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (k.encode(), v.encode()) for k, v in parts.items())
    body += (b'--xx\r\nContent-Disposition: form-data; name="upload"; filename="dot.png"\r\nContent-Type: image/png\r\n\r\n' +
             picture + b"\r\n--xx--\r\n")
    ann.ask("/lib/exe/mediamanager.php", body=body, kind="multipart/form-data; boundary=xx")
    assert ask(wiki, "/lib/exe/fetch.php/notes:dot.png").body == picture
    for secret in ("/conf/users.auth.php", "/conf/local.php", "/data/pages/notes/first.txt", "/inc/init.php", "/inc/preload.php",
                   "/conf/users.auth.php~", "/conf//users.auth.php", "/./conf/users.auth.php/", "/conf%2fusers.auth.php"):
        assert ask(wiki, secret).status in (400, 403, 404), secret


def test_a_large_upload_and_download(php):
    script = ("<?php if ($_SERVER['REQUEST_METHOD'] === 'POST') { $h = fopen('php://input', 'r'); "
              "for ($n = 0; !feof($h); $n += strlen(fread($h, 65536))); echo $n; } "
              "else { $p = str_repeat('x', 65536); for ($i = 0; $i < 480; $i++) { echo $p; flush(); } }")
    one = php("[Site]\nBodyMax=64M\n", {"public/big.php": script}).up()
    with Client(one.port) as client:
        assert client.ask("/big.php", "POST", {"Content-Type": "a/b"}, bytes(30 << 20)).text in (str(30 << 20), "0")
        client.send(b"GET /big.php HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        got = 0
        while data := client.socket.recv(1 << 20):
            got += len(data)
        assert got > 480 * 65536


def test_the_example(stead, work):
    shutil.copytree(TOP / "examples" / "php", work / "php")
    give(work / "php")
    one = stead(work / "php").up()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert ask(one, "/", "POST", form, b"line=%3Cb%3Ehello%3C%2Fb%3E").status == 303
    assert "&lt;b&gt;hello" in ask(one).text and ask(one, "/style.css").status == 200 and ask(one, "/none").status == 404
    one.cli("restart")
    assert "&lt;b&gt;hello" in ask(one).text
