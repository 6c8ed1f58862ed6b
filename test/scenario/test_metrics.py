"""Metrics on the whole program: what a real parser makes of them, and that they add up whatever dies."""

import json
import re
import select
import shutil
import signal
import socket
import subprocess

from prometheus_client.parser import text_string_to_metric_families

from client import Client, ask
from program import free_port, wait_until
from test_records import Echo, backend, site  # noqa: F401 (a fixture)

APP = '''
import threading
started, go = threading.Event(), threading.Event()
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x"]
'''


def families(text):
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.name not in found, f"{family.name} comes twice"
        assert family.documentation and family.type in ("counter", "gauge", "histogram"), family.name
        found[family.name] = family
    return found


def metrics(one):
    text = one.cli("metrics")
    assert text.endswith("\n") and text.isascii()
    return families(text)


def value(found, name, **labels):
    """The sum of all samples that have these labels."""
    got = [s.value for family in found.values() for s in family.samples
           if s.name == name and all(s.labels.get(k) == v for k, v in labels.items())]
    return sum(got) if got else None


def histogram(found, name, **labels):
    """Its count; it is cumulative, and its sum fits its buckets."""
    buckets = [(float(s.labels["le"]), s.value) for s in found[name].samples
               if s.name == name + "_bucket" and all(s.labels[k] == v for k, v in labels.items())]
    assert buckets == sorted(buckets) and [b for _, b in buckets] == sorted(b for _, b in buckets)
    assert buckets[-1][0] == float("inf") and buckets[0][0] == 64e-6 and buckets[-2][0] == 67.108864
    assert all(abs(upper / lower - 2) < 1e-9 for (lower, _), (upper, _) in zip(buckets[:-1], buckets[1:-1]))
    count, total = value(found, name + "_count", **labels), value(found, name + "_sum", **labels)
    assert buckets[-1][1] == count
    if buckets[-2][1] == count:
        assert total <= sum(up * (n - before) for (up, n), (_, before) in
                            zip(buckets[:-1], [(0, 0), *buckets[:-2]])) + 1e-6
    return count


def test_every_row_is_there_and_parses(stead, app_folder):
    one = site(stead, app_folder, "[Site]\nRoot=public\n")
    rows = json.loads(one.cli("introspect", "metrics", state=False))["rows"]
    got = metrics(one)
    # The parser takes _total off a counter's name.
    names = {re.sub("_total$", "", row["name"]) for row in rows}
    assert names == set(got)
    for row in rows:
        assert got[re.sub("_total$", "", row["name"])].type == row["type"], row
        assert row["type"] != "counter" or row["name"].endswith("_total")
    assert value(got, "stead_build_info") == 1 and value(got, "stead_process_up", role="gate") >= 1
    for role in ("parent", "ctl", "log", "gate"):
        assert value(got, "stead_process_restarts_total", role=role) == 0
        assert value(got, "stead_process_start_time_seconds", role=role) > 1e9
    if shutil.which("promtool"):  # of the package prometheus, where it is installed
        told = subprocess.run(["promtool", "check", "metrics"], input=one.cli("metrics"), text=True,
                              capture_output=True, check=False)
        assert told.returncode == 0 and not told.stderr, told.stdout + told.stderr
    # The same as JSON, one object a line.
    lines = [json.loads(line) for line in one.cli("metrics", "--json").splitlines()]
    assert {(o["name"], o["type"]) for o in lines} == {
        (s.name, f.type) for f in got.values() for s in f.samples}
    assert all(isinstance(o["value"], (int, float)) and isinstance(o["labels"], dict) for o in lines)


def test_nothing_is_lost_over_reloads_and_deaths(stead, app_folder, backend):  # noqa: F811
    """Exactly as many as were asked, also when gate, ctl and log died and the configuration was read again."""
    one = site(stead, app_folder, "[Site]\nRoot=public\n[Server]\nGates=2\n[Route /api]\nTo=api\n"
                                  f"[Upstream api]\nServer=127.0.0.1:{backend}\n")
    zero = metrics(one)
    base = value(zero, "stead_site_requests_total", site="shop")
    made = {"2xx": 0, "4xx": 0, "api": 0}

    def some(n=7):
        for i in range(n):
            assert ask(one, "/").status == 200
            assert ask(one, "/nothing").status == 404
            assert ask(one, "/api/x").status == 203
            made["2xx"] += 2
            made["4xx"] += 1
            made["api"] += 1
            if i == 0:
                with Client(one.port) as c:  # three on one connection
                    for _ in range(3):
                        assert c.ask("/").status == 200
                    made["2xx"] += 3

    def all_counted():
        got = metrics(one)
        done = sum(made[k] for k in ("2xx", "4xx"))
        return (value(got, "stead_site_requests_total", site="shop") == base + done
                and value(got, "stead_upstream_requests_total", upstream="api", site="shop") == made["api"]) and got

    def check(what):
        got = wait_until(f"all to be counted {what}", all_counted)
        done = made["2xx"] + made["4xx"]
        assert value(got, "stead_site_answers_total", site="shop", code="4xx") == made["4xx"]
        assert value(got, "stead_site_answers_total", site="shop") == base + done
        assert histogram(got, "stead_site_request_duration_seconds", site="shop") == base + done
        assert histogram(got, "stead_upstream_response_seconds", site="shop", upstream="api") == made["api"]
        assert value(got, "stead_upstream_answers_total", upstream="api", code="2xx") == made["api"]
        assert value(got, "stead_requests_total") == base + done
        wait_until("the gauges to be back", lambda: value(metrics(one), "stead_connections_open") == 0
                   and value(metrics(one), "stead_site_requests_active") == 0
                   and value(metrics(one), "stead_requests_active") == 0)

    def reload():
        """It asks the site itself, as `up` did: that counts too."""
        nonlocal base
        one.cli("reload")
        done = made["2xx"] + made["4xx"]
        more = value(metrics(one), "stead_site_requests_total", site="shop") - done - base
        assert 0 <= more <= 2
        base += more

    some()
    check("at first")
    for role in ("gate", "ctl", "gate", "log"):
        one.kill_and_wait(role)
        wait_until("an answer", lambda: ask(one, "/").status == 200)
        made["2xx"] += 1
        some(2)
        check(f"after the end of {role}")
        reload()
        some(1)
        check("after a reload")
    got = metrics(one)
    assert value(got, "stead_process_restarts_total", role="gate") == 2
    assert value(got, "stead_process_restarts_total", role="ctl") == 1
    # Names are kept: a site that counted before is not forgotten.
    (one.folder / "stead.conf").write_text("[Site]\nRoot=public\n[Server]\nGates=2\n")
    reload()
    check("without its backend")


def test_workers_and_queue(stead, app_folder):
    one = stead(app_folder({"app.py": APP, "stead.conf": "[Python]\nWsgi=app:application\nWorkers=2\n"},
                           name="shop")).up()
    # It is live with the first of them.
    got = wait_until("both", lambda: (found := metrics(one)) and value(found, "stead_app_workers", app="shop", state="up") == 2 and found)
    assert value(got, "stead_app_workers_wanted", app="shop") == 2
    assert value(got, "stead_site_queue_length", site="shop") == 0
    with Client(one.port) as idle:
        assert idle.ask("/").status == 200
        wait_until("one idle connection", lambda: value(metrics(one), "stead_connections_idle") == 1)
    one.kill_and_wait("worker")
    wait_until("a restart", lambda: value(metrics(one), "stead_process_restarts_total", role="worker") == 1)
    wait_until("both", lambda: value(metrics(one), "stead_app_workers", app="shop", state="up") == 2)


def scrape(port, path="/metrics", method="GET"):
    with Client(port) as c:
        return c.ask(path, method, {"Connection": "close"})


def test_port(stead, app_folder):
    port, other = free_port(), free_port()
    conf = f"[Site]\nRoot=public\n[Server]\nGates=2\nMetrics=127.0.0.1:{port}\n"
    one = site(stead, app_folder, conf)
    before = value(metrics(one), "stead_site_requests_total", site="shop")
    answer = scrape(port)
    assert answer.status == 200 and answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert set(families(answer.text)) == set(metrics(one))
    assert scrape(port, method="HEAD").body == b""
    assert scrape(port, "/").status == 404 and scrape(port, "/metrics/").status == 404
    refused = scrape(port, method="POST")
    assert refused.status == 405 and refused["Allow"] == "GET, HEAD"
    assert ask(one, "/metrics").status == 404  # the site has none
    # At most 16 connections of it a gate: what is more is turned away, and the site does not notice.
    idle = [Client(port) for _ in range(60)]
    wait_until("those that are too many to be told",
               lambda: len(select.select([c.socket for c in idle], [], [], 0)[0]) >= 60 - 2 * 16,
               timeout=5)  # long before HeaderTimeoutSec= would close them
    assert ask(one, "/").status == 200
    for c in idle:
        c.close()
    # Nobody who reads slowly, sends nonsense or stays holds up anybody.
    slow = [Client(port) for _ in range(60)]
    for c in slow:
        try:
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            c.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        except ConnectionError:
            pass  # more than such a port is good for
    for _ in range(20):
        assert ask(one, "/").status == 200
    assert families(one.cli("metrics"))
    for c in slow:
        c.close()
    with Client(port) as c:
        c.send(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert c.line().split()[1] == b"400"
    wait_until("the port to be free again", lambda: scrape(port).status == 200)
    # What comes in on it is no request of a site, and leaves no record.
    assert value(metrics(one), "stead_site_requests_total", site="shop") == before + 22
    assert not any(r.get("target") == "/metrics" and r["status"] == 200 for r in one.logs() if r["kind"] == "access")
    # Without ctl there are no figures, and with the next there are.
    one.kill("ctl", signal.SIGSTOP)
    late = scrape(port)  # close reason metrics_none
    assert late.status == 503 and "the control process does not answer" in late.text and late["Retry-After"]
    one.kill("ctl", signal.SIGCONT)
    one.kill("ctl")
    wait_until("figures again", lambda: scrape(port).status == 200)
    one.kill_and_wait("gate")
    wait_until("figures again", lambda: scrape(port).status == 200)
    # A reload moves it, and takes it away.
    (one.folder / "stead.conf").write_text(conf.replace(str(port), str(other)))
    one.cli("reload")
    assert scrape(other).status == 200
    wait_until("the old one to be closed", lambda: not open_port(port))
    (one.folder / "stead.conf").write_text(conf.replace(f"Metrics=127.0.0.1:{other}\n", ""))
    one.cli("reload")
    wait_until("it to be closed", lambda: not open_port(other))


def open_port(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except ConnectionRefusedError:
        return False


def test_port_that_is_taken_or_of_everybody(stead, app_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        folder = app_folder({"public/index.html": "", "stead.conf": f"[Site]\nRoot=public\n[Server]\nMetrics=127.0.0.1:{port}\n"})
        text = stead(folder).fails(1)
        assert f"cannot listen on 127.0.0.1:{port}" in text and "stead.conf:4" in text
    for bad in ("0.0.0.0:9145", ":9145", "[::]:9145", "192.0.2.1:9145", "127.0.0.1:0", "yes"):
        (folder / "stead.conf").write_text(f"[Site]\nRoot=public\n[Server]\nMetrics={bad}\n")
        assert "stead.conf:4:9: error: Metrics=" in stead(folder).fails(2)
