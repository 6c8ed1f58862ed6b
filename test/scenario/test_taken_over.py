"""What a control process that was taken over, and an app whose files root copies and removes, can have root's one-shots do."""

import os
import pathlib
import socket
import struct
import subprocess

import pytest

import actbed
from actbed import FOLDER_MAKE, PERSIST, SCRIPTS_COPY, STATE, TREE_COPY, TREE_REMOVE, app_user, ask, inside
from parentbed import BUILD, HEAD, hello, packed

pytestmark = pytest.mark.root
ROOT = "/var/lib/stead"
GATE = "stead-gate"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with actbed.namespace(tmp_path_factory.mktemp("taken")) as words:
        if words is None:
            pytest.skip("no mount namespaces here")
        subprocess.run([*words, str(actbed.ACT), "--boot"], check=True)
        # Nothing of the real machine is named: what must not be copied lies in the namespace's own folders.
        inside(words, f"[os.makedirs('{ROOT}/' + n) for n in ('keys', 'apps/shop/incoming/1', 'apps/bank/incoming/1', "
                      "'apps/bank/releases/1', 'apps/shop/releases/1/static')]; "
                      f"open('{ROOT}/keys/secret', 'w').write('secret'); os.makedirs('/etc/stead-test-secret'); "
                      f"open('{ROOT}/apps/shop/incoming/1/app.py', 'w').write('1'); "
                      f"open('{ROOT}/apps/shop/releases/1/static/a.css', 'w').write('a')")
        yield words


def test_what_a_deploy_needs_is_copied(world):
    _, gid = app_user(world)
    for _ in range(2):
        assert ask(world, TREE_COPY, f"{ROOT}/apps/shop/incoming/1", f"{ROOT}/apps/shop/releases/2", gid)[0] == 22
        assert ask(world, TREE_COPY, f"{ROOT}/apps/shop/incoming/1", f"{ROOT}/apps/shop/releases/1", gid)[0] == 0
    inside(world, f"os.makedirs('{ROOT}/apps/shop/releases/3/static')")
    for act in (TREE_COPY, SCRIPTS_COPY):
        assert ask(world, act, f"{ROOT}/apps/shop/releases/3/static", f"{ROOT}/public/app7/3/static0", GATE)[0] == 0


@pytest.mark.parametrize("source, to, group", [
    # What only root reads becomes an app's, or the gates'.
    ("/etc/stead-test-secret", "/releases/1", "50001"), ("/etc/stead-test-secret", "/up/one/releases/1", "50001"),
    ("/etc/stead-test-secret", "/apps/shop/releases/1", "50001"), (ROOT + "/keys", "/apps/shop/releases/1", "50001"),
    (ROOT + "/keys", "/public/1/root", GATE), (ROOT + "/keys", "/releases/1", "50001"),
    (ROOT + "/apps/bank/incoming/1", "/apps/shop/releases/1", "50001"),
    (ROOT + "/apps/bank/releases/1", "/apps/shop/releases/1", "50001"),
    (ROOT + "/apps/shop/incoming/1", "/public/1/root", GATE), ("/etc/stead-test-secret", "/public/1/root", GATE),
    # What root goes by is made of an app's files.
    (ROOT + "/apps/shop/incoming/1", "/people", "50001"), (ROOT + "/apps/shop/incoming/1", "/restore/new", "50001"),
    (ROOT + "/apps/shop/incoming/1", "/restore/releases/1", "50001"), (ROOT + "/apps/shop/incoming/1", "/restore/go", "50001"),
    (ROOT + "/apps/shop/incoming/1", "/root/releases/1", "50001"), (ROOT + "/apps/shop/incoming/1", "/apps/shop/data", "50001"),
    (ROOT + "/apps/shop/incoming/1", "/public/1", "50001"), (ROOT + "/apps/shop/incoming/1", "/apps/shop/releases/1/x", "50001")])
def test_no_other_copy(world, source, to, group):
    before = inside(world, f"print(sorted(map(str, pathlib.Path('{ROOT}').rglob('*'))))")
    err, _, error, _, _ = ask(world, TREE_COPY, source, ROOT + to, group)
    assert err == 22 and "stead copies" in error
    assert inside(world, f"print(sorted(map(str, pathlib.Path('{ROOT}').rglob('*'))))") == before


def test_a_folder_from_elsewhere_only_into_a_state_that_root_runs(world, tmp_path):
    _, gid = app_user(world)
    (tmp_path / "app.py").write_text("1")
    to = STATE + "/releases/1"
    inside(world, f"os.makedirs('{STATE}', exist_ok=True)")
    assert ask(world, TREE_COPY, str(tmp_path), to, gid)[0] == 22, "nothing runs there"
    with actbed.running(world, STATE):
        assert ask(world, TREE_COPY, str(tmp_path), to, gid)[0] == 0
        for closed in (ROOT + "/keys", ROOT, ROOT + "/apps/bank/incoming/1", "/run/stead/x", "/etc/stead/sites"):
            assert ask(world, TREE_COPY, closed, to, gid)[0] == 22
        inside(world, f"os.chown('{STATE}/lock', 33, 33)")
        assert ask(world, TREE_COPY, str(tmp_path), to, gid)[0] == 22, "the lock is not root's"
    inside(world, f"os.chown('{STATE}/lock', 0, 0)")
    assert ask(world, TREE_COPY, str(tmp_path), to, gid)[0] == 22, "nothing runs there any more"


@pytest.mark.parametrize("path", ["people", "people/eve", "restore", "restore/new", "keys/x", "root", "public", "releases",
                                  "releases/1", "apps", "apps/shop", "apps/shop/releases", "up", "up/one", "log", "pg", "incoming"])
def test_no_folder_that_root_goes_by(world, path):
    assert ask(world, FOLDER_MAKE, f"{ROOT}/{path}", "stead-ctl", "stead-ctl", "0755")[0] == 22


@pytest.mark.parametrize("path", ["own", "up/one/data", "apps/shop/own", "apps/shop/data/persist", "apps/shop/config/shop"])
def test_folders_of_apps(world, path):
    _, gid = app_user(world)
    assert ask(world, FOLDER_MAKE, f"{ROOT}/{path}", gid, gid, "0750")[0] == 0


def test_links_go_into_a_release_and_lead_to_its_own_data(world):
    inside(world, f"os.makedirs('{ROOT}/apps/shop/releases/9')")
    assert ask(world, PERSIST, f"{ROOT}/apps/shop/releases/9", f"{ROOT}/apps/shop/data/persist", "up")[0] == 0
    for release, keep in (("apps/shop/data", "apps/shop/data/persist"), ("apps/shop/releases/9", "apps/bank/data/persist"),
                          ("apps/shop/releases/9", "keys"), ("releases/9", "apps/shop/data/persist")):
        assert ask(world, PERSIST, f"{ROOT}/{release}", f"{ROOT}/{keep}", "up")[0] == 22


# ---- an app's files ----

def test_a_file_of_holes_does_not_fill_the_disk(world):
    """The app may write in `incoming` until root copies it; root's writing is held by no quota and no reserve."""
    _, gid = app_user(world)
    inside(world, f"os.makedirs('{ROOT}/apps/shop/incoming/5'); os.truncate(os.open('{ROOT}/apps/shop/incoming/5/big', "
                  "os.O_CREAT | os.O_WRONLY), 8 << 40)")
    err, _, error, _, _ = ask(world, TREE_COPY, f"{ROOT}/apps/shop/incoming/5", f"{ROOT}/apps/shop/releases/5", gid)
    assert err == 27 and "16 GB" in error
    inside(world, "import subprocess; os.makedirs('/run/small'); subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64m', 'none', "
                  f"'/run/small'], check=True); os.makedirs('/run/small/releases'); os.rename('{ROOT}/apps/shop/releases', "
                  f"'{ROOT}/apps/shop/kept'); os.makedirs('{ROOT}/apps/shop/releases'); subprocess.run(['mount', '--bind', "
                  f"'/run/small/releases', '{ROOT}/apps/shop/releases'], check=True); os.truncate('{ROOT}/apps/shop/incoming/5/big', 48 << 20)")
    try:
        err, _, error, _, _ = ask(world, TREE_COPY, f"{ROOT}/apps/shop/incoming/5", f"{ROOT}/apps/shop/releases/5", gid)
        assert err == 28 and "needs the rest of the disk" in error
        assert inside(world, "print(os.listdir('/run/small/releases'), os.statvfs('/run/small').f_bavail * 4096 > 60 << 20)") == "[] True"
    finally:
        inside(world, f"import subprocess; subprocess.run(['umount', '{ROOT}/apps/shop/releases'], check=True); "
                      f"os.rmdir('{ROOT}/apps/shop/releases'); os.rename('{ROOT}/apps/shop/kept', '{ROOT}/apps/shop/releases')")


def test_what_a_copy_that_was_killed_left_goes_with_the_next(world):
    _, gid = app_user(world)
    inside(world, f"os.makedirs('{ROOT}/apps/shop/releases/.3.new/x'); os.makedirs('{ROOT}/apps/shop/releases/.keep.new'); "
                  f"os.makedirs('{ROOT}/apps/shop/incoming/6')")
    assert ask(world, TREE_COPY, f"{ROOT}/apps/shop/incoming/6", f"{ROOT}/apps/shop/releases/6", gid)[0] == 0
    left = inside(world, f"print(sorted(n for n in os.listdir('{ROOT}/apps/shop/releases') if n[0] == '.'))")
    assert left == "['.keep.new']"


def test_folders_in_folders_without_end_are_removed(world):
    """However an app piles them up, who removes it gets its disk back."""
    code = (f"os.makedirs('{ROOT}/apps/deep/data'); os.chdir('{ROOT}/apps/deep/data')\n"
            "for n in range(400):\n    os.mkdir('d'); os.mkdir('.deep-0'); open('f', 'w').close(); os.chdir('d')\n"
            "os.chmod('.', 0)")
    inside(world, code)
    err, _, error, _, _ = ask(world, TREE_REMOVE, f"{ROOT}/apps/deep/data")
    assert err == 0, error
    assert inside(world, f"print(os.listdir('{ROOT}/apps/deep'))") == "[]"


# ---- a backup ----

PACK, BACKUP_ASK, BACKUP_END = 1, 650, 653
BACKUP = BUILD / "src" / "backup" / "stead-backup"


def backup(world, *texts):
    """(errno, all of the answer) of `stead backup`'s own process, which root runs and to which ctl says where the database is."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def give():
        os.dup2(theirs.fileno(), 3)
        os.set_inheritable(3, True)
    process = subprocess.Popen([*world, str(BACKUP)], close_fds=False, preexec_fn=give)
    theirs.close()
    body = struct.pack("<II", PACK, 0) + packed(*texts)
    ours.settimeout(30)
    ours.send(HEAD.pack(len(hello()), 1, 1, 0) + hello())
    ours.send(HEAD.pack(len(body), BACKUP_ASK, 1, 7) + body)
    answer = None
    while data := ours.recv(1 << 17):
        if HEAD.unpack_from(data)[1] == BACKUP_END:
            answer = struct.unpack_from("<I", data, 16)[0], data
    process.wait(10)
    ours.close()
    return answer


@pytest.mark.parametrize("socket_owner, folder_mode", [("root", 0o755), ("postgres", 0o777), ("daemon", 0o755)])
def test_a_backup_runs_no_program_that_ctl_names(world, socket_owner, folder_mode):
    """Where pg_dump and the database's socket are says ctl; root runs the system's own, as postgres, or none."""
    folder = f"/run/pg-{socket_owner}"
    inside(world, f"""
import shutil
os.makedirs('{folder}/bin'); os.makedirs('{folder}/sockets'); os.makedirs('{ROOT}/up/packed/pg', exist_ok=True)
open('{ROOT}/up/packed/backup.db', 'w').close()
open('{folder}/bin/pg_dump', 'w').write('#!/bin/sh\\nid -u >{folder}/ran\\n')
os.chmod('{folder}/bin/pg_dump', 0o755); shutil.chown('{folder}/sockets', '{socket_owner}', '{socket_owner}')
os.chmod('{folder}', {folder_mode})
""".strip())
    err, told = backup(world, f"{folder}/backup", f"{ROOT}/up/packed", "", f"{folder}/sockets", f"{folder}/bin", "shop\n", "")
    assert err == 1 and b"is not run" in told
    assert inside(world, f"print(os.path.exists('{folder}/ran'), os.path.exists('{folder}/backup'))") == "False False"
