"""Which segments go, and what has to be kept of one that goes. No writing here."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from podcorder_agent.classes import CLASS_COUNT
from podcorder_agent.journal.frames import ALIGNMENT, Frame, FrameKind, Position, frame_size
from podcorder_agent.journal.segments import SegmentFile

RING_BUSY = 1 << 31
RING_DISCARDED = 1 << 30
RING_HEADER_SIZE = 8
CARRIED_SHARE = 8
"""Of a segment that goes at most this part is carried forward: journals of lifecycle frames alone must shrink too,"""
CARRIED_FLOOR = 64 << 10
"""... but this many bytes may be carried in any case."""

_RECORD = struct.Struct("<IIBBHIQQ")
"""The ring's header, and a record's version, class, flags, size, sequence and time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large the journal may grow, in bytes, and how long it keeps what is delivered."""

    segment_bytes: int = 16 << 20
    """A segment is closed when the next frame would make it larger; one frame always fits."""
    kept_seconds: int = 24 * 3600
    """Acknowledged segments stay this long for the command line ..."""
    kept_bytes: int = 1 << 30
    """... as long as all of them take no more than this."""
    journal_bytes: int = 4 << 30
    """The whole journal: beyond it the oldest segments go, acknowledged or not."""


@dataclass(slots=True)
class SegmentState:
    """What retention knows of a segment file."""

    size: int
    changed: float
    """Unix time of its last frame, s."""


def choose_expired(segments: Mapping[int, SegmentState], acknowledged: int, limits: Limits, now: float) -> list[int]:
    """Segments that go, oldest first. Those below `acknowledged` are delivered; the newest never goes."""
    total = sum(state.size for state in segments.values())
    kept = sum(state.size for index, state in segments.items() if index < acknowledged)
    expired = []
    for index in sorted(segments)[:-1]:
        state = segments[index]
        delivered = index < acknowledged
        too_old = delivered and (kept > limits.kept_bytes or now - state.changed > limits.kept_seconds)
        if not too_old and total <= limits.journal_bytes:
            break
        expired.append(index)
        total -= state.size
        kept -= state.size if delivered else 0
    return expired


@dataclass(slots=True)
class Remains:
    """What is to be told and kept of a segment that goes; all counts are of what nobody will deliver any more."""

    segments: int = 1
    """Segments told of: this one, and those whose own note went with it."""
    classes: list[int] = field(default_factory=lambda: [0] * CLASS_COUNT)
    """Records per class."""
    first: int | None = None
    """Boot time of the earliest of them, ns."""
    last: int | None = None
    requests: int = 0
    """Requests that were not carried."""
    rejected: int = 0
    """Damaged frames, whose records could not be counted, and records of no known class."""
    carried: list[Frame] = field(default_factory=list)

    @property
    def is_loss(self) -> bool:
        """Whether there is anything to tell."""
        return any(self.classes) or self.requests > 0 or self.rejected > 0

    def note(self, index: int) -> dict[str, Any]:
        """The note `dropped` about segment `index`."""
        counts = {"requests": self.requests, "rejected": self.rejected, "first": self.first, "last": self.last}
        return {"note": "dropped", "segment": index, "segments": self.segments, "classes": self.classes, **counts}


def examine(directory: Path, index: int, unsent: Position | None, boot_id: str, generation: int) -> Remains:
    """Walk a segment once: count what is unsent from `unsent` on (None: nothing is) and pick the frames to carry.

    Carried are requests and notes of this boot and lifecycle frames of this load: what others say is about programs
    and cgroups that are gone. Where they are too many, the oldest lifecycle frames stay behind, then the oldest others.
    A `dropped` note that nobody has seen is added to this segment's own. OSError as of read.
    """
    remains = Remains()
    facts: list[Frame] = []
    lifecycle: list[Frame] = []
    with SegmentFile(directory, index) as file:
        budget = max(file.size() // CARRIED_SHARE, CARRIED_FLOOR)
        size = 0
        for frame in file.frames(final=True):
            same_boot = frame.segment.boot_id == boot_id
            if frame.kind is FrameKind.LIFECYCLE and same_boot and frame.segment.generation == generation:
                lifecycle.append(frame)
            elif frame.kind in _FACTS and same_boot and not _is_dropped_note(frame):
                facts.append(frame)
            else:
                _leave(frame, unsent, remains)
                continue
            size += frame_size(len(frame.payload))
            while size > budget:
                oldest = (lifecycle or facts).pop(0)
                size -= frame_size(len(oldest.payload))
                _leave(oldest, unsent, remains)
        remains.rejected += file.rejected if unsent is not None else 0
    remains.carried = sorted(facts + lifecycle, key=lambda frame: frame.position)
    return remains


_FACTS = (FrameKind.REQUEST, FrameKind.NOTE)
_RINGS = (FrameKind.RECORDS, FrameKind.LIFECYCLE)
_DROPPED = b'{"note":"dropped"'
"""How the writer's own note of that name begins."""


def _is_dropped_note(frame: Frame) -> bool:
    return frame.kind is FrameKind.NOTE and frame.payload.startswith(_DROPPED)


def _leave(frame: Frame, unsent: Position | None, remains: Remains) -> None:
    """Count a frame that is not carried, where nobody has had it."""
    if unsent is None or frame.position < unsent:
        return
    if frame.kind in _RINGS:
        count_records(frame.payload, remains)
    elif frame.kind is FrameKind.REQUEST:
        remains.requests += 1
    elif _is_dropped_note(frame):
        try:
            _add_note(json.loads(frame.payload), remains)
        except (ValueError, KeyError, TypeError):
            remains.rejected += 1


def _add_note(note: dict[str, Any], remains: Remains) -> None:
    """Tell with this segment's note what an earlier one told, which goes with it."""
    remains.segments += note["segments"]
    remains.classes = [a + b for a, b in zip_longest(remains.classes, note["classes"], fillvalue=0)]
    remains.requests += note["requests"]
    remains.rejected += note["rejected"]
    if note["first"] is not None:
        _widen(remains, note["first"], note["last"])


def _widen(remains: Remains, first: int, last: int) -> None:
    remains.first = first if remains.first is None else min(remains.first, first)
    remains.last = last if remains.last is None else max(remains.last, last)


def count_records(ring: bytes, remains: Remains) -> None:
    """Add the records of ring bytes; those of no known class count as rejected."""
    offset, size = 0, len(ring)
    while offset + _RECORD.size <= size:
        length, _, _, record_class, _, _, _, time = _RECORD.unpack_from(ring, offset)
        if not length & (RING_DISCARDED | RING_BUSY):
            if record_class < CLASS_COUNT:
                remains.classes[record_class] += 1
                _widen(remains, time, time)
            else:
                remains.rejected += 1
        length &= ~(RING_DISCARDED | RING_BUSY)
        offset += RING_HEADER_SIZE + length + -length % ALIGNMENT
