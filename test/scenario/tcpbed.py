"""TCP backends and clients under the test's control, and a site with [Tcp] before them."""

import hashlib
import os
import socket
import threading

import program


class Server:
    """Accepts connections and runs script(sock) for each. stop() closes the listener and all that came by it."""

    def __init__(self, script, port=0, backlog=4096, path=None):
        self.script, self.socks, self.conns, self.wrong = script, [], 0, []
        self.sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        if not path:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(str(path) if path else ("127.0.0.1", port))
        self.sock.listen(backlog)
        self.port = 0 if path else self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.conns += 1
            self.socks.append(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            self.script(sock)
        except (ConnectionError, OSError):
            pass
        except Exception as e:  # noqa: BLE001 - told by end()
            self.wrong.append(e)

    def stop(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for sock in self.socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        assert not self.wrong, self.wrong


def echo(sock):
    while data := sock.recv(65536):
        sock.sendall(data)
    sock.close()


def named(name):
    """Says who it is, then echoes."""
    def script(sock):
        sock.sendall(name)
        echo(sock)
    return script


def all_of(sock):
    data = b""
    while more := sock.recv(65536):
        data += more
    return data


def exactly(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        assert more, f"the end after {len(data)} of {n} bytes"
        data += more
    return data


def pump(sock, size, seed):
    """Sends that many bytes of a stream that depends on the seed: their digest."""
    block, digest, left = hashlib.sha256(seed).digest() * 2048, hashlib.sha256(), size
    while left:
        piece = block[:left]
        sock.sendall(piece)
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


def drain(sock):
    """Reads to the end: (bytes, digest)."""
    digest, n = hashlib.sha256(), 0
    while data := sock.recv(1 << 18):
        digest.update(data)
        n += len(data)
    return n, digest.hexdigest()


def connect(port, timeout=program.TIMEOUT):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))


def conf(tcp, server="Gates=1"):
    return f"[Server]\n{server}\n[Site]\nRoot=public\n" + tcp


def rewrite(site, text):
    (site.folder / "stead.conf").write_text(text)


def closes(site, name, n):
    """Waits for n records of connections of that [Tcp]; gives all that are there."""
    def seen():
        found = [r for r in site.logs() if r.get("tcp") == name]
        return found if len(found) >= n else None
    return program.wait_until(f"{n} records of {name}", seen)


def events(site, name, n=1):
    def seen():
        found = [r for r in site.logs() if r.get("event") == name]
        return found if len(found) >= n else None
    return program.wait_until(f"{n} events {name}", seen)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
