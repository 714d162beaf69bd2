"""Makes the journal safe on disk without ever holding up the draining."""

from __future__ import annotations

import os
import threading
from pathlib import Path

_SEGMENTS = 4
"""More than are begun within a second."""


class BackgroundSync:
    """A thread that syncs the newest segments through descriptors of its own.

    The writer's own sync, made afterwards, then finds little left to wait for.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._wanted = threading.Event()
        self._done = threading.Event()
        self._done.set()
        threading.Thread(target=self._run, name="sync", daemon=True).start()

    @property
    def idle(self) -> bool:
        return self._done.is_set()

    def start(self) -> None:
        self._done.clear()
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                for path in sorted(self._directory.glob("*.segment"))[-_SEGMENTS:]:
                    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    try:
                        os.fdatasync(descriptor)
                    finally:
                        os.close(descriptor)
            except OSError:
                pass  # the writer's own sync meets the same error, and tells
            self._done.set()
