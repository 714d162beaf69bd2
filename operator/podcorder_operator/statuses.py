"""Keeps the status of each policy true, at a pace that the API server does not feel."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from podcorder_operator.api import Api
from podcorder_operator.backoffs import Backoff
from podcorder_operator.conditions import READY, is_stored, make_status
from podcorder_operator.errors import ApiError, NotFound, Refused
from podcorder_operator.gates import Gate
from podcorder_operator.metadata import read_conditions
from podcorder_operator.metrics import Metrics, Outcome
from podcorder_operator.notices import Notices, post
from podcorder_operator.policies import Policy, PolicyKey
from podcorder_operator.world import World

logger = logging.getLogger(__name__)

POLICY_SECONDS = 5.0
WRITE_SECONDS = 0.05
"""Between any two writes: 20 a second."""
LONGEST_WAIT = 60.0
"""Seconds between two tries of one policy, unless the API server asks for more."""


class StatusWriter:
    """Writes while `run` runs. One at a time: what changes while a policy waits for its turn is written with it."""

    def __init__(self, world: World, api: Api, metrics: Metrics, *, policy_seconds: float = POLICY_SECONDS) -> None:
        """`policy_seconds`: between two writes of one policy's status; the first is written at once."""
        self._world = world
        self._api = api
        self._metrics = metrics
        self._policy_seconds = policy_seconds
        self._gate = Gate()
        self._notices = Notices()
        self._waiting: dict[PolicyKey, float] = {}
        """Policies to look at, with the event loop's time from which on that may be."""
        self._not_before: dict[PolicyKey, float] = {}
        """The same for policies that were written or failed lately."""
        self._failures: dict[PolicyKey, Backoff] = {}
        self._unwritable: dict[PolicyKey, tuple[str, int]] = {}
        """uid and generation of policies whose refused status was told by an Event."""
        self._reported: set[str] = set()
        metrics.observe_queue("status", lambda: len(self._waiting))
        metrics.observe_policies(self._count_states)

    async def run(self) -> None:
        """Until cancelled; nothing is written before the world is whole and all configs were resolved once."""
        while True:
            await self._world.when_resolved.wait()
            self._take()
            wait = self._measure_wait()
            if wait is None or wait > 0:
                await self._rest(wait)
                continue
            key = min(self._waiting, key=self._waiting.__getitem__)
            del self._waiting[key]
            await self._reconcile(key)

    def _take(self) -> None:
        for key in self._world.take_policies():
            self._waiting.setdefault(key, self._not_before.get(key, 0.0))

    def _measure_wait(self) -> float | None:
        """Seconds until a policy may be looked at; None: there is none."""
        if not self._waiting:
            return None
        return min(self._waiting.values()) - asyncio.get_running_loop().time()

    async def _rest(self, seconds: float | None) -> None:
        """So long, or until another policy is touched."""
        try:
            async with asyncio.timeout(seconds):
                await self._world.policies_touched.wait()
        except TimeoutError:
            pass

    async def _reconcile(self, key: PolicyKey) -> None:
        begun = await self._gate.wait()
        policy = self._world.policies.get(key)
        if policy is None:
            self._forget(key)
            return
        started = perf_counter()
        outcome: Outcome = "failed"
        try:
            outcome = await self._write(policy)
            self._failures.pop(key, None)
        except NotFound:
            self._failures.pop(key, None)  # deleted meanwhile: the watch is about to say so
        except ApiError as error:
            self._gate.close(error, begun)
            self._put_off(key, error)
        except Exception:  # a defect of ours must cost this policy's status only, and only for now
            logger.exception("The status of %s could not be reconciled.", key)
            self._put_off(key, None)
        seconds = perf_counter() - started
        self._metrics.count_reconcile("status", outcome, seconds)
        # Where thousands of policies are compared with each other, half of the time is left to the configs.
        await asyncio.sleep(seconds if outcome == "unchanged" else WRITE_SECONDS)

    async def _write(self, policy: Policy) -> Outcome:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = make_status(policy, self._world.tally(policy.key), self._world.partners(policy.key), now)
        if is_stored(status, policy.status):
            return "unchanged"
        try:
            await self._store(policy, status)
        except Refused:
            # To some objects that no schema takes the API server lets nobody write a status: the Event is all there is.
            if self._unwritable.get(policy.key) != (policy.uid, policy.generation):
                self._unwritable[policy.key] = (policy.uid, policy.generation)
                await self._tell(policy, status, now)
            raise
        self._gate.succeed()
        self._not_before[policy.key] = asyncio.get_running_loop().time() + self._policy_seconds
        await self._tell(policy, status, now)
        return "written"

    async def _store(self, policy: Policy, status: dict[str, Any]) -> None:
        # An invalid spec may be of types that server-side apply cannot read; a merge looks at what it changes.
        write = self._api.merge if policy.problem else self._api.apply
        # The uid keeps the status from one of the same name that came after it.
        body: dict[str, Any] = {"metadata": {"uid": policy.uid}, "status": status}
        await write(policy.key.resource, policy.key.name, body, namespace=policy.key.namespace, subresource="status")

    async def _tell(self, policy: Policy, status: dict[str, Any], now: str) -> None:
        for notice in self._notices.choose(policy, status):
            await post(self._api, policy, notice, now)

    def _put_off(self, key: PolicyKey, error: ApiError | None) -> None:
        backoff = self._failures.setdefault(key, Backoff(self._policy_seconds, LONGEST_WAIT))
        wait = backoff.take(error.retry_after if error else None)
        self._not_before[key] = self._waiting[key] = asyncio.get_running_loop().time() + wait
        if error is not None:
            self._metrics.count_error("status", error.status)
        if isinstance(error, Refused) and str(error) not in self._reported:
            self._reported.add(str(error))
            logger.warning("The API server refuses the status of %s: %s", key, error)

    def _count_states(self) -> Counter[tuple[str, str]]:
        """Policies by kind and by the reason of Ready, as their stored statuses say; empty before they say any."""
        return Counter(
            (key.kind, str(read_conditions(policy.status).get(READY, {}).get("reason", "")))
            for key, policy in self._world.policies.items()
        )

    def _forget(self, key: PolicyKey) -> None:
        self._not_before.pop(key, None)
        self._failures.pop(key, None)
        self._unwritable.pop(key, None)
        self._notices.forget(key)
