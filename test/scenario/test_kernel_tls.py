"""Records that the kernel makes (kTLS, KernelTls=): with this machine's kernel where it can, and everywhere with one that is put
into the gate (test/kernel)."""

import concurrent.futures
import pathlib
import shutil
import ssl
import subprocess

import pytest

import program
from program import BUILD, TIMEOUT, free_port, give, wait_until
from tlsbed import certificate, connect, context, fetch, once

MODULE = BUILD / "test/kernel/kernel-tls.so"
ULPS = pathlib.Path("/proc/sys/net/ipv4/tcp_available_ulp")
BIG = bytes(range(256)) * 16 * 1024
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class Installed(program.Stead):
    """The build as it is installed, with a gate that meets another kernel."""

    def __init__(self, work, folder, **options):
        super().__init__(work, folder, **options)
        self.top = work / "installed"
        real = next((BUILD / "libexec/stead").iterdir())
        roles = self.top / "libexec/stead" / real.name
        roles.mkdir(parents=True)
        shutil.copy(BUILD / "stead", self.top / "stead")
        shutil.copy(MODULE, self.top)
        for file in real.iterdir():
            if file.is_dir():
                shutil.copytree(file, roles / file.name)
            elif file.exists() and file.name != "stead-gate":
                shutil.copy(file, roles)
        shutil.copy(real / "stead-gate", self.top)
        gate = roles / "stead-gate"
        gate.write_text(f'#!/bin/sh\nLD_PRELOAD={self.top}/{MODULE.name} exec {self.top}/stead-gate "$@"\n')
        gate.chmod(0o755)
        give(self.top)

    @property
    def command(self):
        return [str(self.top / "stead"), *super().command[1:]]


@pytest.fixture(params=["this kernel's", "put into the gate"])
def up(request, work, app_folder):
    made = []

    def make(site=""):
        port = free_port()
        folder = app_folder({"public/index.html": "hello", "public/big.bin": BIG, "stead.conf": f"""[Site]
Domain=a.example
Root=public
Certificate=own.crt
CertificateKey=own.key
{site}
[Server]
ListenTls=127.0.0.1:{port}
Gates=1
"""})
        certificate(folder, "own", ("a.example", "b.example"))
        give(folder)
        one = (Installed if request.param == "put into the gate" else program.Stead)(work, folder)
        made.append(one)
        one.secure, one.folder = port, folder
        return one.up()
    if request.param == "put into the gate":
        if not MODULE.exists():
            pytest.skip(f"{MODULE} is not built: a sanitized gate takes no other module before its own")
    elif "tls" not in ULPS.read_text().split():
        pytest.skip(f"THE KERNEL OF THIS MACHINE HAS NO kTLS: {ULPS} says {ULPS.read_text().strip()!r}, so what the gate does with "
                    "it is tried with the kernel that is put into it alone (module tls; `modprobe tls`)")
    yield make
    left = [p for one in made for p in one.end()]
    for one in made:
        print(one.output(), one.log_tail())
    assert not left


def made_by_kernel(one):
    """How many connections the kernel makes the records of."""
    text = one.cli("metrics")
    return sum(int(float(line.split()[-1])) for line in text.splitlines() if line.startswith("stead_tls_kernel_connections_total"))


CIPHERS = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
           "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]


def test_each_cipher(up):
    """With each cipher that is offered a whole file, a small answer and the end of the connection come as they are meant."""
    one = up()
    for number, cipher in enumerate(CIPHERS, 1):
        new = cipher.startswith("TLS_")
        head = b"GET /big.bin HTTP/1.1\r\nHost: a.example\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
        got = subprocess.run(["openssl", "s_client", "-quiet", "-ign_eof", "-connect", f"127.0.0.1:{one.secure}", "-servername", "a.example",
                              *(["-tls1_3", "-ciphersuites", cipher] if new else ["-tls1_2", "-cipher", cipher])],
                             input=head, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT)
        assert BIG in got.stdout and got.stdout.endswith(b"hello"), (cipher, got.stdout[:300], got.stderr[-500:])
        assert b"alert" not in got.stderr and b"error:0" not in got.stderr, (cipher, got.stderr)
        assert made_by_kernel(one) == number


def test_requests_in_a_row(up):
    """A connection that stays, with small and large answers; a session that is resumed."""
    one = up()
    using = context(one.folder / "own.crt")
    with connect(one.secure, using=using) as sock:
        for path, want in (("/", b"hello"), ("/big.bin", BIG), ("/none", None), ("/", b"hello")):
            status, _, body = fetch(sock, path)
            assert (status, body) == (200, want) if want else status == 404
        session = sock.session
    for _ in range(2):
        with connect(one.secure, using=using, session=session) as sock:
            assert sock.session_reused and fetch(sock, "/big.bin")[2] == BIG
            session = sock.session
    assert made_by_kernel(one) == 3


def test_http2_and_many_at_once(up):
    """HTTP/2's frames, on several connections beside each other, each of which gets its own bytes."""
    one = up()

    def load(number):
        return subprocess.run(["curl", "-sS", "--http2", "--cacert", str(one.folder / "own.crt"), "--resolve", f"a.example:{one.secure}:127.0.0.1",
                               *[f"https://a.example:{one.secure}/big.bin?{number}.{i}" for i in range(3)]],
                              stdout=subprocess.PIPE, check=True, timeout=TIMEOUT).stdout
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for got in pool.map(load, range(4)):
            assert got == BIG * 3
    assert made_by_kernel(one) == 4


def test_an_answer_that_nobody_takes(up):
    """Four large answers in a row, of which the client reads nothing at first, come whole; one that goes away is only that."""
    one = up()
    with connect(one.secure, using=context(one.folder / "own.crt")) as sock:
        sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: a.example\r\n\r\n" * 4)
        got = b""
        while len(got) < 4 * len(BIG):
            got += sock.recv(1 << 20)
    with connect(one.secure, using=context(one.folder / "own.crt")) as sock:
        sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: a.example\r\n\r\n" * 4)
        sock.recv(10)
    assert wait_until("it serves on", lambda: once(one.secure)[2] == b"hello")


def test_status_says_whether_this_kernel_can(stead, app_folder):
    """As /proc has it, whatever the site wants."""
    one = stead(app_folder({"public/index.html": "hello", "stead.conf": "[Site]\nRoot=public\nKernelTls=off\n"})).up()
    assert one.status()["protection"]["kernel_tls"] == ("tls" in ULPS.read_text().split())


def test_switched_off(up):
    """KernelTls=off: the gate makes the records itself; a reload changes it for new connections, and stead.conf says so."""
    one = up("KernelTls=off")
    assert once(one.secure)[2] == b"hello" and made_by_kernel(one) == 0
    conf = one.folder / "stead.conf"
    conf.write_text(conf.read_text().replace("KernelTls=off", "KernelTls=auto"))
    one.cli("reload")
    assert once(one.secure)[2] == b"hello" and made_by_kernel(one) == 1
