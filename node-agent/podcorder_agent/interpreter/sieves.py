"""What leaves the interpreter: of what a slot records, each kind of session wants its own, and the rest is withheld.

Withheld records are counted by class, so that generated = delivered + withheld + counted lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from operator import add

from podcorder_agent.classes import CLASS_COUNT
from podcorder_agent.interpreter.events import Event, SessionStart
from podcorder_agent.interpreter.sessions import Sessions
from podcorder_agent.interpreter.slots import Slot, Verdicts
from podcorder_agent.interpreter.subjects import Process, Session

_ALL: Verdicts = (True,) * CLASS_COUNT
_NOTHING: Verdicts = (False,) * CLASS_COUNT


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
        verdicts, wanted = _NOTHING, None
        for event in found:
            process = event.process
            if process is not None:
                if process.session is not session:
                    session = process.session
                    verdicts, wanted = self._find(session, excluded)
                number = event.RECORD
                if number is None:
                    if isinstance(event, SessionStart):
                        session.withheld = verdicts is _NOTHING
                    if session.withheld:
                        continue  # of an end as well, where the start was not told
                else:
                    verdict = verdicts[number]
                    if not (wanted.admits(event) if verdict is None and wanted is not None else verdict):
                        self.withheld[number] += 1
                        continue
                    if session.withheld:
                        kept.append(_begin_late(process, event.time, sessions))
            kept.append(event)
        return kept

    def _find(self, session: Session, excluded: Collection[int]) -> tuple[Verdicts, Slot | None]:
        """What is wanted of a session, and the filters where it depends on the event."""
        container = session.container
        if container.cgroup_id in excluded:
            return _NOTHING, None
        slot = self.slots.get(container.slot)
        if slot is None or slot.kinds is None:
            return _ALL, None
        wanted = slot.kinds.get(session.kind)
        return (_NOTHING, None) if wanted is None else (wanted.verdicts, wanted)


def _begin_late(process: Process, time: int, sessions: Sessions) -> SessionStart:
    process.session.withheld = False
    return SessionStart(f"{process.session.id}.start", time, sessions.root_of(process), flags=["partial"])
