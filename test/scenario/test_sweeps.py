"""What `make promises` says of tests that `make check` runs by Meson: every call failed once, the corpora of the fuzz
targets, and how many branches of the parsers these and the unit tests take (gcov). STEAD_COVERAGE_BUILD names a folder that
is kept, and the branches that nothing took are printed."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import program

PARSERS = ["gate/http/http1_parse", "gate/http/http1_chunks", "gate/http/http1_host", "gate/http/target", "gate/http/httpdate",
           "gate/http/proxy_protocol", "gate/backend/up_parse", "gate/files/range", "gate/request/encoding", "gate/request/client",
           "gate/request/subst", "gate/cache/cache_head", "gate/tls/tls_sni", "gate/tls/tls_subject", "lib/base64", "lib/buf",
           "lib/chan", "lib/hostname", "lib/logring", "lib/parcel", "lib/unitword", "conf/parse", "conf/scalar", "conf/value",
           "conf/calendar", "conf/exits", "log/render", "record/record", "link/link_ring", "person/authorized", "backup/read"]

pytestmark = [pytest.mark.promise, pytest.mark.timeout(3600),
              pytest.mark.skipif("STEAD_PROMISES" not in os.environ, reason="`make promises` measures it; `make check` runs it by Meson")]


def run(*command, **environment):
    done = subprocess.run([str(part) for part in command], cwd=program.TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment})
    return done.returncode, done.stdout


def test_every_call_fails_once(promise):
    code, pieces = run(program.BUILD / "test/torture/torture", STEAD_TORTURE_STEP="1")
    gate_code, gate = run("/usr/bin/python3", "test/torture/torture_gate.py", program.BUILD / "test/unit/gate/gate-harness",
                          program.BUILD / "test/torture/torture-gate", "1")
    calls = [sum(map(int, re.findall(r": (\d+) calls", text))) for text in (pieces, gate)]
    good = code == gate_code == 0 and min(calls) > 0
    promise("allocation and system-call sweep", f"{calls[0]} calls of {len(re.findall(r' calls', pieces))} pieces and {calls[1]} of a "
            f"serving gate, each failed once: {'0 crashes, 0 left over' if good else 'see the output'}", good)
    assert good, pieces + gate


def replays(build):
    return sorted(path for path in (build / "test/fuzz").rglob("replay_*") if path.is_file() and os.access(path, os.X_OK))


def corpus_of(path):
    return program.TOP / "test/fuzz" / path.parent.name / ("corpus_" + path.name.removeprefix("replay_"))


def replay_all(build):
    """(targets, inputs, runs) of the corpora."""
    targets = inputs = runs = 0
    for path in replays(build):
        corpus = corpus_of(path)
        if not corpus.is_dir():
            corpus = program.TOP / "test/fuzz" / path.parent.name / ("corpus_" + path.name.removeprefix(f"replay_{path.parent.name}_"))
        if not corpus.is_dir():
            continue
        code, out = run(path, corpus)
        found = re.search(r"(\d+) inputs, each with (\d+) changes", out)
        if code == 0 and found:
            targets, inputs = targets + 1, inputs + int(found.group(1))
            runs += int(found.group(1)) * (1 + int(found.group(2)))
        else:
            assert "canary" in path.name, f"{path}: {out[-2000:]}"
    return targets, inputs, runs


def test_corpora_are_replayed(promise):
    targets, inputs, runs = replay_all(program.BUILD)
    promise("fuzz corpora", f"{targets} targets, {inputs} inputs, {runs} runs and every prefix besides; campaigns: `make soak`")
    assert targets > 20 and inputs > 100


def asserted(source):
    """The lines of must(): what makes one false is a bug, and no input. They have no branch that a test could take."""
    lines, inside = set(), False
    for number, line in enumerate((program.TOP / "src" / f"{source}.c").read_text().splitlines(), 1):
        inside = inside or bool(re.match(r"\s*must\(", line))
        if inside:
            lines.add(number)
        inside = inside and not line.rstrip().endswith(";")
    return lines


def branches(build, source):
    """{(line, number of its branch): how often it was taken} of one source, in whatever programs it is linked."""
    name = source.rpartition("/")[2]
    objects = sorted(path for path in build.rglob(f"*{name}.c.gcda") if re.fullmatch(rf"(.*_)?{name}\.c\.gcda", path.name))
    if not objects:
        return {}
    out = subprocess.run(["gcov", "-b", "--json-format", "--stdout", *map(str, objects)], cwd=build, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True, check=True).stdout
    best, left_out = {}, asserted(source)
    for line in out.splitlines():
        for file in json.loads(line)["files"]:
            if not file["file"].endswith(f"src/{source}.c"):
                continue
            for where in file["lines"]:
                for number, branch in enumerate(where["branches"]):
                    key = where["line_number"], number
                    if where["line_number"] not in left_out:
                        best[key] = max(best.get(key, 0), branch["count"])
    return best


@pytest.mark.skipif(not shutil.which("gcov"), reason="no gcov here")
def test_branches_of_parsers(promise, tmp_path):
    """Built once more, with counters; must() is no branch that a test can take."""
    build = pathlib.Path(os.environ.get("STEAD_COVERAGE_BUILD", tmp_path / "build"))
    if not (build / "build.ninja").exists():
        code, out = run("meson", "setup", build, "-Db_coverage=true", "-Dbuildtype=debug", "-Dwerror=false", CC="gcc")
        assert code == 0, out
    code, out = run("ninja", "-C", build)
    assert code == 0, out[-4000:]
    for old in build.rglob("*.gcda"):
        old.unlink()
    code, out = run("meson", "test", "-C", build, "--no-rebuild", "--suite", "unit", "--suite", "fuzz", "--timeout-multiplier", "10")
    assert code == 0, out[-4000:]
    # What only a failed allocation or system call leads to.
    code, out = run(build / "test/torture/torture")
    assert code == 0, out[-4000:]
    found = {source: branches(build, source) for source in PARSERS}
    gone = [source for source, figures in found.items() if not figures]
    assert not gone, f"moved, or never built: {gone}"
    missed = {source: sorted({line for (line, _), count in figures.items() if not count}) for source, figures in found.items()}
    for source, lines in missed.items():
        if lines:
            print(f"src/{source}.c: a branch of line {', '.join(map(str, lines))}")
    all_of = sum(map(len, found.values()))
    taken = sum(count > 0 for figures in found.values() for count in figures.values())
    least = [f"{source}.c:{line}" for source, lines in missed.items() for line in lines]
    promise("coverage of parsers", f"{100 * taken / all_of:.1f} %, {taken} of {all_of} branches in {len(found)} parsers"
            + (f"; not taken: {', '.join(least[:8])}{' …' if len(least) > 8 else ''}" if least else ""), taken == all_of)
    assert taken > all_of * 98 // 100, missed
