"""Processes by the number that BPF programs see: inside a pid namespace it is not the one that getpid(2) tells."""

from __future__ import annotations

import struct
from functools import cached_property
from typing import NamedTuple

from podcorder_agent.recorder.libbpf import Link
from podcorder_agent.recorder.loaders import CoreLoader

_IDENTITY = struct.Struct("=2IQ")
"""`struct identity` of bpf/identities.bpf.c."""


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

    @cached_property
    def _link(self) -> Link:
        return self._loader.attach_iterator("identities", "list_identities")

    def by_pid(self) -> dict[int, Identity]:
        """By the number that each has in our own pid namespace; raises LoadRefused."""
        return {pid: Identity(tgid, start) for pid, tgid, start in _IDENTITY.iter_unpack(self._link.iterate())}

    def find(self, pid: int) -> Identity:
        """Raises ProcessLookupError, LoadRefused."""
        found = self.by_pid().get(pid)
        if found is None:
            raise ProcessLookupError(f"there is no process {pid} in the recorder's pid namespace")
        return found
