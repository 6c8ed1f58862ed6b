"""bed.py: runs a unit of the table under systemd and under stead, on one fresh server, and makes a record of each. No test
framework here."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

# What is said of limits, and by which key.
LIMITS = {"MemoryMax": "memory_max", "MemoryHigh": "memory_high", "TasksMax": "tasks_max", "CPUQuota": "cpu", "CPUWeight": "cpu_weight",
          "IOWeight": "io_weight"}
PAGE = 4096
WAIT_S = int(os.environ.get("STEAD_CONFORMANCE_WAIT", "60"))  # for what must come, on a machine that others load
FOLDER = "/srv/c"


class Late(Exception):
    pass


class Side:
    """One of the two managers, as commands within the server."""

    def __init__(self, server, name):
        self.server, self.name = server, name

    def folder(self, unit):
        return f"{FOLDER}/{self.name}/{unit.id}"

    def command(self, argv, timeout=WAIT_S * 2):
        try:
            done = subprocess.run(self.server.command(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Late(" ".join(argv)) from None
        return done.returncode, done.stdout

    def place(self, unit):
        folder = self.server.path(self.folder(unit))
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        (folder / "log").touch()
        (folder / "log").chmod(0o666)
        for name, text in unit.files.items():
            (folder / name).write_text(text)
        return folder

    def arm(self, unit):
        folder = self.server.path(self.folder(unit))
        for count in folder.glob("*.runs"):
            count.unlink()
        (folder / "log").write_text("")
        (folder / "armed").touch()

    def lines(self, unit):
        """[(ms, kind, run, pid, what, value)]"""
        text = self.server.path(self.folder(unit) + "/log").read_text(errors="replace")
        found = []
        for line in text.splitlines():
            ms, kind, run, pid, what, value = (line.split(" ", 5) + [""])[:6]
            found.append((int(ms), kind, int(run), int(pid), what, value))
        return found


class Systemd(Side):
    def __init__(self, server):
        super().__init__(server, "systemd")

    def install(self, unit):
        self.place(unit)
        self.server.write(f"/etc/systemd/system/{unit.id}.service", unit.text(self.folder(unit)))
        unit.refused = ""

    def installed(self):
        self.server.run("systemctl daemon-reload")

    def verb(self, verb, unit):
        return self.command(["systemctl", verb, unit.id])

    def state(self, unit):
        names = "ActiveState,SubState,Result,ExecMainCode,ExecMainStatus"
        text = self.command(["systemctl", "show", "-p", names, unit.id])[1]
        told = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        status = int(told["ExecMainStatus"])
        return {"active": told["ActiveState"], "sub": told["SubState"], "result": told["Result"],
                "status": status if told["ExecMainCode"] in ("0", "1") else -status}

    def understood(self, unit):
        names = "MemoryMax,MemoryHigh,TasksMax,CPUQuotaPerSecUSec,CPUWeight,IOWeight"
        text = self.command(["systemctl", "show", "-p", names, unit.id])[1]
        told = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        quota = told["CPUQuotaPerSecUSec"]
        return {"memory_max": told["MemoryMax"], "memory_high": told["MemoryHigh"], "tasks_max": told["TasksMax"],
                "cpu": "none" if quota == "infinity" else round(seconds(quota) * 1000), "cpu_weight": told["CPUWeight"],
                "io_weight": told["IOWeight"]}

    def printed(self, unit):
        # By what is known of the stream: whose process wrote a line journald asks when it reads it, and then it may be gone.
        self.command(["journalctl", "--sync"])
        lines = self.command(["journalctl", "-q", "--no-pager", "-o", "cat", f"_SYSTEMD_UNIT={unit.id}.service", "_TRANSPORT=stdout"])[1]
        # Its own words of the unit, when they are kept at all.
        return sorted({line for line in lines.splitlines() if not line.startswith(unit.id)})


def seconds(text):
    """Of "1.500000s", "500ms", "1min 30s"."""
    unit = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600}
    return sum(float(n) * unit[u] for n, u in re.findall(r"([\d.]+)(us|ms|min|s|h)", text))


class Stead(Side):
    def __init__(self, server):
        super().__init__(server, "stead")

    def install(self, unit):
        self.place(unit)
        file = f"/srv/units/{unit.id}.service"
        self.server.write(file, unit.text(self.folder(unit)))
        code, said = self.command(["stead", "deploy", "--json", file])
        ends = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        unit.refused = "" if code == 0 else " ".join(e.get("text") or e.get("error") or "" for e in ends if e.get("level") == "error" or e.get("error")) or said
        unit.said = said
        if code == 0:
            self.command(["stead", "stop", unit.id])

    def installed(self):
        # The empty folders at which apps see their own are what systemd finds of the units of the same names.
        self.server.run("find /etc /run /var/lib /var/cache /var/log -mindepth 1 -depth -path '*/u[0-9][0-9][0-9]-*' -type d -empty -delete")

    def verb(self, verb, unit):
        return self.command(["stead", verb, unit.id])

    def told(self, unit):
        return json.loads(self.command(["stead", "status", unit.id, "--json"])[1])

    def state(self, unit):
        site, = self.told(unit)["sites"]
        return {name: site["unit"][name] for name in ("active", "sub", "result", "status")}

    def understood(self, unit):
        limits = self.told(unit)["sites"][0]["limits"]
        word = lambda v: "infinity" if v is None else str(v)
        whole = lambda v: word(v if v is None else v - v % PAGE)  # systemd tells whole pages, and so does the kernel
        return {"memory_max": whole(limits["memory_max"]), "memory_high": whole(limits["memory_high"]),
                "tasks_max": word(limits["tasks_max"]), "cpu": "none" if limits["cpu_permille"] is None else limits["cpu_permille"],
                "cpu_weight": str(limits["cpu_weight"]), "io_weight": str(limits["io_weight"])}

    def printed(self, unit):
        found = set()
        for line in self.command(["stead", "logs", unit.id, "--json", "-n", "500"])[1].splitlines():
            told = json.loads(line) if line.startswith("{") else {}
            if told.get("kind") == "app":
                found.add(told["text"])
        return sorted(found)


# --- what is done to it ---

def wait(what, condition):
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.05)
    raise Late(what)


def begun(side, unit, kind):
    return [line for line in side.lines(unit) if line[1] == kind and line[4] == "begin"]


def pid_of(side, unit, kind):
    """The newest process of that kind, as the host numbers it: children of a probe bear its command line too."""
    run = begun(side, unit, kind)[-1]
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            if side.folder(unit).encode() not in (status.parent / "cmdline").read_bytes().split(b"\0"):
                continue
            numbers = re.search(r"^NSpid:\s+(.*)$", status.read_text(), re.M)[1].split()
        except OSError:
            continue
        if numbers[-1] == str(run[3]) or str(run[3]) in numbers[1:]:
            return int(status.parent.name)
    return None


def kill(side, unit, name, kind):
    wait(f"{kind} to be there", lambda: begun(side, unit, kind))
    pid = wait(f"the process of {kind}", lambda: pid_of(side, unit, kind))
    os.kill(pid, getattr(signal, "SIG" + name))


def step(side, unit, word, record):
    verb, *rest = word.split(":")
    if verb in ("start", "stop", "restart", "reload"):
        began = time.monotonic()
        code, said = side.verb(verb, unit)
        record["verbs"].append((verb, code))
        record["took"].append((verb, round((time.monotonic() - began) * 1000)))
        record["said"].append(said[-400:])
    elif verb == "kill":
        kill(side, unit, rest[0], rest[1] if len(rest) > 1 else "main")
    elif verb == "runs":
        wait(word, lambda: len(begun(side, unit, rest[0])) >= int(rest[1]))
    elif verb == "said":
        wait(word, lambda: any(line[1:3] == (rest[0], int(rest[1])) and line[4:] == ("signal", rest[2]) for line in side.lines(unit)))
    elif verb == "until":
        wait(word, lambda: len(begun(side, unit, "main")) >= int(rest[0]) or side.state(unit)["active"] in ("inactive", "failed"))
    elif verb == "settle":
        wait(word, lambda: side.state(unit)["active"] in ("inactive", "failed"))
    elif verb == "active":
        wait(word, lambda: side.state(unit)["active"] == "active")
    elif verb == "ms":
        time.sleep(int(rest[0]) / 1000)
    else:
        raise ValueError(word)


# --- the record ---

def mains(kind):
    return kind.startswith("main")


def sees(side, unit, lines, what):
    """What the last run of a kind saw: FACT, FACT:NAME, or KIND/FACT:NAME."""
    kind, _, rest = what.rpartition("/")
    fact, _, name = rest.partition(":")
    of = [line for line in lines if line[1] == (kind or "main")] or [line for line in lines if mains(line[1]) or line[1] == "once"]
    last = of[-1][2] if of else 0
    values = [line[5] for line in of if line[2] == last and line[4] == fact]
    if fact == "env":
        values = [v.split("=", 1)[1] for v in values if v.split("=", 1)[0] == name]
    elif fact in ("limit", "try") and name:
        values = [v.split(" ", 1)[1] for v in values if v.split(" ", 1)[0] == name]
    return [v.replace(side.folder(unit), "@") for v in values]


def told(lines, kind, run, pids):
    """What a command beside the program was told of it."""
    env = dict(line[5].split("=", 1) for line in lines if line[1:3] == (kind, run) and line[4] == "env")
    main = env.get("MAINPID")
    return {"MAINPID": "none" if main is None else "main" if main in pids else "another",
            **{name: env.get(name, "") for name in ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS")}}


def record(side, unit):
    """Everything that is compared, and `took`, `gaps`, `said`, which are compared with tolerance or only shown."""
    r = {"verbs": [], "took": [], "said": []}
    try:
        for word in unit.do:
            step(side, unit, word, r)
        r["late"] = ""
    except Late as late:
        r["late"] = str(late)
    state = side.state(unit)
    if "understood" in unit.see:
        told_limits = side.understood(unit)
        r["understood"] = {name: told_limits[name] for key, name in LIMITS.items() if ("Service", key) in unit.keys}
    if state["active"] not in ("inactive", "failed"):
        side.verb("stop", unit)
    lines = side.lines(unit)
    starts = [line for line in lines if line[4] == "begin"]
    pids = {str(line[3]) for line in starts if mains(line[1]) or line[1] == "once"}
    r["state"] = state
    r["runs"] = [f"{line[1]}{line[2]}" for line in starts]
    r["signals"] = {}
    for line in lines:
        if line[4] == "signal":
            r["signals"].setdefault(f"{line[1]}{line[2]}", []).append(line[5])
    if ("Service", "SendSIGHUP") in unit.keys:
        r["signals"] = {run: sorted(had) for run, had in r["signals"].items()}  # the two come at once
    r["told"] = {f"{line[1]}{line[2]}": told(lines, line[1], line[2], pids) for line in starts if not mains(line[1]) and line[1] != "once"
                 and line[5] and not line[1].startswith(("child", "left"))}
    at = [line[0] for line in starts if line[1] in ("main", "once")]
    r["gaps"] = [b - a for a, b in zip(at, at[1:])]
    if "printed" in unit.see:
        r["printed"] = side.printed(unit)
    r["see"] = {what: sees(side, unit, lines, what) for what in unit.see if what not in ("printed", "understood")}
    return r


def compare(one, two):
    """[(fact, what systemd did, what stead did)] of what is not the same."""
    found = []
    for fact in ("late", "verbs", "runs", "signals", "told", "printed"):
        if one.get(fact) != two.get(fact):
            found.append((fact, one.get(fact), two.get(fact)))
    for group in ("state", "see", "understood"):
        for name in one.get(group, {}):
            # What the run before ended with is not told of one that runs, and systemd forgets what ended well.
            if group == "state" and name in ("result", "status") and one["state"]["active"] != "failed":
                continue
            # A program that never ran has no status.
            if name == "status" and not any(mains(run) or run.startswith("once") for run in one["runs"]):
                continue
            a, b = one[group][name], two.get(group, {}).get(name)
            if a != b:
                found.append((name, a, b))
    for what, a, b in zip(("gap",) * 99, one["gaps"], two["gaps"]):
        if abs(a - b) > max(400, 0.3 * max(a, b)):
            found.append((what, one["gaps"], two["gaps"]))
            break
    for (verb, a), (_, b) in zip(one["took"], two["took"]):
        if abs(a - b) > max(1500, 0.5 * max(a, b)):
            found.append((f"time of {verb}", a, b))
    return found


def prepare(server, probe):
    shutil.copy(probe, server.path("/usr/bin/conformance-probe"))
    server.path("/usr/bin/conformance-probe").chmod(0o755)
    server.path(FOLDER).mkdir(parents=True)
    server.path(FOLDER).chmod(0o755)
    accounts = " && ".join(f"groupadd --system --gid {n} {name} && useradd --system --uid {n} --gid {name} --no-create-home --home-dir /nonexistent {name}"
                           for n, name in ((1990, "probe"), (1991, "others")))
    server.run(f"{accounts} && groupadd --system --gid 1992 more && usermod -aG more others && mkdir -p /var/open/inner /home/open && touch /var/open/file /var/open/inner/file "
               "/home/open/file /tmp/of-the-machine && chmod 777 /var/open /var/open/inner /home/open")
    server.write("/etc/systemd/system.conf.d/passed.conf", "[Manager]\nManagerEnvironment=PASSED=outside ALSO_PASSED=too\n")
    server.run("systemctl daemon-reexec")
    conf = server.path("/etc/stead/stead.conf")
    conf.write_text(conf.read_text() + "\n[Server]\nAllowUsers=probe others\n")
    folder = "/etc/systemd/system/stead.service.d"
    server.write(f"{folder}/passed.conf", "[Service]\nEnvironment=PASSED=outside ALSO_PASSED=too\n")
    server.run("systemctl daemon-reload && systemctl start stead")
