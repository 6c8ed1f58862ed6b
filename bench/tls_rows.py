"""The rows of bench/run over TLS: kept connections, HTTP/2, handshakes, and what an idle connection holds.

Everybody has the same certificate (ECDSA on P-256, as certificate authorities give today) and speaks TLS 1.2 and 1.3."""

import os
import re
import ssl
import subprocess
import sys
import tempfile

import measure
import servers
from row import Row

IDLE = 2000
NAME = "localhost"


def certificate(folder):
    """(chain, key, both in one file), readable by whoever serves."""
    paths = [os.path.join(folder, f"tls-{what}.pem") for what in ("cert", "key", "both")]
    if not os.path.exists(paths[2]):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                        "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]],
                       check=True, capture_output=True)
        with open(paths[2], "wb") as both:
            for path in paths[:2]:
                with open(path, "rb") as f:
                    both.write(f.read())
        for path in paths:
            servers.own(path)
    return paths


def context():
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols(["http/1.1"])
    return made


class SteadTls(servers.Stead):
    """Its port is that of TLS; the one in the clear is there as well, because `stead up` opens it."""

    def __init__(self, folder, path, binary, pem):
        self.tls = servers.free_port()
        super().__init__(folder, path, False, binary,
                         keys=[("Site", f"Certificate={pem[0]}"), ("Site", f"CertificateKey={pem[1]}"), ("Site", "Http=serve")])
        self.port = self.tls

    def options(self):
        return super().options() + (["--https", f"127.0.0.1:{self.tls}"] if not self.started else [])


class NginxTls(servers.Server):
    name = "nginx"

    def __init__(self, root, path, pem, http2=False):
        super().__init__()
        conf = self.filled("nginx-tls.conf", ROOT=root, CERT=pem[0], KEY=pem[1], HTTP2="http2" if http2 else "")
        self.spawn(["nginx", "-c", conf, "-p", self.dir])
        self.wait(path, context())


class HaproxyTls(servers.Server):
    name = "HAProxy"

    def __init__(self, body, path, pem):
        super().__init__()
        self.spawn(["haproxy", "-f", self.filled("haproxy-tls.cfg", PEM=pem[2], BODY=body.decode()), "-db"])
        self.wait(path, context())


def wrk(port, path, connections, seconds):
    return measure.wrk(port, path, connections, seconds, scheme="https")


def h2load(port, path, connections, seconds):
    """As measure.wrk(), over HTTP/2 with 32 streams a connection."""
    with tempfile.NamedTemporaryFile(prefix="bench-h2-") as log:
        out = subprocess.run(["h2load", f"-c{connections}", "-m32", f"-D{seconds}", f"--log-file={log.name}", f"https://127.0.0.1:{port}{path}"],
                             capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
        with open(log.name, encoding="ascii") as lines:
            times = sorted(int(line.split()[2]) for line in lines)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
    done, *bad = (int(n) for n in counts.groups())
    if not done or not times or any(bad) or "Application protocol: h2" not in out:
        raise RuntimeError(f"HTTP/2 at {connections} connections:\n{out}")
    return {"requests": done, "rps": done / seconds, "p50_us": float(times[len(times) // 2]), "p99_us": float(times[len(times) * 99 // 100])}


def handshakes(binary, how):
    """Connections that were opened, served and closed."""
    return measure.client(binary, "connections", how)


class TlsRow(Row):
    """The file of static-1k over TLS. `loads`: from bench/run's arguments to what asks."""

    floor = False
    tls = context()

    def __init__(self, name, title, body, goal, loads, http2=False):
        super().__init__(name, title, "static", "/1k.txt", body, {"nginx": goal})
        self.loads, self.http2 = loads, http2

    def behind(self, args):
        self.pem = certificate(args.scratch)

    def load(self, args):
        return self.loads(args)

    def stead(self, binary, behind):
        return SteadTls(self.folder, self.path, binary, self.pem)

    def peers(self, behind):
        return [NginxTls(os.path.join(self.folder, "public"), self.path, self.pem, self.http2)]


def rows(body):
    return [
        TlsRow("tls-1k", "static file, 1 KB, TLS 1.3, kept connections", body, 1.25, lambda args: wrk),
        TlsRow("h2-1k", "static file, 1 KB, HTTP/2 over TLS 1.3, 32 streams a connection", body, 2.0, lambda args: h2load, http2=True),
        TlsRow("tls-full", "a connection with a whole TLS 1.3 handshake and 1 KB, per connection", body, 0.91,
               lambda args: handshakes(args.tls, "full")),
        TlsRow("tls-resumed", "a connection with a resumed TLS 1.3 handshake and 1 KB, per connection", body, 1.0,
               lambda args: handshakes(args.tls, "resume")),
    ]


def hold(port, path, n):
    """Clients that each asked once: their count of open connections stays until the input ends."""
    made, kept = context(), []
    for _ in range(n):
        kept.append(measure.asked_once(port, path, made))
    print("open", flush=True)
    sys.stdin.read()


def idle(args):
    """Memory of idle TLS connections that have served one request, stead's gate beside HAProxy."""
    n = 100 if args.smoke else IDLE
    folder = os.path.join(servers.HERE, "apps", "static")
    with open(os.path.join(folder, "public", "1k.txt"), "rb") as f:
        body = f.read()
    out = [f"### tls-idle: {n} idle TLS 1.3 connections that have been answered once", "", "| server | memory (PSS) of each | goal |", "|---|---|---|"]
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        os.chmod(scratch, 0o755)
        pem = certificate(scratch)
        for make in (lambda: SteadTls(folder, "/1k.txt", args.stead, pem), lambda: HaproxyTls(body[:1000].replace(b"\n", b" "), "/", pem)):
            server = make()
            try:
                path = "/1k.txt" if server.name == "stead" else "/"
                handshakes(args.tls, "full")(server.port, path, 8, 1)
                before = measure.pss_of(server.roots())
                held = subprocess.Popen([sys.executable, os.path.abspath(__file__), str(server.port), path, str(n)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                if held.stdout.readline() != "open\n":
                    raise RuntimeError(f"idle connections to {server.name} could not be opened")
                each = (measure.pss_of(server.roots()) - before) / n
                held.communicate()
                out.append(f"| {server.name} | **{each / 1024:.1f} KB** | {'≤ HAProxy' if server.name == 'stead' else ''} |")
            finally:
                server.stop()
    return out + [""]


if __name__ == "__main__":
    hold(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
