"""`stead check` and what else is printed from the tables: no running stead is needed for any of it."""

import json
import pathlib
import shutil
import subprocess

import pytest

import program

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
BAD = """\
# every kind of mistake at once
[Site]
Name=Shop
Domian=shop.example
Domain=shop.example http://x
BodyMax=lots
AccessLog=jsn
[Pyton]
[Python]
Workers=0
Queue=3
[Service]
Environment="A=1
Memory=3
[Postgres]
Enabled=maybe
Cluster=main
"""


def run(*arguments, cwd=None):
    return subprocess.run([program.BUILD / "stead", *arguments], capture_output=True, text=True, cwd=cwd,
                          timeout=program.TIMEOUT, stdin=subprocess.DEVNULL, **program.unprivileged())


@pytest.mark.smoke
def test_every_error_in_one_go(app_folder):
    done = run("check", app_folder({"app.py": FLASK, "stead.conf": BAD}))
    assert done.returncode == 2
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith(" ")]
    places = [line.split("stead.conf:")[1].split(": ")[0] for line in lines if "stead.conf:" in line]
    assert places == ["3:6", "4:1", "5:21", "6:9", "7:11", "8:2", "10:9", "11:1", "13:13", "14:1", "16:9", "17:1"]
    for text in ("did you mean Domain=?", "did you mean json?", "did you mean [Python]?", "Queue= belongs into [Site]",
                 "does not have Cluster= yet", "is not closed", "warning: there is no key Memory="):
        assert text in done.stderr
    assert "11 errors" in done.stderr


def test_place_is_openable_from_here(app_folder):
    folder = app_folder({"app.py": FLASK, "stead.conf": "[Site]\nX=1\n"}, name="shop")
    assert run("check", "shop", cwd=folder.parent).stderr.startswith("shop/stead.conf:2:1: error: ")
    assert run("check", cwd=folder).stderr.startswith("stead.conf:2:1: error: ")
    assert run("check", "shop/stead.conf", cwd=folder.parent).stderr.startswith("shop/stead.conf:2:1: error: ")


def test_origins(app_folder):
    folder = app_folder({"app.py": FLASK, "stead.conf": "[Site]\nQueue=7\n[Service]\nEnvironmentFile=.env\n"
                         "Environment=MODE=a TITLE=b\n", ".env": "MODE=fast\nAPI_TOKEN=hush\n"})
    done = run("check", "--json", folder)
    origin = {(v["key"], v["value"]): (v["origin"], v["file"], v["line"]) for v in json.loads(done.stdout)["values"]}
    assert origin["Queue", "7"] == ("file", "stead.conf", 2)
    assert origin["Wsgi", "app:app"] == ("detected", "", 0)
    assert origin["BodyMax", "32M"] == ("default", "", 0)
    assert origin["Environment", "TITLE=b"] == ("file", "stead.conf", 5)
    assert origin["Environment", "MODE=(hidden)"] == ("environment file", ".env", 1)
    assert "hush" not in done.stdout
    text = run("check", folder).stdout
    assert "hush" not in text and "stead.conf:2" in text


@pytest.mark.parametrize("line, text", [
    ("[Site]\nRoot=nowhere", "there is no folder"),
    ("[Site]\nStatic=/s nowhere", "there is no folder"),
    ("[Site]\nErrorPage=404 /gone.html", "there is no file"),
    ("[Python]\nInterpreter=/no/python", "there is no program"),
    ("[Python]\nInterpreter=./app.py", "may not be executed"),
    ("[Python]\nInterpreter=python0", "there is no Python python0"),
    ("[Python]\nVenv=nowhere", "there is no program"),
    ("[Python]\nRequirements=nowhere.txt", "there is no file"),
    ("[Service]\nWorkingDirectory=nowhere", "there is no folder"),
    ("[Service]\nEnvironmentFile=nowhere", "No such file"),
])
def test_a_file_that_is_not_there(app_folder, line, text):
    done = run("check", app_folder({"app.py": FLASK, "stead.conf": line + "\n"}))
    assert done.returncode == 2
    assert "stead.conf:2:" in done.stderr and text in done.stderr


@pytest.mark.smoke
@pytest.mark.parametrize("garbage", ids=range(9), argvalues=[
    b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)) * 40, b"\xff" * 1000, b"[" * 10000, b"=\n" * 3000,
    b"[Site]\nName=a\\\n" * 9000, b"\n" * 300000, b"[Site]\n" + b"A" * 200000 + b"=1\n",
    b"[Site]\nDomain=" + b"a.b " * 20000 + b"\n", b"[Site]\rName=x\r"])
def test_garbage(app_folder, garbage):
    done = run("check", app_folder({"app.py": FLASK, "stead.conf": garbage}))
    assert done.returncode == 2
    assert "stead.conf:" in done.stderr and "error:" in done.stderr
    assert len(done.stderr) < 40000
    assert "could not be parsed" not in done.stderr


def test_service_files(app_folder):
    two = app_folder({"app.py": FLASK, "a.service": "[Service]\nEnvironment=A=1\n", "b.service": ""}, name="two")
    done = run("check", two)
    assert done.returncode == 0 and "2 .service files" in done.stderr and "A=1" not in done.stdout
    assert "A=1" in run("check", two / "a.service").stdout


@pytest.mark.parametrize("path, text", [("nowhere", "No such file"), ("", "No such file")])
def test_no_folder(work, path, text):
    done = run("check", str(work / path) if path else "")
    assert done.returncode == 2 and text in done.stderr


def test_unreadable_configuration(app_folder):
    folder = app_folder({"app.py": FLASK, "stead.conf": "[Site]\n"})
    (folder / "stead.conf").chmod(0)
    done = run("check", folder)
    assert done.returncode == 2 and "Permission denied" in done.stderr


@pytest.mark.parametrize("table", ["config", "commands", "metrics", "events", "closes", "messages", "procs", "acts"])
def test_introspect(table):
    done = run("introspect", table, "--json")
    assert done.returncode == 0
    rows = json.loads(done.stdout)["rows"]
    assert rows
    assert all("about" in r or "meaning" in r or "text" in r or r.get("status") in ("later", "noted") for r in rows)
    refused = [r for r in rows if r.get("status") == "refused"]
    assert (len(refused) >= 10) == (table == "config") and all(r["text"] and r["todo"] for r in refused)


def test_introspect_of_no_table():
    assert run("introspect", "nothing").returncode in (2, 4)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, tmp_path):
    done = run("completion", shell)
    assert done.returncode == 0
    for row in json.loads(run("introspect", "commands").stdout)["rows"]:
        assert row["name"] in done.stdout
    if shutil.which(shell) is None:
        return
    script = tmp_path / "completion"
    script.write_text(done.stdout)
    assert subprocess.run([shell, "-n", script], timeout=program.TIMEOUT).returncode == 0
    if shell == "bash":
        ask = (f"source {script}; COMP_WORDS=(stead st); COMP_CWORD=1; _stead; echo ${{COMPREPLY[@]}}; "
               "COMP_WORDS=(stead up --h); COMP_CWORD=2; _stead; echo ${COMPREPLY[@]}; "
               "COMP_WORDS=(stead introspect e); COMP_CWORD=2; _stead; echo ${COMPREPLY[@]}")
        out = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=program.TIMEOUT).stdout
        assert out.splitlines() == ["status start stop", "--http --https --help", "events"]


def test_help_of_each_verb():
    for row in json.loads(run("introspect", "commands").stdout)["rows"]:
        done = run(row["name"], "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"usage: stead {row['name']}")
        assert all("--" + o["name"] in done.stdout for o in row["options"])
    assert run("--help").returncode == 0
    assert run("--version").returncode == 0


@pytest.mark.parametrize("arguments, text", [
    (["sttaus"], "did you mean status?"), (["check", "--jsno"], "did you mean --json?"), (["up", "a", "b"], "one argument too many"),
    (["introspect"], "TABLE"), (["stop", "--http", "x"], "no option --http"), (["up", "--http"], "needs its"), ([], "verb")])
def test_wrong_usage(arguments, text):
    done = run(*arguments)
    assert done.returncode == 2
    assert text in done.stderr + done.stdout


def test_every_key_is_in_the_man_page():
    """The committed pages are the generated ones (a unit test compares them), so they have every row."""
    page, systemd = ((pathlib.Path(program.TOP) / "man" / name).read_text() for name in ("stead.conf.5", "stead-systemd.7"))
    for row in json.loads(run("introspect", "config").stdout)["rows"]:
        assert f" {row['key']} Ns =" in (page if row["status"] != "noted" else page + systemd), row
