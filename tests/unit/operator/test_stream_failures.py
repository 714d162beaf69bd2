"""Streams whose API server fails, in every way that it can."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from fixtures.api_server import encode, status
from fixtures.running_streams import PACE, Shadow, config, play, running, streaming

from podcorder_operator.resources import CONFIGS
from podcorder_operator.streams import Pace


@pytest.mark.parametrize(
    ("body", "least"),
    # The least waits after the second watch to the fifth; without events halves of 0.1, 0.2, 0.4 and 0.4 s.
    [(b"", 0.55), (encode("BOOKMARK", {"metadata": {"resourceVersion": "200"}}), 4 * PACE.least)],
    ids=["silent", "with events"],
)
def test_no_hot_loop(body: bytes, least: float) -> None:
    """However fast the API server closes watches, the next ones wait, longer and longer where nothing is heard."""

    async def test() -> None:
        async with running() as run:

            async def close(request: web.Request) -> web.StreamResponse:
                return web.Response(body=body)

            run.server.scripts["watch"].extend([close] * 6)
            async with streaming(run):
                await run.server.wait_for("watch", 6)
            times = [request.at for request in run.server.requests("watch")]
            assert times[5] - times[1] > least * 0.9
            assert len(run.server.requests("list")) == 1

    play(test)


def test_gone_again_and_again() -> None:
    """Lists that lead to no watch are made ever more seldom."""

    async def test() -> None:
        async with running() as run:

            async def answer_410(_: web.Request) -> web.StreamResponse:
                return status(410, "Gone", "too old resource version")

            run.server.scripts["watch"].extend([answer_410] * 6)
            async with streaming(run):
                await run.server.wait_for("list", 6)
            times = [request.at for request in run.server.requests("list")]
            assert times[5] - times[0] > 0.6 * 0.9

    play(test)


def test_gone_after_failures() -> None:
    """The list for a place in time that is gone follows at once, however long the waits had become."""

    async def test() -> None:
        async with running(pace=Pace(least=0.05, most=60, steady=60)) as run:

            async def answer_503(_: web.Request) -> web.StreamResponse:
                return status(503, "ServiceUnavailable", "starting")

            async def answer_410(_: web.Request) -> web.StreamResponse:
                return status(410, "Gone", "too old resource version")

            # Four, for the fifth in a row is a reason of its own to list anew.
            run.server.scripts["watch"].extend([None, *[answer_503] * 4, answer_410])
            async with streaming(run):
                await run.server.wait_for("watch", 1)
                run.server.close_watches()
                await run.server.wait_for("list", 2)
            told = run.server.requests("watch")[5].at
            assert run.server.requests("list")[1].at - told < 0.8  # the next wait is 0.8 to 1.6 s

    play(test)


def test_retry_after() -> None:
    """Nobody asks again before the time that the API server names."""

    async def test() -> None:
        async with running() as run:

            async def refuse(_: web.Request) -> web.StreamResponse:
                return status(429, "TooManyRequests", "slow down", headers={"Retry-After": "1"})

            run.server.scripts["list"].append(refuse)
            run.server.scripts["watch"].append(refuse)
            async with streaming(run):
                await run.server.wait_for("watch", 2)
            lists, watches = run.server.requests("list"), run.server.requests("watch")
            assert lists[1].at - lists[0].at > 0.99
            assert watches[1].at - watches[0].at > 0.99
            assert len(lists) == 2

    play(test)


@pytest.mark.parametrize(
    "line",
    [b"garbage\n", b"[]\n", b'{"type": "ADDED"}\n', b'{"type": 1, "object": {}}\n', b"\xff\xfe\n", b'{"type": "AD'],
    ids=["no JSON", "no object", "no body", "no type", "no text", "cut off"],
)
def test_garbage_on_the_way(line: bytes) -> None:
    """A line that is no event ends the watch, and the next repeats what the line may have been."""

    async def test() -> None:
        async with running() as run:

            async def send(_: web.Request) -> web.StreamResponse:
                run.server.put(config(1), {"spec": 1})
                return web.Response(body=encode("ADDED", run.server.objects[config(1)]) + line)

            run.server.scripts["watch"].append(send)
            async with streaming(run):
                await run.server.wait_for("watch", 1)
                run.server.put(config(2), {"spec": 2})
                await run.until_in_step()
            assert len(run.server.requests("list")) == 1

    play(test)


def test_garbage_that_stays() -> None:
    """Where each resumed watch fails in the same way, a new list gets past the place."""

    async def test() -> None:
        async with running() as run:

            async def send(_: web.Request) -> web.StreamResponse:
                return web.Response(body=b"garbage\n")

            run.server.scripts["watch"].extend([send] * 5)
            async with streaming(run):
                await run.server.wait_for("watch", 5)
                run.server.put(config(2), {"spec": 2})
                await run.until(lambda: len(run.shadow.lists) == 2)
                await run.until_in_step()

    play(test)


def test_poisoned_objects() -> None:
    """An object without a name, or one that the sink cannot bear, is counted and keeps no other from being told."""

    async def test() -> None:
        async with running(shadow=Shadow(hated="node-001")) as run:
            for number in range(3):
                run.server.put(config(number), {"spec": number})
            run.server.objects[CONFIGS.path("nameless")] = {"metadata": {"resourceVersion": "1"}}
            async with streaming(run):
                await run.server.wait_for("watch", 1)
                run.server.put(config(1), {"spec": 10})
                run.server.put(config(4), {"spec": 4})
                await run.until(lambda: ("", "node-004") in run.shadow.known)
            assert sorted(run.shadow.known.values()) == [0, 2, 4]
            assert b'unreadable_objects_total{resource="noderecordingconfigs"} 3.0' in run.metrics.render()

    play(test)


def test_half_dead_connection() -> None:
    """A watch in which nothing is heard for longer than bookmarks take is given up, and resumed."""

    async def test() -> None:
        async with running(silence=0.2) as run, streaming(run):
            await run.server.wait_for("watch", 3)
            run.server.put(config(1), {"spec": 1})
            await run.until_in_step()
            assert len(run.server.requests("list")) == 1

    play(test)


def test_silent_connections() -> None:
    """Watches of a quiet collection that end for their silence, one after the other, leave no pause between them."""

    async def test() -> None:
        async with running(silence=0.2, pace=Pace(least=0.05, most=60, steady=0.1)) as run, streaming(run):
            await run.server.wait_for("watch", 9)
            times = [request.at for request in run.server.requests("watch")]
            assert times[8] - times[0] < 8 * 0.2 + 2  # else 3.2 to 6.4 s more
            assert len(run.server.requests("list")) == 1

    play(test)


def test_hanging_list() -> None:
    """A list that is not answered in time is asked for again."""

    async def test() -> None:
        async with running(timeout=0.2) as run:
            run.server.put(config(1), {"spec": 1})

            async def hang(request: web.Request) -> web.StreamResponse:
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(b'{"items": [')
                await asyncio.sleep(5)
                return response

            run.server.scripts["list"].append(hang)
            async with streaming(run):
                await run.until_in_step()

    play(test)


def test_missing_collection() -> None:
    """As long as the kind is unknown to the API server the stream says what to install, and goes on by itself then."""

    async def test() -> None:
        async with running() as run:
            run.server.collections = set()
            async with streaming(run):
                await run.server.wait_for("list", 2)
                assert "noderecordingconfigs.podcorder.dev" in run.stream.problem
                assert "install" in run.stream.problem
                run.server.collections = None
                run.server.put(config(1), {"spec": 1})
                await run.until_in_step()
                assert run.stream.problem == ""

    play(test)


def test_forbidden() -> None:
    """Without the rights, the stream names the verbs and the resource to grant, and repeats the API server's words."""

    async def test() -> None:
        async with running() as run:

            async def forbid(_: web.Request) -> web.StreamResponse:
                return status(403, "Forbidden", 'User "x" cannot list resource "noderecordingconfigs"')

            run.server.scripts["list"].extend([forbid] * 2)
            async with streaming(run):
                await run.server.wait_for("list", 2)
                assert "may not list and watch noderecordingconfigs" in run.stream.problem
                assert 'User "x" cannot list' in run.stream.problem
                await run.until_in_step()
                assert run.stream.problem == ""

    play(test)


def test_watch_that_cannot_be_resumed() -> None:
    """A place in time that the API server answers with errors for ever is left by a new list."""

    async def test() -> None:
        async with running() as run:

            async def fail(_: web.Request) -> web.StreamResponse:
                return status(504, "Timeout", "Too large resource version: 900, current: 800")

            async with streaming(run):
                await run.server.wait_for("watch", 1)
                run.server.scripts["watch"].extend([fail] * 5)
                run.server.close_watches()
                await run.server.wait_for("list", 2)
            assert [request.verb for request in run.server.seen][:8] == ["list", *["watch"] * 6, "list"]

    play(test)


def test_lost_connections() -> None:
    """However often connections are lost, the watch goes on where it stood: a list would only add to the trouble."""

    async def test() -> None:
        async with running() as run:

            async def lose(request: web.Request) -> web.StreamResponse:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()

            async with streaming(run):
                await run.server.wait_for("watch", 1)
                run.server.scripts["watch"].extend([lose] * 7)
                run.server.close_watches()
                run.server.put(config(1), {"spec": 1})
                await run.until_in_step()
            assert len(run.server.requests("list")) == 1

    play(test)
