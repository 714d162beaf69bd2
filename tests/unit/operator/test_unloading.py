"""What precedes an uninstallation, against an API server that plays the agents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from fixtures.api_server import ApiServer, status

from podcorder_operator import unloading
from podcorder_operator.api import Api
from podcorder_operator.elections import LEASES, Election, Timing
from podcorder_operator.errors import Unavailable
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import CONFIGS
from podcorder_operator.unloading import DEPLOYMENT, DEPLOYMENTS, Outcome, unload
from podcorder_operator.webhook_entries import CONFIGURATION, FIELD_MANAGER, OPEN_ENTRY, STRICT_ENTRY, WEBHOOKS

NAMESPACE = "podcorder"
OPERATOR_LEASE = LEASES.path("podcorder-operator", namespace=NAMESPACE)
SCALE = DEPLOYMENTS.path(DEPLOYMENT, namespace=NAMESPACE, subresource="scale")


def add_node(server: ApiServer, name: str, *, renewed: float | None = 0.0) -> None:
    """A config with a policy, and the Lease of an agent that beat so many seconds ago."""
    policy = {"kind": "ClusterSessionRecordingPolicy", "name": "all", "generation": 1, "spec": {}}
    spec = {"nodeName": name, "policies": [policy]}
    server.put(CONFIGS.path(name), {"metadata": {"generation": 1}, "spec": spec})
    if renewed is not None:
        time = (datetime.now(UTC) - timedelta(seconds=renewed)).isoformat().replace("+00:00", "Z")
        lease = {"spec": {"holderIdentity": "agent", "leaseDurationSeconds": 40, "renewTime": time}}
        server.put(LEASES.path(f"agent.{name}", namespace=NAMESPACE), lease)


async def answer(server: ApiServer, *names: str) -> None:
    """As an agent that is asked does."""
    for name in names:
        while (config := server.objects[CONFIGS.path(name)])["spec"] != {"nodeName": name, "programs": "Unloaded"}:
            await asyncio.sleep(0.005)
        ready = {"type": "Ready", "status": "False", "reason": "Unloaded"}
        ready["observedGeneration"] = config["metadata"]["generation"]
        server.put(CONFIGS.path(name), config | {"status": {"conditions": [ready]}})


async def fail(_: web.Request) -> web.StreamResponse:
    return status(500, "InternalError", "etcd is away")


async def unload_all(server: ApiServer, seconds: float = 20) -> Outcome:
    async with Api(server.configuration(), Metrics()) as api:
        election = Election(api, NAMESPACE, "podcorder-operator", "unload", Timing(retry=0.05))
        return await unload(api, election, NAMESPACE, seconds=seconds)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unloading, "POLL_SECONDS", 0.02)


def play(test: Callable[[ApiServer], Awaitable[None]]) -> None:
    async def run() -> None:
        async with ApiServer() as server, asyncio.timeout(60):
            server.put(SCALE, {"spec": {"replicas": 2}})
            await test(server)

    asyncio.run(run())


def configs(server: ApiServer) -> list[str]:
    return [path for path in server.objects if path.startswith(CONFIGS.path())]


def test_every_agent_is_asked_and_its_config_goes() -> None:
    """The operator is told to end, its Lease taken, each agent's answer waited for, then the configs are deleted."""

    async def test(server: ApiServer) -> None:
        for name in ("node-1", "node-2"):
            add_node(server, name)
        agents = asyncio.create_task(answer(server, "node-1", "node-2"))
        assert await unload_all(server) == Outcome(("node-1", "node-2"), ())
        await agents
        assert server.objects[SCALE]["spec"] == {"replicas": 0}
        assert configs(server) == []
        changing = [each for each in server.seen if each.verb not in ("get", "list")]
        assert [each.path for each in changing[:2]] == [SCALE, OPERATOR_LEASE.rpartition("/")[0]]
        assert server.objects[OPERATOR_LEASE]["spec"]["holderIdentity"] == ""

    play(test)


def test_nothing_is_refused_for_want_of_an_answer() -> None:
    """Once the operator has ended, before anybody is waited for, the entry that fails closed goes."""

    async def test(server: ApiServer) -> None:
        entries = [{"name": name, "failurePolicy": "Fail"} for name in (OPEN_ENTRY, STRICT_ENTRY)]
        server.put(WEBHOOKS.path(CONFIGURATION), {"webhooks": entries})
        add_node(server, "node-1")
        agents = asyncio.create_task(answer(server, "node-1"))
        await unload_all(server)
        await agents
        patched = [each for each in server.requests("patch") if each.path != SCALE]
        assert patched[0].path == WEBHOOKS.path(CONFIGURATION)
        assert patched[0].query["fieldManager"] == FIELD_MANAGER
        assert "webhooks" not in patched[0].body

    play(test)


def test_who_is_dead_is_not_waited_for() -> None:
    """A node without an agent, and one whose agent has not beaten for long, are named, and their configs go too."""

    async def test(server: ApiServer) -> None:
        add_node(server, "alive")
        add_node(server, "never", renewed=None)
        add_node(server, "dead", renewed=3600)
        agents = asyncio.create_task(answer(server, "alive"))
        assert await unload_all(server) == Outcome(("alive",), ("dead", "never"))
        await agents
        assert configs(server) == []

    play(test)


def test_who_does_not_answer_holds_up_for_a_while_only() -> None:
    """An agent that beats and does not unload is named when the time is over."""

    async def test(server: ApiServer) -> None:
        add_node(server, "node-1")
        assert await unload_all(server, seconds=0.3) == Outcome((), ("node-1",))
        assert configs(server) == []

    play(test)


def test_an_agent_without_a_config_is_asked_too() -> None:
    """The operator has never come to make one; its recorder has loaded its programs all the same."""

    async def test(server: ApiServer) -> None:
        add_node(server, "node-1")
        server.remove(CONFIGS.path("node-1"))
        asking = asyncio.create_task(unload_all(server))
        while CONFIGS.path("node-1") not in server.objects:
            await asyncio.sleep(0.005)
        await answer(server, "node-1")
        assert await asking == Outcome(("node-1",), ())
        assert configs(server) == []

    play(test)


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59.999999Z", "soon", 7, None])
def test_no_agent_hinders_the_others(time: object) -> None:
    """Whatever one writes into its own Lease."""

    async def test(server: ApiServer) -> None:
        add_node(server, "node-1")
        add_node(server, "node-2")
        lease = {"spec": {"leaseDurationSeconds": 2**31 - 1, "renewTime": time}}
        server.put(LEASES.path("agent.node-2", namespace=NAMESPACE), lease)
        agents = asyncio.create_task(answer(server, "node-1"))
        assert await unload_all(server) == Outcome(("node-1",), ("node-2",))
        await agents
        assert configs(server) == []

    play(test)


def test_an_operator_that_still_leads_is_waited_for() -> None:
    """No config is touched before the Lease is given back or has ended."""

    async def test(server: ApiServer) -> None:
        add_node(server, "node-1", renewed=None)
        server.put(OPERATOR_LEASE, {"spec": {"holderIdentity": "leader", "leaseDurationSeconds": 1}})
        await unload_all(server)
        (taken,) = (each.at for each in server.requests("update")[:1])
        (asked,) = (each.at for each in server.requests("patch") if each.path == CONFIGS.path("node-1"))
        assert taken < asked

    play(test)


def test_nothing_is_there() -> None:
    """Neither a Deployment nor the kinds: there is nothing to do."""

    async def test(server: ApiServer) -> None:
        server.remove(SCALE)
        server.collections = {LEASES.path(namespace=NAMESPACE)}
        assert await unload_all(server) == Outcome((), ())

    play(test)


def test_without_the_kinds_no_agent_can_be_asked() -> None:
    """Somebody has deleted them; an agent is there still, and is named."""

    async def test(server: ApiServer) -> None:
        add_node(server, "node-1")
        server.remove(CONFIGS.path("node-1"))
        server.collections = {LEASES.path(namespace=NAMESPACE)}
        assert await unload_all(server, seconds=0.3) == Outcome((), ("node-1",))

    play(test)


def test_an_answer_that_cannot_be_read_is_asked_for_again() -> None:
    """The API server fails while the agents are waited for: it is asked again."""

    async def test(server: ApiServer) -> None:
        add_node(server, "node-1")
        server.scripts["list"].extend([None, None, fail])
        agents = asyncio.create_task(answer(server, "node-1"))
        assert await unload_all(server) == Outcome(("node-1",), ())
        await agents

    play(test)


def test_what_cannot_be_asked_is_an_error() -> None:
    """Where the API server does not take the question, nothing is deleted."""

    async def test(server: ApiServer) -> None:
        add_node(server, "node-1")
        server.scripts["patch"].extend([None, fail])
        with pytest.raises(Unavailable, match="etcd is away"):
            await unload_all(server)
        assert configs(server) == [CONFIGS.path("node-1")]

    play(test)
