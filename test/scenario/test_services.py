"""Programs that speak HTTP, run and supervised by stead: where they listen, when they are ready, how they are replaced."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest

import program
from client import Client, Load, ask
from program import TOP, free_port, wait_until

NODE = shutil.which("node")
UWSGI = shutil.which("uwsgi")
needs_node = pytest.mark.skipif(not NODE, reason="node is not installed")
needs_uwsgi = pytest.mark.skipif(not UWSGI, reason="uwsgi is not installed")

# How a program of this test comes up is said by its environment.
SERVER = '''
import http.server, os, signal, socket, sys, threading, time

def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text if isinstance(text, bytes) else text.encode(), os.environ["NOTIFY_SOCKET"])

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # an answer is written whole, so that a kill leaves none half told
    def answer(self, body):
        status = int(os.environ.get("STATUS", "200"))
        if self.path == "/env":
            body = "\\n".join(f"{k}={v}" for k, v in os.environ.items())
        elif self.path == "/argv":
            body = "\\n".join(sys.argv[1:])
        elif self.path == "/slow":
            time.sleep(float(os.environ.get("SLOW", "0.5")))
        elif self.path == "/die":
            os._exit(3)
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(f"pid {os.getpid()} release {os.environ.get('RELEASE', '')}")
    def do_POST(self):
        n = int(self.headers["Content-Length"])
        self.answer(str(len(self.rfile.read(n))))
    def log_message(self, *a):
        pass
    def address_string(self):
        return ""

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    def server_bind(self):
        if isinstance(self.server_address, str):
            self.address_family = socket.AF_UNIX
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "x", 1
    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("", 0)

def serve():
    where = os.environ.get("WHERE", "fd")
    if where == "fd":
        assert os.environ["LISTEN_PID"] == str(os.getpid()), os.environ
        server = Server(("", 0), Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = socket.socket(fileno=3)
    elif where == "port":
        server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
    else:
        Server.address_family = socket.AF_UNIX
        server = Server(where, Handler)
    return server

if __name__ == "__main__":
    print("starting", os.getpid(), flush=True)
    if os.environ.get("FAIL"):
        print("there is no table of guests", file=sys.stderr)
        sys.exit(int(os.environ["FAIL"]))
    if os.environ.get("HANG"):
        time.sleep(3600)
    server = serve()
    if os.environ.get("SAYS"):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for part in os.environ["SAYS"].split("|"):
            time.sleep(0.1)
            if part.startswith("child:"):
                if os.fork() == 0:
                    notify(part[6:])
                    os._exit(0)
            else:
                notify(bytes.fromhex(part[4:]) if part.startswith("hex:") else part)
        signal.pause()
    server.serve_forever()
'''
PYTHON = "/usr/bin/python3"


def conf(service="", environment=None, site=""):
    variables = "".join(f'Environment="{k}={v}"\n' for k, v in (environment or {}).items())
    return f"[Site]\nName=prog\n{site}[Service]\nExecStart={PYTHON} server.py\n{service}{variables}"


@pytest.fixture
def serve(stead, app_folder):
    """An instance with the program above."""
    def make(service="", environment=None, site="", **options):
        return stead(app_folder({"server.py": SERVER, "stead.conf": conf(service, environment, site)}), **options)
    return make


def rewrite(one, *args, **kwargs):
    (one.folder / "stead.conf").write_text(conf(*args, **kwargs))


def pid_of(one):
    return int(ask(one).text.split()[1])


def services(one):
    return [p for p in one.status()["processes"] if p["role"] == "service"]


# --- where it listens ---

@pytest.mark.smoke
@pytest.mark.parametrize("listen, where", [("auto", "fd"), ("auto", "port"), ("fd", "fd"), ("port", "port")])
def test_where_it_listens(serve, listen, where):
    """auto offers both, and what answers is used."""
    one = serve(f"Listen={listen}\n", {"WHERE": where}).up()
    assert ask(one).text.startswith("pid ")
    assert ask(one, "/", "POST", body=b"x" * 300000).text == "300000"
    environment = dict(line.split("=", 1) for line in ask(one, "/env").text.split("\n") if "=" in line)
    assert ("PORT" in environment) == (listen != "fd")
    assert ("LISTEN_FDS" in environment) == (listen != "port")
    if listen != "port":
        assert environment["LISTEN_FDS"] == "1" and environment["LISTEN_FDNAMES"] == "http"
    assert pathlib.Path(environment["RUNTIME_DIRECTORY"]).is_dir()
    assert "NOTIFY_SOCKET" not in environment
    # What belongs to a worker alone, and stead's own descriptors, are not there.
    (process,) = services(one)
    held = {name: os.readlink(f"/proc/{process['pid']}/fd/{name}") for name in os.listdir(f"/proc/{process['pid']}/fd")}
    assert ("3" in held) and all(target.startswith(("pipe:", "socket:", "/dev/null")) for target in held.values()), held


def test_a_socket_that_it_makes(serve):
    one = serve("Listen=unix:%t/own.sock\n", {"WHERE": "%t/own.sock"}).up()
    first = pid_of(one)
    # What a killed one left does not keep the next one away.
    os.kill(first, signal.SIGKILL)
    wait_until("the next one", lambda: ask(one).status == 200 and pid_of(one) != first)


def test_a_port_of_its_own_choice(serve):
    port = free_port()
    one = serve("", {"WHERE": "port", "PORT": port}).up()
    first = pid_of(one)
    assert f"PORT={port}" in ask(one, "/env").text
    one.cli("restart")
    wait_until("the next one", lambda: pid_of(one) != first)


def test_arguments_and_variables(stead, app_folder):
    """systemd's command line: quotes, variables, a program from PATH, the port that is known only at the start."""
    line = 'python3 server.py "two words" $LIST ${LIST} pre${NAME}post $$NAME --port=${PORT} $NOTHING ${NOTHING}'
    one = stead(app_folder({"server.py": SERVER, "stead.conf":
                            f"[Service]\nExecStart={line}\nListen=port\n"
                            'Environment="LIST=a  b" NAME=x WHERE=port\n'})).up()
    got = ask(one, "/argv").text.split("\n")
    port = re.search(r"^PORT=(\d+)$", ask(one, "/env").text, re.M)[1]
    assert got == ["two words", "a", "b", "a  b", "prexpost", "$NAME", f"--port={port}", ""]


# --- when it is ready ---

def test_it_exits_at_once(serve):
    out = serve("", {"FAIL": "7"}).fails(1)
    assert "ended with exit status 7 before it was ready" in out
    assert "there is no table of guests" in out


def test_it_is_never_ready(serve):
    out = serve("TimeoutStartSec=1s\n", {"HANG": "1"}).fails(1)
    assert "was not ready within 1 s" in out and "LISTEN_FDS" in out


def test_it_listens_where_nobody_asks_it(stead, app_folder):
    """A program with a port written into it, in a process of its own: the person is told which it is, and what to write."""
    port = free_port()
    line = f"ExecStart=/bin/sh -c 'python3 -m http.server --bind 127.0.0.1 {port} & wait'\n"
    out = stead(app_folder({"stead.conf": f"[Service]\n{line}TimeoutStartSec=4s\n"})).fails(1)
    assert f"it listens at port {port}, which it was not given" in out and f"write Listen=port:{port} in [Service]" in out
    stead(app_folder({"stead.conf": f"[Service]\n{line}Listen=port:{port}\n"}, "told")).up()


def test_it_answers_with_errors(serve):
    one = serve("TimeoutStartSec=1s\n", {"STATUS": "503"}, site="Health=/ping\n")
    assert "was not ready within 1 s" in one.fails(1)
    assert '"status":"503"' in one.log_tail() and '"path":"/ping"' in one.log_tail()


def test_the_program_is_missing(stead, app_folder):
    out = stead(app_folder({"stead.conf": "[Service]\n\nExecStart=./nothing --x\n"})).fails(2)
    assert "stead.conf:3:" in out and "there is no program" in out and "nothing" in out
    out = stead(app_folder({"stead.conf": "[Service]\nExecStart=no-such-program\n"}, "other")).fails(2)
    assert "stead.conf:2:" in out and "in PATH" in out


@pytest.mark.parametrize("service, says", [
    ("Type=notify\n", "STATUS=warming up|READY=1"),
    ("Type=notify\nNotifyAccess=all\nListen=fd\n", "child:READY=1")])
def test_it_says_that_it_is_ready(serve, service, says):
    one = serve(service, {"SAYS": says}).up()
    assert ask(one).status == 200
    if "STATUS" in says:
        assert any(line.get("stream") == "status" and line["text"] == "warming up" for line in one.logs())


def test_it_says_so_only_for_itself(serve):
    """With NotifyAccess=main a child's word does not count; neither do words that are none."""
    out = serve("Type=notify\nTimeoutStartSec=1s\n", {"SAYS": "child:READY=1|READY=0|XREADY=1|READY=1x"}).fails(1)
    assert "was not ready within 1 s" in out and "READY=1" in out


def test_a_watchdog_that_is_not_fed(serve):
    one = serve("Type=notify\nWatchdogSec=1s\n", {"SAYS": "READY=1|WATCHDOG=1"}).up()
    first = services(one)[0]["pid"]
    wait_until("another one", lambda: any(p["pid"] != first and p["phase"] == "up" for p in services(one)))
    assert any("WATCHDOG=1" in line.get("why", "") for line in one.logs())


# --- how it is replaced ---

@pytest.mark.promise
@pytest.mark.parametrize("where", ["fd", "port"])
def test_restart_under_load(serve, promise, where):
    """A new one is ready before the old one has answered its last: nothing fails, although this program dies at SIGTERM."""
    one = serve("", {"WHERE": where}).up()
    with Load(one, "/", rate=200, threads=4) as load:
        load.wait_for(50)
        for _ in range(3):
            before = pid_of(one)
            one.cli("restart")
            wait_until("the next one", lambda: pid_of(one) != before)
            load.wait_for(50)
    assert load.failed == 0, load.seen
    promise(f"service restarted 3 times ({where})", f"failed/done: {load}")


def test_a_restart_waits_for_what_runs(serve):
    one = serve("", {"SLOW": "1"}).up()
    before = pid_of(one)
    with Client(one.port) as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until("the request to run", lambda: one.status()["sites"][0]["active"] >= 1)
        one.cli("restart")
        wait_until("the next one", lambda: pid_of(one) != before)
        assert f"pid {before}" in client.answer().text
    wait_until("the old one's end", lambda: len(services(one)) == 1)


@pytest.mark.promise
@pytest.mark.parametrize("where", ["fd", "port"])
def test_killed_under_load(serve, promise, where):
    """What it had not answered is asked again of the next one: these are GETs, so nothing is lost at all."""
    one = serve("", {"WHERE": where}).up()
    with Load(one, "/", rate=200, threads=4) as load:
        load.wait_for(50)
        for _ in range(3):
            first = pid_of(one)
            os.kill(first, signal.SIGKILL)
            wait_until("the next one", lambda: pid_of(one) != first)
            load.wait_for(50)
    assert load.failed == 0, load.seen
    promise(f"service killed 3 times ({where})", f"failed/done: {load}")


def test_a_post_is_not_asked_twice(serve):
    one = serve().up()
    assert ask(one, "/die", "POST", body=b"x" * 10).status == 502
    wait_until("the next one", lambda: ask(one).status == 200)


def test_a_reload_runs_the_new_command(serve):
    one = serve("", {"RELEASE": "1"}).up()
    with Load(one, "/", rate=100) as load:
        rewrite(one, "", {"RELEASE": "2"})
        one.cli("reload")
        wait_until("release 2", lambda: ask(one).text.endswith("release 2"))
        rewrite(one, "", {"RELEASE": "3", "FAIL": "5"})
        out = one.cli("reload", code=1)
        assert "exit status 5" in out and "there is no table of guests" in out
        assert ask(one).text.endswith("release 2")
        rewrite(one, "", {"RELEASE": "4", "WHERE": "port"})
        one.cli("reload")
        wait_until("release 4", lambda: ask(one).text.endswith("release 4"))
    assert load.failed == 0, load.seen


def test_several_at_once(serve):
    one = serve("Workers=3\n", {"SLOW": "0.3"}).up()
    wait_until("three of them", lambda: len([p for p in services(one) if p["phase"] == "up"]) == 3)
    seen, lock = set(), threading.Lock()

    def slow():
        text = ask(one, "/slow").text
        with lock:
            seen.add(text)
    threads = [threading.Thread(target=slow) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 3


def test_control_and_log_may_die(serve):
    """Neither is needed to bring the next one up."""
    one = serve("Type=notify\n", {"SAYS": "READY=1"}).up()
    for role in ("ctl", "log", "gate"):
        one.kill_and_wait(role)
        first = pid_of(one)
        os.kill(first, signal.SIGKILL)
        wait_until("the next one", lambda: ask(one).status == 200 and pid_of(one) != first)


def test_stop_leaves_nothing(serve):
    """Its signal first, and a kill for one that does not listen, with what it started."""
    one = serve("TimeoutStopSec=200ms\nKillSignal=SIGUSR1\n").up()
    run = pathlib.Path(re.search(r"RUNTIME_DIRECTORY=(.*)", ask(one, "/env").text)[1]).parent
    assert list(run.glob("s*-0-a"))
    assert one.stop() == 0
    one.gone()
    assert not list(run.glob("[sn]*-0-*"))


# --- what others wrote ---

@pytest.fixture
def example(work):
    def copy(name):
        folder = work / name
        shutil.copytree(TOP / "examples" / name, folder, ignore=shutil.ignore_patterns(".stead", "node_modules", "server"))
        return folder
    return copy


@needs_node
@pytest.mark.smoke
def test_node(stead, example):
    folder = example("node")
    program.give(folder)
    one = stead(folder).up()
    assert "Hello from Node" in ask(one).text
    one.cli("restart")
    assert "Hello from Node" in ask(one).text


def test_a_static_binary(stead, example):
    """As Go makes them: no interpreter, no library."""
    folder = example("c-server")
    subprocess.run(["cc", "-O2", "-static", "-o", folder / "server", folder / "server.c"], check=True)
    program.give(folder)
    one = stead(folder).up()
    with Load(one, "/", rate=200) as load:
        load.wait_for(50)
        one.cli("restart")
        load.wait_for(50)
    assert load.failed == 0, load.seen


WSGI = '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"uwsgi " + environ["PATH_INFO"].encode()]
'''


@needs_uwsgi
@pytest.mark.parametrize("service, arguments", [
    ("Type=notify\nNotifyAccess=all\nKillSignal=SIGQUIT\nListen=uwsgi:%t/app.sock\n", "--socket %t/app.sock"),
    ("KillSignal=SIGTERM\nListen=uwsgi:%t/app.sock\n", "--socket %t/app.sock --die-on-term"),
    ("KillSignal=SIGQUIT\nListen=uwsgi:fd\n", ""),
    ("KillSignal=SIGQUIT\nListen=port\n", "--http-socket 127.0.0.1:${PORT}")])
def test_uwsgi(stead, app_folder, service, arguments):
    """The classic unit of uWSGI runs as it is."""
    line = f"{UWSGI} --plugin python3 --master --processes 1 --wsgi-file wsgi.py {arguments}"
    one = stead(app_folder({"wsgi.py": WSGI, "stead.conf": f"[Service]\nExecStart={line}\n{service}"})).up()
    assert ask(one, "/a").text == "uwsgi /a"
    one.cli("restart")
    assert ask(one, "/b").text == "uwsgi /b"
    assert one.stop() == 0
