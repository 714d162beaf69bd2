"""Which replica writes: the holder of a Lease, as client-go elects it.

The client's own kubernetes.aio.leaderelection is not used: docs/decisions/20261122-own-lease-election.md.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from podcorder_operator.api import Api
from podcorder_operator.errors import ApiError, Conflict, NotFound
from podcorder_operator.resources import Resource

logger = logging.getLogger(__name__)

LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)

_RELEASED = {"holderIdentity": "", "leaseDurationSeconds": 1}
"""As client-go writes it; the field must be positive."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; a leader has stopped after `renew`, so `duration - renew` is left for its last request to end."""

    duration: float = 10.0
    """How long others leave a lease alone that they have not seen renewed."""
    renew: float = 7.0
    """A leader that could not renew its lease for so long stops leading."""
    retry: float = 2.0
    """Between two looks at the lease."""


class Election:
    """One candidate. Times are taken from the monotonic clock, so that nobody's wall clock decides who writes."""

    def __init__(self, api: Api, namespace: str, name: str, identity: str, timing: Timing | None = None) -> None:
        """`api`: with connections of its own and a time-out well below `renew`."""
        self.leading = False
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._timing = timing or Timing()
        self._lease: dict[str, Any] | None = None
        """As last seen; its resourceVersion makes sure that no write of another candidate is overwritten."""
        self._seen = 0.0
        """When the lease was last seen to change."""
        self._renewed = 0.0
        """When the request was sent that made or kept us the holder."""
        self._told = ""

    async def run(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> NoReturn:
        """A candidate until it is cancelled; `lead` runs while this replica leads and is cancelled when it loses.

        Gives the lease back at the end. Raises what `lead` raises.
        """
        try:
            while True:
                while not await self._try():
                    await asyncio.sleep(self._timing.retry * random.uniform(1.0, 1.2))
                await self._hold(lead)
        finally:
            await self._release()

    async def _hold(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Leads until the lease is lost."""
        logger.info("Leading as %s.", self._identity)
        self.leading = True
        work = asyncio.create_task(lead())
        try:
            while await self._keep(work):
                pass
            if not work.done():
                logger.warning("The lease %s/%s is lost; no longer leading.", self._namespace, self._name)
        finally:
            self.leading = False
            work.cancel()
            await asyncio.wait({work})
        if not work.cancelled():
            work.result()

    async def _keep(self, work: asyncio.Task[None]) -> bool:
        """Waits for the next renewal and does it. False: the lease, or the work, is over."""
        deadline = self._renewed + self._timing.renew
        await asyncio.wait({work}, timeout=min(self._timing.retry, deadline - _now()))
        if work.done():
            return False
        try:
            async with asyncio.timeout_at(deadline):
                return await self._try() or not self._is_taken()
        except TimeoutError:
            return False

    async def _try(self) -> bool:
        """Takes or renews the lease where that is allowed; True if this replica holds it now. Raises nothing."""
        problem: ApiError | None = None
        for _ in range(2):
            try:
                return await self._take()
            except (Conflict, NotFound) as error:  # someone was faster, or an answer to us was lost: look again
                self._lease, problem = None, error
            except ApiError as error:
                problem = error
                break
        sentence = f"The lease {self._namespace}/{self._name} can be neither taken nor renewed: {problem}"
        logger.log(logging.DEBUG if sentence == self._told else logging.WARNING, sentence)
        self._told = sentence
        return False

    async def _take(self) -> bool:
        sent = _now()
        if not self._is_holder():
            await self._look()
        if self._is_taken() and not self._is_over():
            return False
        await self._write(self._make_spec())
        self._renewed = sent
        self._told = ""
        return True

    async def _look(self) -> None:
        try:
            lease = await self._api.get(LEASES, self._name, namespace=self._namespace)
        except NotFound:
            self._lease = None
            return
        if self._lease is None or _read_version(lease) != _read_version(self._lease):
            self._seen = _now()
        self._lease = lease

    def _is_holder(self) -> bool:
        return _read_spec(self._lease).get("holderIdentity") == self._identity

    def _is_taken(self) -> bool:
        """Whether the lease, as last seen, is another's."""
        return _read_spec(self._lease).get("holderIdentity") not in (None, "", self._identity)

    def _is_over(self) -> bool:
        duration = _read_spec(self._lease).get("leaseDurationSeconds")
        return _now() >= self._seen + (duration if isinstance(duration, int) else self._timing.duration)

    def _make_spec(self) -> dict[str, Any]:
        old = _read_spec(self._lease)
        now = _format_now()
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._timing.duration),
            "renewTime": now,
        }
        if self._is_holder():
            return old | spec
        transitions = old.get("leaseTransitions")
        spec["leaseTransitions"] = transitions + 1 if isinstance(transitions, int) else 0
        return old | spec | {"acquireTime": now}

    async def _write(self, spec: dict[str, Any]) -> None:
        if self._lease is None:
            body = {"metadata": {"name": self._name, "namespace": self._namespace}, "spec": spec}
            self._lease = await self._api.create(LEASES, body, namespace=self._namespace)
        else:
            body = self._lease | {"spec": spec}
            self._lease = await self._api.replace(LEASES, self._name, body, namespace=self._namespace)
        self._seen = _now()

    async def _release(self) -> None:
        """Gives the lease back, so that the next holder need not wait for its end."""
        try:
            for _ in range(2):
                if not self._is_holder():
                    return
                try:
                    await self._write(self._make_spec() | _RELEASED)
                except Conflict:  # a renewal was under way: look again
                    await self._look()
        except ApiError as error:
            logger.warning("The lease could not be given back and ends by itself: %s", error)


def _read_spec(lease: dict[str, Any] | None) -> dict[str, Any]:
    spec = lease.get("spec") if lease is not None else None
    return spec if isinstance(spec, dict) else {}


def _read_version(lease: dict[str, Any]) -> str:
    return str(lease.get("metadata", {}).get("resourceVersion", ""))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _format_now() -> str:
    """A MicroTime in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
