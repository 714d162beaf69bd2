"""Making the journal's files: never over another one, for root and one group."""

from __future__ import annotations

import os
from pathlib import Path

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750
VECTORS = 1024
"""Buffers in one write: IOV_MAX of Linux."""


def create_file(path: Path, group: int | None) -> int:
    """Make a file of mode 0640 and return its descriptor, for reading and writing. OSError as of open."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        give_to(descriptor, group)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def give_to(descriptor: int, group: int | None) -> None:
    """Let the owner write and `group` read a file, whatever the umask. OSError as of chmod and chown."""
    os.fchmod(descriptor, FILE_MODE)
    if group is not None:
        os.fchown(descriptor, -1, group)


def make_directory(path: Path, group: int | None) -> None:
    """Make a directory of mode 0750; one that exists stays as it is. OSError as of mkdir."""
    try:
        path.mkdir(DIRECTORY_MODE)
    except FileExistsError:
        return
    path.chmod(DIRECTORY_MODE)
    if group is not None:
        os.chown(path, -1, group)


def write_all(descriptor: int, buffers: list[memoryview], offset: int) -> None:
    """Write all buffers (of bytes, one dimension) at `offset`, going on after short writes; empties the list.

    OSError as of write.
    """
    while buffers:
        written = os.pwritev(descriptor, buffers[:VECTORS], offset)
        offset += written
        while buffers and written >= buffers[0].nbytes:
            written -= buffers.pop(0).nbytes
        if written:
            buffers[0] = buffers[0][written:]


def sync_directory(path: Path) -> None:
    """Make the names in a directory safe on disk. OSError as of fsync."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
