"""A small name server, run by acmebed.py: answers as told, and says as a resolver that validates would what DNSSEC makes of it.

Arguments: a file, read at each question, and the address to answer at (127.0.0.1). In the file: {"records": {NAME: {TYPE: [value, …]}}, "any": {TYPE: [value, …]} of names without
records, "none": [names that do not exist], "secure": [names], "bogus": [names], "broken": [names], "silent": [names],
"fails": {TYPE: rcode}}. Types: A, AAAA, CNAME, NS, TXT, CAA ([flags, tag, value]). `secure` names and those below them are answered
with AD; `bogus` with SERVFAIL, but not a question that says CD; `broken` with SERVFAIL always; `silent` not at all. Prints a
line for each question.
"""

import json
import pathlib
import socket
import socketserver
import struct
import sys
import threading

FILE = pathlib.Path(sys.argv[1])
ADDRESS = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "TXT": 16, "AAAA": 28, "CAA": 257}


def wire(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.rstrip(".").split(".") if p) + b"\0"


def data(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind in ("CNAME", "NS"):
        return wire(value)
    if kind == "TXT":
        return bytes([len(value)]) + value.encode()
    flags, tag, text = value
    return bytes([flags, len(tag)]) + tag.encode() + text.encode()


def is_below(name, zones):
    return any(name == z or name.endswith("." + z) for z in zones)


def answer(q):
    does = json.loads(FILE.read_text())
    number, flags = struct.unpack(">HH", q[:4])
    at, labels = 12, []
    while q[at]:
        labels.append(q[at + 1:at + 1 + q[at]].decode().lower())
        at += 1 + q[at]
    kind = struct.unpack(">H", q[at + 1:at + 3])[0]
    question, name, cd = q[12:at + 5], ".".join(labels), flags & 0x10
    word = next((w for w, n in TYPES.items() if n == kind), str(kind))
    print(word, name, "CD" if cd else "", flush=True)
    if is_below(name, does.get("silent", [])):
        return None
    rcode, records, ad = does.get("fails", {}).get(word, 0), [], 0
    if is_below(name, does.get("broken", [])) or (is_below(name, does.get("bogus", [])) and not cd):
        rcode = 2
    elif name in does.get("none", []):
        rcode = 3
    elif not rcode:
        at = name
        for _ in range(8):
            known = does.get("records", {}).get(at, does.get("any", {}))
            if "CNAME" in known and kind != TYPES["CNAME"]:
                records.append((at, "CNAME", known["CNAME"][0]))
                at = known["CNAME"][0]
            else:
                records += [(at, word, value) for value in known.get(word, [])]
                break
        ad = 0x20 if is_below(name, does.get("secure", [])) else 0
    head = struct.pack(">HHHHHH", number, 0x8180 | cd | ad | rcode, 1, len(records), 0, 0)
    body = b""
    for owner, which, value in records:
        rdata = data(which, value)
        body += wire(owner) + struct.pack(">HHIH", TYPES[which], 1, 60, len(rdata)) + rdata
    return head + question + body


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        q, s = self.request
        said = answer(q)
        if said:
            s.sendto(said if len(said) <= 1232 else said[:2] + bytes([said[2] | 2]) + said[3:12], self.client_address)


class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        while (n := self.rfile.read(2)):
            said = answer(self.rfile.read(struct.unpack(">H", n)[0]))
            if said:
                self.wfile.write(struct.pack(">H", len(said)) + said)


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


threading.Thread(target=TcpServer((ADDRESS, 53), Tcp).serve_forever, daemon=True).start()
socketserver.ThreadingUDPServer((ADDRESS, 53), Udp).serve_forever()
