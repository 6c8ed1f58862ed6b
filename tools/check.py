#!/usr/bin/python3
"""check.py: all that CI runs. Called by `make check`, which has installed what is needed.

Builds with gcc (build-gcc/), with clang, ASan and UBSan (build-clang/), and the processes once more as another version
(build-other/), runs the tidy check, the unit,
simulation, fuzz-replay and torture tests on both builds, the scenario tests on the first and their smoke subset on
the second. The last line is `N passed, N failed[, N skipped][, N unsteady]`; the exit status is 1 when anything
failed. A scenario that fails is run once more by itself: many of them watch real programs against the clock, and a
machine may stand still for a second. What passes then is named as unsteady, because it is a defect of the test (or of
stead) that somebody has to look at; more than a few of them fail the run.

    tools/check.py [tidy] [gcc] [clang] [other] [meson] [scenario] [bench]     only these steps
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

TOP = pathlib.Path(__file__).resolve().parent.parent
GCC, CLANG = TOP / "build-gcc", TOP / "build-clang"
OTHER, OTHER_SUFFIX = TOP / "build-other", "-other"  # the same tree as another version, for tests of upgrades
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
              "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


UNSTEADY_MAX = 3  # more than these are no accident
# Scenarios wait more than they compute: a file of them for each processor, and one more.
AT_ONCE = ["-n", str(os.cpu_count() + 1), "--dist", "loadfile"]


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.names = []  # of what failed
        self.unsteady = []

    def one(self, name, good):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            self.names.append(name)
        return good

    def meson(self, file, label):
        """Adds the results of a testlog.json: one object in each line."""
        try:
            results = [json.loads(line) for line in file.read_text().splitlines()]
        except (OSError, ValueError):
            return False
        for one in results:
            if one["result"] == "SKIP":
                self.skipped += 1
                print(f"  skipped: {label} {one['name']}")
            else:
                self.one(f"{label} {one['name']}: {one['result']}", one["result"] in ("OK", "EXPECTEDFAIL"))
        return bool(results)

    def junit(self, cases, label, again):
        """Adds the cases of a JUnit file. again(test) runs one of them by itself; True: it passed."""
        failed = {test_of(case) for case in cases if has_failed(case)}
        unsteady = set() if len(failed) > UNSTEADY_MAX else {test for test in sorted(failed) if again(test)}
        for case in cases:
            name = f"{label} {case.get('classname', '')} {case.get('name', '')}"
            if test_of(case) in unsteady:
                self.unsteady.append(name)
                self.one(name, True)
            elif has_failed(case):
                self.one(name, False)
            elif case.find("skipped") is not None:
                self.skipped += 1
                print(f"  skipped: {name}: {case.find('skipped').get('message', '')}")
            else:
                self.one(name, True)


def cases_of(file):
    """The cases of a JUnit file; none when there is no file to read."""
    try:
        return list(xml.parse(file).getroot().iter("testcase"))
    except (OSError, xml.ParseError):
        return []


def has_failed(case):
    return case.find("failure") is not None or case.find("error") is not None


def test_of(case):
    """As pytest wants it named."""
    return case.get("classname", "").replace(".", "/") + ".py::" + case.get("name", "")


def run(command, environment=(), quiet=True):
    """Runs it from the top folder; what it printed comes out when it failed or is not quiet."""
    result = subprocess.run([str(part) for part in command], cwd=TOP, stdin=subprocess.DEVNULL,
                            env={**os.environ, **dict(environment)}, text=True,
                            stdout=subprocess.PIPE if quiet else None,
                            stderr=subprocess.STDOUT if quiet else None)
    if quiet and result.returncode:
        print(result.stdout, flush=True)
    return result.returncode


def configured(build, compiler, *options):
    if (build / "build.ninja").exists():
        return True
    return run(["meson", "setup", build, *options], {"CC": compiler}) == 0


def step_build(count, build, compiler, *options):
    ok = configured(build, compiler, *options) and run(["ninja", "-C", build, f"-j{os.cpu_count()}"]) == 0
    return count.one(f"build with {compiler}", ok)


def step_other(count):
    """Only what an installation has."""
    options = [f"-Dversion_suffix={OTHER_SUFFIX}", "-Dtests=false", "-Doptimization=1", "-Ddebug=false"]
    roles = [f"src/{role}/stead-{role}" for role in ("parent", "gate", "ctl", "check", "log", "auth", "keys", "certs", "resolve",
                                                     "act", "db", "build")]
    ok = configured(OTHER, "gcc", *options) and \
        run(["ninja", "-C", OTHER, f"-j{os.cpu_count()}", "stead", "python/_steadlink.abi3.so", *roles]) == 0
    return count.one("build of another version", ok)


def step_meson(count, build, label):
    suites = [part for suite in ("unit", "sim", "fuzz", "torture") for part in ("--suite", suite)]
    report = build / "meson-logs" / "testlog.json"
    report.unlink(missing_ok=True)
    before = count.failed
    # A hang is seen in any case; a machine that others load is not one.
    code = run(["meson", "test", "-C", build, "--no-rebuild", "--timeout-multiplier", "4", "--print-errorlogs", *suites], SANITIZERS)
    if not count.meson(report, label) or code and count.failed == before:
        count.one(f"{label} meson test", False)


def step_pytest(count, build, label, *options):
    environment = {**SANITIZERS, "STEAD_BUILD": str(build), "PYTHONDONTWRITEBYTECODE": "1"}
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

    def again(test):
        print(f"== once more, by itself: {test}", flush=True)
        return run([*pytest, test], environment, quiet=False) == 0

    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        fast = ["-x"] if os.environ.get("STEAD_FAIL_FAST") else []
        code = run([*pytest, *fast, *AT_ONCE, f"--junitxml={report}", *options, "test/scenario"], environment, quiet=False)
        cases = cases_of(report)
        count.junit(cases, label, again)
        if not cases or code and not any(has_failed(case) for case in cases):
            count.one(f"{label} pytest", False)


def step_bench(count):
    """Each row still runs and answers rightly; no time is judged. The peers are not installed for it."""
    lacking = [peer for peer in ("nginx", "uwsgi", "wrk") if not shutil.which(peer)]
    if lacking:
        count.skipped += 1
        print(f"  skipped: bench: {', '.join(lacking)} not installed (bench/run installs them)")
        return
    count.one("bench rows answer rightly", run(["bench/run", "--smoke", "--stead", GCC / "stead"]) == 0)


def main(wanted):
    count = Count()
    began = time.monotonic()

    def due(step):
        due_now = not wanted or step in wanted
        if due_now:
            print(f"== {step} ({time.monotonic() - began:.0f} s)", flush=True)
        return due_now

    if due("tidy"):
        count.one("tidy's own test", run(["tools/tidy.py", "--self-test"]) == 0)
        count.one("tidy", run(["tools/tidy.py"]) == 0)
    built = {}
    if due("gcc"):
        built["gcc"] = step_build(count, GCC, "gcc")
    if due("clang"):
        built["clang"] = step_build(count, CLANG, "clang", "-Db_sanitize=address,undefined",
                                    "-Db_lundef=false")
    if due("other"):
        step_other(count)
    if due("meson"):
        if built.get("gcc", True):
            step_meson(count, GCC, "gcc")
        if built.get("clang", True):
            step_meson(count, CLANG, "clang")
    if due("scenario"):
        if built.get("gcc", True):
            step_pytest(count, GCC, "scenario")
        if built.get("clang", True):
            step_pytest(count, CLANG, "scenario, sanitized", "-m", "smoke")
    if due("bench") and built.get("gcc", True):
        step_bench(count)

    print(f"== done ({time.monotonic() - began:.0f} s)")
    for name in count.names:
        print(f"  failed: {name}")
    for name in count.unsteady:
        print(f"  unsteady (failed, and passed by itself): {name}")
    skipped = f", {count.skipped} skipped" if count.skipped else ""
    unsteady = f", {len(count.unsteady)} unsteady" if count.unsteady else ""
    print(f"{count.passed} passed, {count.failed} failed{skipped}{unsteady}")
    return 1 if count.failed or not count.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
