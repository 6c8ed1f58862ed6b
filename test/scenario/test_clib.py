"""Apps in C on libstead: the example as its README says it, bodies, files, streams, deaths, misuse."""

import hashlib
import os
import pathlib
import shutil
import socket
import subprocess
import threading

import pytest

import program
from client import Client, Load, ask, raw
from program import BUILD, TOP, wait_until

LIBRARY = BUILD / "src" / "link" / "libstead.so.0"
MB = 1024 * 1024


def compiler():
    """The app is built as the library was: a sanitizer's run time must come first in a process."""
    if b"__asan" in LIBRARY.read_bytes():
        return {"CC": "clang", "CFLAGS": "-g -fsanitize=address,undefined"}
    return {}


@pytest.fixture
def built(work):
    """One folder with examples/c-hello, built by its own Makefile, and one with the app of the unit tests."""
    env = {**os.environ, **compiler(), "PKG_CONFIG_PATH": str(BUILD / "meson-uninstalled")}
    hello = work / "c-hello"
    shutil.copytree(TOP / "examples" / "c-hello", hello, ignore=shutil.ignore_patterns(".stead", "hello"))
    subprocess.run(["make", "-C", str(hello)], env=env, check=True, stdout=subprocess.DEVNULL)
    app = work / "capp"
    app.mkdir()
    source = TOP / "test" / "unit" / "link"
    subprocess.run([env.get("CC", "cc"), *env.get("CFLAGS", "").split(), "-o", str(app / "app"), str(source / "capp.c"),
                    "-I", str(TOP / "src" / "link"), str(LIBRARY), f"-Wl,-rpath,{LIBRARY.parent}", "-pthread"], check=True)
    shutil.copy(source / "file.txt", app)
    for folder in (hello, app):
        program.give(folder)
    return {"hello": hello, "app": app}


def workers(one):
    return [p for p in one.status()["processes"] if p["role"] == "worker" and p["phase"] == "up"]


def peak_kb(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0])


def test_example(stead, built):
    """`make` and `stead up`: the three commands of its comment."""
    one = stead(built["hello"]).up()
    got = ask(one, "/some/path%20x")
    assert (got.status, got.body, got["content-type"]) == (200, b"Hello from /some/path x\n", "text/plain; charset=utf-8")
    assert ask(one, "/", method="POST", body=b"abc").body == b"abc"
    head = ask(one, "/", method="HEAD")
    assert head.status == 200 and head.body == b"" and head["content-length"] == "13"
    assert len(workers(one)) == 1
    # It ends by itself when it is asked to, and the next one serves meanwhile.
    old = workers(one)[0]["pid"]
    with Load(one, rate=100, threads=2) as load:
        one.cli("restart")
        load.wait_for(50)
    assert load.failed == 0, load
    assert workers(one)[0]["pid"] != old


def test_echo_of_100_mb(stead, built):
    conf = built["hello"] / "stead.conf"
    conf.write_text(conf.read_text() + "[Site]\nBodyMax=200M\n")
    one = stead(built["hello"]).up()
    pid = workers(one)[0]["pid"]
    ask(one, "/", method="POST", body=b"x" * 100000)
    before = peak_kb(pid), peak_kb(one.pid("gate"))
    piece, count = bytes(range(256)) * 4096, 100
    with socket.create_connection(("127.0.0.1", one.port), timeout=program.TIMEOUT) as s:
        def upload():
            s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (len(piece) * count))
            for _ in range(count):
                s.sendall(piece)
        sender = threading.Thread(target=upload)
        sender.start()
        with s.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 200")
            while answer.readline() != b"\r\n":
                pass
            got, want = hashlib.sha256(), hashlib.sha256()
            while size := int(answer.readline(), 16):
                got.update(answer.read(size))
                answer.readline()
        sender.join()
    for _ in range(count):
        want.update(piece)
    assert got.digest() == want.digest()
    grown = peak_kb(pid) - before[0], peak_kb(one.pid("gate")) - before[1]
    assert grown[0] < 4096 and grown[1] < 24 * 1024, f"grew by {grown} KB"


def run_app(stead, built, more="", argument="block"):
    (built["app"] / "stead.conf").write_text(f"[Service]\nExecStart=./app {argument}\nListen=link\n{more}")
    program.give(built["app"])
    return stead(built["app"]).up()


def test_answers(stead, built):
    one = run_app(stead, built)
    assert ask(one, "/file").body == b"file contents\n"
    assert ask(one, "/file-part").body == b"contents"
    assert raw(one, b"GET /file HTTP/1.1\r\nHost: x\r\nRange: bytes=5-8\r\nConnection: close\r\n\r\n").count(b"HTTP/1.1 2") == 1
    pieces = ask(one, "/pieces")
    assert pieces.body == b"one two three" and pieces["transfer-encoding"] == "chunked"
    assert ask(one, "/empty").status == 204
    tea = ask(one, "/status")
    assert (tea.status, tea.body, tea["x-kept"]) == (418, b"tea", "yes")
    assert ask(one, "/nothing").status == 500
    assert len(ask(one, "/big").body) == 3000000
    fields = ask(one, "/fields?q=1", headers={"X-One": "a", "Cookie": "c=1"}).text
    assert "x-one=a\n" in fields and "cookie=c=1\n" in fields and "GET /fields?q=1 /fields ?q=1 http" in fields
    # Every misuse is an error at the app's own call, and it serves on.
    assert len(ask(one, "/misuse").body) == 400
    ask(one, "/log")
    wait_until("its line in the log", lambda: "] a line of two" in one.log_tail())
    assert " is -" not in one.log_tail()
    assert ask(one, "/hello").body == b"Hello, world!\n"


def test_client_gone(stead, built):
    one = run_app(stead, built)
    with Client(one.port) as c:
        c.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        c.line()
    # It was told (its one thread is free again), and said nothing of a surprise.
    assert ask(one, "/hello").body == b"Hello, world!\n"
    assert "endless ended" not in one.log_tail()


def test_killed(stead, built):
    """One that dies is replaced; requests that may be repeated are answered by the next."""
    one = run_app(stead, built, "Workers=2\n")
    wait_until("both", lambda: len(workers(one)) == 2)
    with Load(one, "/hello", rate=100, threads=2) as load:
        for _ in range(3):
            pids = {w["pid"] for w in wait_until("both", lambda: len(workers(one)) == 2 and workers(one))}
            os.kill(min(pids), 9)
            wait_until("another", lambda: len(workers(one)) == 2 and {w["pid"] for w in workers(one)} != pids)
        load.wait_for(50)
    assert load.failed == 0, load
    assert ask(one, "/die", method="POST").status == 502


@pytest.mark.parametrize("how,threads", [("threads", 4), ("loop", 8)])
def test_at_once(stead, built, how, threads):
    """Several requests at once in one process: four meet at a barrier; seven wait for an eighth."""
    one = run_app(stead, built, f"Threads={threads}\n", how)
    paths = ["/barrier"] * 4 if how == "threads" else ["/wait"] * 7 + ["/go"]
    clients = [Client(one.port) for _ in paths]
    for c, path in zip(clients, paths):
        c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert [c.answer().status for c in clients] == [200] * len(paths)
    for c in clients:
        c.close()


def test_no_link(stead, app_folder):
    """A program that never opens the link: the start fails, and says what was expected."""
    folder = app_folder({"stead.conf": "[Service]\nExecStart=/bin/sleep 3600\nListen=link\nTimeoutStartSec=1s\n"})
    one = stead(folder)
    one.fails(1)
    assert "stead_open()" in one.output()


def test_conf(stead, app_folder):
    folder = app_folder({"stead.conf": "[Service]\nExecStart=/bin/true\nListen=link\nType=notify\n"})
    one = stead(folder)
    one.fails(2)
    assert "Listen=link: the link itself says that the program is ready" in one.output()
