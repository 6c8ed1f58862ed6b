"""The corpus (test/corpus) before nginx, HAProxy, Apache, Node and gunicorn (peers.py).

What stead forwards is sent to each of the five, and a plain request behind it on the same connection once the
first is answered: it may be refused, but who takes it reads the method, target, host, fields and body that stead
meant, and reads what follows as the next request. Then each of the five gets the client's own bytes, for the
table of how servers differ (BUILD/differential.md).
"""

import collections
import concurrent.futures
import re
import threading
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


def what_is_read(peer, raw, request, reads=reads_otherwise):
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
        if said := reads(peer.name, request, first.reading):
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


# --- what each of them makes of the client's own bytes ---

def canonical(target):
    """A target in the form in which stead hands it on, as far as that changes no meaning."""
    target = re.sub(rb"^[A-Za-z]+://[^/?]*", b"", target)
    path, mark, query = target.partition(b"?")

    def one_form(match):
        octet = bytes([int(match.group(1), 16)])
        return octet if re.match(rb"[A-Za-z0-9._~-]", octet) else match.group(0).upper()
    path = re.sub(rb"%([0-9a-fA-F]{2})", one_form, path)
    kept = []
    for part in path.split(b"/")[1:]:
        if part == b"..":
            kept = kept[:-1]
        elif part != b".":
            kept.append(part)
    if path.endswith((b"/.", b"/..")):
        kept.append(b"")
    path = b"/" + b"/".join(kept).lstrip(b"/")
    return re.sub(rb"[^!$-;=@-Z_a-z~]", lambda m: b"%%%02X" % m.group(0)[0], path) + (mark + query if query else b"")


def of_row(raw, want):
    """What stead makes of a row: (what backends read, does the connection go on)."""
    goes_on = not any(isinstance(w, Refused) for w in want) and CUT not in want and ENDS not in want
    return [(w.method, w.target, w.host, w.body) for w in want if isinstance(w, Forwarded)], goes_on


def of_peer(peer, raw, want):
    """(what it read, did it read the request behind, the status of its first refusal or 0)."""
    with peer.talk() as talk:
        talk.send(raw if CUT in want else raw + BEHIND)
        # Who reads BEHIND closes; who waits for more hears that there is none. gunicorn looks at what came with
        # an earlier request only when it hears something.
        later = threading.Timer(0 if CUT in want or peer.name == "gunicorn" else 0.4, talk.shut)
        later.start()
        answers = talk.rest(b"/behind")
        later.cancel()
        later.join()
    read = [a.reading.brief() for a in answers if a and a.reading]
    goes_on = bool(read) and read[-1] == (b"GET", b"/behind", b"behind", b"")
    refused = next((a.status for a in answers if a and not a.reading), 0)
    return [(m, canonical(t), re.sub(rb"\.?(:80)?$", b"", h.lower()), b)
            for m, t, h, b in (read[:-1] if goes_on else read)], goes_on, refused


def in_words(got, refused):
    def short(b):
        text = b.decode("latin-1").encode("unicode_escape").decode().replace("|", "\\|")
        return text if len(text) <= 24 else f"{text[:18]}… ({len(b)})"
    said = [" ".join(short(b) for b in (*g[:2], g[2] or b"(no host)", g[3]) if b) for g in got]
    return "; ".join(said + [str(refused)] * bool(refused)) or "ends"


def compare(five):
    """[(row's name, section, stead's words, {peer: (kind, words)})]; kinds: same, refuses, takes, otherwise."""
    table, pool = [], concurrent.futures.ThreadPoolExecutor(len(NAMES))
    for name, raw, want, section, _ in ROWS:
        mine, on = of_row(raw, want)
        here = [w.statuses[0] for w in want if isinstance(w, (Here, Refused))]
        cells = {}
        # Most of the time is spent waiting for one that waits for more: they do so side by side.
        asked = [pool.submit(of_peer, five[peer], raw, want) for peer in NAMES]
        for peer, answer in zip(NAMES, asked):
            got, goes_on, refused = answer.result()
            if got == mine and (goes_on == on or not mine):
                kind = "same"
            elif len(got) < len(mine) and got == mine[:len(got)]:
                kind = "refuses"
            elif not mine or (len(got) > len(mine) and got[:len(mine)] == mine):
                kind = "takes"
            else:
                kind = "otherwise"
            cells[peer] = (kind, "=" if kind == "same" else in_words(got, refused), (tuple(got), goes_on))
        words = in_words(mine, here[0] if here else 0) if mine or here else "never a whole message"
        table.append((name, section, words, cells))
    return table


def ways(cells):
    """In how many ways those of the five that take something of a row read it."""
    return len({reading for _, _, reading in cells.values() if reading[0]})


def write(table, told):
    """BUILD/differential.md: the whole table, and the figures that the documentation quotes."""
    version = peers.versions()
    lines = ["# What each server makes of the corpus", "",
             "`=`: reads what stead's backends read, or refuses as stead does. Else what it reads, and the status with "
             "which it refuses the rest. Generated by test/scenario/test_differential_peers.py.", "", *told, "",
             "| request | RFC | stead | " + " | ".join(f"{n} {version[n]}" for n in NAMES) + " |", "|---" * 8 + "|"]
    lines += [f"| {name} | {section} | {words} | " + " | ".join(cells[n][1] for n in NAMES) + " |"
              for name, section, words, cells in table]
    (program.BUILD / "differential.md").write_text("\n".join(lines) + "\n")


@pytest.mark.timeout(900)
@pytest.mark.promise
def test_what_each_makes_of_the_client_s_bytes(five, promise):
    """No verdict about others: a table, and that there is something to compare."""
    table = compare(five)
    kinds = {n: collections.Counter(cells[n][0] for _, _, _, cells in table) for n in NAMES}
    unlike = [(name, words) for name, _, words, cells in table if ways(cells) > 1]
    told = [f"{n}: as stead {k['same']}, refuses what stead takes {k['refuses']}, takes what stead refuses {k['takes']}, "
            f"reads otherwise {k['otherwise']}" for n, k in kinds.items()]
    told += [f"Read in two or more ways by those who take it: {len(unlike)} of {len(table)}."]
    write(table, told)
    promise("ambiguous requests before five servers", f"{len(table)}; read in two ways or more by them: {len(unlike)}; "
            f"table in {program.BUILD / 'differential.md'}")
    assert all(sum(k.values()) == len(ROWS) and k["same"] > 100 for k in kinds.values()), kinds
