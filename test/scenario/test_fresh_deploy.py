"""A deployed app on a fresh server, from the package: a reboot, a parent that is killed, another version. Rows of `make promises`.

STEAD_DEB and STEAD_DEB_NEXT name packages that are built already, of this version and of another one.
"""

import os
import shutil
import threading
import time

import pytest

import program
from program import wait_until
from test_package import deb, given_or_built, prop  # noqa: F401

pytestmark = [pytest.mark.root, pytest.mark.promise, pytest.mark.timeout(3000)]
BACK_S = 10


@pytest.fixture(scope="session")
def following(tmp_path_factory):
    """The same sources as another version."""
    os.environ["SUFFIX"] = "+1"
    try:
        return given_or_built(tmp_path_factory, "STEAD_DEB_NEXT", work="next")
    finally:
        del os.environ["SUFFIX"]


@pytest.fixture
def live(fresh_server, deb):  # noqa: F811
    """The guestbook with a line in it."""
    server = fresh_server()
    server.install(deb)
    shutil.copytree(program.TOP / "examples/guestbook", server.path("/root/guestbook"),
                    ignore=shutil.ignore_patterns(".stead", "__pycache__"))
    assert "live  guestbook" in server.run("stead deploy /root/guestbook 2>&1")
    server.run("runuser -u app-guestbook -- env $(tr '\\0' '\\n' </proc/$(pgrep -u app-guestbook | head -1)/environ | grep ^PG) "
               "psql -c \"INSERT INTO entry (form, name, message) VALUES ('1', 'ann', 'was here')\"")
    assert b"was here" in server.get("/")[1]
    return server


class Load:
    """Requests one after the other from threads, each on a connection of its own."""

    def __init__(self, server):
        self.server, self.good, self.bad, self.over = server, 0, [], False
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(4)]
        for one in self.threads:
            one.start()

    def run(self):
        while not self.over:
            try:
                status = self.server.get("/")[0]
            except OSError as err:
                status = err
            if status == 200:
                self.good += 1
            else:
                self.bad.append(status)

    def end(self):
        self.over = True
        for one in self.threads:
            one.join(program.TIMEOUT)


def test_back_after_a_reboot(live, promise):
    live.reboot(wait=False)
    wait_until("the site", lambda: live.answers(status=200), 90)
    began = int(live.run("systemctl show -P UserspaceTimestampMonotonic"))
    back = (int(prop(live, "ActiveEnterTimestampMonotonic")) - began) / 1e6
    promise("a deployed app with its database, reboot", f"back {back:.1f} s after boot", back <= BACK_S)
    assert b"was here" in live.get("/")[1] and back <= BACK_S


def test_parent_killed_under_load(live, promise):
    workers, load, took = live.run("pgrep -u app-guestbook"), Load(live), []
    for _ in range(3):
        pid = prop(live, "MainPID")
        began = time.monotonic()
        live.run(f"kill -9 {pid}")
        wait_until("another one", lambda: prop(live, "MainPID") not in ("0", pid) and prop(live, "ActiveState") == "active")
        took.append(time.monotonic() - began)
    load.end()
    promise("fresh server, parent killed 3 times", f"{len(load.bad)} of {load.good + len(load.bad)} failed, adopted in {max(took):.2f} s at most",
            not load.bad and max(took) <= 1)
    assert not load.bad and live.run("pgrep -u app-guestbook") == workers


def test_package_is_upgraded_under_load(live, following, promise):
    workers, load = live.run("pgrep -u app-guestbook"), Load(live)
    said = live.install(following)
    wait_until("the other version's gate", lambda: live.status("ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q '+1/stead-gate'") == 0)
    load.end()
    promise("fresh server, the package upgraded under load", f"{len(load.bad)} of {load.good + len(load.bad)} failed", not load.bad)
    assert not load.bad, (load.bad[:5], said)
    assert live.run("pgrep -u app-guestbook") == workers


def runs_replaced_files(server):
    """{pid: path} of stead's processes whose program is no more on the disk."""
    lines = server.run("for p in $(pgrep stead-); do echo $p $(readlink /proc/$p/exe); done").splitlines()
    return {line.split()[0]: line for line in lines if line.endswith("(deleted)")}


def test_same_version_again_under_load(live, deb, promise):  # noqa: F811
    """`apt install --reinstall`: the files are others of the same name, and what runs goes over to them: each time."""
    workers, load = live.run("pgrep -u app-guestbook"), Load(live)
    said = live.run("for i in 1 2; do apt-get install -y --reinstall -o Dpkg::Options::=--force-confold /root/stead.deb 2>&1; done")
    wait_until("no process of replaced files", lambda: not runs_replaced_files(live))
    # Each at once behind the one before, and what is asked next behind that.
    said += live.run("stead upgrade --quiet && stead upgrade --quiet && stead upgrade && stead status 2>&1")
    load.end()
    promise("fresh server, the same version installed again under load", f"{len(load.bad)} of {load.good + len(load.bad)} failed", not load.bad)
    assert not load.bad, (load.bad[:5], said)
    assert "serves on" not in said and "given up" not in said, said
    assert live.run("pgrep -u app-guestbook") == workers
