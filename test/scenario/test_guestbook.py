"""The guestbook from its folder to a live site, as a visitor and as its owner see it."""

import time

import pytest

from client import Client, Visitor, ask
from program import TOP, wait_until

pytestmark = pytest.mark.smoke


def test_guestbook_end_to_end(stead, guestbook, promise):
    began = time.monotonic()
    one = stead(guestbook).up()
    first = time.monotonic() - began
    assert f"live  {one.url}" in one.output()
    assert (guestbook / ".stead").exists() is False  # the state lies where --state says

    visitor = Visitor(one)
    page = visitor.read()
    assert page.status == 200 and "The book is still empty" in page.text
    assert visitor.sign("Ada", "Hello <b>world</b> & all").status == 303
    page = visitor.read().text
    assert "Ada" in page and "Hello &lt;b&gt;world&lt;/b&gt; &amp; all" in page

    wrong = visitor.sign("", "what I typed stays")
    assert wrong.status == 422 and "Please tell us your name" in wrong.text and "what I typed stays" in wrong.text
    wrong = visitor.sign("n" * 81, "m" * 1001)
    assert wrong.status == 422 and "this one has 81" in wrong.text and "this one has 1001" in wrong.text
    assert visitor.sign("Eve", "forged", csrf="x").status == 400
    assert "forged" not in ask(one).text

    for number in range(12):
        assert visitor.sign(f"Visitor {number}", f"message {number}").status == 303
    assert "Older" in ask(one).text and "Ada" not in ask(one).text
    assert "Ada" in ask(one, "/?page=2").text
    health = ask(one, "/health")
    assert (health.status, health.body) == (200, b"ok\n")

    began = time.monotonic()
    assert one.stop() == 0
    one.gone()
    stopped = time.monotonic() - began
    began = time.monotonic()
    one.up()
    again = time.monotonic() - began
    assert "Ada" in ask(one, "/?page=2").text
    promise("up to live, new database", f"{first:.2f} s")
    promise("up to live, existing database", f"{again:.2f} s")
    promise("graceful stop", f"{stopped:.2f} s")


def test_static_files_of_the_guestbook(stead, guestbook):
    one = stead(guestbook).up()
    css = (TOP / "examples" / "guestbook" / "static" / "style.css").read_bytes()
    with Client(one.port) as client:
        whole = client.ask("/static/style.css")
        assert whole.status == 200 and whole.body == css
        assert whole["Content-Type"].startswith("text/css")
        assert whole["Accept-Ranges"] == "bytes"
        tag, date = whole["ETag"], whole["Last-Modified"]
        assert client.ask("/static/style.css", headers={"If-None-Match": tag}).status == 304
        assert client.ask("/static/style.css", headers={"If-Modified-Since": date}).status == 304
        assert client.ask("/static/style.css", headers={"If-None-Match": '"other"'}).status == 200
        part = client.ask("/static/style.css", headers={"Range": "bytes=5-14"})
        assert (part.status, part.body) == (206, css[5:15])
        assert part["Content-Range"] == f"bytes 5-14/{len(css)}"
        tail = client.ask("/static/style.css", headers={"Range": "bytes=-7"})
        assert (tail.status, tail.body) == (206, css[-7:])
        beyond = client.ask("/static/style.css", headers={"Range": f"bytes={len(css)}-"})
        assert beyond.status == 416 and beyond["Content-Range"] == f"bytes */{len(css)}"
        head = client.ask("/static/style.css", "HEAD")
        assert head.status == 200 and head["Content-Length"] == str(len(css)) and head.body == b""
        assert client.ask("/static/none.css").status == 404
        assert client.used == 9  # all of it over one connection
    assert ask(one, "/static/../app.py").status in (400, 404)
    assert ask(one, "/static/%2e%2e/app.py").status in (400, 404)


@pytest.mark.parametrize("role", ["gate", "log", "ctl", "worker", "postgres", "parent"])
def test_entries_survive_the_death_of(stead, guestbook, role):
    """kill -9 of each kind of process; the parent's death ends it all, and the next `stead up` has the entries."""
    one = stead(guestbook).up()
    assert Visitor(one).sign("Grace", "written before").status == 303
    if role == "parent":
        one.tree()
        one.kill("parent")
        one.process.wait(30)
        one.gone()
        one.up()
    else:
        one.kill_and_wait(role)
    wait_until("the book to be open", lambda: ask(one, "/health").status == 200)
    assert Visitor(one).sign("Alan", "written after").status == 303
    page = ask(one).text
    assert "written before" in page and "written after" in page
    assert one.stop() == 0
    one.gone()
    one.up()
    page = ask(one).text
    assert "written before" in page and "written after" in page


def test_an_app_without_a_database_starts_none(stead):
    one = stead(TOP / "examples" / "hello").up()
    assert ask(one, "/you").body == b"Hello from /you\n"
    assert one.pids("postgres") == []
    assert not (one.state / "pg" / "data").exists()
    assert "database" not in one.status() or not one.status()["database"]


def test_a_static_site(stead):
    one = stead(TOP / "examples" / "static").up()
    page = ask(one)
    assert page.status == 200 and "A static site" in page.text
    assert page["Content-Type"].startswith("text/html")
    assert ask(one, "/style.css").status == 200
    assert ask(one, "/stead.conf").status == 404
    assert one.pids("worker") == [] and one.pids("postgres") == []
