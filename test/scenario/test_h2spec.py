"""h2spec against the real program, in the clear and over TLS: STEAD_H2SPEC names the program, or a checkout of
summerwind/h2spec with it built in its folder."""

import os
import pathlib
import re
import subprocess

import pytest

from program import free_port, give
from tlsbed import certificate

WHERE = pathlib.Path(os.environ.get("STEAD_H2SPEC") or "/nonexistent")
PROGRAM = WHERE / "h2spec" if WHERE.is_dir() else WHERE
CASES = 147
# Some cases break the rules of a body behind its head: who answers before it is read is right as well, and no test.
APP = """
def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello " * 1000]
"""


@pytest.mark.skipif(not PROGRAM.is_file(), reason="STEAD_H2SPEC names no h2spec")
@pytest.mark.promise
@pytest.mark.parametrize("way", ["h2c", "tls"])
def test_all_cases(stead, app_folder, promise, way):
    port = free_port()
    folder = app_folder({"app.py": APP, "stead.conf": f"""[Site]
Certificate=own.crt
CertificateKey=own.key
Http=serve
[Server]
ListenTls=127.0.0.1:{port}
"""})
    certificate(folder, "own")
    give(folder)
    one = stead(folder).up()
    more = ["-t", "-k", "-p", str(port)] if way == "tls" else ["-p", str(one.port)]
    run = subprocess.run([PROGRAM, "--strict", "--timeout", "5", *more], capture_output=True, text=True, timeout=900)
    told = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", run.stdout)
    assert told, run.stdout + run.stderr
    cases, passed = int(told[1]), int(told[2])
    wrong = set(re.findall(r"× \d+: (.*)", run.stdout[run.stdout.rfind("Failures"):])) if passed < cases else set()
    promise(f"h2spec, {way}", f"{passed} of {cases} cases pass{'; not: ' if wrong else ''}{', '.join(wrong)}", not wrong)
    assert cases >= CASES and not wrong, run.stdout[run.stdout.rfind("Failures"):]
