"""The row `certs` of bench/run: what ten thousand certificates cost: the start, a reload, the snapshot, the gates' memory
after all of them were asked for."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import time

import many_sites
import measure
import servers

GOALS = "goals: start ≤ 2 s, ≤ 6 KB a certificate in the snapshot, a gate's table of read ones bounded (512)"


def maker(args):
    """The program that makes them, of bench/certs.c."""
    out = os.path.join(args.scratch, "bench-certs")
    subprocess.run(["cc", "-O2", "-o", out, os.path.join(servers.HERE, "certs.c"), "-lcrypto"], check=True)
    return out


def write(args, folder, n, port):
    sites = os.path.join(folder, "sites")
    os.makedirs(sites)
    subprocess.run([maker(args), sites, str(n)], check=True)
    with open(os.path.join(folder, "stead.conf"), "w", encoding="utf-8") as f:
        f.write(f"[Server]\nSites=sites\nGates=1\nListenTls=127.0.0.1:{port}\n")
    for i in range(n):
        with open(os.path.join(sites, f"s{i:05}.conf"), "w", encoding="utf-8") as f:
            f.write(f"[Site]\nDomain=s{i}.example\nRedirect=302 / /x\nCertificate=s{i:05}.crt\nCertificateKey=s{i:05}.key\n")
    subprocess.run(["chmod", "-R", "a+rX,go-w", folder], check=True)
    for i in range(n):
        os.chmod(os.path.join(sites, f"s{i:05}.key"), 0o600)
        servers.own(os.path.join(sites, f"s{i:05}.key"))


def handshake(port, context, i):
    """One with the i-th name, whose certificate is verified."""
    with socket.create_connection(("127.0.0.1", port), 10) as raw, context.wrap_socket(raw, server_hostname=f"s{i}.example") as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: s%d.example\r\nConnection: close\r\n\r\n" % i)
        answer = s.recv(65536)
    if not answer.startswith(b"HTTP/1.1 302 "):
        raise RuntimeError(f"the answer of site {i} is {answer[:40]!r}")


def wait_for(port, context):
    """keys opens its vault and the gate its snapshot meanwhile."""
    end = time.monotonic() + 30
    while True:
        try:
            return handshake(port, context, 0)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def program(args, n, names):
    folder = os.path.join(args.scratch, f"certs{n}")
    state, port, secure = os.path.join(folder, "state"), many_sites.free_port(), many_sites.free_port()
    write(args, folder, n, secure)
    stead = servers.as_user([args.stead, "--state", state])
    os.chmod(args.scratch, 0o755)
    servers.own(folder)
    context = ssl.create_default_context(cafile=os.path.join(folder, "sites", "authority.pem"))
    rows = []
    try:
        for kind in ("first start", "start", "reload"):
            begin = time.monotonic()
            verb = ["reload"] if kind == "reload" else ["up", folder, "--detach", "--http", f"127.0.0.1:{port}"]
            before = many_sites.cpu_s(measure.with_argument("stead-parent", state)[0]) if kind == "reload" else 0
            subprocess.run([*stead, *verb], check=True, stdout=subprocess.DEVNULL)
            wait_for(secure, context)
            wall = time.monotonic() - begin
            parent = measure.with_argument("stead-parent", state)[0]
            rows.append((kind, wall, many_sites.cpu_s(parent) - before))
            if kind == "first start":
                subprocess.run([*stead, "stop"], check=True, stdout=subprocess.DEVNULL)
                while measure.with_argument("stead-parent", state):
                    time.sleep(0.05)
        logs = subprocess.run([*stead, "logs", "--json", "-n", "1000"], check=True, capture_output=True, text=True)
        size = max(int(record["bytes"]) for record in map(json.loads, logs.stdout.splitlines()) if record.get("event") == "SNAPSHOT")
        gate = next(pid for pid, row in measure.family(parent).items() if row[2] == "stead-gate")
        pss = [measure.pss_bytes(gate)]
        for i in range(names):
            handshake(secure, context, i * (n // names) % n)
        pss.append(measure.pss_bytes(gate))
        for i in range(names):
            handshake(secure, context, (i * (n // names) + 1) % n)
        pss.append(measure.pss_bytes(gate))
    finally:
        subprocess.run([*stead, "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(folder, ignore_errors=True)
    return rows, size, pss


def certs(args):
    n, names = (200, 50) if args.smoke else (10000, 1000)
    rows, size, pss = program(args, n, names)
    _, one, _ = program(args, 1, 1)
    out = [f"### certs: {n} sites, each with a certificate (P-256, a chain of two) and a key of its own", "",
           "| | wall | CPU of all processes |", "|---|---|---|"]
    out += [f"| {kind}, to the first handshake | **{wall:.2f} s** | {cpu:.2f} s |" for kind, wall, cpu in rows]
    out += ["", f"Snapshot: {size / 1024:.0f} KB, **{(size - one) / max(n - 1, 1) / 1024:.2f} KB** a site with its certificate. "
            f"PSS of the gate: {pss[0] / 1048576:.1f} MB; after handshakes with {names} names {pss[1] / 1048576:.1f} MB, with as many "
            f"others **{pss[2] / 1048576:.1f} MB**.", "", GOALS, ""]
    return out
