"""What `stead check` finds in folders of many shapes, without a setting.

Each row is a folder as people make them. The interpreter is the system's python3, with Debian's Flask and
Django.
"""

import json
import resource
import subprocess
import textwrap
import time

import pytest

import program

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
PLAIN = """
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'hello']
"""
FACTORY = """
from flask import Flask
def create_app(config=None):
    app = Flask(__name__)
    return app
"""
MANAGE = """
import os, sys
def main():
    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
if __name__ == '__main__':
    main()
"""
SETTINGS = """
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = 'x'
ALLOWED_HOSTS = ['*']
ROOT_URLCONF = 'shop.urls'
INSTALLED_APPS = ['django.contrib.contenttypes', 'django.contrib.staticfiles']
STATIC_URL = '/assets/'
"""
DJANGO_WSGI = """
import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')
application = get_wsgi_application()
"""
DJANGO = {"manage.py": MANAGE, "shop/__init__.py": "", "shop/urls.py": "urlpatterns = []\n"}


def check(folder, *options, status=None):
    done = subprocess.run([program.BUILD / "stead", "check", "--json", *options, folder], capture_output=True,
                          text=True, timeout=program.TIMEOUT, stdin=subprocess.DEVNULL,
                          **program.unprivileged())
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["ok"] else 2), done.stderr
    if status is not None:
        assert done.returncode == status, answer["findings"]
    answer["by_key"] = {}
    for v in answer["values"]:
        answer["by_key"].setdefault(v["section"] + "." + v["key"], []).append(v)
    return answer


def values(answer, key):
    return [v["value"] for v in answer["by_key"].get(key, [])]


def errors(answer):
    return [f for f in answer["findings"] if f["level"] == "error"]


# name: (files, Wsgi=, Path= or None for the default, further values)
LAYOUTS = {
    "app.py": ({"app.py": FLASK}, "app:app", None, {"Postgres.Enabled": ["no"]}),
    "wsgi.py": ({"wsgi.py": PLAIN}, "wsgi:application", None, {}),
    "wsgi.py before app.py": ({"app.py": FLASK, "wsgi.py": "from app import app as application\n"},
                              "wsgi:application", None, {}),
    "main.py": ({"main.py": FLASK}, "main:app", None, {}),
    "application.py": ({"application.py": "from flask import Flask\napplication = Flask(__name__)\n"},
                       "application:application", None, {}),
    "create_app() in app.py": ({"app.py": FACTORY}, "app:create_app()", None, {}),
    "make_app() in main.py": ({"main.py": FACTORY.replace("create_app", "make_app")}, "main:make_app()", None, {}),
    "src layout": ({"src/app.py": FLASK}, "app:app", ["src", "."], {}),
    "package in src": ({"src/shop/__init__.py": FACTORY, "pyproject.toml": "[project]\nname = 'shop'\n"},
                       "shop:create_app()", ["src", "."], {}),
    "package with create_app": ({"shop/__init__.py": FACTORY}, "shop:create_app()", None, {}),
    "package with app": ({"shop/__init__.py": FLASK}, "shop:app", None, {}),
    "package/wsgi.py": ({"shop/__init__.py": "", "shop/wsgi.py": PLAIN}, "shop.wsgi:application", None, {}),
    "app/ package": ({"app/__init__.py": FACTORY, "app/routes.py": "x = 1\n"}, "app:create_app()", None, {}),
    "relative imports": ({"app/__init__.py": "", "app/main.py": "from . import other\n" + FLASK,
                          "app/other.py": "y = 2\n"}, "app.main:app", None, {}),
    "a folder of modules": ({"backend/app.py": "import helper\n" + FLASK, "backend/helper.py": "z = 3\n"},
                            "app:app", ["backend", "."], {}),
    "Django": ({**DJANGO, "shop/settings.py": SETTINGS + "WSGI_APPLICATION = 'shop.wsgi.application'\n",
                "shop/wsgi.py": DJANGO_WSGI}, "shop.wsgi:application", None, {"Postgres.Enabled": ["no"]}),
    "Django in a folder": ({"web/" + k: v for k, v in {**DJANGO, "shop/settings.py": SETTINGS,
                                                       "shop/wsgi.py": DJANGO_WSGI}.items()},
                           "shop.wsgi:application", ["web", "."], {}),
    "Django without wsgi.py": ({**DJANGO, "shop/settings.py": SETTINGS},
                               "django.core.wsgi:get_wsgi_application()", None,
                               {"Service.Environment": ["DJANGO_SETTINGS_MODULE=shop.settings"]}),
    "Django with static files": ({**DJANGO, "shop/settings.py": SETTINGS + "STATIC_ROOT = BASE_DIR / 'collected'\n",
                                  "shop/wsgi.py": DJANGO_WSGI, "collected/a.css": "a{}"},
                                 "shop.wsgi:application", None, {"Site.Static": ["/assets collected"]}),
    "Django on PostgreSQL": ({**DJANGO, "shop/settings.py": SETTINGS + "DATABASES = {'default': {'ENGINE': "
                              "'django.db.backends.postgresql', 'NAME': 'x'}}\n", "shop/wsgi.py": DJANGO_WSGI},
                             "shop.wsgi:application", None, {"Postgres.Enabled": ["yes"]}),
    "static folder": ({"app.py": FLASK, "static/a.css": "a{}"}, "app:app", None,
                      {"Site.Static": ["/static static"]}),
    "static folder elsewhere": ({"app.py": "from flask import Flask\napp = Flask(__name__, static_folder='pub', "
                                 "static_url_path='/assets')\n", "pub/a.css": ""}, "app:app", None,
                                {"Site.Static": ["/assets pub"]}),
    "driver imported": ({"app.py": "import psycopg2\n" + FLASK}, "app:app", None, {"Postgres.Enabled": ["yes"]}),
    "driver imported late": ({"app.py": FLASK, "db.py": "def get():\n    import psycopg2\n"}, "app:app", None,
                             {"Postgres.Enabled": ["yes"]}),
    "requirements met": ({"app.py": FLASK, "requirements.txt": "flask>=1.0  # web\npsycopg2-binary\n"}, "app:app",
                         None, {"Postgres.Enabled": ["yes"], "Python.Interpreter": ["/usr/bin/python3"],
                                "Python.Requirements": []}),
    "environment needed": ({"app.py": "import os\nKEY = os.environ['SECRET_KEY']\nDB = os.environ['DATABASE_URL']\n"
                            + FLASK}, "app:app", None, {}),
    "a class": ({"app.py": "class App:\n    def __call__(self, environ, start_response):\n        return []\n"
                 "app = App()\n"}, "app:app", None, {}),
    "dev server below main": ({"app.py": FLASK + "if __name__ == '__main__':\n    app.run()\n"}, "app:app", None,
                              {}),
    "another name": ({"guest.py": FLASK}, "guest:app", None, {}),
    "static site": ({"index.html": "<p>"}, None, None, {"Site.Root": ["."], "Postgres.Enabled": ["no"]}),
    "static site in public": ({"public/index.html": "<p>"}, None, None, {"Site.Root": ["public"]}),
    "static site with a script": ({"index.html": "<p>", "build.py": "print(1)\n"}, None, None,
                                  {"Site.Root": ["."]}),
    "written target": ({"shop.py": FLASK, "stead.conf": "[Python]\nWsgi=shop:app\n"}, "shop:app", None, {}),
    "written target in src": ({"src/shop.py": FLASK, "stead.conf": "[Python]\nWsgi=shop:app\n"}, "shop:app",
                              ["src", "."], {}),
    "service file": ({"app.py": FLASK, "web.service": "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/sh -c \"a  b\"\n"
                      "Environment=A=1\n[Install]\nWantedBy=multi-user.target\n"}, None, None,
                     {"Service.Environment": ["A=1"], "Service.ExecStart": ['/bin/sh -c "a  b"']}),
    "program beside a written target": ({"app.py": FLASK, "stead.conf": "[Service]\nExecStart=/bin/true\n"
                                        "[Python]\nWsgi=app:app\n"}, "app:app", None, {}),
}


COROUTINE = "async def app(scope, receive, send):\n    pass\n"
DJANGO_ASGI = DJANGO_WSGI.replace("wsgi", "asgi")
# name: (files, Asgi=)
ASGI_LAYOUTS = {
    "a coroutine function": ({"main.py": COROUTINE}, "main:app"),
    "a class's object": ({"app.py": "class App:\n    async def __call__(self, scope, receive, send):\n        pass\n"
                          "app = App()\n"}, "app:app"),
    "FastAPI": ({"main.py": "from fastapi import FastAPI\napp = FastAPI()\n"}, "main:app"),
    "Starlette in a package": ({"shop/__init__.py": "", "shop/main.py": "from starlette.applications import Starlette\n"
                                "app = Starlette()\n"}, "shop.main:app"),
    "Quart": ({"app.py": "from quart import Quart\napp = Quart(__name__)\n"}, "app:app"),
    "a factory": ({"app.py": "from fastapi import FastAPI\ndef create_app():\n    return FastAPI()\n"},
                  "app:create_app()"),
    "asgi.py": ({"asgi.py": "from main import app as application\n", "main.py": COROUTINE}, "asgi:application"),
    "wsgi.py in ASGI": ({"app.py": "from asgiref.wsgi import WsgiToAsgi\n" + FLASK + "app = WsgiToAsgi(app)\n"}, "app:app"),
    "written": ({"shop.py": COROUTINE, "stead.conf": "[Python]\nAsgi=shop:app\n"}, "shop:app"),
    "packages that are not there": ({"main.py": "from fastapi import FastAPI\napp = FastAPI()\n",
                                     "requirements.txt": "fastapi\nno-such-package-here\n"}, "main:app"),
    "a factory without them": ({"main.py": "from fastapi import FastAPI\ndef create_app():\n    return FastAPI()\n",
                                "requirements.txt": "no-such-package-here\n"}, "main:create_app()"),
    "Django with channels": ({**DJANGO, "shop/settings.py": SETTINGS + "INSTALLED_APPS = [\n    'channels',\n]\n",
                              "shop/asgi.py": COROUTINE.replace("app", "application"), "shop/wsgi.py": DJANGO_WSGI},
                             "shop.asgi:application"),
    "Django with ASGI only": ({**DJANGO, "shop/settings.py": SETTINGS + "ASGI_APPLICATION = 'shop.asgi.application'\n",
                               "shop/asgi.py": DJANGO_ASGI}, "shop.asgi:application"),
}


@pytest.mark.parametrize("name", ASGI_LAYOUTS)
def test_found_asgi(app_folder, name):
    files, asgi = ASGI_LAYOUTS[name]
    for package in ("fastapi", "starlette", "quart"):
        if any(f"from {package}" in text for text in files.values()):
            pytest.importorskip(package)
    answer = check(app_folder(files))
    assert values(answer, "Python.Asgi") == [asgi] and values(answer, "Python.Wsgi") == []


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(app_folder, name):
    files, wsgi, path, more = LAYOUTS[name]
    answer = check(app_folder(files), status=0)
    assert values(answer, "Python.Wsgi") == ([wsgi] if wsgi else [])
    assert values(answer, "Python.Path") == (path or ["."])
    for key, want in more.items():
        assert values(answer, key) == want
    if wsgi and "stead.conf" not in files:
        assert answer["by_key"]["Python.Wsgi"][0]["origin"] == "detected"


def make_venv(folder, name="venv"):
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", "--system-site-packages", folder / name],
                   check=True, timeout=program.TIMEOUT, **program.unprivileged())


@pytest.mark.parametrize("name", ["venv", ".venv", "env"])
def test_venv_in_the_folder(app_folder, name):
    folder = app_folder({"app.py": "import sys\nassert sys.prefix != sys.base_prefix\n" + FLASK})
    make_venv(folder, name)
    answer = check(folder, status=0)
    assert values(answer, "Python.Venv") == [name]
    assert values(answer, "Python.Interpreter") == [f"{folder}/{name}/bin/python3"]


def test_requirements_without_a_venv(app_folder):
    folder = app_folder({"app.py": "import no_such_package\n" + FLASK,
                         "requirements.txt": "flask\nno-such-package==1.0\npsycopg[binary]>=3\n"})
    answer = check(folder, status=0)
    assert values(answer, "Python.Wsgi") == ["app:app"]
    assert values(answer, "Python.Requirements") == ["requirements.txt"]
    assert values(answer, "Python.Venv") == [f"{folder}/.stead/venv"]
    assert values(answer, "Postgres.Enabled") == ["yes"]
    assert any("no-such-package" in f["text"] for f in answer["findings"])


def test_requirements_of_pyproject(app_folder):
    folder = app_folder({"src/shop/__init__.py": FACTORY,
                         "pyproject.toml": "[project]\nname = 'shop'\ndependencies = ['no-such-package>=2']\n"})
    answer = check(folder, status=0)
    assert values(answer, "Python.Requirements") == ["pyproject.toml"]
    assert values(answer, "Python.Wsgi") == ["shop:create_app()"]


def test_made_venv_is_used_again(app_folder):
    folder = app_folder({"app.py": FLASK, "requirements.txt": "flask\n"})
    (folder / ".stead").mkdir()
    program.give(folder)
    make_venv(folder / ".stead")
    answer = check(folder, status=0)
    assert values(answer, "Python.Venv") == [f"{folder}/.stead/venv"]
    assert values(answer, "Python.Requirements") == []


# name: (files, what the text has, what the advice has, file, line)
REFUSED = {
    "empty folder": ({"notes.txt": "x"}, "no app was found", "app.py, wsgi.py", "", 0),
    "no app in the modules": ({"tool.py": "x = 1\n"}, "no app was found", "Wsgi=MODULE:OBJECT", "", 0),
    "syntax error": ({"app.py": "from flask import Flask\napp = Flask(__name__\n\ndef f():\n    pass\n"},
                     "SyntaxError", "", "app.py", 2),
    "syntax error in a module": ({"app.py": "import models\n" + FLASK, "models.py": "class A\n    pass\n"},
                                 "SyntaxError", "", "models.py", 1),
    "name error": ({"app.py": FLASK + "x = undefined_name\n"}, "NameError: name 'undefined_name'", "", "app.py", 3),
    "module missing": ({"app.py": "import flask_login\n" + FLASK}, "module flask_login is not there",
                       "flask-login", "app.py", 1),
    "module missing, requirements there": ({"app.py": "import yaml_x\n" + FLASK, "requirements.txt": "flask\n"},
                                           "module yaml_x", "requirements.txt", "app.py", 1),
    "variable missing": ({"app.py": "import os\nKEY = os.environ['STRIPE_KEY']\n" + FLASK}, "KeyError",
                         "Environment=STRIPE_KEY", "app.py", 2),
    "ends Python": ({"app.py": "import sys\nsys.exit(3)\n" + FLASK}, "exit status 3", "", "app.py", 2),
    "serves by itself": ({"app.py": FLASK + "app.run()\n"}, "server of its own", "__main__", "app.py", 3),
    "Wsgi= of an ASGI app": ({"main.py": "async def app(scope, receive, send):\n    pass\n",
                              "stead.conf": "[Python]\nWsgi=main:app\n"}, "is an ASGI app", "Asgi=main:app", "stead.conf", 2),
    "Asgi= of a WSGI app": ({"main.py": FLASK, "stead.conf": "[Python]\nAsgi=main:app\n"}, "no app of ASGI 3",
                            "Wsgi=main:app", "stead.conf", 2),
    "both": ({"main.py": FLASK, "stead.conf": "[Python]\nAsgi=main:app\nWsgi=main:app\n"}, "there is Wsgi= too",
             "write one of them", "stead.conf", 2),
    "written module missing": ({"shop.py": FLASK, "stead.conf": "[Python]\nWsgi=shpo:app\n"}, "no module shpo",
                               "did you mean shop?", "stead.conf", 2),
    "written object missing": ({"shop.py": FLASK, "stead.conf": "[Python]\nWsgi=shop:ap\n"}, "has no ap",
                               "did you mean shop:app?", "stead.conf", 2),
    "written object no app": ({"shop.py": "app = 3\n", "stead.conf": "[Python]\nWsgi=shop:app\n"},
                              "cannot be called", "", "stead.conf", 2),
    "kills itself": ({"app.py": "import os\nprint('last words', flush=True)\nos._exit(7)\n" + FLASK},
                     "exit status 7", "", "", 0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(app_folder, name):
    files, text, todo, file, line = REFUSED[name]
    answer = check(app_folder(files), status=2)
    assert len(errors(answer)) == 1, errors(answer)
    error = errors(answer)[0]
    assert text in error["text"]
    assert todo in error["todo"]
    assert (error["file"], error["line"]) == (file, line)


def test_syntax_error_shows_the_line(app_folder):
    folder = app_folder({"app.py": "from flask import Flask\n\ndef broken(:\n    pass\n"})
    error = errors(check(folder, status=2))[0]
    assert error["line"] == 3 and error["column"] == 12
    assert "\n    def broken(:\n               ^" in error["text"]


def test_output_of_a_crash_is_shown(app_folder):
    folder = app_folder({"app.py": "import os\nprint('last words', flush=True)\nos._exit(7)\n" + FLASK})
    assert "last words" in errors(check(folder, status=2))[0]["text"]


def test_database_at_import(app_folder):
    folder = app_folder({"app.py": "import os, psycopg2\ndb = psycopg2.connect(os.environ['DATABASE_URL'])\n" + FLASK,
                         "static/a.css": ""})
    answer = check(folder, status=0)
    assert values(answer, "Python.Wsgi") == ["app:app"]
    assert values(answer, "Postgres.Enabled") == ["yes"]
    assert values(answer, "Site.Static") == ["/static static"]
    assert any("connects to its database" in f["text"] for f in answer["findings"])


def test_nothing_of_the_import_is_left(app_folder):
    """A child that the import started ends with it."""
    folder = app_folder({"app.py": "import subprocess\np = subprocess.Popen(['sleep', '4321'])\n"
                         "open('pid', 'w').write(str(p.pid))\n" + FLASK})
    check(folder, status=0)
    pid = int((folder / "pid").read_text())

    def gone():
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().split(") ")[1][0] == "Z"
        except OSError:
            return True
    program.wait_until("the import's child to end", gone)


def test_the_import_sees_nothing_of_stead(app_folder):
    folder = app_folder({"app.py": textwrap.dedent("""
        import os, sys
        fds = sorted(int(f) for f in os.listdir('/proc/self/fd'))
        links = [os.readlink('/proc/self/fd/%d' % f) for f in fds if os.path.exists('/proc/self/fd/%d' % f)]
        assert not any('socket' in l for l in links), links
        assert sys.stdin.read() == ''
        assert os.environ['DATABASE_URL'] == 'postgresql:///app?host=/nonexistent'
        """) + FLASK})
    check(folder, status=0)


def test_speed(app_folder, promise):
    """The whole check of a Flask app: what `stead up` spends on finding out."""
    folder = app_folder({"app.py": FLASK, "requirements.txt": "flask\n"})
    check(folder, status=0)
    took, cpu = [], []
    for _ in range(5):
        start, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        check(folder, status=0)
        took.append(time.monotonic() - start)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
    promise("stead check of a Flask app, ms", f"{min(took) * 1000:.0f}, {min(cpu) * 1000:.0f} of them at work")
    assert 0 < min(cpu) < 0.6


@pytest.mark.root
def test_root_imports_as_the_owner(app_folder):
    folder = app_folder({"app.py": "import os\nassert os.getuid() == os.stat('.').st_uid != 0\n" + FLASK})
    done = subprocess.run([program.BUILD / "stead", "check", "--json", folder], capture_output=True, text=True,
                          timeout=program.TIMEOUT)
    assert done.returncode == 0, done.stdout
