"""One segment file as read: whole frames, and the way past damaged ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from podcorder_agent.journal.errors import JournalVersion
from podcorder_agent.journal.frames import (
    ALIGNMENT,
    FRAME_HEADER_SIZE,
    FRAME_MAGIC,
    MAX_NODE_LENGTH,
    SEGMENT_HEADER_SIZE,
    VERSION,
    Frame,
    Position,
    SegmentHeader,
    frame_size,
    is_intact,
    unpack_frame_header,
    unpack_segment_header,
)

WINDOW = 16 << 10
"""Bytes read ahead: many small frames come out of one read; a bigger frame's payload is read alone, and at once."""
SEARCH = 64 << 10
SEARCH_EFFORT = 256 << 20
"""Bytes of false frames checked in one search before the rest of a segment is given up: bounds a hostile payload."""

_NAME = re.compile(r"([0-9]{10,20})\.segment")


def segment_name(index: int) -> str:
    """File name of the segment of that index."""
    return f"{index:010d}.segment"


def list_segments(directory: Path) -> list[int]:
    """Indexes of the segments there are, ascending; OSError as of listdir."""
    matches = map(_NAME.fullmatch, os.listdir(directory))
    return sorted(int(match[1]) for match in matches if match and segment_name(int(match[1])) == match[0])


class SegmentFile:
    """A segment open for reading; it stays readable after retention unlinked it."""

    def __init__(self, directory: Path, index: int) -> None:
        """Open it. OSError as of open; JournalVersion where another version wrote it."""
        self.index = index
        self.rejected = 0
        """Damaged frames passed over; a damaged header counts as one, and each frame behind it as another."""
        self.header: SegmentHeader | None = None
        """None: damaged. Then its frames belong to no boot and no load, and none of them is given out."""
        self._window = b""
        self._window_start = 0
        self._fd = os.open(directory / segment_name(index), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            found = unpack_segment_header(os.pread(self._fd, SEGMENT_HEADER_SIZE + MAX_NODE_LENGTH, 0))
        except OSError:
            self.close()
            raise
        self.first = SEGMENT_HEADER_SIZE
        if found is not None and found[0].version != VERSION:
            self.close()
            path = directory / segment_name(index)
            raise JournalVersion(
                f"{path} has format version {found[0].version}, this program knows {VERSION}: "
                "read it with the release that wrote it, or name another directory."
            )
        if found is not None and found[0].index == index:
            self.header, self.first = found
        else:
            self.rejected = 1
        self.offset = self.first
        """Where the next frame is expected."""

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def frames(self, *, final: bool) -> Iterator[Frame]:
        """The intact frames from `offset` to the end.

        `final` says that nothing will be appended any more: then what is incomplete at the end is rejected, else it is
        left for the next call.
        """
        if self.header is None:
            self._reject_all(final=final)
            return
        while True:
            frame = self._frame_at(self.offset)
            if frame is None:
                self._window = b""
                frame = self._frame_at(self.offset)
            if frame is None and not self._skip(final=final):
                return
            if frame is not None:
                self.offset = frame.end.offset
                yield frame

    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self._fd).st_size

    def _frame_at(self, offset: int) -> Frame | None:
        """The intact frame at `offset`, or None."""
        assert self.header is not None
        data, at = self._look(offset, FRAME_HEADER_SIZE)
        if len(data) - at < FRAME_HEADER_SIZE:
            return None
        header = unpack_frame_header(data, at)
        if header is None:
            return None
        size = frame_size(header.length)
        if size <= WINDOW:
            data, at = self._look(offset, size)
            payload = data[at + FRAME_HEADER_SIZE : at + FRAME_HEADER_SIZE + header.length]
            complete = len(data) - at >= size
        else:
            payload = os.pread(self._fd, header.length, offset + FRAME_HEADER_SIZE)
            complete = len(payload) == header.length and self.size() >= offset + size
        if not complete or not is_intact(data, at, header, payload, self.header.crc):
            return None
        here, end = Position(self.index, offset), Position(self.index, offset + size)
        return Frame(header.kind, header.flags, header.time, payload, here, end, self.header)

    def _look(self, offset: int, size: int) -> tuple[bytes, int]:
        """Bytes of which those from the returned index on stand at `offset`; fewer than `size` only at the end."""
        at = offset - self._window_start
        if at < 0 or at + size > len(self._window):
            self._window, self._window_start, at = os.pread(self._fd, WINDOW, offset), offset, 0
        return self._window, at

    def _skip(self, *, final: bool) -> bool:
        """Move to the next intact frame behind the damaged one at `offset`, counting; False where there is none."""
        size = self.size()
        if self.offset >= size:
            return False
        damaged, effort = 1, 0
        for candidate in self._magics(self.offset + ALIGNMENT):
            if self._frame_at(candidate) is not None:
                self._window = b""
                if self._frame_at(self.offset) is None:  # else the writer has completed it meanwhile
                    self.rejected += damaged
                    self.offset = candidate
                return True
            damaged += 1
            effort += self._stated_size(candidate, size)
            if effort > SEARCH_EFFORT:
                break
        if final:
            self.rejected += damaged
            self.offset = size
        return False

    def _stated_size(self, offset: int, size: int) -> int:
        """Bytes that the frame at `offset` claims to have: what checking it cost, 0 where it claims too many."""
        data, at = self._look(offset, FRAME_HEADER_SIZE)
        header = unpack_frame_header(data, at) if len(data) - at >= FRAME_HEADER_SIZE else None
        return header.length if header is not None and offset + frame_size(header.length) <= size else 0

    def _magics(self, offset: int) -> Iterator[int]:
        """Each multiple of 8 from `offset` on where a frame's magic stands."""
        offset += -offset % ALIGNMENT
        while data := os.pread(self._fd, SEARCH, offset):
            found = data.find(FRAME_MAGIC)
            while found >= 0:
                if found % ALIGNMENT == 0:
                    yield offset + found
                found = data.find(FRAME_MAGIC, found + 1)
            offset += len(data) + -len(data) % ALIGNMENT

    def _reject_all(self, *, final: bool) -> None:
        """Count what stands behind a damaged header, once nothing more comes."""
        if final and self.offset < self.size():
            self.rejected += sum(1 for _ in self._magics(self.offset))
            self.offset = self.size()
