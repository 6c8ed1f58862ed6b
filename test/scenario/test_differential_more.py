"""What stead forwards, read by six more servers (peers_more.py), and changes of the corpus that it forwards
(test_mutations.py) read by all eleven: who takes a message reads what stead meant, and what follows as the next one.

STEAD_MUTATIONS_READ: how many different changed messages are read by each (60, and a quarter of the corpus; `make
promises` takes 3000, and all of it).
"""

import collections
import io
import os
import re
import urllib.parse

import pytest

import peers
import peers_more
from recorder import Recorder
from test_differential_peers import FRAMING, five, forwarded, listed, reads_otherwise, what_is_read  # noqa: F401 - fixtures
from test_mutations import COUNT, SEED, gate_of, mutate

READ = int(os.environ.get("STEAD_MUTATIONS_READ", "60"))
# What lighttpd says of the client in its own words, and what it takes away (httpoxy).
OWN = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-host", "forwarded", "via", "proxy"}

pytestmark = pytest.mark.skipif(bool(peers.missing() + peers_more.missing()),
                                reason=f"not installed: {peers.missing() + peers_more.missing()}")


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    it = peers_more.Six(tmp_path_factory.mktemp("six"))
    yield it.all
    it.end()


def host(values):
    """Without what names the same host: lighttpd drops the point behind a name, a port of 80, zeros before a port."""
    return re.sub(rb"\.?(:80)?$", b"", re.sub(rb":0+([0-9])", rb":\1", b", ".join(values).lower()))


def reads_otherwise_more(name, meant, got):
    """As reads_otherwise() for the five; who does not tell the target as it came is asked for path and query."""
    path, _, query = meant.target.partition(b"?")
    if got.environ:
        seen = got.environ["PATH_INFO"].encode("latin-1"), got.environ["QUERY_STRING"].encode("latin-1")
        path = urllib.parse.unquote_to_bytes(path)
        if seen not in ((path, query), (b"/" + path.lstrip(b"/"), query)):  # waitress joins slashes at the begin
            return f"its path and query for {meant.target} are {seen}"
    elif got.target.partition(b"?")[::2] != (path, query):
        return f"its target is {got.target}, not {meant.target}"
    if (meant.method, host(meant.values(b"host")), meant.body) != (got.method, host(got.values(b"host")), got.body):
        return f"read {got.brief()}, not {(meant.method, meant.values(b'host'), meant.body)}"
    passed = {n for n, _ in meant.fields} - FRAMING - ({n.encode() for n in OWN} if name == "lighttpd" else set())
    for field in passed:
        seen, sent = listed(got.fields, field), listed(meant.fields, field)
        # Strip as Python's text does: a no-break space, which other people's UTF-8 ends with, too. Nothing of framing is
        # among these fields: there stead refuses such bytes.
        if name in ("Tornado", "waitress"):
            seen, sent = (re.sub(rb"[\x85\xa0 \t]+(?=,|$)|(?:(?<=,)|^)[\x85\xa0 \t]+", b"", value) for value in (seen, sent))
        if name == "lighttpd" and sent.replace(seen, b"").strip(b",") == b"":
            continue  # some fields that come twice with one value are kept once, also one with a comma in it
        if seen != sent and seen.replace(b"; ", b",") != sent.replace(b"; ", b","):
            return f"{field} is {seen}, not {sent}"
    return None


def read_by(servers, messages, reads):
    wrong, refused = [], collections.Counter()
    for raw, (row, request) in messages.items():
        for name, server in servers.items():
            said = what_is_read(server, raw, request, reads)
            if said.startswith("otherwise"):
                wrong.append(f"{row}: {name}: {said}: {raw[:300]}")
            refused[name] += said.startswith("refused")
    return wrong, refused


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """{bytes of a message: (its name, how it is meant)}"""
    found, folder = {}, tmp_path_factory.mktemp("changed")
    for number, route in enumerate(({"body_buffer": False}, {"body_buffer": True})):
        _, wrong, kept = mutate(folder, gate_of(route), max(COUNT // 8, 2500), SEED + (number + 7) * COUNT, READ // 2)
        assert not wrong, "\n".join(wrong)
        for raw in kept:
            found[raw] = f"change {len(found)}", Recorder.read(io.BytesIO(raw))
    return {raw: (name, request) for raw, (name, request) in found.items() if not request.host_is(b"behind")}


@pytest.mark.timeout(3600)
@pytest.mark.promise
def test_six_more_read_what_was_meant(five, six, forwarded, changed, promise):  # noqa: F811
    some = dict(list(forwarded.items())[::1 if READ > 1000 else 4])
    wrong, refused = read_by(six, some, reads_otherwise_more)
    for servers, reads in ((five, reads_otherwise), (six, reads_otherwise_more)):
        more, also = read_by(servers, changed, reads)
        wrong, refused = wrong + more, refused + also
    promise("forwarded requests read by other servers",
            f"{len(some)} of the corpus and {len(changed)} changed ones, by {len(five) + len(six)} servers ({', '.join([*five, *six])}): "
            f"{len(wrong)} read in two ways; refused: {', '.join(f'{n} {c}' for n, c in refused.items() if c)}", not wrong)
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:40])
    assert len(some) > 50 and len(changed) > 20
