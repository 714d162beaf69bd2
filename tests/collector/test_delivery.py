"""Into the real collector: every record there, and once after those with the same id are taken for one."""

from __future__ import annotations

import http.client
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures import receivers
from fixtures.collectors import Collector, read_attribute
from fixtures.receivers import Handler, Receiver
from fixtures.unprivileged_recorder import UnprivilegedRecorder
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from podcorder_agent.journal import read_checkpoint

Wait = Callable[[Callable[[], object], float], None]

OUTAGE = float(os.environ.get("PODCORDER_TEST_OUTAGE", "60"))
"""Seconds that the collector is away."""


def is_acknowledged(recorder: UnprivilegedRecorder) -> bool:
    found = read_checkpoint(recorder.directory)
    return found is not None and found.position == recorder.writer.position


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_every_record_arrives_once(
    collector: Collector,
    recorder: UnprivilegedRecorder,
    start_exporter: Callable,
    protocol: str,
    compression: str,
) -> None:
    """With nothing in the way the collector writes each record once, over either protocol."""
    ids = set().union(*(recorder.opens(1009) for _ in range(10)))
    port = collector.http if protocol == "http/protobuf" else collector.grpc
    exporter = start_exporter(
        f"http://127.0.0.1:{port}",
        "--once",
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_EXPORTER_OTLP_COMPRESSION=compression,
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
    )
    assert exporter.wait(60) == 0
    collector.stop()
    assert collector.ids() == dict.fromkeys(ids, 1)
    assert is_acknowledged(recorder)
    (resource,) = {
        tuple((each["key"], each["value"]["stringValue"]) for each in logs["resource"]["attributes"])
        for logs in collector.read()
    }
    assert dict(resource)["deployment.environment.name"] == "test"


def test_an_outage_loses_nothing(
    collector: Collector, recorder: UnprivilegedRecorder, start_exporter: Callable, wait_for: Wait
) -> None:
    """The collector goes, stays away while events go on, and comes back: all is there, acknowledged at last."""
    ids = recorder.opens(1009)
    exporter = start_exporter(f"http://127.0.0.1:{collector.http}")
    wait_for(lambda: is_acknowledged(recorder), 20)
    collector.stop()
    back = time.monotonic() + OUTAGE
    while time.monotonic() < back:
        ids |= recorder.opens(101)
        time.sleep(0.05)
    assert not is_acknowledged(recorder)
    collector.start()
    wait_for(lambda: is_acknowledged(recorder), 60)
    exporter.terminate()
    assert exporter.wait(30) == 0
    collector.stop()
    assert set(collector.ids()) == ids


def test_restarts_of_both_ends_lose_nothing(
    collector: Collector, recorder: UnprivilegedRecorder, start_exporter: Callable, wait_for: Wait
) -> None:
    """Collector restarted and exporter killed under load, again and again: every record there."""
    chance = random.Random(3)
    ids: set[str] = set()
    exporter = start_exporter(f"http://127.0.0.1:{collector.http}")
    for turn in range(6):
        for _ in range(10):
            ids |= recorder.opens(503)
            time.sleep(chance.uniform(0, 0.1))
        if turn % 2:
            collector.stop()
            collector.start()
        else:
            exporter.send_signal(signal.SIGKILL)
            exporter.wait()
            exporter = start_exporter(f"http://127.0.0.1:{collector.http}")
    wait_for(lambda: is_acknowledged(recorder), 60)
    collector.stop()
    assert set(collector.ids()) == ids


def test_a_proxy_that_misbehaves_loses_nothing(
    collector: Collector, recorder: UnprivilegedRecorder, start_exporter: Callable, wait_for: Wait
) -> None:
    """A proxy answers 503, closes connections before, in and after the answer, and 429: all arrives."""

    def forward(handler: Handler, request: ExportLogsServiceRequest) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", collector.http, timeout=10)
        headers = {"Content-Type": "application/x-protobuf"}
        connection.request("POST", "/v1/logs", request.SerializeToString(), headers)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        assert response.status == 200
        handler.answer(200, answer)

    def forward_and_hang_up(handler: Handler, request: ExportLogsServiceRequest) -> None:
        handler.answer = lambda status, body: None  # type: ignore[method-assign, assignment]
        forward(handler, request)
        del handler.answer
        receivers.hang_up_half_way(handler, request)

    with Receiver() as proxy:
        proxy.usual = forward
        for _ in range(3):
            proxy.script += [receivers.refuse(503), forward, forward_and_hang_up]
            proxy.script.append(receivers.refuse(429, Retry_After="1"))
        ids = recorder.opens(1009)
        exporter = start_exporter(proxy.url, OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none")
        while proxy.script:
            ids |= recorder.opens(101)
            time.sleep(0.1)
            assert exporter.poll() is None
        wait_for(lambda: is_acknowledged(recorder), 60)
        exporter.terminate()
        assert exporter.wait(30) == 0
    collector.stop()
    found = collector.ids()
    assert set(found) == ids
    assert max(found.values()) > 1, "the proxy hung up after forwarding: some must have come twice"


def test_partial_success_is_in_the_equation(
    collector: Collector, recorder: UnprivilegedRecorder, start_exporter: Callable
) -> None:
    """Records a receiver rejects are a gap in the stream: generated = delivered + counted lost."""
    ids = recorder.opens(1009)
    delivered: list[str] = []

    def forward_some(handler: Handler, request: ExportLogsServiceRequest) -> None:
        scope = request.resource_logs[0].scope_logs[0]
        rejected = 17 if len(scope.log_records) > 17 else 0
        if rejected:
            del scope.log_records[-rejected:]
        connection = http.client.HTTPConnection("127.0.0.1", collector.http, timeout=10)
        headers = {"Content-Type": "application/x-protobuf"}
        connection.request("POST", "/v1/logs", request.SerializeToString(), headers)
        assert connection.getresponse().status == 200
        connection.close()
        delivered.extend(receivers.record_ids(request))
        handler.answer(200, receivers.partial_success(rejected, "no room"))

    with Receiver() as proxy:
        proxy.usual = forward_some
        exporter = start_exporter(proxy.url, "--once", OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none")
        assert exporter.wait(30) == 0
    collector.stop()
    gaps = [each for each in collector.records() if each["eventName"] == "podcorder.recording.gap"]
    lost = sum(int(read_attribute(each, "podcorder.gap.count")) for each in gaps)
    assert lost == 17
    assert len(collector.ids()) + lost == len(ids)


def test_traces_and_metrics_arrive_too(
    collector: Collector, recorder: UnprivilegedRecorder, start_exporter: Callable, tmp_path: Path
) -> None:
    """The session is a trace under the ids that log records carry, and metrics say what was delivered."""
    recorder.opens(101)
    recorder.exit()
    exporter = start_exporter(f"http://127.0.0.1:{collector.http}", "--once")
    assert exporter.wait(30) == 0
    collector.stop()
    (span,) = [
        span for found in collector.read("resourceSpans") for scope in found["scopeSpans"] for span in scope["spans"]
    ]
    record = next(each for each in collector.records() if each["eventName"] == "podcorder.file.open")
    assert span["name"] == "cat"
    assert (span["traceId"], span["spanId"]) == (record["traceId"], record["spanId"])
    metrics = {
        metric["name"]: metric
        for found in collector.read("resourceMetrics")
        for scope in found["scopeMetrics"]
        for metric in scope["metrics"]
    }
    points = metrics["podcorder.exporter.delivered"]["sum"]["dataPoints"]
    assert int(points[-1]["asInt"]) == sum(1 for _ in collector.records())
    assert "podcorder.journal.lag" in metrics
