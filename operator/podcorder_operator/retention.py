"""How long records of sessions are kept: the leader looks through all of them, a page at a time.

What is kept in memory is one page, a number for each namespace, and for a short time the oldest of a namespace that has
too many.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappush, heappushpop
from time import perf_counter

from podcorder_operator.api import Api
from podcorder_operator.backoffs import Backoff
from podcorder_operator.errors import ApiError, Conflict, Gone, NotFound, Refused
from podcorder_operator.metrics import Metrics, Outcome
from podcorder_operator.records import Reason, Record, find_reason, find_surplus, make_end, read_record
from podcorder_operator.resources import RECORDED_SESSIONS
from podcorder_operator.world import World

logger = logging.getLogger(__name__)

PAGE = 10
"""A record may be as large as etcd takes it, 1.5 MB, most of it the command: many more would not fit into the operator.
Larger pages take longer, too: docs/scale.md."""
BATCH = 5000
"""Records too many that are found with one look through a namespace."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept of the records of sessions that are over. Those that may be running are kept in any case."""

    days: int
    """Since a session's end."""
    count: int
    """In the whole cluster."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    sweep: float = 600.0
    """From the end of one look through all records to the next."""
    write: float = 0.02
    """Between any two writes: at most 50 a second."""
    node: float = 300.0
    """For a node that is gone to come back."""


class Retention:
    """Looks through all records, again and again, while `run` runs."""

    def __init__(
        self,
        world: World,
        api: Api,
        metrics: Metrics,
        limits: Limits,
        timing: Timing | None = None,
        *,
        read_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._world = world
        self._api = api
        self._metrics = metrics
        self._limits = limits
        self._timing = timing or Timing()
        self._read_clock = read_clock
        self._missing: dict[str, float] = {}
        """Nodes of open records that are not there, with the event loop's time at which that was seen first."""
        self._told: set[str] = set()

    async def run(self) -> None:
        """Until cancelled. Begins once the world is whole, so that a node that is unknown is not there."""
        await self._world.when_synced.wait()
        self._missing.clear()
        backoff = Backoff(min(1.0, self._timing.sweep), self._timing.sweep)
        try:
            while True:
                if await self._sweep_measured():
                    backoff.reset()
                    await asyncio.sleep(self._timing.sweep)
                else:
                    await asyncio.sleep(backoff.take())
        finally:
            self._metrics.set_recorded_sessions({})

    async def sweep(self) -> int:
        """Looks at each record once; returns how many were written or deleted. Raises ApiError."""
        kept: Counter[str] = Counter()
        running = written = 0
        missing: set[str] = set()
        async for page in self._api.list_pages(RECORDED_SESSIONS, page=PAGE):
            now = self._read_clock()
            for raw in page.items:
                record = read_record(raw, now)
                if record.over is not None and now - record.over > timedelta(days=self._limits.days):
                    written += await self._delete(record.namespace, record.name, record.uid, record.version, "age")
                    continue
                if record.over is None and not self._world.has_node(record.node):
                    missing.add(record.node)
                reason = find_reason(record, now, node_gone=record.node in missing and self._is_gone(record.node))
                if reason is not None:
                    written += await self._close(record, reason, now)
                kept[record.namespace] += record.over is not None
                running += record.over is None
        self._missing = {node: since for node, since in self._missing.items() if node in missing}
        surplus = find_surplus(kept, self._limits.count)
        for namespace, count in surplus.items():
            written += await self._trim(namespace, count)
        self._metrics.set_recorded_sessions({"running": running, "over": kept.total() - sum(surplus.values())})
        return written

    async def _sweep_measured(self) -> bool:
        """Whether it went well."""
        started = perf_counter()
        outcome: Outcome = "failed"
        try:
            outcome = "written" if await self.sweep() else "unchanged"
        except Gone:
            logger.info("Looking through the records of sessions took longer than the API server allows; once more.")
        except ApiError as error:
            self._metrics.count_error("retention", error.status)
            self._tell(f"The records of sessions cannot be looked through, which is tried again: {error}")
        except Exception:  # a defect of ours must not end the replica that leads
            logger.exception("The records of sessions could not be looked through.")
        self._metrics.count_reconcile("retention", outcome, perf_counter() - started)
        return outcome != "failed"

    def _is_gone(self, node: str) -> bool:
        now = asyncio.get_running_loop().time()
        return now - self._missing.setdefault(node, now) >= self._timing.node

    async def _trim(self, namespace: str, surplus: int) -> int:
        """Deletes so many of a namespace's records, those first whose sessions have been over for longest."""
        deleted = 0
        while surplus > 0:
            oldest = await self._find_oldest(namespace, min(surplus, BATCH))
            for _, name, uid, version in sorted(oldest, reverse=True):
                deleted += await self._delete(namespace, name, uid, version, "count")
            if len(oldest) < min(surplus, BATCH):
                break
            surplus -= len(oldest)
        return deleted

    async def _find_oldest(self, namespace: str, count: int) -> list[tuple[float, str, str, str]]:
        """Negative time of the end, name, uid and resourceVersion of at most so many sessions that are over."""
        oldest: list[tuple[float, str, str, str]] = []
        async for page in self._api.list_pages(RECORDED_SESSIONS, namespace=namespace, page=PAGE):
            now = self._read_clock()
            for record in (read_record(raw, now) for raw in page.items):
                if record.over is not None:
                    entry = (-record.over.timestamp(), record.name, record.uid, record.version)
                    if len(oldest) < count:
                        heappush(oldest, entry)
                    else:
                        heappushpop(oldest, entry)
        return oldest

    async def _delete(self, namespace: str, name: str, uid: str, version: str, why: str) -> bool:
        """Whether it was there, and as it was looked at: one that has changed may be running."""
        await asyncio.sleep(self._timing.write)
        try:
            deleted = await self._api.delete(RECORDED_SESSIONS, name, namespace=namespace, uid=uid, version=version)
        except Refused as error:
            self._refuse(f"A record of a session cannot be deleted, {namespace}/{name} for one: {error}", error)
            return False
        if deleted:
            self._metrics.count_recorded_session_deleted(why)
        return deleted

    async def _close(self, record: Record, reason: Reason, now: datetime) -> bool:
        """Says of a session that nobody can tell whether it has ended, unless somebody could meanwhile."""
        await asyncio.sleep(self._timing.write)
        change = {
            "metadata": {"resourceVersion": record.version},
            "status": {"conditions": make_end(record, reason, now)},
        }
        try:
            await self._api.merge(
                RECORDED_SESSIONS, record.name, change, namespace=record.namespace, subresource="status"
            )
        except (Conflict, NotFound):
            return False
        except Refused as error:
            where = f"{record.namespace}/{record.name}"
            self._refuse(f"Of a session it cannot be said that its end is unknown, {where} for one: {error}", error)
            return False
        self._metrics.count_recorded_session_closed(reason)
        return True

    def _refuse(self, sentence: str, error: Refused) -> None:
        """What is true of one object, or of all, must not keep the others from being looked at."""
        self._metrics.count_error("retention", error.status)
        self._tell(sentence)

    def _tell(self, sentence: str) -> None:
        """Once, whatever number of records it is true of."""
        common = sentence.partition(":")[0].partition(",")[0]
        logger.log(logging.DEBUG if common in self._told else logging.WARNING, sentence)
        self._told.add(common)
