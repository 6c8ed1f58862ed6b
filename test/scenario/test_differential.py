"""Malformed and ambiguous requests (test/corpus): what stead refuses, and what a backend reads of the rest.

Each row is sent on a connection of its own, and a request of ours behind it: it is answered exactly where the
row says that the connection goes on, so a body that ends elsewhere than the row says shows at once.
"""

import pathlib
import socket
import sys

import pytest

from gatebed import Gate, described
from proxybed import description
from recorder import Recorder

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from corpus import PARTS, ROWS  # noqa: E402
from corpus.shape import CUT, ENDS, Forwarded, Here, Refused  # noqa: E402

BEHIND = b"GET /behind HTTP/1.1\r\nHost: behind\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def bed():
    recorder = Recorder()
    gate = Gate(described(description([recorder.server], {"body_max": 1 << 20})))
    yield gate, recorder
    assert gate.end() == 0
    recorder.end()


def answers(sock, methods):
    """The statuses of all final answers until stead closes."""
    reader, found = sock.makefile("rb"), []
    try:
        while line := reader.readline():
            status, length = int(line.split()[1]), 0
            while (field := reader.readline()) not in (b"\r\n", b""):
                name, _, value = field.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if status < 200:
                continue
            if len(found) >= len(methods) or methods[len(found)] != b"HEAD":
                reader.read(length)
            found.append(status)
    except ConnectionResetError:
        found.append("reset")
    return found


def exchange(gate, raw, want):
    with gate.connect() as sock:
        sock.sendall(raw if CUT in want else raw + BEHIND)
        if CUT in want:
            sock.shutdown(socket.SHUT_WR)
        return answers(sock, [w.method if isinstance(w, Forwarded) else b"" for w in want])


def differs(w, got):
    """What of the forwarded request is not as the row says."""
    lines = [n + b": " + v for n, v in got.fields]
    seen = (got.method, got.target, got.body, *got.values(b"host"))
    if seen != (w.method, w.target, w.body, w.host):
        return f"the backend read {seen}"
    for line in w.has:
        if line not in lines:
            return f"{line} is not in {lines}"
    for name in w.lacks:
        if got.values(name):
            return f"{name} was forwarded"
    hop = {b"connection", b"te"} if got.values(b"te") else {b"connection", b"upgrade"} if got.values(b"upgrade") else set()
    for name, _ in got.fields:
        if name in (b"connection", b"te", b"upgrade", b"keep-alive", b"trailer", b"expect", b"proxy-connection") and name not in hop:
            return f"{name} was forwarded"
    return None


def check(gate, recorder, row):
    """What is wrong with stead's answer to this row, and the requests that it forwarded."""
    _, raw, want, _, _ = row
    statuses = exchange(gate, raw, want)
    requests, _, wrong = recorder.take()
    if wrong:
        return f"not in the canonical form: {wrong}", requests
    outcomes = [w for w in want if w not in (CUT, ENDS)]
    goes_on = not any(isinstance(w, Refused) for w in want) and CUT not in want and ENDS not in want
    expected = [w for w in outcomes if isinstance(w, Forwarded)]
    mine = requests[:-1] if goes_on else requests
    if goes_on and not (requests and requests[-1].target == b"/behind" and requests[-1].host_is(b"behind")):
        return f"what follows was not read as it is: {statuses}, {[r.target for r in requests]}", mine
    if len(mine) != len(expected):
        return f"{len(expected)} to forward, but: {statuses}, {[(r.method, r.target) for r in mine]}", mine
    for w, got in zip(expected, mine):
        if said := differs(w, got):
            return said, mine
    if CUT in want:
        rest = statuses[len(outcomes):]
        if statuses[:len(outcomes)] != [200] * len(outcomes) or any(s != "reset" and s < 400 for s in rest):
            return f"cut, but: {statuses}", mine
        return None, mine
    allowed = [w.statuses if isinstance(w, (Refused, Here)) else (200,) for w in outcomes] + [(200,)] * goes_on
    if len(statuses) != len(allowed) or any(s not in a for s, a in zip(statuses, allowed)):
        return f"answered {statuses}, not {allowed}", mine
    return None, mine


def test_the_corpus_is_what_it_says():
    """At least 200 rows, no two alike, each with its section and its reason."""
    assert len(ROWS) >= 200
    assert len({row[0] for row in ROWS}) == len({row[1] for row in ROWS}) == len(ROWS)
    for _, raw, want, section, why in ROWS:
        assert raw and want and section and why


@pytest.mark.parametrize("part", PARTS)
def test_each_request_has_its_right_answer(bed, part):
    found = [(row[0], said) for row in PARTS[part] if (said := check(*bed, row)[0])]
    assert not found, "\n".join(f"{name}: {said}" for name, said in found)


@pytest.mark.promise
def test_the_corpus_in_one_run(bed, promise):
    """All rows, one behind the other; the numbers for `make promises`."""
    refused = sum(any(isinstance(w, Refused) for w in row[2]) for row in ROWS)
    forwarded, wrong = 0, []
    for row in ROWS:
        said, requests = check(*bed, row)
        forwarded += len(requests)
        wrong += [(row[0], said)] if said else []
    promise("malformed and ambiguous requests",
            f"{len(ROWS)}, {refused} refused, {forwarded} messages forwarded, {len(wrong)} not as the RFC says")
    assert not wrong
