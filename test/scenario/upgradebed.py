"""Two versions of stead side by side, as an installation has them: this tree's, and the same tree built as another
version (meson -Dversion_suffix=). No test framework here."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from program import BUILD, TIMEOUT, TOP, Stead, give, wait_until

OTHER_BUILD = pathlib.Path(os.environ.get("STEAD_OTHER_BUILD", TOP / "build-other")).resolve()
ROLES = ("parent", "gate", "ctl", "check", "log", "auth", "keys", "certs", "resolve", "act", "db", "build")


def version_of(build):
    """As a build's own folder of roles says."""
    return next(path.name for path in (build / "libexec/stead").iterdir() if (path / "stead-parent").exists())


class Versions:
    """work/installed: bin/VERSION/stead and bin/libexec/stead/VERSION/stead-ROLE."""

    def __init__(self, work):
        assert (OTHER_BUILD / "stead").exists(), \
            f"{OTHER_BUILD} has no other version: `tools/check.py other` builds it (or set STEAD_OTHER_BUILD)"
        self.top = work / "installed"
        self.roles = self.top / "libexec/stead"
        self.this, self.other = (self.add(build) for build in (BUILD, OTHER_BUILD))
        assert self.this != self.other
        give(self.top)

    def add(self, build):
        version = version_of(build)
        (self.top / version).mkdir(parents=True)
        shutil.copy(build / "stead", self.top / version / "stead")
        folder = self.roles / version
        folder.mkdir(parents=True)
        for role in ROLES:
            shutil.copy(build / "src" / role / f"stead-{role}", folder)
        # stead's own Python, which workers import
        shutil.copytree(build / "libexec/stead" / version / "python", folder / "python")
        return version

    def bad(self, name, role, text=None, edit=None):
        """The other version with one executable that is a script, or with bytes changed; its name."""
        folder = self.roles / name
        shutil.copytree(self.roles / self.other, folder)
        file = folder / f"stead-{role}"
        if edit:
            data, (old, new) = file.read_bytes(), edit
            assert data.count(old) >= 1 and len(old) == len(new)
            file.write_bytes(data.replace(old, new))
        else:
            file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        give(folder)
        return name

    def stead(self, version):
        return self.top / version / "stead"


class Upgraded(Stead):
    """A stead of one of the two versions."""

    def __init__(self, versions, work, folder, version=None, **options):
        super().__init__(work, folder, **options)
        self.versions, self.version = versions, version or versions.this

    @property
    def command(self):
        return [str(self.versions.stead(self.version)), *super().command[1:]]

    def cli_of(self, version, *arguments, code=0):
        """A verb of that version's program: what it printed."""
        result = subprocess.run([str(self.versions.stead(version)), *arguments, "--state", str(self.state)], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT, **self.options())
        assert result.returncode == code, result.stdout
        return result.stdout

    def ask(self, **request):
        """One request on the control socket: its end."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(TIMEOUT * 2)
            s.connect(str(self.state / "control"))
            s.sendall(json.dumps(request).encode() + b"\n")
            for line in s.makefile():
                said = json.loads(line)
                if said["event"] == "end":
                    return said
        raise AssertionError("the control process ended without an answer")

    def upgrade(self, version):
        """As the program of that version would ask; what ctl says at the end."""
        return self.ask(verb="upgrade", version=version)

    def running_version(self, pid):
        return pathlib.Path(os.readlink(f"/proc/{pid}/exe")).parent.name

    def all_are(self, version):
        """Every process of stead's own is of that version, but gates that have not finished."""
        by_role = {role: {self.running_version(pid) for pid in self.pids(role)} for role in ("parent", "ctl", "log", "gate")}
        return {role: version in seen and (role == "gate" or len(seen) == 1) for role, seen in by_role.items()}

    def wait_version(self, version):
        def there():
            try:
                return all(self.all_are(version).values())
            except OSError:  # one of them ended just now
                return False
        wait_until(f"stead {version} in every process", there)


class Managed(Upgraded):
    """Its parent is started by manager.py, which keeps descriptors and starts it again when it is killed."""

    def start(self):
        run = self.work / "run"
        for folder in (self.state, run):
            folder.mkdir(mode=0o700)
        give(self.work)
        roles = self.versions.roles / self.version
        command = ["/usr/bin/python3", str(TOP / "test/scenario/manager.py"), str(self.work / "notify"),
                   str(roles / "stead-parent"), "--state", str(self.state), "--run", str(run), "--roles", str(roles),
                   "--fd-store"]
        with open(self.out_path, "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **self.options())
        return self

    def up(self):
        self.start()
        wait_until("the control socket", lambda: (self.state / "control").exists() and self.answers())
        end = self.ask(verb="up", folder=str(self.folder), http=self.http, https="")
        assert end["exit"] == 0, end
        self.tree()
        return self

    def answers(self):
        try:
            return self.ask(verb="ping")["exit"] == 0
        except OSError:
            return False

    def kill_parent(self):
        """Seconds until another parent says that it has adopted everything."""
        before = len(events(self, "ADOPTED"))
        old, began = self.pid("parent"), time.monotonic()
        os.kill(old, signal.SIGKILL)
        wait_until("another parent", lambda: [pid for pid in self.pids("parent") if pid != old])
        wait_until("its word that it has adopted all", lambda: len(events(self, "ADOPTED")) > before)
        return time.monotonic() - began


def events(one, name):
    """The records of that event, from the files: `stead logs` gives the last ones of many only."""
    lines = [line for file in sorted((one.state / "log").glob("*.jsonl"), key=lambda file: file.stat().st_mtime)
             for line in file.read_text(errors="replace").splitlines() if f'"event":"{name}"' in line]
    return [json.loads(line) for line in lines]
