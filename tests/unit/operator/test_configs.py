"""Node configs are written against an API server that speaks the real protocol, faults included."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from aiohttp import web
from fixtures.api_server import status
from fixtures.writers import Writing, answer_after, leading, play

from podcorder_operator.configs import WRITERS
from podcorder_operator.resources import CLUSTER_POLICIES, CONFIGS, NODES, POLICIES

EVERYTHING: dict[str, Any] = {"events": {"commands": {}}}


def test_nodes_come_and_go() -> None:
    """Each node has its config at once, with no policy at all, and loses it when it leaves."""

    async def test(run: Writing) -> None:
        run.put(NODES, "node-1")
        async with leading(run):
            await run.until(lambda: run.held("node-1") == [])
            run.put(NODES, "node-2")
            await run.until(lambda: run.held("node-2") == [])
            run.server.remove(NODES.path("node-1"))
            await run.until(lambda: run.held("node-1") is None)
            (deletion,) = run.server.requests("delete")
            assert deletion.body["preconditions"]["uid"]

    play(test)


def test_only_changes_are_written() -> None:
    """What is stored as it should be is not written, not by a new leader either."""

    async def test(run: Writing) -> None:
        for number in range(3):
            run.add_node(f"node-{number}", f"shop-{number}")
        for _ in range(2):
            async with leading(run):
                await run.pass_through()
            assert run.writes(CONFIGS.path("node")) == 0
        async with leading(run):
            run.put(POLICIES, "exec", "shop-1", spec=EVERYTHING)
            await run.until(lambda: run.held("node-1") == ["exec"])
            await run.pass_through()
            assert run.writes(CONFIGS.path("node")) == 1

    play(test)


def test_nothing_is_written_before_all_is_known() -> None:
    """Until every collection was listed no config is written: a policy that is not known yet would be missing."""

    async def test(run: Writing) -> None:
        async def refuse(_: web.Request) -> web.StreamResponse:
            return status(503, "ServiceUnavailable", "not yet")

        run.put(POLICIES, "exec", "shop", spec=EVERYTHING)
        run.add_node("node-1", "shop")
        run.server.scripts["list"].extend([refuse] * 2)
        async with leading(run):
            await run.until(lambda: run.held("node-1") == ["exec"])
            assert run.writes(CONFIGS.path("node-1")) == 1

    play(test)


def test_what_others_change_comes_back() -> None:
    """A config that somebody edits or deletes is written as it was."""

    async def test(run: Writing) -> None:
        run.put(CLUSTER_POLICIES, "all", spec=EVERYTHING)
        run.put(NODES, "node-1")
        async with leading(run):
            await run.until(lambda: run.held("node-1") == ["all"])
            await run.pass_through()
            run.put(CONFIGS, "node-1", spec={"nodeName": "node-1", "policies": []})
            await run.until(lambda: run.held("node-1") == ["all"])
            await run.pass_through()
            run.server.remove(CONFIGS.path("node-1"))
            await run.until(lambda: run.held("node-1") == ["all"])

    play(test)


def test_server_that_stores_something_else(caplog: pytest.LogCaptureFixture) -> None:
    """Where the API server changes what it is sent, a config is written once for each change, and that is told."""

    async def test(run: Writing) -> None:
        async def prune(request: web.Request) -> web.StreamResponse:
            body = await request.json()
            body["spec"].pop("nodeName")
            return await run.server.serve("patch", request, body)

        run.server.scripts["patch"].extend([prune] * 2)
        run.put(NODES, "node-1")
        async with leading(run):
            await run.until(lambda: run.held("node-1") == [])
            await run.pass_through()
            assert run.writes(CONFIGS.path("node-1")) == 1
            run.put(CLUSTER_POLICIES, "all", spec=EVERYTHING)
            await run.until(lambda: run.held("node-1") == ["all"])
            assert run.writes(CONFIGS.path("node-1")) == 2

    play(test)
    assert "CustomResourceDefinitions" in caplog.text


def test_server_that_is_away() -> None:
    """While the API server does not answer few requests are made, and afterwards every config is written."""

    async def test(run: Writing) -> None:
        async def fail(_: web.Request) -> web.StreamResponse:
            return status(503, "ServiceUnavailable", "not now")

        for number in range(40):
            run.put(NODES, f"node-{number}")
        run.server.scripts["patch"].extend([fail] * 20)
        async with leading(run):
            await run.until(lambda: all(run.held(f"node-{number}") == [] for number in range(40)))
        times = [seen.at for seen in run.server.requests("patch")]
        assert len(times) == 60
        assert times[20] - times[0] > 0.5

    play(test)


def test_refused_config_is_tried_again_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    """A config that is refused holds up no other, is told of once, and is tried at once when it should be another."""

    async def test(run: Writing) -> None:
        async def refuse(request: web.Request) -> web.StreamResponse:
            return status(422, "Invalid", f"{request.path.rpartition('/')[2]} is not to my liking")

        run.server.scripts["patch"].extend([refuse] * 2)
        run.put(NODES, "node-1")
        run.put(NODES, "node-2")
        async with leading(run):
            await run.server.wait_for("patch", 2)
            await run.pass_through()
            assert run.writes() == 3
            run.put(CLUSTER_POLICIES, "all", spec=EVERYTHING)
            await run.until(lambda: run.held("node-1") == run.held("node-2") == ["all"])

    with caplog.at_level(logging.WARNING, "podcorder_operator.configs"):
        play(test)
    assert caplog.text.count("not to my liking") == 1


def test_conflict_is_tried_again() -> None:
    """A conflict costs a moment, and nothing else."""

    async def test(run: Writing) -> None:
        async def conflict(_: web.Request) -> web.StreamResponse:
            return status(409, "Conflict", "the object has been modified")

        run.server.scripts["patch"].append(conflict)
        run.put(NODES, "node-1")
        async with leading(run):
            await run.until(lambda: run.held("node-1") == [])
            assert run.writes() == 2

    play(test)


def test_small_change_does_not_wait() -> None:
    """A policy of one node is written before the rest of a change that concerns all nodes."""

    async def test(run: Writing) -> None:
        for number in range(200):
            run.add_node(f"node-{number}", f"shop-{number}")
        async with leading(run):
            await run.pass_through()
            run.server.scripts["patch"].extend([answer_after(run.server, 0.05)] * 300)
            before = run.writes()
            run.put(CLUSTER_POLICIES, "all", spec=EVERYTHING)
            await run.until(lambda: run.writes() > before + 20)
            run.put(POLICIES, "exec", "shop-199", spec=EVERYTHING)
            await run.until(lambda: run.held("node-199") == ["all", "exec"])
            assert run.writes() < before + 100
            await run.until(lambda: all("all" in (run.held(f"node-{number}") or []) for number in range(200)))

    play(test)


def test_others_have_their_turn() -> None:
    """Looking at many nodes, none of which needs a new config, keeps nothing else waiting for long."""

    async def test(run: Writing) -> None:
        for number in range(300):
            run.add_node(f"node-{number}")
        await run.world.when_synced.wait()
        turns = 0
        async with leading(run):
            while not run.world.when_resolved.is_set():
                turns += 1
                await asyncio.sleep(0)
        assert turns > 300 / WRITERS

    play(test)
