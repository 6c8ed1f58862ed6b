"""Answers that are texts, encoded as the client takes them, on a real gate."""

import gzip
import os
import subprocess

import pytest

from gatebed import Answer, Gate, described, request, talk

TEXT = "<p>hello, hello, hello</p>\n" * 4000  # 108 KB: goes by file
SMALL = "body { color: red }\n" * 100          # 2 KB: in memory
NAMES = {"index.html": TEXT, "a.css": SMALL, "tiny.txt": "x" * 1023, "b.png": "p" * 5000, "c.bin": "b" * 5000,
         "list.json": '{"a": 1}\n' * 500}


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    top = tmp_path_factory.mktemp("compress")
    for name, text in NAMES.items():
        (top / name).write_text(text)
    (top / "pre.css").write_text(SMALL)
    (top / "pre.css.gz").write_bytes(gzip.compress(SMALL.encode()))
    (top / "pre.css.br").write_bytes(b"not looked into")
    (top / "old.css").write_text(SMALL)
    (top / "old.css.gz").write_bytes(b"older")
    os.utime(top / "old.css.gz", (1, 1))
    (top / "sub").mkdir()
    (top / "sub" / "index.html").write_text("<p>sub</p>")
    (top / "sub" / "index.html.gz").write_bytes(gzip.compress(b"<p>sub</p>"))
    (top / "out.css").write_text(SMALL)
    (top / "out.css.gz").symlink_to("/etc/passwd")
    edit = [{"response": 1, "act": "set", "name": "cache-control", "value": "no-transform"}]
    vary = [{"response": 1, "act": "set", "name": "vary", "value": "Cookie"}]
    text = [{"response": 1, "act": "set", "name": "content-type", "value": "text/plain"}]
    route = {"match": "prefix", "to": "static", "root": str(top), "compress": True}
    it = Gate(described({"sites": [{"name": "c", "default": True, "routes": [
        {**route, "path": "/"}, {**route, "path": "/off", "compress": False},
        {**route, "path": "/as-it-is", "headers": edit}, {**route, "path": "/vary", "headers": vary},
        {**route, "path": "/text", "headers": text}]}]}))
    yield it
    assert it.end() == 0


def get(gate, path, accept="gzip", method="GET", **more):
    fields = {"Accept_Encoding": accept} if accept else {}
    return talk(gate, request(path, method=method, **fields, **more), method=method)[0][0]


def decoded(answer):
    coding = answer.fields.get("content-encoding")
    if coding == "gzip":
        return gzip.decompress(answer.body)
    if coding in ("br", "zstd"):
        tool = ["brotli", "-dc"] if coding == "br" else ["zstd", "-dcq"]
        return subprocess.run(tool, input=answer.body, stdout=subprocess.PIPE, check=True).stdout
    return answer.body


@pytest.mark.parametrize("path,name", [("/", "index.html"), ("/a.css", "a.css"), ("/list.json", "list.json")])
@pytest.mark.parametrize("accept,coding", [("gzip", "gzip"), ("gzip, br;q=0.1", "gzip"), ("identity", None), (None, None),
                                           ("gzip;q=0", None)])
def test_what_the_client_takes(gate, path, name, accept, coding):
    answer = get(gate, path, accept)
    assert answer.status == 200 and answer.fields.get("content-encoding") == coding
    assert answer.fields["vary"] == "Accept-Encoding"
    assert decoded(answer) == NAMES[name].encode()
    assert answer.fields["etag"].startswith("W/") == bool(coding)
    if coding:
        assert len(answer.body) < len(NAMES[name]) / 2 and "content-length" not in answer.fields


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_other_codings_by_curl_s_own_decoders(gate, coding):
    if coding not in subprocess.run(["curl", "--version"], stdout=subprocess.PIPE, text=True).stdout.lower().replace("brotli", "br"):
        pytest.skip(f"curl here has no {coding}")
    done = subprocess.run(["curl", "-sS", "-H", f"Accept-Encoding: {coding}", "--compressed",
                           f"http://127.0.0.1:{gate.port}/"], stdout=subprocess.PIPE, check=True)
    assert done.stdout == TEXT.encode()
    assert get(gate, "/", coding).fields["content-encoding"] == coding


@pytest.mark.parametrize("path", ["/tiny.txt", "/b.png", "/c.bin", "/off/", "/as-it-is/"])
def test_what_is_left_as_it_is(gate, path):
    answer = get(gate, path)
    assert answer.status == 200 and "content-encoding" not in answer.fields
    assert not answer.fields["etag"].startswith("W/")


def test_what_lies_encoded_beside_it(gate):
    answer = get(gate, "/pre.css")
    assert (answer.fields["content-encoding"], decoded(answer)) == ("gzip", SMALL.encode())
    assert answer.fields["content-type"].startswith("text/css") and not answer.fields["etag"].startswith("W/")
    assert answer.fields["content-length"] == str(len(answer.body)) and answer.fields["vary"] == "Accept-Encoding"
    other = get(gate, "/pre.css", "br, gzip;q=0.5")
    assert (other.fields["content-encoding"], other.body) == ("br", b"not looked into")
    assert other.fields["etag"] != answer.fields["etag"]
    assert get(gate, "/pre.css", If_None_Match=answer.fields["etag"]).status == 304
    assert get(gate, "/pre.css", None).body == SMALL.encode()
    assert get(gate, "/pre.css", Range="bytes=0-3").body == SMALL[:4].encode()
    assert decoded(get(gate, "/sub/")) == b"<p>sub</p>" and get(gate, "/sub/").fields["content-encoding"] == "gzip"
    assert get(gate, "/sub/", None).fields["vary"] == "Accept-Encoding"  # also when it is not encoded


@pytest.mark.parametrize("path", ["/old.css", "/out.css"])
def test_what_is_older_or_leads_out_is_not_taken(gate, path):
    answer = get(gate, path)
    assert decoded(answer) == SMALL.encode() and answer.fields["etag"].startswith("W/")  # made on the way


def test_vary_is_joined(gate):
    assert get(gate, "/vary/").fields["vary"] == "Cookie, Accept-Encoding"


@pytest.mark.parametrize("accept", ["gzip", None])
@pytest.mark.parametrize("path", ["/a.css", "/pre.css"])
def test_every_answer_of_a_text_says_vary(gate, path, accept):
    """RFC 9110 section 15.4.5: 304 as the 200 would; a part likewise."""
    whole = get(gate, path, accept)
    same = get(gate, path, accept, If_None_Match=whole.fields["etag"])
    part = get(gate, path, accept, Range="bytes=0-9")
    assert (whole.status, same.status, part.status) == (200, 304, 206)
    assert {a.fields.get("vary") for a in (whole, same, part)} == {"Accept-Encoding"}
    assert part.body == SMALL[:10].encode() and not same.body


def test_a_type_that_an_edit_makes_a_text_is_encoded(gate):
    answer = get(gate, "/text/c.bin")
    assert answer.fields["content-encoding"] == "gzip" and decoded(answer) == NAMES["c.bin"].encode()


def test_head_is_as_get(gate):
    got, head = get(gate, "/"), get(gate, "/", method="HEAD")
    assert head.fields["content-encoding"] == "gzip" and head.fields["etag"] == got.fields["etag"]


def test_conditions_hold_with_the_weak_tag(gate):
    tag = get(gate, "/").fields["etag"]
    assert get(gate, "/", If_None_Match=tag).status == 304


def test_parts_are_of_the_text_itself(gate):
    answer = get(gate, "/", Range="bytes=0-9")
    assert (answer.status, answer.body) == (206, TEXT[:10].encode()) and "content-encoding" not in answer.fields


def test_many_at_once_and_slow_readers(gate):
    """More than the encoders that there are: the rest goes out as it is, and all are right."""
    socks = []
    for _ in range(48):
        sock = gate.connect()
        sock.sendall(request("/", Accept_Encoding="gzip"))
        socks.append(sock)
    for sock in socks:
        assert decoded(Answer(sock.makefile("rb"))) == TEXT.encode()
        sock.close()


def test_keep_alive_behind_it(gate):
    answers, closed = talk(gate, request("/", Accept_Encoding="gzip") + request("/a.css", Accept_Encoding="gzip"), answers=2)
    assert [decoded(a) for a in answers] == [TEXT.encode(), SMALL.encode()] and not closed
