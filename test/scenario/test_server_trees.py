"""A server's folders of files: gates see any folder of the machine that the operator's files name, through a mount that is
read-only and theirs alone. Nothing is copied, no file's mode or owner changes, nothing else comes into sight."""

import ctypes
import errno
import json
import os
import pathlib
import pwd

import pytest

import serverbed
from program import wait_until
from upgradebed import Versions

pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(serverbed.why_not()), reason=serverbed.why_not() or "-")]
ALICE, BOB = 20411, 20412
CLONE_NEWNS = 0x20000


@pytest.fixture
def server(work):
    with serverbed.Server(work) as one:
        yield one


def site(server, name, root, more=""):
    server.write(f"/etc/stead/sites/{name}.conf", f"[Site]\nDomain={name}.test\nRoot={root}\n{more}")


def get(server, name, path="/"):
    return server.get(path, host=f"{name}.test")


def www(server, files, owner=(ALICE, ALICE), mode=0o600, place="/srv/www"):
    for path, text in files.items():
        server.write(f"{place}/{path}", text, mode, owner)
    for folder in [server.path(place), *(p for p in server.path(place).rglob("*") if p.is_dir())]:
        folder.chmod(0o700 if mode == 0o600 else 0o755)


def as_gate(server, acts, inside=True):
    """{name: errno's name, or "done"} of acts that a process of the gates' user does, in a gate's place or on the machine."""
    gate, user = server.pids("gate")[0], pwd.getpwnam("stead-gate")
    ours, theirs = os.pipe()
    spaces = os.open(f"/proc/{gate if inside else server.process.pid}/ns/mnt", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.fork()
    if pid == 0:
        seen = {}
        try:
            assert libc.setns(spaces, CLONE_NEWNS) == 0
            os.setgroups([])
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
            for name, act in acts.items():
                try:
                    act()
                    seen[name] = "done"
                except OSError as e:
                    seen[name] = errno.errorcode[e.errno]
        finally:
            os.write(theirs, json.dumps(seen).encode())
            os._exit(0)
    os.close(theirs)
    text = b""
    while part := os.read(ours, 65536):
        text += part
    os.close(ours)
    os.close(spaces)
    os.waitpid(pid, 0)
    return json.loads(text)


def version_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe").split("/")[-2]
    except FileNotFoundError:  # it has just ended
        return None


def published(server, name="root"):
    """Where gates have it."""
    newest = max(server.path("/var/lib/stead/public").iterdir(), key=lambda p: int(p.name))
    found = [p for p in newest.iterdir() if p.name.endswith(name)]
    assert len(found) == 1, found
    return f"/var/lib/stead/public/{newest.name}/{found[0].name}"


def test_files_are_served_as_they_lie(server):
    """Its owner's alone, 0600 in 0700: served, changed at once, and neither modes nor owners are touched."""
    www(server, {"index.html": "hello", "sub/a.txt": "a", ".env": "secret", ".well-known/security.txt": "contact"})
    before = {p: os.lstat(p)[:6] for p in server.path("/srv/www").rglob("*")}
    site(server, "one", "/srv/www")
    said = server.reload()
    assert "403" not in said, said
    assert get(server, "one") == (200, b"hello") and get(server, "one", "/sub/a.txt") == (200, b"a")
    assert get(server, "one", "/.env")[0] == 404 and get(server, "one", "/.well-known/security.txt") == (200, b"contact")
    assert {p: os.lstat(p)[:6] for p in server.path("/srv/www").rglob("*")} == before
    www(server, {"index.html": "changed", "new.txt": "new"})
    assert get(server, "one", "/new.txt") == (200, b"new")
    wait_until("the change", lambda: get(server, "one") == (200, b"changed"))
    server.path("/srv/www/new.txt").unlink()
    wait_until("its end", lambda: get(server, "one", "/new.txt")[0] == 404)


def test_nothing_is_copied(server):
    """Forty gigabytes and thousands of files cost the state folder one empty folder."""
    www(server, {f"many/{n}.txt": "x" for n in range(3000)} | {"index.html": "hello"})
    with open(server.path("/srv/www/video.mp4"), "wb") as f:
        f.truncate(40 << 30)
    server.give("/srv/www", ALICE, ALICE)
    site(server, "one", "/srv/www")
    server.reload()
    assert get(server, "one", "/many/2999.txt") == (200, b"x")
    public, releases = server.path("/var/lib/stead/public"), server.path("/var/lib/stead/releases")
    assert [p for p in public.rglob("*") if not p.is_dir()] == []
    assert len(list(public.rglob("*"))) < 10 and len(list(releases.rglob("*"))) < 20
    assert max(p.stat().st_size for p in server.path("/var/lib/stead").rglob("*") if p.is_file()) < 1 << 30


def test_a_gate_reads_that_folder_and_nothing_else(server):
    www(server, {"index.html": "hello", "run.sh": "#!/bin/sh\n"}, mode=0o700)
    www(server, {"secret": "root's"}, owner=(0, 0), place="/srv/other")
    server.write("/srv/www/roots", "root's", 0o600)
    site(server, "one", "/srv/www")
    said = server.reload()
    at = published(server)
    acts = {
        "read": lambda: os.close(os.open(f"{at}/index.html", os.O_RDONLY)),
        "write": lambda: os.open(f"{at}/index.html", os.O_WRONLY),
        "create": lambda: os.open(f"{at}/new", os.O_WRONLY | os.O_CREAT),
        "remove": lambda: os.unlink(f"{at}/index.html"), "rename": lambda: os.rename(f"{at}/index.html", f"{at}/b"),
        "chmod": lambda: os.chmod(f"{at}/index.html", 0o777), "chown": lambda: os.chown(f"{at}/index.html", ALICE, ALICE),
        "folder": lambda: os.mkdir(f"{at}/d"), "link": lambda: os.link(f"{at}/index.html", f"{at}/l"),
        "execute": lambda: os.execv(f"{at}/run.sh", ["run.sh"]), "read root's": lambda: os.open(f"{at}/roots", os.O_RDONLY),
        "the folder beside": lambda: os.open(f"{at}/../../../../../../srv/other/secret", os.O_RDONLY),
        "srv": lambda: os.listdir("/srv"), "etc": lambda: os.listdir("/etc/stead"), "home": lambda: os.listdir("/home"),
        "state": lambda: os.open("/var/lib/stead/state.db", os.O_RDONLY), "root": lambda: os.listdir("/root"),
        "mount": lambda: os.listdir("/proc/self"),
    }
    seen = as_gate(server, acts)
    assert seen.pop("read") == "done"
    assert set(seen.values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT"}, seen
    assert {seen[a] for a in ("write", "create", "remove", "rename", "folder", "link", "chmod")} == {"EROFS"}, seen
    assert {seen[a] for a in ("the folder beside", "srv", "etc", "home", "state", "root")} == {"ENOENT"}, seen
    # On the machine itself that user has no more rights than before.
    assert as_gate(server, {"read": lambda: os.open("/srv/www/index.html", os.O_RDONLY)}, inside=False) == {"read": "EACCES"}
    # Root's own are not shown with root's rights, and the reload says which.
    assert get(server, "one", "/roots")[0] == 403
    assert "roots" in said and "403" in said and "chmod" in said, said
    # Nor those of a folder that is root's.
    www(server, {"index.html": "root's page"}, owner=(0, 0), mode=0o644, place="/srv/roots")
    server.write("/srv/roots/secret", "root's", 0o600)
    server.write("/srv/roots/group", "root's", 0o640)
    site(server, "roots", "/srv/roots")
    said = server.reload()
    assert get(server, "roots") == (200, b"root's page") and "2 of what lies in /srv/roots" in said, said
    assert get(server, "roots", "/secret")[0] == 403 and get(server, "roots", "/group")[0] == 403
    # The folder's group counts without its owner.
    server.give("/srv/roots", 0, ALICE)
    server.reload()
    assert get(server, "roots", "/group") == (200, b"root's") and get(server, "roots", "/secret")[0] == 403


def test_links_lead_nowhere_else(server):
    www(server, {"index.html": "hello", "sub/a.txt": "a"})
    www(server, {"secret": "other"}, place="/srv/other")
    for name, target in {"out": "/srv/other", "up": "../other", "etc": "/etc/passwd", "in": "sub/a.txt"}.items():
        server.path(f"/srv/www/{name}").symlink_to(target)
    site(server, "one", "/srv/www")
    server.reload()
    assert get(server, "one", "/in") == (200, b"a")
    for path in ("/out/secret", "/up/secret", "/etc", "/sub/../../other/secret", "/%2e%2e/other/secret"):
        assert get(server, "one", path)[0] in (400, 404), path


REFUSED = ["/", "/boot", "/dev", "/dev/shm", "/etc", "/etc/ssl", "/home", "/home/somebody", "/proc", "/proc/1", "/root", "/run",
           "/run/stead", "/sys", "/tmp", "/tmp/x", "/usr", "/var", "/var/lib", "/var/lib/stead", "/var/lib/stead/public",
           "/var/tmp/x", "/etc/stead/sites", "/srv/missing", "/srv/file", "/srv/to-etc", "/srv/to-etc/ssl", "/srv/bobs",
           "/srv/loop"]


def test_what_may_not_be_published_is_refused_by_name(server):
    """Each with its file and line; every other site serves on, and what served before keeps its last good version."""
    www(server, {"index.html": "hello"})
    www(server, {"index.html": "bob's"}, owner=(BOB, BOB), place="/srv/bob")
    server.write("/srv/file", "no folder")
    server.path("/srv/to-etc").symlink_to("/etc")
    server.path("/srv/loop").symlink_to("/srv/loop")
    server.path("/srv/bobs").symlink_to("/srv/bob")
    os.chown(server.path("/srv/bobs"), ALICE, ALICE, follow_symlinks=False)
    server.path("/srv/mine").symlink_to("/srv/www")
    os.chown(server.path("/srv/mine"), ALICE, ALICE, follow_symlinks=False)
    home, scratch = pathlib.Path("/home/somebody"), [pathlib.Path("/tmp/x"), pathlib.Path("/var/tmp/x")]
    made = [p for p in [home, *scratch] if not p.exists()]
    for folder in made:
        folder.mkdir()
    try:
        site(server, "good", "/srv/www")
        site(server, "changes", "/srv/www")
        site(server, "linked", "/srv/mine")
        server.reload()
        site(server, "changes", "/etc/ssl")
        for n, root in enumerate(REFUSED):
            if root != "/etc/stead/sites":  # that one is a copy, as ever
                site(server, f"bad{n}", root)
        said = server.reload(code=2)
        served = {name: get(server, name) for name in ("good", "changes", "linked")}
    finally:
        for folder in made:
            folder.rmdir()
    for n, root in enumerate(REFUSED):
        if root != "/etc/stead/sites":
            assert f"sites/bad{n}.conf:3:" in said, (root, said)
            assert get(server, f"bad{n}")[0] == 421, root
    assert "sites/changes.conf:3:" in said and "last good version" in said, said
    assert set(served.values()) == {(200, b"hello")}, served
    assert "it holds the machine's configuration" in said and "it is somebody's whole home" in said, said
    assert "another user than the folder" in said and "there is no folder /srv/missing" in said, said


def test_the_operators_word_counts_alone(server):
    """A file that others may write names nothing outside of /etc/stead; a folder in there needs no word."""
    www(server, {"index.html": "hello"})
    server.write("/etc/stead/sites/in/index.html", "inside")
    site(server, "in", "in")
    site(server, "out", "/srv/www")
    server.path("/etc/stead/sites/out.conf").chmod(0o664)
    server.path("/etc/stead/sites/in.conf").chmod(0o664)
    said = server.reload(code=2)
    assert "not root's alone to write" in said and "sites/out.conf:3:" in said, said
    assert get(server, "in") == (200, b"inside") and get(server, "out")[0] == 421
    server.path("/etc/stead/sites/out.conf").chmod(0o644)
    server.reload()
    assert get(server, "out") == (200, b"hello")


def test_routes_and_prefixes_have_folders_of_their_own(server):
    for name in ("www", "files", "more"):
        www(server, {"index.html": name, "a.txt": name}, place=f"/srv/{name}")
    site(server, "one", "/srv/www", "Static=/more /srv/more\n[Route /files/]\nRoot=/srv/files\n")
    server.reload()
    assert [get(server, "one", p)[1] for p in ("/a.txt", "/files/a.txt", "/more/a.txt")] == [b"www", b"files", b"more"]


def test_the_servers_own_site_has_such_a_folder_too(work):
    server = serverbed.Server(work, "[Site]\nRoot=/srv/www\n")
    www(server, {"index.html": "hello"})
    with server:
        wait_until("its page", lambda: server.get() == (200, b"hello"))
        conf = server.path("/etc/stead/stead.conf").read_text()
        server.write("/etc/stead/stead.conf", conf.replace("/srv/www", "/srv/none"))
        said = server.reload(code=None)
        assert "stead.conf:6:" in said and "/srv/none" in said, said
        assert server.get() == (200, b"hello")
        server.write("/etc/stead/stead.conf", conf.replace("/srv/www", "/etc/ssl"))
        said = server.reload(code=None)
        assert "stead.conf:6:" in said and "the machine's configuration" in said, said
        assert server.get() == (200, b"hello")
        # A disk that is missing at a start keeps nothing from starting: the last good configuration, without its files.
        server.write("/etc/stead/stead.conf", conf)
        server.end()
        os.rename(server.path("/srv/www"), server.path("/srv/away"))
        server.start()
        wait_until("the site without its files", lambda: server.get()[0] == 404)
        os.rename(server.path("/srv/away"), server.path("/srv/www"))
        server.reload()
        assert server.get() == (200, b"hello")


def test_a_folder_that_is_replaced_or_gone(server):
    """What was mounted serves until a reload, which takes what lies there then; a missing one stays the site's."""
    www(server, {"index.html": "old"})
    site(server, "one", "/srv/www")
    server.reload()
    os.rename(server.path("/srv/www"), server.path("/srv/before"))
    www(server, {"index.html": "new"})
    assert get(server, "one") == (200, b"old")
    server.reload()
    assert get(server, "one") == (200, b"new")
    os.rename(server.path("/srv/www"), server.path("/srv/away"))
    said = server.reload(code=2)
    assert "sites/one.conf:3:" in said and "there is no folder /srv/www" in said and "last good version" in said, said
    assert get(server, "one") == (200, b"new")
    server.remove("/srv/away")
    wait_until("the files to be gone", lambda: get(server, "one")[0] == 404)
    assert "sites/one.conf:3:" in server.reload(code=2)
    server.end()
    server.start()
    wait_until("the site without its files", lambda: get(server, "one")[0] == 404)
    assert "/srv/www" in json.dumps(json.loads(server.cli("status", "--json"))["server"]["found"])
    www(server, {"index.html": "back"})
    server.reload()
    assert get(server, "one") == (200, b"back")


def test_disks_below_it_are_seen_from_the_next_reload_on(server):
    www(server, {"index.html": "hello", "disk/on.txt": "below"}, mode=0o644)
    site(server, "one", "/srv/www")
    server.run("mount", "-t", "tmpfs", "-o", "size=1m", "stead-test", "/srv/www/disk")
    server.run("sh", "-c", "echo disk >/srv/www/disk/on.txt")
    server.reload()
    assert get(server, "one", "/disk/on.txt") == (200, b"disk\n")
    server.run("umount", "/srv/www/disk")
    assert get(server, "one", "/disk/on.txt")[0] in (200, 404)
    server.reload()
    assert get(server, "one", "/disk/on.txt") == (200, b"below")


def test_a_file_system_that_cannot_map_owners(server):
    """Then what everybody may read is served, the rest is 403, and the reload says what to do."""
    for name in ("lower", "upper", "work", "www"):
        server.path(f"/srv/o/{name}").mkdir(parents=True)
    server.run("mount", "-t", "overlay", "overlay", "-o", "lowerdir=/srv/o/lower,upperdir=/srv/o/upper,workdir=/srv/o/work", "/srv/o/www")
    server.run("sh", "-c", f"cd /srv/o/www && echo hello >index.html && echo mine >mine && chmod 600 mine && chown -R {ALICE} .")
    site(server, "one", "/srv/o/www")
    said = server.reload()
    assert get(server, "one") == (200, b"hello\n")
    assert get(server, "one", "/mine")[0] == 403
    assert "first mine" in said and "map owners" in said and "chmod" in said, said


def test_gates_that_come_later_have_it_as_well(server):
    www(server, {"index.html": "hello"})
    site(server, "one", "/srv/www")
    server.reload()
    gate, = server.pids("gate")
    os.kill(gate, 9)
    wait_until("another gate", lambda: (gates := server.pids("gate")) and gates != [gate] and server.answers())
    assert get(server, "one") == (200, b"hello")
    ctl, = server.pids("ctl")
    os.kill(ctl, 9)
    wait_until("another ctl", lambda: (ctls := server.pids("ctl")) and ctls != [ctl])
    assert get(server, "one") == (200, b"hello")
    text = server.path("/etc/stead/stead.conf").read_text()
    server.write("/etc/stead/stead.conf", text + "Gates=3\n")
    wait_until("the reload", lambda: "asking a gate" in server.reload(code=None))
    wait_until("three gates", lambda: len(server.pids("gate")) == 3)
    assert {get(server, "one") for _ in range(30)} == {(200, b"hello")}


def test_a_reload_leaves_nothing_behind(server):
    """Of what was mounted before nothing is left in any gate once the next serves."""
    www(server, {"index.html": "hello"})
    site(server, "one", "/srv/www")
    for _ in range(3):
        server.reload()

    def mounts():
        text = pathlib.Path(f"/proc/{server.pids('gate')[0]}/mountinfo").read_text()
        return [line for line in text.splitlines() if "/public/" in line]
    wait_until("the old ones to go", lambda: len(mounts()) == 1)
    assert " ro,nosuid,nodev,noexec" in mounts()[0] and "idmapped" in mounts()[0], mounts()
    wait_until("their places to go", lambda: len(list(server.path("/var/lib/stead/public").iterdir())) == 1)
    assert server.path("/srv/www/index.html").read_text() == "hello"


def test_scripts_are_never_shown(server):
    """Where a site runs scripts no route hands their source out, whatever lies below its folder."""
    www(server, {"index.php": "<?php secret", "sub/a.php": "<?php secret", "a.css": "a {}"})
    site(server, "one", "/srv/www", "[Upstream php]\nServer=127.0.0.1:1\nProtocol=fastcgi\nRoot=/srv/www\n[Route /]\nTo=php\n")
    server.reload()
    assert get(server, "one", "/a.css") == (200, b"a {}")
    for path in ("/index.php", "/sub/a.php", "/"):
        status, body = get(server, "one", path)
        assert status in (404, 502, 503) and b"secret" not in body, (path, status)


def test_an_apps_own_file_publishes_nothing_of_the_machine(server, app_folder):
    """Who may deploy is not who may say what of the machine is shown."""
    www(server, {"index.html": "hello"})
    folder = app_folder({"stead.conf": "[Site]\nDomain=shop.test\nRoot=/srv/www\n", "index.html": "shop"})
    server.reload()
    said = server.cli("deploy", folder, code=None)
    assert "is not in" in said or "below" in said, said
    assert get(server, "shop")[0] == 421


def test_an_upgrade_keeps_it(work):
    """There and back: the gates of either version have what was published before them."""
    versions = Versions(work)
    for path in [versions.top, *versions.top.rglob("*")]:
        os.chown(path, 0, 0)
    with serverbed.Server(work, roles=versions.roles / versions.this) as server:
        www(server, {"index.html": "hello"})
        site(server, "one", "/srv/www")
        server.reload()
        for version in (versions.other, versions.this):
            gate, = server.pids("gate")
            server.run(versions.stead(version), "upgrade", "--state", "/var/lib/stead")
            wait_until(f"a gate of {version}", lambda: version in {version_of(pid) for pid in server.pids("gate")})
            wait_until("the gate before it to end", lambda: gate not in server.pids("gate"))
            assert get(server, "one") == (200, b"hello")
        www(server, {"index.html": "changed"})
        site(server, "two", "/srv/www")
        server.reload()
        assert get(server, "two") == (200, b"changed")


def test_a_parent_that_is_killed_leaves_it_to_the_next(work):
    """The namespace is in the manager's store: gates that come later have what was published, and what is published later all have."""
    with serverbed.Server(work, managed=True) as server:
        www(server, {"index.html": "hello"})
        site(server, "one", "/srv/www")
        server.reload()
        parent, gate = server.pids("parent")[0], server.pids("gate")[0]
        os.kill(parent, 9)
        wait_until("the next parent", lambda: (now := server.pids("parent")) and now != [parent] and server.answers())
        assert server.pids("gate") == [gate] and get(server, "one") == (200, b"hello")
        www(server, {"index.html": "two"}, place="/srv/two")
        site(server, "two", "/srv/two")
        server.reload()
        assert server.pids("gate") == [gate] and get(server, "two") == (200, b"two")
        os.kill(gate, 9)
        wait_until("another gate", lambda: (gates := server.pids("gate")) and gates != [gate] and server.answers())
        assert get(server, "one") == (200, b"hello") and get(server, "two") == (200, b"two")


def test_a_name_that_is_no_text(server):
    """Whoever may put files there chooses their names: a terminal gets none of its orders, and the word is not lost."""
    server.write("/srv/one/index.html", "one")
    name = os.fsencode(server.path("/srv/one")) + b"/\x1b[31mred\xff\xfe\n.html"
    with open(name, "wb") as f:
        f.write(b"x")
    os.chmod(name, 0o600)
    os.chown(name, 0, 0)
    site(server, "one", "/srv/one")
    said = server.reload()
    assert "403" in said and "\x1b" not in said, said
    told = server.cli("status", "--json")
    assert "403" in told and "\\u001b" not in told and "403" in server.cli("status") and "\x1b" not in server.cli("status")
    assert get(server, "one", "/")[1] == b"one"
