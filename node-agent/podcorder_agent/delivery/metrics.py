"""What is measured, and how each value is read; docs/reference/metrics.md is generated from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from podcorder_agent.classes import CLASS_NAMES, REASON_NAMES
from podcorder_agent.control.client import ControlClient, ControlError
from podcorder_agent.control.messages import Message

if TYPE_CHECKING:
    from podcorder_agent.delivery.exporter import Exporter

Values = Mapping[tuple[str, ...], float]
"""By the values of a metric's attributes, in their order; of a metric without any, by ()."""

_FRESH_SECONDS = 1.0
"""All of what is read of the recorder at one time comes from one answer."""


class Attribute(NamedTuple):
    """One attribute of a metric's values."""

    name: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; a counter unless it is a gauge."""

    name: str
    unit: str
    """As UCUM has it."""
    meaning: str
    attributes: tuple[Attribute, ...] = ()
    """What tells its values apart."""
    gauge: bool = False


class Measure(NamedTuple):
    """A metric, and what reads it; from any thread."""

    metric: Metric
    read: Callable[[], Values]


_CLASS = Attribute("podcorder.record.class", "Class of the records.")
_REASON = Attribute("podcorder.gap.reason", "Why, in the words of the gaps.")

DELIVERED = Metric("podcorder.exporter.delivered", "{record}", "Records that the collector took.")
REJECTED = Metric("podcorder.exporter.rejected", "{record}", "Records that the collector would not have.")
REQUESTS = Metric("podcorder.exporter.requests", "{request}", "Requests sent.")
RETRIES = Metric("podcorder.exporter.retries", "{request}", "Requests that had to be sent again.")
UNDECODABLE = Metric("podcorder.exporter.undecodable", "{record}", "Records that could not be read.")
GAPS = Metric(
    "podcorder.exporter.lost",
    "{record}",
    "Records that the delivered gaps told of.",
    (Attribute("podcorder.gap.class", "Class of the records lost, or unknown."),),
)
WITHHELD = Metric("podcorder.exporter.withheld", "{record}", "Records that no policy asks for.", (_CLASS,))
DAMAGED = Metric("podcorder.journal.damaged", "{frame}", "Frames of the journal that were damaged.")
LAG = Metric("podcorder.journal.lag", "s", "Age of the frame being delivered; 0 where none waits.", gauge=True)
USAGE = Metric("podcorder.journal.usage", "By", "Bytes that the journal takes on the node's disk.", gauge=True)
UTILIZATION = Metric(
    "podcorder.journal.utilization",
    "1",
    "The same as a part of its cap. What is delivered stays for a time: by itself 1 is no trouble.",
    gauge=True,
)
UNDELIVERED = Metric(
    "podcorder.journal.undelivered",
    "By",
    "Bytes of the journal that the collector has not acknowledged: at the cap the oldest of them are lost.",
    gauge=True,
)
GENERATED = Metric("podcorder.recorder.generated", "{record}", "Records that the kernel half made.", (_CLASS,))
LOST = Metric(
    "podcorder.recorder.lost",
    "{record}",
    "Records that never came to the journal.",
    (_CLASS, _REASON),
)
RING = Metric("podcorder.ring.utilization", "1", "Part of the ring that waits for the recorder.", gauge=True)

METRICS = (
    *(DELIVERED, REJECTED, REQUESTS, RETRIES, UNDECODABLE, GAPS, WITHHELD),
    *(LAG, DAMAGED, USAGE, UTILIZATION, UNDELIVERED, GENERATED, LOST, RING),
)


def measure_delivery(exporter: Exporter) -> list[Measure]:
    """What the exporter knows by itself."""
    tally, interpreter = exporter.tally, exporter.interpreter

    def read_withheld() -> Values:
        return {(name,): count for name, count in zip(CLASS_NAMES, interpreter.withheld, strict=True) if count}

    return [
        Measure(DELIVERED, lambda: {(): tally.delivered}),
        Measure(REJECTED, lambda: {(): tally.rejected}),
        Measure(REQUESTS, lambda: {(): tally.requests}),
        Measure(RETRIES, lambda: {(): tally.retries}),
        Measure(UNDECODABLE, lambda: {(): interpreter.undecodable}),
        Measure(GAPS, lambda: {(name,): count for name, count in tuple(tally.lost.items())}),
        Measure(WITHHELD, read_withheld),
        Measure(DAMAGED, lambda: {(): exporter.reader.rejected}),
        Measure(LAG, lambda: {(): exporter.lag}),
    ]


def measure_recorder(control: ControlClient) -> list[Measure]:
    """What the recorder tells of itself; nothing while it is away. `control` is used by nobody else."""
    health = _Health(control)
    return [Measure(metric, partial(health.read, read)) for metric, read in _HEALTH.items()]


class _Health:
    """The recorder's last answer, asked for anew where it is no longer fresh."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control
        self._answer: Message | None = None
        self._next = 0.0

    def read(self, read: Callable[[Message], Values]) -> Values:
        if time.monotonic() >= self._next:
            try:
                self._answer = self._control.health()
            except ControlError:
                self._answer = None
            self._next = time.monotonic() + _FRESH_SECONDS
        return {} if self._answer is None else read(self._answer)


def _read_generated(health: Message) -> Values:
    return {(name,): count for name, count in zip(CLASS_NAMES, health["counters"]["generated"], strict=True) if count}


def _read_lost(health: Message) -> Values:
    counters = health["counters"]
    found: dict[tuple[str, ...], float] = {}
    for name, lost, skipped in zip(CLASS_NAMES, counters["lost"], counters["skipped"], strict=True):
        reasons = zip((*REASON_NAMES, "skipped"), (*lost, skipped), strict=True)
        found |= {(name, reason): count for reason, count in reasons if count}
    return found


_HEALTH: dict[Metric, Callable[[Message], Values]] = {
    USAGE: lambda health: {(): health["journal"]["bytes"]},
    UTILIZATION: lambda health: {(): health["journal"]["bytes"] / health["journal"]["limit"]},
    UNDELIVERED: lambda health: {(): health["journal"]["undelivered"]},
    RING: lambda health: {(): health["ring"]["used"] / health["ring"]["size"]} if health["ring"]["size"] else {},
    GENERATED: _read_generated,
    LOST: _read_lost,
}
"""How each is read of the reply to `health` (docs/control.md)."""
