#!/usr/bin/python3
"""soak.py: the long campaigns that `make check` has no time for. Called by `make soak`.

    STEAD_SOAK_SEC=60    how long each fuzz target runs (default 60)
    STEAD_SOAK_ROUNDS=5  how often the scenario tests run (default 5)

Builds with clang and the sanitizers: in build-fuzz/, where every file tells libFuzzer its branches (-Dfuzz=true),
each target runs on a copy of its corpus; in build-clang/ the simulations run with many seeds (STEAD_SIM_SEEDS), the torture
tests with every call failing once, then the scenario tests again and again. Ends with `N passed, N failed`.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD, FUZZ = TOP / "build-clang", TOP / "build-fuzz"
SECONDS = int(os.environ.get("STEAD_SOAK_SEC", "60"))
ROUNDS = int(os.environ.get("STEAD_SOAK_ROUNDS", "5"))


def run(command, **environment):
    print("+", *command, flush=True)
    return subprocess.run([str(part) for part in command], cwd=TOP, stdin=subprocess.DEVNULL,
                          env={**os.environ, **environment}).returncode == 0


def configured(build, *options):
    return (build / "build.ninja").exists() or run(["env", "CC=clang", "meson", "setup", build,
                                                    "-Db_sanitize=address,undefined", "-Db_lundef=false", *options])


def torture():
    """Every allocation and system call of the pieces and of a serving gate fails once."""
    return run(["meson", "test", "-C", BUILD, "--no-rebuild", "--suite", "torture", "--timeout-multiplier", "20"],
               STEAD_TORTURE_STEP="1")


def fuzz_targets():
    """Each libFuzzer program, as ninja names it (test/fuzz/PART/fuzz_X), with its corpus."""
    listed = subprocess.run(["ninja", "-C", FUZZ, "-t", "targets", "rule", "c_LINKER"], text=True,
                            capture_output=True).stdout.split()
    for target in sorted(listed):
        path = pathlib.PurePath(target)
        if path.parts[:2] == ("test", "fuzz") and path.name.startswith("fuzz_"):
            name = path.name.removeprefix("fuzz_").removeprefix(path.parent.name + "_")
            yield target, TOP / path.parent / f"corpus_{name}"


def main():
    results = []
    results.append(configured(BUILD) and run(["ninja", "-C", BUILD]))
    results.append(configured(FUZZ, "-Dfuzz=true"))
    for target, corpus in fuzz_targets():
        results.append(run(["ninja", "-C", FUZZ, target]))
        with tempfile.TemporaryDirectory() as work:
            if corpus.is_dir():
                shutil.copytree(corpus, work, dirs_exist_ok=True)
            results.append(run([FUZZ / target, f"-max_total_time={SECONDS}", "-timeout=10", "-rss_limit_mb=1024",
                                "-print_final_stats=1", f"-artifact_prefix={FUZZ}/", work]))
    results.append(run(["meson", "test", "-C", BUILD, "--no-rebuild", "--suite", "sim",
                        "--timeout-multiplier", "100"], STEAD_SIM_SEEDS="10000"))
    results.append(torture())
    for _ in range(ROUNDS):
        results.append(run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test/scenario"]))
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 1 if False in results else 0


if __name__ == "__main__":
    sys.exit(main())
