"""Writing: what is appended is read, what is refused leaves no trace, what is torn is cut and told."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from fixtures.journals import (
    BOOT_ID,
    GENERATION,
    file_size_limit,
    make_frames,
    open_writer,
    pack_segment,
    read_all,
    segment_header,
    write_journal,
)

from podcorder_agent.journal import (
    FrameKind,
    JournalFull,
    JournalLocked,
    JournalMissing,
    JournalNotDirectory,
    JournalVersion,
    Limits,
    Position,
    Reader,
)
from podcorder_agent.journal.segments import segment_name


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    """Each frame comes back with its kind, its time, its place, and its buffers joined."""
    with open_writer(tmp_path / "journal") as writer:
        start = writer.position
        ends = [
            writer.append(FrameKind.RECORDS, bytearray(b"ab"), memoryview(b"0123456789")[2:5], b""),
            writer.append(FrameKind.NOTE),
            writer.append(FrameKind.LIFECYCLE, *[bytes([each % 256]) for each in range(3000)]),
        ]
        frames = read_all(tmp_path / "journal")
    assert [frame.kind for frame in frames] == [FrameKind.RECORDS, FrameKind.NOTE, FrameKind.LIFECYCLE]
    assert frames[0].payload == b"ab234"
    assert frames[1].payload == b""
    assert frames[2].payload == bytes(each % 256 for each in range(3000))
    assert [frame.position for frame in frames] == [start, *ends[:-1]]
    assert [frame.end for frame in frames] == ends
    assert frames[0].time <= frames[1].time <= frames[2].time
    header = frames[0].segment
    assert (header.node, header.index, header.generation, header.boot_id) == ("node-1", 1, GENERATION, BOOT_ID)
    assert abs(header.created_ns - header.anchor_ns - frames[0].time) < 60e9


def test_segments_are_closed_at_their_size(tmp_path: Path) -> None:
    """No segment grows beyond the limit unless a single frame does."""
    limits = Limits(segment_bytes=4096)
    with open_writer(tmp_path, limits=limits) as writer:
        for size in (1000, 2960, 1, 5000, 1, 4096 - 72 - 24, 1):
            writer.append(FrameKind.RECORDS, bytes(size))
        assert writer.segments == writer.position.segment
    frames = read_all(tmp_path)
    assert [len(frame.payload) for frame in frames] == [1000, 2960, 1, 5000, 1, 4000, 1]
    assert [frame.position.segment for frame in frames] == [1, 1, 2, 3, 4, 5, 6]


def test_each_start_begins_a_segment(tmp_path: Path) -> None:
    """A writer never appends to a segment that another one began, and says nothing where nothing was torn."""
    for generation in (1, 2, 3):
        with open_writer(tmp_path, generation=generation) as writer:
            writer.append(FrameKind.RECORDS, b"x")
    assert [(frame.position.segment, frame.segment.generation) for frame in read_all(tmp_path)] == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]


def test_a_torn_tail_is_cut_and_told(tmp_path: Path) -> None:
    """Wherever the newest segment ends inside a frame, it is cut at the last intact one, and a note says how much."""
    frames = make_frames(*[(FrameKind.RECORDS, b"x" * size) for size in (0, 5, 40)])
    data = pack_segment(frames[0].segment, frames)
    for length in range(frames[0].position.offset, len(data) + 1):
        directory = tmp_path / str(length)
        write_journal(directory, frames)
        (directory / segment_name(1)).write_bytes(data[:length])
        open_writer(directory).close()
        complete = [frame for frame in frames if frame.end.offset <= length]
        end = (complete[-1].end if complete else frames[0].position).offset
        found = read_all(directory)
        assert found[: len(complete)] == complete
        notes = [json.loads(frame.payload) for frame in found[len(complete) :]]
        assert notes == ([{"note": "torn", "segment": 1, "bytes": length - end}] if length > end else [])
        assert (directory / segment_name(1)).stat().st_size == end
        shutil.rmtree(directory)


def test_a_torn_tail_is_not_cut_before_it_can_be_told(tmp_path: Path) -> None:
    """Where there is no room for the note about a torn tail, the segment stays as it is until there is."""
    frames = make_frames((FrameKind.RECORDS, b"x" * 40), (FrameKind.RECORDS, b"y" * 40))
    write_journal(tmp_path, frames)
    path = tmp_path / segment_name(1)
    torn = path.read_bytes()[:-10]
    path.write_bytes(torn)
    with file_size_limit(100), pytest.raises(JournalFull):
        open_writer(tmp_path)
    assert path.read_bytes() == torn
    open_writer(tmp_path).close()
    found = read_all(tmp_path)
    assert found[0] == frames[0]
    assert json.loads(found[1].payload) == {"note": "torn", "segment": 1, "bytes": 24 + 40 - 10}


def test_intact_frames_behind_a_damage_are_not_cut(tmp_path: Path) -> None:
    """A damage in the middle of the newest segment costs no frame behind it."""
    frames = make_frames(*[(FrameKind.RECORDS, bytes([value]) * 30) for value in range(5)])
    write_journal(tmp_path, frames)
    path = tmp_path / segment_name(1)
    data = bytearray(path.read_bytes())
    data[frames[1].position.offset + 8 : frames[1].position.offset + 12] = (100_000).to_bytes(4, "little")
    path.write_bytes(data)
    open_writer(tmp_path).close()
    with Reader(tmp_path) as reader:
        assert list(reader.read()) == frames[:1] + frames[2:]
        assert reader.rejected == 1
    assert path.read_bytes() == bytes(data)


def test_a_refused_write_leaves_no_trace(tmp_path: Path) -> None:
    """At every byte a write can stop at, the file is as before the frame, and the same frame can be written later."""
    with open_writer(tmp_path) as writer:
        writer.append(FrameKind.RECORDS, b"before")
        before = (tmp_path / segment_name(1)).read_bytes()
        for room in range(24 + 96 + 8):
            with file_size_limit(len(before) + room):
                with pytest.raises(JournalFull, match="free some space"):
                    writer.append(FrameKind.RECORDS, b"0" * 50, b"1" * 47, b"2" * 4)
                assert (tmp_path / segment_name(1)).read_bytes() == before
                assert writer.position == Position(1, len(before))
        writer.append(FrameKind.RECORDS, b"after")
    assert [frame.payload for frame in read_all(tmp_path)] == [b"before", b"after"]


def test_a_segment_that_cannot_be_begun_leaves_no_trace(tmp_path: Path) -> None:
    """Where there is no room for a new segment, the old one stays current and the frame can be written later."""
    with open_writer(tmp_path, limits=Limits(segment_bytes=200)) as writer:
        writer.append(FrameKind.RECORDS, b"x" * 100)
        with file_size_limit(10), pytest.raises(JournalFull):
            writer.append(FrameKind.RECORDS, b"y" * 100)
        assert sorted(os.listdir(tmp_path)) == [segment_name(1), "lock"]
        writer.append(FrameKind.RECORDS, b"y" * 100)
    assert [frame.position.segment for frame in read_all(tmp_path)] == [1, 2]


def test_too_long_a_payload_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    """A payload longer than the format can state is refused before anything is written."""
    with open_writer(tmp_path) as writer:
        with pytest.raises(ValueError, match="longer than"):
            writer.append(FrameKind.RECORDS, bytes(16 << 20), b"x")
        assert writer.append(FrameKind.RECORDS, bytes(16 << 20)).segment == 1
    assert len(read_all(tmp_path)[0].payload) == 16 << 20


def test_there_is_one_writer(tmp_path: Path) -> None:
    """A second writer is refused, with nothing changed, until the first has gone."""
    with open_writer(tmp_path) as writer:
        writer.append(FrameKind.RECORDS, b"x")
        with pytest.raises(JournalLocked, match="Another recorder") as caught:
            open_writer(tmp_path)
        assert caught.value.exit_code == 24
        assert sorted(os.listdir(tmp_path)) == [segment_name(1), "lock"]
    open_writer(tmp_path).close()


def test_another_version_is_left_alone(tmp_path: Path) -> None:
    """A journal that any segment of another version is in gets no new segment and no cut."""
    newer = make_frames((FrameKind.RECORDS, b"x"), header=segment_header(1, version=2))
    write_journal(tmp_path, newer)
    with (tmp_path / segment_name(1)).open("ab") as file:
        file.write(b"what only they know")
    before = (tmp_path / segment_name(1)).read_bytes()
    with pytest.raises(JournalVersion):
        open_writer(tmp_path)
    assert (tmp_path / segment_name(1)).read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == [segment_name(1), "lock"]


def test_places_that_are_no_journal_are_told_apart(tmp_path: Path) -> None:
    """A file, a missing parent and a missing directory have an error class, an exit code and a remedy each."""
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(JournalNotDirectory, match="name the directory"):
        open_writer(file)
    with pytest.raises(JournalNotDirectory, match="name the directory"):
        Reader(file)
    with pytest.raises(JournalMissing, match="make it"):
        open_writer(tmp_path / "no" / "such")
    with pytest.raises(JournalMissing, match="name the directory"):
        Reader(tmp_path / "no")
    assert file.read_bytes() == b""
    assert {JournalMissing.exit_code, JournalNotDirectory.exit_code} == {21, 22}


def test_the_journal_is_for_root_and_one_group(tmp_path: Path) -> None:
    """Whatever the umask: a new directory has mode 0750, every file 0640, and a directory that exists keeps its own."""
    tmp_path.chmod(0o711)
    for mask in (0o000, 0o077):
        directory = tmp_path / f"umask-{mask}"
        old = os.umask(mask)
        try:
            with open_writer(directory, group=os.getgid()) as writer:
                writer.acknowledge(writer.position, {})
        finally:
            os.umask(old)
        assert stat.S_IMODE(directory.stat().st_mode) == 0o750
        assert sorted(os.listdir(directory)) == [segment_name(1), "checkpoint.json", "lock"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o640}
    open_writer(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o711


def test_no_segment_is_numbered_twice(tmp_path: Path) -> None:
    """After segments were removed by hand, the next one still stands behind what was acknowledged."""
    with open_writer(tmp_path, limits=Limits(segment_bytes=200)) as writer:
        for _ in range(5):
            writer.append(FrameKind.RECORDS, bytes(100))
        writer.acknowledge(writer.position, None)
    for path in tmp_path.glob("*.segment"):
        path.unlink()
    with open_writer(tmp_path) as writer:
        assert writer.position.segment == 6
