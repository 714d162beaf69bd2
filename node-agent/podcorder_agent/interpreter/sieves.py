"""What leaves the interpreter: of what a slot records, each kind of session wants its own, and the rest is withheld.

Withheld records are counted by class, so that generated = delivered + withheld + counted lost.
"""

from __future__ import annotations

from collections.abc import Container as Collection
from collections.abc import Mapping
from operator import add

from podcorder_agent.classes import CLASS_COUNT
from podcorder_agent.interpreter.events import Event, SessionStart
from podcorder_agent.interpreter.sessions import Sessions
from podcorder_agent.interpreter.slots import Slot
from podcorder_agent.interpreter.subjects import Session


class Sieve:
    """Takes out what no policy asks for."""

    def __init__(self, slots: Mapping[int, Slot]) -> None:
        self.slots = slots
        self.active = False
        """Whether a slot ever told kinds of session apart: until then everything passes."""
        self.withheld = [0] * CLASS_COUNT
        """By class: records of cgroups that were excluded, held ones that their slot does not want, and records of
        sessions whose kind wants less than the slot."""

    def withhold(self, counts: list[int]) -> None:
        self.withheld = list(map(add, self.withheld, counts))

    def sift(self, found: list[Event], excluded: Collection[int], sessions: Sessions) -> list[Event]:
        """What is wanted, in its order; `excluded` are the cgroups that are not recorded any more.

        A session whose start was withheld begins with its first event that is wanted after all, as a partial one.
        """
        if not self.active:
            return found
        kept: list[Event] = []
        session: Session | None = None
        wanted: Slot | None = None
        asked = True
        for event in found:
            process = event.process
            if process is None:
                kept.append(event)
                continue
            if process.session is not session:
                session = process.session
                asked, wanted = self._find(session, excluded)
            if event.RECORD is None:
                if isinstance(event, SessionStart):
                    session.withheld = not asked
                # An end is told where the start was.
                if not session.withheld:
                    kept.append(event)
            elif asked and (wanted is None or wanted.admits(event)):
                if session.withheld:
                    root = sessions.root_of(process)
                    kept.append(SessionStart(f"{session.id}.start", event.time, root, flags=["partial"]))
                    session.withheld = False
                kept.append(event)
            else:
                self.withheld[event.RECORD] += 1
        return kept

    def _find(self, session: Session, excluded: Collection[int]) -> tuple[bool, Slot | None]:
        """(Whether anything of a session is wanted, by which filters; None where all that was recorded is)."""
        container = session.container
        if container.cgroup_id in excluded:
            return False, None
        slot = self.slots.get(container.slot)
        if slot is None or slot.kinds is None:
            return True, None
        wanted = slot.kinds.get(session.kind)
        return wanted is not None, wanted
