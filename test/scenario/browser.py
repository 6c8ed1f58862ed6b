"""Headless Chromium, driven by its own protocol (Chrome DevTools Protocol) over two pipes. No test framework here.

    with browser.Browser(work, enter=lambda *words: [...], roots=[pem]) as chromium:
        page = chromium.open("https://shop.example/")
        page.fill("[name=message]", "hello"); page.click("button"); page.waits_for("hello")
"""

import json
import os
import select
import shutil
import subprocess
import time

import program

CHROMIUM = shutil.which("chromium")
LOAD_S = 120  # a browser's first page, on a machine that others load


def why_not():
    """What keeps a browser from being driven here; "" when nothing does."""
    missing = [name for name in ("chromium", "certutil") if not shutil.which(name)]
    return f"THERE IS NO {' and no '.join(missing)} (tools/install-deps.sh test fresh): no browser is tried" if missing else ""


class Browser:
    """enter: how a command runs where the browser shall stand (a network namespace). roots: files of authorities that it believes.
    names: {name: address}, of which it asks nobody."""

    def __init__(self, work, enter=lambda *words: list(words), roots=(), names=()):
        self.home = work / "home"
        self.home.mkdir()
        store = self.home / ".pki/nssdb"
        store.mkdir(parents=True)
        subprocess.run(["certutil", "-N", "--empty-password", "-d", f"sql:{store}"], check=True)
        for n, root in enumerate(roots):
            subprocess.run(["certutil", "-A", "-n", f"root {n}", "-t", "C,,", "-i", root, "-d", f"sql:{store}"], check=True)
        program.give(self.home)
        rules = ",".join(f"MAP {name} {address}" for name, address in dict(names).items())
        ours = [os.pipe(), os.pipe()]
        (its_in, self.out), (self.inp, its_out) = ours
        theirs = (its_in, its_out)
        who = ["setpriv", f"--reuid={program.TEST_USER}", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        command = enter(*who, "env", f"HOME={self.home}", "bash", "-c", f'exec "$@" 3<&{its_in} 4>&{its_out}', "bash", CHROMIUM, "--headless",
                        "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
                        f"--user-data-dir={self.home / 'chromium'}", f"--host-resolver-rules={rules}")
        self.log = open(work / "chromium.out", "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, pass_fds=theirs, cwd=self.home)
        for fd in theirs:
            os.close(fd)
        self.asked, self.rest, self.answers = 0, b"", {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for fd in (self.out, self.inp):
            os.close(fd)
        self.log.close()

    def _read(self, until):
        """One message more; AssertionError when none comes."""
        while b"\0" not in self.rest:
            assert select.select([self.inp], [], [], max(0, until - time.monotonic()))[0], "the browser says nothing"
            got = os.read(self.inp, 1 << 20)
            assert got, "the browser ended"
            self.rest += got
        one, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(one)
        if "id" in message:
            self.answers[message["id"]] = message

    def call(self, method, session=None, **params):
        self.asked += 1
        ask = {"id": self.asked, "method": method, "params": params, **({"sessionId": session} if session else {})}
        data = json.dumps(ask).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data):]
        until = time.monotonic() + LOAD_S
        while ask["id"] not in self.answers:
            self._read(until)
        answer = self.answers.pop(ask["id"])
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def open(self, url):
        return Page(self, url)


class Page:
    def __init__(self, browser, url):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        went = browser.call("Page.navigate", self.session, url=url)
        self.error = went.get("errorText", "")
        if not self.error:
            program.wait_until(f"{url} in the browser", lambda: self.js("document.readyState") == "complete" and
                               self.js("location.href") != "about:blank", LOAD_S)

    def js(self, text):
        """The value of an expression; None while the page is another one already."""
        result = self.browser.call("Runtime.evaluate", self.session, expression=text, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def text(self):
        return self.js("document.body ? document.body.innerText : ''") or ""

    def fill(self, where, text):
        self.js(f"document.querySelector({json.dumps(where)}).value = {json.dumps(text)}")

    def click(self, where):
        self.js(f"document.querySelector({json.dumps(where)}).click()")

    def waits_for(self, text):
        try:
            return program.wait_until(f"{text!r} on the page", lambda: text in self.text(), LOAD_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says: {self.text()[:500]!r}") from None
