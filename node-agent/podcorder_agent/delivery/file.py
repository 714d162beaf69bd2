"""OTLP JSON lines into a file that grows: acknowledged once they are on the disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from podcorder_agent.delivery.errors import FileUnusable
from podcorder_agent.delivery.jsonlines import START, JsonLines
from podcorder_agent.delivery.transports import Reply, SendFailed, Verdict

_BLOCK = 1 << 16


class FileTransport:
    """Appends a line a request. A line that a crash tore is cut off at the next start: it was never acknowledged."""

    def __init__(self, path: Path) -> None:
        """Raises FileUnusable; a file that holds something else is left alone."""
        self.codec = JsonLines()
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise FileUnusable(
                f"{path} cannot be written ({error.strerror}): choose a file in a directory you may write to."
            ) from error
        try:
            self._end = self._cut_torn_line()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def send(self, request: bytes) -> Reply:
        """Append the line and wait until it is on the disk. Raises SendFailed where the disk refuses."""
        try:
            rest = memoryview(request)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._take_back()
            raise SendFailed(Verdict.RETRY, f"{self._path}: {error.strerror}") from error
        self._end += len(request)
        return Reply()

    def _take_back(self) -> None:
        """Half a line must not stand before the next try."""
        try:
            os.ftruncate(self._descriptor, self._end)
        except OSError:
            pass  # the next start cuts it

    def _cut_torn_line(self) -> int:
        """Where the last whole line ends."""
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FileUnusable(f"{self._path} is no regular file: choose one to append to.")
        start = os.pread(self._descriptor, len(START), 0)
        if not START.startswith(start):
            raise FileUnusable(f"{self._path} holds something else than OTLP JSON lines: choose another file.")
        end = self._find_last_line_end(found.st_size)
        if end < found.st_size:
            if not START.startswith(os.pread(self._descriptor, len(START), end)):
                raise FileUnusable(f"{self._path} ends in something else than OTLP JSON lines: choose another file.")
            os.ftruncate(self._descriptor, end)
        return end

    def _find_last_line_end(self, size: int) -> int:
        while size > 0:
            start = max(0, size - _BLOCK)
            newline = os.pread(self._descriptor, size - start, start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            size = start
        return 0
