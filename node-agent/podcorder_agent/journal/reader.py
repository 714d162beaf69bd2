"""Reading a journal: while a recorder writes it, or after its time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from podcorder_agent.journal.errors import explain
from podcorder_agent.journal.frames import Frame, Position
from podcorder_agent.journal.segments import SegmentFile, list_segments

_STEADY_NS = 10**9
"""Far more than the grain of a directory's time of change."""


class Reader:
    """Gives a journal's intact frames in their order, and counts what it cannot give."""

    def __init__(self, directory: Path | str, start: Position | None = None) -> None:
        """Read from `start` on, or from the oldest segment there is.

        Raises JournalMissing, JournalNotDirectory or JournalForbidden. A directory without segments is empty.
        """
        self.missed_segments = 0
        """Segments that were gone before they could be read."""
        self._directory = Path(directory)
        self._start = start
        self._file: SegmentFile | None = None
        self._rejected = 0
        self._unchanged_since: int | None = None
        """When the directory last changed, Unix time in ns; None: too lately for a further change to show in it."""
        self._list()

    @property
    def rejected(self) -> int:
        """Damaged frames passed over."""
        return self._rejected + (self._file.rejected if self._file else 0)

    @property
    def position(self) -> Position | None:
        """Where the next frame is expected; None before there is any segment to read and no start was given."""
        return Position(self._file.index, self._file.offset) if self._file else self._start

    def read(self) -> Iterator[Frame]:
        """All complete frames there are now; call it again for those that came since.

        Raises JournalVersion at a segment of another version, JournalError where the disk fails.
        """
        try:
            if self._is_at_rest():
                return
            while True:
                # The list comes first: once a newer segment exists nothing is appended to this one any more.
                newer = self._newer()
                if self._file is not None:
                    yield from self._file.frames(final=newer is not None)
                if newer is None:
                    return
                self._open(newer)
        except OSError as error:
            raise explain(error, self._directory) from error

    def close(self) -> None:
        """Give the descriptor back; the counters stay."""
        if self._file is not None:
            self._start, self._rejected = self.position, self.rejected
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_at_rest(self) -> bool:
        """Whether nothing has come, told by two looks: a quiet journal is asked many times a second."""
        return (
            self._file is not None
            and self._file.offset == self._file.size()
            and os.stat(self._directory).st_mtime_ns == self._unchanged_since
        )

    def _list(self) -> list[int]:
        try:
            changed = os.stat(self._directory).st_mtime_ns
            self._unchanged_since = changed if time.time_ns() - changed > _STEADY_NS else None
            return list_segments(self._directory)
        except OSError as error:
            raise explain(error, self._directory) from error

    def _newer(self) -> int | None:
        """Index of the segment to read next, None where this one is the newest."""
        first = self._file.index + 1 if self._file else self._start.segment if self._start else 0
        return next((index for index in self._list() if index >= first), None)

    def _open(self, index: int) -> None:
        """Go on with segment `index`; where retention was faster, the next call finds another."""
        expected = self._file.index + 1 if self._file else self._start.segment if self._start else index
        try:
            file = SegmentFile(self._directory, index)
        except FileNotFoundError:
            if not self._directory.is_dir():
                raise
            if self._file is None and self._start is None:
                self._start = Position(index, 0)
            return
        if self._file is None and self._start is not None and self._start.segment == index:
            file.offset = max(file.first, self._start.offset)
        self.missed_segments += index - expected
        self.close()
        self._file = file
