"""What `stead check` and `stead up` make of folders that name a program to other tools: package.json, Procfile,
config.ru. No stead.conf anywhere; the programs are real."""

import json
import os
import shutil
import subprocess

import pytest

import program
from client import ask
from test_detect import FLASK, check, errors, values

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(not NODE, reason="node is not installed")
SERVER = """
require('http').createServer((q, s) => s.end(JSON.stringify({argv: process.argv.slice(2), env: process.env, file: __filename})))
  .listen(process.env.LISTEN_FDS ? {fd: 3} : {port: process.env.PORT, host: '127.0.0.1'});
"""
TOOL = "#!/bin/sh\nexec node server.js \"$@\"\n"


def package(**more):
    return json.dumps({"name": "x", **more})


def start(line, **more):
    return package(scripts={"start": line, **more})


def notes(answer):
    return [f["text"] for f in answer["findings"] if f["level"] == "note"]


# name: (files, ExecStart=, further values, a part of a note)
FOUND = {
    "scripts.start": ({"package.json": start("node server.js"), "server.js": SERVER}, "node server.js",
                      {"Service.Environment": ["NODE_ENV=production"], "Postgres.Enabled": ["no"]}, "its scripts.start is"),
    "plain variables": ({"package.json": start("MODE=x NODE_ENV=test node --no-warnings server \"two words\" $HOME"), "server.js": SERVER},
                        'node --no-warnings server "two words" $HOME', {"Service.Environment": ["NODE_ENV=test", "MODE=x"]}, "scripts.start"),
    "a tool of node_modules": ({"package.json": package(scripts={"start": "serve --fast"}, dependencies={"@a/serve": "1"}),
                                "server.js": SERVER, "node_modules/.bin/serve": TOOL, "node_modules/@a/serve/package.json": "{}"},
                               "./node_modules/.bin/serve --fast", {}, "scripts.start"),
    "a line for a shell": ({"package.json": start("node -v && node server.js"), "server.js": SERVER}, "npm start", {}, "it needs a shell"),
    "a prestart": ({"package.json": start("node server.js", prestart="node -v"), "server.js": SERVER}, "npm start", {}, "there is a prestart"),
    "main": ({"package.json": package(main="lib"), "lib/index.js": SERVER}, "node lib/index.js", {}, "its main is"),
    "main without its end": ({"package.json": package(main="./lib/web"), "lib/web.js": SERVER}, "node ./lib/web.js", {}, "its main is"),
    "server.js": ({"package.json": package(main="gone.js"), "server.js": SERVER, "index.js": ""}, "node server.js", {}, "nor a main"),
    "main that leads out": ({"package.json": package(main="../server.js"), "app.js": SERVER}, "node app.js", {}, "nor a main"),
    "Node and a tool in Python": ({"package.json": start("node server.js"), "server.js": SERVER, "tools/x.py": "print(1)"},
                                  "node server.js", {}, "scripts.start"),
    "Node and a script in Python": ({"package.json": start("node server.js"), "server.js": SERVER, "deploy.py": "print(1)\n"},
                                    "node server.js", {}, "scripts.start"),
    "a driver": ({"package.json": package(scripts={"start": "node server.js"}, dependencies={"pg": "8"}), "server.js": SERVER,
                  "node_modules/pg/package.json": "{}"}, "node server.js", {"Postgres.Enabled": ["yes"]}, "scripts.start"),
    "Procfile": ({"Procfile": "web: node server.js -p $PORT\nworker: node worker.js\n", "server.js": SERVER}, "node server.js -p $PORT", {},
                 "its worker: line is not run"),
    "Procfile before package.json": ({"Procfile": "web: MODE=a node other.js\n", "package.json": start("node server.js"), "other.js": SERVER},
                                     "node other.js", {"Service.Environment": ["NODE_ENV=production", "MODE=a"]}, "its web: line is"),
    "Procfile with npm start": ({"Procfile": "web: npm run start\n", "package.json": start("node server.js"), "server.js": SERVER},
                                "node server.js", {}, "scripts.start"),
    "Procfile for a shell": ({"Procfile": "web: echo \"a\\b\" $PORT; exec node server.js\n", "server.js": SERVER},
                             '/bin/sh -c "echo \\"a\\\\b\\" $$PORT; exec node server.js"', {}, "run by a shell"),
    "Procfile and Python": ({"Procfile": "web: gunicorn app:app\n", "app.py": FLASK}, None, {"Python.Wsgi": ["app:app"]}, ""),
    "a page with tools": ({"package.json": package(main="index.js", scripts={"build": "x"}), "index.js": "", "index.html": "<p>"}, None,
                          {"Site.Root": ["."]}, ""),
    "a page built by tools": ({"package.json": package(scripts={"build": "x"}), "dist/index.html": "<p>"}, None, {"Site.Root": ["dist"]}, ""),
    "a written program": ({"package.json": start("node server.js"), "stead.conf": "[Service]\nExecStart=node other.js\n"}, "node other.js", {}, ""),
    "a written static site": ({"package.json": start("node server.js"), "public/x": "", "stead.conf": "[Site]\nRoot=public\n"}, None,
                              {"Site.Root": ["public"]}, ""),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(app_folder, name):
    files, command, more, note = FOUND[name]
    folder = app_folder(files)
    for tool in folder.glob("node_modules/.bin/*"):
        tool.chmod(0o755)
    answer = check(folder, status=0)
    assert values(answer, "Service.ExecStart") == ([command] if command else [])
    for key, value in more.items():
        assert values(answer, key) == value, key
    assert not note or any(note in text for text in notes(answer)), notes(answer)


def test_other_lines_beside_an_app_of_python(app_folder):
    """What a Procfile has beside web: is named, until a program of that name is written."""
    files = {"Procfile": "web: gunicorn app:app\nrelease: flask db upgrade\nworker: celery worker\nclock: python clock.py\n", "app.py": FLASK}
    answer = check(app_folder(files), status=0)
    found = {f["line"]: f for f in answer["findings"] if f["file"] == "Procfile"}
    assert set(found) == {2, 3, 4} and all(f["level"] == "note" for f in found.values()), found
    assert "[Worker worker]" in found[3]["todo"] and "before `stead up`" in found[2]["todo"]
    files["stead.conf"] = "[Worker worker]\nExecStart=/bin/true\n[Timer clock]\nExecStart=/bin/true\nOnCalendar=daily\n"
    answer = check(app_folder(files, "written"), status=0)
    assert [f["line"] for f in answer["findings"] if f["file"] == "Procfile"] == [2]


# name: (files, text, todo, file, line)
REFUSED = {
    "no JSON": ({"package.json": "{\n\"scripts\": }"}, "this is not JSON", "", "package.json", 2),
    "no object": ({"package.json": "[]"}, "it is no object", "", "package.json", 1),
    "not installed": ({"package.json": package(scripts={"start": "node server.js"}, dependencies={"express": "5"}), "server.js": SERVER},
                      "it asks for express", "`npm install`", "package.json", 1),
    "not installed, pnpm": ({"package.json": package(main="server.js", dependencies={"@a/b": "5"}), "server.js": SERVER,
                             "pnpm-lock.yaml": ""}, "it asks for @a/b", "`pnpm install`", "package.json", 1),
    "not built": ({"package.json": start("node dist/server.js", build="tsc")}, "runs dist/server.js, which is not there", "`npm run build`",
                  "package.json", 1),
    "no script": ({"package.json": start("node server.js")}, "runs server.js, which is not there", "mend scripts.start", "package.json", 1),
    "no tool": ({"package.json": start("no-such-tool x")}, "runs no-such-tool, and there is no such program", "npm install", "package.json", 1),
    "Procfile without the program": ({"Procfile": "# x\nweb: no-such-tool\n"}, "runs no-such-tool, and there is no such program",
                                     "install what the app needs", "Procfile", 2),
    "Procfile without web": ({"Procfile": "worker: node x.js\n"}, "no app was found", "a Procfile with a web: line", "", 0),
    "package.json without a server": ({"package.json": package(scripts={"test": "x"})}, "no app was found", "scripts.start or main", "", 0),
    "too large": ({"package.json": " " * (256 * 1024 + 1)}, "larger than 256 KB", "", "package.json", 1),
    "deep": ({"package.json": "[" * 100000}, "this is not JSON", "", "package.json", 1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(app_folder, name):
    files, text, todo, file, line = REFUSED[name]
    answer = check(app_folder(files), status=2)
    assert len(errors(answer)) == 1, errors(answer)
    error = errors(answer)[0]
    assert text in error["text"] and todo in error["todo"], error
    assert (error["file"], error["line"]) == (file, line)
    assert not values(answer, "Service.ExecStart")


def test_no_node(app_folder):
    folder = app_folder({"package.json": start("node server.js"), "server.js": SERVER, "bin/x": ""})
    os.chmod(folder / "bin", 0o755)
    done = subprocess.run([program.BUILD / "stead", "check", folder], capture_output=True, text=True, env={"PATH": str(folder / "bin")},
                          **program.unprivileged())
    assert done.returncode == 2 and "no program node in PATH" in done.stderr and "apt install nodejs" in done.stderr


@pytest.mark.smoke
def test_live_by_package(stead, app_folder):
    """It gets the words, the variables, the socket; a change of package.json is one of the site."""
    folder = app_folder({"package.json": start("MODE=x node server 'two words'"), "server.js": SERVER})
    one = stead(folder).up()
    told = json.loads(ask(one).text)
    assert told["argv"] == ["two words"] and told["env"]["MODE"] == "x" and told["env"]["NODE_ENV"] == "production"
    assert told["env"]["LISTEN_FDS"] == "1" and told["file"] == str(folder / "server.js")
    (folder / "package.json").write_text(start("node server again"))
    one.cli("reload")
    assert json.loads(ask(one).text)["argv"] == ["again"]
    (folder / "package.json").write_text("{")
    assert "package.json:" in one.cli("reload", code=2)
    assert json.loads(ask(one).text)["argv"] == ["again"]


@pytest.mark.parametrize("files", [{"package.json": start("node -v && node server.js")},
                                   {"Procfile": "web: cd . && node server.js $PORT x\n"}], ids=["npm", "sh"])
def test_live_by_a_shell(stead, app_folder, files):
    """What needs a shell gets one; it listens at the port, and nothing of it is left at the end."""
    one = stead(app_folder({**files, "server.js": SERVER.replace("process.env.LISTEN_FDS", "false")})).up()
    told = json.loads(ask(one).text)
    assert told["env"]["PORT"] and ("Procfile" not in files or told["argv"] == [told["env"]["PORT"], "x"])
    one.cli("restart")
    assert json.loads(ask(one).text)["env"]["PORT"] != told["env"]["PORT"]
    assert one.stop() == 0
    one.gone()
