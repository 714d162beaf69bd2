"""Streams against an API server that speaks the real protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from fixtures.api_server import status
from fixtures.running_streams import config, play, running, streaming

from podcorder_operator.resources import NAMESPACES, POLICIES


def test_list_and_changes() -> None:
    """What was there and what comes, changes and goes is told, of all namespaces."""

    async def test() -> None:
        async with running(POLICIES) as run:
            run.server.put(POLICIES.path("exec", namespace="shop"), {"spec": 1})
            async with streaming(run):
                await run.until_in_step()
                run.server.put(POLICIES.path("exec", namespace="web"), {"spec": 2})
                run.server.put(POLICIES.path("exec", namespace="shop"), {"spec": 3})
                await run.until_in_step()
                run.server.remove(POLICIES.path("exec", namespace="shop"))
                await run.until_in_step()
                assert run.shadow.known == {("web", "exec"): 2}

    play(test)


def test_pages() -> None:
    """A list comes in pages of one moment, and is complete only after the last."""

    async def test() -> None:
        async with running() as run:
            for number in range(123):
                run.server.put(config(number), {"spec": number})
            async with streaming(run):
                await run.until_in_step()
            assert [len(keys) for keys in run.shadow.lists] == [123]
            assert [request.query["limit"] for request in run.server.requests("list")] == ["50"] * 3

    play(test)


def test_continue_token_expired() -> None:
    """A list whose continue token expired begins anew, and nothing counts as listed before it is complete."""

    async def test() -> None:
        async with running() as run:
            for number in range(60):
                run.server.put(config(number), {"spec": number})

            async def expire(request: web.Request) -> web.StreamResponse:
                run.server.remove(config(0))
                run.server.compact()
                return status(410, "Expired", "The provided continue parameter is too old")

            run.server.scripts["list"].extend([None, expire])
            async with streaming(run):
                await run.until_in_step()
            assert [len(keys) for keys in run.shadow.lists] == [59]

    play(test)


def test_metadata_only() -> None:
    """Of namespaces nothing but metadata is asked for."""

    async def test() -> None:
        async with running(NAMESPACES) as run:
            run.server.put(NAMESPACES.path("shop"))
            async with streaming(run):
                await run.until_in_step()
                await run.server.wait_for("watch", 1)
            accepted = {request.verb: request.headers["Accept"] for request in run.server.seen}
            assert accepted == {
                "list": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                "watch": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            }

    play(test)


def test_closed_watch_is_resumed() -> None:
    """After a watch that ended, the next begins where it stood, bookmarks included, and nothing is listed again."""

    async def test() -> None:
        async with running() as run, streaming(run):
            await run.server.wait_for("watch", 1)
            run.server.put(config(1), {"spec": 1})
            await run.until_in_step()
            run.server.version += 1000  # others write, of which this collection's watch learns by bookmarks only
            before = run.stream.stirred
            run.server.bookmark()
            version = run.server.version
            await run.until(lambda: run.stream.stirred > before)
            run.server.close_watches()
            await run.server.wait_for("watch", 2)
            run.server.put(config(2), {"spec": 2})
            await run.until_in_step()
            assert run.server.requests("watch")[1].query["resourceVersion"] == str(version)
            assert len(run.server.requests("list")) == 1

    play(test)


def test_gone_is_listed_anew() -> None:
    """After 410 Gone, in an event or as a status, a new list tells of what vanished, appeared and changed unseen."""

    async def test(script: Callable[[web.Request], Awaitable[web.StreamResponse]] | None) -> None:
        async with running() as run:
            for number in range(3):
                run.server.put(config(number), {"spec": number})
            async with streaming(run):
                await run.server.wait_for("watch", 1)

                async def miss(request: web.Request) -> web.StreamResponse:
                    run.server.objects.pop(config(0))
                    run.server.objects[config(1)]["spec"] = 10
                    run.server.put(config(3), {"spec": 3})
                    run.server.compact()
                    return await (script(request) if script else run.server.serve("watch", request))

                run.server.scripts["watch"].append(miss)
                run.server.close_watches()
                await run.until(lambda: len(run.shadow.lists) == 2)
                await run.until_in_step()
                assert sorted(run.shadow.known.values()) == [2, 3, 10]

    async def answer_410(_: web.Request) -> web.StreamResponse:
        return status(410, "Gone", "too old resource version")

    play(lambda: test(None))
    play(lambda: test(answer_410))
