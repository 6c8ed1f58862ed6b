"""Sites, routes, redirects, rewrites and edited fields on a real gate."""

import json
import re

import pytest

from gatebed import Gate, described, request, talk

HEADERS = [{"response": 1, "act": "set", "name": "x-frame-options", "value": "DENY"},
           {"response": 1, "act": "add", "name": "x-id", "value": "$request_id"},
           {"response": 1, "act": "remove", "name": "etag"}]


def static(path, root, **more):
    return {"path": path, "match": "prefix", "to": "static", "root": str(root), **more}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    top = tmp_path_factory.mktemp("routes")
    for name in ("one", "two", "three", "four", "exact", "regex", "wild"):
        (top / name).mkdir()
        (top / name / "index.html").write_text(name)
        (top / name / "f").write_text(name + " f")
        (top / name / "a b").write_text("blank")
    (top / "regex" / "p").mkdir()
    (top / "regex" / "p" / "1.txt").write_text("number 1")
    (top / "exact" / "two").mkdir()
    (top / "exact" / "two" / "f").write_text("exact")
    return top


@pytest.fixture(scope="module")
def gate(tree):
    sites = [
        {"name": "one", "default": True, "hosts": ["one.example"], "aliases": ["www.one.example"],
         "canonical": "one.example", "routes": [
             static("/", tree / "one", headers=HEADERS),
             static("/two", tree / "two"),
             static("/two/three", tree / "three"),
             {**static("/two/f", tree / "exact"), "match": "exact"},
             {**static("^/p/[0-9]+\\.txt$", tree / "regex"), "match": "regex"},
             {**static("^/(a+)+$", tree / "regex"), "match": "regex"},
             static("/post", tree / "four", methods=1 << 3),
             static("/post", tree / "three", match_header="x-kind", match_value="three"),
         ]},
        {"name": "wild", "hosts": ["*.wild.example"], "routes": [
            static("/", tree / "wild", redirects=[
                {"status": 301, "match": "exact", "from": "/old", "to": "/new"},
                {"status": 308, "match": "prefix", "from": "/blog/", "to": "https://blog.example/*"},
                {"status": 302, "match": "regex", "from": "^/u/([^/]*)/(?<rest>.*)$", "to": "/users/$1?r=${rest}"},
                {"status": 307, "match": "regex", "from": "^/same(.*)$", "to": "$1"},
                {"status": 303, "match": "exact", "from": "/host", "to": "$scheme://$host/$$x"}],
                rewrites=[
                {"regex": "^/r/(.*)$", "to": "/$1"},
                {"regex": "^/up/(.*)$", "to": "/$1/../../f"},
                {"regex": "^/r/never$", "to": "/index.html"}]),
        ]},
        {"name": "try", "hosts": ["try.example"], "queue_timeout_ms": 300, "routes": [
            static("/", tree / "one", try_files=["$uri", "$uri/", "/f"], index=["no.html", "index.html"]),
            static("/strict", tree / "two", try_files=["$uri", "=403"]),
            static("/pre", tree / "three", try_files=["$uri", "$uri/index.html"]),
            {"path": "/app", "match": "prefix", "to": "app", "root": str(tree / "four"), "try_files": ["$uri"]}]},
        {"name": "listing", "hosts": ["listing.example"], "routes": [
            static("/", tree, listing=True), static("/not", tree)]},
        {"name": "lists", "hosts": ["lists.example"], "routes": [
            static("/", tree / "one", deny=["127.0.0.0/8"], allow=["127.0.0.1"]),
            static("/out", tree / "one", deny=["127.0.0.1"]),
            static("/same", tree / "one", deny=["127.0.0.1"], allow=["127.0.0.1"]),
            static("/only", tree / "one", allow=["10.0.0.0/8"], allow_list=True),
            static("/p", tree / "regex" / "p"),
            static("/two", tree),
            static("/two/shut", tree / "two", deny=["127.0.0.1"]),
            {**static("/two/exact", tree / "two"), "match": "exact", "deny": ["127.0.0.1"]},
            {**static("^/z//[^/]+$", tree / "two"), "match": "regex"},
            {**static("^/y/[^/]+$", tree / "two"), "match": "regex"},
            {**static("^/re/[a-z]+$", tree / "two", deny=["127.0.0.1"]), "match": "regex"},
            static("/nobody", tree / "one", allow_list=True),
            static("/six", tree / "one", deny=["::/0"]),
            static("/four", tree / "one", allow=["127.0.0.0/30"], allow_list=True)]},
        {"name": "nothing", "hosts": ["none.example"], "routes": [{"path": "/", "match": "prefix"}]},
    ]
    it = Gate(described({"sites": sites}))
    yield it
    assert it.end() == 0


def get(gate, path, host="one.example", **more):
    return talk(gate, request(path, host=host, **more), method=more.get("method", "GET"))[0][0]


@pytest.mark.parametrize("path,body", [
    ("/", "one"), ("/f", "one f"), ("/two/", "two"), ("/two/f", "exact"), ("/two/f/", None),
    ("/two/three/f", "three f"), ("/twofold", None), ("/two/./three/../f", "exact"), ("/%74wo/", "two"),
    ("/p/1.txt", "number 1"), ("/p/x.txt", None), ("/post/f", None)])
def test_longest_path_serves(gate, path, body):
    answer = get(gate, path)
    if body is None:
        assert answer.status == 404
    else:
        assert (answer.status, answer.body.decode()) == (200, body)


def test_methods_and_fields_choose(gate):
    assert get(gate, "/post/f", method="POST", Content_Length="0").status == 405  # of the static route that POST chose
    assert get(gate, "/post/f", X_Kind="three").body == b"three f"
    assert get(gate, "/post/f", X_Kind="other").status == 404


@pytest.mark.parametrize("host,body", [
    ("one.example", b"one"), ("ONE.example", b"one"), ("one.example.", b"one"), ("a.wild.example", b"wild"),
    ("a.b.wild.example", b"wild"), ("wild.example", b"one"), ("other.example", b"one"), ("127.0.0.1", b"one")])
def test_hosts(gate, host, body):
    assert get(gate, "/", host).body == body


def test_aliases_go_to_the_canonical_name(gate):
    for target in ("/", "/a%20b?x=1&y=%0d%0aX", "//evil.example/x"):
        answer = get(gate, target, "www.one.example")
        assert (answer.status, answer.fields["location"]) == (308, "http://one.example" + target)
    assert get(gate, "/x", "www.one.example:8080").fields["location"] == "http://one.example:8080/x"


@pytest.mark.parametrize("target,status,location", [
    ("/old", 301, "/new"), ("/old?a=b", 301, "/new?a=b"), ("/older", 404, None),
    ("/blog/2024/x%20y", 308, "https://blog.example/2024/x%20y"), ("/blog/", 308, "https://blog.example/"),
    ("/blog", 404, None), ("/u/ann/a/b", 302, "/users/ann?r=a/b"),
    ("/u/a%20b/c&d=e", 302, "/users/a%20b?r=c%26d%3De"), ("/u/%C3%A4/", 302, "/users/%C3%A4?r="),
    ("/same//evil.example/x", 307, "/evil.example/x"), ("/same/%2F/evil.example", 307, "/evil.example"),
    ("/host", 303, "http://a.wild.example/$x")])
def test_redirects(gate, target, status, location):
    answer = get(gate, target, "a.wild.example")
    assert answer.status == status
    assert answer.fields.get("location") == location


def test_no_byte_of_a_client_splits_an_answer(gate):
    # Control characters are refused before, encoded or not; what is left is encoded.
    for target in ("/u/a%0d%0aSet-Cookie:x/b", "/u/a%00/b", "/blog/%0aX"):
        assert get(gate, target, "a.wild.example").status == 400
    answer = get(gate, "/u/%22%3E%3Cscript%3E/b", "a.wild.example")
    assert answer.fields["location"] == "/users/%22%3E%3Cscript%3E?r=b"


def test_rewrites(gate):
    assert get(gate, "/r/f", "a.wild.example").body == b"wild f"
    assert get(gate, "/r/a%20b", "a.wild.example").body == b"blank"
    assert get(gate, "/r/never", "a.wild.example").status == 404  # the first that matches counts
    assert get(gate, "/up/x", "a.wild.example").status == 400     # it may not climb out
    gate.records()
    get(gate, "/r/f?q=1", "a.wild.example")
    assert gate.records(1)[0]["target"] == "/r/f?q=1"             # the record says what was asked for


def test_fields_are_edited_in_every_answer(gate):
    for path, status in (("/", 200), ("/nothing", 404)):
        answer = get(gate, path)
        assert answer.status == status
        assert answer.fields["x-frame-options"] == "DENY"
        assert re.fullmatch("[0-9a-f]{32}", answer.fields["x-id"])
        assert "etag" not in answer.fields
    assert "x-frame-options" not in get(gate, "/two/").fields


def test_a_catastrophic_pattern_costs_a_bounded_time(gate):
    gate.records()
    assert get(gate, "/" + "a" * 4000 + "!").status == 404
    assert gate.records(1)[0]["ms"] < 3000


@pytest.mark.parametrize("target,status,body", [
    ("/f", 200, "one f"), ("/", 200, "one"), ("/nothing", 200, "one f"), ("/a%20b", 200, "blank"),
    ("/deep/er/", 200, "one f"), ("/../f", 400, None), ("/.env", 200, "one f"),
    ("/strict/f", 200, "two f"), ("/strict/none", 403, None), ("/strict/", 200, "two"),
    ("/pre/f", 200, "three f"), ("/pre", 200, "three"), ("/pre/none", 404, None),
    ("/app/f", 200, "four f"), ("/app/none", 503, None)])
def test_files_are_tried_in_order(gate, target, status, body):
    answer = get(gate, target, "try.example")
    assert answer.status == status
    assert body is None or answer.body.decode() == body


def test_listings(gate, tree):
    folder = tree / "odd"
    folder.mkdir()
    for name in ('a"b<c>&d.txt', "e f%20", ".hidden", "stead.conf", "co:lon", "\xe4.txt"):
        (folder / name).write_text("x" * 10)
    (folder / "sub").mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    answer = get(gate, "/odd/", "listing.example")
    page = answer.body.decode()
    assert answer.status == 200 and answer.fields["content-type"].startswith("text/html")
    links = re.findall('href="([^"]*)"', page)
    assert links == ["../", "./sub/", "./a%22b%3Cc%3E%26d.txt", "./co%3Alon", "./e%20f%2520", "./%C3%A4.txt"]
    for link in links[2:]:
        assert get(gate, "/odd/" + link[2:], "listing.example").body == b"x" * 10
    assert "<c>" not in page and ".hidden" not in page and "stead.conf" not in page and "passwd" not in page
    entries = json.loads(get(gate, "/odd/", "listing.example", Accept="application/json").body)["entries"]
    assert entries[0] == {"name": "sub", "type": "folder", "size": 0, "mtime": entries[0]["mtime"]}
    assert get(gate, "/odd/", "listing.example", method="HEAD").status == 200
    assert get(gate, "/odd", "listing.example").status == 301
    assert get(gate, "/one/", "listing.example").body == b"one"   # an index comes first
    for path in ("/not/odd/", "/none/", "/odd/link/", "/odd/../../"):
        assert get(gate, path, "listing.example").status in (400, 404)


def test_a_long_listing(gate, tree):
    folder = tree / "many"
    folder.mkdir()
    for i in range(2100):
        (folder / f"file-with-a-long-name-{i:05}").touch()
    page = get(gate, "/many/", "listing.example").body.decode()
    assert page.count("<tr>") == 2001 and "not shown" in page


def test_a_post_is_not_a_file(gate):
    assert get(gate, "/app/f", "try.example", method="POST", Content_Length="0").status == 503


@pytest.mark.parametrize("target,status", [
    ("/", 200), ("/out/f", 403), ("/same/f", 403), ("/only/f", 403), ("/nobody/f", 403), ("/six/f", 403),
    ("/four/f", 200)])
def test_who_is_served(gate, target, status):
    assert get(gate, target, "lists.example").status == status


@pytest.mark.parametrize("target,status", [
    ("/two/shut/f", 403), ("//two/shut/f", 403), ("///two/shut/f", 403), ("/.//two/shut/f", 403),
    ("/x/..//two/shut/f", 403), ("/two/shut//f", 403), ("/two//shut/f", 400), ("/two///shut/f", 400),
    ("/%2Ftwo/shut/f", 400), ("/%2ftwo%2fshut%2ff", 400), ("/two%2Fshut/f", 400), ("/two/%2fshut/f", 400),
    ("/two/shut%2Ff", 400), ("/two//exact", 400), ("/two%2fexact", 400), ("/two/exact/", 200), ("/re/f", 403),
    ("/re//f", 400), ("/re%2ff", 400), ("/z//a%2fb", 400), ("/y//a%2fb", 400),
    ("http://lists.example//two/shut/f", 403), ("/two//two/f", 200),
    ("/two/two//f", 200), ("/two/two%2Ff", 200), ("/p//1.txt", 200), ("/p//none", 404)])
def test_slashes_lead_past_no_route(gate, target, status):
    """Files are found with empty segments and with encoded slashes: a path that leads elsewhere then is refused."""
    assert get(gate, target, "lists.example").status == status


def test_small_methods(gate):
    answer = get(gate, "/", method="get")
    assert answer.status == 405 and "GET" in answer.fields["allow"]


def test_nobody_is_trusted_without_a_word(gate):
    gate.records()
    answer = get(gate, "/x", "www.one.example", X_Forwarded_For="203.0.113.9", X_Forwarded_Proto="https")
    assert answer.fields["location"] == "http://one.example/x"
    assert gate.records(1)[0]["client"] == "127.0.0.1"


def test_a_site_without_anything(gate):
    assert get(gate, "/", "none.example").status == 404
