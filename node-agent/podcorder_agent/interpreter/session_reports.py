"""What the interpreter knows of a session that has, or should have, a RecordedSession: the agent writes it there."""

from __future__ import annotations

from dataclasses import dataclass

from podcorder_agent.interpreter.subjects import Identity, Pod, SessionKind

Record = tuple[str, str]
"""Namespace and name of a RecordedSession."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Records of one class that the node lost while a session ran."""

    record_class: str
    count: int | None
    """None: nobody can know."""
    first: int
    """Unix time, ns; so is `last`."""
    last: int


@dataclass(frozen=True, slots=True)
class SessionReport:
    """One session as it is now; a later report of the same session takes its place.

    Of a session that was asked for and did not begin there is a `record` and no `session_id`.
    """

    session_id: str | None
    record: Record | None
    """The announcement that it was joined with; None: of none, or of several."""
    candidates: tuple[Record, ...]
    """What it could belong to as well."""
    kind: SessionKind
    identity: Identity
    pod: Pod | None
    """Where it takes place, the container too."""
    root_pid: int | None = None
    executable: str | None = None
    start: int | None = None
    """Unix time, ns."""
    end: int | None = None
    exit_code: int | None = None
    """As a shell tells it: 128 + n where signal n ended the root."""
    counts: tuple[tuple[str, int], ...] = ()
    """Events delivered, by class."""
    losses: tuple[Loss, ...] = ()
    partial: bool = False
    """Older than its recording."""
    login: tuple[int, int] | None = None
    """Of a login on the node: login uid and audit session."""
    failure: str | None = None
    """The errno's name, where its command could not be executed: then it never began."""

    @property
    def never_started(self) -> bool:
        return self.session_id is None
