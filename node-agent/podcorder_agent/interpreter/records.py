"""The layout of the kernel's records, as bpf/record.h states it, and how a run of ring bytes is cut into them.

A layout reads the ring's own header, the record's header and the fixed fields of its class in one go: that is what the
speed of the interpreter rests on. `tests/unit/interpreter/test_records.py` holds this module to the compiled objects.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntFlag
from typing import Any, NamedTuple

from podcorder_agent.classes import CLASS_COUNT, CLASS_NAMES, RecordClass

VERSION = 1
RING_HEADER = struct.Struct("<II")
RING_HEADER_SIZE = RING_HEADER.size
RING_BUSY = 1 << 31
RING_DISCARDED = 1 << 30
MOST_TIME = 1 << 62
"""No boot lasts 146 years: a later time is a damaged record, and its sum with a clock anchor fits 64 bits otherwise."""
RESULT_UNKNOWN = 0x7FFFFFFF
UNSET = 0xFFFFFFFF
"""An audit id that was never set."""


class RecordFlag(IntFlag):
    """`record_header.flags`."""

    UNSETTLED = 1 << 0
    UNREADABLE = 1 << 1
    TRUNCATED = 1 << 2
    PENDING = 1 << 3
    COMPAT = 1 << 4
    IO_URING = 1 << 5
    PARTIAL = 1 << 6
    SESSIONLESS = 1 << 7
    ENTERING = 1 << 8
    OWN = 1 << 9
    DOUBTED = 1 << 10
    MOVED = 1 << 11


class ExecFlag(IntFlag):
    """`exec_record.exec_flags`."""

    FROM_MEMORY = 1 << 0
    DELETED = 1 << 1
    DETACHED_MOUNT = 1 << 2
    SCRIPT = 1 << 3


# length in the ring | version, flags, size, sequence, time | key | pid, ppid, uid, gid, cpu, slot, comm
_HEADER = "<I4x" + "BxHIQQ8x" + "32s" + "IIIIHH4x16s"
LENGTH, RECORD_VERSION, FLAGS, SIZE, SEQUENCE, TIME, KEY, PID, PPID, UID, GID, CPU, SLOT, COMM = range(14)
"""Places in what a layout reads; the fixed fields of the class follow."""

KEY_FIELDS = struct.Struct("<QQQII")
"""`key`: container_id, session_start, process_start, session_root, tgid; the 32 bytes name a process in its session."""

_FIXED = {
    RecordClass.EXEC: "QIIIIIIIIIIIIHHHH",
    RecordClass.EXEC_FAILED: "iIIH2x",
    RecordClass.FORK: "8s4s4x",
    RecordClass.EXIT: "iI",
    RecordClass.OPEN: "Q8siHH",
    RecordClass.OPEN_FAILED: "Q8siHH",
    RecordClass.CONNECT: "Qi2sHHH4x16s16s",
    RecordClass.ACCEPT: "Qi2sHHH4x16s16s",
    RecordClass.LISTEN: "Qi2sHHH4x16s16s",
    RecordClass.DATAGRAM: "Qi2sHHH4x16s16s",
    RecordClass.CGROUP: "QQIHH",
}
LAYOUTS = tuple(struct.Struct(_HEADER + _FIXED[each]) for each in RecordClass)
UNPACKERS: tuple[Callable[[bytes, int], tuple[Any, ...]], ...] = tuple(each.unpack_from for each in LAYOUTS)
"""By class: (payload, offset of the ring's header) -> fields."""
TAILS = tuple(each.size for each in LAYOUTS)
"""By class: where the tails begin, from the ring's header."""
FIXED_SIZES = tuple(each - RING_HEADER_SIZE for each in TAILS)
"""By class: bytes of a record without tails."""


class Damage(NamedTuple):
    """What stands at a place where no record could be read."""

    next: int
    """Where to go on; the end of the payload where that cannot be known."""
    counted: bool
    """False where the kernel itself discarded the record."""
    record_class: str | None
    """Class, where the bytes still say it."""


def inspect_damage(payload: bytes, offset: int) -> Damage:
    """Judge bytes that are no record: a discarded one is skipped, and one whose length cannot be is the end."""
    room = len(payload) - offset - RING_HEADER_SIZE
    if room < 0:
        return Damage(len(payload), True, None)
    length, _ = RING_HEADER.unpack_from(payload, offset)
    size = length & ~(RING_BUSY | RING_DISCARDED)
    if not 0 < size <= room:
        return Damage(len(payload), True, None)
    following = offset + RING_HEADER_SIZE + (size + 7 & ~7)
    if length & RING_DISCARDED and not length & RING_BUSY:
        return Damage(following, False, None)
    kind = payload[offset + RING_HEADER_SIZE + 1] if size > 1 else CLASS_COUNT
    return Damage(following, True, CLASS_NAMES[kind] if kind < CLASS_COUNT else None)
