"""The signed apt repository of `make repo` on fresh servers: README's two lines install from it, what was altered is refused, and
`apt-get upgrade` is the hot upgrade. Rows of `make promises`.

STEAD_DEB and STEAD_DEB_NEXT name packages that are built already, STEAD_DEB_ARM64 one for the other processor.
"""

import gzip
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import freshbed
import program
from program import wait_until
from test_fresh_deploy import Load, following  # noqa: F401
from test_package import arm64, deb, prop, put_site  # noqa: F401

pytestmark = [pytest.mark.root, pytest.mark.promise, pytest.mark.timeout(3000)]
PORT = 8099
URL = f"http://127.0.0.1:{PORT}"


def readme_lines():
    """What README tells people to type, for the repository of these tests."""
    text = (program.TOP / "README.md").read_text()
    block = re.search(r"in two lines, as root:\n\n```\n(.*?)```", text, re.S)[1].splitlines()
    assert len(block) == 2 and all("https://YOUR.HOST" in line or "apt-get" in line for line in block)
    return [line.replace("https://YOUR.HOST", URL) for line in block]


class Repo:
    """What pkg/repo.sh makes of some packages, with a key of its own."""

    def __init__(self, work):
        self.work, self.keys = work, work / "keys"
        self.packages, self.folder = work / "packages", work / "packages/repo"
        self.packages.mkdir(parents=True)

    def make(self, *debs, keys=None):
        for one in debs:
            shutil.copy(one, self.packages)
        done = subprocess.run([program.TOP / "pkg/repo.sh"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, "DEB_WORK": str(self.packages), "STEAD_KEYS": str(keys or self.keys)})
        assert done.returncode == 0, done.stdout
        return self.folder

    def index(self, arch):
        return (self.folder / f"dists/stable/main/binary-{arch}/Packages").read_text()


@pytest.fixture
def repo(tmp_path):
    if not shutil.which("apt-ftparchive") or not shutil.which("gpg"):
        pytest.skip("needs apt-utils and gnupg (tools/install-deps.sh pkg)")
    one = Repo(tmp_path / "repo")
    yield one
    for keys in tmp_path.glob("**/S.gpg-agent"):
        subprocess.run(["gpgconf", "--homedir", keys.parent, "--kill", "gpg-agent"], stdin=subprocess.DEVNULL)


def signed_by(folder):
    """gpgv's word on both signatures, by the key that the repository hands out."""
    release = folder / "dists/stable"
    return [subprocess.run(["gpgv", "--keyring", folder / "stead.gpg", *files], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL).returncode == 0
            for files in ([release / "InRelease"], [release / "Release.gpg", release / "Release"])]


def test_both_processors_are_in_it(repo, deb, arm64, promise):  # noqa: F811
    folder = repo.make(deb, arm64)
    assert signed_by(folder) == [True, True]
    release = (folder / "dists/stable/Release").read_text()
    assert re.search(r"^Architectures: amd64 arm64$", release, re.M)
    for arch, package in (("amd64", deb), ("arm64", arm64)):
        index = repo.index(arch)
        assert gzip.decompress((folder / f"dists/stable/main/binary-{arch}/Packages.gz").read_bytes()).decode() == index
        name, = re.findall(r"^Filename: (.*)$", index, re.M)
        whole = (folder / name).read_bytes()
        assert whole == package.read_bytes() and f"SHA256: {hashlib.sha256(whole).hexdigest()}" in index
        assert hashlib.sha256(index.encode()).hexdigest() in release
    # Who has the key, and nobody else, made it; the key itself is not handed out.
    assert subprocess.run(["gpg", "--list-packets", folder / "stead.gpg"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          check=True).stdout.count("secret key packet") == 0
    assert repo.keys.stat().st_mode & 0o777 == 0o700
    (folder / "dists/stable/Release").write_text(release.replace("stead", "other", 1))
    assert signed_by(folder) == [True, False]
    promise("repository, both processors", "amd64 and arm64, signed")


class Machine:
    """A fresh server whose apt knows nothing but what the test gives it, with a web server for the repository."""

    def __init__(self, server):
        self.server = server
        server.run("rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*; mkdir -p /srv/repo")
        self.web = server.popen(f"exec python3 -m http.server {PORT} --bind 127.0.0.1 --directory /srv/repo >/dev/null 2>&1")
        wait_until("the web server", lambda: server.answers(port=PORT))

    def gets(self, folder):
        """The repository's files from now on."""
        self.server.run("rm -rf /srv/repo/*")
        self.server.copy(folder, "/srv/repo")

    def apt(self, words, check=True):
        return self.server.run(f"apt-get -q -o APT::Get::Assume-Yes=true -o Dpkg::Use-Pty=0 {words} 2>&1", check=check)

    def forgets(self):
        self.server.run("rm -rf /var/lib/apt/lists/*; apt-get clean")

    def types(self, lines):
        self.server.run("echo 'APT::Get::Assume-Yes \"true\";' >/etc/apt/apt.conf.d/90yes")
        return "".join(self.server.run(f"set -e; {line}") for line in lines)

    def end(self):
        self.server.run(f"pkill -f '[h]ttp.server {PORT}'; true")
        self.web.wait(program.TIMEOUT)


@pytest.mark.parametrize("system", sorted(freshbed.SYSTEMS))
def test_two_lines_install_it_and_upgrade_is_hot(fresh_server, repo, deb, following, system, promise):  # noqa: F811
    machine = Machine(fresh_server(system))
    server = machine.server
    machine.gets(repo.make(deb))
    said = machine.types(readme_lines())
    assert "unauthenticated" not in said.lower() and "W: " not in said, said
    assert prop(server, "ActiveState") == "active" and server.get("/")[0] == 421
    assert server.run("dpkg-query -W -f '${Version}' stead") == subprocess.run(
        ["dpkg-deb", "-f", deb, "Version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    promise(f"repository on {system}", "README's two lines: installed, running")

    put_site(server, "hello")
    server.run("systemctl reload stead")
    wait_until("the site", lambda: server.answers() == (200, b"hello"))
    pid = prop(server, "MainPID")
    machine.gets(repo.make(following))
    load = Load(server)
    try:
        machine.apt("update")
        said = machine.apt("upgrade")
        wait_until("the other version's gate", lambda: server.status("ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q '+1/stead-gate'") == 0)
    finally:
        load.end()
    machine.end()
    promise(f"apt upgrade under load on {system}", f"{len(load.bad)} of {load.good + len(load.bad)} failed", not load.bad)
    assert not load.bad and load.good, (load.bad[:5], said)
    assert prop(server, "MainPID") == pid


def alter(path, old=None, new=None):
    data = path.read_bytes()
    if old is None:
        at = len(data) // 2
        data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
    else:
        assert old in data
        data = data.replace(old, new)
    path.write_bytes(data)


def test_what_was_altered_is_refused(fresh_server, repo, deb, tmp_path, promise):  # noqa: F811
    machine = Machine(fresh_server())
    folder = repo.make(deb)
    machine.gets(folder)
    key, update = readme_lines()
    machine.types([key])
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    refused = []

    def tried(what, update_fails, word):
        machine.gets(folder)
        machine.forgets()
        said = machine.apt("update", check=False)
        failed = "E: " in said
        assert failed == update_fails and (not failed or re.search(word, said)), (what, said)
        said = machine.apt("install stead", check=False)
        assert server.status("dpkg-query -W stead") != 0, (what, said)
        assert update_fails or re.search(word, said), (what, said)
        refused.append(what)
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)

    server = machine.server
    alter(next((folder / "pool").glob("*.deb")))
    tried("package", False, "Hash Sum mismatch|hashes")
    for name in ("InRelease", "Release"):
        if name == "Release":  # what apt asks for when there is no InRelease
            (folder / "dists/stable/InRelease").unlink()
        alter(folder / "dists/stable" / name, b"Label: stead", b"Label: other")
        tried(name, True, "BADSIG|invalid|not signed|[Bb]ad signature|Message has been manipulated")
    index = folder / "dists/stable/main/binary-amd64"
    (index / "Packages.gz").unlink()
    alter(index / "Packages", b"Depends: ", b"Depends: dash, ")
    tried("Packages", True, "Hash Sum mismatch|unexpected size|has changed")
    # Whole and well signed, by another key.
    other = Repo(tmp_path / "other")
    shutil.copytree(other.make(deb), folder, dirs_exist_ok=True)
    tried("other key", True, "NO_PUBKEY|not signed|Missing key|No public key")
    # And not signed at all.
    for name in ("InRelease", "Release.gpg"):
        (folder / "dists/stable" / name).unlink()
    tried("no signature", True, "not signed")
    # The guard of all this: as it was made, it installs.
    machine.gets(folder)
    machine.forgets()
    machine.types([update])
    assert prop(server, "ActiveState") == "active"
    machine.end()
    promise("repository, altered", f"refused: {', '.join(refused)}")


def test_nothing_to_make_it_of(tmp_path):
    done = subprocess.run([program.TOP / "pkg/repo.sh"], env={**os.environ, "DEB_WORK": str(tmp_path), "STEAD_KEYS": str(tmp_path / "keys")},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 1 and "`make deb` makes it" in done.stdout
    assert not pathlib.Path(tmp_path / "keys").exists()
