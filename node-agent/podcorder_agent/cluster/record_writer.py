"""Writes what was recorded of sessions into their RecordedSessions: from the latest report, and seldom."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from podcorder_agent.cluster.announcements import Announcement
from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.collections import Collection
from podcorder_agent.cluster.errors import ApiError, Conflict, NotFound, Unavailable
from podcorder_agent.cluster.records import (
    Status,
    Stored,
    digest_status,
    key_of,
    make_end,
    make_fact_status,
    make_record,
    make_status,
    read_stored,
)
from podcorder_agent.cluster.streams import Change, Drop, Key, Listed, Put
from podcorder_agent.interpreter.session_reports import SessionReport

logger = logging.getLogger(__name__)

MOST_WAITING = 4096
"""Sessions with something to write: of more the oldest are left as they were."""
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    settle: float = 0.3
    """From the first word on a session to the first write: most have ended by then."""
    least: float = 10.0
    """Between two writes of one session, but for its first ones."""
    each: float = 0.05
    """Between any two writes: at most 20 a second."""
    retry: float = 1.0
    """The first pause after a failure; each further one is twice as long ..."""
    longest: float = 30.0
    """... up to this."""


URGENT = 3
"""So many writes of a session are made at once, where it began, ended or turned out to be somebody's."""


@dataclass(slots=True)
class _Pace:
    """When a session may be written next, and how often it was."""

    written: int = 0
    last: float = 0.0
    state: tuple[object, ...] = ()
    """Of what was last heard: what about it is worth a write at once."""


class RecordWriter:
    """Keeps the records of this node's sessions in step with what the interpreter reports."""

    def __init__(
        self,
        api: Api,
        records: Collection,
        node: str,
        namespace: str,
        find_target: Callable[[str], str],
        timing: Timing | None = None,
    ) -> None:
        """`namespace`: Podcorder's. `find_target`: what a debug container in the pod of a uid looks into; it is called
        from the thread that writes."""
        self.written = 0
        """Writes that the API server took."""
        self.dropped = 0
        """Sessions whose last word was not written, because it was refused or because there were too many."""
        self._api = api
        self._records = records
        self._node = node
        self._namespace = namespace
        self._find_target = find_target
        self._timing = timing or Timing()
        self._heard: queue.SimpleQueue[Change | Announcement | Sequence[SessionReport]] = queue.SimpleQueue()
        self._stored: dict[Key, Stored] = {}
        self._synced = False
        self._assigned: dict[str, Key] = {}
        """Of sessions that could belong to several records: the one that tells of each."""
        self._waiting: dict[str, SessionReport | Announcement] = {}
        """The latest word of what is to be written, by session or record."""
        self._due: dict[str, float] = {}
        self._paces: dict[str, _Pace] = {}
        self._failures = 0
        self._told = ""

    @property
    def waiting(self) -> int:
        """Sessions with something to write; from any thread."""
        return len(self._waiting)

    def tell_records(self, change: Change) -> None:
        """From any thread."""
        self._heard.put(change)

    def tell_announcement(self, announcement: Announcement) -> None:
        """The journal has been told of it; from any thread."""
        self._heard.put(announcement)

    def tell_reports(self, reports: Sequence[SessionReport]) -> None:
        """From any thread."""
        self._heard.put(reports)

    def run(self, stop: threading.Event) -> None:
        """Until told to stop; what is not written by then is reported again to the next exporter."""
        while not stop.is_set():
            now = time.monotonic()
            self._hear(
                max(0.0, min((*self._due.values(), now + _LOOK_SECONDS)) - now) if self._synced else _LOOK_SECONDS
            )
            if not self._synced:
                continue  # what is stored decides what is to be written
            now = time.monotonic()
            for name in [name for name, due in self._due.items() if due <= now]:
                if stop.is_set() or not self._attempt(name, stop):
                    break

    def _hear(self, seconds: float) -> None:
        """Wait for something, then take all there is."""
        try:
            self._take(self._heard.get(timeout=seconds) if seconds > 0 else self._heard.get_nowait())
            while True:
                self._take(self._heard.get_nowait())
        except queue.Empty:
            pass

    def _take(self, heard: Change | Announcement | Sequence[SessionReport]) -> None:
        match heard:
            case Put(raw):
                metadata = raw["metadata"]
                self._stored[str(metadata.get("namespace") or ""), str(metadata["name"])] = read_stored(raw)
            case Drop(key):
                self._stored.pop(key, None)
            case Listed(keys):
                self._stored = {key: each for key, each in self._stored.items() if key in keys}
                self._synced = True
            case Announcement():
                self._schedule("/".join(heard.key), heard, ())
            case _:
                for each in heard:
                    name = each.session_id or "/".join(each.record or ())
                    state = each.record, each.identity, each.start is None, each.end is None, each.failure
                    self._schedule(name, each, state)

    def _schedule(self, name: str, word: SessionReport | Announcement, state: tuple[object, ...]) -> None:
        now = time.monotonic()
        pace = self._paces.setdefault(name, _Pace())
        urgent = pace.written < URGENT and state != pace.state
        pace.state = state
        due = now + self._timing.settle if urgent or not pace.written else pace.last + self._timing.least
        self._due[name] = max(now, min(due, self._due.get(name, due)))
        self._waiting[name] = word
        if len(self._waiting) > MOST_WAITING:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest], self._due[oldest], self._paces[oldest]
            self.dropped += 1

    def _attempt(self, name: str, stop: threading.Event) -> bool:
        """Write one; whether the API server is there. What fails is written later, and the latest word then."""
        word = self._waiting[name]
        try:
            wrote = self._write(word)
        except Unavailable as error:
            self._tell(error)
            pause = min(self._timing.retry * 2.0 ** min(self._failures, 16), self._timing.longest)
            self._failures += 1
            # All agents of a cluster lose the API server at once, and must not come back at once.
            stop.wait(max(pause * random.uniform(0.5, 1.0), error.retry_after or 0.0))
            return False
        except ApiError as error:
            if not isinstance(error, NotFound):  # a record that is gone needs no word
                self._tell(error)
                self.dropped += 1
            wrote = False
        self._failures = 0
        del self._waiting[name], self._due[name]
        pace = self._paces[name]
        if wrote:
            pace.written += 1
            pace.last = time.monotonic()
            self.written += 1
            stop.wait(self._timing.each)
        if isinstance(word, Announcement) or word.end is not None or word.never_started:
            del self._paces[name]
            self._assigned.pop(name, None)
        return True

    def _tell(self, error: ApiError) -> None:
        if str(error) != self._told:
            self._told = str(error)
            logger.warning("A record of a session cannot be written: %s", error)

    def _write(self, word: SessionReport | Announcement) -> bool:
        """Whether there was anything to write. Raises ApiError."""
        if isinstance(word, Announcement):
            stored = self._stored.get(word.key)
            status = None if stored is None or stored.conditions else make_fact_status(word, stored, _now())
            return stored is not None and status is not None and self._patch(word.key, stored, status)
        key = key_of(word, self._namespace) or self._assign(word)
        if key is None:
            return False
        if key not in self._stored:
            if key == word.record:
                return False  # it has been deleted
            self._create(key, word)
        if word.never_started and self._stored[key].over:
            return False  # such as of one that began before a restart, and of which nobody knows more than that
        wrote = self._patch(key, self._stored[key], make_status(word, self._stored[key], _now()))
        if word.record is not None and word.session_id is not None:
            wrote |= self._end_unannounced(word.record, word.session_id)
        return wrote

    def _assign(self, report: SessionReport) -> Key | None:
        """The record that tells of a session which could belong to any of several: each session has one of its own."""
        session = report.session_id
        if session is None or not report.candidates:
            return None
        known = [key for key in report.candidates if key in self._stored]
        written = (key for key in known if self._stored[key].session_id == session)
        mine = self._assigned.get(session) or next(written, None)
        if mine not in known:
            taken = set(self._assigned.values())
            # The latest first: what was asked for late is a candidate of fewer sessions.
            free = (key for key in reversed(known) if key not in taken and not self._stored[key].session_id)
            mine = next(free, None)
        if mine is not None:
            self._assigned[session] = mine
        return mine

    def _create(self, key: Key, report: SessionReport) -> None:
        """Of a session that nobody asked the API server for, or of a login. Raises ApiError."""
        target = self._find_target((report.pod and report.pod.uid) or "")
        names = {"apiVersion": self._records.api_version, "kind": "RecordedSession"}
        try:
            raw = self._api.create(self._records.path_in(key[0]), names | make_record(key, report, self._node, target))
        except Conflict:  # made before the watch told of it
            raw = {}
        self._stored[key] = read_stored(raw)

    def _patch(self, key: Key, stored: Stored, status: Status) -> bool:
        if digest_status(status) == stored.digest:
            return False
        place = f"{self._records.path_in(key[0])}/{key[1]}/status"
        self._stored[key] = read_stored(self._api.merge(place, {"status": status}))
        return True

    def _end_unannounced(self, record: Key, session: str) -> bool:
        """Somebody had asked for it after all: the record that was made of it meanwhile goes no further."""
        key = record[0], f"unannounced-{session}"
        stored = self._stored.get(key)
        return stored is not None and not stored.over and self._patch(key, stored, make_end(stored, record, _now()))


def _now() -> datetime:
    return datetime.now(UTC)
