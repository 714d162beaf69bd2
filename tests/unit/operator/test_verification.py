"""What `helm test` finds: nothing where all is well, and a sentence for each thing that is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fixtures.api_server import Answer, ApiServer, status

from podcorder_operator.api import Api
from podcorder_operator.elections import LEASES
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import CONFIGS, POLICIES
from podcorder_operator.verification import AGENT, DAEMON_SETS, PODS, Verification, wait_verified

DENIAL = 'admission webhook "policies.podcorder.dev" denied the request: no regular expression'
RUNNING = {
    "startTime": "2026-11-23T01:00:00Z",
    "containerStatuses": [{"name": "recorder", "state": {"running": {}}}, {"name": "exporter"}],
    "conditions": [{"type": "Ready", "status": "True"}],
}
RECORDING = {"type": "Ready", "status": "True", "reason": "Recording", "message": "The node records."}
AWAY = {"type": "Ready", "status": "False", "reason": "RecorderAway", "message": "nobody answers"}


def put_daemon_set(server: ApiServer, wanted: int) -> None:
    body = {"status": {"desiredNumberScheduled": wanted}}
    server.put(DAEMON_SETS.path(AGENT, namespace="podcorder"), body)


def put_node(server: ApiServer, name: str, *, pod: Any = RUNNING, ready: Any = RECORDING, beat: str = "02") -> None:
    """A node with its agent's pod, its config and its agent's Lease, renewed at that hour."""
    owned = {"ownerReferences": [{"kind": "DaemonSet", "name": AGENT}]}
    path = PODS.path(f"{AGENT}-{name}", namespace="podcorder")
    server.put(path, {"metadata": owned, "spec": {"nodeName": name}, "status": pod})
    server.put(CONFIGS.path(name), {"status": {"conditions": [ready] if ready else []}})
    lease = {"spec": {"renewTime": f"2026-11-23T{beat}:00:00.000000Z"}}
    server.put(LEASES.path(f"agent.{name}", namespace="podcorder"), lease)


def make_cluster(**node: Any) -> ApiServer:
    """One that is to have an agent on its only node, and has."""
    server = ApiServer()
    put_daemon_set(server, 1)
    put_node(server, "node-1", **node)
    return server


def look(server: ApiServer, webhook: Answer | None = None, seconds: float = 0) -> Verification:
    """What is found, the webhook denying what it should unless it answers otherwise."""

    async def deny(_: Any) -> Any:
        return status(422, "Invalid", DENIAL)

    async def run() -> Verification:
        async with server, Api(server.configuration(), Metrics()) as api:
            server.scripts["create"].extend([webhook or deny] * 9)
            return await wait_verified(api, "podcorder", seconds)

    return asyncio.run(run())


def test_all_is_well() -> None:
    """Nodes whose agents run, beat and record are counted; other pods of the namespace are not asked about."""
    server = ApiServer()
    put_daemon_set(server, 2)
    put_node(server, "node-1")
    put_node(server, "node-2")
    server.put(PODS.path("other", namespace="podcorder"), {"status": {}})
    assert look(server) == Verification(2, ())
    (tried,) = server.requests("create")
    assert tried.path == POLICIES.path(namespace="podcorder")
    assert tried.query == {"dryRun": "All"}


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ({"ready": AWAY}, "node-1: RecorderAway: nobody answers"),
        ({"ready": None}, "node-1: its agent has not reported yet"),
        ({"beat": "00"}, "node-1: its agent has just begun"),
        ({"pod": RUNNING | {"conditions": []}}, "node-1: its agent is not ready"),
        (
            {
                "pod": RUNNING
                | {"containerStatuses": [{"name": "recorder", "state": {"waiting": {"reason": "ErrImagePull"}}}]}
            },
            "node-1: the container recorder does not run (ErrImagePull)",
        ),
    ],
)
def test_a_node_that_does_not_record_is_told(node: dict[str, Any], problem: str) -> None:
    """By its name, with what its pod or its agent says."""
    server = make_cluster(**node)
    (found,) = look(server).problems
    assert found.startswith(problem)


def test_a_node_without_a_config_is_told() -> None:
    """Then nothing can be reported, and the operator's logs are named."""
    server = make_cluster()
    server.remove(CONFIGS.path("node-1"))
    assert look(server).problems == ("node-1: it has no config; the logs of deployment/podcorder-operator tell why",)


def test_nodes_without_an_agent_are_told() -> None:
    """How many there are, and that none is to have one."""
    server = ApiServer()
    put_daemon_set(server, 3)
    put_node(server, "node-1")
    assert look(server).problems[0].startswith("2 of 3 nodes have no agent")
    none = ApiServer()
    put_daemon_set(none, 0)
    assert look(none).problems == ("No node is to have an agent: agent.nodeSelector selects none.",)


def test_a_silent_webhook_is_told() -> None:
    """The API server stores what only the webhook refuses."""

    async def store(_: Any) -> Any:
        return status(201, "", "")

    server = make_cluster()
    (problem,) = look(server, store).problems
    assert problem.startswith("The webhook does not answer")


def test_another_webhooks_denial_says_nothing_of_ours() -> None:
    """It is told as what the API server says."""

    async def deny(_: Any) -> Any:
        return status(422, "Invalid", 'admission webhook "policy.example.com" denied the request: no label "team"')

    server = make_cluster()
    (problem,) = look(server, deny).problems
    assert problem.startswith('The API server says: admission webhook "policy.example.com" denied')


def test_what_the_api_server_refuses_is_told() -> None:
    """A release that is not there, and a right that is missing."""
    (problem,) = look(ApiServer()).problems
    assert problem.startswith("The API server says: ")
    assert "podcorder-agent not found" in problem

    async def forbid(_: Any) -> Any:
        return status(403, "Forbidden", "cannot create")

    server = ApiServer()
    put_daemon_set(server, 0)
    assert look(server, forbid).problems == ("The API server says: cannot create",)


def test_what_takes_time_is_waited_for() -> None:
    """It is looked at again until all is well."""
    server = ApiServer()

    async def deny_at_last(_: Any) -> Any:
        put_node(server, "node-1")
        return status(422, "Invalid", DENIAL)

    put_daemon_set(server, 1)
    put_node(server, "node-1", ready=AWAY)
    assert look(server, deny_at_last, seconds=20) == Verification(1, ())
