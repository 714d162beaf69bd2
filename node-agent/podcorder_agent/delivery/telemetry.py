"""Traces of sessions, and metrics, through the OpenTelemetry SDK: loaded only where they can go out."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from podcorder_agent import __version__
from podcorder_agent.delivery.metrics import Measure
from podcorder_agent.delivery.resources import SCOPE, describe
from podcorder_agent.delivery.settings import GRPC

if TYPE_CHECKING:
    from podcorder_agent.delivery.exporter import Exporter

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 3.0
"""How long the last spans and metrics may take: they are worth less than a quick end."""


class Telemetry:
    """What was started, to be closed."""

    def __init__(self, closers: list[Callable[[], object]]) -> None:
        self._closers = closers

    def close(self) -> None:
        """Send what is left, within CLOSING_SECONDS."""
        threads = [threading.Thread(target=each, daemon=True) for each in self._closers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(CLOSING_SECONDS)


def start_telemetry(
    environment: Mapping[str, str], to: str | None, exporter: Exporter, measures: Iterable[Measure]
) -> Telemetry:
    """Start what the environment asks for: nothing where no collector is configured, or OTEL_*_EXPORTER is none."""
    base = to if to is not None and "://" in to else None
    closers: list[Callable[[], object]] = []
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or (to is not None and base is None):
        return Telemetry(closers)
    starts: dict[str, Callable[[bool, str | None, Mapping[str, str]], Callable[[], object]]] = {
        "TRACES": partial(_start_traces, exporter),
        "METRICS": partial(_start_metrics, measures),
    }
    for signal, start in starts.items():
        own = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        if (base or own) and environment.get(f"OTEL_{signal}_EXPORTER", "otlp").strip() != "none":
            # Trouble with the collector is told by delivery; here it would be told a second time.
            logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
            protocol = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or environment.get(
                "OTEL_EXPORTER_OTLP_PROTOCOL"
            )
            try:
                closers.append(start(protocol == GRPC, base, environment))
            except Exception as error:
                # Records go out without them; what the SDK makes of odd settings is its own.
                logger.warning("There are no %s: the OpenTelemetry SDK says %s.", signal.lower(), error)
    return Telemetry(closers)


def _resource(environment: Mapping[str, str]) -> Any:
    from opentelemetry.sdk.resources import Resource

    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip().replace("-", "")
    found = describe(os.uname().nodename, boot_id, environment)
    return Resource({name: str(value) for name, value in found.items()})


def _endpoint(grpc: bool, base: str | None, path: str) -> str | None:
    """The base with the signal's path; None leaves it to the SDK to read the environment."""
    return base if grpc or base is None else base.rstrip("/") + path


def _compression(environment: Mapping[str, str], signal: str) -> Any:
    """For gRPC: the SDK does not know `none`."""
    import grpc

    own = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_COMPRESSION") or environment.get(
        "OTEL_EXPORTER_OTLP_COMPRESSION"
    )
    return grpc.Compression.Gzip if own == "gzip" else grpc.Compression.NoCompression


def _start_traces(
    exporter: Exporter, grpc: bool, base: str | None, environment: Mapping[str, str]
) -> Callable[[], object]:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from podcorder_agent.delivery.spans import Spans

    if grpc:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter

        processor = BatchSpanProcessor(GrpcSpanExporter(endpoint=base, compression=_compression(environment, "TRACES")))
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=_endpoint(grpc, base, "/v1/traces")))
    exporter.listeners.append(Spans(processor, _resource(environment)).listen)
    return processor.shutdown


def _start_metrics(
    measures: Iterable[Measure], grpc: bool, base: str | None, environment: Mapping[str, str]
) -> Callable[[], object]:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader

    sink: MetricExporter
    if grpc:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter

        sink = GrpcMetricExporter(endpoint=base, compression=_compression(environment, "METRICS"))
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        sink = OTLPMetricExporter(endpoint=_endpoint(grpc, base, "/v1/metrics"))
    provider = MeterProvider([PeriodicExportingMetricReader(sink)], _resource(environment))
    _observe(provider.get_meter(SCOPE, __version__), measures)
    return provider.shutdown


def _observe(meter: Any, measures: Iterable[Measure]) -> None:
    for measure in measures:
        metric = measure.metric
        create = meter.create_observable_gauge if metric.gauge else meter.create_observable_counter
        create(metric.name, [partial(_observations, measure)], metric.unit, metric.meaning)


def _observations(measure: Measure, _: object) -> list[Any]:
    from opentelemetry.metrics import Observation

    names = [each.name for each in measure.metric.attributes]
    return [Observation(value, dict(zip(names, key, strict=True))) for key, value in measure.read().items()]
