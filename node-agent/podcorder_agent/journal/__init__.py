"""The journal: its format, its one writer, its readers, its checkpoint. docs/journal.md is the law."""

from podcorder_agent.journal.checkpoint import Checkpoint, read_checkpoint
from podcorder_agent.journal.errors import (
    CheckpointDamaged,
    JournalError,
    JournalForbidden,
    JournalFull,
    JournalLocked,
    JournalMissing,
    JournalNotDirectory,
    JournalReadOnly,
    JournalVersion,
    PositionUnknown,
)
from podcorder_agent.journal.frames import FLAG_CARRIED, Frame, FrameKind, Position, SegmentHeader
from podcorder_agent.journal.reader import Reader
from podcorder_agent.journal.retention import Limits
from podcorder_agent.journal.writer import Writer

__all__ = [
    "FLAG_CARRIED",
    "Checkpoint",
    "CheckpointDamaged",
    "Frame",
    "FrameKind",
    "JournalError",
    "JournalForbidden",
    "JournalFull",
    "JournalLocked",
    "JournalMissing",
    "JournalNotDirectory",
    "JournalReadOnly",
    "JournalVersion",
    "Limits",
    "Position",
    "PositionUnknown",
    "Reader",
    "SegmentHeader",
    "Writer",
    "read_checkpoint",
]
