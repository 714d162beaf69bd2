"""Whether what the node records is kept: of which classes records were lost lately, and whether the journal is full."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from podcorder_agent.classes import CLASS_NAMES
from podcorder_crds import EventClass

LATELY_SECONDS = 20.0
"""So long after its last loss a class counts as being lost."""
FULL_SHARE = 0.95
"""A journal of which so much waits for the collector is full: at its cap the oldest go unsent."""

_EVENT_CLASSES = {each.lower(): each for each in EventClass}
_DROPPED = b'{"note":"dropped"'
"""How the journal's own note of a segment that went begins."""


class Losses:
    """Fed with what the recorder tells of itself, and with the journal's notes; every moment is a monotonic one, s."""

    def __init__(self) -> None:
        self._lost: list[int] | None = None
        """By class, as last told; None: not yet by this load of the programs."""
        self._times: dict[EventClass, float] = {}
        self._full = False

    def forget(self) -> None:
        """The recorder begins anew, and so do its counters."""
        self._lost = None

    def note_health(self, health: Mapping[str, Any], now: float) -> None:
        """The reply to `health` (docs/control.md)."""
        counters, journal = health.get("counters", {}), health.get("journal", {})
        self._full = bool(journal.get("full")) or _is_filled(journal)
        if "lost" not in counters:
            return
        lost = [sum(each) for each in counters["lost"]]
        lost = [each + skipped for each, skipped in zip(lost, counters["skipped"], strict=True)]
        if self._lost is not None:
            self._count((after - before for before, after in zip(self._lost, lost, strict=True)), now)
        self._lost = lost

    def note_journal(self, payload: bytes, now: float) -> None:
        """A note of the journal: of those that tell of a segment that went, what nobody had been sent of it counts."""
        if not payload.startswith(_DROPPED):
            return
        try:
            self._count(json.loads(payload)["classes"], now)
        except (ValueError, LookupError, TypeError):
            return  # damaged, or of another version

    def is_full(self) -> bool:
        return self._full

    def find_losing(self, now: float) -> tuple[EventClass, ...]:
        """The classes of which something was lost lately."""
        return tuple(each for each in EventClass if now - self._times.get(each, -LATELY_SECONDS) < LATELY_SECONDS)

    def _count(self, counts: Iterable[int], now: float) -> None:
        for name, count in zip(CLASS_NAMES, counts, strict=False):
            event_class = _EVENT_CLASSES.get(name.replace("_", ""))
            if count > 0 and event_class is not None:
                self._times[event_class] = now


def _is_filled(journal: Mapping[str, Any]) -> bool:
    undelivered, limit = journal.get("undelivered", 0), journal.get("limit", 0)
    return bool(limit) and undelivered >= FULL_SHARE * limit
