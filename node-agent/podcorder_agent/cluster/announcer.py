"""Tells the journal of the sessions that were asked for: the interpreter joins them with what the kernel saw.

A session's events wait for this: so it has a thread and a connection to the recorder of its own.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from podcorder_agent.cluster.announcements import ANNOUNCEMENT, ANNOUNCING, CURRENT, Announcement, read_announcement
from podcorder_agent.cluster.recovery import Recovery
from podcorder_agent.cluster.streams import Change, Drop, Key, Listed, Put
from podcorder_agent.control.client import ControlClient, ControlError

logger = logging.getLogger(__name__)

HOLD_SECONDS = 2.0
"""How long the events of a session wait for its announcement, unless another time is asked for ..."""
UNANNOUNCED_MS = 30000
"""... and when nobody is believed to have asked for it. Both by the journal's own time."""
RETRY_SECONDS = 0.5
"""Between tries to reach a recorder that is away."""
MOST_KNOWN = 1024
"""Sessions that have not ended, on one node: of more the oldest are not told of anew."""
LOOK_SECONDS = 1.0
"""Between looks whether to stop."""


class Announcer:
    """What one load of the recorder's programs was told of sessions, and what it is to be told."""

    def __init__(
        self,
        control: ControlClient,
        key: bytes | None,
        tell_announcement: Callable[[Announcement], None] = lambda announcement: None,
        hold: float = HOLD_SECONDS,
    ) -> None:
        """`control` is used by nobody else. `key`: of the digests of commands; None: no session is announced here.
        `tell_announcement`: is told of what the journal was told of. `hold`: seconds that a session's events wait."""
        self.told = 0
        """Announcements that the journal has had from here."""
        self._control = control
        self._tell_announcement = tell_announcement
        self._silent = key is None
        self._announcing = {"key": (key or b"").hex(), "hold_ms": round(hold * 1000), "unannounced_ms": UNANNOUNCED_MS}
        self._changes: queue.SimpleQueue[Change | tuple[int, Recovery] | None] = queue.SimpleQueue()
        """None: there are no other sessions."""
        self._known: dict[Key, Announcement] = {}
        """That have not ended."""
        self._due: dict[Key, Announcement] = {}
        """What the journal is to be told of, be it gone by now."""
        self._generation: int | None = None
        """Load of the programs that all this is about; None: not known yet."""
        self._begun = False
        """Whether this load's journal says that sessions are announced."""
        self._recovered: set[str] = set()
        """Uids of what an earlier exporter told this load of."""
        self._confirming = False
        """Whether the journal is to be told that there are no others."""
        self._away = False

    def tell_sessions(self, change: Change) -> None:
        """From any thread."""
        if not self._silent:
            self._changes.put(change)

    def tell_current(self) -> None:
        """All sessions that anybody has asked for were told here; from any thread."""
        if not self._silent:
            self._changes.put(None)

    def tell_generation(self, generation: int, recovery: Recovery) -> None:
        """A load of the programs, and what earlier exporters told it; from any thread."""
        if not self._silent:
            self._changes.put((generation, recovery))

    def run(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            self._take_changes(RETRY_SECONDS if self._away else LOOK_SECONDS)
            try:
                self._send()
                self._away = False
            except ControlError as error:
                if not self._away:
                    logger.warning("The journal is not told of sessions for now: %s", error)
                self._away = True
                stop.wait(RETRY_SECONDS)

    def _take_changes(self, seconds: float) -> None:
        """Wait for one, then take all there are."""
        try:
            self._take(self._changes.get(timeout=seconds))
            while True:
                self._take(self._changes.get_nowait())
        except queue.Empty:
            pass

    def _take(self, change: Change | tuple[int, Recovery] | None) -> None:
        match change:
            case None:
                self._confirming = True
            case Put(raw):
                self._put(raw)
            case Drop(key):
                self._known.pop(key, None)
            case Listed(keys):
                for key in self._known.keys() - keys:
                    del self._known[key]
            case (int(generation), Recovery() as recovery):
                if generation != self._generation:
                    self._begin(generation, recovery)

    def _begin(self, generation: int, recovery: Recovery) -> None:
        self._generation = generation
        self._begun = recovery.announcing == self._announcing
        self._recovered = set(recovery.announced)
        wanted = self._known | self._due
        self._due = {key: each for key, each in wanted.items() if each.uid not in self._recovered}

    def _put(self, raw: dict[str, Any]) -> None:
        metadata = raw["metadata"]
        key = str(metadata.get("namespace") or ""), str(metadata["name"])
        announcement = read_announcement(raw)
        if announcement is None:
            # Of a session that has ended nobody waits for the name any more.
            self._known.pop(key, None)
            self._due.pop(key, None)
        elif key not in self._known or self._known[key].uid != announcement.uid:
            self._known[key] = announcement
            if announcement.uid not in self._recovered:
                self._due[key] = announcement
            for each in (self._known, self._due):
                if len(each) > MOST_KNOWN:
                    del each[next(iter(each))]

    def _send(self) -> None:
        """Tell all that is due, and all anew to a recorder that has begun anew. Raises ControlError."""
        while self._generation is not None and (self._due or not self._begun or self._confirming):
            if not self._begun:
                self._control.fact(ANNOUNCING, self._announcing)
                self._begun = self._is_same_load()
            elif self._due:
                key = next(iter(self._due))
                self._control.fact(ANNOUNCEMENT, self._due[key].fact)
                if self._is_same_load():
                    self.told += 1
                    self._tell_announcement(self._due.pop(key))
            else:
                self._control.fact(CURRENT, {})
                self._confirming = not self._is_same_load()

    def _is_same_load(self) -> bool:
        """Whether the last answer came from the load that all this is about; where not, all is to be told anew."""
        generation = self._control.greeting["generation"]
        if generation == self._generation:
            return True
        self._begin(generation, Recovery())
        return False
