"""Backends under the test's control: each connection is a script of bytes."""

import queue
import socket
import threading


class Talk:
    """One connection of a backend, on the backend's side."""

    def __init__(self, sock):
        self.sock = sock
        self.reader = sock.makefile("rb")

    def head(self):
        """The next request's head: its first line and a list of (name, value); None at the end."""
        line = self.reader.readline()
        if not line:
            return None
        fields = []
        while (more := self.reader.readline()) not in (b"\r\n", b""):
            name, value = more.decode("latin-1").rstrip("\r\n").split(": ", 1)
            fields.append((name, value))
        return line.decode("latin-1").rstrip("\r\n"), fields

    def body(self, fields):
        fields = dict(fields)
        if "content-length" in fields:
            return self.reader.read(int(fields["content-length"]))
        data = b""
        if fields.get("transfer-encoding") == "chunked":
            while size := int(self.reader.readline(), 16):
                data += self.reader.read(size)
                assert self.reader.readline() == b"\r\n"
            self.trailers = []
            while (line := self.reader.readline()) != b"\r\n":
                self.trailers.append(line.decode().rstrip("\r\n"))
        return data

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        self.reader.close()
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()


class Backend:
    """Accepts connections and runs script(talk) for each; what went wrong in one is raised by end()."""

    def __init__(self, script, path=None, wrap=None):
        if path:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.bind(str(path))
            self.server = {"unix": str(path)}
        else:
            self.sock = socket.socket()
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(("127.0.0.1", 0))
            self.server = {"address": f"127.0.0.1:{self.sock.getsockname()[1]}"}
        self.sock.listen(64)
        self.script, self.wrap = script, wrap
        self.seen = queue.Queue()
        self.wrong = []
        self.conns = 0
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.conns += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            talk = Talk(self.wrap(sock) if self.wrap else sock)
        except OSError as e:
            self.seen.put(e)
            return
        try:
            self.script(talk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        except Exception as e:  # noqa: BLE001 - told by end()
            self.wrong.append(e)
        talk.close()

    def end(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        assert not self.wrong, self.wrong


def answer(body=b"hello", status="200 OK", **fields):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def keep(talk, data=answer()):
    """Answers everything with the same bytes."""
    while (got := talk.head()) is not None:
        talk.body(got[1])
        talk.send(data)
