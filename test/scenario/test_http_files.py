"""Files, deadlines, draining and records on a real gate; the bytes of HTTP itself are test_http.py's."""

import re
import resource
import socket
import time

import pytest

from gatebed import FILES, folder, gate, fresh, Answer, request, talk, GET, POST  # noqa: F401 (fixtures too)
import program


def get(gate, target, method="GET", **fields):
    (answer,), _ = talk(gate, request(target, method, **fields), method=method)
    return answer


@pytest.mark.parametrize("target,status,body", [
    ("/", 200, FILES["index.html"]), ("/index.html", 200, FILES["index.html"]), ("/sub/", 200, b"sub\n"),
    ("/a.txt?x=1", 200, b"0123456789"), ("/a%20b.txt", 200, b"blank"), ("/sp%25cial.css", 200, b"p{}"),
    ("/.well-known/x", 200, b"known"), ("/empty", 200, b""), ("/pre/a.txt", 200, b"0123456789"),
    ("//a.txt", 200, b"0123456789"), ("/.env", 404, None), ("/.git/config", 404, None), ("/stead.conf", 404, None),
    ("/sub/.env", 404, None), ("/%2eenv", 404, None), ("/none", 404, None), ("/a.txt/", 404, None),
    ("/a.txt/x", 404, None), ("/prea.txt", 404, None), ("/sub/../.env", 404, None), ("/" + "a" * 300, 404, None)])
def test_files(gate, target, status, body):
    answer = get(gate, target)
    assert answer.status == status
    assert answer.body == (body if body is not None else FILES["404.html"])


def test_types(gate):
    assert get(gate, "/").fields["content-type"] == "text/html; charset=utf-8"
    assert get(gate, "/sp%25cial.css").fields["content-type"] == "text/css; charset=utf-8"
    assert get(gate, "/big.bin").fields["content-type"] == "application/octet-stream"


def test_folder_is_redirected(gate):
    answer = get(gate, "/sub?x=1")
    assert answer.status == 301 and answer.fields["location"] == "/sub/?x=1"
    assert get(gate, "//sub").fields["location"] == "/sub/"
    assert get(gate, "/pre").fields["location"] == "/pre/"


def test_links_do_not_lead_out(gate):
    (gate.folder / "out").symlink_to("/etc/passwd")
    (gate.folder / "up").symlink_to("..")
    (gate.folder / "in").symlink_to("a.txt")
    assert get(gate, "/out").status == 404
    assert get(gate, "/up/etc").status == 404
    assert get(gate, "/in").body == b"0123456789"


def test_other_methods(gate):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = get(gate, "/a.txt", method)
        assert answer.status == 405 and answer.fields["allow"] == "GET, HEAD"


def test_conditions(gate):
    first = get(gate, "/a.txt")
    tag, date = first.fields["etag"], first.fields["last-modified"]
    assert re.fullmatch(r'"[0-9a-f-]+"', tag)
    for fields, status in (
            ({"If_None_Match": tag}, 304), ({"If_None_Match": "W/" + tag}, 304), ({"If_None_Match": "*"}, 304),
            ({"If_None_Match": f'"x", {tag}'}, 304), ({"If_None_Match": '"x"'}, 200),
            ({"If_Modified_Since": date}, 304), ({"If_Modified_Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 200),
            ({"If_Modified_Since": "Sunday, 06-Nov-94 08:49:37 GMT"}, 200),
            ({"If_Modified_Since": "Sun Nov  6 08:49:37 1994"}, 200), ({"If_Modified_Since": "nonsense"}, 200),
            ({"If_None_Match": '"x"', "If_Modified_Since": date}, 200),
            ({"If_Match": tag}, 200), ({"If_Match": '"x"'}, 412), ({"If_Match": "*"}, 200), ({"If_Match": "W/" + tag}, 412),
            ({"If_Unmodified_Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 412), ({"If_Unmodified_Since": date}, 200)):
        answer = get(gate, "/a.txt", **fields)
        assert answer.status == status, fields
        if status == 304:
            assert answer.fields["etag"] == tag and answer.body == b""


def test_ranges(gate):
    for field, status, content in (
            ("bytes=0-0", 206, b"0"), ("bytes=2-4", 206, b"234"), ("bytes=8-", 206, b"89"), ("bytes=-3", 206, b"789"),
            ("bytes=-99", 206, b"0123456789"), ("bytes=5-99", 206, b"56789"), ("bytes=10-", 416, None),
            ("bytes=-0", 416, None), ("bytes=99999999999999999999-", 416, None), ("bytes=4-2", 200, b"0123456789"),
            ("lines=1-2", 200, b"0123456789"), ("bytes=", 200, b"0123456789"), ("bytes=a-b", 200, b"0123456789"),
            ("bytes=0-9,0-9", 200, b"0123456789"), ("bytes=99-,0-1", 206, b"01"),
            ("bytes=" + ",".join(["0-0"] * 17), 200, b"0123456789")):
        answer = get(gate, "/a.txt", Range=field)
        assert answer.status == status, field
        if content is not None:
            assert answer.body == content, field
        if status == 206:
            assert answer.fields["content-range"].endswith("/10")
        if status == 416:
            assert answer.fields["content-range"] == "bytes */10"
    assert get(gate, "/a.txt", "HEAD", Range="bytes=0-0").status == 200
    assert get(gate, "/big.bin", Range="bytes=1000-999999").body == FILES["big.bin"][1000:1000000]


@pytest.mark.parametrize("target,ranges", [("/a.txt", [(0, 1), (5, 6)]), ("/big.bin", [(0, 99), (50000, 149999), (900000, 1048575)])])
def test_multipart(gate, target, ranges):
    answer = get(gate, target, Range="bytes=" + ",".join(f"{a}-{b}" for a, b in ranges))
    assert answer.status == 206
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer.fields["content-type"]).group(1).encode()
    parts = answer.body.split(b"\r\n--" + boundary)
    assert parts[0] == b"" and parts[-1] == b"--\r\n" and len(parts) == len(ranges) + 2
    for part, (a, b) in zip(parts[1:], ranges):
        head, _, content = part.partition(b"\r\n\r\n")
        assert b"Content-Range: bytes %d-%d/" % (a, b) in head
        assert content == FILES[target[1:]][a:b + 1]


def test_if_range(gate):
    first = get(gate, "/a.txt")
    for value, status in ((first.fields["etag"], 206), (first.fields["last-modified"], 206), ('"x"', 200),
                          ("W/" + first.fields["etag"], 200), ("Sun, 06 Nov 1994 08:49:37 GMT", 200)):
        assert get(gate, "/a.txt", Range="bytes=0-0", If_Range=value).status == status


def test_a_changed_file_is_served_changed(gate):
    file = gate.folder / "changing.txt"
    file.write_bytes(b"old")
    assert get(gate, "/changing.txt").body == b"old"
    file.write_bytes(b"new")
    program.wait_until("the new content", lambda: get(gate, "/changing.txt").body == b"new", 5)
    file.unlink()
    program.wait_until("its end", lambda: get(gate, "/changing.txt").status == 404, 5)


def test_built_in_page(gate):
    answer = get(gate, "/app")
    assert answer.status == 503 and int(answer.fields["retry-after"]) > 0
    assert b"The app is starting" in answer.body and answer.fields["cache-control"] == "no-store"


# Time, ends, records


def test_header_deadline(fresh):
    gate = fresh(header_ms=300, idle_ms=600)
    with gate.connect() as sock:
        began = time.monotonic()
        sock.sendall(b"GET / HTTP/1.1\r\nHo")
        assert Answer(sock.makefile("rb")).status == 408
        assert 0.25 < time.monotonic() - began < 3
    with gate.connect() as sock:
        assert sock.recv(1) == b""
    assert [r["close"] for r in gate.records(1)] == ["header_timeout"]


def test_idle_deadline(fresh):
    gate = fresh(header_ms=5000, idle_ms=300)
    with gate.connect() as sock:
        reader = sock.makefile("rb")
        sock.sendall(request())
        assert Answer(reader).status == 200
        began = time.monotonic()
        assert reader.read(1) == b""
        assert 0.2 < time.monotonic() - began < 6


def test_minimum_rate(fresh):
    """Who stops in the middle is ended; who is slow but moves is not."""
    gate = fresh(header_ms=400, idle_ms=1000, rate_min=1000)
    with gate.connect() as sock:
        sock.sendall(request("/", "POST", Content_Length=50000) + b"x")
        reader = sock.makefile("rb")
        assert Answer(reader).status == 405
        assert reader.read(1) == b""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", gate.port))
        sock.sendall(request("/big.bin") * 8)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            assert sock.recv(200)
            time.sleep(0.01)
        assert {r["close"] for r in gate.records()} <= {"done", "bad_method"}
        program.wait_until("its end", lambda: "send_too_slow" in [r["close"] for r in gate.records()], 5)


def test_half_close_in_a_body(fresh):
    """A client that ends in the middle of its body leaves nothing behind, answered or not."""
    gate = fresh()
    for target, got in (("/a.txt", 405), ("/app", None)):
        with gate.connect() as sock:
            sock.sendall(request(target, "POST", Content_Length=5000) + b"x" * 100)
            sock.shutdown(socket.SHUT_WR)
            reader = sock.makefile("rb")
            if got:
                assert Answer(reader).status == got
            assert reader.read() == b""
    program.wait_until("no connection", lambda: gate.counters()["stead_connections_open"] == 0, 3)


def test_many_slow_heads(fresh):
    """Thousands of clients that never finish their heads take nothing from the others."""
    gate = fresh()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    slow = []
    try:
        for _ in range(min(6000, limit[1] - 500)):
            slow.append(gate.connect())
            slow[-1].sendall(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(20):
            assert get(gate, "/a.txt").status == 200
        program.wait_until("all accepted", lambda: gate.counters()["stead_connections_open"] >= len(slow))
    finally:
        for sock in slow:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    program.wait_until("all gone", lambda: gate.counters()["stead_connections_open"] == 0)


def test_half_close_while_an_app_works(fresh):
    """Shut right behind the request: still reads. Shut later: has gone away, and nothing is done for it any more."""
    gate = fresh()
    with gate.connect() as sock:
        sock.sendall(request("/app"))
        sock.shutdown(socket.SHUT_WR)
        assert Answer(sock.makefile("rb")).status == 503
    with gate.connect() as sock:
        sock.sendall(request("/app"))
        time.sleep(0.2)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert [r["close"] for r in gate.records(2)] == ["app_starting", "client_gone"]


def test_drain(fresh):
    """New answers say close, idle connections go after a grace, the process ends by itself."""
    gate = fresh()
    with gate.connect() as busy, gate.connect() as idle:
        reader = busy.makefile("rb")
        for sock in (busy, idle):
            sock.sendall(request())
            Answer(sock.makefile("rb"))
        gate.say("stop 4000")
        time.sleep(0.1)
        busy.sendall(request())
        answer = Answer(reader)
        assert answer.status == 200 and answer.fields["connection"] == "close"
        assert reader.read(1) == b""
        assert idle.recv(1) == b""
    with pytest.raises(OSError):
        # The harness holds the listener open, so that a client may connect; nobody accepts.
        sock = gate.connect()
        sock.settimeout(0.3)
        sock.sendall(request())
        if not sock.recv(1):
            raise OSError
    assert gate.end() == 0


def test_drain_behind_a_long_answer(fresh, folder):
    """Its head was sent before the gate was told to go, and said nothing of a close: who asks again behind it is heard;
    who does not is left an idle connection's grace, and no more."""
    size = 24 << 20  # more than what sockets hold
    (folder / "long.bin").write_bytes(bytes(size))
    gate = fresh()
    with gate.connect() as asks, gate.connect() as rests:
        readers = []
        for sock in (asks, rests):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.sendall(request("/long.bin"))
            readers.append(sock.makefile("rb"))
            while readers[-1].readline() != b"\r\n":
                pass
        gate.say("stop 8000")  # an idle connection is left open for a quarter of this
        began = time.monotonic()
        time.sleep(2.2)
        assert all(reader.read(size) == bytes(size) for reader in readers)
        asks.sendall(request("/a.txt"))
        answer = Answer(readers[0])
        assert answer.status == 200 and answer.fields["connection"] == "close"
        assert readers[0].read(1) == readers[1].read(1) == b""
        assert time.monotonic() - began < 7
    assert gate.end() == 0


def test_damaged_snapshot_is_refused(fresh):
    gate = fresh()
    loaded = gate.say("damaged")
    assert int(loaded[0].split()[2]) != 0
    assert get(gate, "/a.txt").status == 200
    assert gate.say("snap")[0].split()[2] == "0"
    assert get(gate, "/a.txt").status == 200


def test_records_and_counters(fresh):
    gate = fresh()
    talk(gate, request("/a.txt") + request("/none") + request("/sub"), 3)
    talk(gate, b"nonsense\r\n\r\n")
    records = gate.records(5)
    assert [r["status"] for r in records] == [200, 404, 301, 200, 400]
    assert [r["close"] for r in records] == ["done", "not_found", "done", "done", "bad_request"]
    assert records[0]["target"] == "/a.txt" and records[0]["bytes"] == 10 and records[0]["site"] == "harness"
    assert records[0]["client"] == "127.0.0.1" and records[0]["method"] == "GET" and records[0]["ms"] >= 0
    assert len({r["id"] for r in records}) == 5
    program.wait_until("no open connection", lambda: gate.counters()["stead_connections_open"] == 0)
    counters = gate.counters()
    assert counters["stead_requests_total"] == 5 and counters["stead_requests_active"] == 0
    assert counters["stead_body_budget_used_bytes"] == 0


def test_records_off(fresh):
    gate = fresh(access=0)
    assert get(gate, "/a.txt").status == 200
    assert gate.records() == []


def test_slow_reader_holds_nobody(gate):
    with gate.connect() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.sendall(request("/big.bin") * 8)
        time.sleep(0.1)
        for _ in range(20):
            assert get(gate, "/a.txt").status == 200
        reader = slow.makefile("rb")
        for _ in range(8):
            assert Answer(reader).body == FILES["big.bin"]


def test_client_gone_in_the_middle(gate):
    for _ in range(20):
        with gate.connect() as sock:
            sock.sendall(request("/big.bin") * 4)
            sock.recv(1000)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    program.wait_until("all requests over", lambda: gate.counters()["stead_requests_active"] == 0)
    assert get(gate, "/a.txt").status == 200
