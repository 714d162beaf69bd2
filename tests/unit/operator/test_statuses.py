"""Policy statuses and Events are written against an API server that speaks the real protocol, faults included."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from fixtures.api_server import Seen, status
from fixtures.writers import POLICY_SECONDS, Writing, leading, play

from podcorder_operator.metadata import read_conditions
from podcorder_operator.resources import CONFIGS, EVENTS, NODES, POLICIES
from podcorder_operator.statuses import WRITE_SECONDS

EVERYTHING: dict[str, Any] = {"events": {"commands": {"outcomes": ["Succeeded"]}}}
WRONG: dict[str, Any] = {"events": {"files": {"paths": {"include": ["etc"]}}}}
CAPABILITIES = [{"name": name, "state": "Full"} for name in ("Containers", "Processes")]


def read_reason(run: Writing, kind: str, name: str = "exec") -> str | None:
    """The reason of a policy's condition, None where it is not said yet."""
    policy = run.server.objects[POLICIES.path(name, namespace="shop")]
    reason: str | None = read_conditions(policy.get("status", {})).get(kind, {}).get("reason")
    return reason


def status_writes(run: Writing) -> list[Seen]:
    return [seen for seen in run.server.requests("patch") if seen.path.endswith("/status")]


def apply_config(run: Writing, node: str) -> None:
    """The node's agent has put its config into force."""
    config = run.config(node)
    assert config is not None
    applied = {"appliedGeneration": config["metadata"]["generation"], "capabilities": CAPABILITIES}
    run.put(CONFIGS, node, spec=config["spec"], status=config["status"] | applied)


def read_events(run: Writing) -> list[tuple[str, str]]:
    return [(seen.body["type"], seen.body["reason"]) for seen in run.server.requests("create")]


def test_status_follows() -> None:
    """The first status is written at once, the next when it changed and its time has come, with Events for a person."""

    async def test(run: Writing) -> None:
        run.add_node("node-1", "shop")
        run.put(POLICIES, "exec", "shop", spec=EVERYTHING)
        async with leading(run):
            await run.until(lambda: read_reason(run, "Ready") == "NodesBehind")
            apply_config(run, "node-1")
            await run.until(lambda: read_reason(run, "Ready") == "AppliedOnAllNodes")
            await run.until(lambda: read_events(run))
        first, second = status_writes(run)
        assert second.at - first.at >= POLICY_SECONDS * 0.99
        assert read_events(run) == [("Normal", "AppliedOnAllNodes")]
        (event,) = run.server.requests("create")
        assert event.path == EVENTS.path(namespace="shop")
        assert event.body["involvedObject"]["uid"] == first.body["metadata"]["uid"]

    play(test)


def test_nothing_new_is_not_written() -> None:
    """A status that is stored already is not written again, not by a new leader either, nor are its Events."""

    async def test(run: Writing) -> None:
        run.put(POLICIES, "wrong", "shop", spec=WRONG)
        async with leading(run):
            await run.until(lambda: read_reason(run, "Accepted", "wrong") == "Invalid")
            await run.until(lambda: run.server.requests("create"))
        async with leading(run):
            run.put(POLICIES, "exec", "shop", spec=EVERYTHING)
            await run.until(lambda: read_reason(run, "Accepted") == "Accepted")
        assert [seen.path for seen in status_writes(run)] == [
            POLICIES.path(name, namespace="shop", subresource="status") for name in ("wrong", "exec")
        ]
        assert read_events(run) == [("Warning", "Invalid")]

    play(test)


def test_pace() -> None:
    """Many statuses are written one after the other, 20 a second at most."""

    async def test(run: Writing) -> None:
        for number in range(12):
            run.put(POLICIES, f"policy-{number}", "shop", spec=EVERYTHING)
        async with leading(run):
            await run.until(lambda: len(status_writes(run)) == 12)
        times = [seen.at for seen in status_writes(run)]
        assert times[-1] - times[0] >= 11 * WRITE_SECONDS * 0.95

    play(test)


def test_deleted_meanwhile() -> None:
    """A policy that is gone, or another of its name, when its status arrives costs nobody anything."""

    async def test(run: Writing) -> None:
        async def replace(request: web.Request) -> web.StreamResponse:
            run.server.remove(POLICIES.path("exec", namespace="shop"))
            run.put(POLICIES, "exec", "shop", spec=WRONG)
            return await run.server.serve("patch", request, await request.json())

        async def remove(request: web.Request) -> web.StreamResponse:
            run.server.remove(POLICIES.path("gone", namespace="shop"))
            return await run.server.serve("patch", request, await request.json())

        run.put(POLICIES, "exec", "shop", spec=EVERYTHING)
        async with leading(run):
            run.server.scripts["patch"].append(replace)
            await run.until(lambda: read_reason(run, "Accepted") == "Invalid")
            run.server.scripts["patch"].append(remove)
            run.put(POLICIES, "gone", "shop", spec=EVERYTHING)
            await run.until(lambda: not run.server.scripts["patch"])
            run.put(POLICIES, "other", "shop", spec=EVERYTHING)
            await run.until(lambda: read_reason(run, "Accepted", "other") == "Accepted")

    play(test)


def test_refused_status_holds_up_no_other() -> None:
    """A status that is refused is left for later, and others are written."""

    async def test(run: Writing) -> None:
        async def refuse(_: web.Request) -> web.StreamResponse:
            return status(422, "Invalid", "not to my liking")

        run.server.scripts["patch"].append(refuse)
        for name in ("one", "other"):
            run.put(POLICIES, name, "shop", spec=EVERYTHING)
        async with leading(run):
            await run.until(lambda: {read_reason(run, "Accepted", name) for name in ("one", "other")} == {"Accepted"})
        assert len(status_writes(run)) == 3

    play(test)


def test_refused_status_is_told_by_an_event() -> None:
    """Where the API server lets nobody write an invalid policy's status, one Event says what it would."""

    async def test(run: Writing) -> None:
        async def refuse(_: web.Request) -> web.StreamResponse:
            return status(422, "Invalid", "no such types")

        run.server.scripts["patch"].extend([refuse] * 3)
        run.put(POLICIES, "exec", "shop", spec=WRONG)
        async with leading(run):
            await run.until(lambda: not run.server.scripts["patch"])
            assert read_events(run) == [("Warning", "Invalid")]

    play(test)


def test_nothing_is_said_before_all_is_resolved() -> None:
    """Before every config was resolved once no status is written: what is left out is not known yet."""

    async def test(run: Writing) -> None:
        run.put(POLICIES, "exec", "shop", spec=EVERYTHING)
        run.put(NODES, "node-1")
        await run.world.when_synced.wait()
        run.world.touch_all()
        writing = asyncio.create_task(run.statuses.run())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not status_writes(run)
        run.world.leave_out("node-1", frozenset())
        await run.until(lambda: read_reason(run, "Accepted") == "Accepted")
        writing.cancel()
        await asyncio.wait({writing})

    play(test)
