"""Cgroups made and removed, read out of a journal's LIFECYCLE frames."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from podcorder_agent.classes import RecordClass
from podcorder_agent.interpreter.records import COMM, LAYOUTS, TAILS, inspect_damage

_ID, _PARENT, _LEVEL, _REMOVED, _PATH_LENGTH = range(COMM + 1, COMM + 6)
_LENGTH_MASK = 0x3FFFFFFF
_LAYOUT = LAYOUTS[RecordClass.CGROUP]
_TAIL = TAILS[RecordClass.CGROUP]


class CgroupChange(NamedTuple):
    """A cgroup that was made or removed."""

    id: int
    path: str
    comm: str
    """Name of the thread that did it."""
    removed: bool


def cgroup_changes(payload: bytes) -> Iterator[CgroupChange]:
    """What a frame of ring bytes tells; what cannot be read is passed over (the interpreter counts it)."""
    offset = 0
    while offset + 8 < len(payload):
        (length,) = struct.unpack_from("<I", payload, offset)
        following = offset + 8 + (length + 7 & ~7)
        # A busy or discarded record has a length beyond any payload.
        if length > _LENGTH_MASK or following > len(payload):
            offset = inspect_damage(payload, offset).next
            continue
        if length >= _TAIL - 8 and payload[offset + 9] == RecordClass.CGROUP:
            fields = _LAYOUT.unpack_from(payload, offset)
            path = payload[offset + _TAIL : offset + _TAIL + fields[_PATH_LENGTH]]
            yield CgroupChange(
                fields[_ID],
                os.fsdecode(path),
                fields[COMM].split(b"\0")[0].decode(errors="replace"),
                bool(fields[_REMOVED]),
            )
        offset = following
