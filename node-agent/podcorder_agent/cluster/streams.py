"""A part of one collection of the API server, kept in step with: a list, then a watch resumed where it ended."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from podcorder_agent.cluster.api import Api, Event, Object
from podcorder_agent.cluster.errors import ApiError, Gone, NotFound, Refused

logger = logging.getLogger(__name__)

_FAILED_WATCHES = 5
"""So many watches answered with an error, one after the other: the place to resume from may be the fault; list anew."""

Key = tuple[str, str]
"""Namespace, empty for what has none, and name."""


class Put(NamedTuple):
    """An object that is new or has changed."""

    object: Object


class Drop(NamedTuple):
    """An object that is gone."""

    key: Key


class Listed(NamedTuple):
    """The end of a whole list: what is not in it is gone."""

    keys: frozenset[Key]


Change = Put | Drop | Listed


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the API server is asked."""

    least: float = 1.0
    """Seconds from the start of one watch to the next, and the shortest wait after a failure."""
    most: float = 30.0
    """Seconds: the longest wait between two tries, unless the API server asks for more."""
    steady: float = 10.0
    """Seconds after which a watch that brought nothing is no failure either."""


class Stream:
    """Tells of all that is and becomes of what a field selector selects."""

    def __init__(
        self,
        api: Api,
        path: str,
        selector: str,
        tell: Callable[[Change], None],
        pace: Pace | None = None,
        *,
        find_path: Callable[[], str] | None = None,
    ) -> None:
        """`find_path`: where the collection is when it is not where it was; may raise ApiError."""
        self.problem = ""
        """A sentence, while the collection cannot be read for a reason that a person must mend."""
        self._api = api
        self._path = path
        self._selector = selector
        self._tell = tell
        self._pace = pace or Pace()
        self._find_path = find_path
        self._version = ""
        """Where the next watch begins; empty: list first."""
        self._progressed = False
        self._listed = False
        """Whether the last try began with a list."""
        self._failures = 0
        """Tries in a row that brought nothing."""
        self._failed_watches = 0
        self._told = ""
        self._heard = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the API server last sent something of the collection or took a watch of it, or the start."""
        return time.monotonic() - self._heard

    def run(self, stop: threading.Event) -> None:
        """Until told to stop; a watch under way is not interrupted: let it be a daemon's thread."""
        while not stop.is_set():
            started = time.monotonic()
            self._progressed = self._listed = False
            error: ApiError | None = None
            try:
                if not self._version:
                    self._list()
                self._watch()
            except ApiError as failure:
                error = failure
            lasted = time.monotonic() - started
            self._note_end(error)
            stop.wait(self._choose_pause(error, lasted))

    def _list(self) -> None:
        self._listed = True
        keys: set[Key] = set()
        with self._api.list(self._path, self._selector) as listing:
            for each in listing:
                self._hear()
                if (key := self._read_key(each)) is not None:
                    keys.add(key)
                    self._tell(Put(each))
        self._tell(Listed(frozenset(keys)))
        self._version = listing.resource_version
        self._mend()

    def _watch(self) -> None:
        for event in self._api.watch(self._path, self._selector, self._version, self._hear):
            self._hear()
            self._progressed = True
            self._take(event)

    def _hear(self) -> None:
        self._heard = time.monotonic()

    def _take(self, event: Event) -> None:
        if event.type in ("ADDED", "MODIFIED", "DELETED") and (key := self._read_key(event.object)) is not None:
            # What a deletion shows is the last that will be known of an object.
            self._tell(Put(event.object))
            if event.type == "DELETED":
                self._tell(Drop(key))
        metadata = event.object.get("metadata")
        if isinstance(metadata, dict) and metadata.get("resourceVersion"):
            self._version = str(metadata["resourceVersion"])

    def _read_key(self, raw: object) -> Key | None:
        metadata = raw.get("metadata") if isinstance(raw, dict) else None
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(metadata, dict) or not isinstance(name, str) or not name:
            logger.warning("An object of %s has no name and is left out.", self._path)
            return None
        return str(metadata.get("namespace") or ""), name

    def _note_end(self, error: ApiError | None) -> None:
        """What the end of a watch, or of a list, means for the next one."""
        if self._progressed:
            self._failed_watches = 0
        if error is None:
            self._mend()
            return
        if isinstance(error, Gone):
            logger.info("The list of %s is too old to go on from; listing anew.", self._path)
            self._version = ""
            return
        if error.status:
            self._failed_watches += 1
            if self._failed_watches >= _FAILED_WATCHES:
                self._failed_watches = 0
                self._version = ""
        if isinstance(error, NotFound) and self._move():
            return
        sentence = explain(error, self._path)
        self.problem = sentence if isinstance(error, NotFound | Refused) else ""
        logger.log(logging.DEBUG if sentence == self._told else logging.WARNING, "%s", sentence)
        self._told = sentence

    def _move(self) -> bool:
        """Whether the collection turns out to be elsewhere; then it is listed anew."""
        if self._find_path is None:
            return False
        try:
            path = self._find_path()
        except ApiError:
            return False
        if path == self._path:
            return False
        logger.warning("%s is no longer served: going on with %s.", self._path, path)
        self._path = path
        self._version = ""
        return True

    def _mend(self) -> None:
        self.problem = ""
        if self._told:
            self._told = ""
            logger.info("%s can be read again.", self._path)

    def _choose_pause(self, error: ApiError | None, lasted: float) -> float:
        """After progress the next watch follows at once, yet never two within `least` seconds; so does the list for a
        place in time that is gone: the API server that says so is there."""
        pace = self._pace
        if isinstance(error, Gone) and not self._listed and error.retry_after is None:
            return max(pace.least - lasted, 0.0) * random.uniform(0.5, 1.0)
        if self._progressed or (error is None and lasted >= pace.steady):
            self._failures = 0
            if error is None or error.retry_after is None:
                return max(pace.least - lasted, 0.0)
        pause = min(pace.least * 2.0 ** min(self._failures, 16), pace.most)
        self._failures += 1
        # All agents of a cluster lose the API server at once, and must not come back at once.
        pause *= random.uniform(0.5, 1.0)
        return max(pause, (error.retry_after or 0.0) if error is not None else 0.0)


def explain(error: ApiError, path: str) -> str:
    """One sentence with the remedy for why a collection cannot be read."""
    if isinstance(error, NotFound):
        return f"The API server does not know {path}: install Podcorder's chart; the agent waits for it."
    if error.status in (401, 403):
        return f"The agent may not list and watch {path}: grant it both verbs (the chart does). It is told: {error}"
    if isinstance(error, Refused):
        return f"The API server refuses to list or watch {path}: {error}"
    return f"{path} cannot be read now, trying again: {error}"
