"""Processes by the number that BPF programs see: inside a pid namespace it is not the one that getpid(2) tells."""

from __future__ import annotations

from typing import NamedTuple

from podcorder_agent.recorder.loaders import IDENTITY, CoreLoader


class Identity(NamedTuple):
    """A process, for good."""

    tgid: int
    """In the initial pid namespace."""
    start: int
    """Boot time of its start, ns."""


class Identities:
    """The processes of our own pid namespace and those below it, asked of the kernel anew each time."""

    def __init__(self, loader: CoreLoader) -> None:
        self._loader = loader

    def by_pid(self) -> dict[int, Identity]:
        """By the number that each has in our own pid namespace; raises LoadRefused."""
        return {pid: Identity(tgid, start) for pid, tgid, start in IDENTITY.iter_unpack(self._loader.list_identities())}

    def find(self, pid: int) -> Identity:
        """Raises ProcessLookupError, LoadRefused."""
        found = self.by_pid().get(pid)
        if found is None:
            raise ProcessLookupError(f"there is no process {pid} in the recorder's pid namespace")
        return found
