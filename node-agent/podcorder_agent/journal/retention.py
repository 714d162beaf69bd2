"""Which segments go, and what has to be kept of one that goes. No writing here."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from podcorder_agent.journal.frames import ALIGNMENT, Frame, FrameKind, Position, frame_size
from podcorder_agent.journal.segments import SegmentFile

RING_BUSY = 1 << 31
RING_DISCARDED = 1 << 30
RING_HEADER_SIZE = 8
CLASS_COUNT = 11
"""`enum record_class` of bpf/record.h."""
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
    """What is to be told and kept of a segment that goes."""

    classes: list[int] = field(default_factory=lambda: [0] * CLASS_COUNT)
    """Unsent records per class."""
    first: int | None = None
    """Boot time of the earliest of them, ns."""
    last: int | None = None
    rejected: int = 0
    """Damaged frames, which could not be counted."""
    carried: list[Frame] = field(default_factory=list)


def examine(directory: Path, index: int, unsent: Position | None, boot_id: str, generation: int) -> Remains:
    """Walk a segment once: count the records from `unsent` on (None: all are delivered) and pick the frames to carry.

    Carried are the newest requests and notes of this boot and lifecycle frames of this load: what others say is about
    programs and cgroups that are gone. Lifecycle frames that are not carried are counted. OSError as of read.
    """
    remains = Remains()
    with SegmentFile(directory, index) as file:
        budget = max(file.size() // CARRIED_SHARE, CARRIED_FLOOR)
        size = 0
        for frame in file.frames(final=True):
            same_boot = frame.segment.boot_id == boot_id
            same_load = same_boot and frame.segment.generation == generation
            if (frame.kind is FrameKind.LIFECYCLE and same_load) or (frame.kind in _FACTS and same_boot):
                remains.carried.append(frame)
                size += frame_size(len(frame.payload))
                while size > budget:
                    oldest = remains.carried.pop(0)
                    size -= frame_size(len(oldest.payload))
                    _count_unsent(oldest, unsent, remains)
            else:
                _count_unsent(frame, unsent, remains)
        remains.rejected = file.rejected if unsent is not None else 0
    return remains


_FACTS = (FrameKind.REQUEST, FrameKind.NOTE)
_RINGS = (FrameKind.RECORDS, FrameKind.LIFECYCLE)


def _count_unsent(frame: Frame, unsent: Position | None, remains: Remains) -> None:
    """Add the records of a frame that nobody will deliver any more."""
    if unsent is not None and frame.position >= unsent and frame.kind in _RINGS:
        count_records(frame.payload, remains)


def count_records(ring: bytes, remains: Remains) -> None:
    """Add the records of ring bytes; what does not fit is left out, as it has no class."""
    offset, size = 0, len(ring)
    while offset + _RECORD.size <= size:
        length, _, _, record_class, _, _, _, time = _RECORD.unpack_from(ring, offset)
        if not length & (RING_DISCARDED | RING_BUSY):
            if record_class >= len(remains.classes):
                remains.classes.extend([0] * (record_class + 1 - len(remains.classes)))
            remains.classes[record_class] += 1
            remains.first = time if remains.first is None else min(remains.first, time)
            remains.last = time if remains.last is None else max(remains.last, time)
        length &= ~(RING_DISCARDED | RING_BUSY)
        offset += RING_HEADER_SIZE + length + -length % ALIGNMENT
