"""The parent alone, against peers that the test plays: see parentbed.py."""

import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess
import time

import pytest

import parentbed as pb
from parentbed import BACKOFF, DOWN, UP, Bed
from program import wait_until

pytestmark = pytest.mark.skipif(not pb.PARENT.exists(), reason="stead-parent is not built")
NOBODY = 65534 if os.geteuid() == 0 else None


@pytest.fixture
def make():
    beds = []

    def build(**options):
        beds.append(Bed(**{"user": NOBODY, **options}))
        return beds[-1]

    yield build
    for bed in beds:
        bed.done()


@pytest.fixture
def bed(make):
    return make().boot()


def let_go(bed, now=False):
    """Every core process does what STOP asks for; the parent's exit status."""
    if now:
        time.sleep(0.4)  # the second signal of a person, not the same Ctrl-C told twice
        bed.process.send_signal(signal.SIGTERM)
        return bed.wait()
    for gate in bed.gate:
        gate.until("STOP")
        gate.do("exit 0")
    for peer in (bed.ctl, bed.log):
        peer.until("STOP")
        peer.do("exit 0")
    return bed.wait()


def worker_up(bed, gate, link):
    """The gate says that the worker it got by that WORKER message is up."""
    gate.send("WORKER_UP", link.body[:pb.WORKER.size])


def start_worker(bed, **options):
    assert bed.set(**options) == 0
    worker = bed.next("app")
    links = [gate.until("WORKER") for gate in bed.gate]
    for gate, link in zip(bed.gate, links):
        worker_up(bed, gate, link)
    bed.ctl.until("PROC_STATE", lambda m: m.state()["phase"] == UP and m.state()["role"] == pb.ROLE["worker"])
    worker.link = links[0].worker()
    return worker


def state_of(bed, **wanted):
    return bed.ctl.until("PROC_STATE", lambda m: all(m.state()[k] == v for k, v in wanted.items())).state()


# ---- the start ----

def test_boot_gives_each_role_what_is_its_own(make):
    bed = make(gates=2).boot()
    role, index, generation, gates, root, ca = struct.unpack_from("<IIQIII", bed.gate[1].start.body)
    assert (role, gates, root, ca) == (pb.ROLE["gate"], 2, 0, 0)
    packed = pb.packed(str(bed.state), str(bed.run), str(bed.roles))
    assert bed.gate[1].start.body[32:].startswith(packed) and len(bed.gate[1].start.body) == 32 + len(packed) + 4 + 32 + 1
    peers = sorted(struct.unpack_from("<II", bed.ctl.until("CHANNEL").body) for _ in range(3))
    assert peers == [(pb.ROLE["gate"], 0), (pb.ROLE["gate"], 1), (pb.ROLE["log"], 0)]
    ring = bed.log.until("RING")
    assert struct.unpack_from("<II", ring.body) == (1, pb.ROLE["parent"])
    assert stat.S_ISDIR(os.fstat(bed.log.start.fds[0]).st_mode)
    for peer in (bed.ctl, bed.log, *bed.gate):
        assert peer.facts["extra"] == "0", "a descriptor that was not asked for"


def test_a_channel_joins_its_two_ends(bed):
    to_gate = bed.ctl.until("CHANNEL", lambda m: m.body[0] == pb.ROLE["gate"])
    to_ctl = bed.gate[0].until("CHANNEL")
    a, b = socket.socket(fileno=to_gate.fds[0]), socket.socket(fileno=to_ctl.fds[0])
    a.send(b"from ctl")
    assert b.recv(100) == b"from ctl"


def test_a_folder_served_already_is_refused_with_the_pid(bed):
    second = subprocess.run(bed.command(), capture_output=True, text=True, timeout=pb.TIMEOUT,
                            **({"user": NOBODY, "group": NOBODY, "extra_groups": []} if NOBODY else {}))
    assert second.returncode == 7
    assert str(bed.process.pid) in second.stderr and "stead stop" in second.stderr and second.stdout == ""


def test_the_lock_dies_with_its_owner(make):
    bed = make().boot()
    bed.process.kill()
    bed.process.wait()
    for peer in (bed.ctl, bed.log, *bed.gate):
        assert peer.ended(), "a child outlives the parent"
    bed.listener.close()
    bed.process = None
    bed.parked.clear()
    assert bed.boot()


def test_a_state_folder_that_others_write_is_refused(make):
    bed = make()
    bed.state.chmod(0o777)
    bed.launch()
    assert bed.wait() == 5
    assert all(word in bed.errors() for word in ("where:", "why:", "what to do:", "0777"))


@pytest.mark.skipif(NOBODY is None, reason="needs root to have two users")
def test_somebody_elses_state_folder_is_refused(make):
    bed = make()
    os.chown(bed.state, 1, 1)
    bed.launch()
    assert bed.wait() == 5
    assert "uid 1" in bed.errors()


# ---- watching ----

def test_the_first_restart_comes_at_once_and_further_ones_wait(bed):
    waits, gate = [], bed.gate[0]
    for _ in range(4):
        gate.kill()
        waits.append(state_of(bed, role=pb.ROLE["gate"], phase=BACKOFF)["backoff_ms"])
        began = time.monotonic()
        gate = bed.next("stead-gate").ready()
        assert time.monotonic() - began >= waits[-1] / 1000 - 0.05
    assert waits[0] == 0
    for wait, nominal in zip(waits[1:], (100, 200, 400)):
        assert 0.8 * nominal - 1 <= wait <= 1.2 * nominal + 1


def test_ctl_dies_and_the_next_one_is_told_all(bed):
    assert_bound(bed)
    start_worker(bed)
    bed.ctl.kill()
    bed.ctl = bed.next("stead-ctl").begin()
    told = {}
    while not {"BOUND", "CHANNEL"} <= told.keys() or len(told.get("PROC_STATE", [])) < 4:
        message = bed.ctl.recv()
        told.setdefault(message.name, []).append(message)
    assert {m.state()["role"] for m in told["PROC_STATE"]} == {pb.ROLE[r] for r in ("ctl", "log", "gate", "worker")}
    assert not bed.gate[0].ended(0.05), "serving goes on"
    bed.ctl.send("READY")
    assert bed.set() == 0  # the same contents: nothing changes
    assert [m for m in drained(bed.ctl) if m.name == "PROC_STATE" and m.state()["role"] == pb.ROLE["worker"]] == []


def drained(peer, quiet=0.1):
    got = []
    try:
        while True:
            got.append(peer.recv(quiet))
    except AssertionError:
        return got


def test_a_sender_of_what_is_not_its_own_is_replaced(bed):
    gate = bed.gate[0]
    gate.send("SHUTDOWN", struct.pack("<II", 0, 0))
    assert gate.ended()
    bed.next("stead-gate").ready()


@pytest.mark.parametrize("body", [b"", b"short", b"\0" * 103])
def test_a_message_too_short_is_a_broken_channel(bed, body):
    bed.ctl.send("PROC_SET", body)
    assert bed.ctl.ended()
    bed.next("stead-ctl").ready()


def test_a_process_that_says_nothing_before_hello_else_is_replaced(make):
    bed = make().launch()
    log = bed.next("stead-log")
    log.send("READY")
    assert log.ended()
    assert bed.next("stead-log")


@pytest.mark.parametrize("when", ["ready", "begin"])
def test_a_process_that_closes_its_channel_and_lives_is_replaced(make, when):
    bed = make().launch()
    getattr(bed.next("stead-log"), when)().do("hangup")
    bed.next("stead-log").ready()


# ---- what is kept ----

def memfd(text):
    fd = os.memfd_create("segment")
    os.write(fd, text)
    return fd


def test_a_snapshot_outlives_ctl_and_gate(bed):
    fds = [memfd(b"root"), memfd(b"one"), memfd(b"two")]
    bed.ctl.send("SNAP", struct.pack("<QIIII", 5, 2, 0, 0, 0), fds, ident=9)
    assert bed.ctl.until("DONE").id == 9
    assert len(bed.gate[0].until("SNAP").fds) == 3
    bed.ctl.kill()
    bed.gate[0].kill()
    snap = bed.next("stead-gate").begin().until("SNAP")
    assert [os.pread(fd, 10, 0) for fd in snap.fds] == [b"root", b"one", b"two"]
    assert struct.unpack_from("<QI", snap.body) == (5, 2)


def test_a_snapshot_with_another_number_of_segments_is_refused(bed):
    fds = [memfd(b"root")]
    bed.ctl.send("SNAP", struct.pack("<QIIII", 5, 2, 0, 0, 0), fds)
    assert struct.unpack("<I", bed.ctl.until("DONE").body[:4])[0] == 22
    assert [m.name for m in drained(bed.gate[0])].count("SNAP") == 0


def test_pages_are_kept_for_the_next_reader(bed):
    page = struct.Struct("<IIIIQ")
    bed.gate[0].send("PAGE", page.pack(1, 0, 0, 0, 0), [memfd(b"ring")])
    bed.gate[0].send("PAGE", page.pack(2, 0, 0, 0, 0), [memfd(b"counters")])
    ring = bed.log.until("RING", lambda m: page.unpack_from(m.body)[1] == pb.ROLE["gate"])
    assert page.unpack_from(ring.body)[3] == 2
    assert os.pread(bed.ctl.until("COUNTERS").fds[0], 20, 0) == b"counters"
    bed.log.kill()
    bed.ctl.kill()
    again = bed.next("stead-log").begin()
    ring = again.until("RING", lambda m: page.unpack_from(m.body)[1] == pb.ROLE["gate"])
    assert os.pread(ring.fds[0], 20, 0) == b"ring"
    assert os.pread(bed.next("stead-ctl").begin().until("COUNTERS").fds[0], 20, 0) == b"counters"


def test_a_page_of_the_wrong_kind_breaks_the_channel(bed):
    bed.ctl.send("PAGE", struct.pack("<IIIIQ", 2, 0, 0, 0, 0), [memfd(b"counters")])
    assert bed.ctl.ended()


def assert_bound(bed, address="127.0.0.1:0", number=1):
    bed.ctl.send("BIND", struct.pack("<II", number, 0) + address.encode(), ident=4)
    bound = bed.ctl.until("BOUND")
    assert bound.id == 4 and struct.unpack_from("<II", bound.body) == (number, 0)
    return bound.body[8:].rstrip(b"\0").decode()


def test_a_listener_reaches_every_gate_and_the_next_one(make):
    bed = make(gates=2).boot()
    address = assert_bound(bed)  # port 0 became a free one, and everybody is told which
    ports = set()
    for gate in bed.gate:
        message = gate.until("LISTENER")
        assert message.body[8:].rstrip(b"\0").decode() == address != "127.0.0.1:0"
        ports.add(socket.socket(fileno=message.fds[0]).getsockname()[1])
    assert len(ports) == 1
    bed.gate[0].kill()
    message = bed.next("stead-gate").begin().until("LISTENER")
    again = socket.socket(fileno=message.fds[0])
    assert again.getsockname()[1] in ports
    client = socket.create_connection(again.getsockname(), timeout=1)
    assert again.accept()[0].getpeername() == client.getsockname()
    assert assert_bound(bed, address) == address  # once more: answers at once, the same socket
    assert not any(m.name in ("LISTENER", "UNLISTEN") for m in drained(bed.gate[1]))


@pytest.mark.parametrize("address", ["", "127.0.0.1", "localhost:80", "127.0.0.1:70000", "[::1:80", "::1:x", "1.2.3.4:"])
def test_an_address_that_is_none_is_refused(bed, address):
    bed.ctl.send("BIND", struct.pack("<II", 1, 0) + address.encode())
    assert struct.unpack_from("<II", bed.ctl.until("BOUND").body) == (1, 22)


def test_a_port_in_use_says_so(bed):
    other = socket.create_server(("127.0.0.1", 0))
    bed.ctl.send("BIND", struct.pack("<II", 3, 0) + b"127.0.0.1:%d" % other.getsockname()[1])
    assert struct.unpack_from("<II", bed.ctl.until("BOUND").body) == (3, 98)


@pytest.mark.skipif(not os.path.exists("/proc/sys/net/ipv4/ip_unprivileged_port_start") or
                    int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read()) <= 81, reason="port 81 is free to all")
def test_a_low_port_without_root_is_not_permitted(bed):
    bed.ctl.send("BIND", struct.pack("<II", 3, 0) + b"127.0.0.1:81")
    assert struct.unpack_from("<II", bed.ctl.until("BOUND").body) == (3, 13)


# ---- app processes ----

def test_a_worker_and_a_gate_share_a_link(bed):
    assert bed.set(env=("DATABASE_URL=postgresql:///x", "HOME=/here")) == 0
    worker = bed.next("app")
    assert worker.facts["extra"] == "0"
    assert worker.recv().name == "HELLO"
    mine, theirs = worker.until("LINK"), bed.gate[0].until("WORKER")
    assert mine.worker() == theirs.worker()
    a, b = socket.socket(fileno=mine.fds[0]), socket.socket(fileno=theirs.fds[0])
    a.send(b"rings")
    assert b.recv(100) == b"rings"
    environment = pathlib.Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
    names = sorted(line.split(b"=")[0] for line in environment if line)
    assert names == [b"DATABASE_URL", b"HOME", b"LANG", b"PATH"] and b"HOME=/here" in environment


def test_the_apps_output_goes_to_the_log_and_to_the_next_log(bed):
    worker = start_worker(bed)
    streams = [bed.log.until("STREAM") for _ in range(2)]
    assert [struct.unpack_from("<IIII", m.body)[3] for m in streams] == [1, 2]
    assert streams[0].body[32:].rstrip(b"\0") == b"guestbook"
    bed.log.kill()
    worker.do("print hello")
    worker.do("complain oh")
    again = bed.next("stead-log").begin()
    texts = [os.read(again.until("STREAM").fds[0], 100) for _ in range(2)]
    assert texts == [b"hello\n", b"oh\n"]


def test_the_last_words_of_a_worker_reach_the_next_log(bed):
    worker = start_worker(bed)
    bed.log.kill()
    log = bed.next("stead-log")  # it has not said HELLO yet
    worker.do("complain Traceback")
    worker.do("exit 3")
    assert state_of(bed, role=pb.ROLE["worker"], phase=BACKOFF)["status"] == 3
    log.begin()
    words = []
    for _ in range(2):
        words.append(os.read(log.until("STREAM").fds[0], 100))
    assert b"Traceback\n" in words


def test_a_dead_worker_is_reported_and_started_again(bed):
    worker = start_worker(bed)
    worker.kill(signal.SIGABRT)
    gone = bed.gate[0].until("WORKER_GONE").worker()
    assert gone["generation"] == worker.link["generation"] and gone["status"] == -6
    bed.next("app")
    assert bed.gate[0].until("WORKER").worker()["generation"] > gone["generation"]


def test_a_new_gate_gets_links_to_the_workers_that_run(bed):
    worker = start_worker(bed)
    bed.gate[0].kill()
    gate = bed.next("stead-gate").begin()
    assert gate.until("WORKER").worker()["generation"] == worker.link["generation"]
    worker.until("LINK", lambda m: m.worker()["gate_generation"] != worker.link["gate_generation"])


def test_a_restart_starts_the_new_before_the_old_drains(bed):
    old = start_worker(bed)
    bed.ctl.send("PROC_RESTART", struct.pack("<II", pb.ROLE["worker"], 1), ident=5)
    assert bed.ctl.until("DONE").id == 5
    new = bed.next("app")
    link = bed.gate[0].until("WORKER")
    assert not old.ended(0.1), "the old one serves until the new one is up"
    worker_up(bed, bed.gate[0], link)
    drain = bed.gate[0].until("WORKER_DRAIN")
    assert drain.worker()["generation"] == old.link["generation"]
    assert not old.ended(0.1), "the old one runs what it has"
    bed.gate[0].send("WORKER_IDLE", drain.body)
    assert old.ended()
    assert bed.gate[0].until("WORKER_GONE").worker()["generation"] == old.link["generation"]
    assert not new.ended(0.05)


def test_a_new_release_that_does_not_start_leaves_the_old_one(bed):
    old = start_worker(bed, count=1)
    assert bed.set(env=("RELEASE=2",)) == 0
    for _ in range(3):
        bed.next("app").do("exit 1")
    assert not old.ended(0.05)
    assert bed.set(env=("RELEASE=3",)) == 0
    good = bed.next("app", test=lambda peer: b"RELEASE=3" in pathlib.Path(f"/proc/{peer.pid}/environ").read_bytes())
    link = bed.gate[0].until("WORKER", lambda m: m.worker()["slot"] == 0 and alive(good.pid))
    while True:  # the gate saw the failed ones too
        worker_up(bed, bed.gate[0], link)
        try:
            link = bed.gate[0].until("WORKER", timeout=0.2)
        except AssertionError:
            break
    old.kill()
    assert not good.ended(0.1)


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


def test_fewer_and_more_slots(bed):
    assert bed.set(count=3) == 0
    workers = [bed.next("app") for _ in range(3)]
    for _ in range(3):
        worker_up(bed, bed.gate[0], bed.gate[0].until("WORKER"))
        state_of(bed, role=pb.ROLE["worker"], phase=UP)
    assert bed.set(count=1) == 0
    for _ in range(2):
        bed.gate[0].send("WORKER_IDLE", bed.gate[0].until("WORKER_DRAIN").body)
    gone = {bed.gate[0].until("WORKER_GONE").worker()["slot"] for _ in range(2)}
    assert gone == {1, 2}
    wait_until("the other two to be reaped", lambda: sum(alive(w.pid) for w in workers) == 1)
    assert bed.set(count=2) == 0
    assert bed.gate[0].until("WORKER").worker()["slot"] == 1


def test_drop_ends_it(bed):
    worker = start_worker(bed)
    bed.ctl.send("PROC_DROP", struct.pack("<II", pb.ROLE["worker"], 1))
    bed.gate[0].send("WORKER_IDLE", bed.gate[0].until("WORKER_DRAIN").body)
    assert worker.ended()
    state_of(bed, role=pb.ROLE["worker"], phase=DOWN)
    bed.ctl.send("PROC_DROP", struct.pack("<II", pb.ROLE["worker"], 1), ident=8)
    until = bed.ctl.until("DONE", lambda m: m.id == 8)
    assert struct.unpack_from("<I", until.body)[0] in (0, 2)


def test_a_worker_that_ignores_term_is_killed_with_its_children(bed):
    worker = start_worker(bed, stop_ms=200)
    worker.do("child")
    worker.do("ignore 15")
    worker.ask("stat /")  # it does
    bed.ctl.send("PROC_DROP", struct.pack("<II", pb.ROLE["worker"], 1))
    bed.gate[0].send("WORKER_IDLE", bed.gate[0].until("WORKER_DRAIN").body)
    state_of(bed, role=pb.ROLE["worker"], phase=DOWN)
    app = [pid for pid in pb.descendants_named(bed.dir) if not pb.is_killed(pid) and os.readlink(f"/proc/{pid}/exe").endswith("/app")]
    assert app == []


def test_a_stuck_worker_is_asked_for_its_stack_then_killed_and_replaced_at_once(bed):
    worker = start_worker(bed, flags=pb.LINK | pb.ROLLING | pb.STACKS)
    worker.do("catch usr1")
    worker.do("ignore 15")
    worker.ask("stat /")  # it does
    bed.gate[0].send("WORKER_STUCK", pb.WORKER.pack(1, 0, worker.link["generation"], 0, 0, 0, 1, 0))
    bed.next("app")  # at once: the old one still has its requests, and then its grace
    drain = bed.gate[0].until("WORKER_DRAIN").body
    assert not worker.ended(0.8), "its other requests may finish"
    bed.gate[0].send("WORKER_IDLE", drain)
    assert not worker.ended(0.3), "it has its grace to print stacks"
    assert bed.gate[0].until("WORKER_GONE").worker()["status"] == -9


def test_a_stuck_program_that_knows_no_stacks_gets_no_such_signal(bed):
    """SIGUSR1 would end it at once, and with it what else it runs."""
    worker = start_worker(bed)
    bed.gate[0].send("WORKER_STUCK", pb.WORKER.pack(1, 0, worker.link["generation"], 0, 0, 0, 1, 0))
    assert not worker.ended(0.2)
    bed.gate[0].send("WORKER_IDLE", bed.gate[0].until("WORKER_DRAIN").body)
    assert bed.gate[0].until("WORKER_GONE").worker()["status"] == -15


def test_a_bad_link_means_a_new_worker(bed):
    worker = start_worker(bed)
    bed.gate[0].send("WORKER_BAD", pb.WORKER.pack(1, 0, worker.link["generation"], 0, 0, 0, 40, 0))
    assert worker.ended()
    bed.next("app")


def test_a_worker_that_does_not_become_ready_is_killed(bed):
    assert bed.set(start_ms=200) == 0
    worker = bed.next("app")
    assert worker.ended()
    bed.next("app")


def test_a_program_that_is_not_there_is_tried_with_growing_pauses(bed):
    assert bed.set(path="/no/such/program", role="service", flags=0) == 0
    waits = [state_of(bed, role=pb.ROLE["service"], phase=BACKOFF)["backoff_ms"] for _ in range(3)]
    assert waits[0] >= 80 and waits[1] > waits[0] and waits[2] > waits[1]


@pytest.mark.parametrize("options", [
    {"count": 0}, {"count": 257}, {"argv": ()}, {"path": "relative"}, {"role": "gate"}, {"role": "act"},
    {"stop": "SIGWRONG"}, {"cwd": "relative"}])
def test_a_request_out_of_the_table_is_refused(bed, options):
    assert bed.set(**options) == 22
    assert not bed.ctl.ended(0.05)


# ---- one-shots ----

def oneshot(bed, role, ident, deadline=0, uid=0, gid=0):
    bed.ctl.send("ONESHOT", struct.pack("<IIIiII", pb.ROLE[role], uid, gid, 0, 0, deadline), ident=ident)
    answer = bed.ctl.until("SPAWNED", lambda m: m.id == ident)
    return struct.unpack_from("<IIIiI", answer.body)[4], answer.fds


def test_a_oneshot_speaks_to_ctl_and_its_end_is_told(bed):
    error, fds = oneshot(bed, "check", 12)
    child = bed.next("stead-check")
    assert error == 0
    child.send(603, b"12345678")  # CHECK_END
    channel = socket.socket(fileno=fds[0])
    assert channel.recv(100)[4:6] == struct.pack("<H", 603)
    child.do("exit 4")
    ended = bed.ctl.until("EXITED")
    assert ended.id == 12 and struct.unpack_from("<IIIi", ended.body)[3] == 4


def test_oneshots_end_at_their_deadline_by_request_and_with_ctl(bed):
    assert oneshot(bed, "build", 1, deadline=100)[0] == 0
    assert bed.next("stead-build").ended()
    assert struct.unpack_from("<IIIi", bed.ctl.until("EXITED").body)[3] == -9
    oneshot(bed, "build", 2)
    child = bed.next("stead-build")
    bed.ctl.send("ONESHOT_KILL", struct.pack("<IIIiII", 0, 0, 0, 0, 0, 0), ident=2)
    assert child.ended() and bed.ctl.until("EXITED").id == 2
    oneshot(bed, "db", 3)
    child = bed.next("stead-db")
    bed.ctl.kill()
    assert child.ended()


def test_no_more_than_sixteen_oneshots_and_no_other_roles(bed):
    for role in ("gate", "worker", "parent"):
        assert oneshot(bed, role, 50)[0] == 22
    kept = [oneshot(bed, "check", 100 + i) for i in range(17)]
    assert [error for error, _ in kept] == [0] * 16 + [11]


# ---- the end ----

def test_the_end_goes_gates_apps_database_ctl_log(bed):
    worker = start_worker(bed)
    assert bed.set(role="postgres", app=0, flags=0, name="postgres", argv=("pg",), stop="INT") == 0
    postgres = bed.next("pg")
    bed.process.send_signal(signal.SIGTERM)
    assert struct.unpack("<II", bed.gate[0].until("STOP").body) == (5000, 5000)
    assert not worker.ended(0.1)
    bed.gate[0].do("exit 0")
    assert worker.ended() and postgres.ended()
    bed.ctl.until("STOP")
    bed.ctl.do("exit 0")
    bed.log.until("STOP")
    bed.log.do("exit 0")
    assert bed.wait() == 0
    assert bed.process.stdout.read() == b""


def test_nothing_survives_not_even_a_daemon(bed):
    worker = start_worker(bed)
    for _ in range(20):
        worker.do("child")
        worker.do("daemon")
    time.sleep(0.2)
    assert len(pb.descendants_named(bed.dir)) >= 40
    bed.process.send_signal(signal.SIGINT)
    assert let_go(bed) == 0
    assert pb.descendants_named(bed.dir) == []


def test_a_second_signal_ends_it_now(bed):
    worker = start_worker(bed, stop_ms=60000)
    worker.do("ignore 15")
    worker.ask("stat /")  # it does
    began = time.monotonic()
    bed.process.send_signal(signal.SIGTERM)
    assert let_go(bed, now=True) == 0
    assert time.monotonic() - began < 20  # it was given a minute
    assert pb.descendants_named(bed.dir) == []


def test_the_lifelines_end_stops_it(make):
    ours, theirs = os.pipe()
    bed = make(args=("--lifeline", str(ours)))
    bed.launch(pass_fds=[ours])
    os.close(ours)
    bed.boot()
    os.close(theirs)
    assert let_go(bed) == 0


def test_ctl_asks_for_the_end(bed):
    bed.ctl.send("SHUTDOWN", struct.pack("<II", 0, 0))
    assert let_go(bed) == 0


def test_an_idle_parent_sleeps_and_is_small(bed):
    time.sleep(0.3)

    def switches():
        status = pathlib.Path(f"/proc/{bed.process.pid}/status").read_text()
        return int(status.split("voluntary_ctxt_switches:")[1].split()[0])

    before = switches()
    time.sleep(1)
    assert switches() == before, "a timer wakes an idle parent"
