"""What idle keep-alive connections cost: memory of the gate, and the time of those that are active."""

import os
import resource
import select

import pytest

import tcpbed
from client import Client
from loadgen import LoadGen
from program import give

COUNT = int(os.environ.get("STEAD_IDLE", "2000"))


@pytest.mark.promise
@pytest.mark.timeout(300)
def test_idle_connections_cost_little(stead, app_folder, promise):
    """Each had one answer. (bench/run has the row of 15,000.)"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = app_folder({"files/000.txt": "file 000\n", "stead.conf": "[Site]\nRoot=files\n[Server]\nGates=1\n"})
    give(folder)
    one = stead(folder).up()
    gate = one.pid("gate")

    def p99():
        with LoadGen(one.port, ["1:file:/%n.txt"], 4000, 60, kept=4, files=1) as load:
            return load.done()["reused"]["p99_us"]
    idle = []
    try:
        p99()
        without, before = p99(), tcpbed.pss(gate)
        for number in range(COUNT):
            idle.append(Client(one.port))
            assert idle[-1].ask("/000.txt").status == 200
        each = (tcpbed.pss(gate) - before) / COUNT
        beside = p99()
        poll = select.poll()
        for client in idle:
            poll.register(client.socket, select.POLLIN)
        assert not poll.poll(0), "an idle connection was closed"
    finally:
        for client in idle:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    promise("idle connections", f"{COUNT}: {each:.0f} bytes each in the gate; p99 of active ones {without} µs without them, {beside} µs beside them",
            each <= 1024)
    assert each <= 1024
