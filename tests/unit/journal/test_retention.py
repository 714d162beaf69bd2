"""Retention: what goes, in which order, and what is told and kept of it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from fixtures.journals import (
    BOOT_ID,
    GENERATION,
    SECOND,
    make_frames,
    open_writer,
    pack_record,
    read_all,
    record_cgroup,
    record_exec,
    record_exit,
    record_open,
    ring,
    segment_header,
    write_journal,
)

from podcorder_agent.classes import CLASS_NAMES, RecordClass
from podcorder_agent.journal import FLAG_CARRIED, Frame, FrameKind, Limits, Position, Reader
from podcorder_agent.journal.retention import SegmentState, choose_expired
from podcorder_agent.journal.segments import list_segments, segment_name

HOUR = 3600.0


def states(*sizes: int, changed: float = 0.0) -> dict[int, SegmentState]:
    """Segments 1, 2, ... of these sizes."""
    return {index: SegmentState(size, changed) for index, size in enumerate(sizes, 1)}


def notes(frames: list[Frame], name: str) -> list[dict[str, object]]:
    """The notes of that name."""
    found = [json.loads(frame.payload) for frame in frames if frame.kind is FrameKind.NOTE]
    return [note for note in found if note["note"] == name]


def by_class(**counts: int) -> list[int]:
    """Counts in the order of the classes."""
    return [counts.get(name, 0) for name in CLASS_NAMES]


def test_delivered_segments_go_by_age() -> None:
    """An acknowledged segment goes 24 hours after its last frame, an unsent one never for its age."""
    limits = Limits()
    assert choose_expired(states(1, 1, 1, 1), 3, limits, now=24 * HOUR) == []
    assert choose_expired(states(1, 1, 1, 1), 3, limits, now=24 * HOUR + 1) == [1, 2]


def test_delivered_segments_go_by_size() -> None:
    """Acknowledged segments beyond their size go, oldest first, until the rest fits."""
    limits = Limits(kept_bytes=100, journal_bytes=1000)
    assert choose_expired(states(50, 50, 50, 50), 4, limits, now=0) == [1]
    assert choose_expired(states(50, 50, 50, 50), 3, limits, now=0) == []


def test_the_cap_takes_unsent_segments_last() -> None:
    """Over the cap the oldest go until it is kept; the newest never does."""
    limits = Limits(kept_bytes=1000, journal_bytes=100)
    assert choose_expired(states(50, 50, 50), 0, limits, now=0) == [1]
    assert choose_expired(states(50, 50, 150), 2, limits, now=0) == [1, 2]
    assert choose_expired(states(500), 0, limits, now=0) == []
    assert choose_expired({}, 0, limits, now=0) == []


def test_unsent_records_that_go_are_counted_per_class(tmp_path: Path) -> None:
    """A dropped segment leaves a note with the exact count of its unsent records per class and their time bounds."""
    records = ring(
        record_exec(b"ls", time=5 * SECOND),
        record_open(time=9 * SECOND),
        record_open(time=7 * SECOND),
        record_open(b"x" * 3, result=-2, time=8 * SECOND),
        record_exit(time=1 * SECOND),
        discarded=(4,),
    )
    frames = make_frames(
        (FrameKind.RECORDS, ring(record_exec(b"delivered", time=1))),
        (FrameKind.RECORDS, records),
        (FrameKind.COUNTERS, {"generated": []}),
    )
    write_journal(tmp_path, frames)
    with open_writer(tmp_path) as writer:
        writer.acknowledge(frames[0].end, None)
    with open_writer(tmp_path, limits=Limits(journal_bytes=200)) as writer:
        assert list_segments(tmp_path) == [2, 3]
        assert writer.segments == 2
        assert writer.bytes == sum(path.stat().st_size for path in tmp_path.glob("*.segment"))
    assert notes(read_all(tmp_path), "dropped") == [
        {
            "note": "dropped",
            "segment": 1,
            "segments": 1,
            "classes": by_class(exec=1, open=2, open_failed=1),
            "first": 5 * SECOND,
            "last": 9 * SECOND,
            "requests": 0,
            "rejected": 0,
        }
    ]


def test_damage_in_a_dropped_segment_is_told(tmp_path: Path) -> None:
    """What could not be counted because it was damaged is in the note, too."""
    frames = make_frames((FrameKind.RECORDS, ring(record_exit())), (FrameKind.RECORDS, ring(record_exit())))
    write_journal(tmp_path, frames)
    path = tmp_path / segment_name(1)
    data = bytearray(path.read_bytes())
    data[frames[0].position.offset + 30] ^= 1
    path.write_bytes(data)
    open_writer(tmp_path, limits=Limits(journal_bytes=100)).close()
    (note,) = notes(read_all(tmp_path), "dropped")
    assert note["rejected"] == 1
    assert note["classes"] == by_class(exit=1)


def test_records_of_no_known_class_are_told(tmp_path: Path) -> None:
    """What a dropped segment holds of a class that this release does not know is counted, too."""
    write_journal(tmp_path, make_frames((FrameKind.RECORDS, ring(pack_record(200), record_exit()))))
    open_writer(tmp_path, limits=Limits(journal_bytes=100)).close()
    (note,) = notes(read_all(tmp_path), "dropped")
    assert (note["rejected"], note["classes"]) == (1, by_class(exit=1))


def test_delivered_segments_go_without_a_word(tmp_path: Path) -> None:
    """An acknowledged segment that has grown too old goes at the next start, with no note."""
    frames = make_frames((FrameKind.RECORDS, ring(record_exit())))
    later = make_frames((FrameKind.RECORDS, ring(record_exit())), header=segment_header(2))
    write_journal(tmp_path, frames, later)
    with open_writer(tmp_path) as writer:
        writer.acknowledge(later[0].position, {"n": 1})
        assert list_segments(tmp_path) == [1, 2, 3]
    yesterday = time.time() - 25 * HOUR
    for index in (1, 2):
        os.utime(tmp_path / segment_name(index), (yesterday, yesterday))
    open_writer(tmp_path).close()
    assert list_segments(tmp_path) == [2, 3, 4]
    assert read_all(tmp_path) == later


def test_facts_are_carried_forward(tmp_path: Path) -> None:
    """Requests, notes and lifecycle frames of a segment that goes come again, flagged, with their time and in order."""
    contents = [
        (FrameKind.REQUEST, b'{"number":1}'),
        (FrameKind.RECORDS, ring(record_exit())),
        (FrameKind.LIFECYCLE, ring(record_cgroup())),
        (FrameKind.COUNTERS, b"{}"),
        (FrameKind.NOTE, b'{"note":"started"}'),
    ]
    write_journal(tmp_path, make_frames(*contents, time=12345))
    open_writer(tmp_path, limits=Limits(journal_bytes=100)).close()
    frames = read_all(tmp_path)
    kept = [contents[place] for place in (0, 2, 4)]
    assert [(frame.kind, frame.payload) for frame in frames[:3]] == kept
    assert {(frame.flags, frame.time) for frame in frames[:3]} == {(FLAG_CARRIED, 12345)}
    (note,) = notes(frames, "dropped")
    assert note["classes"] == by_class(exit=1)


def test_facts_of_another_boot_or_load_stay_behind(tmp_path: Path) -> None:
    """Lifecycle frames are carried within their load, requests and notes within their boot; what stays is counted."""
    contents = ((FrameKind.REQUEST, b'{"number":1}'), (FrameKind.LIFECYCLE, ring(record_cgroup())))
    for boot_id, generation, kinds in (
        (BOOT_ID, GENERATION + 1, [FrameKind.REQUEST]),
        ("ff" * 16, GENERATION, []),
    ):
        directory = tmp_path / boot_id
        write_journal(directory, make_frames(*contents))
        open_writer(directory, limits=Limits(journal_bytes=100), boot_id=boot_id, generation=generation).close()
        frames = read_all(directory)
        assert [frame.kind for frame in frames if frame.flags & FLAG_CARRIED] == kinds
        (note,) = notes(frames, "dropped")
        assert note["classes"] == by_class(cgroup=1)


def test_carrying_never_fills_the_journal(tmp_path: Path) -> None:
    """A journal of lifecycle frames alone keeps to its cap, and each record is carried or counted."""
    limits = Limits(segment_bytes=256 << 10, journal_bytes=1 << 20)
    written = 0
    with open_writer(tmp_path, limits=limits) as writer:
        while writer.position.segment < 12:
            writer.append(FrameKind.LIFECYCLE, *[ring(record_cgroup(sequence=written + each)) for each in range(50)])
            written += 50
            assert writer.bytes <= limits.journal_bytes + limits.segment_bytes
    frames = read_all(tmp_path)
    counted = sum(note["classes"][RecordClass.CGROUP] for note in notes(frames, "dropped"))  # type: ignore[index]
    one = len(ring(record_cgroup()))
    held = sum(len(frame.payload) // one for frame in frames if frame.kind is FrameKind.LIFECYCLE)
    assert list_segments(tmp_path)[0] > 1
    assert held + counted == written


def test_the_law_holds_at_the_cap(tmp_path: Path) -> None:
    """However often the cap takes segments: records written = records readable + records counted as dropped."""
    limits = Limits(segment_bytes=2_000, journal_bytes=10_000)
    one = ring(record_open(b"/some/file"))
    with open_writer(tmp_path, limits=limits) as writer:
        for _ in range(1009):
            writer.append(FrameKind.RECORDS, one, one, one)
    frames = read_all(tmp_path)
    readable = sum(len(frame.payload) // len(one) for frame in frames if frame.kind is FrameKind.RECORDS)
    dropped = notes(frames, "dropped")
    assert readable + sum(note["classes"][RecordClass.OPEN] for note in dropped) == 3 * 1009  # type: ignore[index]
    assert len({note["segment"] for note in dropped}) == len(dropped)
    assert any(note["segments"] != 1 for note in dropped)


def test_a_reader_is_not_hurt_by_retention(tmp_path: Path) -> None:
    """A reader that falls behind the cap goes on at the oldest segment left and counts those it missed."""
    limits = Limits(segment_bytes=2000, journal_bytes=10_000)
    with open_writer(tmp_path, limits=limits) as writer, Reader(tmp_path) as reader:
        writer.append(FrameKind.RECORDS, bytes(1000))
        assert len(list(reader.read())) == 1
        for _ in range(40):
            writer.append(FrameKind.RECORDS, bytes(1000))
        frames = list(reader.read())
        assert reader.missed_segments == list_segments(tmp_path)[0] - 2 > 0
        assert reader.position == writer.position
        assert reader.rejected == 0
        assert frames[0].position.segment == list_segments(tmp_path)[0]


def test_what_is_not_acknowledged_is_undelivered(tmp_path: Path) -> None:
    """Bytes behind the acknowledged position, in its segment and those after it."""
    with open_writer(tmp_path, limits=Limits(segment_bytes=4096)) as writer:
        ends = [writer.append(FrameKind.RECORDS, bytes(1000)) for _ in range(10)]
        assert writer.undelivered == writer.bytes
        middle = ends[4]
        writer.acknowledge(middle, {})
        later = sum((tmp_path / segment_name(index)).stat().st_size for index in list_segments(tmp_path)[1:])
        assert middle.segment == list_segments(tmp_path)[1]
        assert writer.undelivered == later - middle.offset
        writer.acknowledge(ends[-1], {})
        assert writer.undelivered == 0


def test_an_acknowledged_position_is_never_missed(tmp_path: Path) -> None:
    """The segment in which delivery stands is kept, however old: who goes on from the checkpoint misses nothing."""
    with open_writer(tmp_path, limits=Limits(segment_bytes=200, kept_seconds=-1)) as writer:
        ends: list[Position] = [writer.append(FrameKind.RECORDS, bytes(100)) for _ in range(5)]
        writer.acknowledge(ends[2], {"n": 1})
        assert list_segments(tmp_path) == [3, 4, 5]
        with Reader(tmp_path, ends[2]) as reader:
            assert [frame.end for frame in reader.read()] == ends[3:]
            assert reader.missed_segments == 0
