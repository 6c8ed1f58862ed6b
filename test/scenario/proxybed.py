"""A real gate before backends that behave as the test says: what test_proxy*.py share."""

import pytest

from backendbed import Backend, answer
from gatebed import Answer, Gate, described, request

UPSTREAM = {"name": "u", "protocol": "http", "balance": "roundrobin", "keep_alive": 16, "retry": 2, "fail_max": 3,
            "timeout_ms": 3000, "queue": 8, "queue_timeout_ms": 1500}


def description(servers, route=None, **upstream):
    route = {"path": "/", "match": "prefix", "to": "upstream", "upstream": "u", "access": "json",
             "request_timeout_ms": upstream.get("timeout_ms", UPSTREAM["timeout_ms"]), **(route or {})}
    return {"sites": [{"name": "a", "hosts": ["localhost"], "default": True, "head_max": 32768,
                       "header_timeout_ms": 10000, "idle_timeout_ms": 2000, "rate_min": 1, "routes": [route]}],
            "upstreams": [{**UPSTREAM, **upstream, "servers": servers}]}


@pytest.fixture
def bed():
    made = []

    def make(script, route=None, path=None, wrap=None, **upstream):
        scripts = script if isinstance(script, list) else [script]
        backends = [Backend(s, path, wrap) for s in scripts]
        made.extend(backends)
        gate = Gate(described(description([b.server for b in backends], route, **upstream)))
        made.append(gate)
        return (gate, *backends)
    yield make
    for it in reversed(made):
        if isinstance(it, Gate):
            assert it.end() == 0
        else:
            it.end()


def ask(gate, data, method="GET"):
    with gate.connect() as sock:
        sock.sendall(data)
        return Answer(sock.makefile("rb"), method)


def get(gate, target="/", method="GET", **fields):
    return ask(gate, request(target, method, **fields), method)


def echo(t):
    while (got := t.head()) is not None:
        line, fields = got
        body = t.body(fields)
        told = "\n".join([line, *(f"{n}: {v}" for n, v in fields)]).encode()
        t.send(answer(told + b"\n\n" + body))


def lines_of(got):
    head, _, body = got.body.partition(b"\n\n")
    line, *fields = head.decode().split("\n")
    return line, fields, body


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("RssAnon"))


def break_idle(gate, backend):
    """Let the gate forget its kept connections."""
    gate.snap(description([{"address": "127.0.0.1:1"}]))
    gate.snap(description([backend.server]))
