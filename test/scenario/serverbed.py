"""A machine's server in a mount namespace of its own: /etc/stead, /var/lib/stead, /run/stead and /srv are the test's, the rest is
the machine's. No systemd; with it, see freshbed.py. Needs root.

    with serverbed.Server(work) as server:
        server.write("/etc/stead/sites/one.conf", "[Site]\\nRoot=/srv/one\\n")
        server.reload()
        server.get("/").status
"""

import http.client
import os
import pathlib
import pwd
import shutil
import signal
import subprocess

from program import BUILD, TIMEOUT, TOP, free_port, processes, wait_until

PLACES = {"/etc/stead": "etc", "/var/lib/stead": "lib", "/run/stead": "run", "/srv": "srv"}


def why_not():
    if os.geteuid() != 0:
        return "needs root"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        return "needs mount namespaces"
    return ""


class Server:
    def __init__(self, work, conf="", roles=None, managed=False):
        """roles: the folder of another version's. managed: by manager.py, which starts it again when it is killed."""
        self.work, self.port, self.process, self.managed = work, free_port(), None, managed
        self.roles = roles or next(p for p in (BUILD / "libexec/stead").iterdir() if (p / "stead-parent").exists())
        for inside, name in PLACES.items():
            (work / name).mkdir(mode=0o755)
            os.chown(work / name, 0, 0)
            pathlib.Path(inside).mkdir(exist_ok=True)
        self.write("/etc/stead/stead.conf", f"[Server]\nSites=sites\nListen=127.0.0.1:{self.port}\n"
                   f"ListenTls=127.0.0.1:{free_port()}\n{conf}")
        self.path("/etc/stead/sites").mkdir()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end()

    def path(self, inside):
        """Where that file of the server's lies for the test."""
        for place, name in PLACES.items():
            if str(inside) == place or str(inside).startswith(place + "/"):
                return self.work / name / str(inside)[len(place):].lstrip("/")
        raise ValueError(f"{inside} is the machine's")

    def write(self, inside, text, mode=0o644, owner=(0, 0)):
        path = self.path(inside)
        for folder in reversed([p for p in path.parents if not p.exists()]):
            folder.mkdir(mode=0o755)
            os.chown(folder, *owner)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        os.chown(path, *owner)
        return path

    def start(self):
        binds = " && ".join(f'mount --bind "{self.work / name}" {inside}' for inside, name in PLACES.items())
        manager = ["/usr/bin/python3", str(TOP / "test/scenario/manager.py"), str(self.work / "notify")] if self.managed else []
        with open(self.work / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", binds + ' && exec "$@"', "sh", *manager, str(self.roles / "stead-parent"), "--server",
                 "--state", "/var/lib/stead", "--run", "/run/stead", "--roles", str(self.roles)],
                stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        wait_until("the server to answer", self.answers, TIMEOUT * 2)

    def end(self):
        if self.process is None:
            return
        tree = self.tree()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                for pid in tree:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.process.wait()
                raise
        self.process = None
        for user in self.users():
            subprocess.run(["/usr/sbin/userdel", user], check=True)
        left = {pid: comm for pid, comm in tree.items() if processes().get(pid, (0, 0, ""))[2] == comm}
        assert not left, left

    def users(self):
        """Those that it made for its apps, by whose their folders are: other servers may make some at the same time."""
        owners = {path.stat().st_uid for path in (self.work / "lib").glob("apps/*/own")}
        return [u.pw_name for u in pwd.getpwall() if u.pw_gecos.startswith("stead app") and u.pw_uid in owners]

    def tree(self):
        """{pid: name} of all that it has started."""
        table, found, todo = processes(), {}, [self.process.pid]
        while todo:
            pid = todo.pop()
            for child, (ppid, _, comm) in table.items():
                if ppid == pid:
                    found[child] = comm
                    todo.append(child)
        return found

    def pids(self, role):
        return [pid for pid, comm in self.tree().items() if comm == f"stead-{role}"[:15]]

    def command(self, argv):
        """How that is run where the server lives."""
        return ["nsenter", "-t", str(self.process.pid), "-m", "--", *map(str, argv)]

    def run(self, *argv, code=0, **options):
        done = subprocess.run(self.command(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=TIMEOUT * 2, **options)
        self.last = done.returncode
        assert code is None or done.returncode == code, f"{argv} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def cli(self, *words, code=0):
        return self.run(BUILD / "stead", *words, "--state", "/var/lib/stead", code=code)

    def reload(self, code=0):
        """Its words. The flow of the start, which answers before its end, is waited for, and a ctl that is just being replaced."""
        def asked():
            text = self.cli("reload", code=None)
            return None if "Another change" in text or "nothing answers" in text else [text]
        said, = wait_until("other changes to end", asked)
        assert code is None or self.last == code, f"reload ended with {self.last}:\n{said}"
        return said

    def get(self, path="/", host="127.0.0.1", headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request("GET", path, headers={"Host": host, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def answers(self):
        assert self.process.poll() is None, (self.work / "stderr").read_text()
        try:
            return self.get()[0] > 0
        except OSError:
            return False

    def give(self, inside, uid, gid):
        """All of that folder."""
        path = self.path(inside)
        for one in [path, *path.rglob("*")]:
            os.chown(one, uid, gid, follow_symlinks=False)

    def remove(self, inside):
        shutil.rmtree(self.path(inside))
