"""The journal's format as docs/journal.md lays it down: segment headers, frames and positions. No I/O."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self
from zlib import crc32

VERSION = 1
SEGMENT_MAGIC = b"PODCJRNL"
FRAME_MAGIC = b"PCF1"
FLAG_CARRIED = 1
"""Copied from a segment that was dropped."""
MAX_PAYLOAD = 16 << 20
ALIGNMENT = 8

_SEGMENT = struct.Struct("<8sHHIQQ16sqQ")
_FRAME = struct.Struct("<4sBBHIIQ")
SEGMENT_HEADER_SIZE = _SEGMENT.size
FRAME_HEADER_SIZE = _FRAME.size
MAX_NODE_LENGTH = 1024
_NO_CRC = b"\0\0\0\0"

Buffer = bytes | bytearray | memoryview


class FrameKind(IntEnum):
    """What a frame's payload is."""

    RECORDS = 1
    LIFECYCLE = 2
    COUNTERS = 3
    REQUEST = 4
    NOTE = 5


_KINDS = {int(kind): kind for kind in FrameKind}


class Position(NamedTuple):
    """A place in the journal: offset in bytes within the segment of that index."""

    segment: int
    offset: int

    def __str__(self) -> str:
        return f"{self.segment}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "SEGMENT:OFFSET"; ValueError for anything else."""
        segment, colon, offset = text.partition(":")
        if not (colon and text.isascii() and segment.isdigit() and offset.isdigit() and len(text) <= 41):
            raise ValueError(f"{text!r} is not a position: it reads SEGMENT:OFFSET")
        return cls(int(segment), int(offset))


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of all its frames; times in ns."""

    version: int
    node: str
    index: int
    generation: int
    boot_id: str
    """32 hexadecimal digits."""
    anchor_ns: int
    """realtime - boottime when the segment was begun."""
    created_ns: int
    """Unix time when the segment was begun."""
    crc: int = 0
    """Its own CRC: the CRCs of its frames start from it."""


class Frame(NamedTuple):
    """One frame as read."""

    kind: FrameKind
    flags: int
    time: int
    """Boot time of writing, ns."""
    payload: bytes
    position: Position
    """Of this frame."""
    end: Position
    """Of what follows it."""
    segment: SegmentHeader


class FrameHeader(NamedTuple):
    """A frame's header, not yet compared with its payload."""

    kind: FrameKind
    flags: int
    length: int
    crc: int
    time: int


def padding(length: int) -> int:
    """Bytes of zeros behind `length` bytes."""
    return -length % ALIGNMENT


def frame_size(length: int) -> int:
    """Bytes a frame takes whose payload has `length` bytes."""
    return FRAME_HEADER_SIZE + length + padding(length)


def pack_segment_header(header: SegmentHeader) -> tuple[bytes, int]:
    """The bytes that begin a segment, padded, and their CRC; `header.crc` is not looked at."""
    node = header.node.encode()[:MAX_NODE_LENGTH]
    fields = (header.index, header.generation, bytes.fromhex(header.boot_id), header.anchor_ns, header.created_ns)
    crc = crc32(node, crc32(_SEGMENT.pack(SEGMENT_MAGIC, header.version, len(node), 0, *fields)))
    fixed = _SEGMENT.pack(SEGMENT_MAGIC, header.version, len(node), crc, *fields)
    return fixed + node + bytes(padding(len(node))), crc


def unpack_segment_header(data: bytes) -> tuple[SegmentHeader, int] | None:
    """The header at the start of `data` and the offset of the first frame; None where it is damaged or incomplete.

    A header of another version is returned with its version alone to be believed.
    """
    if len(data) < SEGMENT_HEADER_SIZE:
        return None
    magic, version, length, crc, index, generation, boot_id, anchor, created = _SEGMENT.unpack_from(data)
    if magic != SEGMENT_MAGIC:
        return None
    node = data[SEGMENT_HEADER_SIZE : SEGMENT_HEADER_SIZE + length]
    header = SegmentHeader(
        version, node.decode(errors="replace"), index, generation, boot_id.hex(), anchor, created, crc
    )
    if version == VERSION and (
        len(node) != length
        or length > MAX_NODE_LENGTH
        or crc32(node, crc32(data[:12] + _NO_CRC + data[16:SEGMENT_HEADER_SIZE])) != crc
    ):
        return None
    return header, SEGMENT_HEADER_SIZE + length + padding(length)


def pack_frame_header(
    kind: FrameKind, flags: int, time: int, length: int, buffers: Iterable[Buffer], salt: int
) -> bytes:
    """The header of a frame whose payload are `buffers`, `length` bytes in all; `salt` is the segment header's CRC."""
    crc = crc32(_FRAME.pack(FRAME_MAGIC, kind, flags, 0, length, 0, time), salt)
    for buffer in buffers:
        crc = crc32(buffer, crc)
    return _FRAME.pack(FRAME_MAGIC, kind, flags, 0, length, crc, time)


def unpack_frame_header(data: bytes, offset: int = 0) -> FrameHeader | None:
    """The header at `offset`, which must have 24 bytes; None where it cannot be one."""
    magic, kind, flags, _, length, crc, time = _FRAME.unpack_from(data, offset)
    known = _KINDS.get(kind)
    if magic != FRAME_MAGIC or known is None or length > MAX_PAYLOAD:
        return None
    return FrameHeader(known, flags, length, crc, time)


def is_intact(data: bytes, offset: int, header: FrameHeader, payload: Buffer, salt: int) -> bool:
    """Whether the CRC of the header at `offset` of `data` and of its payload is the one it states."""
    fixed = data[offset : offset + 12] + _NO_CRC + data[offset + 16 : offset + FRAME_HEADER_SIZE]
    return crc32(payload, crc32(fixed, salt)) == header.crc
