"""A machine of people for tests: a mount namespace with an /etc, /home, /run and /var/lib of its own, in which stead runs
as root, sshd listens on a port of 127.0.0.1, and accounts can be made without a trace on the real machine."""

import json
import os
import pathlib
import socket
import subprocess
import sys

from program import BUILD, TIMEOUT, free_port, wait_until

STATE = "/var/lib/stead/up/one"
PEOPLE = "/var/lib/stead/people"
SETUP = ('set -e; mount --make-rprivate /; mkdir "$0/etc"; cp -a /etc/. "$0/etc/"; mount --bind "$0/etc" /etc; '
         'for d in /run /var/lib/stead /home; do mkdir -p $d; mount -t tmpfs -o mode=755 none $d; done; '
         'echo ready; exec cat')


class World:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.keeper = subprocess.Popen(["unshare", "-m", "sh", "-c", SETUP, str(self.folder)], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b"ready\n"
        self.words = ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", "--"]
        self.started = []
        self.port = None
        # What an installed stead has: its group and its roles' accounts.
        self.run(str(BUILD / "src" / "act" / "stead-act"), "--boot")

    def run(self, *command, code=0, user=None, text=None, env=None):
        """Runs it in there: what it printed. As `user` with his groups."""
        who = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        result = subprocess.run([*self.words, *who, *command], text=True, input=text, stdout=subprocess.PIPE, cwd="/",
                                stderr=subprocess.STDOUT, timeout=TIMEOUT,
                                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", **(env or {})})
        assert code is None or result.returncode == code, f"{command}: {result.returncode}, not {code}:\n{result.stdout}"
        return result.stdout

    def stead(self, *arguments, code=0, user=None, env=None):
        return self.run(str(BUILD / "stead"), *arguments, code=code, user=user, env=env)

    def python(self, code, user=None):
        """What a line of Python prints in there."""
        names = "import os, pwd, grp, spwd, stat, json, pathlib; "
        return self.run(sys.executable if user is None else "/usr/bin/python3", "-W", "ignore", "-c", names + code,
                        user=user).strip()

    def start(self, *command, out=None):
        process = subprocess.Popen([*self.words, *command], stdin=subprocess.DEVNULL, stdout=out or subprocess.DEVNULL,
                                   stderr=subprocess.STDOUT, cwd="/",
                                   env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "STEAD_CA": ""})
        self.started.append(process)
        return process

    # --- stead ---

    def up(self, folder):
        """`stead up` of that folder as root, where a server's state lies."""
        self.http = f"127.0.0.1:{free_port()}"
        # As a server has it, where those look who know of no state folder.
        self.run("sh", "-c", f"mkdir -p {STATE} /run/stead; ln -s {STATE}/control /run/stead/control")
        path = self.folder / "up.log"
        with open(path, "w") as out:
            process = self.start(str(BUILD / "stead"), "up", str(folder), "--state", STATE, "--http", self.http, out=out)
        wait_until("live", lambda: "live  " in path.read_text() or process.poll() is not None)
        assert process.poll() is None, path.read_text()

    def ask(self, request, user=None):
        """One request on the control socket, as that user: the last line of the answer. None: it would not talk."""
        line = json.dumps(request)
        code = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect('" + STATE + "/control')\n"
                "try: s.sendall(sys.stdin.read().encode() + b'\\n')\n"
                "except OSError: pass\n"
                "f = s.makefile()\n"
                "for l in f:\n"
                "    if '\"event\":\"end\"' in l: print(l.strip()); break\n")
        told = self.run("/usr/bin/python3", "-c", code, user=user, text=line).strip()
        return json.loads(told) if told else None

    # --- people ---

    def key(self, name="key", kind="ed25519", *more):
        """A fresh ssh key; gives the public one's path."""
        path = self.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"{name}@test", "-f", str(path), *more], check=True)
        return f"{path}.pub"

    def add(self, name, *options, key=None, code=0):
        return self.stead("user", "add", name, "--key", key or self.key(f"of-{name}"), *options, code=code)

    def sshd(self):
        """A real sshd with a configuration of its own, on a port of 127.0.0.1."""
        host, self.port = self.folder / "host_key", free_port()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host)], check=True)
        config = self.folder / "sshd_config"
        config.write_text(f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {host}\nPidFile none\nUsePAM no\n"
                          "PasswordAuthentication no\nKbdInteractiveAuthentication no\nStrictModes yes\nLogLevel VERBOSE\n"
                          "AllowTcpForwarding yes\nAllowAgentForwarding yes\nX11Forwarding no\nPermitTTY yes\n"
                          "Subsystem sftp internal-sftp\n")
        self.run("mkdir", "-p", "/run/sshd")
        with open(self.folder / "sshd.log", "w") as out:
            self.start("/usr/sbin/sshd", "-D", "-e", "-f", str(config), out=out)

        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0
        wait_until("sshd", listens)

    def ssh_words(self, user, *options, key=None):
        return ["ssh", "-F", "none", "-p", str(self.port), "-i", str(self.folder / (key or f"of-{user}")), "-o", "BatchMode=yes",
                "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=no",
                "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", *options,
                f"{user}@127.0.0.1"]

    def ssh(self, user, *command, code=0, options=(), key=None, text=None):
        result = subprocess.run([*self.ssh_words(user, *options, key=key), *command], text=True, input=text or "", timeout=TIMEOUT,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        log = (self.folder / "sshd.log").read_text()[-3000:] if code != result.returncode else ""
        assert code is None or result.returncode == code, f"{command}: {result.returncode}\n{result.stdout}\n{log}"
        return result.stdout

    def end(self):
        for process in reversed(self.started):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.keeper.stdin.close()
        self.keeper.wait(10)


def usable():
    """None, or why not."""
    if os.geteuid() != 0:
        return "needs root"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        return "no mount namespaces here"
    missing = [p for p in ("/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/sudo", "/usr/sbin/visudo") if not os.path.exists(p)]
    return f"not installed: {missing}" if missing else None
