"""The private database and the app's packages: who may enter, what a crash leaves, what is refused."""

import os
import pathlib
import re
import signal
import subprocess
import zipfile

import pytest

from client import Visitor, ask
from program import give, wait_until

VERSION_APP = '''
import tinypkg

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [tinypkg.VERSION.encode()]
'''


def app_environment(one):
    """The environment of the app's worker."""
    parts = pathlib.Path(f"/proc/{one.pid('worker')}/environ").read_bytes().split(b"\0")
    return dict(part.decode().split("=", 1) for part in parts if b"=" in part)


def psql(one, sql, role=None, database=None):
    """As the user that stead runs as: (exit status, output)."""
    given = app_environment(one)
    env = {"PATH": one.environment["PATH"], "PGHOST": given["PGHOST"], "PGPORT": "5432",
           "PGUSER": role or given["PGUSER"], "PGDATABASE": database or given["PGDATABASE"]}
    result = subprocess.run(["psql", "-XAtc", sql], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            **{**one.options(), "env": env, "cwd": "/"})
    return result.returncode, result.stdout.strip()


def kill_all(one):
    """As a power cut would: everything at once, and nobody says goodbye."""
    one.tree()
    for pid, _ in one.alive():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    one.process.kill()
    one.process.wait()
    one.gone()


def test_the_app_has_a_role_of_its_own_and_nothing_more(stead, guestbook):
    one = stead(guestbook).up()
    given = app_environment(one)
    assert given["DATABASE_URL"] == f"postgresql:///guestbook?host={given['PGHOST']}"
    assert (given["PGUSER"], given["PGDATABASE"]) == ("guestbook", "guestbook")
    assert psql(one, "select rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls, rolconnlimit > 0 "
                     "from pg_roles where rolname = current_user") == (0, "f|t")
    assert psql(one, "select pg_get_userbyid(datdba) from pg_database where datname = current_database()") == (
        0, "guestbook")
    code, told = psql(one, "select 1", database="postgres")
    assert code != 0 and "permission denied" in told
    code, told = psql(one, "create role other")
    assert code != 0 and "permission denied" in told
    code, told = psql(one, "copy (select 1) to '/tmp/stead-escape'")
    assert code != 0 and "ERROR" in told and not pathlib.Path("/tmp/stead-escape").exists()
    code, told = psql(one, "select 1", role="nobody_else")
    assert code != 0 and "authentication failed" in told
    assert psql(one, "select current_setting('listen_addresses') = '' and current_setting('fsync') = 'on' "
                     "and current_setting('synchronous_commit') = 'on'") == (0, "t")
    folder = pathlib.Path(given["PGHOST"])
    assert folder.stat().st_mode & 0o077 == 0
    assert len(str(folder)) + len("/.s.PGSQL.5432") <= 107


def test_a_crash_while_the_cluster_is_made(stead, guestbook):
    """Killed in the middle of initdb: the next start makes it whole."""
    one = stead(guestbook).start()
    data = one.state / "pg" / "data"
    wait_until("initdb", lambda: one.tree() and any((data / ".new").glob("*")))
    kill_all(one)
    assert not (data / "PG_VERSION").exists()
    one.up()
    assert Visitor(one).sign("Ada", "after the crash").status == 303
    assert (data / "PG_VERSION").exists() and not (data / ".new").exists()


def test_entries_survive_the_death_of_everything(stead, guestbook):
    """What the user was told is done is still there when all processes die at once."""
    one = stead(guestbook).up()
    assert Visitor(one).sign("Ada", "told that it is done").status == 303
    kill_all(one)
    assert not (one.state / "pg" / "data" / ".stead-unsynced").exists()
    one.up()
    assert "told that it is done" in ask(one).text


def test_files_of_somebody_else_are_not_written_over(stead, guestbook):
    one = stead(guestbook)
    data = one.state / "pg" / "data"
    data.mkdir(parents=True)
    (data / "letter.txt").write_text("mine")
    one.state.chmod(0o700)
    data.chmod(0o700)
    give(one.state)
    told = one.fails(6)
    assert str(data) in told and "PG_VERSION" in told and "--state" in told
    assert [path.name for path in data.iterdir()] == ["letter.txt"]
    one.gone()


def test_a_lock_file_whose_number_is_another_process_now(stead, guestbook):
    """After a crash of the machine the number in it may be anybody's, and PostgreSQL would refuse to start."""
    one = stead(guestbook).up()
    assert one.stop() == 0
    one.gone()
    lock = one.state / "pg" / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{lock.parent}\n")
    give(lock.parent)
    one.up()
    assert ask(one, "/health").status == 200


def test_a_cluster_of_another_version(stead, guestbook):
    one = stead(guestbook).up()
    assert one.stop() == 0
    one.gone()
    (one.state / "pg" / "data" / "PG_VERSION").write_text("9\n")
    told = one.fails(1)
    assert "PostgreSQL 9" in told and "apt install postgresql-9" in told
    one.gone()


def wheel(folder, version):
    """A package in a file, so that pip needs no network."""
    info = f"tinypkg-{version}.dist-info"
    with zipfile.ZipFile(folder / f"tinypkg-{version}-py3-none-any.whl", "w") as z:
        z.writestr("tinypkg.py", f"VERSION = '{version}'\n")
        z.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tinypkg\nVersion: {version}\n")
        z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(f"{info}/RECORD", "")


@pytest.fixture
def wheels(work):
    folder = work / "wheels"
    folder.mkdir()
    wheel(folder, "1.0")
    wheel(folder, "2.0")
    give(folder)
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def test_packages_of_a_requirements_file(stead, app_folder, wheels):
    """Made at the first start, used again at the next, made anew when the file changes."""
    folder = app_folder({"app.py": VERSION_APP, "requirements.txt": "tinypkg==1.0\n"})
    one = stead(folder, env=wheels).up()
    assert ask(one).text == "1.0"
    assert one.stop() == 0
    one.gone()
    one.environment["PIP_FIND_LINKS"] = "/nonexistent"
    one.up()
    assert ask(one).text == "1.0"
    assert one.stop() == 0
    one.gone()
    one.environment.update(wheels)
    (folder / "requirements.txt").write_text("tinypkg==2.0\n")
    one.up()
    assert ask(one).text == "2.0"


def test_a_package_that_does_not_exist(stead, app_folder, wheels):
    one = stead(app_folder({"app.py": VERSION_APP, "requirements.txt": "no-such-package==1.0\n"}), env=wheels)
    told = one.fails(1)
    assert "No matching distribution found for no-such-package==1.0" in told
    assert re.search(r"name and version", told), told
    one.gone()


PLAIN_APP = """
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'plain']
"""
SRC_APP = """
from tinypkg import VERSION
def create_app():
    def app(environ, start_response):
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [VERSION.encode()]
    return app
"""


@pytest.mark.parametrize("written", [False, True])
def test_packages_of_pyproject(stead, app_folder, wheels, work, written):
    """[project] dependencies, by version or as a local file, found or named: made, used again, made anew."""
    def project(dependency):
        return f"[project]\nname = 'shop'\nversion = '1'\ndependencies = [\n  \"{dependency}\",  # the one\n]\n"
    files = {"src/shop/__init__.py": SRC_APP, "pyproject.toml": project("tinypkg==1.0; python_version >= '3'")}
    if written:
        files["stead.conf"] = "[Python]\nRequirements=pyproject.toml\n"
    one = stead(app_folder(files), env=wheels).up()
    assert ask(one).text == "1.0"
    if written:
        return  # from here on it is the same, wherever the name came from
    assert one.stop() == 0
    one.gone()
    one.environment["PIP_FIND_LINKS"] = "/nonexistent"
    one.up()
    assert ask(one).text == "1.0"
    # A file on the disk needs no index at all; a reload takes it over.
    (one.folder / "pyproject.toml").write_text(project(f"tinypkg @ file://{work}/wheels/tinypkg-2.0-py3-none-any.whl"))
    one.cli("reload")
    assert ask(one).text == "2.0"


def test_a_pyproject_that_asks_for_nothing_new(stead, app_folder):
    """No dependencies, or those that the system's Python has: no environment is made."""
    for number, dependencies in enumerate(("[]", "['flask>=1']")):
        folder = app_folder({"app.py": PLAIN_APP, "pyproject.toml":
                             f"[project]\nname = 'shop'\nversion = '1'\ndependencies = {dependencies}\n",
                             "stead.conf": "[Python]\nRequirements=pyproject.toml\n"}, name=f"app{number}")
        one = stead(folder).up()
        assert ask(one).status == 200
        assert not (one.state / "venv").exists()


@pytest.mark.parametrize("text, said", [
    ("[project]\nname = 'shop'\ndynamic = ['dependencies']\n", "dynamic"),
    ("[tool.poetry]\nname = 'shop'\n[tool.poetry.dependencies]\npython = '^3.9'\nno-such = '^1'\n", "poetry export"),
    ("[project]\ndependencies = ['-r x']\n", "'-r x' in [project] dependencies is not a requirement"),
    ("[project\n", "pyproject.toml asks for cannot be read")])
def test_a_pyproject_that_says_no_packages(stead, app_folder, text, said):
    folder = app_folder({"app.py": PLAIN_APP, "pyproject.toml": text,
                         "stead.conf": "[Python]\nRequirements=pyproject.toml\nWsgi=app:application\n"})
    told = stead(folder).fails(2)
    assert said in told and "Requirements= in [Python]" in told, told
