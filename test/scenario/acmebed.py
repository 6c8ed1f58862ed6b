"""A network of its own with a certificate authority in it: Pebble, its name server, and stead on ports 80 and 443.

Everything is in a namespace that the bed makes: addresses, ports, name servers and whom the machine believes. Needs root.
"""

import json
import os
import pathlib
import pwd
import ssl
import subprocess

import program

DOMAIN = "shop.stead-test.example"
AUTHORITY = "authority.stead-test.example"


def sh(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options).stdout


class Net:
    """The namespace: a process that holds it, and how to run others in it. inside: the network of that process, for what runs
    beside a fresh server; whom that believes and asks is its own matter."""

    def __init__(self, work, inside=None):
        self.work = work
        (work / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        (work / "hosts").write_text("127.0.0.1 localhost\n")
        self.bundle = work / "authorities.pem"
        self.key, self.certificate = self.make_authority()
        network = ["nsenter", "-t", str(inside), "-n", "--", "unshare", "-m"] if inside else ["unshare", "-n", "-m"]
        script = ("" if inside else "ip link set lo up; echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start; ") + "".join(
            f"mount --bind {work}/{name} {place}; " for name, place in (
                ("resolv.conf", "/etc/resolv.conf"), ("hosts", "/etc/hosts"),
                ("authorities.pem", "/etc/ssl/certs/ca-certificates.crt"))) + "echo ready; exec sleep infinity"
        self.holder = subprocess.Popen([*network, "sh", "-ec", script], stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n"
        self.children = []

    def make_authority(self):
        """Who signs the authority's own server, and that server's key and certificate."""
        work = self.work
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
           "/CN=bed", "-keyout", work / "bed.key", "-out", self.bundle)
        sh("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server", "-keyout",
           work / "server.key", "-out", work / "server.csr")
        (work / "server.ext").write_text(f"subjectAltName=DNS:{AUTHORITY},DNS:localhost,IP:127.0.0.1\n")
        sh("openssl", "x509", "-req", "-in", work / "server.csr", "-CA", self.bundle, "-CAkey", work / "bed.key",
           "-CAcreateserial", "-days", "30", "-extfile", work / "server.ext", "-out", work / "server.pem")
        return work / "server.key", work / "server.pem"

    def enter(self, *command):
        return ["nsenter", "-t", str(self.holder.pid), "-n", "-m", "--", *map(str, command)]

    def start(self, name, *command, env=None):
        with open(self.work / f"{name}.out", "ab") as out:
            child = subprocess.Popen(self.enter(*command), stdout=out, stderr=subprocess.STDOUT, cwd=self.work,
                                     env={**os.environ, **(env or {})})
        self.children.append(child)
        return child

    def curl(self, *arguments, code=0):
        result = subprocess.run(self.enter("curl", "-sS", "--max-time", "20", *arguments), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
        assert code is None or result.returncode == code, result.stdout
        return result.stdout

    def end(self):
        for child in [*self.children, self.holder]:
            child.kill()
            child.wait()
        self.holder.stdout.close()


class Pebble:
    """The authority, strict, and the name server that it and stead ask."""

    def __init__(self, net, nonce_reject=50, validity_s=None, env=None):
        self.net = net
        self.url = f"https://{AUTHORITY}:14000/dir"
        config = {"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
                             "certificate": str(net.certificate), "privateKey": str(net.key), "httpPort": 80,
                             "tlsPort": 443, "ocspResponderURL": "", "externalAccountBindingRequired": False,
                             **({"certificateValidityPeriod": validity_s} if validity_s else {})}}
        (net.work / "pebble.json").write_text(json.dumps(config))
        self.names = net.start("names", "pebble-challtestsrv", "-defaultIPv6", "", "-dns01", "127.0.0.1:53", "-http01", "",
                               "-https01", "", "-tlsalpn01", "", "-management", "127.0.0.1:8055")
        self.process = net.start("pebble", "pebble", "-config", net.work / "pebble.json", "-strict", "-dnsserver", "127.0.0.1:53",
                                 env={"PEBBLE_WFE_NONCEREJECT": str(nonce_reject), "PEBBLE_VA_SLEEPTIME": "1", **(env or {})})
        program.wait_until("the authority", lambda: "newOrder" in net.curl("--cacert", str(net.bundle), self.url, code=None))
        self.roots = net.work / "roots.pem"
        self.roots.write_text(self.management("roots/0"))

    def management(self, path):
        return self.net.curl("--cacert", str(self.net.bundle), f"https://localhost:15000/{path}")

    def set_name(self, record, **fields):
        """Of the name server: record is add-a, add-aaaa, add-caa, clear-a and the like."""
        self.net.curl("-d", json.dumps(fields), f"http://127.0.0.1:8055/{record}")

    def log(self):
        return (self.net.work / "pebble.out").read_text(errors="replace")

    def issued(self):
        """How many certificates it has given out."""
        return self.log().count("Issued certificate serial")


class Stead(program.Stead):
    """stead in that network, as the test's user."""

    def __init__(self, net, work, folder, **options):
        super().__init__(work, folder, http="", port=80, **options)
        self.net = net

    @property
    def command(self):
        if self.as_root:
            return self.net.enter(*super().command)
        return self.net.enter("setpriv", f"--reuid={program.TEST_USER}", "--regid=nogroup", "--clear-groups", *super().command)

    def options(self):
        return {"env": self.environment, "cwd": self.work, "stdin": subprocess.DEVNULL}

    def cli(self, *arguments, **options):
        who = {} if self.as_root else program.unprivileged()
        kept, self.options = self.options, lambda: {**kept(), **who}
        try:
            return super().cli(*arguments, **options)
        finally:
            self.options = kept

    def served(self, name=DOMAIN, port=443):
        """The serial number of the certificate that is served for a name, in lower-case hex; "" when there is none."""
        text = subprocess.run(self.net.enter("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        if b"BEGIN CERTIFICATE" not in text:
            return ""
        out = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=text, stdout=subprocess.PIPE, check=True).stdout
        return out.decode().strip().split("=")[1].lower()

    def certificate(self, site=None):
        """What `stead cert list` says of a site's."""
        said = json.loads(self.cli("cert", "list", "--json", code=None).splitlines()[-1])
        return next((c for c in said.get("certificates", ()) if site in (None, c["site"])), None)


def dies_at_each_step(pebble, bed, role):
    """kill -9 of a process at each step of an order: exactly one certificate, and it is served."""
    stead, killed = bed(pebble).up(), 0
    for mark in ("/sign-me", "/order-plz", "/chalZ/", "/finalize-order/", "/certZ/"):
        program.wait_until(mark, lambda mark=mark: mark in pebble.log() or stead.served())
        if stead.served():
            break
        stead.kill(role)
        killed += 1
    program.wait_until("the certificate", stead.served)
    program.wait_until("it is told", lambda: (stead.certificate() or {}).get("state") == "served")
    assert pebble.issued() == 1 and killed >= 3
    assert stead.certificate()["serial"] == stead.served()


def site(pebble, more="", names=DOMAIN, listen="127.0.0.1:80", tls="127.0.0.1:443"):
    """A stead.conf of files alone."""
    return {"stead.conf": f"[Site]\nName=shop\nDomain={names}\nRoot=www\n{more}\n[Server]\nListen={listen}\n"
                          f"ListenTls={tls}\nAcmeEmail=admin@stead-test.example\nAcmeDirectory={pebble.url}\n",
            "www/index.html": "hello from the shop\n"}


class Between:
    """A server between stead and Pebble, which does what Pebble does not; see acme_between.py."""

    def __init__(self, net, pebble, **behaviour):
        self.net, self.file = net, net.work / "between.json"
        self.url = f"https://{AUTHORITY}:14100/dir"
        self.does(**behaviour)
        net.start("between", "python3", program.TOP / "test/scenario/acme_between.py", 14100, 14000, self.file, net.bundle,
                  net.certificate, net.key)
        program.wait_until("the server between", lambda: "renewalInfo" in net.curl("--cacert", str(net.bundle), self.url, code=None))
        self.roots = pebble.roots

    def does(self, **behaviour):
        self.file.write_text(json.dumps(behaviour))

    def log(self):
        return (self.net.work / "between.out").read_text(errors="replace")


def finish(made):
    """The end of a test's instances: nothing of them is left, and no sanitizer found anything."""
    left = [p for one in made for p in one.end()]
    for one in made:
        print(one.output(), one.log_tail())
    assert not left, f"processes left over: {left}"
    found = [line for one in made for line in one.sanitizer_reports()]
    assert not found, "\n".join(found[:20])
