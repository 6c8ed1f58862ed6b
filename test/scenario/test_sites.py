"""Sites= : many sites without a folder of their own in one stead: by name, by reload, each one's faults its own."""

import http.client
import json
import socket

import pytest

from program import BUILD, free_port, wait_until
from test_cache_purge import origin  # noqa: F401 - a fixture
from test_root import rooted  # noqa: F401 - a fixture


def get(one, host, path="/", method="GET", headers=()):
    """Status, fields, body."""
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=30)
    try:
        connection.request(method, path, headers={"Host": host, **dict(headers)})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def text_of(one, host, path="/"):
    return get(one, host, path)[2]


def static(domain, root="pub", more=""):
    return f"[Site]\n{'Domain=' + domain if domain else ''}\nRoot={root}\n{more}"


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def folder(app_folder):
    return app_folder({
        "stead.conf": "[Server]\nSites=sites\n", "sites/note.txt": "no site", "sites/.hidden.conf": "[nonsense",
        **{f"sites/{name}/index.html": name for name in ("a", "b", "c", "wild", "deep", "any")},
        "sites/a.conf": static("a.example www.a.example", "a"), "sites/b.conf": static("b.example", "b"),
        "sites/c.conf": static("c.example", "c", "Alias=old.c.example\nErrorPage=404 /none.html\n"),
        "sites/c/none.html": "none of c"})


def test_by_name(stead, folder):
    """Exact before wildcard before the site without a name; each has its own pages, redirects and routes."""
    write(folder, {
        "sites/wild.conf": static("*.w.example", "wild"), "sites/deep.conf": static("x.w.example *.y.w.example", "deep"),
        "sites/any.conf": static("", "any"),
        "sites/moved.conf": "[Site]\nDomain=moved.example\nRedirect=301 /* https://a.example/*\n"})
    for i in range(200):
        write(folder, {f"sites/many{i}.conf": static(f"many{i}.example", "ab"[i % 2])})
    one = stead(folder).up()
    seen = {host: text_of(one, host) for host in
            ("a.example", "www.a.example", "A.Example:80", "b.example", "z.w.example", "x.w.example", "z.y.w.example",
             "w.example", "nobody.example", "many7.example", "many198.example")}
    assert seen == {"a.example": "a", "www.a.example": "a", "A.Example:80": "a", "b.example": "b", "z.w.example": "wild",
                    "x.w.example": "deep", "z.y.w.example": "deep", "w.example": "any", "nobody.example": "any",
                    "many7.example": "b", "many198.example": "a"}
    status, fields, _ = get(one, "moved.example", "/x?y=1")
    assert (status, fields["Location"]) == (301, "https://a.example/x?y=1")
    status, fields, _ = get(one, "old.c.example", "/x")
    assert status == 308 and "//c.example" in fields["Location"] and fields["Location"].endswith("/x")
    assert get(one, "c.example", "/nothing")[0::2] == (404, "none of c")
    assert "none of c" not in text_of(one, "a.example", "/nothing")
    wait_until("the record", lambda: {"b", "moved"} <= {r.get("site") for r in one.logs() if r["kind"] == "access"})
    assert [r["host"] for r in one.logs("moved")] == ["moved.example"]


def test_without_any_name_nobody_answers(stead, folder):
    one = stead(folder).up()
    assert get(one, "nobody.example")[0] == 421
    assert text_of(one, "a.example") == "a"
    status = one.status()
    assert {s["name"] for s in status["sites"]} == {"a", "b", "c"} and status["sites_kept"] == 0
    assert status["sites"][0]["url"] == f"http://a.example:{one.port}"


def test_beside_an_app(stead, app_folder):
    """The folder's own site is the one for every other name; its names are nobody else's."""
    folder = app_folder({
        "app.py": "def application(environ, start_response):\n"
                  "    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'the app']\n",
        "stead.conf": "[Site]\nDomain=app.example\n[Server]\nSites=sites\n",
        "sites/a.conf": static("a.example"), "sites/pub/index.html": "files", "sites/thief.conf": static("app.example")})
    one = stead(folder).up()
    assert [text_of(one, h) for h in ("app.example", "nobody.example", "a.example")] == ["the app", "the app", "files"]
    assert "sites/thief.conf:2:8: error: Domain=: app.example is another site's already (stead.conf:2:8)" in one.output()
    assert one.cli("restart", "a", code=4)
    one.cli("restart")
    # A site for every other name takes that from the app, which has a name.
    write(folder, {"sites/thief.conf": static("")})
    one.cli("reload")
    assert [text_of(one, h) for h in ("app.example", "nobody.example", "a.example")] == ["the app", "files", "files"]


def test_reload_with_a_file_that_is_wrong(stead, folder):
    """Its last good version serves, over the death of everything; all other changes take effect; exit status 2."""
    one = stead(folder).up()
    write(folder, {
        "sites/b.conf": "[Site]\nDomain=b.example\nRoot=b\nBodyMax=many\n", "sites/c.conf": static("c.example", "a"),
        "sites/d.conf": static("d.example", "b"), "sites/e.conf": "[Site]\nDomain=e.example\n[Python]\nWsgi=a:b\n"})
    said = one.cli("reload", code=2)
    assert "sites/b.conf:4:9: error: BodyMax=" in said and "sites/e.conf:3:2: error: [Python]" in said, said
    assert "2 sites are not as their files say: of 1 the last good version serves on, 1 is left out " \
           "(sites/b.conf, sites/e.conf)" in said, said

    def serves():
        return [text_of(one, f"{h}.example") for h in "abcd"] == ["a", "b", "a", "b"] and get(one, "e.example")[0] == 421
    assert serves()
    kept = [s for s in one.status()["sites"] if s["state"] != "live"]
    assert [(s["name"], s["state"]) for s in kept] == [("b", "last good version")]
    assert "last good version" in one.cli("status") and "stead check" in one.cli("status")
    one.kill_and_wait("gate")
    one.kill_and_wait("ctl")
    wait_until("the state", lambda: one.status()["sites_kept"] == 1)
    assert serves()
    assert one.stop() == 0
    one.up()
    assert serves() and "sites/b.conf:4:9: error" in one.output()
    write(folder, {"sites/b.conf": static("b.example", "c"), "sites/e.conf": static("e.example", "c")})
    one.cli("reload")
    assert [text_of(one, f"{h}.example") for h in "abcde"] == ["a", "c", "a", "b", "c"]
    assert one.status()["sites_kept"] == 0


def test_at_a_start_a_wrong_file_is_left_out(stead, folder):
    write(folder, {"sites/b.conf": "[Site]\nDomain=b.example\nRoot=nothing-there\n", "sites/d.conf": "Root=x\n",
                   "sites/e.conf": "[Site]\nDomain=e.example\n"})
    (folder / "sites/f.conf").symlink_to("/nonexistent")
    one = stead(folder).up()
    assert [get(one, f"{h}.example")[0] for h in "abcdef"] == [200, 421, 200, 421, 421, 421]
    for words in ("sites/b.conf:3:6: error: Root=: there is no folder", "sites/d.conf:1:1: error",
                  "sites/e.conf:1:1: error: the site has nothing to answer with",
                  "sites/f.conf:1:1: error: the file cannot be read", "4 are left out"):
        assert words in one.output(), words


def test_a_name_belongs_to_one(stead, folder):
    """The first by file name; what serves keeps its names before anybody new."""
    write(folder, {"sites/d.conf": static("d.example www.a.example", "b"), "sites/e.conf": static("e.example", "b", "Name=a\n")})
    one = stead(folder).up()
    assert "sites/d.conf:2:18: error: Domain=: www.a.example is another site's already (sites/a.conf:2:18)" in one.output()
    assert "sites/e.conf:4:6: error: the name a is another site's already (sites/a.conf:1:1)" in one.output()
    assert [get(one, f"{h}.example")[0] for h in ("a", "www.a", "d", "e")] == [200, 200, 421, 421]
    # c is wrong now, and its last good version has c.example: it stays c's, though a asks for it before.
    write(folder, {"sites/c.conf": "[Site\n", "sites/a.conf": static("a.example c.example", "a"),
                   "sites/d.conf": static("d.example", "b"), "sites/e.conf": static("e.example", "b")})
    said = one.cli("reload", code=2)
    assert "sites/a.conf:2:18: error: c.example is another site's, whose last good version serves on (sites/c.conf:2:8)" \
        in said, said
    assert [text_of(one, f"{h}.example") for h in ("a", "www.a", "c", "d", "e")] == ["a", "a", "c", "b", "b"]
    write(folder, {"sites/c.conf": static("other.example", "c")})
    one.cli("reload")
    assert [text_of(one, f"{h}.example") for h in ("a", "c", "other")] == ["a", "a", "c"]
    assert get(one, "www.a.example")[0] == 421


def test_numbers_stay(stead, folder):
    """Sites that come and go take nobody's counts; one that is gone serves no more, and counts on when it comes back."""
    one = stead(folder).up()
    for host, n in (("a", 1), ("b", 2), ("c", 3)):
        for _ in range(n):
            get(one, f"{host}.example")

    def counts():
        return {s["name"]: s["requests"] for s in one.status()["sites"]}
    wait_until("the counts", lambda: counts() == {"a": 1, "b": 2, "c": 3})
    kept = (folder / "sites/b.conf").read_text()
    (folder / "sites/b.conf").unlink()
    write(folder, {"sites/0.conf": static("zero.example", "a", "Name=zero\n")})
    one.cli("reload")
    assert get(one, "b.example")[0] == 421 and text_of(one, "zero.example") == "a"
    wait_until("the counts", lambda: counts() == {"a": 1, "c": 3, "zero": 1})
    write(folder, {"sites/b.conf": kept})
    assert one.stop() == 0
    one.up()
    for _ in range(4):
        get(one, "b.example")
    wait_until("the counts", lambda: counts() == {"a": 0, "b": 4, "c": 0, "zero": 0})
    metrics = one.cli("metrics")
    assert 'stead_requests_total{site="b"} 4' in metrics or 'site="b"' in metrics
    assert "stead_sites 4" in metrics, [line for line in metrics.splitlines() if "_sites" in line]
    assert json.loads(one.cli("status", "b", "--json"))["sites"][0]["file"] == "sites/b.conf"
    assert 'no app or site "nobody"' in one.cli("status", "nobody", code=4)


def test_another_sites_backends(stead, folder, origin):  # noqa: F811
    """One that is down, one whose name nobody knows, two of the same name: each is its own site's only."""
    port = free_port()
    up = "[Upstream back]\nServer=127.0.0.1:{}\n[Route /]\nTo=back\n"
    write(folder, {
        "sites/down.conf": f"[Site]\nDomain=down.example\n[Route /]\nTo=http://127.0.0.1:{port}\n",
        "sites/lost.conf": "[Site]\nDomain=lost.example\nQueueTimeoutSec=200ms\n[Route /]\nTo=http://no.such.invalid:80\n",
        "sites/one.conf": "[Site]\nDomain=one.example\nCache=1M\n" + up.format(origin.server_port),
        "sites/two.conf": "[Site]\nDomain=two.example\nCache=1M\n" + up.format(port)})
    one = stead(folder).up()
    assert get(one, "down.example")[0] == 502 and get(one, "lost.example")[0] in (502, 503, 504)
    assert [text_of(one, f"{h}.example") for h in "abc"] == ["a", "b", "c"]
    assert (get(one, "one.example")[0], get(one, "two.example")[0]) == (200, 502)
    # Answers that are kept are one site's: forgetting them by the other one's name changes nothing.
    before = text_of(one, "one.example", "/page")
    assert "0 forgotten" in one.cli("cache", "purge", "two", "/page")
    assert text_of(one, "one.example", "/page") == before
    assert "1 forgotten" in one.cli("cache", "purge", "one", "/page")
    assert text_of(one, "one.example", "/page") != before
    one.cli("reload")
    assert get(one, "one.example")[0] == 200


def test_check(stead, folder):
    """Everything that is wrong in any file, and one file alone."""
    one = stead(folder)
    write(folder, {"sites/b.conf": "[Site]\nDomain=a.example\nRoot=b\n", "sites/d.conf": "[Site]\nRot=x\n[Tcp x]\nListen=:1\n"})
    said = one.cli("check", str(folder), code=2)
    for words in ("4 sites by Sites=, 2 wrong", "sites/b.conf:2:8: error", "(sites/a.conf:2:8)", "sites/d.conf:2:1: error",
                  "sites/d.conf:3:2: error: [Tcp]", "did you mean Root=?"):
        assert words in said, said
    answer = json.loads(one.cli("check", str(folder), "--json", code=2))
    assert not answer["ok"] and [(s["file"], s["ok"]) for s in answer["sites"]] == [
        ("sites/a.conf", True), ("sites/b.conf", False), ("sites/c.conf", True), ("sites/d.conf", False)]
    said = one.cli("check", str(folder / "sites/c.conf"))
    assert "Alias=old.c.example" in said and "c.conf:4" in said and "Workers" not in said
    write(folder, {"stead.conf": "[Server]\nSites=nowhere\n"})
    assert "Sites=: there is no folder" in one.cli("check", str(folder), code=2)


def test_a_listener_of_its_own_kind(stead, folder):
    """What a site says of the server as a whole is refused with its place."""
    write(folder, {"sites/b.conf": "[Site]\nRoot=b\n[Server]\nListen=:1\n[Service]\nEnvironment=A=b\n[Postgres]\nEnabled=yes\n"})
    said = stead(folder).cli("check", str(folder), code=2)
    assert [f"b.conf:{line}:2: error: [{name}] cannot stand in a file of Sites=" in said
            for line, name in ((3, "Server"), (5, "Service"), (7, "Postgres"))] == [True] * 3, said


@pytest.mark.root
def test_as_root(rooted, folder):  # noqa: F811
    """The gates see copies: a site's folder below the app's is published, another is refused."""
    write(folder, {"sites/d.conf": static("d.example", "/usr/share"),
                   "sites/c.conf": static("c.example", "c", "Static=/more b\n[Route /r]\nRoot=a\n")})
    one = rooted(folder).up()
    assert [text_of(one, f"{h}.example") for h in "abc"] == ["a", "b", "c"]
    assert text_of(one, "c.example", "/more/index.html") == "b" and text_of(one, "c.example", "/r/index.html") == "a"
    assert get(one, "d.example")[0] == 421 and 'the folder "/usr/share" is not below' in one.output()
    write(folder, {"sites/a/index.html": "new"})
    assert text_of(one, "a.example") == "a"
    one.cli("reload", code=2)
    assert text_of(one, "a.example") == "new"
