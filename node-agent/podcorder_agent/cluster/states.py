"""What the agent says of its node, and how it comes from the thread that follows to the one that reports."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from podcorder_crds import EventClass


@dataclass(frozen=True, slots=True)
class Capability:
    """How much of one capability the node can give, in the words of the contract."""

    name: str
    state: str
    rung: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Loader:
    """What brings programs into the kernel, and why that."""

    name: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NodeState:
    """All that the status of a NodeRecordingConfig says."""

    config_uid: str = ""
    """Empty: there is no config to report on."""
    generation: int = 0
    """Of the config that was seen last."""
    applied_generation: int = 0
    """Of the config that is in force; 0: none yet."""
    namespaces: tuple[str, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    problems: tuple[str, ...] = ()
    """Of the config: what is not understood, or refused."""
    recorder_problem: str = ""
    unloaded: bool = False
    """Whether nothing of ours is left in the kernel, as the config asks."""
    loader: Loader | None = None
    """None: the recorder has not said yet."""
    journal_full: bool = False
    losing: tuple[EventClass, ...] = ()
    """Of which records are being lost."""


@dataclass(slots=True)
class Board:
    """The latest state, and when which namespaces were reported; for several threads."""

    _state: NodeState = NodeState()
    _reported: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    changed: threading.Event = field(default_factory=threading.Event)

    def post(self, state: NodeState) -> None:
        with self._lock:
            if state != self._state:
                self._state = state
                self.changed.set()

    def read(self) -> NodeState:
        with self._lock:
            return self._state

    def note_reported(self, namespaces: tuple[str, ...], *, since: float = 0.0) -> None:
        """The operator can know these by now; `since`: how many seconds ago it could already."""
        with self._lock:
            moment = time.monotonic() - since
            self._reported = {each: min(self._reported.get(each, moment), moment) for each in namespaces}

    def reported_for(self, namespace: str) -> float:
        """Seconds since a namespace was reported; 0 where it was not."""
        with self._lock:
            moment = self._reported.get(namespace)
            return 0.0 if moment is None else time.monotonic() - moment
