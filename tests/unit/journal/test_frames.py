"""The format itself: what is packed is unpacked, and nothing else passes for it."""

from __future__ import annotations

import pytest
from fixtures.journals import make_frames, pack_frame, segment_header
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.journal import FrameKind, Position, SegmentHeader
from podcorder_agent.journal.frames import (
    FRAME_HEADER_SIZE,
    frame_size,
    is_intact,
    pack_segment_header,
    unpack_frame_header,
    unpack_segment_header,
)

U64 = st.integers(0, 2**64 - 1)


@given(
    st.text(st.characters(codec="utf-8"), max_size=200), U64, U64, st.binary(min_size=16, max_size=16), U64, st.binary()
)
def test_segment_headers_survive_packing(
    node: str, index: int, generation: int, boot: bytes, created: int, rest: bytes
) -> None:
    """Each field of a segment's header comes back, and the frames begin at a multiple of 8."""
    header = SegmentHeader(1, node, index, generation, boot.hex(), -(created >> 1), created)
    data, crc = pack_segment_header(header)
    found = unpack_segment_header(data + rest)
    assert found is not None
    assert found[1] == len(data)
    assert len(data) % 8 == 0
    assert found[0] == SegmentHeader(1, node, index, generation, boot.hex(), -(created >> 1), created, crc)


@given(st.sampled_from(FrameKind), st.integers(0, 255), U64, st.binary(max_size=300))
def test_frames_survive_packing(kind: FrameKind, flags: int, time: int, payload: bytes) -> None:
    """A frame's header and payload come back and are intact."""
    frame = make_frames((kind, payload), time=time, flags=flags)[0]
    data = pack_frame(frame)
    header = unpack_frame_header(data)
    assert header is not None
    assert len(data) == frame_size(len(payload)) == frame.end.offset - frame.position.offset
    assert (header.kind, header.flags, header.time, header.length) == (kind, flags, time, len(payload))
    assert is_intact(data, 0, header, payload, frame.segment.crc)


@given(st.binary(min_size=1, max_size=60), st.data())
def test_every_bit_of_a_frame_is_guarded(payload: bytes, data: st.DataObject) -> None:
    """A frame with one bit turned anywhere but in its padding is not intact."""
    frame = make_frames((FrameKind.RECORDS, payload))[0]
    packed = bytearray(pack_frame(frame))
    bit = data.draw(st.integers(0, (FRAME_HEADER_SIZE + len(payload)) * 8 - 1))
    packed[bit // 8] ^= 1 << bit % 8
    damaged = bytes(packed)
    header = unpack_frame_header(damaged)
    body = damaged[FRAME_HEADER_SIZE : FRAME_HEADER_SIZE + (header.length if header else 0)]
    assert header is None or not is_intact(damaged, 0, header, body, frame.segment.crc)


def test_a_frame_belongs_to_its_segment() -> None:
    """A frame's bytes are not intact in any other segment."""
    frame = make_frames((FrameKind.NOTE, b"{}"))[0]
    data = pack_frame(frame)
    header = unpack_frame_header(data)
    assert header is not None
    assert not is_intact(data, 0, header, b"{}", segment_header(generation=9).crc)


@given(U64, U64)
def test_positions_survive_printing(segment: int, offset: int) -> None:
    """A position reads as it prints."""
    assert Position.parse(str(Position(segment, offset))) == Position(segment, offset)


@pytest.mark.parametrize("text", ["", "1", ":", "1:", ":1", "-1:2", "1:2:3", "1:\u0662", " 1:2", "1" * 40 + ":1"])
def test_other_text_is_no_position(text: str) -> None:
    """What is not SEGMENT:OFFSET is refused with a sentence that says so."""
    with pytest.raises(ValueError, match="is not a position"):
        Position.parse(text)
