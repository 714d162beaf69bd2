"""What precedes an uninstallation: every node's agent takes its programs out of the kernel, then the configs go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from podcorder_crds import Programs
from podcorder_operator.api import Api
from podcorder_operator.conditions import READY
from podcorder_operator.elections import LEASES, Election
from podcorder_operator.errors import ApiError, NotFound
from podcorder_operator.heartbeats import AGENT_LEASE
from podcorder_operator.metadata import read_conditions
from podcorder_operator.resources import CONFIGS, Resource
from podcorder_operator.webhook_entries import remove_entry

logger = logging.getLogger(__name__)

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)
DEPLOYMENT = "podcorder-operator"
UNLOADED = "Unloaded"
"""Reason of the condition Ready of an agent that has done it."""

LEAD_SECONDS = 20.0
"""For the Lease of an operator that was told to end; one that was killed holds it for 10 s."""
ANSWER_SECONDS = 60.0
"""For all agents together."""
SKEW = timedelta(seconds=60)
"""How far clocks of nodes may be apart: an agent's Lease is over so long after its end."""
POLL_SECONDS = 0.5
AT_A_TIME = 16

Stored = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Nodes by what became of them, sorted."""

    unloaded: tuple[str, ...]
    silent: tuple[str, ...]
    """Whose agent is not there, or did not answer in time."""


async def unload(api: Api, election: Election, namespace: str, *, seconds: float = ANSWER_SECONDS) -> Outcome:
    """Ends the operator, asks every agent, and deletes the configs, answered or not. Raises ApiError.

    The configs are asked as the operator writes them: should it ever run again, its next write takes that back.
    """
    await _end_operator(api, namespace)
    async with _leading(election):
        await remove_entry(api)
        alive = await _find_alive(api, namespace)
        # A node that no operator has come to yet has an agent without a config.
        nodes = {each["metadata"]["name"] for each in await _list(api, CONFIGS)} | alive
        await _for_each(nodes, lambda node: _ask(api, node))
        unloaded = await _wait(api, alive, seconds)
        await _for_each(nodes, lambda node: api.delete(CONFIGS, node))
    return Outcome(tuple(sorted(unloaded)), tuple(sorted(nodes - unloaded)))


async def _end_operator(api: Api, namespace: str) -> None:
    """So that nobody else writes configs from now on. Raises ApiError."""
    try:
        await api.merge(DEPLOYMENTS, DEPLOYMENT, {"spec": {"replicas": 0}}, namespace=namespace, subresource="scale")
    except NotFound:
        logger.info("There is no Deployment %s/%s to end.", namespace, DEPLOYMENT)


@asynccontextmanager
async def _leading(election: Election) -> AsyncIterator[None]:
    """While no replica that is on its way out can lead."""
    begun = asyncio.Event()

    async def lead() -> None:
        begun.set()
        await asyncio.Event().wait()

    candidate = asyncio.create_task(election.run(lead))
    try:
        async with asyncio.timeout(LEAD_SECONDS):
            await begun.wait()
    except TimeoutError:
        logger.warning("Another operator leads after %d s still, and may write configs anew.", LEAD_SECONDS)
    try:
        yield
    finally:
        candidate.cancel()
        await asyncio.wait({candidate})


async def _list(api: Api, resource: Resource, namespace: str = "") -> Sequence[Stored]:
    """Nothing where the kind is not there. Raises ApiError."""
    try:
        return await api.list_all(resource, namespace=namespace)
    except NotFound:
        return []


async def _for_each(nodes: Iterable[str], act: Callable[[str], Awaitable[object]]) -> None:
    gate = asyncio.Semaphore(AT_A_TIME)

    async def act_alone(node: str) -> None:
        async with gate:
            await act(node)

    await asyncio.gather(*map(act_alone, nodes))


async def _ask(api: Api, node: str) -> None:
    with suppress(NotFound):  # of the kind: then no agent can be asked
        await api.apply(CONFIGS, node, {"spec": {"nodeName": node, "programs": Programs.UNLOADED}})


async def _find_alive(api: Api, namespace: str) -> set[str]:
    """Nodes whose agent renews its Lease. Raises ApiError."""
    leases = await _list(api, LEASES, namespace)
    names = {each["metadata"]["name"]: each.get("spec") or {} for each in leases}
    return {
        name.removeprefix(AGENT_LEASE)
        for name, spec in names.items()
        if name.startswith(AGENT_LEASE) and _is_renewed(spec)
    }


def _is_renewed(spec: Stored) -> bool:
    try:
        renewed = datetime.fromisoformat(spec["renewTime"])
        return datetime.now(UTC) < renewed + timedelta(seconds=spec["leaseDurationSeconds"]) + SKEW
    except (KeyError, TypeError, ValueError, OverflowError):  # an agent writes what it likes
        return False


async def _wait(api: Api, alive: set[str], seconds: float) -> set[str]:
    """Those that have unloaded, once all that are alive have, or so much time has passed."""
    unloaded: set[str] = set()
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    configs = await _list(api, CONFIGS)
                    unloaded = {each["metadata"]["name"] for each in configs if _is_unloaded(each)}
                    if unloaded >= alive & {each["metadata"]["name"] for each in configs}:
                        return unloaded
                except ApiError as error:
                    logger.info("The agents' answers cannot be read, trying again: %s", error)
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return unloaded


def _is_unloaded(config: Stored) -> bool:
    ready = read_conditions(config.get("status") or {}).get(READY, {})
    generation = config["metadata"].get("generation")
    return ready.get("reason") == UNLOADED and ready.get("observedGeneration") == generation
