"""What a receiver would not have is lost, and a loss goes into the stream as a gap."""

from __future__ import annotations

from collections.abc import Sequence

from podcorder_agent.delivery.senders import Rejection
from podcorder_agent.interpreter.events import Event, RecordingGap

_KERNEL_AREAS = ("process", "file", "network")


def name_class(event: Event) -> str:
    """The record class of an event as gaps name it: the kernel's for its records, the event's name for the derived."""
    area, _, name = event.NAME.removeprefix("podcorder.").partition(".")
    return name if area in _KERNEL_AREAS else event.NAME.removeprefix("podcorder.")


def make_gaps(rejections: Sequence[Rejection], events: Sequence[Event]) -> list[RecordingGap]:
    """A gap per reason and class; `events` are those of the batch. Rejected gaps of delivery's own make none, lest
    one rejection beget the next for ever."""
    gaps = []
    refused: dict[str, list[Event]] = {}
    for rejection in rejections:
        part = [events[index] for index in rejection.indexes if not _is_own(events[index])]
        classes = {name_class(each) for each in part}
        if not part:
            continue
        if rejection.count == len(part):
            for each in part:
                refused.setdefault(f"{rejection.reason} {name_class(each)}", []).append(each)
        else:
            only = classes.pop() if len(classes) == 1 else "unknown"
            gaps.append(_make_gap(rejection.reason, only, min(rejection.count, len(part)), part))
    for key, found in refused.items():
        reason, _, record_class = key.partition(" ")
        gaps.append(_make_gap(reason, record_class, len(found), found))
    return gaps


def _is_own(event: Event) -> bool:
    return isinstance(event, RecordingGap) and (event.reason or "").startswith("rejected")


def _make_gap(reason: str, record_class: str, count: int, among: Sequence[Event]) -> RecordingGap:
    """A gap whose id derives from its cause: sent again after a crash it is the same one."""
    times = [each.time for each in among]
    return RecordingGap(
        id=f"gap.{reason}.{record_class}.{among[0].id}.{count}",
        time=max(times),
        record_class=record_class,
        reason=reason,
        count=count,
        first=min(times),
        last=max(times),
    )
