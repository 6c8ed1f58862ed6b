#!/usr/bin/python3
"""promises.py: one line for each promise, with its goal and what was seen. Called by `make promises`.

Runs the scenario tests that are marked `promise`, with a million requests where `make check` takes some ten thousand;
each writes lines of "promise | what was seen | kept" to the file that STEAD_PROMISES names. promises_rows.py has
the promises. Ends with a count, and with status 1 when a test failed: then its output comes before the count.

    tools/promises.py [PYTEST-OPTION...]      e.g. -k load
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import check
from promises_rows import ROWS

TOP = pathlib.Path(__file__).resolve().parent.parent
LARGE = {"STEAD_LOAD_REQUESTS": "1000000", "STEAD_LOAD_RELOADS": "50", "STEAD_UPGRADE_REQUESTS": "100000", "STEAD_MUTATIONS": "1000000",
         "STEAD_MUTATIONS_READ": "3000", "STEAD_TREES": "1000", "STEAD_CERT_SITES": "200", "STEAD_PROMISES_SLOW": "1"}


def run(options):
    """(exit status, output, {name: [(what was seen, kept)]})"""
    with tempfile.TemporaryDirectory() as folder:
        lines = pathlib.Path(folder) / "promises"
        lines.touch()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-m", "promise", "test/scenario", *options],
            cwd=TOP, env={**LARGE, **os.environ, "STEAD_PROMISES": str(lines), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        seen = {}
        for line in lines.read_text().splitlines():
            name, what, kept = line.split(" | ")
            seen.setdefault(name, []).append((what, kept == "kept"))
        return done.returncode, done.stdout, seen


def tell(seen):
    """Prints the rows and what is measured besides: (kept, not kept or not seen, not yet provable)."""
    kept, broken, later = [], [], []
    for name, goal, proofs in ROWS:
        if isinstance(proofs, str):
            later.append(name)
            continue
        found = [line for proof in proofs for line in seen.pop(proof, [(f"{proof}: not measured in this run", False)])]
        good = all(k for _, k in found)
        (kept if good else broken).append(name)
        print(f"{'kept  ' if good else 'BROKEN'}  {name} (goal: {goal})")
        for what, _ in found:
            print(f"          {what}")
    print("\nMeasured besides:")
    for name, found in seen.items():
        for what, _ in found:
            print(f"  {name}: {what}")
    print("\nNot yet provable:")
    for name, goal, why in ROWS:
        if isinstance(why, str):
            print(f"  {name} (goal: {goal}): {why}")
    return kept, broken, later


def main(options):
    # Upgrades have another version to go over to.
    check.step_other(check.Count())
    code, output, seen = run(options)
    kept, broken, later = tell(seen)
    if code:
        print(output)
    for line in output.splitlines():
        if line.startswith("SKIPPED"):
            print(line)
    print(f"\n{len(ROWS)} promises, {len(kept)} kept, {len(broken)} not kept or not measured"
          f"{': ' + ', '.join(broken) if broken else ''}; {len(later)} not yet provable: {', '.join(later)}")
    return 1 if code or broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
