"""Classes, reasons and the layouts of records.py are those of bpf/record.h, and damaged ring bytes are counted."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest
from fixtures.journals import record_exec, record_fork, record_network, record_open, ring

from podcorder_agent.classes import CLASS_NAMES, EVENT_CLASSES, REASON_NAMES, RecordClass
from podcorder_agent.interpreter import records
from podcorder_agent.interpreter.events import EVENTS, FileOpen, RecordingGap

HEADER = Path(__file__).parents[3] / "bpf/record.h"
SIZES = {"__u8": 1, "char": 1, "__u16": 2, "__u32": 4, "__s32": 4, "__u64": 8}
STRUCTS = {
    "exec_record": RecordClass.EXEC,
    "exec_failed_record": RecordClass.EXEC_FAILED,
    "fork_record": RecordClass.FORK,
    "exit_record": RecordClass.EXIT,
    "open_record": RecordClass.OPEN,
    "network_record": RecordClass.CONNECT,
    "cgroup_record": RecordClass.CGROUP,
}


def layout(name: str, text: str) -> dict[str, tuple[int, int]]:
    """Offset and size of each field of a C struct without implicit padding, its header left out."""
    body = re.search(rf"struct {name} {{(.*?)^}};", text, re.DOTALL | re.MULTILINE)
    assert body is not None
    fields, offset = {}, 0
    for kind, field, length in re.findall(r"^\t(\w+)\s+(\w+)(?:\[(\w+)\])?;", body[1], re.MULTILINE):
        size = SIZES[kind] * int({"COMM_SIZE": "16", "": "1"}.get(length, length))
        assert offset % SIZES[kind] == 0, f"{name}.{field} would be padded"
        fields[field] = (offset, size)
        offset += size
    fields["end"] = (offset, 0)
    return fields


@pytest.mark.parametrize("name", STRUCTS)
def test_sizes_are_those_of_the_header_file(name: str) -> None:
    """A record without tails has as many bytes here as there."""
    text = HEADER.read_text()
    whole = layout("record_header", text)["end"][0] + layout(name, text)["end"][0]
    assert records.FIXED_SIZES[STRUCTS[name]] == whole


def test_the_header_is_read_field_by_field() -> None:
    """Each field of the record's header is found where record.h puts it."""
    fields = layout("record_header", HEADER.read_text())
    data = bytearray(struct.pack("<II", 0, 0) + bytes(200))
    expected = {"flags": 2, "size": 3, "sequence": 4, "time": 5, "pid": 7, "ppid": 8, "uid": 9, "gid": 10}
    expected |= {"cpu": 11, "slot": 12}
    for number, name in enumerate(expected, 1):
        offset, size = fields[name]
        data[8 + offset : 8 + offset + size] = (number * 7).to_bytes(size, "little")
    read: tuple[Any, ...] = records.UNPACKERS[RecordClass.EXIT](bytes(data), 0)
    assert [read[place] for place in expected.values()] == [number * 7 for number in range(1, len(expected) + 1)]
    key = [fields[name][0] for name in ("container_id", "session_start", "process_start", "session_root", "tgid")]
    assert key == [32, 40, 48, 56, 60]
    assert fields["comm"] == (88, 16)


@pytest.mark.parametrize(
    ("prefix", "names"), [("CLASS", (*CLASS_NAMES, "count")), ("LOSS", (*REASON_NAMES, "reason_count"))]
)
def test_enumerations_are_those_of_the_header_file(prefix: str, names: tuple[str, ...]) -> None:
    """Classes and reasons have the same names and numbers."""
    found = re.findall(rf"^\t{prefix}_(\w+)\s*= (\d+),", HEADER.read_text(), re.MULTILINE)
    assert [(name.lower(), int(number)) for name, number in found] == [(name, i) for i, name in enumerate(names)]


def test_each_class_has_its_event() -> None:
    """What a slot may ask for is told by one event each, in the order of the numbers."""
    assert [CLASS_NAMES[each.RECORD] for each in EVENTS if each.RECORD is not None] == list(EVENT_CLASSES)


@pytest.mark.parametrize("flag", [*records.RecordFlag, *records.ExecFlag])
def test_flags_are_those_of_the_header_file(flag: records.RecordFlag | records.ExecFlag) -> None:
    """Flags have the same names and bits."""
    prefix = "RECORD" if isinstance(flag, records.RecordFlag) else "EXEC"
    bit = re.search(rf"#define {prefix}_{flag.name}\s+\(1 << (\d+)\)", HEADER.read_text())
    assert bit is not None
    assert 1 << int(bit[1]) == flag


@pytest.mark.parametrize(
    ("damaged", "name"),
    [
        (record_open(sequence=2, version=2), "open"),
        (record_open(sequence=2, size=4000), "open"),
        (record_open(sequence=2, size=20), "open"),
        (record_open(sequence=2)[:-1], "open"),
        (record_open(sequence=2, time=1 << 63), "open"),
        (record_exec(b"sh", sequence=2)[:-1], "exec"),
        (record_fork(sequence=2)[:100], "fork"),
        (record_network("accept", sequence=2)[:-16], "accept"),
        (b"\1\x63" + bytes(150), None),
        (b"\1", None),
    ],
)
def test_a_record_that_does_not_fit_is_counted_and_the_next_is_read(
    feed: Any, damaged: bytes, name: str | None
) -> None:
    """A wrong version, size, class or length costs one record, with a gap that says so."""
    found = feed.records(record_open(sequence=1), damaged, record_open(sequence=3))
    gaps = [each for each in found if isinstance(each, RecordingGap)]
    assert [(each.record_class, each.reason, each.count) for each in gaps] == [(name, "undecodable", 1)]
    assert len([each for each in found if isinstance(each, FileOpen)]) == 2
    assert feed.interpreter.undecodable == 1


@pytest.mark.parametrize("tail", [b"\0" * 64, b"\xff" * 64, b"\1\0\0", struct.pack("<II", 500, 0) + bytes(8)])
def test_ring_bytes_without_a_length_end_the_frame(feed: Any, tail: bytes) -> None:
    """Where the next record begins cannot be known: one is counted, and no more is read."""
    found = feed.frame(1, ring(record_open(sequence=1)) + tail + ring(record_open(sequence=2)))
    assert len([each for each in found if isinstance(each, FileOpen)]) == 1
    assert feed.interpreter.undecodable == 1


def test_a_discarded_record_is_nothing(feed: Any) -> None:
    """What the kernel itself gave up is neither an event nor damage."""
    payload = ring(record_open(sequence=1), record_open(sequence=2), record_open(sequence=3), discarded=(1,))
    found = feed.frame(1, payload)
    assert len([each for each in found if isinstance(each, FileOpen)]) == 2
    assert feed.interpreter.undecodable == 0


def test_a_busy_record_is_damage(feed: Any) -> None:
    """A journal never holds a record that was still being written."""
    payload = bytearray(ring(record_open(sequence=1)))
    payload[3] |= 0x80
    feed.frame(1, bytes(payload))
    assert feed.interpreter.undecodable == 1
