"""What bench/run measures with: CPU and memory from /proc, one HTTP answer, one run of wrk."""

import http.client
import os
import re
import statistics
import subprocess
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")


def processes():
    """pid -> (parent's pid, session, name, CPU seconds) of every process that can be seen."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="latin-1") as f:
                text = f.read()
        except OSError:
            continue
        comm = text[text.index("(") + 1 : text.rindex(")")]
        rest = text[text.rindex(")") + 2 :].split()
        found[int(name)] = (int(rest[1]), int(rest[3]), comm, (int(rest[11]) + int(rest[12])) / TICK)
    return found


def family(root):
    """The process `root`, everything that descends from it, and everything in its session."""
    table = processes()
    inside = {root} if root in table else set()
    inside |= {pid for pid, row in table.items() if row[1] == root}
    grew = True
    while grew:
        more = {pid for pid, row in table.items() if row[0] in inside} - inside
        inside |= more
        grew = bool(more)
    return {pid: table[pid] for pid in inside}


def with_argument(name, argument):
    """The processes of that name that were started with that argument."""
    found = []
    for pid, row in processes().items():
        if row[2] != name:
            continue
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if argument.encode() in f.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            pass
    return found


def families(roots):
    """All of them together, each process once."""
    return {pid: row for root in roots for pid, row in family(root).items()}


def cpu_between(before, after):
    """CPU seconds that a server's processes took between two looks. One that died in between takes its
    count with it, so then there is no figure: a benchmark is no place for deaths."""
    lost = {pid: row[2] for pid, row in before.items() if pid not in after}
    if lost:
        raise RuntimeError(f"processes died during the run: {lost}")
    if not after:
        raise RuntimeError("no process of the server is to be seen")
    return sum(row[3] - (before[pid][3] if pid in before else 0.0) for pid, row in after.items())


def pss_bytes(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="latin-1") as f:
            for line in f:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def pss_of(roots):
    return sum(pss_bytes(pid) for pid in families(roots))


def get(port, path="/", tls=None):
    """(status, headers, body) of one request on a fresh connection; `tls`: an SSLContext to go by."""
    conn = (http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=tls) if tls
            else http.client.HTTPConnection("127.0.0.1", port, timeout=10))
    try:
        conn.request("GET", path)
        answer = conn.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        conn.close()


def asked_once(port, path, tls):
    """A connection over TLS that has been answered, and stays."""
    conn = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=tls)
    conn.request("GET", path)
    answer = conn.getresponse()
    if answer.status != 200 or not answer.read():
        raise RuntimeError(f"status {answer.status}")
    return conn


def wait_for(port, path, alive, timeout=30.0, tls=None):
    """Until `path` answers 200. `alive()` tells whether waiting still makes sense."""
    end = time.monotonic() + timeout
    last = "nothing listened"
    while time.monotonic() < end:
        try:
            status, _, _ = get(port, path, tls)
            if status == 200:
                return
            last = f"status {status}"
        except OSError as e:
            last = str(e)
        if not alive():
            raise RuntimeError("the server ended before it answered")
        time.sleep(0.005)
    raise RuntimeError(f"no answer from port {port} within {timeout:.0f} s: {last}")


_UNITS = {"us": 1.0, "ms": 1000.0, "s": 1e6, "m": 60e6}


def _to_us(text):
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s|m)", text).groups()
    return float(number) * _UNITS[unit]


def wrk(port, path, connections, seconds, scheme="http"):
    """One run: requests, requests/s, p50 and p99 in microseconds. Anything but 2xx is an error."""
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"{scheme}://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    bad = int(errors.group(1)) if errors else 0
    bad += sum(int(n) for n in sockets.groups()) if sockets else 0
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    if bad or not requests:
        raise RuntimeError(f"{bad} errors in {requests} requests at {connections} connections:\n{out}")
    return {
        "requests": requests,
        "rps": float(re.search(r"Requests/sec:\s+([0-9.]+)", out).group(1)),
        "p50_us": _to_us(re.search(r"^\s+50%\s+(\S+)", out, re.M).group(1)),
        "p99_us": _to_us(re.search(r"^\s+99%\s+(\S+)", out, re.M).group(1)),
    }


def client(binary, counted, *more):
    """As wrk(), by a client of our own (ws.c, tls.c): how many of what it counts came back whole."""
    def load(port, path, connections, seconds):
        out = subprocess.run([binary, str(port), path, str(connections), str(seconds), *more], capture_output=True, text=True,
                             timeout=seconds + 60, check=False)
        found = re.fullmatch(counted + r" (\d+) p50_us (\d+) p99_us (\d+)\n", out.stdout)
        if out.returncode or not found:
            raise RuntimeError(f"{os.path.basename(binary)} at {connections} connections: {out.stderr.strip()}")
        return {"requests": int(found.group(1)), "rps": int(found.group(1)) / seconds,
                "p50_us": float(found.group(2)), "p99_us": float(found.group(3))}
    return load


def timed_run(server, path, connections, seconds, load=wrk):
    """A load with the server's CPU beside it: adds cpu_us, microseconds of CPU per completed request."""
    before = families(server.roots())
    run = load(server.port, path, connections, seconds)
    run["cpu_us"] = cpu_between(before, families(server.roots())) * 1e6 / run["requests"]
    return run


def peak_pss(server, path, connections, seconds, load=wrk):
    """The most memory seen during a run of its own, since looking costs the server time."""
    peak, stop = [0], threading.Event()

    def look():
        while not stop.wait(0.1):
            peak[0] = max(peak[0], pss_of(server.roots()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        load(server.port, path, connections, seconds)
    finally:
        stop.set()
        thread.join()
    return peak[0]


def median(values):
    return statistics.median(values)
