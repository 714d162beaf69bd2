"""The recorder's directory in a bpffs: what is pinned outlives the recorder.

`loader/NAME` (which one's they are), `maps/NAME`, `links/CAPABILITY/RUNG/PROGRAM` (unlinking one detaches its
program), `programs/CAPABILITY/RUNG/PROGRAM` (for their counts of skipped runs). bpffs allows no dots in names.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from podcorder_agent.mounts import mount_points
from podcorder_agent.recorder.errors import PinsBusy, PinsUnusable

DEFAULT_PINS = Path("/sys/fs/bpf/podcorder")


class Pins:
    """The directory, held by at most one recorder at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.maps = directory / "maps"
        self.links = directory / "links"
        self.programs = directory / "programs"
        self._loader = directory / "loader"
        self._lock = -1

    def prepare(self) -> None:
        """Make the directories and take the lock; raises PinsUnusable or PinsBusy."""
        if not any(self.directory.is_relative_to(point) for point in mount_points("bpf")):
            raise PinsUnusable(f"{self.directory} is not on a bpffs: mount one (mount -t bpf bpf /sys/fs/bpf).")
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            self.lock()
            for each in (self.maps, self.links, self.programs, self._loader):
                each.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            self.close()
            raise PinsUnusable(f"{self.directory} cannot be used ({error.strerror}): run as root.") from None

    def lock(self) -> None:
        """Become the only one to work with these pins; raises PinsUnusable or PinsBusy."""
        try:
            self._lock = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise PinsBusy(f"Another recorder holds {self.directory}: stop it first, or name other --pins.") from None
        except OSError as error:
            self.close()
            raise PinsUnusable(f"{self.directory} cannot be used ({error.strerror}): run as root.") from None

    def close(self) -> None:
        """Let go of the lock; what is pinned stays."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def loader(self) -> str:
        """Identity of the loader whose programs are pinned; empty: nothing is."""
        return next(iter(_names(self._loader)), "")

    @loader.setter
    def loader(self, name: str) -> None:
        (self._loader / name).mkdir(mode=0o700)

    @property
    def trace(self) -> str:
        """Level of the log lines that the pinned programs write; empty: they write none."""
        return self.loader.partition("-")[2]

    def attached(self) -> dict[tuple[str, str], set[str]]:
        """Programs whose links are pinned, by capability and rung."""
        found: dict[tuple[str, str], set[str]] = {}
        for capability in _names(self.links):
            for rung in _names(self.links / capability):
                found[capability, rung] = set(_names(self.links / capability / rung))
        return found

    def clear(self) -> None:
        """Unpin everything, links first."""
        for each in (self.links, self.programs, self.maps, self._loader):
            remove_tree(each)
            each.mkdir(mode=0o700)

    def remove(self) -> None:
        """Unpin everything, links first, and the directory itself."""
        remove_tree(self.links)
        remove_tree(self.directory)


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def remove_tree(directory: Path) -> None:
    """Remove a directory of pins and all below it; nothing where there is none."""
    for name in _names(directory):
        path = directory / name
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
    if directory.exists():
        directory.rmdir()
