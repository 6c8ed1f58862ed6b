"""The parent as root, against peers that the test plays: accounts, jails, cgroups. See parentbed.py.

Runs in a mount namespace of its own with an /etc/passwd of its own, so nothing of the system changes.
"""

import os
import pathlib
import signal
import stat
import struct
import subprocess
import time

import pytest

import parentbed as pb
from parentbed import Bed
from test_parent import let_go, oneshot, start_worker, state_of, worker_up

ACCOUNTS = {"gate": 61001, "ctl": 61002, "log": 61003, "check": 61004, "db": 61005, "resolve": 61006, "auth": 61007, "keys": 61008, "certs": 61009, "alert": 61011}
POSTGRES = 61010
APP = 50007


def private_mounts():
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


pytestmark = [pytest.mark.skipif(not pb.PARENT.exists(), reason="stead-parent is not built"),
              pytest.mark.skipif(not private_mounts(), reason="needs root and mount namespaces")]


def passwd(names):
    lines = ["root:x:0:0::/root:/bin/sh", f"postgres:x:{POSTGRES}:{POSTGRES}::/:/bin/sh"]
    return "\n".join(lines + [f"stead-{n}:x:{ACCOUNTS[n]}:{ACCOUNTS[n]}::/:/bin/false" for n in names]) + "\n"


@pytest.fixture
def make():
    beds = []

    def build(names=tuple(ACCOUNTS), **options):
        bed = Bed(**options)
        bed.passwd = bed.dir / "passwd"
        bed.passwd.write_text(passwd(names))
        bed.wrap = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/passwd && exec "$@"', str(bed.passwd)]
        beds.append(bed)
        return bed

    yield build
    for bed in beds:
        bed.done()


@pytest.fixture
def bed(make):
    return make().boot()


def status(pid, key):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(line.split()[1:] for line in text.splitlines() if line.startswith(key + ":"))


def test_each_role_runs_as_its_own_user_and_can_gain_nothing(bed):
    for name, peer in (("gate", bed.gate[0]), ("ctl", bed.ctl), ("log", bed.log)):
        assert status(peer.pid, "Uid") == [str(ACCOUNTS[name])] * 4
        assert status(peer.pid, "Gid") == [str(ACCOUNTS[name])] * 4
        assert status(peer.pid, "Groups") == [str(ACCOUNTS[name])]
        assert status(peer.pid, "NoNewPrivs") == ["1"]
        assert status(peer.pid, "CapEff") == status(peer.pid, "CapPrm") == ["0000000000000000"]
    assert bed.gate[0].start.body[20:24] == struct.pack("<I", 1)


def test_the_gate_sees_the_published_files_and_nothing_else(bed):
    (bed.state / "public" / "site").mkdir()
    gate = bed.gate[0]

    def errno(path):
        return int(gate.ask(f"stat {path}").rsplit(" ", 1)[1])

    assert errno(bed.state / "public" / "site") == 0
    for path in ("/etc/passwd", "/proc/self", "/home", "/root", "/tmp/x", "/bin/sh", "/usr/bin", bed.run,
                 bed.state / "log", bed.state / "lock", bed.dir / "passwd"):
        assert errno(path) == 2, path
    mounts = pathlib.Path(f"/proc/{gate.pid}/mountinfo").read_text().splitlines()
    assert all(",nosuid" in line.split()[5] and "ro" in line.split()[5].split(",") for line in mounts), mounts
    public = [line for line in mounts if line.split()[4] == str(bed.state / "public")]
    assert public and "noexec" in public[0].split()[5]


def test_the_state_folder_belongs_to_root_and_lets_ctl_add_to_it(bed):
    def facts(path):
        st = os.stat(path)
        return st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)

    assert facts(bed.state) == (0, ACCOUNTS["ctl"], 0o1771)
    assert facts(bed.state / "log") == (ACCOUNTS["log"], ACCOUNTS["log"], 0o750)
    assert facts(bed.state / "public") == (0, 0, 0o755)
    assert facts(bed.state / "pg")[0::2] == (POSTGRES, 0o700)


def test_the_same_folder_serves_again_unless_it_changed_hands(bed, make):
    bed.process.send_signal(signal.SIGTERM)
    assert let_go(bed) == 0
    bed.listener.close()
    bed.process = None
    bed.boot()
    bed.process.send_signal(signal.SIGTERM)
    assert let_go(bed) == 0
    os.chown(bed.state, 0, ACCOUNTS["log"])
    bed.listener.close()
    bed.launch()
    assert bed.wait() == 5


def test_missing_accounts_are_made_first(make):
    bed = make(names=("gate", "ctl")).launch()
    act = bed.next("stead-act")
    assert act.facts["uid"] == "0" and act.facts["args"] == "2"
    bed.passwd.write_text(passwd(ACCOUNTS))  # in place: it is mounted
    act.do("exit 0")
    bed.boot()
    assert status(bed.log.pid, "Uid")[0] == str(ACCOUNTS["log"])


def test_roles_in_a_folder_closed_to_others_run_all_the_same(make):
    bed = make()
    bed.roles.chmod(0o700)
    bed.boot()
    assert oneshot(bed, "check", 5)[0] == 0
    assert status(bed.next("stead-check").pid, "Uid")[0] == str(ACCOUNTS["check"])


def test_accounts_that_cannot_be_made_end_the_start(make):
    bed = make(names=("gate", "ctl")).launch()
    bed.next("stead-act").do("exit 1")
    assert bed.wait() == 1
    assert "accounts" in bed.errors()


@pytest.mark.parametrize("options, error", [
    ({"uid": 0, "gid": 0}, 1), ({"uid": 49999, "gid": APP}, 1), ({"uid": 60000, "gid": APP}, 1),
    ({"uid": APP, "gid": 0}, 1), ({"uid": POSTGRES, "gid": POSTGRES}, 1), ({"uid": 0xffffffff, "gid": APP}, 1),
    ({"role": "postgres", "uid": 0, "gid": 0}, 1), ({"role": "postgres", "uid": APP, "gid": APP}, 1),
    ({"role": "postgres", "uid": POSTGRES, "gid": POSTGRES}, 1),  # the program is not PostgreSQL's
    ({"role": "postgres", "uid": POSTGRES, "gid": POSTGRES, "path": "/usr/bin/../../tmp/x"}, 1),
    ({"role": "service", "flags": 0, "uid": 0, "gid": 0}, 1)])
def test_ctl_cannot_ask_for_another_account(bed, options, error):
    result = bed.set(**options)
    assert result != 0 and (result == error or "path" in options)
    assert not bed.parked


@pytest.mark.parametrize("role, uid, gid, error", [
    ("build", APP, APP, 0), ("build", 0, 0, 1), ("build", POSTGRES, POSTGRES, 1), ("check", 0, 0, 0),
    ("check", APP, APP, 0), ("check", 61002, 61002, 1), ("db", POSTGRES, POSTGRES, 0), ("db", POSTGRES, APP, 0),
    ("db", POSTGRES, 0, 1), ("db", 0, 0, 1), ("act", 0, 0, 0), ("act", APP, APP, 1)])
def test_a_oneshots_account(bed, role, uid, gid, error):
    assert oneshot(bed, role, 5, uid=uid, gid=gid)[0] == error
    if error == 0:
        child = bed.next(f"stead-{role}")
        wanted = {"check": ACCOUNTS["check"], "act": 0}.get(role) if uid == 0 else uid
        assert int(child.facts["uid"]) == wanted


def test_a_worker_runs_as_the_apps_user(bed):
    worker = start_worker(bed, uid=APP, gid=APP)
    assert status(worker.pid, "Uid") == [str(APP)] * 4
    assert status(worker.pid, "Groups") == [str(APP)]
    assert status(worker.pid, "CapEff") == ["0000000000000000"]


def own_cgroup():
    for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        if os.path.exists(base + "/cgroup.procs") and os.path.exists(base + "/cgroup.controllers"):
            lines = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
            return pathlib.Path(base + next(line[3:] for line in lines if line.startswith("0::")))
    return None


@pytest.mark.skipif(own_cgroup() is None or not os.access(own_cgroup(), os.W_OK), reason="no cgroup v2 to write")
def test_daemons_die_with_their_worker_by_its_cgroup(bed):
    folder = own_cgroup() / f"stead-{bed.process.pid}"
    worker = start_worker(bed, uid=APP, gid=APP)
    for _ in range(30):
        worker.do("daemon")
    time.sleep(0.3)
    mine = folder / str(worker.link["generation"]) / "cgroup.procs"
    assert len(mine.read_text().split()) >= 31
    worker.kill()
    state_of(bed, role=pb.ROLE["worker"], phase=pb.STARTING)
    time.sleep(0.1)
    app = [pid for pid in pb.descendants_named(bed.dir) if os.readlink(f"/proc/{pid}/exe").endswith("/app")]
    assert len(app) == 1, "only the new worker"
    worker_up(bed, bed.gate[0], bed.gate[0].until("WORKER"))
    bed.process.send_signal(signal.SIGTERM)
    assert let_go(bed) == 0
    assert not folder.exists()
