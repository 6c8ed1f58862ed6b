"""Apps to deploy and a running instance to deploy them to. No test framework here."""

import json
import pathlib

import program
from client import Client

APP = '''
import os
VERSION = "{version}"
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/env":
        body = repr(sorted(os.environ.items()))
    elif path == "/pid":
        body = str(os.getpid())
    else:
        body = VERSION
    start_response("{status}", [("Content-Type", "text/plain")])
    return [body.encode()]
'''
SERVER = "[Server]\nSites=sites\n"


def app(version="one", conf="", status="200 OK", **more):
    """The files of an app that says its version."""
    return {"app.py": APP.format(version=version, status=status), "stead.conf": conf, **more}


def write(folder, files):
    """The folder holds these files and no others."""
    folder = pathlib.Path(folder)
    if folder.is_dir():
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    folder.mkdir(exist_ok=True)
    program.give(folder)
    return folder


class Server:
    """A live instance without an app of its own, and what is deployed to it."""

    def __init__(self, one):
        self.one = one

    def deploy(self, folder, *arguments, code=0):
        return self.one.cli("deploy", str(folder), *arguments, code=code, timeout=program.TIMEOUT * 4)

    def get(self, path="/", host=None):
        with Client(self.one.port) as client:
            client.host = host or client.host
            return client.ask(path)

    def releases(self, app=""):
        told = json.loads(self.one.cli("releases", *([app] if app else []), "--json"))
        return {r["release"]: r["serves"] for r in told["releases"]}

    def site(self, name):
        return next((s for s in self.one.status()["sites"] if s["name"] == name), None)

    def trees(self, name):
        """The releases on the disk."""
        folder = self.one.state / "apps" / name / "releases"
        try:
            return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())
        except FileNotFoundError:  # the folder goes, too, when the app is none
            return []
