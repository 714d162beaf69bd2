"""What can be wrong with a journal: one class, one exit code and one sentence with its remedy each."""

from __future__ import annotations

import errno
from pathlib import Path

from podcorder_agent.errors import PodcorderError


class JournalError(PodcorderError):
    """The journal cannot be used, for a reason that none of the classes below names."""

    exit_code = 20


class JournalMissing(JournalError):
    """There is no such directory."""

    exit_code = 21


class JournalNotDirectory(JournalError):
    """The path names something else than a directory."""

    exit_code = 22


class JournalReadOnly(JournalError):
    """The directory cannot be written to."""

    exit_code = 23


class JournalLocked(JournalError):
    """Another recorder writes there."""

    exit_code = 24


class JournalVersion(JournalError):
    """A segment or the checkpoint was written by another version of the format."""

    exit_code = 25


class JournalFull(JournalError):
    """The disk, a quota or a limit refused more bytes; the journal is as it was before, so the caller may retry."""

    exit_code = 26


class JournalForbidden(JournalError):
    """The user may not read the journal."""

    exit_code = 27


class CheckpointDamaged(JournalError):
    """The checkpoint is not what a recorder writes."""

    exit_code = 28


class PositionUnknown(JournalError):
    """A position that this journal never reached."""

    exit_code = 29


def explain(error: OSError, directory: Path) -> JournalError:
    """The journal's own error for what the operating system said about `directory` or a file in it."""
    match error.errno:
        case errno.ENOENT:
            return JournalMissing(f"There is no journal in {directory}: name the directory that a recorder writes to.")
        case errno.ENOTDIR:
            return JournalNotDirectory(f"{directory} is not a directory: name the directory of a journal.")
        case errno.EROFS:
            return JournalReadOnly(f"{directory} is on a read-only file system: remount it, or name another directory.")
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return JournalFull(f"There is no room left for the journal in {directory}: free some space.")
        case errno.EACCES | errno.EPERM:
            return JournalForbidden(f"You may not use the journal in {directory}: run as root or join its group.")
        case _:
            return JournalError(f"The journal in {directory} cannot be used ({error.strerror}): check its disk.")
