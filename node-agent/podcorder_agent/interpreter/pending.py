"""Records of containers nobody has selected or excluded yet: held as they came, until that is known.

The kernel marks them and holds to the same limit of time (docs/control.md); the bytes are bounded here as well, because
they travel with the checkpoint.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, NamedTuple

from podcorder_agent.classes import CLASS_COUNT
from podcorder_agent.journal.frames import Position

LONGEST_WAIT = 60 * 10**9
"""From the frame that held a container's first record to the frame that gives up, ns."""
MOST_BYTES = 4 << 20
_MOST_PACKED = 2 * MOST_BYTES
_TIME, _TIME_PLACE = Struct("<Q"), 24
_PACKED = Struct("<qHI")
"""Anchor, and the lengths of identity and data, which follow."""


class Record(NamedTuple):
    """One record with its ring header."""

    identity: str
    data: bytes
    anchor: int


@dataclass(slots=True)
class Held:
    """What is held of one container."""

    since: int
    """Boot time of the frame with the first record, ns."""
    position: Position
    """Of that frame."""
    started: int = 0
    """Boot time of that record, ns."""
    records: list[Record] = field(default_factory=list)
    size: int = 0


def count_classes(records: Iterable[Record]) -> list[int]:
    """How many there are of each class."""
    counts = [0] * CLASS_COUNT
    for each in records:
        counts[each.data[9]] += 1
    return counts


def pack_records(records: Iterable[Record]) -> str:
    """As a checkpoint has them: compressed, for they are much alike, and each checkpoint has them all again."""
    packer = zlib.compressobj(1)
    parts = []
    for each in records:
        identity = each.identity.encode()
        head = _PACKED.pack(each.anchor, len(identity), len(each.data))
        parts += [packer.compress(head), packer.compress(identity), packer.compress(each.data)]
    return b64encode(b"".join(parts) + packer.flush()).decode()


def unpack_records(text: str) -> list[Record]:
    """Raises ValueError and struct.error where they are none."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(b64decode(text, validate=True), _MOST_PACKED)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    found, at = [], 0
    while at < len(data):
        anchor, *lengths = _PACKED.unpack_from(data, at)
        start = at + _PACKED.size
        middle, at = start + lengths[0], start + sum(lengths)
        if at > len(data):
            raise ValueError("a held record is cut")
        found.append(Record(data[start:middle].decode(), data[middle:at], anchor))
    return found


class Pending:
    """All held records, the container that waits longest first."""

    def __init__(self) -> None:
        self.containers: dict[int, Held] = {}
        self.size = 0

    @property
    def position(self) -> Position | None:
        """Of the oldest frame still needed."""
        return min((each.position for each in self.containers.values()), default=None)

    def hold(self, container_id: int, time: int, position: Position, record: Record) -> list[Held]:
        """Hold a record; what had to be given up for it."""
        held = self.containers.get(container_id)
        if held is None:
            (started,) = _TIME.unpack_from(record.data, _TIME_PLACE)
            held = self.containers[container_id] = Held(time, position, started)
        held.records.append(record)
        held.size += len(record.data)
        self.size += len(record.data)
        given_up = []
        while self.size > MOST_BYTES:
            given_up.append(self.release(next(iter(self.containers))))
        return given_up

    def release(self, container_id: int) -> Held:
        """Hold nothing of a container any more; what was held, maybe nothing."""
        held = self.containers.pop(container_id, None) or Held(0, Position(0, 0))
        self.size -= held.size
        return held

    def expire(self, time: int) -> list[Held]:
        """What waited too long at this boot time."""
        over = [each for each, held in self.containers.items() if time - held.since > LONGEST_WAIT]
        return [self.release(each) for each in over]

    def snapshot(self) -> list[Any]:
        return [
            [container_id, held.since, str(held.position), held.started, pack_records(held.records)]
            for container_id, held in self.containers.items()
        ]

    @classmethod
    def restore(cls, saved: list[Any]) -> Pending:
        found = cls()
        for container_id, since, position, started, records in saved:
            held = found.containers[int(container_id)] = Held(int(since), Position.parse(position), int(started))
            held.records = unpack_records(records)
            held.size = sum(len(each.data) for each in held.records)
            found.size += held.size
        return found
