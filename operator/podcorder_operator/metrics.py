"""The operator's own metrics: OpenTelemetry's meters, read by Prometheus. docs/operator.md lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

Outcome = Literal["written", "unchanged", "deleted", "failed"]
"""How a reconcile ended."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """What the operator counts. Nothing here waits or raises."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        # The attributes that OpenTelemetry would add to each series say nothing that Prometheus' own labels do not.
        reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=self._registry)
        provider = MeterProvider(metric_readers=[reader], resource=Resource.get_empty(), shutdown_on_exit=False)
        self._meter = provider.get_meter("podcorder_operator")
        self._reconciles = self._meter.create_counter(
            "podcorder_operator_reconciles", description="Reconciles of node configs and policy statuses, by outcome."
        )
        self._durations = self._meter.create_histogram(
            "podcorder_operator_reconcile_duration",
            unit="s",
            description="From the start of a reconcile to its end.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._errors = self._meter.create_counter(
            "podcorder_operator_errors",
            description="Failed writes, by what was to be written and HTTP status (0: no answer).",
        )
        self._requests = self._meter.create_counter(
            "podcorder_operator_api_requests",
            description="Requests to the API server, by verb, resource and HTTP status.",
        )
        self._admissions = self._meter.create_counter(
            "podcorder_operator_admissions",
            description="Admission reviews of requests that begin sessions, by source and outcome.",
        )
        self._admission_durations = self._meter.create_histogram(
            "podcorder_operator_admission_duration",
            unit="s",
            description="From such a review to its answer.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._restarts = self._meter.create_counter(
            "podcorder_operator_watch_restarts", description="Watches that ended, by resource and reason."
        )
        self._unreadable = self._meter.create_counter(
            "podcorder_operator_unreadable_objects", description="Objects left out because they could not be read."
        )

        self._deleted = self._meter.create_counter(
            "podcorder_operator_recorded_sessions_deleted",
            description="Records of sessions that were deleted, by the limit that they were past (age, count).",
        )
        self._closed = self._meter.create_counter(
            "podcorder_operator_recorded_sessions_closed",
            description="Sessions whose end became unknown, by reason (NodeGone, AgentSilent).",
        )

        self._is_leader: Callable[[], bool] = bool
        self._queues: dict[str, Callable[[], int]] = {}
        self._policies: Callable[[], Mapping[tuple[str, str], int]] = dict
        self._recorded_sessions: Mapping[str, int] = {}
        self._observe("podcorder_operator_leader", "1 on the replica that writes.", self._read_leader)
        self._observe("podcorder_operator_queue_depth", "What waits to be reconciled.", self._read_queues)
        self._observe(
            "podcorder_operator_policies", "Policies by kind and reason of their Ready condition.", self._read_policies
        )

        self._observe(
            "podcorder_operator_recorded_sessions",
            "Records of sessions by state (running, over), as the replica that leads last looked through them.",
            self._read_recorded_sessions,
        )

    def count_reconcile(self, what: str, outcome: Outcome, seconds: float) -> None:
        """`what`: config, status or retention."""
        self._reconciles.add(1, {"what": what, "outcome": outcome})
        self._durations.record(seconds, {"what": what})

    def count_error(self, what: str, status: int) -> None:
        """A write that failed, conflicts among them."""
        self._errors.add(1, {"what": what, "code": status})

    def count_request(self, verb: str, resource: str, status: int) -> None:
        self._requests.add(1, {"verb": verb, "resource": resource, "code": status})

    def count_admission(self, source: str, outcome: str, seconds: float) -> None:
        """`source`: what was asked for, such as pods/exec; `outcome`: of a Verdict."""
        self._admissions.add(1, {"source": source, "outcome": outcome})
        self._admission_durations.record(seconds, {"source": source})

    def count_watch_restart(self, resource: str, reason: str) -> None:
        self._restarts.add(1, {"resource": resource, "reason": reason})

    def count_unreadable(self, resource: str) -> None:
        self._unreadable.add(1, {"resource": resource})

    def count_recorded_session_deleted(self, why: str) -> None:
        """`why`: age or count."""
        self._deleted.add(1, {"reason": why})

    def count_recorded_session_closed(self, reason: str) -> None:
        self._closed.add(1, {"reason": reason})

    def set_recorded_sessions(self, counts: Mapping[str, int]) -> None:
        """How many there are, by state; nothing where nobody looks through them."""
        self._recorded_sessions = counts

    def observe_leader(self, read: Callable[[], bool]) -> None:
        """`read` is asked whenever Prometheus asks."""
        self._is_leader = read

    def observe_queue(self, what: str, read: Callable[[], int]) -> None:
        """How many wait to be reconciled. `what`: config or status."""
        self._queues[what] = read

    def observe_policies(self, read: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """How many policies there are, by kind and state (the reason of their Ready condition)."""
        self._policies = read

    def _read_leader(self) -> Iterator[Observation]:
        yield Observation(int(self._is_leader()))

    def _read_queues(self) -> Iterator[Observation]:
        for what, read in self._queues.items():
            yield Observation(read(), {"what": what})

    def _read_policies(self) -> Iterator[Observation]:
        for (kind, state), count in self._policies().items():
            yield Observation(count, {"kind": kind, "state": state})

    def _read_recorded_sessions(self) -> Iterator[Observation]:
        for state, count in self._recorded_sessions.items():
            yield Observation(count, {"state": state})

    def _observe(self, name: str, description: str, read: Callable[[], Iterator[Observation]]) -> None:
        def observe(_options: CallbackOptions) -> Iterator[Observation]:
            return read()

        self._meter.create_observable_gauge(name, [observe], description=description)

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
