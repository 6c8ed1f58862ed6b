"""http-tests/cache-tests against a real gate: STEAD_CACHE_TESTS names a checkout of it (with `npm install undici`)."""

import json
import os
import shutil
import socket
import subprocess

import pytest

from gatebed import Gate, described
from proxybed import description

FOLDER = os.environ.get("STEAD_CACHE_TESTS")
REQUIRED_MIN = 145
# Of all cases those that are required of every cache, and of them the ones that passed.
COUNT = """
import tests from './tests/index.mjs'
import fs from 'fs'
const results = JSON.parse(fs.readFileSync(0))
const all = tests.flatMap(s => s.tests).filter(t => !t.browser_only && (t.kind ?? 'required') === 'required')
console.log(JSON.stringify({all: all.length, failed: all.filter(t => results[t.id] !== true).map(t => [t.id, results[t.id]])}))
"""


@pytest.mark.skipif(not FOLDER or not shutil.which("node"), reason="STEAD_CACHE_TESTS names no checkout of http-tests/cache-tests")
@pytest.mark.promise
def test_required_cases(tmp_path, promise):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    env = {**os.environ, "npm_config_protocol": "http", "npm_config_port": str(port), "npm_config_id": "",
           "npm_package_config_id": "", "npm_config_pidfile": str(tmp_path / "pid")}
    server = subprocess.Popen(["node", "test-engine/server/server.mjs"], cwd=FOLDER, env=env,
                              stdout=subprocess.PIPE, text=True)
    try:
        assert "Listening" in server.stdout.readline()
        gate = Gate(described(description([{"address": f"127.0.0.1:{port}"}], {"cache_bytes": 16 << 20},
                                          timeout_ms=10000, queue=256, retry=0, fail_max=1000)))
        env["npm_config_base"] = f"http://localhost:{gate.port}"
        run = subprocess.run(["node", "--no-warnings", "test-engine/cli.mjs"], cwd=FOLDER, env=env,
                             capture_output=True, text=True, timeout=300, check=True)
        assert gate.end() == 0
    finally:
        server.kill()
        server.wait()
    count = subprocess.run(["node", "--input-type=module", "-e", COUNT], cwd=FOLDER, input=run.stdout,
                           capture_output=True, text=True, check=True)
    told = json.loads(count.stdout)
    passed = told["all"] - len(told["failed"])
    print(f"cache-tests: {passed} of {told['all']} required cases pass; not: {told['failed']}")
    promise("cache-tests", f"{passed} of {told['all']} required cases", passed >= REQUIRED_MIN)
    assert passed >= REQUIRED_MIN
