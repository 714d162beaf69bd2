"""What the operator does: the streams feed the world, and the replica that leads writes configs and statuses and looks
after the records of sessions."""

from __future__ import annotations

import asyncio
import logging

from podcorder_operator.api import Api
from podcorder_operator.configs import ConfigWriter
from podcorder_operator.elections import Election
from podcorder_operator.failure_marks import FailureMarks
from podcorder_operator.heartbeat_watches import HeartbeatWatch
from podcorder_operator.heartbeats import Heartbeats
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import WATCHED
from podcorder_operator.retention import Limits, Retention
from podcorder_operator.statuses import StatusWriter
from podcorder_operator.streams import Stream
from podcorder_operator.strictness import Strictness
from podcorder_operator.webhook_entries import EntryWriter
from podcorder_operator.world import World

logger = logging.getLogger(__name__)

_STUCK_SECONDS = 300.0
"""Streams give a sign of life at least every 150 seconds, the API server being there or not."""


class Controller:
    """One replica."""

    def __init__(self, api: Api, election: Election, metrics: Metrics, limits: Limits, namespace: str) -> None:
        """`namespace`: the operator's own."""
        self._election = election
        self.world = World()
        self._heartbeats = Heartbeats()
        self.strictness = Strictness(self.world, self._heartbeats, namespace)
        self._heartbeat_watch = HeartbeatWatch(self.world.strict, self._heartbeats, api, metrics, namespace)
        self._entries = EntryWriter(self.world, self.strictness, api, metrics)
        self._marks = FailureMarks(self.world.strict, self.strictness, api, metrics)
        self._ready = False
        self._streams = [Stream(api, resource, self.world, metrics) for resource in WATCHED]
        self._configs = ConfigWriter(self.world, api, metrics)
        self._statuses = StatusWriter(self.world, api, metrics)
        self._retention = Retention(self.world, api, metrics, limits)
        metrics.observe_leader(lambda: election.leading)

    async def run(self) -> None:
        """Until it is cancelled. Gives the lease back at the end; raises what no part of it could handle."""
        async with asyncio.TaskGroup() as tasks:
            for stream in self._streams:
                tasks.create_task(stream.run(), name=f"stream of {stream.resource.plural}")
            await self.world.when_synced.wait()
            logger.info("All collections are known.")
            tasks.create_task(self._heartbeat_watch.run(), name="heartbeats")
            tasks.create_task(self._election.run(self._lead), name="election")

    async def wait_synced(self) -> None:
        """Until all collections are known, so that CustomResourceDefinitions and rights are there."""
        await self.world.when_synced.wait()

    def check_health(self) -> str:
        """That this answers shows that the event loop turns."""
        now = asyncio.get_running_loop().time()
        stuck = [stream.resource.plural for stream in self._streams if 0 < stream.stirred < now - _STUCK_SECONDS]
        return f"Nothing was heard of {', '.join(stuck)} for {_STUCK_SECONDS:.0f} s." if stuck else ""

    def check_readiness(self) -> str:
        """A standby is ready as well."""
        for stream in self._streams:
            if stream.problem:
                return stream.problem
        if not self.world.synced:
            return "Not all collections are listed yet."
        # Once it is: the first Strict policy must not make all replicas unready at once.
        self._ready = self._ready or self._heartbeats.known or self.world.strict.ended.is_set()
        return "" if self._ready else "It is not known yet which agents are alive, which a Strict policy asks."

    async def _lead(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._configs.run(), name="configs")
            tasks.create_task(self._statuses.run(), name="statuses")
            tasks.create_task(self._retention.run(), name="retention")
            tasks.create_task(self._entries.run(), name="entries")
            tasks.create_task(self._marks.run(), name="marks")
