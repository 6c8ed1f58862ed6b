"""The corpus (test/corpus) before nginx, HAProxy, Apache, Node and gunicorn (peers.py).

What stead forwards is sent to each of the five, and a plain request behind it on the same connection once the
first is answered: it may be refused, but who takes it reads the method, target, host, fields and body that stead
meant, and reads what follows as the next request. Then each of the five gets the client's own bytes, for the
table of how servers differ (BUILD/differential.md).
"""

import collections
import re
import urllib.parse

import pytest

import peers
import program
from gatebed import Gate, described
from proxybed import description
from recorder import Recorder
from test_differential import BEHIND, PARTS, ROWS, exchange
from corpus.shape import CUT, ENDS, Forwarded, Here, Refused  # found by test_differential

NAMES = ["nginx", "HAProxy", "Apache", "Node", "gunicorn"]
NEXT = b"GET /next?a=b HTTP/1.1\r\nHost: next\r\n\r\n"
# What a message is made of on its connection, and what a peer may write anew.
FRAMING = {b"content-length", b"transfer-encoding", b"connection", b"te", b"upgrade", b"host", b"trailer",
           b"accept-encoding"}
TRUSTED = {"trusted_proxies": ["127.0.0.1"]}

pytestmark = pytest.mark.skipif(bool(peers.missing()), reason=f"not installed: {peers.missing()}")


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    it = peers.Peers(tmp_path_factory.mktemp("peers"))
    yield it.all
    it.end()


def gate_before(recorder, route=None, site=None):
    described_as = description([recorder.server], {"body_max": 1 << 20, **(route or {})})
    described_as["sites"][0].update(site or {})
    return Gate(described(described_as))


@pytest.fixture(scope="module")
def forwarded():
    """{bytes of a forwarded message: (name of its row, how it was read)} over several ways of forwarding."""
    found = {}
    for route, site in (({"body_buffer": False}, {}), ({"body_buffer": True}, TRUSTED)):
        recorder = Recorder()
        gate = gate_before(recorder, route, site)
        for name, raw, want, _, _ in ROWS:
            exchange(gate, raw, want)
            requests, _, wrong = recorder.take()
            assert not wrong, f"{name}: not in the canonical form: {wrong}"
            for request in requests:
                if not request.host_is(b"behind"):
                    found.setdefault(request.raw, (name, request))
        assert gate.end() == 0
        recorder.end()
    return found


def listed(fields, name):
    """One value: lines joined, blanks around commas gone."""
    return re.sub(rb"[ \t]*,[ \t]*", b",", b",".join(v for n, v in fields if n == name))


def of_path(path, name):
    """How a peer's own variables show this path."""
    if name == "HAProxy":
        return path
    if name == "Apache":  # AllowEncodedSlashes NoDecode
        return b"%2F".join(urllib.parse.unquote_to_bytes(p) for p in path.split(b"%2F"))
    return urllib.parse.unquote_to_bytes(path)


def reads_otherwise(name, meant, got):
    """In what the peer's reading of this message is not what stead meant; None: in nothing."""
    if (meant.method, meant.target, *meant.values(b"host"), meant.body) != got.brief():
        return f"read {got.brief()}, not {(meant.method, meant.target, meant.values(b'host'), meant.body)}"
    path, _, query = meant.target.partition(b"?")
    view = dict(got.view)
    if got.environ:
        view = {k: got.environ[v].encode("latin-1") for k, v in (("path", "PATH_INFO"), ("query", "QUERY_STRING"))}
    if view and (view["path"], view["query"]) != (of_path(path, name), query):
        return f"its own words for {meant.target} are {view}"
    for field in {n for n, _ in got.fields} - FRAMING:
        seen, sent = listed(got.fields, field), listed(meant.fields, field)
        if seen != (sent.replace(b",", b"; ") if field == b"cookie" and b"; " in seen and b", " not in seen else sent):
            return f"{field} is {seen}, not {sent}"
    lost = {n for n, _ in meant.fields} - {n for n, _ in got.fields} - FRAMING
    return f"never saw {lost}" if lost else None


def what_is_read(peer, raw, request):
    """'same', 'closed' (it ends the connection behind this message), 'refused STATUS', or in what it differs."""
    with peer.talk() as talk:
        talk.send(raw)
        try:
            first = talk.answer()
        except TimeoutError:
            return "otherwise: it waits for more bytes"
        if first is None:
            return "refused"
        if first.reading is None:
            return f"refused {first.status}" if first.status >= 400 else f"otherwise: answered {first.status} itself"
        if said := reads_otherwise(peer.name, request, first.reading):
            return f"otherwise: {said}"
        talk.send(NEXT)
        talk.shut()
        rest = talk.rest()
        if not rest:
            return "closed"
        if len(rest) != 1 or rest[0] is None or rest[0].reading is None:
            return f"otherwise: {len(rest)} messages follow, not one: {[r and (r.status, r.reading and r.reading.brief()) for r in rest]}"
        if rest[0].reading.brief() != (b"GET", b"/next?a=b", b"next", b""):
            return f"otherwise: the next request is {rest[0].reading.brief()}"
    return "same"


@pytest.mark.timeout(600)
@pytest.mark.promise
def test_no_forwarded_request_is_read_in_two_ways(five, forwarded, promise):
    wrong, refused, closed = [], collections.Counter(), collections.Counter()
    for raw, (row, request) in forwarded.items():
        for name in NAMES:
            said = what_is_read(five[name], raw, request)
            if said.startswith("otherwise"):
                wrong.append(f"{row}: {name}: {said}")
            refused[name] += said.startswith("refused")
            closed[name] += said == "closed"
    promise("forwarded requests read by five servers",
            f"{len(forwarded)} by each, {len(wrong)} read in two ways; refused: "
            + ", ".join(f"{name} {refused[name]}" for name in NAMES))
    assert len(forwarded) > 300
    assert not wrong, "\n".join(wrong)
    assert max(closed.values()) <= 3, closed
