"""Reading journals made by hand: live, resumed, damaged."""

from __future__ import annotations

import os
import tempfile
from itertools import chain
from pathlib import Path

import pytest
from fixtures.journals import make_frames, pack_frame, pack_segment, segment_header, write_journal
from hypothesis import given, settings
from hypothesis import strategies as st

from podcorder_agent.journal import Frame, FrameKind, JournalError, JournalVersion, Position, Reader
from podcorder_agent.journal.segments import WINDOW, segment_name

R = FrameKind.RECORDS


def make_segment(index: int, sizes: list[int]) -> list[Frame]:
    """A segment of frames of these payload sizes, each different."""
    contents = [(R, bytes([index, place % 256]) * (size // 2)) for place, size in enumerate(sizes)]
    return make_frames(*contents, header=segment_header(index))


def test_frames_come_in_order_across_segments(tmp_path: Path) -> None:
    """All frames of all segments come once, in order, with their headers and positions."""
    sizes = [0, 2, 100, WINDOW - 24, WINDOW, WINDOW + 2, 3 * WINDOW, 8, 8]
    segments = [make_segment(index, sizes) for index in (1, 2, 3)]
    write_journal(tmp_path, *segments)
    with Reader(tmp_path) as reader:
        assert list(reader.read()) == list(chain(*segments))
        assert list(reader.read()) == []
        assert (reader.rejected, reader.missed_segments) == (0, 0)
        assert reader.position == segments[-1][-1].end


def test_each_end_is_a_place_to_go_on_from(tmp_path: Path) -> None:
    """A reader begun at the end of a frame gives exactly what follows it."""
    segments = [make_segment(index, [10, 20, 30]) for index in (1, 2)]
    write_journal(tmp_path, *segments)
    frames = list(chain(*segments))
    for place, frame in enumerate(frames):
        assert list(Reader(tmp_path, frame.end).read()) == frames[place + 1 :]
        assert list(Reader(tmp_path, frame.position).read()) == frames[place:]


def test_a_growing_segment_is_read_as_it_grows(tmp_path: Path) -> None:
    """At every length the newest segment can have, its complete frames come, and nothing is rejected."""
    frames = make_segment(1, [0, 6, 40])
    data = pack_segment(frames[0].segment, frames)
    path = tmp_path / segment_name(1)
    path.write_bytes(b"")
    with Reader(tmp_path) as reader:
        with path.open("ab", buffering=0) as file:
            file.write(data[: frames[0].position.offset])
            assert list(reader.read()) == []
            for length in range(frames[0].position.offset, len(data)):
                file.write(data[length : length + 1])
                complete = [frame for frame in frames if frame.end.offset == length + 1]
                assert list(reader.read()) == complete
        assert reader.rejected == 0


def test_an_incomplete_end_is_rejected_once_a_newer_segment_exists(tmp_path: Path) -> None:
    """At every length an older segment can be cut to, what is incomplete counts once and the next segment follows."""
    first, second = make_segment(1, [0, 6, 40]), make_segment(2, [4])
    data = pack_segment(first[0].segment, first)
    for length in range(first[0].position.offset, len(data) + 1):
        write_journal(tmp_path, first, second)
        (tmp_path / segment_name(1)).write_bytes(data[:length])
        with Reader(tmp_path) as reader:
            complete = [frame for frame in first if frame.end.offset <= length]
            whole = length == (complete[-1].end if complete else first[0].position).offset
            assert list(reader.read()) == complete + second
            assert reader.rejected == (0 if whole else 1)


def test_a_write_taken_back_is_not_damage(tmp_path: Path) -> None:
    """Half a frame that the writer cut off again, and other frames in its place, read as those frames alone."""
    kept = make_segment(1, [100])
    header = kept[0].segment
    lost = make_frames((R, b"l" * 100), (R, b"L" * 400), header=header)
    better = make_frames((R, kept[0].payload), (R, b"b" * 200), (R, b"B" * 50), header=header)
    (tmp_path / segment_name(1)).write_bytes(pack_segment(header, lost)[: lost[1].position.offset + 100])
    path = tmp_path / segment_name(1)
    path.write_bytes(pack_segment(header, kept) + pack_segment(header, lost)[lost[1].position.offset :][:100])
    with Reader(tmp_path) as reader:
        assert list(reader.read()) == kept
        path.write_bytes(pack_segment(header, better))
        assert list(reader.read()) == better[1:]
        assert reader.rejected == 0


def test_a_payload_cannot_pass_for_a_frame(tmp_path: Path) -> None:
    """Frames that the recorded wrote into their arguments, not knowing the segment, are never read as frames."""
    forged = make_frames((FrameKind.NOTE, b'{"note":"stopped"}'), header=segment_header(generation=0))
    inner = pack_segment(forged[0].segment, forged)
    frames = make_frames((R, inner), (R, b"after"))
    write_journal(tmp_path, frames)
    path = tmp_path / segment_name(1)
    data = bytearray(path.read_bytes())
    data[frames[0].position.offset] ^= 1
    path.write_bytes(data)
    with Reader(tmp_path) as reader:
        assert list(reader.read()) == frames[1:]
        assert reader.rejected >= 1


@settings(max_examples=300)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.data())
def test_damage_is_counted_and_spares_the_rest(sizes: list[int], data: st.DataObject) -> None:
    """Whatever bytes of the frames are changed: every frame untouched is delivered, every touched one counted."""
    frames = make_segment(1, sizes)
    packed = bytearray(pack_segment(frames[0].segment, frames))
    start = frames[0].position.offset
    touched = set()
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(start, len(packed) - 1), st.integers(1, 255)), max_size=4)
    ):
        frame = next(each for each in frames if place < each.end.offset)
        if packed[place] ^ value != packed[place] and place < frame.position.offset + 24 + len(frame.payload):
            packed[place] ^= value
            touched.add(frame.position)
    newest = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / segment_name(1)).write_bytes(packed)
        if not newest:
            write_journal(directory, make_segment(2, [2]))
        with Reader(directory) as reader:
            delivered = [frame for frame in reader.read() if frame.position.segment == 1]
            rejected = reader.rejected
    original = pack_segment(frames[0].segment, frames)
    whole = [
        frame
        for frame in frames
        if packed[frame.position.offset : frame.end.offset] == original[frame.position.offset : frame.end.offset]
    ]
    assert delivered == whole
    if not newest:
        assert (rejected > 0) == (len(whole) < len(frames))
        assert rejected <= len(frames)


@settings(max_examples=300)
@given(st.binary(max_size=400), st.binary(max_size=400), st.booleans())
def test_no_bytes_do_any_harm(first: bytes, second: bytes, headed: bool) -> None:
    """Segments of any bytes whatever are read to their end, with no error but the journal's own."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for index, content in ((1, first), (2, second)):
            prefix = pack_segment(segment_header(index), []) if headed else b""
            (directory / segment_name(index)).write_bytes(prefix + content)
        try:
            with Reader(directory) as reader:
                assert list(reader.read()) == []
                assert reader.rejected >= (1 if first or not headed else 0)
        except JournalError:
            assert b"PODCJRNL" in first + second


def test_false_magics_cost_little(tmp_path: Path) -> None:
    """A payload of frame headers, each claiming megabytes, does not keep the reader busy behind a damage."""
    fake = make_frames((R, b"x" * (8 << 20)), header=segment_header(generation=0))
    payload = pack_frame(fake[0])[:24] * ((12 << 20) // 24)
    frames = make_frames((R, payload), (R, b"after"))
    write_journal(tmp_path, frames, make_segment(2, [2]))
    path = tmp_path / segment_name(1)
    with path.open("r+b") as file:
        file.seek(frames[0].position.offset)
        file.write(b"?")
    before = os.times().user
    with Reader(tmp_path) as reader:
        assert [frame.position.segment for frame in reader.read()][-1] == 2
        assert reader.rejected >= 1
    assert os.times().user - before < 5


def test_a_damaged_header_rejects_its_segment(tmp_path: Path) -> None:
    """Frames whose boot and load are not known are counted, not given out; the other segments are read."""
    first, second = make_segment(1, [8, 8]), make_segment(2, [8])
    write_journal(tmp_path, first, second)
    path = tmp_path / segment_name(1)
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)
    with Reader(tmp_path) as reader:
        assert list(reader.read()) == second
        assert reader.rejected == 3


def test_segments_of_other_boots_and_loads_are_read(tmp_path: Path) -> None:
    """Each frame says by its segment's header which boot and load it is of."""
    first = make_frames((R, b"1"), header=segment_header(1, boot_id="11" * 16))
    second = make_frames((R, b"2"), header=segment_header(2, boot_id="22" * 16, generation=2))
    write_journal(tmp_path, first, second)
    assert [frame.segment.boot_id for frame in Reader(tmp_path).read()] == ["11" * 16, "22" * 16]


def test_vanished_segments_are_counted(tmp_path: Path) -> None:
    """Segments gone before they were read count as missed, whether the reader is on its way or begins there."""
    segments = [make_segment(index, [8]) for index in range(1, 6)]
    write_journal(tmp_path, *segments[:2])
    with Reader(tmp_path) as reader:
        assert len(list(reader.read())) == 2
        write_journal(tmp_path, *segments[2:])
        for index in (3, 4):
            (tmp_path / segment_name(index)).unlink()
        assert list(reader.read()) == segments[4]
        assert reader.missed_segments == 2
    with Reader(tmp_path, Position(3, 72)) as reader:
        assert list(reader.read()) == segments[4]
        assert reader.missed_segments == 2


def test_a_segment_begun_after_a_long_rest_is_found(tmp_path: Path) -> None:
    """A journal that has been quiet for hours is read on when something is appended, and when a segment is begun."""
    first, second = make_segment(1, [8]), make_segment(2, [8, 8])
    write_journal(tmp_path, first)
    os.utime(tmp_path, (0, 0))
    with Reader(tmp_path) as reader:
        assert list(reader.read()) == first
        assert list(reader.read()) == []
        write_journal(tmp_path, second[:1])
        assert list(reader.read()) == second[:1]
        os.utime(tmp_path, (0, 0))
        assert list(reader.read()) == []
        write_journal(tmp_path, second)
        assert list(reader.read()) == second[1:]


def test_an_open_segment_outlives_its_removal(tmp_path: Path) -> None:
    """A segment removed while it is being read is still read to its end."""
    segments = [make_segment(index, [8, 8]) for index in (1, 2)]
    write_journal(tmp_path, *segments)
    with Reader(tmp_path) as reader:
        found = []
        for frame in reader.read():
            found.append(frame)
            (tmp_path / segment_name(1)).unlink(missing_ok=True)
        assert found == list(chain(*segments))
        assert reader.missed_segments == 0


def test_another_version_is_refused(tmp_path: Path) -> None:
    """A segment of another format version raises the error that says who can read it."""
    write_journal(tmp_path, make_segment(1, [8]), make_frames((R, b"2"), header=segment_header(2, version=2)))
    reader = Reader(tmp_path)
    with pytest.raises(JournalVersion, match=r"version 2, .*: read it with the release that wrote it") as caught:
        list(reader.read())
    assert caught.value.exit_code == 25


def test_an_empty_directory_is_an_empty_journal(tmp_path: Path) -> None:
    """A reader may come before the recorder: the first frames are read when they are there."""
    with Reader(tmp_path) as reader:
        assert list(reader.read()) == []
        frames = make_segment(1, [8])
        write_journal(tmp_path, frames)
        (tmp_path / "0000000002.segment.new").write_bytes(b"?")
        assert list(reader.read()) == frames
