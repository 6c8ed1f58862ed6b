"""[Alert]: who is named there is told of what needs a person, once, and when it is over; over restarts, and by mail and webhook.

What goes wrong is a [Tcp] whose server is away. The mail server and the webhook are real ones, of this test.
"""

import base64
import datetime
import email
import http.server
import ipaddress
import json
import os
import pathlib
import pwd
import signal
import socketserver
import sqlite3
import ssl
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import deploybed
import tcpbed
from program import BUILD, free_port, processes, unprivileged, wait_until
from test_root import rooted  # noqa: F401 - a fixture


class Smtp(socketserver.ThreadingTCPServer):
    """Takes mails (RFC 5321); with a context, only behind STARTTLS, and with a password, only from who has it."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port=0, context=None, password=None):
        self.mails, self.said, self.context, self.password = [], [], context, password
        super().__init__(("127.0.0.1", port), SmtpTalk)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class SmtpTalk(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")
        self.wfile.flush()

    def handle(self):
        server, tls, known, envelope = self.server, False, False, []
        self.say("220 test ESMTP")
        while line := self.rfile.readline():
            words = line.decode().strip()
            verb = words.split()[0].upper() if words else ""
            server.said.append((verb, tls))
            if verb in ("EHLO", "HELO"):
                more = [*(["STARTTLS"] if server.context and not tls else []), *(["AUTH PLAIN"] if server.password else []), "8BITMIME"]
                self.say("\r\n".join(["250-test", *(f"250-{one}" for one in more[:-1]), f"250 {more[-1]}"]))
            elif verb == "STARTTLS":
                self.say("220 go")
                self.request = server.context.wrap_socket(self.request, server_side=True)
                self.rfile, self.wfile, tls = self.request.makefile("rb"), self.request.makefile("wb"), True
            elif verb == "AUTH":
                token = words.split()[2] if len(words.split()) > 2 else ""
                if not token:
                    self.say("334 ")
                    token = self.rfile.readline().decode().strip()
                known = base64.b64decode(token).decode().split("\0")[1:] == ["alerts", server.password]
                self.say("235 ok" if known else "535 no")
            elif verb == "MAIL" and ((server.context and not tls) or (server.password and not known)):
                self.say("530 not so")
            elif verb in ("MAIL", "RCPT"):
                envelope.append(words)
                self.say("250 ok")
            elif verb == "DATA":
                self.say("354 go")
                text = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    assert line.endswith(b"\r\n")
                    text += line
                server.mails.append((envelope, email.message_from_bytes(text)))
                self.say("250 ok")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")


class Hook(http.server.ThreadingHTTPServer):
    """A webhook over TLS that answers with these statuses, then with 200."""

    def __init__(self, context, statuses=(), port=0):
        self.posts, self.statuses, self.errors = [], list(statuses), 0

        class Talk(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.server.posts.append((self.path, dict(self.headers), json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass
        super().__init__(("127.0.0.1", port), Talk)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        self.errors += 1  # who does not trust us goes away in the handshake

    def stop(self):
        self.shutdown()
        self.server_close()


@pytest.fixture
def trusted(work):
    """A context with a certificate for localhost, and the environment of who trusts it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=9))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                           False)
            .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))
    (work / "ca.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (work / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                     serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work / "ca.pem", work / "key.pem")
    return context, {"SSL_CERT_FILE": str(work / "ca.pem")}


@pytest.fixture
def started():
    """What is to be stopped at the end."""
    made = []
    yield lambda one: made.append(one) or one
    for one in made:
        one.stop()


class Trouble:
    """A site with a [Tcp] whose server is away, and comes when it is told to."""

    def __init__(self, stead, app_folder, alert, number=1, **options):
        self.ports, self.away = [free_port() for _ in range(number)], [free_port() for _ in range(number)]
        tcp = "".join(f"[Tcp t{n}]\nListen=127.0.0.1:{port}\nServer=127.0.0.1:{away}\nCheck=connect\nCheckSec=100ms\nFailMax=1\n"
                      for n, (port, away) in enumerate(zip(self.ports, self.away)))
        self.one = stead(app_folder({"public/index.html": "home", "stead.conf": tcpbed.conf(tcp) + alert}), **options).up()

    def begin(self, n=0):
        with tcpbed.connect(self.ports[n]) as c:
            try:
                assert c.recv(1) == b""
            except ConnectionResetError:
                pass
        wait_until("it to be known", lambda: any(r.get("event") == "TCP_DOWN" and r["tcp"] == f"tcp/t{n}" for r in self.one.logs()))

    def events(self, name):
        return [r for r in self.one.logs() if r.get("event") == name]


def test_a_mail_once_and_when_it_is_over(stead, app_folder, started):
    smtp = started(Smtp())
    trouble = Trouble(stead, app_folder, f"[Alert]\nMail=ann@example.org\nSmtp=smtp://127.0.0.1:{smtp.port}\nFrom=stead@example.org\n")
    trouble.begin()
    wait_until("a mail", lambda: smtp.mails)
    envelope, mail = smtp.mails[0]
    assert envelope[0].startswith("MAIL FROM:<stead@example.org>") and envelope[1].startswith("RCPT TO:<ann@example.org>")
    assert (mail["To"], mail["From"], mail["Auto-Submitted"]) == ("ann@example.org", "stead@example.org", "auto-generated")
    assert "no server of a [Tcp] takes connections" in mail["Subject"] and mail["Message-ID"] and mail["Date"]
    text = mail.get_payload()
    assert "TCP_DOWN" in text and "tcp/t0" in text and "what to do" in text
    trouble.begin()  # again: it lasts, so it is not told again
    server = started(tcpbed.Server(tcpbed.echo, port=trouble.away[0]))
    assert server.port == trouble.away[0]
    wait_until("the end to be told", lambda: len(smtp.mails) == 2)
    assert "resolved" in smtp.mails[1][1]["Subject"] and "RESOLVED" in smtp.mails[1][1].get_payload()
    wait_until("both to be known as sent", lambda: len(trouble.events("ALERT_SENT")) == 2)
    assert len(smtp.mails) == 2


def test_a_webhook_is_tried_again_under_the_same_name(stead, app_folder, started, trusted):
    context, env = trusted
    hook = started(Hook(context, [500, 503]))
    trouble = Trouble(stead, app_folder, f"[Alert]\nWebhook=https://localhost:{hook.port}/secret-path\n", env=env)
    trouble.begin()
    wait_until("the third try", lambda: len(hook.posts) == 3)
    path, headers, body = hook.posts[2]
    assert path == "/secret-path" and headers["Content-Type"] == "application/json" and headers["Idempotency-Key"] == body["id"]
    assert len({post[2]["id"] for post in hook.posts}) == 1
    alert, = body["alerts"]
    assert (alert["event"], alert["tcp"], alert["state"], alert["level"]) == ("TCP_DOWN", "tcp/t0", "raised", "error")
    assert body["version"] == 1 and body["host"]
    wait_until("it to be known as sent", lambda: trouble.events("ALERT_SENT"))
    failed = trouble.events("ALERT_FAILED")
    assert [one["next_s"] for one in failed] == ["2", "8"] and "status 500" in failed[0]["why"]
    assert "secret-path" not in json.dumps(trouble.one.logs())


def test_a_webhook_that_nobody_vouches_for_gets_nothing(stead, app_folder, started, trusted):
    hook = started(Hook(trusted[0]))
    trouble = Trouble(stead, app_folder, f"[Alert]\nWebhook=https://localhost:{hook.port}/\n")
    trouble.begin()
    failed = wait_until("it to fail", lambda: trouble.events("ALERT_FAILED"))
    assert "certificate" in failed[0]["why"] and not hook.posts


def test_a_password_goes_over_tls_only(stead, app_folder, started, trusted):
    context, env = trusted
    smtp = started(Smtp(context=context, password="geheim"))
    trouble = Trouble(stead, app_folder, f"[Alert]\nMail=ann@example.org\nSmtp=smtp://alerts:geheim@localhost:{smtp.port}\n", env=env)
    trouble.begin()
    wait_until("a mail", lambda: smtp.mails)
    assert ("AUTH", True) in smtp.said and ("AUTH", False) not in smtp.said and ("MAIL", False) not in smtp.said
    plain = started(Smtp(password="geheim"))
    other = Trouble(stead, app_folder, f"[Alert]\nMail=ann@example.org\nSmtp=smtp://alerts:geheim@localhost:{plain.port}\n", env=env)
    other.begin()
    wait_until("it to fail", lambda: other.events("ALERT_FAILED"))
    assert not plain.mails and "AUTH" not in {verb for verb, _ in plain.said}
    assert "geheim" not in json.dumps(other.one.logs())


@pytest.mark.parametrize("how", ["ctl", "log", "stop"])
def test_nothing_is_lost_over_a_restart(stead, app_folder, started, how):
    port = free_port()
    trouble = Trouble(stead, app_folder, f"[Alert]\nMail=ann@example.org\nSmtp=smtp://127.0.0.1:{port}\n")
    trouble.begin()
    wait_until("it to fail", lambda: trouble.events("ALERT_FAILED"))
    if how == "stop":
        trouble.one.cli("stop")
        trouble.one.process.wait()
    else:
        pid = next(pid for pid, comm in trouble.one.tree().items() if comm == f"stead-{how}")
        os.kill(pid, signal.SIGKILL)
    smtp = started(Smtp(port=port))
    if how == "stop":
        trouble.one.up()
    wait_until("the mail", lambda: smtp.mails)
    wait_until("it to be known as sent", lambda: trouble.events("ALERT_SENT"))
    assert len(smtp.mails) == 1 and "tcp/t0" in smtp.mails[0][1].get_payload()


def test_so_many_an_hour_then_one_for_all(stead, app_folder, started):
    """Ten were sent: the next wait until the first of these is an hour old, and go as one."""
    smtp = started(Smtp())
    trouble = Trouble(stead, app_folder, f"[Alert]\nMail=ann@example.org\nSmtp=smtp://127.0.0.1:{smtp.port}\n", number=3)
    with sqlite3.connect(trouble.one.state / "state.db", timeout=20) as db:
        for ago in (3590, *[10] * 9):
            db.execute("INSERT INTO alert_told VALUES ('ann@example.org', CAST(strftime('%s', 'now') AS INTEGER) - ?)", (ago,))
    for n in range(3):
        trouble.begin(n)
    assert not smtp.mails
    wait_until("the mail", lambda: smtp.mails)
    mail, = [mail for _, mail in smtp.mails]
    assert "3 alerts" in mail["Subject"]
    assert all(f"tcp/t{n}" in mail.get_payload() for n in range(3))


@pytest.mark.root
def test_as_root_it_has_a_user_of_its_own(rooted, app_folder, started):
    """And it can be asked for by ctl, which names no user."""
    gate, seen = threading.Event(), set()
    smtp = Smtp()

    class Slow(SmtpTalk):
        def handle(self):
            gate.wait()
            super().handle()
    smtp.RequestHandlerClass = Slow
    started(smtp)
    trouble = Trouble(rooted, app_folder, f"[Alert]\nMail=ann@example.org\nSmtp=smtp://127.0.0.1:{smtp.port}\n")
    trouble.begin()

    def found():
        for pid, (_, _, comm) in processes().items():
            if comm == "stead-alert":
                text = pathlib.Path(f"/proc/{pid}/status").read_text()
                if "Seccomp:\t2" in text:
                    seen.add(text)
        return seen
    wait_until("it to run", found)
    assert f"Uid:\t{pwd.getpwnam('stead-alert').pw_uid}\t" in seen.pop()
    gate.set()
    wait_until("the mail", lambda: smtp.mails)


def test_a_test_says_of_each_what_became_of_it(stead, app_folder, started, trusted):
    """`stead alert test`: sent now, to each by itself; what cannot be is told with the reason, and is no alert."""
    context, env = trusted
    smtp, hook = started(Smtp()), started(Hook(context, [500]))
    one = stead(app_folder({"public/index.html": "home", "stead.conf": f"[Alert]\nMail=ann@example.org bob@example.org\nSmtp=smtp://127.0.0.1:{smtp.port}\n"
                            f"Webhook=https://localhost:{hook.port}/secret-path\n"}), env=env).up()
    said = one.cli("alert", "test", code=1)
    assert [line.split()[:2] for line in said.splitlines() if line.startswith(("sent", "failed"))] == [
        ["sent", "ann@example.org"], ["sent", "bob@example.org"], ["failed", f"https://localhost:{hook.port}:"]], said
    assert "status 500" in said and "1 of 3 could not be sent" in said and "secret-path" not in said
    assert sorted(mail["To"] for _, mail in smtp.mails) == ["ann@example.org", "bob@example.org"]
    assert "a test" in smtp.mails[0][1]["Subject"] and "Nothing is wrong" in smtp.mails[0][1].get_payload()
    post, = hook.posts
    assert [a["state"] for a in post[2]["alerts"]] == ["test"]
    events = [json.loads(line) for line in one.cli("alert", "test", "--json", code=0).splitlines()]
    assert [e["sent"] for e in events if e.get("event") == "alert"] == [True] * 3
    assert not [r for r in one.logs() if r.get("event", "").startswith("ALERT_")]
    one.cli("alert", "test", "nosuch", code=4)


def test_a_test_of_nobody(stead, app_folder):
    one = stead(app_folder({"public/index.html": "home"})).up()
    assert "[Alert] names nobody" in one.cli("alert", "test", code=2)
    one.cli("alert", "frobnicate", code=2)


def test_a_test_whose_asker_goes(stead, app_folder, started):
    """Its message may still go out; another test can begin, and ctl is the same."""
    held = threading.Event()

    class Slow(SmtpTalk):
        def handle(self):
            held.wait(20)
            super().handle()
    smtp = Smtp()
    smtp.RequestHandlerClass = Slow
    started(smtp)
    one = stead(app_folder({"public/index.html": "home", "stead.conf": f"[Alert]\nMail=ann@example.org\nSmtp=smtp://127.0.0.1:{smtp.port}\n"})).up()
    pid, = one.pids("ctl")
    first = subprocess.Popen([BUILD / "stead", "alert", "test", "--state", one.state], stdout=subprocess.DEVNULL, **unprivileged())
    wait_until("it to send", lambda: any(comm == "stead-alert" for _, _, comm in processes().values()))
    assert "Another test is under way" in one.cli("alert", "test", code=7)
    first.kill()
    first.wait()
    held.set()
    wait_until("another test", lambda: "sent " in one.cli("alert", "test", code=None))
    assert one.pids("ctl") == [pid]


def test_a_deployed_app_has_its_own(stead, app_folder, work, started):
    """What is about the app is told to whom its file names besides, by its own mail server; to nobody twice."""
    operators, its_own = started(Smtp()), started(Smtp())
    folder = deploybed.write(work / "server", {
        "stead.conf": f"[Server]\nSites=sites\n[Alert]\nMail=op@example.org both@example.org\nSmtp=smtp://127.0.0.1:{operators.port}\n", "sites/.keep": ""})
    server = deploybed.Server(stead(folder).up())
    conf = f"[Alert]\nMail=dev@example.org both@example.org\nSmtp=smtp://127.0.0.1:{its_own.port}\nFrom=shop@example.org\n"
    for name, text in (("shop", conf), ("other", "")):
        server.deploy(deploybed.write(work / name, deploybed.app(name, text + f"[Site]\nDomain={name}.test\n")))
    assert "sent     dev@example.org" in server.one.cli("alert", "test", "shop")
    assert [mail["From"] for _, mail in its_own.mails] == ["shop@example.org"]
    for name in ("shop", "other"):
        server.deploy(deploybed.write(work / name, deploybed.app("bad", conf if name == "shop" else "", status="500 No")), code=1)
    wait_until("the operator to be told of both", lambda: sum(
        mail.get_payload().count("DEPLOY_FAILED") for _, mail in operators.mails if mail["To"] == "op@example.org") == 2)
    told = wait_until("the app's own", lambda: [mail for _, mail in its_own.mails if "DEPLOY_FAILED" in mail.get_payload()])
    assert [mail["To"] for mail in told] == ["dev@example.org"]
    assert "app: shop" in told[0].get_payload() and "app: other" not in told[0].get_payload()
    wait_until("all to be known as sent", lambda: sum(int(r["alerts"]) for r in server.one.logs() if r.get("event") == "ALERT_SENT") == 5)


@pytest.mark.parametrize("line, says", [
    ("Mail=not-an-address", "not an address of mail"),
    ("Mail=ann@example.org,bob@example.org", "not an address of mail"),
    ("From=<ann@example.org>", "not an address of mail"),
    ("Webhook=hooks.example.org/x", "https://"),
    ("Webhook=https:///x", "not a URL"),
    ("Webhook=https://hooks.example.org:99999/x", "not a URL"),
    ("Webhook=http://hooks.example.org/x", "in the clear"),
    ("Smtp=mail.example.org", "mail server's URL"),
    ("Smtp=smtp://mail.example.org:25/x", "mail server's URL"),
    ("Smtp=smtp://user:secret@:25", "mail server's URL")])
def test_check_finds_what_cannot_be_told(app_folder, line, says):
    folder = app_folder({"public/index.html": "home", "stead.conf": f"[Alert]\n{line}\n"})
    said = subprocess.run([BUILD / "stead", "check", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **unprivileged())
    assert said.returncode == 2 and "stead.conf:2:" in said.stdout and says in said.stdout and "secret" not in said.stdout.replace(line, ""), said.stdout


def test_check_lets_pass_what_can(app_folder):
    folder = app_folder({"public/index.html": "home", "stead.conf": "[Alert]\nMail=ann.oneil+x@mail.example.org bob@b\nFrom=stead@example.org\n"
                         "Webhook=https://hooks.example.org/a?b#c http://127.0.0.1:8080/x http://localhost/ https://[2001:db8::1]:8443\n"
                         "Smtp=smtps://user:pass@mail.example.org:465/\n"})
    said = subprocess.run([BUILD / "stead", "check", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **unprivileged())
    assert said.returncode == 0, said.stdout
