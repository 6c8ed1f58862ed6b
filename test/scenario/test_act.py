"""stead-act as root does what it is asked and nothing else (actbed.py)."""

import os
import pathlib
import re
import subprocess

import pytest

import actbed
from actbed import ACT, FOLDER_MAKE, SCRIPTS_COPY, STATE, TREE_COPY, TREES_CLEAR, USER_APP, USER_ROLE, app_user, ask, inside

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with actbed.namespace(tmp_path_factory.mktemp("act")) as words:
        if words is None:
            pytest.skip("no mount namespaces here")
        yield words


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "app"
    (folder / "sub" / ".git").mkdir(parents=True)
    (folder / ".stead").mkdir()
    (folder / ".stead" / "secret").write_text("x")
    (folder / "app.py").write_text("print(1)\n")
    (folder / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "sub" / "run.sh").chmod(0o755)
    (folder / "evil").symlink_to("/etc/shadow")
    os.mkfifo(folder / "fifo")
    return folder


def test_accounts_at_boot(world):
    before = pathlib.Path("/etc/passwd").read_bytes()
    for _ in range(2):
        subprocess.run([*world, str(ACT), "--boot"], check=True)
    told = inside(world, "print(*(f'{u.pw_name}:{u.pw_shell}:{u.pw_uid < 1000}' for u in pwd.getpwall() "
                         "if u.pw_name.startswith('stead-')), grp.getgrnam('stead').gr_name)")
    for role in ("gate", "ctl", "log", "resolve", "auth", "keys", "certs", "alert", "check", "db"):
        assert f"stead-{role}:/usr/sbin/nologin:True" in told
    assert told.endswith(" stead")
    assert pathlib.Path("/etc/passwd").read_bytes() == before


def test_an_apps_user(world):
    uid, gid = app_user(world)
    assert 50000 <= int(uid) <= 59999 and 50000 <= int(gid) <= 59999
    assert app_user(world) == [uid, gid]
    assert inside(world, "u = pwd.getpwnam('app-shop'); print(u.pw_uid, u.pw_dir, u.pw_shell)") == (
        f"{uid} /nonexistent /usr/sbin/nologin")
    assert ask(world, USER_APP, "shop", "59999", STATE)[0] != 0
    assert re.fullmatch(r"50777:5\d{4}", ask(world, USER_APP, "other", "50777", STATE)[4])


def test_two_folders_of_one_name_have_two_users(world):
    """Also when the name is as long as it may be; each finds its own again."""
    for name in ("twin", "t" * 27):
        states = [f"/var/lib/stead/up/{number}" for number in range(3)]
        users = [app_user(world, name, state) for state in states]
        assert len({uid for uid, _ in users}) == len({gid for _, gid in users}) == 3
        assert [app_user(world, name, state) for state in reversed(states)] == users[::-1]
    assert inside(world, "u = pwd.getpwnam('app-twin-3'); print(u.pw_gecos)") == "stead app up/2"
    # The first is gone: the others stay who they are.
    kept = [app_user(world, "twin", s) for s in states[1:]]
    inside(world, "import subprocess; subprocess.run(['/usr/sbin/userdel', 'app-twin'], check=True)")
    assert [app_user(world, "twin", s) for s in states[1:]] == kept
    # A name that looks like the second of another is that of nobody else.
    assert app_user(world, "twin-2", "/var/lib/stead/up/9") not in [app_user(world, "twin", s) for s in states]


def test_trees_that_nobody_runs_from(world):
    """Lower numbers go; what is no number, and what comes, stays. A symlink is not followed."""
    state = "/var/lib/stead/up/trees"
    inside(world, f"[os.makedirs('{state}/releases/' + n) for n in ('1', '2', '2/sub', '3', '4', 'keep', '.5.new')]; "
                  f"os.makedirs('/srv/tree'); os.symlink('/srv/tree', '{state}/releases/0')")
    err, _, error, _, result = ask(world, TREES_CLEAR, state + "/releases", "3")
    assert (err, result) == (0, "3"), error
    assert inside(world, f"print(sorted(os.listdir('{state}/releases')), os.path.isdir('/srv/tree'))") == (
        "['.5.new', '3', '4', 'keep'] True")
    assert ask(world, TREES_CLEAR, "/var/lib/stead/up/none/releases", "3")[0] == 0
    inside(world, "os.rmdir('/srv/tree')")


@pytest.mark.parametrize("uid", [1500, 50500])
def test_an_account_that_stead_did_not_make_is_refused(world, uid):
    """Even in stead's range: useradd gives a person the number after the highest."""
    subprocess.run([*world, "/usr/sbin/useradd", "--no-create-home", "--uid", str(uid), f"app-mine{uid}"], check=True)
    err, code, error, todo, _ = ask(world, USER_APP, f"mine{uid}", "", STATE)
    assert (err != 0, code) == (True, 5) and "app-mine" in error and "Name=" in todo


@pytest.mark.parametrize("act, arguments", [
    (USER_ROLE, ["root"]), (USER_ROLE, ["../x"]), (USER_APP, ["Bad", "", STATE]), (USER_APP, ["-x", "", STATE]),
    (USER_APP, ["x", "0", STATE]), (USER_APP, ["x", "60000", STATE]), (USER_APP, ["x" * 28, "", STATE]),
    (USER_APP, ["x", "", "/etc"]), (USER_APP, ["x", "", "/var/lib/stead/up/a:b"]),
    (USER_APP, ["x", "", "/var/lib/stead/" + "a" * 101]),
    (TREES_CLEAR, [STATE, "2"]), (TREES_CLEAR, ["/srv/releases", "2"]), (TREES_CLEAR, [STATE + "/releases", "0"]),
    (TREES_CLEAR, [STATE + "/releases", "-1"]), (TREES_CLEAR, ["/var/lib/stead/up/../releases", "2"]),
    (SCRIPTS_COPY, ["/tmp", "/var/lib/stead/up/a", "50000"]), (SCRIPTS_COPY, ["/tmp", "/var/lib/stead/up/a", "stead-gate"]),
    (TREE_COPY, ["/tmp", "/etc/x", "50000"]), (TREE_COPY, ["/tmp", "/var/lib/stead/../x", "50000"]),
    (TREE_COPY, ["/tmp", "/var/lib/stead/a", "0"]), (TREE_COPY, ["/var", "/var/lib/stead/a", "50000"]),
    (FOLDER_MAKE, ["/etc/stead", "root", "root", "0700"]), (FOLDER_MAKE, ["/run/stead/a", "root", "root", "0777"]),
    (FOLDER_MAKE, ["/run/stead/a", "daemon", "root", "0700"]), (FOLDER_MAKE, ["/run/stead/a", "0", "root", "0700"])])
def test_what_is_not_stead_s_is_refused(world, act, arguments):
    assert ask(world, act, *arguments)[0] == 22


@pytest.mark.parametrize("act, arguments", [(0, []), (99, ["x"]), (USER_ROLE, []), (USER_ROLE, ["gate", "more"])])
def test_what_is_no_act_ends_the_talk(world, act, arguments):
    assert ask(world, act, *arguments) is None


def test_a_copy(world, source):
    _, gid = app_user(world)
    to = "/var/lib/stead/up/one/releases/1"
    with actbed.running(world, STATE):
        for _ in range(2):
            err, _, error, _, _ = ask(world, TREE_COPY, str(source), to, gid)
            assert err == 0, error
    seen = inside(world, f"[print(p.relative_to('{to}'), oct(p.lstat().st_mode), p.lstat().st_uid, p.lstat().st_gid) "
                         f"for p in sorted(pathlib.Path('{to}').rglob('*'))]").splitlines()
    assert seen == [f"app.py 0o100640 0 {gid}", f"evil 0o120777 0 {gid}", f"sub 0o40750 0 {gid}",
                    f"sub/run.sh 0o100750 0 {gid}"]
    assert inside(world, "print(os.listdir('/var/lib/stead/up/one/releases'))") == "['1']"


def test_a_copy_by_way_of_a_hard_link_or_a_symlink_is_refused(world, source):
    _, gid = app_user(world)
    os.chown(source, 12345, 12345)
    os.link(source / "app.py", source / "zz.py")
    with actbed.running(world, "/var/lib/stead/up/two"):
        err, _, error, _, _ = ask(world, TREE_COPY, str(source), "/var/lib/stead/up/two/releases/1", gid)
        assert err == 1 and ".py" in error
        assert inside(world, "print(os.listdir('/var/lib/stead/up/two/releases'))") == "[]"
        inside(world, "os.symlink('/etc', '/var/lib/stead/up/two/apps')")
        for rel in ("incoming", "releases"):
            inside(world, f"os.makedirs('/etc/stead-test-app/{rel}/1', exist_ok=True)")
        err, _, error, _, _ = ask(world, TREE_COPY, "/var/lib/stead/up/two/apps/stead-test-app/incoming/1",
                                  "/var/lib/stead/up/two/apps/stead-test-app/releases/1", gid)
        assert err == 40 and inside(world, "print(os.path.exists('/etc/stead-test-app/releases/.1.new'))") == "False"


def test_folders(world):
    _, gid = app_user(world)
    for _ in range(2):
        assert ask(world, FOLDER_MAKE, "/run/stead/x/pg", "postgres", gid, "0710")[0] == 0
    assert inside(world, "s = os.stat('/run/stead/x/pg'); print(pwd.getpwuid(s.st_uid).pw_name, s.st_gid, "
                         "oct(stat.S_IMODE(s.st_mode)))") == f"postgres {gid} 0o710"
    assert ask(world, FOLDER_MAKE, "/run/stead/x/pg", gid, gid, "0700")[0] == 1
    # An app's data is its own; where it was somebody else's of the app's group, all of it comes back, and nothing of others.
    data = "/var/lib/stead/apps/x/data"
    assert ask(world, FOLDER_MAKE, data, gid, gid, "0700")[0] == 0
    inside(world, f"[os.makedirs('{data}/a/b'), open('{data}/a/f', 'w').close(), os.symlink('/etc/shadow', '{data}/a/l'), "
                  f"open('{data}/roots', 'w').close()]; [os.chown(p, 33, {gid}, follow_symlinks=False) for p in "
                  f"('{data}', '{data}/a', '{data}/a/b', '{data}/a/f', '{data}/a/l')]")
    assert ask(world, FOLDER_MAKE, data, "50999", gid, "0700")[0] == 1
    assert ask(world, FOLDER_MAKE, data, gid, gid, "0700")[0] == 0
    seen = inside(world, f"print(sorted({{(p.name, p.lstat().st_uid) for p in pathlib.Path('{data}').rglob('*')}}), os.stat('/etc/shadow').st_uid)")
    assert seen == str([("a", int(gid)), ("b", int(gid)), ("f", int(gid)), ("l", int(gid)), ("roots", 0)]) + " 0", seen
