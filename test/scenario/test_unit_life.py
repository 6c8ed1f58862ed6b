"""The life of a program as its unit says it: the commands beside it, its end, when it is started again, what it is told."""

import os
import shutil
import signal

import pytest

from client import ask
from program import wait_until
from test_services import SERVER, conf

NOTE = "#!/bin/sh\n# Of each command of the unit a line: its word, and what it is told.\necho \"$1 main=${MAINPID:-none} result=${SERVICE_RESULT:-} code=${EXIT_CODE:-} status=${EXIT_STATUS:-}\" >> notes\nexit ${2:-0}\n"
SH = shutil.which("sh")


@pytest.fixture
def serve(stead, app_folder):
    def make(service="", environment=None, unit="", **options):
        text = conf("Listen=fd\n" + service, {"WHERE": "fd", **(environment or {})}) + unit
        return stead(app_folder({"server.py": SERVER, "note": NOTE, "stead.conf": text, "more.env": "A=file\nB='two words'\n", "z.env": "C=z\n"}), **options)
    return make


def notes(one):
    path = one.folder / "notes"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def words(one):
    return [note[0] for note in notes(one)]


def program(one):
    return next(p for p in one.status()["processes"] if p["role"] == "service")


def run(word, status=0):
    return f"{SH} note {word} {status}\n"


@pytest.mark.smoke
def test_the_commands_of_a_life(serve):
    """Each in its place, told what is known by then; a - before one lets its failure pass."""
    one = serve("ExecCondition=" + run("condition") + "ExecStartPre=-" + run("pre1", 3) + "ExecStartPre=" + run("pre2")
                + "ExecStartPost=" + run("post") + "ExecStop=" + run("stop") + "ExecStopPost=" + run("after")).up()
    assert ask(one).status == 200
    pid = program(one)["pid"]
    assert words(one) == ["condition", "pre1", "pre2", "post"]
    assert notes(one)[3][1] == f"main={pid}" and notes(one)[2][1] == "main=none"
    one.stop()
    assert words(one)[4:] == ["stop", "after"]
    assert notes(one)[4][1] == f"main={pid}" and notes(one)[5][1:] == ["main=none", "result=success", "code=killed", "status=TERM"]


def test_a_start_that_a_command_ends(serve):
    one = serve("Restart=no\nExecStartPre=" + run("pre", 7) + "ExecStop=" + run("stop") + "ExecStopPost=" + run("after"))
    said = one.fails(1)
    assert "exit status 7" in said, said
    assert words(one) == ["pre", "after"] and notes(one)[1][2] == "result=exit-code"


def dead(one):
    site = one.status()["sites"][0]
    return site["state"] == "failed" and site


@pytest.mark.parametrize("written, how, again", [
    ("Restart=no\n", signal.SIGKILL, False), ("Restart=on-failure\n", signal.SIGTERM, False), ("Restart=on-failure\n", signal.SIGKILL, True),
    ("Restart=on-success\n", signal.SIGTERM, True), ("Restart=on-abort\n", signal.SIGSEGV, True), ("Restart=on-success\n", signal.SIGKILL, False),
    ("Restart=always\nRestartPreventExitStatus=SIGKILL\n", signal.SIGKILL, False), ("Restart=no\nRestartForceExitStatus=9 KILL\n", signal.SIGKILL, True),
    ("Restart=on-failure\nSuccessExitStatus=SIGKILL\n", signal.SIGKILL, False)])
def test_when_it_is_started_again(serve, written, how, again):
    """What is given up is visible, its site answers 503 at once, and `stead restart` starts it."""
    one = serve(written).up()
    pid = program(one)["pid"]
    os.kill(pid, how)
    if again:
        wait_until("a new one", lambda: program(one)["pid"] not in (0, pid) and ask(one).status == 200)
        return
    site = wait_until("it to be given up", lambda: dead(one))
    good = "on-failure" in written
    assert site["trouble"]["dead"] and site["trouble"]["result"] == ("success" if good else "signal"), site
    answer = wait_until("503", lambda: (a := ask(one)).status == 503 and a)
    assert int(answer["Retry-After"]) >= 1
    assert "it is not started again" in one.cli("status")
    one.cli("restart")
    wait_until("it to serve", lambda: ask(one).status == 200)


def test_a_limit_of_starts(serve):
    one = serve("Restart=always\nRestartSec=20ms\n", unit="[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=3\n").up()
    for _ in range(3):
        pid = wait_until("it to run", lambda: program(one)["pid"])
        os.kill(pid, signal.SIGKILL)
        wait_until("its end", lambda: program(one)["pid"] != pid)
    site = wait_until("it to be given up", lambda: dead(one))
    assert site["trouble"]["result"] == "start-limit-hit", site
    one.cli("restart")
    assert wait_until("it to serve", lambda: ask(one).status == 200)


def test_the_environment(serve):
    """EnvironmentFile= comes before Environment=, that before PassEnvironment=; UnsetEnvironment= has the last word."""
    one = serve("EnvironmentFile=more.env\nEnvironmentFile=-none.env\nEnvironmentFile=?.env\nEnvironment=A=unit D=unit\nPassEnvironment=D E_PASSED NOT_THERE\n"
                "UnsetEnvironment=LANG F=1 D=other\nEnvironment=F=1 \"G=a b\" H=%%\n", env={"E_PASSED": "from outside", "D": "outside"}).up()
    seen = dict(line.split("=", 1) for line in ask(one, "/env").body.decode().splitlines() if "=" in line)
    want = {"A": "file", "B": "two words", "C": "z", "D": "unit", "E_PASSED": "from outside", "G": "a b", "H": "%"}
    assert {k: seen.get(k) for k in want} == want
    assert not {"LANG", "F", "NOT_THERE"} & set(seen), seen


def test_a_program_that_serves_nothing(serve):
    """Type=oneshot: its commands one behind the other, and with RemainAfterExit= it is there until it is stopped."""
    one = serve("")
    text = "[Site]\nName=prog\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=" + run("one") + "ExecStart=" + run("two") + "ExecStop=" + run("stop")
    (one.folder / "stead.conf").write_text(text)
    one.up()
    assert words(one) == ["one", "two"] and program(one)["phase"] == "exited"
    one.stop()
    assert words(one) == ["one", "two", "stop"]


def test_a_reload(serve):
    """Nothing has changed: ExecReload= runs, and the program stays; what has changed brings another one."""
    one = serve("ExecReload=" + run("reload")).up()
    pid = program(one)["pid"]
    one.cli("reload")
    wait_until("its command", lambda: words(one) == ["reload"])
    assert notes(one)[0][1] == f"main={pid}" and program(one)["pid"] == pid


def test_lines_of_a_level(serve):
    """<N> before a line says what it is (sd-daemon(3)); what is less than LogLevelMax= is not kept, what names none is info."""
    one = serve("LogLevelMax=notice\nExecStartPre=/bin/sh -c 'echo plain; echo \"<5>fair\"; echo \"<6>too little\"; echo \"<3>bad\" >&2; echo \"<9>no level\"'\n").up()
    said = lambda: {line["text"]: line["level"] for line in one.logs() if line["kind"] == "app"}
    wait_until("its lines", lambda: "bad" in said())
    assert said() == {"fair": "notice", "bad": "error"}


def test_a_reload_of_the_app_alone(serve):
    """`stead reload APP` returns when ExecReload= is through, with its failure; what has none of it says so."""
    one = serve("ExecReload=" + run("first") + "ExecReload=" + run("second", 4) + "ExecReload=" + run("third")).up()
    name, pid = one.status()["sites"][0]["name"], program(one)["pid"]
    assert "ExecReload=" in one.cli("reload", name, code=1)
    assert words(one) == ["first", "second"] and notes(one)[0][1] == f"main={pid}" and program(one)["pid"] == pid
    assert "nobody" in one.cli("reload", "nobody", code=4)
    one.cli("stop", name)
    assert "not active" in one.cli("reload", name, code=1)


def test_a_reload_of_what_has_no_way_to(serve):
    """Active or not: as `systemctl reload` (3)."""
    one = serve("").up()
    name = one.status()["sites"][0]["name"]
    for _ in range(2):
        said = one.cli("reload", name, code=3)
        assert "no ExecReload=" in said and "stead restart" in said, said
        one.cli("stop", name)


def mill(one):
    return next(p for p in one.status()["processes"] if p["program"] == "mill")


def test_the_life_of_a_worker(serve):
    """The keys of [Service] that say how a program lives are [Worker]'s too."""
    one = serve("", unit="[Worker mill]\nRestart=on-failure\nRestartSec=20ms\nStartLimitIntervalSec=1h\nStartLimitBurst=2\nExecStartPre=" + run("pre")
                + "ExecStopPost=" + run("after") + "ExecStart=" + run("mill", 3)).up()
    wait_until("it to be given up", lambda: mill(one)["phase"] == "failed")
    assert words(one) == ["pre", "mill", "after"] * 2
    assert notes(one)[2][2:] == ["result=exit-code", "code=exited", "status=3"]
    assert ask(one).status == 200, "the site has nothing to do with it"
