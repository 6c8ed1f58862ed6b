"""run.py: the whole matrix on one server: each unit under systemd and under stead, and what was not the same. No test framework
here; by hand: `STEAD_BUILD=… test/conformance/run.py [-1] [NAME-PATTERN]` prints what differs (-1: without
looking once more at what does).
"""

import concurrent.futures
import pathlib
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scenario")]

import bed  # noqa: E402
import freshbed  # noqa: E402
import program  # noqa: E402
import table  # noqa: E402

SYSTEM = "debian-13"  # the newest of those that are tested: it knows every key
AT_ONCE = 12
ALONE = 2  # how often what differs is looked at once more


def both(sides, unit):
    """The records of one unit, from one run of each."""
    for side in sides:
        side.arm(unit)
    return [bed.record(side, unit) for side in sides]


def run_one(sides, unit):
    systemd, stead = sides
    if unit.refused:
        systemd.arm(unit)
        return [bed.record(systemd, unit), {"refused": unit.refused}]
    return both(sides, unit)


def differences(unit, records):
    """[(fact, systemd's, stead's)] beyond what the table declares, and what it declares and was not seen."""
    one, two = records
    found = [("refused", "", two["refused"])] if "refused" in two else bed.compare(one, two)
    facts = {fact for fact, _, _ in found}
    return ([f for f in found if f[0] not in unit.differs],
            [(fact, "declared", "and the same") for fact in unit.differs if fact not in facts])


def run(server, units, say=lambda text: None, again=True):
    """{unit: (records, unexpected, gone)}"""
    sides = (bed.Systemd(server), bed.Stead(server))
    for number, unit in enumerate(units):
        unit.id = f"u{number:03}"
    began = time.monotonic()
    for side in sides:
        for unit in units:
            side.install(unit)
        side.installed()
    say(f"{len(units)} units installed in {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        records = dict(zip(units, pool.map(lambda unit: run_one(sides, unit), units)))
    say(f"run in {time.monotonic() - began:.0f} s")
    results = {}
    for unit in units:
        unexpected, gone = differences(unit, records[unit])
        # What a busy machine made late is no difference: again, alone.
        for _ in range(ALONE if again and not unit.refused else 0):
            if not unexpected:
                break
            records[unit] = both(sides, unit)
            unexpected, gone = differences(unit, records[unit])
        results[unit] = (records[unit], unexpected, gone)
    return results


def main(options):
    patterns = [o for o in options if o != "-1"]
    units = [u for u in table.read_all() if not patterns or any(re.search(p, u.name) for p in patterns)]
    with freshbed.Server(SYSTEM) as server:
        server.install_build()
        bed.prepare(server, program.BUILD / "test/conformance/conformance-probe")
        results = run(server, units, lambda text: print(text, flush=True), "-1" not in options)
    good = 0
    for unit, (records, unexpected, gone) in results.items():
        good += not unexpected and not gone
        for fact, a, b in unexpected + gone:
            print(f"{unit.area}/{unit.name}: {fact}\n    systemd: {a}\n    stead:   {b}")
        if len(units) < 8:
            for one in records:
                print("   ", one)
    print(f"{len(units)} units, {good} as expected")


if __name__ == "__main__":
    main(sys.argv[1:])
