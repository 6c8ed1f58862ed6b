"""A small certificate authority (RFC 8555), run by acmebed.py for what Pebble cannot be told to do.

Honest in what an authority must be: signatures, nonces, URLs and bindings of accounts are verified, names are asked for by
http-01 before anything is issued, and what it knows outlives it. How it behaves stands in a file that is read at each
request:

  life, backdate      seconds that a certificate is valid for, and of them before now
  profiles            {name: {"life": seconds}}: told in the directory; another name is refused
  renewal             [start, end] in seconds since 1970: when to renew the first certificate that is asked about (RFC 9773),
                      others in 50 days; renewal_after: its Retry-After
  eab                 {kid: key in base64url}: only customers get an account
  terms               URL of its terms of service
  caa                 [names] by which CAA records name it
  bad_nonces          per cent of all requests that are refused for their nonce
  fail                [{"step", "status", "type", "times", "skip", "retry_after"}, …]: so often that step is refused, behind
                      `skip` that go well; "*": each
  retry_after         {step: seconds}: in each answer of that step
  refuse              [names] whose proofs it refuses, whatever it finds
  pending, processing how often a name's proof, and an order, is not settled yet when it is looked at
  die                 a step: at its next request it ends without an answer, having done what was asked
  chains              names of roots; the first is the usual one, the others are alternates; broken_alternates: which are not
                      to be had

Steps: directory, nonce, account, order, look, authz, challenge, finalize, certificate, renewal. Prints a JSON line for each
request that reached its step.
"""

import base64
import datetime
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import random
import secrets
import socket
import ssl
import sys
import threading
import time

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

PORT, FOLDER, HOST, CERTIFICATE, KEY = int(sys.argv[1]), pathlib.Path(sys.argv[2]), *sys.argv[3:6]
BASE = f"https://{HOST}:{PORT}"
LOCK = threading.Lock()
LIFE = 90 * 86400


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Refused(Exception):
    def __init__(self, status, kind, detail, **more):
        super().__init__(detail)
        self.status, self.retry_after = status, more.pop("retry_after", None)
        self.problem = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail, "status": status, **more}


def behaviour():
    return json.loads((FOLDER / "does.json").read_text())


class Store:
    """What must outlive the process: accounts, orders and their proofs, certificates, keys of the roots."""

    def __init__(self):
        self.file = FOLDER / "known.json"
        self.all = json.loads(self.file.read_text()) if self.file.exists() else {
            "accounts": {}, "orders": {}, "authz": {}, "certificates": {}, "keys": {}, "n": 0}
        self.nonces = set()

    def keep(self):
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(self.all))
        fresh.replace(self.file)

    def number(self):
        self.all["n"] += 1
        return str(self.all["n"])

    def key(self, name):
        if name not in self.all["keys"]:
            self.all["keys"][name] = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
        return serialization.load_pem_private_key(self.all["keys"][name].encode(), None)


STORE = Store()


# ---- certificates ----

def when(seconds):
    return datetime.datetime.utcfromtimestamp(seconds)


def named(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def make(subject, key, issuer, issuer_key, start, end, names=None):
    """A certificate: of an authority without names."""
    b = (x509.CertificateBuilder().subject_name(named(subject)).issuer_name(named(issuer)).public_key(key)
         .serial_number(x509.random_serial_number()).not_valid_before(when(start)).not_valid_after(when(end))
         .add_extension(x509.BasicConstraints(names is None, None), True)
         .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
         .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False))
    if names is not None:
        b = b.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
    return b.sign(issuer_key, hashes.SHA256())


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def root(name):
    now = time.time()
    key = STORE.key(name)
    made = STORE.all["keys"].get(f"{name} certificate")
    if not made:
        made = STORE.all["keys"][f"{name} certificate"] = pem(
            make(name, key.public_key(), name, key, now - 86400, now + 10 * 365 * 86400))
    return made


def issue(csr_der, names, does, profile):
    """PEM of each chain: the certificate, then the one between it and that root."""
    csr = x509.load_der_x509_csr(csr_der)
    asked = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    if not csr.is_signature_valid or sorted(asked) != sorted(names):
        raise Refused(403, "badCSR", f"the request is for {asked}")
    life = does.get("profiles", {}).get(profile, {}).get("life", does.get("life", LIFE))
    start = int(time.time()) - does.get("backdate", 0)
    between = STORE.key("between")
    leaf = make(names[0], csr.public_key(), "stub between", between, start, start + life, names)
    chains = []
    for name in does.get("chains", ["stub root"]):
        root(name)
        step = make("stub between", between.public_key(), name, STORE.key(name), start - 86400, start + 365 * 86400)
        chains.append(pem(leaf) + pem(step))
    serial = format(leaf.serial_number, "x")
    return serial.zfill(len(serial) + len(serial) % 2), chains


# ---- signed requests ----

def point(jwk):
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        raise Refused(400, "badPublicKey", "only P-256 is taken")
    return ec.EllipticCurvePublicNumbers(int.from_bytes(unbase64(jwk["x"]), "big"), int.from_bytes(unbase64(jwk["y"]), "big"),
                                         ec.SECP256R1()).public_key()


def thumbprint(jwk):
    return base64url(hashlib.sha256(json.dumps({k: jwk[k] for k in ("crv", "kty", "x", "y")}, separators=(",", ":"))
                                    .encode()).digest())


def verify(body, url):
    """The header and the payload of a request; which account's key it is signed with is looked at too."""
    header = json.loads(unbase64(body["protected"]))
    nonce = header.get("nonce")
    if nonce not in STORE.nonces or random.random() * 100 < behaviour().get("bad_nonces", 0):
        STORE.nonces.discard(nonce)
        raise Refused(400, "badNonce", "that nonce is not good")
    STORE.nonces.discard(nonce)
    if header.get("alg") != "ES256" or header.get("url") != url or ("jwk" in header) == ("kid" in header):
        raise Refused(400, "malformed", f"the protected header is {header}")
    if "kid" in header and header["kid"] not in STORE.all["accounts"]:
        raise Refused(400, "accountDoesNotExist", "no such account")
    jwk = header.get("jwk") or STORE.all["accounts"][header["kid"]]["jwk"]
    raw = unbase64(body["signature"])
    try:
        point(jwk).verify(encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
                          f"{body['protected']}.{body['payload']}".encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused(403, "unauthorized", "the signature does not hold") from None
    return {**header, "jwk": jwk}, unbase64(body["payload"]).decode()


def verify_binding(bound, jwk, keys):
    """RFC 8555 section 7.3.4: by a key of the customer desk, over the account's own, for this URL."""
    if not isinstance(bound, dict):
        raise Refused(403, "externalAccountRequired", "an external account is needed")
    header = json.loads(unbase64(bound["protected"]))
    key = keys.get(header.get("kid"))
    if header.get("alg") != "HS256" or header.get("url") != f"{BASE}/account" or "nonce" in header or key is None:
        raise Refused(403, "unauthorized", "that external account is not known")
    right = hmac.new(unbase64(key), f"{bound['protected']}.{bound['payload']}".encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(right, unbase64(bound["signature"])) or json.loads(unbase64(bound["payload"])) != jwk:
        raise Refused(403, "unauthorized", "the binding does not hold")


# ---- steps ----

def order_json(number):
    o = STORE.all["orders"][number]
    shown = {"status": o["status"], "identifiers": [{"type": "dns", "value": n} for n in o["names"]],
             "authorizations": [f"{BASE}/authz/{a}" for a in o["authz"]], "finalize": f"{BASE}/finalize/{number}"}
    if o["status"] == "pending" and all(STORE.all["authz"][a]["status"] == "valid" for a in o["authz"]):
        o["status"] = shown["status"] = "ready"
    if any(STORE.all["authz"][a]["status"] == "invalid" for a in o["authz"]):
        o["status"] = shown["status"] = "invalid"
    if o["status"] == "processing":
        o["waits"] -= 1
        if o["waits"] < 0:
            o["status"] = shown["status"] = "valid"
    if o["status"] == "valid":
        shown["certificate"] = f"{BASE}/certificate/{o['certificate']}"
    return shown


def proven(a):
    """Fetches the token through the name, as an authority does."""
    want = f"{a['token']}.{thumbprint(STORE.all['accounts'][a['account']]['jwk'])}"
    try:
        c = http.client.HTTPConnection(a["name"], 80, timeout=10)
        c.request("GET", f"/.well-known/acme-challenge/{a['token']}")
        got = c.getresponse()
        said = got.read(1000).decode(errors="replace")
        return got.status == 200 and said.strip() == want, f"{got.status} {said[:60]!r}"
    except OSError as e:
        return False, str(e)


class Authority(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        pass

    def nonce(self):
        nonce = base64url(secrets.token_bytes(12))
        STORE.nonces.add(nonce)
        return nonce

    def answer(self, status, body=None, **headers):
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response_only(status)
        retry = behaviour().get("retry_after", {}).get(self.step)
        if retry is not None and "Retry_After" not in headers:
            headers["Retry_After"] = retry
        if self.step not in ("directory", "renewal"):
            headers["Replay_Nonce"] = self.nonce()
        for name, value in headers.items():
            for one in value if isinstance(value, list) else [value]:
                self.send_header(name.replace("_", "-"), str(one))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def fails(self):
        """One of the outages that it shall have."""
        does = behaviour()
        for one in does.get("fail", []):
            if one["step"] in (self.step, "*") and one.get("skip"):
                one["skip"] -= 1
                set_behaviour(does)
            elif one["step"] in (self.step, "*") and one.get("times", 1) > 0:
                one["times"] = one.get("times", 1) - 1
                set_behaviour(does)
                raise Refused(one.get("status", 503), one.get("type", "serverInternal"), "so it shall be",
                              retry_after=one.get("retry_after"))

    def dies(self):
        does = behaviour()
        if does.get("die") == self.step:
            del does["die"]
            set_behaviour(does)
            STORE.keep()
            os._exit(1)

    def serve(self):
        step, _, self.argument = self.path.lstrip("/").partition("/")
        self.step = step if hasattr(self, f"do_{step}") else "nothing"
        said = None
        with LOCK:
            try:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.step == "nothing":
                    raise Refused(404, "malformed", "no such thing")
                self.fails()
                header = {}
                if self.command == "POST":
                    if self.headers.get("Content-Type") != "application/jose+json":
                        raise Refused(415, "malformed", "not application/jose+json")
                    header, said = verify(json.loads(body), BASE + self.path)
                elif self.step not in ("directory", "nonce", "renewal"):
                    raise Refused(405, "malformed", "only POST is taken")
                print(json.dumps({"step": self.step, "method": self.command, "path": self.path, "payload": said,
                                  "account": header.get("kid")}), flush=True)
                status, answer, headers = getattr(self, f"do_{self.step}")(header, json.loads(said) if said else None)
                STORE.keep()
                self.dies()
                self.answer(status, answer, **headers)
            except Refused as why:
                STORE.keep()
                more = {} if why.retry_after is None else {"Retry_After": why.retry_after}
                print(json.dumps({"step": self.step, "refused": why.problem}), flush=True)
                self.answer(why.status, why.problem, Content_Type="application/problem+json", **more)

    do_GET = do_HEAD = do_POST = serve

    def do_directory(self, _header, _said):
        does = behaviour()
        meta = {"website": BASE, **({"termsOfService": does["terms"]} if "terms" in does else {}),
                **({"externalAccountRequired": True} if "eab" in does else {}),
                **({"caaIdentities": does["caa"]} if "caa" in does else {}),
                **({"profiles": {name: f"about {name}" for name in does["profiles"]}} if "profiles" in does else {})}
        return 200, {"newNonce": f"{BASE}/nonce", "newAccount": f"{BASE}/account", "newOrder": f"{BASE}/order", "meta": meta,
                     **({"renewalInfo": f"{BASE}/renewal"} if "renewal" in does else {})}, {}

    def do_nonce(self, _header, _said):
        return 200, None, {}

    def do_account(self, header, said):
        does, known = behaviour(), STORE.all["accounts"]
        for url, account in known.items():
            if account["jwk"] == header["jwk"]:
                return 200, {"status": "valid"}, {"Location": url}
        if said.get("termsOfServiceAgreed") is not True:
            raise Refused(403, "userActionRequired", "the terms are not agreed to")
        if "eab" in does:
            verify_binding(said.get("externalAccountBinding"), header["jwk"], does["eab"])
        url = f"{BASE}/acct/{STORE.number()}"
        known[url] = {"jwk": header["jwk"], "contact": said.get("contact", [])}
        return 201, {"status": "valid"}, {"Location": url}

    def do_order(self, header, said):
        does, number = behaviour(), STORE.number()
        names = [i["value"] for i in said["identifiers"] if i["type"] == "dns"]
        profile = said.get("profile")
        if profile is not None and profile not in does.get("profiles", {}):
            raise Refused(400, "invalidProfile", f"there is no profile {profile}")
        authz = []
        for name in names:
            a = STORE.number()
            STORE.all["authz"][a] = {"name": name, "status": "pending", "token": base64url(secrets.token_bytes(16)),
                                     "account": header["kid"], "looked": 0}
            authz.append(a)
        STORE.all["orders"][number] = {"names": names, "authz": authz, "status": "pending", "account": header["kid"],
                                       "profile": profile, "waits": 0}
        return 201, order_json(number), {"Location": f"{BASE}/look/{number}"}

    def mine(self, kind, header):
        one = STORE.all[kind].get(self.argument)
        if not one or one["account"] != header["kid"]:
            raise Refused(404, "malformed", "no such thing of yours")
        return one

    def do_look(self, header, _said):
        self.mine("orders", header)
        return 200, order_json(self.argument), {}

    def do_authz(self, header, _said):
        a = self.mine("authz", header)
        if a["status"] == "asked":
            a["looked"] += 1
            if a["looked"] > behaviour().get("pending", 0):
                good, why = (False, "it shall be so") if a["name"] in behaviour().get("refuse", []) else proven(a)
                a["status"], a["why"] = ("valid" if good else "invalid"), why
        status = "pending" if a["status"] == "asked" else a["status"]
        challenge = {"type": "http-01", "url": f"{BASE}/challenge/{self.argument}", "token": a["token"], "status": status}
        if status == "invalid":
            challenge["error"] = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": a["why"]}
        return 200, {"status": status, "identifier": {"type": "dns", "value": a["name"]}, "challenges": [challenge]}, {}

    def do_challenge(self, header, _said):
        a = self.mine("authz", header)
        if a["status"] == "pending":
            a["status"] = "asked"
        return 200, {"type": "http-01", "status": "processing", "token": a["token"],
                     "url": f"{BASE}/challenge/{self.argument}"}, {}

    def do_finalize(self, header, said):
        does, o = behaviour(), self.mine("orders", header)
        order_json(self.argument)
        if o["status"] != "ready":
            raise Refused(403, "orderNotReady", f"the order is {o['status']}")
        serial, chains = issue(unbase64(said["csr"]), o["names"], does, o["profile"])
        number = STORE.number()
        STORE.all["certificates"][number] = {"chains": chains, "account": header["kid"], "serial": serial}
        o.update(status="processing", certificate=number, waits=does.get("processing", 0))
        return 200, order_json(self.argument), {"Location": f"{BASE}/look/{self.argument}"}

    def do_certificate(self, header, _said):
        self.argument, _, which = self.argument.partition("/")
        chains = self.mine("certificates", header)["chains"]
        which = int(which or 0)
        if which and behaviour().get("broken_alternates"):
            raise Refused(404, "malformed", "no such chain")
        links = [f'<{BASE}/certificate/{self.argument}/{i}>;rel="alternate"' for i in range(len(chains)) if i != which]
        return 200, chains[which].encode(), {"Content_Type": "application/pem-certificate-chain",
                                             "Link": [f'<{BASE}/directory>;rel="index"', *links]}

    def do_renewal(self, _header, _said):
        does = behaviour()
        if STORE.all.setdefault("renewed", self.argument) != self.argument:
            does["renewal"] = [time.time() + 50 * 86400, time.time() + 51 * 86400]
        window = {key: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for key, at in zip(("start", "end"), does["renewal"])}
        return 200, {"suggestedWindow": window}, {"Retry_After": does.get("renewal_after", 21600)}


def set_behaviour(does):
    fresh = FOLDER / "does.new"
    fresh.write_text(json.dumps(does))
    fresh.replace(FOLDER / "does.json")


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = daemon_threads = True

    def get_request(self):
        # The handshake is each connection's own: one that says nothing must not hold the others.
        s, address = super().get_request()
        s.settimeout(60)
        return CONTEXT.wrap_socket(s, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ssl.SSLError, socket.timeout, ConnectionError)):
            super().handle_error(request, client_address)


CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.load_cert_chain(CERTIFICATE, KEY)
with LOCK:
    for chain in behaviour().get("chains", ["stub root"]):
        (FOLDER / f"{chain.replace(' ', '-')}.pem").write_text(root(chain))
    STORE.keep()
Server(("127.0.0.1", PORT), Authority).serve_forever()
