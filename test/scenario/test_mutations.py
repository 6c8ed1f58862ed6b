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
import threading

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


class PassesAll:
    """In a gate's place: hands the client's bytes on as they are, and the backend's back."""

    def __init__(self, port):
        self.behind, self.listener = port, socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.behind))
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self.copy, args=ends, daemon=True).start()

    @staticmethod
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            sink.close()

    def end(self):
        self.listener.close()
        return 0


def gate_of(route):
    """Gate of a backend's port."""
    return lambda port: Gate(described(description([{"address": f"127.0.0.1:{port}"}], {"body_max": 1 << 20, **route},
                                                   fail_max=1000, keep_alive=64, queue=512)))


def mutate(folder, gate_before, count, seed, keep_max=0):
    """(what it counted, what was wrong, the different messages that were forwarded)"""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        listener.setblocking(False)
        gate = gate_before(listener.getsockname()[1])
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
        seen, wrong, _ = mutate(tmp_path, gate_of(route), COUNT // 2, SEED + number * COUNT)
        if wrong and all("whose answer nobody got" in line for line in wrong):
            # On a machine that does other things a client's end may come too late, as that of one who is gone; what is
            # wrong with a request is wrong again.
            seen, wrong, _ = mutate(tmp_path, gate_of(route), COUNT // 2, SEED + number * COUNT)
        all_wrong += wrong
        sums = {name: sums.get(name, 0) + value for name, value in seen.items()}
    promise("mutations of the corpus", f"{sums['sent']}, {sums['refused']} refused at once, {sums['forwarded']} requests handed "
            f"on ({sums['different']} different), {len(all_wrong)} in another form or not their own answer",
            not all_wrong)
    assert not all_wrong, "\n".join(all_wrong)
    assert sums["sent"] == COUNT // 2 * 2
    # They must be more than noise: some go through, many do not.
    assert COUNT // 20 < sums["different"] and COUNT // 4 < sums["refused"] < COUNT, sums


def test_a_gate_that_passes_all_is_caught(tmp_path):
    """The backend sees what the client wrote: bytes in another form, and requests that nobody gets an answer to."""
    seen, wrong, _ = mutate(tmp_path, PassesAll, 300, SEED)
    assert seen["wrong"] > 100, seen
    assert any("another kind" in line or "small letters" in line for line in wrong), wrong
