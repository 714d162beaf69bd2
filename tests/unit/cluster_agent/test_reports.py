"""What the agent writes into the cluster: the config's status and the Lease."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from fixtures.api_server import ApiServer, status

from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.capabilities import report_capabilities, report_loader
from podcorder_agent.cluster.collections import CONFIGS, Collection
from podcorder_agent.cluster.credentials import Credentials
from podcorder_agent.cluster.leases import Heartbeat
from podcorder_agent.cluster.states import Board, Capability, Loader, NodeState
from podcorder_agent.cluster.statuses import StatusWriter, explain, explain_losses
from podcorder_crds import EventClass, NodeRecordingConfigStatus

CONFIG = "/apis/podcorder.dev/v1alpha1/noderecordingconfigs/node-1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/podcorder/leases/agent.node-1"
FILES = Capability("Files", "Full", "fexit")
STATE = NodeState("uid-1", 4, 4, ("default", "shop"), (FILES,))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def writing(server: ApiServer, board: Board, least: float) -> AsyncIterator[None]:
    stop = threading.Event()
    api = Api(Credentials(server.url))
    writer = StatusWriter(api, Collection(api, CONFIGS), "node-1", board, least)
    thread = threading.Thread(target=writer.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        board.changed.set()
        await until(lambda: not thread.is_alive())


def written(server: ApiServer) -> list[dict[str, Any]]:
    return [each.body["status"] for each in server.requests("patch")]


def test_the_status_is_of_the_contract() -> None:
    """It is merged into the status alone, and the contract's own model takes it."""

    async def scenario() -> None:
        board = Board()
        async with ApiServer() as server, writing(server, board, 0.05):
            server.put(CONFIG)
            board.post(replace(STATE, problems=("a",), loader=Loader("bcc", "asked for"), losing=(EventClass.OPEN,)))
            await until(lambda: written(server))
            (request,) = server.requests("patch")
            assert request.path == f"{CONFIG}/status"
            assert request.query == {"fieldManager": "podcorder-agent"}
            assert request.headers["Content-Type"] == "application/merge-patch+json"
            assert request.body.keys() == {"status"}
            found = NodeRecordingConfigStatus.model_validate(request.body["status"])
            assert (found.applied_generation, found.namespaces) == (4, ("default", "shop"))
            assert {each.type: each.reason for each in found.conditions} == {
                "Ready": "NotUnderstood",
                "Lossless": "LosingEvents",
            }
            assert found.losing_classes == (EventClass.OPEN,)
            assert found.loader is not None
            assert (found.loader.name, found.loader.reason) == ("bcc", "asked for")

    asyncio.run(scenario())


def test_only_transitions_are_written() -> None:
    """The first at once, what follows within the time between two writes as one; the same again not at all."""

    async def scenario() -> None:
        board = Board()
        async with ApiServer() as server, writing(server, board, 0.3):
            server.put(CONFIG)
            board.post(STATE)
            await until(lambda: written(server))
            for generation in range(5, 9):
                board.post(replace(STATE, applied_generation=generation))
            board.post(replace(STATE, applied_generation=9))
            board.post(replace(STATE, applied_generation=9))
            await until(lambda: len(written(server)) == 2)
            first, second = server.requests("patch")
            assert second.at - first.at >= 0.3
            assert [each["appliedGeneration"] for each in written(server)] == [4, 9]
            board.changed.set()
            await asyncio.sleep(0.4)
            assert len(written(server)) == 2

    asyncio.run(scenario())


def test_a_status_that_could_not_be_written_is_written_later() -> None:
    """And only what was written counts as reported."""

    async def scenario() -> None:
        async def unavailable(request: web.Request) -> web.StreamResponse:
            assert board.reported_for("shop") == 0
            return status(503, "ServiceUnavailable", "not now")

        board = Board()
        async with ApiServer() as server, writing(server, board, 0.05):
            server.put(CONFIG)
            server.scripts["patch"].append(unavailable)
            board.post(STATE)
            await until(lambda: board.reported_for("shop") > 0)
            assert len(written(server)) == 2

    asyncio.run(scenario())


def test_without_a_config_nothing_is_written() -> None:
    """There is nothing to write into; once there is, it is written."""

    async def scenario() -> None:
        board = Board()
        async with ApiServer() as server, writing(server, board, 0.01):
            board.post(replace(STATE, config_uid=""))
            await asyncio.sleep(0.1)
            assert written(server) == []
            server.put(CONFIG)
            board.post(STATE)
            await until(lambda: written(server))

    asyncio.run(scenario())


def test_a_condition_that_stays_keeps_its_time() -> None:
    """lastTransitionTime changes with the condition's status, not with its message."""

    async def scenario() -> None:
        board = Board()
        async with ApiServer() as server, writing(server, board, 1.1):
            server.put(CONFIG)
            board.post(STATE)
            await until(lambda: len(written(server)) == 1)
            board.post(replace(STATE, namespaces=()))
            await until(lambda: len(written(server)) == 2)
            board.post(replace(STATE, recorder_problem="gone"))
            await until(lambda: len(written(server)) == 3)
            times = [each["conditions"][0]["lastTransitionTime"] for each in written(server)]
            assert times[0] == times[1] < times[2]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "Recording"),
        ({"problems": ("unknown field a.b",)}, "NotUnderstood"),
        ({"capabilities": (Capability("Files", "Unavailable"),)}, "CapabilitiesUnavailable"),
        ({"capabilities": (Capability("Files", "Degraded"),)}, "Recording"),
        ({"unloaded": True, "problems": ("unknown field a.b",)}, "Unloaded"),
        ({"recorder_problem": "nobody answers", "problems": ("a",)}, "RecorderAway"),
    ],
)
def test_ready_says_what_is_wrong(change: dict[str, Any], reason: str) -> None:
    """The condition is False for the gravest of what keeps the node from recording all."""
    found, why, message = explain(replace(STATE, **change))
    assert (found, why) == ("True" if reason == "Recording" else "False", reason)
    for problem in change.get("problems", ()) if reason == "NotUnderstood" else ():
        assert problem in message


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        ({}, "Recording", ""),
        ({"losing": (EventClass.OPEN, EventClass.EXIT)}, "LosingEvents", "Open, Exit"),
        ({"journal_full": True, "losing": (EventClass.OPEN,)}, "JournalFull", "collector"),
    ],
)
def test_lossless_says_what_is_lost(change: dict[str, Any], reason: str, message: str) -> None:
    """The condition is False while the journal is full or events are being lost, and names their classes."""
    found = explain_losses(replace(STATE, **change))
    assert found[:2] == ("True" if reason == "Recording" else "False", reason)
    assert message in found[2]


def test_one_reason_for_several_is_said_once() -> None:
    """Where a kernel lets nothing be recorded, the condition names its reason."""
    capabilities = tuple(Capability(name, "Unavailable", message="No ring buffers.") for name in ("Files", "TCP"))
    _, _, message = explain(replace(STATE, capabilities=capabilities))
    assert message == "This node cannot record Files, TCP: No ring buffers."


def test_capabilities_have_the_contracts_names() -> None:
    """States and names are translated; what is off is not reported, what is too long is cut."""
    told = {
        "network_tcp": {"state": "Active", "rung": "tp_btf", "reason": ""},
        "files": {"state": "Degraded", "rung": "raw_tp", "reason": "x" * 5000},
        "exec_failures": {"state": "Failed", "rung": "", "reason": "refused"},
        "network_udp": {"state": "Off", "rung": "", "reason": ""},
        "later": {"state": "Active"},
    }
    assert report_capabilities(told) == (
        Capability("ExecFailures", "Unavailable", "", "refused"),
        Capability("Files", "Degraded", "raw_tp", "x" * 1024),
        Capability("NetworkTcp", "Full", "tp_btf", ""),
    )


@pytest.mark.parametrize(
    ("told", "reported"),
    [
        ({"name": "core", "reason": "x" * 5000}, Loader("core", "x" * 1024)),
        ({"name": "bcc"}, Loader("bcc", "")),
        ({"name": "later", "reason": "better"}, None),
        ({"name": ["core"]}, None),
        (None, None),
    ],
)
def test_a_loader_is_reported_if_the_contract_has_it(told: object, reported: Loader | None) -> None:
    """With its reason, cut where that is too long; anything else is left out."""
    assert report_loader(told) == reported


def test_the_lease_is_made_and_renewed() -> None:
    """By the node's name, for 40 s; whoever renews it anew holds it since then."""

    async def scenario() -> None:
        async with ApiServer() as server:
            api = Api(Credentials(server.url))
            await asyncio.to_thread(Heartbeat(api, "podcorder", "node-1", "a").renew)
            made = server.objects[LEASE]["spec"]
            await asyncio.to_thread(Heartbeat(api, "podcorder", "node-1", "a").renew)
            renewed = server.objects[LEASE]["spec"]
            assert made["acquireTime"] == renewed["acquireTime"]
            assert made["renewTime"] < renewed["renewTime"]
            await asyncio.to_thread(Heartbeat(api, "podcorder", "node-1", "b").renew)
            taken = server.objects[LEASE]["spec"]
            assert (taken["holderIdentity"], taken["leaseDurationSeconds"]) == ("b", 40)
            assert taken["acquireTime"] == taken["renewTime"]

    asyncio.run(scenario())
