"""The row `sites` of bench/run: what ten thousand sites cost beside one: the start, a reload, memory, a request."""

import json
import os
import re
import shutil
import socket
import subprocess
import time

import measure
import servers

GOALS = "goals: start ≤ 1 s, ≤ 2 KB a site, instructions ≤ 1.05"


def write(folder, n):
    """Of each kind a third: files, a redirect, another server."""
    sites = os.path.join(folder, "sites")
    os.makedirs(os.path.join(sites, "public"))
    texts = ("Root=public\n", "Redirect=301 / https://example.org/\n", "[Route /]\nTo=http://127.0.0.1:9\n")
    for name, text in (("../stead.conf", "[Server]\nSites=sites\nGates=1\n"), ("public/index.html", "hello\n"),
                       *((f"s{i:05}.conf", f"[Site]\nDomain=s{i}.example\n{texts[i % 3]}") for i in range(n))):
        with open(os.path.join(sites, name), "w", encoding="utf-8") as f:
            f.write(text)
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_s(parent):
    """Of all processes, and of those that have ended."""
    with open(f"/proc/{parent}/stat", encoding="latin-1") as f:
        fields = f.read().rpartition(")")[2].split()
    return sum(row[3] for row in measure.family(parent).values()) + (int(fields[13]) + int(fields[14])) / measure.TICK


def first_answer(port):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: s0.example\r\nConnection: close\r\n\r\n")
        answer = s.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"the first answer is {answer[:40]!r}")


def program(args, n):
    """(wall and CPU seconds of the start, of a reload, snapshot's bytes, gate's PSS)"""
    folder = os.path.join(args.scratch, f"sites{n}")
    state, port = os.path.join(folder, "state"), free_port()
    write(folder, n)
    stead = servers.as_user([args.stead, "--state", state])
    os.chmod(args.scratch, 0o755)
    servers.own(folder)
    begin = time.monotonic()
    try:
        subprocess.run([*stead, "up", folder, "--detach", "--http", f"127.0.0.1:{port}"], check=True,
                       stdout=subprocess.DEVNULL)
        first_answer(port)
        start = time.monotonic() - begin
        parent = measure.with_argument("stead-parent", state)[0]
        start_cpu = cpu_s(parent)
        gate = next(pid for pid, row in measure.family(parent).items() if row[2] == "stead-gate")
        pss = measure.pss_bytes(gate)
        begin = time.monotonic()
        subprocess.run([*stead, "reload"], check=True, stdout=subprocess.DEVNULL)
        reload, reload_cpu = time.monotonic() - begin, cpu_s(parent) - start_cpu
        logs = subprocess.run([*stead, "logs", "--json", "-n", "1000"], check=True, capture_output=True, text=True)
        size = max(int(record["bytes"]) for record in map(json.loads, logs.stdout.splitlines())
                   if record.get("event") == "SNAPSHOT")
    finally:
        subprocess.run([*stead, "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(folder, ignore_errors=True)
    return start, start_cpu, reload, reload_cpu, size, pss


def counted(args, n, requests):
    """Instructions of a gate's whole life with so many sites and requests, as callgrind counts them. A redirect
    is what is asked for: valgrind does not know the system call that opens files (openat2)."""
    build = os.path.dirname(os.path.realpath(args.stead))
    out = os.path.join(args.scratch, "callgrind.out")
    wrapper, description = os.path.join(args.scratch, "gate"), os.path.join(args.scratch, "sites.json")
    with open(wrapper, "w", encoding="utf-8") as f:
        f.write(f'#!/bin/sh\nexec valgrind -q --tool=callgrind --callgrind-out-file={out} '
                f'{build}/src/gate/stead-gate "$@"\n')
    os.chmod(wrapper, 0o755)
    with open(description, "w", encoding="utf-8") as f:
        json.dump({"sites": [{"name": f"s{i}", "hosts": [f"s{i}.example"], "routes": [
            {"path": "/", "match": "prefix", "to": "static", "root": "/", "redirects": [
                {"status": 301, "match": "exact", "from": "/f", "to": "/g"}]}]} for i in range(n)]}, f)
    p = subprocess.Popen([os.path.join(build, "test/unit/gate/gate-harness"), wrapper, "@" + description],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    line = ""
    while not line.startswith("port "):
        line = p.stdout.readline()
        if not line:
            raise RuntimeError("the harness ended")
    with socket.create_connection(("127.0.0.1", int(line.split()[1])), 60) as s:
        for i in range(requests):
            s.sendall(b"GET /f HTTP/1.1\r\nHost: s%d.example\r\n\r\n" % (i * 37 % n))
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                more = s.recv(65536)
                if not more:
                    raise RuntimeError(f"answer {i} is {answer[:60]!r}")
                answer += more
            if not answer.startswith(b"HTTP/1.1 301 "):
                raise RuntimeError(f"answer {i} is {answer[:60]!r}")
    p.communicate(timeout=60)
    with open(out, encoding="latin-1") as f:
        return int(re.search(r"^(?:summary|totals): (\d+)", f.read(), re.M).group(1))


def per_request(args, n):
    few, many = (20, 120) if args.smoke else (200, 2200)
    return (counted(args, n, many) - counted(args, n, few)) / (many - few)


def sites(args):
    n = 1000 if args.smoke else 10000
    one, many = program(args, 1), program(args, n)
    out = [f"### sites: 1 beside {n}, a third each of files, redirects and other servers", "",
           "| | 1 site | %d sites |" % n, "|---|---|---|"]
    for i, name in ((0, "start to the first answer"), (2, "reload")):
        out.append(f"| {name}, wall (CPU) | {one[i]:.2f} s ({one[i + 1]:.2f} s) | "
                   f"**{many[i]:.2f} s** ({many[i + 1]:.2f} s) |")
    for i, name in ((4, "snapshot"), (5, "PSS of a gate")):
        out.append(f"| {name} | {one[i] / 1024:.0f} KB | {many[i] / 1024:.0f} KB: "
                   f"**{(many[i] - one[i]) / (n - 1):.0f} bytes** a site |")
    if shutil.which("valgrind"):
        a, b = per_request(args, 1), per_request(args, n)
        out.append(f"| instructions a request | {a:.0f} | {b:.0f}: **{b / a:.3f}** |")
    else:
        print("  SKIPPED: instructions a request: valgrind is not installed", flush=True)
        out.append("| instructions a request | not measured: valgrind is not installed | |")
    return out + ["", GOALS, ""]
