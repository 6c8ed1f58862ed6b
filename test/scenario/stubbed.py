"""A network with the stub authority and the stub name server in it; see stub_ca.py and stub_dns.py."""

import json

import program
from acmebed import AUTHORITY


class Names:
    """The name server that stead and the authority ask: every name leads here, unless it is told otherwise."""

    def __init__(self, net, **behaviour):
        self.net, self.file = net, net.work / "names.json"
        self.does(**behaviour)
        net.start("stub-names", "python3", program.TOP / "test/scenario/stub_dns.py", self.file)
        program.wait_until("the name server", lambda: net.curl("--max-time", "1", "http://ready.example:1/", code=None) and self.log())

    def does(self, **behaviour):
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps({"any": {"A": ["127.0.0.1"]}, **behaviour}))
        fresh.replace(self.file)

    def log(self):
        return (self.net.work / "stub-names.out").read_text(errors="replace")

    def asked(self, kind, name):
        return any(line.split()[:2] == [kind, name] for line in self.log().splitlines())


class Stub:
    """An authority whose behaviour is told; two of them have different numbers."""

    def __init__(self, net, number=0, **behaviour):
        self.net, self.number = net, number
        self.folder = net.work / f"stub-{number}"
        self.folder.mkdir()
        self.url = f"https://{AUTHORITY}:{14200 + number}/directory"
        self.does(**behaviour)
        self.begin()

    def begin(self):
        self.process = self.net.start(
            f"stub-{self.number}", "python3", program.TOP / "test/scenario/stub_ca.py", 14200 + self.number, self.folder, AUTHORITY,
            self.net.certificate, self.net.key)
        program.wait_until("the authority", lambda: "newOrder" in self.net.curl(
            "--cacert", str(self.net.bundle), "--resolve", f"{AUTHORITY}:{14200 + self.number}:127.0.0.1", self.url, code=None))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def does(self, **behaviour):
        fresh = self.folder / "does.new"
        fresh.write_text(json.dumps(behaviour))
        fresh.replace(self.folder / "does.json")

    def also(self, **behaviour):
        """As before, and this; None takes one away."""
        now = {**json.loads((self.folder / "does.json").read_text()), **behaviour}
        self.does(**{key: value for key, value in now.items() if value is not None})

    def root(self, name="stub root"):
        return self.folder / f"{name.replace(' ', '-')}.pem"

    def seen(self, step=None):
        """The requests that reached their step, or were refused, in their order."""
        lines = [json.loads(line) for line in (self.net.work / f"stub-{self.number}.out").read_text().splitlines() if line[:1] == "{"]
        return [one for one in lines if step in (None, one["step"])]

    def asked(self, step):
        return [one for one in self.seen(step) if "refused" not in one]

    def payloads(self, step):
        return [json.loads(one["payload"]) for one in self.asked(step) if one.get("payload")]

    def issued(self):
        """Serial numbers of all that it has given out."""
        return [c["serial"] for c in json.loads((self.folder / "known.json").read_text())["certificates"].values()]
