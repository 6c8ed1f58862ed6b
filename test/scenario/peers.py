"""Five other servers, and what each reads of the bytes it is sent: nginx, HAProxy, Apache, Node, gunicorn.

The first three hand on to an origin of ours, which keeps what they made of a request, and what their own
variables said of it; the other two say it in a field of their answer. All of them run as the packages come, on
loopback ports, with bounds as wide as stead's, so that a refusal is about the form.
"""

import base64
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading

from program import free_port, wait_until

HERE = pathlib.Path(__file__).resolve().parent
MODULES = pathlib.Path("/usr/lib/apache2/modules")
PATH = os.environ["PATH"] + ":/usr/sbin"  # a user's own may lack it

NGINX = """worker_processes 1; daemon off; master_process off; pid DIR/pid; error_log DIR/error.log; events { }
http { access_log off; client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f;
uwsgi_temp_path DIR/u; scgi_temp_path DIR/s; keepalive_requests 1000000; merge_slashes off; client_max_body_size 0;
large_client_header_buffers 8 64k; ignore_invalid_headers off; underscores_in_headers on; keepalive_timeout 60;
proxy_headers_hash_max_size 1024; proxy_headers_hash_bucket_size 128;
server { listen 127.0.0.1:PORT; location / { proxy_pass http://127.0.0.1:ORIGIN; proxy_http_version 1.1;
proxy_ignore_client_abort on; proxy_set_header Host $http_host; proxy_set_header X-View-Method "[$request_method]";
proxy_set_header X-View-Path "[$uri]"; proxy_set_header X-View-Query "[$args]"; } } }
"""
HAPROXY = """global
  tune.bufsize 262144
  tune.http.maxhdr 512
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend peer
  bind 127.0.0.1:PORT
  http-request set-header X-View-Method "[%[method]]"
  http-request set-header X-View-Path "[%[path]]"
  http-request set-header X-View-Query "[%[query]]"
  default_backend origin
backend origin
  http-reuse never
  server origin 127.0.0.1:ORIGIN
"""
APACHE = """ServerRoot DIR
ServerName peer
DefaultRuntimeDir DIR
PidFile DIR/pid
ErrorLog DIR/error.log
Listen 127.0.0.1:PORT
LoadModule mpm_event_module MODULES/mod_mpm_event.so
LoadModule authz_core_module MODULES/mod_authz_core.so
LoadModule proxy_module MODULES/mod_proxy.so
LoadModule proxy_http_module MODULES/mod_proxy_http.so
LoadModule headers_module MODULES/mod_headers.so
User nobody
Group nogroup
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
KeepAliveTimeout 60
MaxKeepAliveRequests 0
LimitRequestLine 65536
LimitRequestFieldSize 65536
LimitRequestFields 512
AllowEncodedSlashes NoDecode
MergeSlashes Off
ProxyPreserveHost On
ProxyAddHeaders Off
ProxyPassMatch ^(/.*)$ http://127.0.0.1:ORIGIN$1 nocanon disablereuse=on
RequestHeader set X-View-Method "expr=[%{REQUEST_METHOD}]"
RequestHeader set X-View-Path "expr=[%{REQUEST_URI}]"
RequestHeader set X-View-Query "expr=[%{QUERY_STRING}]"
"""
WSGI = '''
import base64, json
def app(environ, start):
    body = environ["wsgi.input"].read()
    told = {k: v for k, v in environ.items() if isinstance(v, str)}
    read = {"method": told["REQUEST_METHOD"], "target": told.get("RAW_URI", ""),
            "body": body.decode("latin-1"), "environ": told}
    start("200 OK", [("X-Read", base64.b64encode(json.dumps(read).encode()).decode()), ("Content-Length", "2")])
    return [] if told["REQUEST_METHOD"] == "HEAD" else [b"ok"]
'''


class Reading:
    """What somebody read of one request; all of it bytes. view: a proxy's own words, environ: WSGI's."""

    def __init__(self, method, target, fields, body, environ=None):
        self.method, self.target, self.body, self.environ = method, target, body, environ
        self.fields = [(n, v) for n, v in fields if not n.startswith(b"x-view-")]
        self.view = {n[7:].decode(): v[1:-1] for n, v in fields if n.startswith(b"x-view-")}

    def values(self, name):
        return [v for n, v in self.fields if n == name]

    def brief(self):
        return (self.method, self.target, b", ".join(self.values(b"host")), self.body)


def of_json(text):
    """A reading that Node or gunicorn told."""
    told = json.loads(base64.b64decode(text))

    def octets(value):
        return value.encode("latin-1")
    environ = told.get("environ")
    fields = told["fields"] if "fields" in told else [(k[5:].replace("_", "-").lower(), v) for k, v in environ.items()
                                    if k.startswith("HTTP_")]
    return Reading(octets(told["method"]), octets(told["target"]), [(octets(n), octets(v)) for n, v in fields],
                   octets(told["body"]), environ)


def fields_of(reader):
    fields = []
    while (line := reader.readline()) not in (b"\r\n", b"\n"):
        if not line.endswith(b"\n"):
            raise EOFError
        name, _, value = line.partition(b":")
        fields.append((name.lower(), value.strip(b" \t\r\n")))
    return fields


def body_of(reader, fields):
    """A framed body; None: it lasts until the end."""
    values = dict(fields)
    if b"transfer-encoding" in values:
        parts = []
        while size := int(reader.readline().split(b";")[0], 16):
            parts.append(exactly(reader, size))
            exactly(reader, 2)
        fields_of(reader)
        return b"".join(parts)
    if b"content-length" in values:
        return exactly(reader, int(values[b"content-length"]))
    return None


def exactly(reader, n):
    data = reader.read(n)
    if len(data) < n:
        raise EOFError
    return data


class Origin:
    """Behind the proxies: keeps what they hand on, one request for each connection, and answers with its number."""

    def __init__(self):
        self.readings, self.lock = [], threading.Lock()
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with sock, sock.makefile("rb") as reader:
            try:
                method, target, _ = reader.readline().rstrip(b"\r\n").split(b" ", 2)
                fields = fields_of(reader)
                body = body_of(reader, fields) or b""
                with self.lock:
                    number = len(self.readings)
                    self.readings.append(Reading(method, target, fields, body))
                sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\nX-Number: %d\r\n\r\n" % number
                             + (b"" if method == b"HEAD" else b"ok"))
            except (EOFError, OSError, ValueError, OverflowError):
                pass

    def end(self):
        self.sock.close()


class Answer:
    """reading: None when the server answered by itself."""

    def __init__(self, status, reading, closes):
        self.status, self.reading, self.closes = status, reading, closes


class Peer:
    """One of the five, running. talk() is one connection to it."""

    def __init__(self, name, command, port, folder, origin=None):
        self.name, self.port, self.origin = name, port, origin
        self.log = open(folder / "out", "wb")
        self.process = subprocess.Popen([shutil.which(command[0], path=PATH), *command[1:]], cwd=folder,
                                        stdout=self.log, stderr=self.log, start_new_session=True)

        def there():
            assert self.process.poll() is None, f"{name} ended: {(folder / 'out').read_text()}"
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        wait_until(name, there)

    def talk(self):
        return Talk(self)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # with the children that a master would wait for
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()


class Talk:
    def __init__(self, peer):
        self.peer = peer
        self.sock = socket.create_connection(("127.0.0.1", peer.port), timeout=3)
        self.reader = self.sock.makefile("rb")

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def shut(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def answer(self):
        """The next final answer; None at the end of the connection; TimeoutError while the server waits for more."""
        try:
            while line := self.reader.readline():
                words = line.split(None, 2)
                if not line.startswith(b"HTTP/1."):
                    return Answer(0, None, True)
                status, fields = int(words[1]), fields_of(self.reader)
                if status < 200 and status != 101:
                    continue
                values = dict(fields)
                reading = None
                if b"x-number" in values:
                    reading = self.peer.origin.readings[int(values[b"x-number"])]
                elif b"x-read" in values:
                    reading = of_json(values[b"x-read"])
                closes = b"close" in values.get(b"connection", b"").lower()
                if not (reading and reading.method == b"HEAD") and status not in (101, 204, 304):
                    if body_of(self.reader, fields) is None:
                        self.reader.read()
                        closes = True
                return Answer(status, reading, closes)
        except (ConnectionResetError, EOFError):
            pass
        return None

    def rest(self, until=None):
        """All answers until the server ends the connection, or up to that target's; None among them: it waited."""
        found = []
        try:
            while (got := self.answer()) is not None:
                found.append(got)
                if got.closes or (until and got.reading and got.reading.target == until):  # some linger then
                    break
        except TimeoutError:
            found.append(None)
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reader.close()
        self.sock.close()


def missing():
    """Which of the five are not installed."""
    there = {"nginx": "nginx", "HAProxy": "haproxy", "Apache": "apache2", "Node": "node", "gunicorn": "gunicorn"}
    return [name for name, program in there.items() if not shutil.which(program, path=PATH)]


def versions():
    def of(*command):
        out = subprocess.run([shutil.which(command[0], path=PATH), *command[1:]], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=True).stdout
        return next(word for word in out.replace("/", " ").replace("v", " ").replace(")", " ").split()
                    if word[0].isdigit() and "." in word)
    return {"nginx": of("nginx", "-v"), "HAProxy": of("haproxy", "-v"), "Apache": of("apache2", "-v"),
            "Node": of("node", "-v"), "gunicorn": of("gunicorn", "--version")}


class Peers:
    """All five, and the origin; end() stops them."""

    def __init__(self, folder):
        self.origin, self.all = Origin(), {}
        folder.chmod(0o755)
        try:
            for name, text, command in (("nginx", NGINX, ["nginx", "-c", "CONF", "-p", "DIR"]),
                                        ("HAProxy", HAPROXY, ["haproxy", "-f", "CONF", "-db"]),
                                        ("Apache", APACHE, ["apache2", "-f", "CONF", "-DFOREGROUND"]),
                                        ("Node", "", ["node", str(HERE / "echo_node.js"), "PORT"]),
                                        ("gunicorn", WSGI, ["gunicorn", "-b", "127.0.0.1:PORT", "--keep-alive", "60",
                                                            "-k", "gthread", "--threads", "8", "--graceful-timeout", "1",
                                                            "--limit-request-line", "8190", "--limit-request-fields",
                                                            "512", "--limit-request-field_size", "32768",
                                                            "echo_wsgi:app"])):
                self.start(folder / name, name, text, command)
        except BaseException:
            self.end()
            raise

    def start(self, top, name, text, command):
        top.mkdir()
        top.chmod(0o755)
        port = free_port()
        words = {"DIR": str(top), "PORT": str(port), "ORIGIN": str(self.origin.port), "MODULES": str(MODULES),
                 "CONF": str(top / "conf")}
        if name == "gunicorn":
            (top / "echo_wsgi.py").write_text(text)
        else:
            for word in sorted(words, key=len, reverse=True):
                text = text.replace(word, words[word])
            (top / "conf").write_text(text)
        for word, value in words.items():
            command = [part.replace(word, value) for part in command]
        self.all[name] = Peer(name, command, port, top, self.origin)

    def end(self):
        for peer in self.all.values():
            peer.end()
        self.origin.end()
