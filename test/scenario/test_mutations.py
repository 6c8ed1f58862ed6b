"""Changes of the corpus by chance (test/load/mutate.c) before a real gate: what reaches a backend is in the one canonical
form, and each request that the backend reads is answered to the client that sent it, and to nobody else.

STEAD_MUTATIONS: how many (20000; `make promises` takes a million), STEAD_MUTATIONS_SEED: where they begin (1). A
seed that is printed makes the same request again: `build/test/load/mutate 0 0 CORPUS 1 SEED 1`.
"""

import json
import os
import socket
import struct
import subprocess

import pytest

import program
from gatebed import Gate, described
from proxybed import description
from test_differential import ROWS
from corpus.shape import Forwarded  # found by test_differential

COUNT = int(os.environ.get("STEAD_MUTATIONS", "20000"))
SEED = int(os.environ.get("STEAD_MUTATIONS_SEED", "1"))
SEC = 60 + COUNT // 200
MUTATE = program.BUILD / "test/load/mutate"


def corpus_file(folder):
    """Those that are handed on four times: a change of what is refused is seldom anything else."""
    path = folder / "corpus"
    path.write_bytes(b"".join((struct.pack("<I", len(raw)) + raw) * (4 if any(isinstance(w, Forwarded) for w in want) else 1)
                              for _, raw, want, _, _ in ROWS))
    return path


def mutate(folder, route, count, seed, keep_max=0):
    """(what it counted, what was wrong, the different messages that were forwarded)"""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        listener.setblocking(False)
        server = {"address": f"127.0.0.1:{listener.getsockname()[1]}"}
        gate = Gate(described(description([server], {"body_max": 1 << 20, **route}, fail_max=1000, keep_alive=64, queue=512)))
        keep = folder / "kept"
        done = subprocess.run([MUTATE, str(gate.port), str(listener.fileno()), corpus_file(folder), str(count), str(seed), str(SEC),
                               keep, str(keep_max)], pass_fds=[listener.fileno()], stdout=subprocess.PIPE, text=True,
                              timeout=SEC + 60)
        assert gate.end() == 0
    *wrong, last = done.stdout.splitlines()
    assert last.startswith("end "), done.stdout
    seen = json.loads(last[4:])
    assert (done.returncode == 0) == (not wrong and seen["sent"] == count), done.stdout
    kept, data = [], keep.read_bytes()
    while data:
        n, = struct.unpack("<I", data[:4])
        kept.append(data[4:4 + n])
        data = data[4 + n:]
    return seen, wrong, kept


@pytest.mark.promise
@pytest.mark.timeout(SEC * 2 + 240)
def test_changed_requests(tmp_path, promise):
    """Half of them with bodies that are handed on as they come, half with bodies that are read whole first."""
    all_wrong, sums = [], {}
    for number, route in enumerate(({"body_buffer": False}, {"body_buffer": True})):
        seen, wrong, _ = mutate(tmp_path, route, COUNT // 2, SEED + number * COUNT)
        all_wrong += wrong
        sums = {name: sums.get(name, 0) + value for name, value in seen.items()}
    promise("mutations of the corpus", f"{sums['sent']}, {sums['refused']} refused at once, {sums['forwarded']} requests handed "
            f"on ({sums['different']} different), {len(all_wrong)} in another form or not their own answer",
            not all_wrong)
    assert not all_wrong, "\n".join(all_wrong)
    assert sums["sent"] == COUNT // 2 * 2
    # They must be more than noise: some go through, many do not.
    assert COUNT // 20 < sums["different"] and COUNT // 4 < sums["refused"] < COUNT, sums
