"""Runs that the kernel skips, since they would interrupt another of the same program: what is recorded all the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.faulty_kernels import compile_changed
from fixtures.recordings import Recording

from podcorder_agent.interpreter.events import NetworkConnect

Record = Callable[..., Recording]

END = "end_connect(sk, to)"
CONNECTS = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
closed = socket.create_server(("127.0.0.1", 0))
gone = closed.getsockname()
closed.close()
for address in listener.getsockname(), gone:
    client = socket.socket()
    client.bind(("127.0.0.1", 0))
    client.connect_ex(address)
    print(client.getsockname()[1], address[1])
"""


@pytest.fixture
def endless_objects(tmp_path: Path) -> Path:
    """No program sees how a connection attempt ends."""
    return compile_changed(tmp_path, "network_tcp.bpf.c", END, "end_connect(NULL, to)")


def test_connect_whose_end_nobody_saw_is_told_by_its_call(record: Record, endless_objects: Path) -> None:
    """Once each, with outcome, both ends and the time that it took."""
    recording = record(loader="core", arguments=["--objects", str(endless_objects)])
    recording.select(["connect"])
    ports = list(map(int, recording.cgroup.run(sys.executable, "-c", CONNECTS).split()))
    recording.stop()
    told = recording.events(NetworkConnect)
    assert [(each.outcome, each.error) for each in told] == [("established", None), ("refused", "ECONNREFUSED")]
    assert [port for each in told for port in (each.local_port, each.peer_port)] == ports
    assert all(each.latency for each in told)
