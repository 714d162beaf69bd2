"""The classes of records and the reasons of losses: the one place in Python where their names and numbers stand.

Pure, for every part to import. `tests/unit/interpreter/test_records.py` holds it to bpf/record.h.
"""

from __future__ import annotations

from enum import IntEnum


class RecordClass(IntEnum):
    """`enum record_class`. Journals hold the numbers for good: a new class comes last, and none is ever taken out."""

    EXEC = 0
    EXEC_FAILED = 1
    FORK = 2
    EXIT = 3
    OPEN = 4
    OPEN_FAILED = 5
    CONNECT = 6
    ACCEPT = 7
    LISTEN = 8
    DATAGRAM = 9
    CGROUP = 10


CLASS_NAMES = tuple(each.name.lower() for each in RecordClass)
"""By number."""
CLASS_COUNT = len(CLASS_NAMES)
EVENT_CLASSES = tuple(CLASS_NAMES[each] for each in RecordClass if each is not RecordClass.CGROUP)
"""Those that a slot may ask for: cgroups are followed whatever is recorded."""
REASON_NAMES = ("ring_full", "no_recorder", "throttled", "pending", "scratch_busy", "map_full")
"""`enum loss_reason`, by number."""
