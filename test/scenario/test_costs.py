"""What each process costs: the time from exec to exit, and the memory when idle. Printed by CI, bounded widely."""

import os
import pathlib
import re
import subprocess
import time

import pytest

from client import ask
from program import BUILD, TOP, wait_until

OWN = ("parent", "gate", "ctl", "log")
PSS_MAX_KB = 12 * 1024


def pss_kb(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1))


@pytest.mark.promise
def test_exec_time_of_each_role(promise):
    """A role without its channel ends at once: what remains is the loader's work."""
    for role in ("parent", "gate", "ctl", "log", "resolve", "auth", "keys", "certs", "alert", "check", "build", "db", "act"):
        program = next(BUILD.glob(f"libexec/stead/*/stead-{role}"))
        times = []
        for _ in range(11):
            began = time.monotonic()
            subprocess.run([str(program)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=30)
            times.append(time.monotonic() - began)
        median = sorted(times)[5]
        promise(f"exec to exit, {role}", f"{median * 1000:.1f} ms")
        assert median < 1


@pytest.mark.promise
def test_idle_memory(stead, promise):
    one = stead(TOP / "examples" / "hello").up()
    ask(one)
    each = {role: [pss_kb(pid) for pid in one.pids(role)] for role in OWN}
    for role, sizes in each.items():
        promise(f"idle PSS, {role}", " + ".join(f"{size} KB" for size in sizes))
    whole = sum(sum(sizes) for sizes in each.values())
    promise("idle PSS, all of stead's own", f"{whole} KB (goal: {PSS_MAX_KB} KB)")
    assert whole <= PSS_MAX_KB


def test_the_parent_links_libc_only():
    program = next(BUILD.glob("libexec/stead/*/stead-parent"))
    linked = subprocess.run(["ldd", str(program)], text=True, capture_output=True, check=True).stdout
    names = {line.split()[0].split("/")[-1].split(".")[0] for line in linked.splitlines()}
    assert names <= {"linux-vdso", "libc", "ld-linux-x86-64", "ld-linux-aarch64"}, linked


def test_an_idle_site_does_not_wake(stead):
    """Nothing polls: over a second without a request the gate and the parent use no processor time."""
    one = stead(TOP / "examples" / "hello").up()
    ask(one)
    pids = [*one.pids("gate"), *one.pids("parent")]

    def ticks():
        used = 0
        for pid in pids:
            rest = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            used += int(rest[11]) + int(rest[12])
        return used
    before, until = ticks(), time.monotonic() + 2
    wait_until("two seconds to pass", lambda: time.monotonic() > until)
    assert ticks() - before <= os.sysconf("SC_CLK_TCK") // 10
