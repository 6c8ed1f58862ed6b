#!/usr/bin/python3
"""promises.py: one line for each promise that this version proves. Called by `make promises`.

Runs the scenario tests that are marked `promise`; each writes lines of "promise | what was seen" to the
file that STEAD_PROMISES names. A test that fails shows as a broken promise and sets exit status 1.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent


def main():
    with tempfile.TemporaryDirectory() as folder:
        lines = pathlib.Path(folder) / "promises"
        lines.touch()
        code = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "promise", "test/scenario"],
            cwd=TOP, env={**os.environ, "STEAD_PROMISES": str(lines), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in lines.read_text().splitlines():
            name, _, seen = line.partition(" | ")
            print(f"{name:32} {seen}")
    if code.returncode:
        print(code.stdout)
        print("A promise is broken: see the lines above.")
    return 1 if code.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
