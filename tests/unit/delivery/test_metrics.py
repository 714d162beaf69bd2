"""What the exporter's metrics tell, read of a real control socket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.receivers import Receiver
from fixtures.unprivileged_recorder import UnprivilegedRecorder

from podcorder_agent.classes import CLASS_COUNT, CLASS_NAMES, REASON_NAMES, RecordClass
from podcorder_agent.control.client import SOCKET_NAME, ControlClient
from podcorder_agent.delivery import metrics
from podcorder_agent.delivery.destinations import open_transport
from podcorder_agent.delivery.exporter import Exporter
from podcorder_agent.delivery.metrics import Measure, Values, measure_delivery, measure_recorder
from podcorder_agent.delivery.senders import Stop
from podcorder_agent.delivery.settings import read_settings


def make_health() -> dict[str, object]:
    """7 opens lost to a full ring, 2 skipped, and one exec made."""
    generated, skipped = [0] * CLASS_COUNT, [0] * CLASS_COUNT
    lost = [[0] * len(REASON_NAMES) for _ in CLASS_NAMES]
    generated[RecordClass.EXEC] = 1
    skipped[RecordClass.OPEN] = 2
    lost[RecordClass.OPEN][REASON_NAMES.index("ring_full")] = 7
    return {
        "journal": {"bytes": 250, "limit": 1000, "undelivered": 50},
        "ring": {"size": 4096, "used": 1024},
        "counters": {"generated": generated, "lost": lost, "skipped": skipped},
    }


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ControlClient]:
    with ControlClient(tmp_path / SOCKET_NAME, "metrics") as control:
        yield control


def read_all(measures: list[Measure]) -> dict[str, Values]:
    return {each.metric.name: each.read() for each in measures}


def test_what_the_recorder_says_is_measured(tmp_path: Path, control: ControlClient) -> None:
    """Use of journal and ring, and losses by class and reason, as in its reply to `health`."""
    with UnprivilegedRecorder(tmp_path) as recorder:
        recorder.health = make_health()
        found = read_all(measure_recorder(control))
    assert found == {
        "podcorder.journal.usage": {(): 250},
        "podcorder.journal.utilization": {(): 0.25},
        "podcorder.journal.undelivered": {(): 50},
        "podcorder.ring.utilization": {(): 0.25},
        "podcorder.recorder.generated": {("exec",): 1},
        "podcorder.recorder.lost": {("open", "ring_full"): 7, ("open", "skipped"): 2},
    }


def test_nothing_is_said_of_a_recorder_that_is_away(control: ControlClient) -> None:
    """A metric without a value is better than an old one."""
    assert not any(read_all(measure_recorder(control)).values())


def test_every_metric_is_measured(tmp_path: Path, control: ControlClient) -> None:
    """The reference lists what there is, and nothing else."""
    with UnprivilegedRecorder(tmp_path) as recorder, Receiver() as receiver:
        recorder.begin()
        transport = open_transport(read_settings(os.environ, receiver.url))
        exporter = Exporter(tmp_path, transport, Stop(1), {})
        exporter.run(once=True)
        own = measure_delivery(exporter)
        assert read_all(own)["podcorder.exporter.delivered"] == {(): len(receiver.accepted)}
    found = [each.metric for each in (*own, *measure_recorder(control))]
    assert sorted(found, key=str) == sorted(metrics.METRICS, key=str)
