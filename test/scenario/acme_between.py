"""Between stead and Pebble, run by acmebed.py: tells when to renew (RFC 9773), which Pebble does not, and fails when told to.

What it does stands in a file, which is read at each request: {"renewal": [start, end], "retry_after": S, "busy": N,
"hold": PART}; of `busy` the next N requests but the directory's are answered with 503; what has PART in its path waits
until the file says otherwise. Prints a line for each request.
"""

import base64
import http.client
import http.server
import json
import pathlib
import ssl
import sys
import time

PORT, UPSTREAM, BEHAVIOUR, BUNDLE, CERTIFICATE, KEY = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3]), *sys.argv[4:7]


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Between(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, *words):
        print(*words, flush=True)

    def log_message(self, *_):
        pass

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.say(self.command, self.path)
        if body:
            payload = unbase64(json.loads(body)["payload"])
            self.say("PAYLOAD", payload.decode())
        does = json.loads(BEHAVIOUR.read_text())
        while does.get("hold") and does["hold"] in self.path:
            self.say("HELD", self.path)
            time.sleep(0.1)
            does = json.loads(BEHAVIOUR.read_text())
        if self.path != "/dir" and does.get("busy"):
            BEHAVIOUR.write_text(json.dumps({**does, "busy": does["busy"] - 1}))
            self.answer(503, [("Retry-After", str(does.get("retry_after", 1)))], b"{}")
            return
        if self.path.startswith("/renewal/"):
            start, end = does["renewal"]
            self.answer(200, [("Retry-After", "21600")],
                        json.dumps({"suggestedWindow": {"start": start, "end": end}}).encode())
            return
        upstream = http.client.HTTPSConnection("localhost", UPSTREAM, context=ssl.create_default_context(cafile=BUNDLE))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        upstream.request(self.command, self.path, body or None, headers)
        got = upstream.getresponse()
        text = got.read()
        if self.path == "/dir":
            text = json.dumps({**json.loads(text), "renewalInfo": f"https://{self.headers['Host']}/renewal"}).encode()
        self.answer(got.status, got.getheaders(), text)
        upstream.close()

    do_GET = do_HEAD = do_POST = pass_on


server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Between)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
