"""The journal's only writer: appends frames, closes segments, keeps the journal within its limits."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from podcorder_agent.journal.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from podcorder_agent.journal.errors import (
    CheckpointDamaged,
    JournalLocked,
    JournalMissing,
    JournalReadOnly,
    PositionUnknown,
    explain,
)
from podcorder_agent.journal.files import FILE_MODE, create_file, give_to, make_directory, sync_directory, write_all
from podcorder_agent.journal.frames import (
    FLAG_CARRIED,
    MAX_PAYLOAD,
    VERSION,
    Buffer,
    FrameKind,
    Position,
    SegmentHeader,
    frame_size,
    pack_frame_header,
    pack_segment_header,
    padding,
)
from podcorder_agent.journal.retention import Limits, Remains, SegmentState, choose_expired, examine
from podcorder_agent.journal.segments import SegmentFile, list_segments, segment_name

LOCK_NAME = "lock"
NEW_SEGMENT_NAME = "segment.new"
DEFAULT_LIMITS = Limits()
RETENTION_SECONDS = 60.0
"""How often a journal that nothing is written to is looked through for segments grown too old."""


class Tail(NamedTuple):
    """What a killed writer left behind the last intact frame of a segment."""

    segment: int
    end: int
    """Offset of the cut."""
    torn: int
    """Bytes behind it."""


class Writer:
    """Holds the journal's lock and appends to a segment of its own."""

    def __init__(
        self,
        directory: Path | str,
        *,
        node: str,
        generation: int,
        boot_id: str,
        limits: Limits = DEFAULT_LIMITS,
        group: int | None = None,
    ) -> None:
        """Take the journal over: lock it, cut a torn tail, begin a segment.

        A missing directory is made (mode 0750, of `group`), its parent must exist; one that exists is left as it is.
        Raises JournalLocked, JournalVersion, JournalFull, JournalReadOnly, JournalMissing, JournalNotDirectory,
        JournalForbidden or JournalError.
        """
        self._directory = Path(directory)
        self._node, self._generation, self._boot_id = node, generation, boot_id
        self._limits, self._group = limits, group
        self._segments: dict[int, SegmentState] = {}
        self._index = self._salt = 0
        self._first = self._offset = 0
        """Where the current segment's frames begin and where the next one goes."""
        self._fd = self._lock = -1
        self._unsynced: list[int] = []
        """Descriptors of closed segments whose last bytes are not yet safe."""
        self._dirty = self._retaining = False
        self._retained = time.monotonic()
        self._acknowledged = Position(0, 0)
        self._saved = Position(0, 0)
        """The position of the checkpoint on disk: retention follows it."""
        self._has_state = False
        """Whether that checkpoint has the interpreter's state."""
        try:
            with self._explained():
                self._open()
        except BaseException:
            self._release()
            raise

    @property
    def position(self) -> Position:
        """Where the next frame will stand, unless it begins a segment."""
        return Position(self._index, self._offset)

    @property
    def acknowledged(self) -> Position:
        """Everything before it is delivered; 0:0 where nothing is."""
        return self._acknowledged

    @property
    def segments(self) -> int:
        """How many segment files there are."""
        return len(self._segments)

    @property
    def bytes(self) -> int:
        """Bytes in all segments."""
        return sum(state.size for state in self._segments.values())

    @property
    def undelivered(self) -> int:
        """Bytes behind the acknowledged position."""
        behind = sum(state.size for index, state in self._segments.items() if index >= self._acknowledged.segment)
        return behind - (self._acknowledged.offset if self._acknowledged.segment in self._segments else 0)

    @property
    def limit(self) -> int:
        """Bytes beyond which the oldest segments go."""
        return self._limits.journal_bytes

    def append(self, kind: FrameKind, *buffers: Buffer) -> Position:
        """Write one frame whose payload is the buffers one after another; returns its end.

        The buffers are not copied; they must not change meanwhile. ValueError beyond 16 MiB. JournalFull and any other
        JournalError leave the journal as it was before: the same call may be made again.
        """
        with self._explained():
            self._append(kind, 0, time.clock_gettime_ns(time.CLOCK_BOOTTIME), buffers)
            return self.position

    def sync(self) -> None:
        """Make all frames safe on disk (fdatasync); costs nothing where nothing is new."""
        with self._explained():
            while self._unsynced:
                os.fdatasync(self._unsynced[0])
                os.close(self._unsynced.pop(0))
            if self._dirty:
                os.fdatasync(self._fd)
                self._dirty = False
            if time.monotonic() - self._retained >= RETENTION_SECONDS:
                self._retain()

    def acknowledge(self, position: Position, state: Mapping[str, Any] | None) -> None:
        """Everything before `position` is delivered; `state` is the interpreter's snapshot of there.

        Without a state, a checkpoint that has one stays as it is: after a restart delivery goes on from there, and
        retention follows it. A position behind the last one is ignored. Raises PositionUnknown beyond the journal's
        end, JournalFull where the checkpoint cannot be written.
        """
        if position > self.position:
            raise PositionUnknown(
                f"{position} is beyond the journal's end {self.position}: start again from the checkpoint."
            )
        if position < self._acknowledged:
            return
        with self._explained():
            if state is not None or not self._has_state:
                checkpoint = Checkpoint(position, self._boot_id, None if state is None else dict(state))
                write_checkpoint(self._directory, checkpoint, self._group)
                self._saved, self._has_state = position, state is not None
            self._acknowledged = position
            self._retain()

    def close(self) -> None:
        """Sync and give the lock back."""
        try:
            if self._fd >= 0:
                self.sync()
        finally:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the operating system says into the journal's own errors."""
        try:
            yield
        except OSError as error:
            raise explain(error, self._directory) from error

    def _open(self) -> None:
        try:
            make_directory(self._directory, self._group)
        except FileNotFoundError as error:
            raise JournalMissing(
                f"There is no {self._directory.parent} to make the journal in: make it, or name another directory."
            ) from error
        self._take_lock()
        (self._directory / NEW_SEGMENT_NAME).unlink(missing_ok=True)
        try:
            checkpoint = read_checkpoint(self._directory)
        except CheckpointDamaged:
            checkpoint = None  # nothing counts as delivered then, and the exporter tells what to do
        if checkpoint is not None:
            self._acknowledged = self._saved = checkpoint.position
            self._has_state = checkpoint.state is not None
        indexes = list_segments(self._directory)
        for index in indexes:
            status = (self._directory / segment_name(index)).stat()
            self._segments[index] = SegmentState(status.st_size, status.st_mtime)
            SegmentFile(self._directory, index).close()  # another version is refused before anything is written
        tail = self._find_tail(indexes[-1]) if indexes else None
        self._index = max(indexes[-1] if indexes else 0, self._acknowledged.segment)
        self._begin_segment(tail)
        self._retain()

    def _take_lock(self) -> None:
        path = self._directory / LOCK_NAME
        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        except PermissionError as error:
            raise JournalReadOnly(
                f"{self._directory} cannot be written to: run as root, or name another directory."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalLocked(
                f"Another recorder writes to {self._directory}: stop it, or name another directory."
            ) from error
        give_to(self._lock, self._group)

    def _find_tail(self, index: int) -> Tail | None:
        """What stands behind the last intact frame of a segment, None where nothing does."""
        with SegmentFile(self._directory, index) as file:
            if file.header is None:
                return None  # nothing in it can be told from damage: readers reject it, and it stays as it is
            end = file.first
            for frame in file.frames(final=True):
                end = frame.end.offset
            torn = file.size() - end
        return Tail(index, end, torn) if torn else None

    def _begin_segment(self, tail: Tail | None = None) -> None:
        """Begin the next segment: its file appears with its header, and the note about the tail cut, or not at all."""
        now, boottime = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        index = self._index + 1
        header = SegmentHeader(VERSION, self._node, index, self._generation, self._boot_id, now - boottime, now)
        data, salt = pack_segment_header(header)
        first = len(data)
        if tail is not None:
            note = pack_note({"note": "torn", "segment": tail.segment, "bytes": tail.torn})
            data += pack_frame_header(FrameKind.NOTE, 0, boottime, len(note), [note], salt) + note
            data += bytes(padding(len(note)))
        new = self._directory / NEW_SEGMENT_NAME
        descriptor = create_file(new, self._group)
        try:
            write_all(descriptor, [memoryview(data)], 0)
            os.fdatasync(descriptor)
            if tail is not None:
                os.truncate(self._directory / segment_name(tail.segment), tail.end)
                self._segments[tail.segment].size = tail.end
            new.rename(self._directory / segment_name(index))
        except OSError:
            os.close(descriptor)
            new.unlink(missing_ok=True)
            raise
        if self._fd >= 0:
            self._unsynced.append(self._fd)
        self._fd, self._index, self._salt = descriptor, index, salt
        self._first, self._offset = first, len(data)
        self._segments[index] = SegmentState(len(data), time.time())
        sync_directory(self._directory)

    def _append(self, kind: FrameKind, flags: int, when: int, buffers: Sequence[Buffer]) -> None:
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        length = sum(view.nbytes for view in views)
        if length > MAX_PAYLOAD:
            raise ValueError(f"a frame's payload of {length} bytes is longer than {MAX_PAYLOAD}")
        size = frame_size(length)
        if not self._fits(size):
            self._begin_segment()
            self._retain()
            if not self._fits(size):  # behind what was carried
                self._begin_segment()
        header = pack_frame_header(kind, flags, when, length, views, self._salt)
        try:
            write_all(self._fd, [memoryview(header), *views, memoryview(bytes(padding(length)))], self._offset)
        except OSError:
            os.ftruncate(self._fd, self._offset)
            raise
        self._offset += size
        self._dirty = True
        state = self._segments[self._index]
        state.size, state.changed = self._offset, time.time()

    def _fits(self, size: int) -> bool:
        """Whether a frame of `size` bytes goes into the current segment; into an empty one it does."""
        return self._offset == self._first or self._offset + size <= self._limits.segment_bytes

    def _retain(self) -> None:
        """Drop the segments whose time has come."""
        if self._retaining:
            return
        self._retaining, self._retained = True, time.monotonic()
        try:
            for index in choose_expired(self._segments, self._saved.segment, self._limits, time.time()):
                self._drop(index, None if index < self._saved.segment else self._saved)
        finally:
            self._retaining = False

    def _drop(self, index: int, unsent: Position | None) -> None:
        """Remove a segment once what must outlive it is safe in the current one."""
        try:
            remains = examine(self._directory, index, unsent, self._boot_id, self._generation)
        except OSError:
            remains = Remains(rejected=1)  # a bad sector in an old segment must not stop the recording
        for frame in remains.carried:
            self._append(frame.kind, frame.flags | FLAG_CARRIED, frame.time, [frame.payload])
        if remains.is_loss:
            note = pack_note(remains.note(index))
            self._append(FrameKind.NOTE, 0, time.clock_gettime_ns(time.CLOCK_BOOTTIME), [note])
        self.sync()
        (self._directory / segment_name(index)).unlink(missing_ok=True)
        del self._segments[index]

    def _release(self) -> None:
        for descriptor in (*self._unsynced, self._fd, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._unsynced, self._fd, self._lock = [], -1, -1


def pack_note(note: Mapping[str, Any]) -> bytes:
    """A note's payload."""
    return json.dumps(note, separators=(",", ":")).encode()
