"""The rows of bench/run that have no peer: how fast a site starts, what stead itself weighs, and what
each of its processes costs."""

import os
import socket
import subprocess
import sys
import time

import idle
import many_certs
import many_sites
import measure
import servers
import tls_rows

ROLES = ("parent", "gate", "ctl", "log", "resolve", "auth", "check", "act", "db", "build")
SERVING = ("parent", "gate", "ctl", "log")


def guestbook():
    return os.path.join(servers.TOP, "examples", "guestbook")


def first_200(server):
    begin = time.monotonic()
    server.up()
    server.wait("/")
    return time.monotonic() - begin


def is_stead(row):
    # The kernel keeps 15 bytes of a name; app workers are python, the database is postgres.
    return row[2] == "stead" or row[2].startswith("stead-")


def startup(args):
    """From exec of `stead up` to the first 200 of the guestbook: a new database, then an existing one."""
    fresh, again = [], []
    for _ in range(1 if args.smoke else 5):
        begin = time.monotonic()
        server = servers.Stead(guestbook(), "/", True, args.stead, wait=False)
        try:
            server.wait("/")
            fresh.append(time.monotonic() - begin)
            server.stop(keep=True)
            again.append(first_200(server))
        finally:
            server.stop()
    return ["### startup: `stead up` of examples/guestbook to its first 200", "",
            "| database | median | all runs | goal |", "|---|---|---|---|",
            f"| new | **{measure.median(fresh):.2f} s** | {' '.join(f'{v:.2f}' for v in fresh)} | ≤ 2.5 s |",
            f"| existing | **{measure.median(again):.2f} s** | {' '.join(f'{v:.2f}' for v in again)} | ≤ 0.8 s |", ""]


def memory(args):
    """PSS of stead's own processes, idle, beside the workers and the database that are not counted."""
    server = servers.Stead(guestbook(), "/", True, args.stead)
    try:
        time.sleep(0.5 if args.smoke else 3)
        table = measure.families(server.roots())
        own = {row[2]: measure.pss_bytes(pid) for pid, row in sorted(table.items()) if is_stead(row)}
        other = sum(measure.pss_bytes(pid) for pid, row in table.items() if not is_stead(row))
    finally:
        server.stop()
    if not own or not all(own.values()):
        raise RuntimeError(f"memory of stead's processes cannot be read: {own}")
    out = ["### memory: the guestbook, idle", "", "| process | PSS |", "|---|---|"]
    out += [f"| {name} | {size / 1048576:.2f} MB |" for name, size in own.items()]
    out += [f"| **stead in all** (goal ≤ 12 MB) | **{sum(own.values()) / 1048576:.2f} MB** |",
            f"| app workers and postgres, not counted | {other / 1048576:.1f} MB |", ""]
    return out


def exec_ms(path):
    """From exec to exit of a role that finds no channel: what starting the process alone costs."""
    begin = time.monotonic()
    subprocess.run([path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=10, check=False)
    return (time.monotonic() - begin) * 1000


def waiting_pss(path):
    """PSS of a role that waits for the first message on its channel."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def give():
        os.dup2(theirs.fileno(), 3)
        os.set_inheritable(3, True)

    p = subprocess.Popen([path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         close_fds=False, preexec_fn=give)
    try:
        time.sleep(0.1)
        return measure.pss_bytes(p.pid)
    finally:
        p.kill()
        p.wait()
        ours.close()
        theirs.close()


def roles(args):
    """Exec time and idle memory of each role's executable."""
    top = os.path.dirname(os.path.realpath(args.stead))
    out = ["### roles: each process alone", "",
           "| role | exec to exit, without work | PSS while it waits |", "|---|---|---|"]
    libexec = os.path.join(top, "libexec", "stead")
    versions = sorted(os.listdir(libexec)) if os.path.isdir(libexec) else []
    if not versions:
        raise RuntimeError(f"no roles beside {args.stead}")
    for role in ROLES:
        path = os.path.join(libexec, versions[-1], f"stead-{role}")
        times = [exec_ms(path) for _ in range(3 if args.smoke else 30)]
        size = "see memory" if role in SERVING else f"{waiting_pss(path) / 1048576:.2f} MB"
        out.append(f"| {role} | {measure.median(times):.1f} ms | {size} |")
    return out + [""]


def gates(args):
    """One gate beside two, each at 1, 8 and 64 connections: what the default of Gates= goes by."""
    out = ["### gates: one gate beside two", "",
           "| row | connections | 1 gate: CPU µs/request, requests/s, p99 | 2 gates | CPU 2 / 1 | requests/s 2 / 1 |",
           "|---|---|---|---|---|---|"]
    for folder, path in (("static", "/1k.txt"), ("wsgi", "/"), ("flask", "/")):
        site = os.path.join(servers.HERE, "apps", folder)
        group = [servers.Stead(site, path, False, args.stead, keys=[("Server", f"Gates={n}")]) for n in (1, 2)]
        try:
            for connections in args.connections:
                runs = [[], []]
                for server in group:
                    measure.wrk(server.port, path, connections, 1)
                for _ in range(args.rounds):
                    for which, server in enumerate(group):
                        runs[which].append(measure.timed_run(server, path, connections, args.seconds))
                one, two = ({key: measure.median([r[key] for r in mine]) for key in ("cpu_us", "rps", "p99_us")}
                            for mine in runs)
                ratio = {key: measure.median([b[key] / a[key] for a, b in zip(*runs)]) for key in ("cpu_us", "rps")}
                words = [f"{v['cpu_us']:.1f}, {v['rps']:.0f}, {v['p99_us']:.0f} µs" for v in (one, two)]
                out.append(f"| {folder} | {connections} | {words[0]} | {words[1]} | **{ratio['cpu_us']:.2f}** "
                           f"| **{ratio['rps']:.2f}** |")
                print(f"  gates, {folder} at {connections}: {words[0]} beside {words[1]}", flush=True)
        finally:
            for server in group:
                server.stop()
    return out + [""]


def only_sleep(workers, sleep_s, seconds):
    """How often so many processes sleep so long in a second, with nothing else to do: what this machine gives."""
    loop = f"import time\nn, end = 0, time.monotonic() + {seconds}\nwhile time.monotonic() < end:\n    time.sleep({sleep_s})\n    n += 1\nprint(n)"
    running = [subprocess.Popen([sys.executable, "-c", loop], stdout=subprocess.PIPE) for _ in range(workers)]
    return sum(int(p.communicate(timeout=seconds + 30)[0]) for p in running) / seconds


def queue(args):
    """More clients than workers: what is lost between two requests of a worker, and whether some wait for long
    behind others."""
    workers, sleep_s, connections = 4, 0.01, 256
    ideal_rps, ideal_s = workers / sleep_s, connections * sleep_s / workers
    out = [f"### queue: {workers} workers of {sleep_s * 1000:.0f} ms sleeps, {connections} connections", "",
           f"The ideal queue: {ideal_rps:.0f} requests/s, each after {ideal_s * 1000:.0f} ms. "
           "Goals: ≥ 95 % of the one, p99 ≤ 1.5 × the other. On this machine, beside whatever else it does, "
           f"{workers} processes that only sleep do so {only_sleep(workers, sleep_s, 1 if args.smoke else 5):.0f} times a second.", "",
           "| gates | requests/s | of the ideal | p50 | p99 | p99 / ideal |", "|---|---|---|---|---|---|"]
    for gates_n in (1, 2):
        server = servers.Stead(os.path.join(servers.HERE, "apps", "sleep"), "/", False, args.stead,
                               keys=[("Server", f"Gates={gates_n}")])
        try:
            seconds = 1 if args.smoke else 10
            runs = [measure.wrk(server.port, "/", connections, seconds) for _ in range(1 if args.smoke else 3)]
        finally:
            server.stop()
        rps, p50, p99 = (measure.median([r[key] for r in runs]) for key in ("rps", "p50_us", "p99_us"))
        out.append(f"| {gates_n} | {rps:.0f} | **{rps / ideal_rps * 100:.1f} %** | {p50 / 1000:.0f} ms | {p99 / 1000:.0f} ms "
                   f"| **{p99 / 1e6 / ideal_s:.2f}** |")
    return out + [""]


ROWS = {"startup": startup, "memory": memory, "roles": roles, "gates": gates, "idle": idle.idle,
        "sites": many_sites.sites, "certs": many_certs.certs, "queue": queue, "tls-idle": tls_rows.idle}
