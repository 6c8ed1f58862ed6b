"""The servers that bench/run compares: stead, nginx, nginx with uWSGI, and the raw floor.

Each runs as an ordinary user. When bench/run is root, that is `nobody`, because nobody in his right
mind benchmarks as root and because stead as root would make system accounts."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import measure

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
USER = "nobody"


def as_user(argv):
    if os.geteuid() != 0:
        return argv
    return ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", "--"] + argv


def own(path):
    if os.geteuid() == 0:
        shutil.chown(path, USER, "nogroup")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """Started processes with one port; `roots` are the processes whose families are the server."""

    name = "?"

    def __init__(self):
        self.port = free_port()
        self.dir = tempfile.mkdtemp(prefix="bench-")
        own(self.dir)
        self.started = []

    def roots(self):
        return [p.pid for p in self.started]

    def spawn(self, argv, **more):
        with open(os.path.join(self.dir, "out"), "ab") as out:
            p = subprocess.Popen(as_user(argv), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                 start_new_session=True, cwd=self.dir, **more)
        self.started.append(p)
        return p

    def alive(self):
        return all(p.poll() is None for p in self.started)

    def wait(self, path, tls=None):
        try:
            measure.wait_for(self.port, path, self.alive, tls=tls)
        except RuntimeError as e:
            raise RuntimeError(f"{self.name}: {e}\n{self.output()}") from None

    def output(self):
        with open(os.path.join(self.dir, "out"), encoding="utf-8", errors="replace") as f:
            return f.read()[-4000:]

    def stop(self, keep=False):
        for p in reversed(self.started):
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
        for p in reversed(self.started):
            try:
                p.wait(30)
            except subprocess.TimeoutExpired:
                for pid in measure.family(p.pid):
                    os.kill(pid, signal.SIGKILL)
                p.wait()
        self.started = []
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def filled(self, name, **more):
        """A configuration of bench/peers with its @NAMES@ filled in, written to this server's folder."""
        with open(os.path.join(HERE, "peers", name), encoding="utf-8") as f:
            text = f.read()
        for key, value in {"DIR": self.dir, "PORT": self.port, **more}.items():
            text = text.replace(f"@{key}@", str(value))
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def copy(self, folder):
        """The app's folder as this server's own copy, so that no run finds another's leavings."""
        to = os.path.join(self.dir, "site")
        shutil.copytree(folder, to)
        own(to)
        return to


class Floor(Server):
    name = "floor"

    def __init__(self, binary, body_bytes, behind=None):
        super().__init__()
        self.spawn([binary, str(self.port), str(body_bytes)] + ([str(behind.port)] if behind else []))
        self.wait("/")


class Hop(Server):
    """The floor of a server of two processes that answer together."""

    name = "floor of two"

    def __init__(self, binary, body_bytes):
        super().__init__()
        self.spawn([binary, str(self.port), str(body_bytes)])
        self.wait("/")


def nginx_log(server, log):
    # Buffered as on a busy site; stead batches its records as well.
    return f"{server.dir}/access.log combined buffer=64k flush=1s" if log else "off"


class NginxStatic(Server):
    name = "nginx"

    def __init__(self, root, path, log):
        super().__init__()
        conf = self.filled("nginx-static.conf", ROOT=root, LOG=nginx_log(self, log))
        self.spawn(["nginx", "-c", conf, "-p", self.dir])
        self.wait(path)


class NginxUwsgi(Server):
    name = "nginx + uWSGI"

    def __init__(self, folder, module, log):
        super().__init__()
        site = self.copy(folder)
        ini = self.filled("uwsgi.ini", ROOT=site, MODULE=module)
        conf = self.filled("nginx-uwsgi.conf", LOG=nginx_log(self, log))
        self.spawn(["uwsgi", "--ini", ini])
        end = time.monotonic() + 20
        while not os.path.exists(os.path.join(self.dir, "app.sock")) and time.monotonic() < end:
            time.sleep(0.02)
        self.spawn(["nginx", "-c", conf, "-p", self.dir])
        self.wait("/")


class NginxUvicorn(Server):
    name = "nginx + uvicorn"

    def __init__(self, folder, module, path):
        super().__init__()
        site = self.copy(folder)
        conf = self.filled("nginx-uvicorn.conf", LOG="off")
        socket_path = os.path.join(self.dir, "app.sock")
        self.spawn(["/usr/bin/python3", "-m", "uvicorn", module, "--app-dir", site, "--uds", socket_path, "--loop", "uvloop",
                    "--http", "httptools", "--ws", "websockets", "--no-access-log", "--log-level", "warning"])
        end = time.monotonic() + 20
        while not os.path.exists(socket_path) and time.monotonic() < end:
            time.sleep(0.02)
        self.spawn(["nginx", "-c", conf, "-p", self.dir])
        self.wait(path)


class InProcess(Server):
    """stead's worker with bench/inprocess.c beneath it instead of the link."""

    name = "in-process"

    def __init__(self, folder, module, module_dir):
        super().__init__()
        self.spawn(["/usr/bin/python3", os.path.join(TOP, "python", "stead_worker.py"), "--wsgi", module, "--path",
                    self.copy(folder), "--parent-fd", "-1", "--workers", "1"],
                   env={**os.environ, "STEAD_LINK_DIR": module_dir, "INPROCESS_PORT": str(self.port)})
        self.wait("/")


class HaproxyProxy(Server):
    name = "HAProxy"

    def __init__(self, backend, path):
        super().__init__()
        self.spawn(["haproxy", "-f", self.filled("haproxy-proxy.cfg", BACKEND=backend), "-db"])
        self.wait(path)


class NginxProxy(Server):
    name = "nginx"

    def __init__(self, backend, path):
        super().__init__()
        self.spawn(["nginx", "-c", self.filled("nginx-proxy.conf", BACKEND=backend), "-p", self.dir])
        self.wait(path)


class Stead(Server):
    name = "stead"

    def __init__(self, folder, path, log, binary=None, wait=True, keys=()):
        super().__init__()
        self.binary = binary or os.path.join(TOP, "build", "stead")
        self.site = self.copy(folder)
        self.state = os.path.join(self.dir, "state")
        if not log:
            self.set_key("Site", "AccessLog=off")
        for section, line in keys:
            self.set_key(section, line)
        self.up()
        if wait:
            self.wait(path)

    def roots(self):
        """The parent of all, wherever it hangs in the tree of processes."""
        return measure.with_argument("stead-parent", self.state)

    def set_key(self, section, line):
        conf = os.path.join(self.site, "stead.conf")
        text = ""
        if os.path.exists(conf):
            with open(conf, encoding="utf-8") as f:
                text = f.read()
        if f"[{section}]\n" in text:
            text = text.replace(f"[{section}]\n", f"[{section}]\n{line}\n")
        else:
            text += f"\n[{section}]\n{line}\n"
        with open(conf, "w", encoding="utf-8") as f:
            f.write(text)

    def up(self):
        """Detached, as a server runs: in the foreground the command would print every access record."""
        self.spawn([self.binary, "up", self.site, *self.options(), "--http", f"127.0.0.1:{self.port}", "--detach"],
                   env=self.environment())

    def options(self):
        return ["--state", self.state]

    def environment(self):
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": self.dir, "TMPDIR": "/tmp"}

    def alive(self):
        return all(p.poll() in (None, 0) for p in self.started)

    def stop(self, keep=False):
        for p in self.started:
            p.wait(60)
        if self.started:
            subprocess.run(as_user([self.binary, "stop", *self.options()]), env=self.environment(), timeout=60,
                           stdout=subprocess.DEVNULL, check=True)
        super().stop(keep)


class SteadStatic(Stead):
    """As another server's peer: its file at whatever path that row asks for."""

    name = "stead, static file"

    def __init__(self, folder, file, log, binary):
        super().__init__(folder, "/", log, binary, keys=[("Site", f"TryFiles={file}")])
