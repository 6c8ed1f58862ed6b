"""Six more servers, and what each reads: lighttpd before our origin (peers.py), waitress, uvicorn with h11, Tornado,
aiohttp and Python's own http.server, each with a few lines that say what they were told in a field of the answer.
"""

import shutil

import peers

LIGHTTPD = """server.modules = ("mod_proxy")
server.document-root = "DIR"
server.errorlog = "DIR/error.log"
server.bind = "127.0.0.1"
server.port = PORT
server.max-keep-alive-requests = 100000
server.max-keep-alive-idle = 60
server.max-request-field-size = 65535
server.http-parseopts = ("header-strict" => "enable", "host-strict" => "enable", "url-normalize" => "disable")
proxy.server = ("" => (("host" => "127.0.0.1", "port" => ORIGIN)))
"""
SAYS = '''
import base64, json, sys
PORT = int(sys.argv[1])
def text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value
def said(method, target, fields, body, environ=None):
    read = {"method": text(method), "target": text(target), "body": text(body), "environ": environ,
            "fields": [(text(n).lower(), text(v)) for n, v in fields]}
    return base64.b64encode(json.dumps(read).encode()).decode()
'''
WAITRESS = SAYS + '''
import waitress
def app(environ, start):
    told = {k: v for k, v in environ.items() if isinstance(v, str)}
    fields = [(k[5:].replace("_", "-"), v) for k, v in told.items() if k.startswith("HTTP_")]
    query = told["QUERY_STRING"]
    target = told.get("REQUEST_URI") or told["PATH_INFO"] + ("?" + query if query else "")
    read = said(told["REQUEST_METHOD"], target, fields, environ["wsgi.input"].read(), told)
    start("200 OK", [("X-Read", read), ("Content-Length", "2")])
    return [] if told["REQUEST_METHOD"] == "HEAD" else [b"ok"]
waitress.serve(app, host="127.0.0.1", port=PORT, threads=8, channel_timeout=60, max_request_header_size=262144,
               clear_untrusted_proxy_headers=False)
'''
UVICORN = SAYS + '''
import uvicorn
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        got = await receive()
        body, more = body + got.get("body", b""), got.get("more_body", False)
    query = scope["query_string"]
    read = said(scope["method"], scope["raw_path"] + (b"?" + query if query else b""), scope["headers"], body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-read", read.encode()), (b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else b"ok"})
uvicorn.run(app, host="127.0.0.1", port=PORT, http="h11", ws="none", lifespan="off", log_level="critical",
            timeout_keep_alive=60, proxy_headers=False)
'''
TORNADO = SAYS + '''
import tornado.httpserver, tornado.httputil, tornado.ioloop
def answer(request):
    read = said(request.method, request.uri, request.headers.get_all(), request.body)
    request.connection.write_headers(tornado.httputil.ResponseStartLine("HTTP/1.1", 200, "OK"),
        tornado.httputil.HTTPHeaders({"X-Read": read, "Content-Length": "2"}), b"" if request.method == "HEAD" else b"ok")
    request.connection.finish()
server = tornado.httpserver.HTTPServer(answer, max_header_size=262144, idle_connection_timeout=60)
server.listen(PORT, "127.0.0.1")
tornado.ioloop.IOLoop.current().start()
'''
AIOHTTP = SAYS + '''
import asyncio
from aiohttp import web
async def answer(request):
    body = await request.read()
    read = said(request.method, request._message.path, request.raw_headers, body)
    return web.Response(headers={"X-Read": read}, body=b"ok")
async def main():
    runner = web.ServerRunner(web.Server(answer, max_line_size=262144, max_field_size=262144, keepalive_timeout=60))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    await asyncio.Event().wait()
asyncio.run(main())
'''
# It leaves bodies to whoever uses it: a length is read, chunks are refused as its own users would.
HTTPSERVER = SAYS + '''
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def log_message(self, *_):
        pass
    def answer(self):
        if "Transfer-Encoding" in self.headers:
            self.send_error(411)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("X-Read", said(self.command, self.path, self.headers.items(), body))
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok")
        self.wfile.flush()
    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
'''
MODULES = {"waitress": ("waitress", WAITRESS), "uvicorn": ("uvicorn", UVICORN), "Tornado": ("tornado", TORNADO),
           "aiohttp": ("aiohttp", AIOHTTP), "http.server": ("http", HTTPSERVER)}
PYTHON = "/usr/bin/python3"  # whose packages the distribution installs


def missing():
    """Which of the six are not installed."""
    import subprocess
    lacking = [] if shutil.which("lighttpd", path=peers.PATH) else ["lighttpd"]
    for name, (module, _) in MODULES.items():
        if subprocess.run([PYTHON, "-c", f"import {module}"], stderr=subprocess.DEVNULL).returncode:
            lacking.append(name)
    return lacking


class Six(peers.Peers):
    """Started as the five are; end() stops them."""

    def __init__(self, folder):
        self.origin, self.all = peers.Origin(), {}
        folder.chmod(0o755)
        try:
            self.start(folder / "lighttpd", "lighttpd", LIGHTTPD, ["lighttpd", "-D", "-f", "CONF"])
            for name, (_, text) in MODULES.items():
                self.script(folder / name, name, text)
        except BaseException:
            self.end()
            raise

    def script(self, top, name, text):
        top.mkdir()
        (top / "echo.py").write_text(text)
        port = peers.free_port()
        self.all[name] = peers.Peer(name, [PYTHON, str(top / "echo.py"), str(port)], port, top, self.origin)
