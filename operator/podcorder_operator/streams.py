"""One collection of the API server, kept in step with: a paged list, then a watch that is resumed where it ended.

Kopf's own watch cannot serve here: docs/decisions/20261122-own-watch-beside-kopf.md.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from podcorder_operator.api import Api, Event
from podcorder_operator.backoffs import Backoff
from podcorder_operator.errors import ApiError, Gone, NotFound, Refused
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import Resource

logger = logging.getLogger(__name__)

_PAGE = 50
"""Whole objects a page: with configs of 256 KiB a page is some 13 MB, and one is in memory at a time."""
_METADATA_PAGE = 500
_FAILED_WATCHES = 5
"""So many watches answered with an error, one after the other: the place to resume from may be the fault; list anew."""

Key = tuple[str, str]
"""Namespace, empty for what has none, and name."""


class Sink(Protocol):
    """Who is told of the objects; World is one."""

    def put(self, resource: Resource, raw: dict[str, Any]) -> None: ...
    def drop(self, resource: Resource, namespace: str, name: str) -> None: ...
    def listed(self, resource: Resource, keys: set[Key]) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the API server is asked."""

    least: float = 1.0
    """Seconds from the start of one watch to the next, and the shortest wait after a failure."""
    most: float = 15.0
    """Seconds: the longest wait between two tries, unless the API server asks for more."""
    steady: float = 10.0
    """Seconds after which a watch that brought nothing is no failure either, even if its connection was lost."""


class Stream:
    """Tells a sink of all that is and becomes of one collection, or of a part of it."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        sink: Sink,
        metrics: Metrics,
        pace: Pace | None = None,
        *,
        namespace: str = "",
        fields: str = "",
    ) -> None:
        """`namespace`, `fields` (a field selector): what of the collection is followed; empty: all."""
        self.resource = resource
        self.problem = ""
        """A sentence, while the collection cannot be read for a reason that a person must mend."""
        self.stirred = 0.0
        """The event loop's time of the last sign of life: a try, or something heard."""
        self._api = api
        self._sink = sink
        self._metrics = metrics
        self._pace = pace or Pace()
        self._part = {"namespace": namespace, "fields": fields}
        self._version = ""
        """Where the next watch begins; empty: list first."""
        self._progressed = False
        """Whether the last try brought something. A list alone does not: one after the other, lists would be the most
        that the operator can cost."""
        self._listed = False
        """Whether the last try began with a list."""
        self._watching = False
        """Whether the last try came to a watch."""
        self._backoff = Backoff(self._pace.least, self._pace.most)
        self._failed_watches = 0
        """Watches in a row that were answered with an error."""
        self._told = ""

    async def run(self) -> NoReturn:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            started = self.stirred = loop.time()
            self._progressed = self._listed = self._watching = False
            error: ApiError | None = None
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ApiError as failure:
                error = failure
            lasted = loop.time() - started
            if self._watching and lasted >= self._pace.steady and (error is None or not error.status):
                self._progressed = True
            self._note_end(error)
            await asyncio.sleep(self._choose_pause(error, lasted))

    async def _list(self) -> None:
        self._listed = True
        keys: set[Key] = set()
        version = ""
        page_size = _METADATA_PAGE if self.resource.metadata_only else _PAGE
        async with aclosing(self._api.list_pages(self.resource, page=page_size, **self._part)) as pages:
            async for page in pages:
                self._stir()
                for raw in page.items:
                    if (key := self._put(raw)) is not None:
                        keys.add(key)
                    await asyncio.sleep(0)
                version = page.resource_version
                page.items.clear()  # so that never two pages are in memory
        self._sink.listed(self.resource, keys)
        self._version = version
        self._mend()

    async def _watch(self) -> None:
        async with self._api.watch(self.resource, self._version, **self._part) as events:
            self._mend()
            self._watching = True
            async for event in events:
                self._stir()
                self._progressed = True
                self._take(event)
                await asyncio.sleep(0)  # thousands may come at once, and a leader must renew its lease meanwhile

    def _take(self, event: Event) -> None:
        if event.type in ("ADDED", "MODIFIED"):
            self._put(event.object)
        elif event.type == "DELETED" and (key := self._read_key(event.object)) is not None:
            self._sink.drop(self.resource, *key)
        metadata = event.object.get("metadata")
        if isinstance(metadata, dict) and metadata.get("resourceVersion"):
            self._version = metadata["resourceVersion"]

    def _put(self, raw: Any) -> Key | None:
        """The object's key, None for what has none. Nothing that one object holds may stop the others."""
        key = self._read_key(raw)
        if key is not None:
            try:
                self._sink.put(self.resource, raw)
            except Exception:
                logger.exception("%s %s cannot be understood and is left out.", self.resource.kind, "/".join(key))
                self._metrics.count_unreadable(self.resource.plural)
        return key

    def _read_key(self, raw: Any) -> Key | None:
        metadata = raw.get("metadata") if isinstance(raw, dict) else None
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(metadata, dict) or not isinstance(name, str) or not name:
            logger.warning("An object of %s has no name and is left out.", self.resource.plural)
            self._metrics.count_unreadable(self.resource.plural)
            return None
        return str(metadata.get("namespace") or ""), name

    def _stir(self) -> None:
        self.stirred = asyncio.get_running_loop().time()

    def _note_end(self, error: ApiError | None) -> None:
        """What the end of a watch, or of a list, means for the next one."""
        self._metrics.count_watch_restart(self.resource.plural, type(error).__name__ if error else "Closed")
        if self._progressed:
            self._backoff.reset()
            self._failed_watches = 0
        if error is None:
            return
        if isinstance(error, Gone):
            logger.info("The list of %s is too old to go on from; listing anew.", self.resource.plural)
            self._version = ""
            return
        if error.status:
            self._failed_watches += 1
            if self._failed_watches >= _FAILED_WATCHES:
                self._failed_watches = 0
                self._version = ""
        sentence = explain(error, self.resource)
        self.problem = sentence if isinstance(error, NotFound | Refused) else ""
        logger.log(logging.DEBUG if sentence == self._told else logging.WARNING, sentence)
        self._told = sentence

    def _mend(self) -> None:
        self.problem = ""
        if self._told:
            self._told = ""
            logger.info("%s can be read again.", self.resource.plural)

    def _choose_pause(self, error: ApiError | None, lasted: float) -> float:
        """After progress the next watch follows at once, yet never two within `least` seconds; so does the list for a
        place in time that is gone: the API server that says so is there."""
        asked = error.retry_after if error is not None else None
        outdated = isinstance(error, Gone) and not self._listed
        if asked is None and (self._progressed or outdated):
            return max(self._pace.least - lasted, 0.0)
        return self._backoff.take(asked)


def explain(error: ApiError, resource: Resource) -> str:
    """One sentence with the remedy for why a collection cannot be read."""
    if isinstance(error, NotFound):
        return (
            f"The API server does not know {resource.plural}.{resource.group}: "
            "install Podcorder's CustomResourceDefinitions (the chart does); the operator waits for them."
        )
    if error.status == 403:
        return (
            f"The operator may not list and watch {resource.plural}: grant it both verbs on {resource.plural} "
            f"of group {resource.group!r} (the chart's ClusterRole does). The API server says: {error}"
        )
    if isinstance(error, Refused):
        return f"The API server refuses to list or watch {resource.plural}: {error}"
    return f"{resource.plural} cannot be read now, trying again: {error}"
