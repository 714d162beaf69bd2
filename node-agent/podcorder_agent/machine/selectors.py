"""Selects the containers of one plain machine: those there are, and each that comes."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any, Protocol

from podcorder_agent.interpreter.containers import recognise
from podcorder_agent.journal.frames import Frame, FrameKind
from podcorder_agent.machine.cgroups import processes, walk
from podcorder_agent.machine.lifecycle import cgroup_changes
from podcorder_crds import ContainerFilter

SESSION_KIND = "Container"


class Control(Protocol):
    """The two requests of the control socket that selecting needs (`ControlClient` has them)."""

    def select(self, cgroup_id: int, slot: int, session_kind: str, container: dict[str, Any]) -> Any: ...

    def exclude(self, cgroup_id: int) -> Any: ...


class ContainerSelector:
    """Asks the recorder to record the containers that a policy wants, and to let go of every other new cgroup."""

    def __init__(self, control: Control, slot: int, wanted: ContainerFilter, proc: Path = Path("/proc")) -> None:
        self._control = control
        self._slot = slot
        self._wanted = wanted
        self._proc = proc
        self._decided: dict[int, str] = {}
        """Path by cgroup id of every container decided about; what is below one goes with it."""
        self.selected = 0
        """Containers selected so far."""

    def scan(self, root: Path) -> None:
        """Decides about the containers there are below `root`, where the cgroup2 tree is mounted."""
        for directory, number in walk(root):
            path = "/" + str(directory.relative_to(root))
            self._decide(number, path, self._maker(directory), pending=False)

    def observe(self, frame: Frame) -> None:
        """Decides about the cgroups that a LIFECYCLE frame shows made; other frames are nothing to it."""
        if frame.kind is not FrameKind.LIFECYCLE:
            return
        for change in cgroup_changes(frame.payload):
            if change.removed:
                self._decided.pop(change.id, None)
            else:
                self._decide(change.id, change.path, change.comm, pending=True)

    def leave(self, number: int, path: str) -> None:
        """Leaves a cgroup alone, with all below it: it is recorded by somebody else's decision."""
        self._decided[number] = path

    def _decide(self, number: int, path: str, comm: str, *, pending: bool) -> None:
        # What is made inside a container inherits its selection in the kernel.
        if number in self._decided or any(path.startswith(f"{above}/") for above in self._decided.values()):
            return
        found = recognise(path, comm)
        if found is None:
            if pending:
                self._control.exclude(number)
            return
        self._decided[number] = path
        if wants(self._wanted, found.id):
            container = {"id": found.id, "path": path, "runtime": found.runtime}
            self._control.select(number, self._slot, SESSION_KIND, {k: v for k, v in container.items() if v})
            self.selected += 1
        elif pending:
            self._control.exclude(number)

    def _maker(self, directory: Path) -> str:
        """Name of the process that holds a cgroup's first one from outside: a shim or a runtime, where one stayed."""
        inside = processes(directory)
        for pid in inside:
            parent = _parent(self._proc, pid)
            if parent and parent not in inside:
                return _comm(self._proc, parent)
        return ""


def wants(wanted: ContainerFilter, name: str) -> bool:
    """Whether a policy's filter takes a container of this name; here that is the id its runtime knows it by."""
    if any(fnmatch.fnmatchcase(name, each) for each in wanted.exclude):
        return False
    return not wanted.include or any(fnmatch.fnmatchcase(name, each) for each in wanted.include)


def _parent(proc: Path, pid: int) -> int:
    try:
        # The name in brackets may hold anything, brackets too: the fields begin behind the last one.
        return int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _comm(proc: Path, pid: int) -> str:
    try:
        return (proc / str(pid) / "comm").read_text().rstrip("\n")
    except OSError:
        return ""
