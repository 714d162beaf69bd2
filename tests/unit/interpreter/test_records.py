"""Records are read as the programs lay them out, by the compiled objects' own word; damaged ring bytes are counted."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest
from fixtures import journals
from fixtures.journals import record_exec, record_fork, record_network, record_open, ring
from fixtures.layouts import LAYOUT_OBJECTS, Layout, Layouts, find_differences

from podcorder_agent.classes import CLASS_NAMES, EVENT_CLASSES, REASON_NAMES, RecordClass
from podcorder_agent.interpreter import pending, records, vocabulary
from podcorder_agent.interpreter.events import EVENTS, FileOpen, RecordingGap
from podcorder_agent.interpreter.sequences import LEVEL_SHIFT
from podcorder_agent.recorder.loaders import OBJECTS

RECORD_H = Path(__file__).parents[3] / "bpf/record.h"
HEADER = (
    *("version", "class", "flags", "size", "sequence", "time", "cgroup_id"),
    "container_id+session_start+process_start+session_root+tgid",
    *("pid", "ppid", "uid", "gid", "cpu", "slot", "reserved", "comm"),
)
"""The fields that the items of a layout are, behind the ring's two; `a+b`: two in one."""
NETWORK = (
    *("latency", "result", "family", "protocol", "local_port", "peer_port", "reserved"),
    *("local_address", "peer_address"),
)
OPEN = ("inode", "device+open_flags", "result", "mode", "path_length")
FIELDS = {
    RecordClass.EXEC: (
        *("inode", "device", "exec_flags", "euid", "egid", "loginuid", "audit_session", "sid", "tty", "old_pid"),
        *("argc", "argv_total", "argv_length", "path_length", "filename_length", "interpreter_length", "cwd_length"),
    ),
    RecordClass.EXEC_FAILED: ("error", "argc", "argv_length", "filename_length", "reserved"),
    RecordClass.FORK: ("child_start", "child_tgid", "reserved"),
    RecordClass.EXIT: ("exit_code", "reserved"),
    RecordClass.OPEN: OPEN,
    RecordClass.OPEN_FAILED: OPEN,
    RecordClass.CONNECT: NETWORK,
    RecordClass.ACCEPT: NETWORK,
    RecordClass.LISTEN: NETWORK,
    RecordClass.DATAGRAM: NETWORK,
    RecordClass.CGROUP: ("id", "parent", "level", "removed", "path_length"),
}
"""The fields behind the header, by the items that a layout has for them."""
STRUCTS = {each: f"{each.name.lower()}_record" for each in RecordClass} | {
    RecordClass.OPEN_FAILED: "open_record",
    RecordClass.CONNECT: "network_record",
    RecordClass.ACCEPT: "network_record",
    RecordClass.LISTEN: "network_record",
    RecordClass.DATAGRAM: "network_record",
}
KNOWN_STRUCTS = {"record_header", *STRUCTS.values()}
FIXED = {
    RecordClass.EXEC: journals.EXEC,
    RecordClass.EXEC_FAILED: journals.EXEC_FAILED,
    RecordClass.FORK: journals.FORK,
    RecordClass.EXIT: journals.EXIT,
    RecordClass.OPEN: journals.OPEN,
    RecordClass.OPEN_FAILED: journals.OPEN,
    RecordClass.CONNECT: journals.NETWORK,
    RecordClass.ACCEPT: journals.NETWORK,
    RecordClass.LISTEN: journals.NETWORK,
    RecordClass.DATAGRAM: journals.NETWORK,
    RecordClass.CGROUP: journals.CGROUP,
}
"""What the tests make the same fields with."""
INDEXES = {
    "version": records.RECORD_VERSION,
    "flags": records.FLAGS,
    "size": records.SIZE,
    "sequence": records.SEQUENCE,
    "time": records.TIME,
    HEADER[7]: records.KEY,
    "pid": records.PID,
    "ppid": records.PPID,
    "uid": records.UID,
    "gid": records.GID,
    "cpu": records.CPU,
    "slot": records.SLOT,
    "comm": records.COMM,
}


@pytest.fixture(scope="module", params=LAYOUT_OBJECTS)
def layouts(request: pytest.FixtureRequest) -> Layouts:
    """Of each architecture."""
    return Layouts(LAYOUT_OBJECTS[request.param])


def own_format(record_class: RecordClass) -> str:
    """That of the record itself, without the ring's header."""
    ring_header, record = "<I4x", records.LAYOUTS[record_class].format
    assert record.startswith(ring_header)
    assert struct.calcsize(ring_header) == records.RING_HEADER_SIZE
    return record.removeprefix(ring_header)


def names_of(record_class: RecordClass) -> list[str]:
    header = ["+".join(f"header.{each}" for each in joined.split("+")) for joined in HEADER]
    return [*header, *FIELDS[record_class]]


@pytest.mark.parametrize("record_class", RecordClass)
def test_records_are_read_as_the_programs_lay_them_out(layouts: Layouts, record_class: RecordClass) -> None:
    """Name, offset, size and sign of each field are those of the compiled struct, and no field is without a reader."""
    struct_name = STRUCTS[record_class]
    differences = find_differences(layouts.structure(struct_name), own_format(record_class), names_of(record_class))
    assert not differences
    assert records.FIXED_SIZES[record_class] == layouts.size(struct_name)


@pytest.mark.parametrize("record_class", RecordClass)
def test_a_difference_of_any_kind_is_found(layouts: Layouts, record_class: RecordClass) -> None:
    """A field of a record that moves, grows, changes its sign or its name, is added or is gone fails the comparison."""
    compiled = layouts.structure(STRUCTS[record_class])
    turned = {"signed": "unsigned", "unsigned": "signed", "bytes": "signed"}
    for name, field in compiled.items():
        changes: list[Layout] = [
            compiled | {name: field._replace(offset=field.offset + 1)},
            compiled | {name: field._replace(size=field.size * 2)},
            {f"{each}_" if each == name else each: found for each, found in compiled.items()},
            {each: found for each, found in compiled.items() if each != name},
            compiled | {f"{name}_": field._replace(offset=field.offset + field.size)},
        ]
        if "reserved" not in name and name not in ("header.class", "header.cgroup_id"):
            changes.append(compiled | {name: field._replace(kind=turned[field.kind])})
        for changed in changes:
            assert find_differences(changed, own_format(record_class), names_of(record_class)), name


def test_what_is_taken_apart_later_is_read_as_it_is_laid_out(layouts: Layouts) -> None:
    """The key of a process, the device and flags of an open, and the time of a held record are where C has them."""
    header, opened = layouts.structure("record_header"), layouts.structure("open_record")
    for names, whole, text in (
        (HEADER[7].split("+"), header, records.KEY_FIELDS.format),
        (["device", "open_flags"], opened, vocabulary._DEVICE_AND_FLAGS.format),
        (["time"], header, pending._TIME.format),
    ):
        begin = whole[names[0]].offset
        parts = {name: whole[name]._replace(offset=whole[name].offset - begin) for name in names}
        assert not find_differences(parts, text, names)
    assert records.RING_HEADER_SIZE + header["time"].offset == pending._TIME_PLACE
    assert header["class"] == (1, 1, "unsigned")


def test_the_places_of_the_header_are_named_right() -> None:
    """What `records.FLAGS` and the others count is what a layout returns, padding left out."""
    returned = [name for name in HEADER if name not in ("class", "cgroup_id", "reserved")]
    assert {name: index for index, name in enumerate(returned, 1)} == INDEXES
    assert records.LENGTH == 0


@pytest.mark.parametrize("record_class", RecordClass)
def test_the_records_of_these_tests_are_those_of_the_programs(layouts: Layouts, record_class: RecordClass) -> None:
    """The journals that tests make by hand have each field where the compiled struct has it."""
    names = [f"header.{each}" for joined in HEADER for each in joined.split("+")]
    names += [each for joined in FIELDS[record_class] for each in joined.split("+")]
    text = journals.RECORD_HEADER.format + FIXED[record_class].format.removeprefix("<")
    assert not find_differences(layouts.structure(STRUCTS[record_class]), text, names)


def test_every_object_has_the_same_layouts(layouts: Layouts) -> None:
    """A struct that a program's object describes is laid out there as user space knows it."""
    objects = sorted((OBJECTS / layouts.path.stem).rglob("*.bpf.o"))
    described = {(name, each.path) for each in map(Layouts, objects) for name in KNOWN_STRUCTS if each.has(name)}
    for name, path in described:
        assert Layouts(path).structure(name) == layouts.structure(name), path
    assert {name for name, _ in described} == KNOWN_STRUCTS - {"fork_record", "exit_record"}  # only on the stack


@pytest.mark.parametrize(
    ("enumeration", "prefix", "names"),
    [
        ("record_class", "CLASS", (*CLASS_NAMES, "count")),
        ("loss_reason", "LOSS", (*REASON_NAMES, "reason_count")),
    ],
)
def test_enumerations_are_those_of_the_programs(
    layouts: Layouts, enumeration: str, prefix: str, names: tuple[str, ...]
) -> None:
    """Classes and reasons have the same names and numbers."""
    expected = {f"{prefix}_{name.upper()}": number for number, name in enumerate(names)}
    assert layouts.enumeration(enumeration) == expected


def test_each_class_has_its_event() -> None:
    """What a slot may ask for is told by one event each, in the order of the numbers."""
    assert [CLASS_NAMES[each.RECORD] for each in EVENTS if each.RECORD is not None] == list(EVENT_CLASSES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECORD_VERSION", records.VERSION),
        ("RESULT_UNKNOWN", records.RESULT_UNKNOWN),
        ("NUMBER_LEVEL_SHIFT", LEVEL_SHIFT),
    ],
)
def test_numbers_are_those_of_the_header_file(name: str, value: int) -> None:
    """A macro is in no object: it is read where it stands."""
    number = re.search(rf"#define {name}\s+(\w+)", RECORD_H.read_text())
    assert number is not None
    assert int(number[1], 0) == value


@pytest.mark.parametrize("flag", [*records.RecordFlag, *records.ExecFlag])
def test_flags_are_those_of_the_header_file(flag: records.RecordFlag | records.ExecFlag) -> None:
    """Flags have the same names and bits."""
    prefix = "RECORD" if isinstance(flag, records.RecordFlag) else "EXEC"
    bit = re.search(rf"#define {prefix}_{flag.name}\s+\(1 << (\d+)\)", RECORD_H.read_text())
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
