"""`stead upgrade` to the version that runs, whose files were installed again; and an answer that ends early, because whom it asks is
replaced. Two versions: test_upgrade.py."""

import json
import socket
import subprocess
import threading

import pytest

import deploybed
from program import BUILD, TIMEOUT, wait_until


def test_the_same_version_again_and_again(stead, work):
    """Each at once behind the one before it, while control is being replaced."""
    one = stead(deploybed.write(work / "server", {"stead.conf": "", "index.html": "here"})).up()
    gate = one.pids("gate")
    for _ in range(5):
        assert one.cli("upgrade").splitlines()[-1].endswith(" serves")
    assert one.pids("gate") != gate
    assert "not running" not in one.cli("status")
    assert one.stop() == 0
    assert not (one.state / "control").exists()


class Control:
    """Who answers at STATE/control: with each of these lines in turn, nothing for None."""

    def __init__(self, state, answers):
        self.asked, self.answers = [], answers
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(state / "control"))
        (state / "control").chmod(0o666)
        self.listener.listen(8)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        for answer in self.answers:
            with self.listener.accept()[0] as s:
                self.asked.append(json.loads(s.makefile().readline()))
                if answer is not None:
                    s.sendall(json.dumps({"event": "end", **answer}).encode() + b"\n")


BUSY = {"exit": 7, "error": "another one is at it"}


@pytest.mark.parametrize("answers,code,says", [
    ([None, None, {"exit": 0}], 0, "serves"),
    ([BUSY, {"exit": 0}], 0, "serves"),
    ([None, {"exit": 1, "error": "given up: a reason"}], 1, "given up: a reason"),
    ([BUSY] * 20, 7, "another one is at it"),
    ([None] * 20, 1, "ended each time"),
], ids=["died twice", "busy", "died, then refused", "busy for ever", "dies for ever"])
def test_who_is_asked_goes(work, answers, code, says):
    state = work / "state"
    state.mkdir()
    state.chmod(0o755)
    control = Control(state, answers)
    done = subprocess.run([BUILD / "stead", "upgrade", "--state", state], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT)
    assert done.returncode == code and says in done.stdout, done.stdout
    assert done.stdout.count("another one is at it") == (code == 7)
    wait_until("every answer to be asked for", lambda: len(control.asked) == len(answers))
    assert {q["verb"] for q in control.asked} == {"upgrade"}
