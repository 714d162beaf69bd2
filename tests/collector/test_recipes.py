"""The collectors' configs of examples/, run by the real collector: what they promise to keep they keep."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures import receivers
from fixtures.collectors import Collector
from fixtures.receivers import Handler, Receiver
from fixtures.unprivileged_recorder import UnprivilegedRecorder
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from podcorder_agent.journal import read_checkpoint

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PODCORDER = Path(sys.executable).with_name("podcorder")
Wait = Callable[[Callable[[], object], float], None]


def read_recipes() -> dict[str, str]:
    """Each collector's config by name; that of the quick start is in a ConfigMap."""
    found = {path.stem: path.read_text(encoding="utf-8") for path in (EXAMPLES / "collectors").glob("*.yaml")}
    manifests = yaml.safe_load_all((EXAMPLES / "quick-start" / "collector.yaml").read_text(encoding="utf-8"))
    (found["quick-start"],) = (each["data"]["config.yaml"] for each in manifests if each["kind"] == "ConfigMap")
    return found


RECIPE = read_recipes()


@pytest.fixture
def loki() -> Iterator[Receiver]:
    """What answers as Loki's OTLP endpoint does."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def to_loki(collector_binary: Path, tmp_path: Path, loki: Receiver) -> Iterator[Collector]:
    """The collector of the recipe, which sends there."""
    places = {"otlp_http/loki": {"endpoint": f"{loki.url}/otlp"}}
    collector = Collector(collector_binary, tmp_path, config=RECIPE["loki"], exporters=places)
    collector.start()
    yield collector
    collector.stop()


@pytest.mark.parametrize("name", RECIPE)
def test_the_collector_takes_it(collector_binary: Path, tmp_path: Path, name: str) -> None:
    """Every component and setting of a recipe is one that the collector knows."""
    config = tmp_path / "collector.yaml"
    config.write_text(RECIPE[name])
    done = subprocess.run([collector_binary, "validate", "--config", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_acknowledged_is_in_the_file(
    collector_binary: Path, tmp_path: Path, recorder: UnprivilegedRecorder, start_exporter: Callable[..., Any]
) -> None:
    """A collector that is killed once all is acknowledged has written all, and the command line reads it."""
    places = {"file": {"path": str(tmp_path / "podcorder.jsonl")}}
    collector = Collector(collector_binary, tmp_path, config=RECIPE["file"], exporters=places)
    collector.start()
    ids = recorder.opens(1009)
    assert start_exporter(f"http://127.0.0.1:{collector.http}", "--once").wait(30) == 0
    collector.kill()
    command = [PODCORDER, "events", "--otlp", tmp_path / "podcorder.jsonl", "--kind", "file.open", "--output", "json"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {json.loads(line)["podcorder.record.id"] for line in lines} == ids


def test_what_loki_has_not_taken_stays_on_the_node(
    to_loki: Collector,
    loki: Receiver,
    recorder: UnprivilegedRecorder,
    start_exporter: Callable[..., Any],
    wait_for: Wait,
) -> None:
    """While Loki answers with errors nothing is acknowledged; a collector killed meanwhile takes nothing with it."""
    loki.usual = receivers.refuse(503)
    ids = recorder.opens(1009)
    exporter = start_exporter(f"http://127.0.0.1:{to_loki.http}")
    wait_for(lambda: len(loki.seen) >= 2, 20)
    to_loki.kill()
    to_loki.start()
    assert read_checkpoint(recorder.directory) is None
    loki.usual = receivers.accept
    wait_for(lambda: set(loki.accepted) >= ids, 60)
    assert {path for path, _, _ in loki.seen} == {"/otlp/v1/logs"}
    exporter.terminate()
    assert exporter.wait(30) == 0


def test_what_loki_will_not_have_is_a_gap(
    to_loki: Collector, loki: Receiver, recorder: UnprivilegedRecorder, start_exporter: Callable[..., Any]
) -> None:
    """Of a batch with a record that Loki refuses for good the others arrive, and a gap tells of that one."""
    ids = recorder.opens(503)
    refused = min(ids)

    def refuse_one(handler: Handler, request: ExportLogsServiceRequest) -> None:
        answer = receivers.refuse(400) if refused in receivers.record_ids(request) else receivers.accept
        answer(handler, request)

    loki.usual = refuse_one
    assert start_exporter(f"http://127.0.0.1:{to_loki.http}", "--once").wait(60) == 0
    assert set(loki.accepted) >= ids - {refused}
    records = [record for _, _, request in loki.seen for record in receivers.log_records(request)]
    gaps = [each for each in records if each.event_name == "podcorder.recording.gap"]
    assert {receivers.read_attribute(each, "podcorder.gap.count") for each in gaps} == {1}
