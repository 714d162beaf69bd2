"""Follows the agents' Leases, while a Strict policy asks who is alive: 2,000 nodes renew theirs 200 times a second."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from podcorder_operator.api import Api
from podcorder_operator.elections import LEASES
from podcorder_operator.heartbeats import Heartbeats
from podcorder_operator.metrics import Metrics
from podcorder_operator.streams import Stream
from podcorder_operator.strict_policies import StrictPolicies


class HeartbeatWatch:
    """Keeps heartbeats in step with the Leases of one namespace."""

    def __init__(
        self, strict: StrictPolicies, heartbeats: Heartbeats, api: Api, metrics: Metrics, namespace: str
    ) -> None:
        self._strict = strict
        self._heartbeats = heartbeats
        self._api = api
        self._metrics = metrics
        self._namespace = namespace

    async def run(self) -> NoReturn:
        """Until it is cancelled."""
        while True:
            await self._strict.begun.wait()
            stream = Stream(self._api, LEASES, self._heartbeats, self._metrics, namespace=self._namespace)
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(stream.run(), name="stream of the agents' leases")
                await self._strict.ended.wait()
                following.cancel()
            self._heartbeats.clear()
