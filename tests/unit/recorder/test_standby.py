"""What answers where nothing can be recorded, without a kernel: the real journal writer and the real control server."""

from __future__ import annotations

import json
import os
import select
import threading
from pathlib import Path

import pytest
from fixtures.journals import open_writer, read_all

from podcorder_agent.control.client import ControlClient, ControlError
from podcorder_agent.control.messages import SOCKET_NAME
from podcorder_agent.delivery.metrics import measure_recorder
from podcorder_agent.recorder import standby
from podcorder_agent.recorder.errors import LoadRefused, RingBufferMissing, Unable
from podcorder_agent.recorder.server import ControlServer
from podcorder_agent.recorder.standby import Standby

GREETING = {"boot_id": "b", "generation": 1, "node": "node-1"}
LOADER = {"name": "core", "reason": "asked for"}


class Serving:
    """One in a thread; a context manager that ends it by a signal, unless it has ended by itself."""

    def __init__(self, directory: Path, reason: Unable) -> None:
        poller = select.epoll()
        self.directory = directory
        self.signals: list[int] = []
        self._server = ControlServer(directory / SOCKET_NAME, frozenset({os.getuid()}), 0o600, -1, poller)
        served = Standby(open_writer(directory), reason, LOADER, GREETING)
        self.thread = threading.Thread(target=served.serve, args=(self._server, poller, self.signals))

    def __enter__(self) -> ControlClient:
        self.thread.start()
        return ControlClient(self.directory / SOCKET_NAME, "test")

    def __exit__(self, *_: object) -> None:
        self.signals.append(15)
        self.thread.join()
        self._server.close()

    def notes(self) -> list[str]:
        return [json.loads(frame.payload)["note"] for frame in read_all(self.directory)]


def test_it_tries_again_what_may_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the reason may be over after a while, it ends by itself, in good order, for the next recorder to try."""
    monkeypatch.setattr(standby, "AGAIN_SECONDS", 0.0)
    serving = Serving(tmp_path, LoadRefused("The BPF maps cannot be made."))
    with serving:
        serving.thread.join(20)
        assert not serving.thread.is_alive()
    assert serving.notes() == ["started", "stopped"]


def test_it_stays_where_the_kernel_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel stays as it is until the next boot."""
    monkeypatch.setattr(standby, "AGAIN_SECONDS", 0.0)
    serving = Serving(tmp_path, RingBufferMissing())
    with serving as control:
        for _ in range(3):
            assert control.health()["loader"] == LOADER
        assert serving.thread.is_alive()
    assert serving.notes() == ["started", "stopped"]


def test_what_no_recorder_takes_is_refused(tmp_path: Path) -> None:
    """Settings that make no sense, and a position that the journal never reached."""
    with Serving(tmp_path, RingBufferMissing()) as control:
        with pytest.raises(ControlError, match="not a network"):
            control.configure(0, {"policy": "x", "events": [], "networks": [{"cidr": "x", "verdict": "include"}]})
        with pytest.raises(ControlError):
            control.acknowledge("99:0")


def test_metrics_leave_the_ring_out(tmp_path: Path) -> None:
    """An exporter tells of the journal, and of nothing that is not there."""
    with Serving(tmp_path, RingBufferMissing()) as control:
        values = {each.metric.name: each.read() for each in measure_recorder(control)}
        assert values["podcorder.ring.utilization"] == {}
        assert values["podcorder.journal.usage"][()] > 0


def test_stop_ends_it(tmp_path: Path) -> None:
    """As it ends a recorder."""
    serving = Serving(tmp_path, RingBufferMissing())
    with serving as control:
        control.stop(unpin=True)
        serving.thread.join(20)
        assert not serving.thread.is_alive()
