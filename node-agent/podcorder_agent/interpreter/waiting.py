"""Events of sessions of whom nobody knows yet whose they are: kept back, in their order, for a short while."""

from __future__ import annotations

from podcorder_agent.interpreter.events import Event
from podcorder_agent.interpreter.subjects import Session

MOST_HELD = 8192
"""Events kept back: each checkpoint has them all again."""


class Waiting:
    """What is kept back, the session that waits longest first."""

    def __init__(self) -> None:
        self.sessions: dict[str, list[Event]] = {}
        self.count = 0

    def begin(self, session: Session) -> None:
        self.sessions.setdefault(session.id, [])

    def hold(self, session: Session, event: Event) -> bool:
        """Whether the event is kept back."""
        held = self.sessions.get(session.id)
        if held is None:
            return False
        held.append(event)
        self.count += 1
        return True

    def find_largest(self) -> str:
        """The session of which most is kept back."""
        return max(self.sessions, key=lambda each: len(self.sessions[each]))

    def release(self, session_id: str) -> list[Event]:
        """Keep nothing back of a session any more; what was."""
        held = self.sessions.pop(session_id, [])
        self.count -= len(held)
        return held
