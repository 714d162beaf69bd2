"""Streams against an API server that speaks the real protocol, faults included."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fixtures.api_server import ApiServer, encode, status

from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.credentials import Credentials
from podcorder_agent.cluster.streams import Change, Drop, Key, Listed, Pace, Put, Stream

PODS = "/api/v1/pods"
NODE = "spec.nodeName=node-1"
PACE = Pace(least=0.05, most=0.4, steady=60)


def path_of(name: str) -> str:
    return f"/api/v1/namespaces/shop/pods/{name}"


class Shadow:
    """Knows what it was told: label `v` by key."""

    def __init__(self) -> None:
        self.known: dict[Key, Any] = {}
        self.lists = 0

    def take(self, change: Change) -> None:
        match change:
            case Put(raw):
                self.known[raw["metadata"]["namespace"], raw["metadata"]["name"]] = raw.get("spec")
            case Drop(key):
                del self.known[key]
            case Listed(keys):
                self.lists += 1
                for key in self.known.keys() - keys:
                    del self.known[key]


class Running:
    """A server, and a stream that follows it in a thread of its own."""

    def __init__(self, server: ApiServer, **options: Any) -> None:
        self.server = server
        self.shadow = Shadow()
        self.stop = threading.Event()
        self.stream = Stream(make_api(server, **options), PODS, NODE, self.shadow.take, PACE)
        self.thread = threading.Thread(target=self.stream.run, args=(self.stop,), daemon=True)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)

    async def until_in_step(self) -> None:
        """Until the shadow knows what the server holds, and a watch is open."""
        await self.until(lambda: self.shadow.lists and self.shadow.known == self.expected())

    def expected(self) -> dict[Key, Any]:
        stored = self.server.objects.values()
        return {(each["metadata"]["namespace"], each["metadata"]["name"]): each.get("spec") for each in stored}


def make_api(server: ApiServer, **options: Any) -> Api:
    return Api(Credentials(server.url, fixed_token="secret"), **options)


@asynccontextmanager
async def running(server: ApiServer | None = None, **options: Any) -> AsyncIterator[Running]:
    async with server or ApiServer() as server:
        made = Running(server, **options)
        made.thread.start()
        try:
            yield made
        finally:
            made.stop.set()
            async with asyncio.timeout(20):
                while made.thread.is_alive():
                    server.close_watches()
                    await asyncio.sleep(0.005)


def test_what_is_listed_and_what_happens_is_told() -> None:
    """All objects there are, then what is made, changed and deleted; asked with the token and the field selector."""

    async def scenario() -> None:
        server = ApiServer()
        for number in range(250):
            server.put(path_of(f"old-{number}"), {"spec": {"v": 1}})
        async with running(server) as made:
            await made.until_in_step()
            assert len(server.requests("list")) == 1
            server.put(path_of("new"), {"spec": {"v": 1}})
            server.put(path_of("old-1"), {"spec": {"v": 2}})
            server.remove(path_of("old-2"))
            await made.until_in_step()
            assert len(server.requests("watch")) == 1
            assert {each.query["fieldSelector"] for each in server.seen} == {NODE}
            assert {each.headers["Authorization"] for each in server.seen} == {"Bearer secret"}

    asyncio.run(scenario())


def test_a_watch_that_ends_is_resumed() -> None:
    """The next watch begins where the last one ended, bookmarks included, and nothing is listed anew."""

    async def scenario() -> None:
        async with running() as made:
            made.server.put(path_of("a"))
            await made.until_in_step()
            made.server.bookmark()
            await made.server.wait_for("watch", 1)
            await asyncio.sleep(0.05)
            made.server.close_watches()
            await made.server.wait_for("watch", 2)
            made.server.put(path_of("b"))
            await made.until_in_step()
            assert len(made.server.requests("list")) == 1
            assert made.server.requests("watch")[1].query["resourceVersion"] == str(made.server.version - 1)

    asyncio.run(scenario())


def test_what_vanished_over_a_new_list_is_told() -> None:
    """After 410 Gone the list is read anew: what is not in it is gone, what is new is told."""

    async def scenario() -> None:
        async with running() as made:
            made.server.put(path_of("stays"))
            made.server.put(path_of("goes"))
            await made.until_in_step()

            async def break_off(request: web.Request) -> web.StreamResponse:
                made.server.objects.pop(path_of("goes"))
                made.server.objects[path_of("comes")] = {"metadata": {"name": "comes", "namespace": "shop"}}
                made.server.compact()
                return status(410, "Expired", "too old resource version")

            made.server.scripts["watch"].append(break_off)
            made.server.close_watches()
            await made.until(lambda: made.shadow.lists == 2)
            assert made.shadow.known == made.expected()

    asyncio.run(scenario())


def test_faults_are_survived() -> None:
    """Errors, an answer that is no JSON, and a connection that is cut: in the end all is known."""

    async def scenario() -> None:
        async def nonsense(request: web.Request) -> web.StreamResponse:
            return web.Response(text="<html>")

        async def unavailable(request: web.Request) -> web.StreamResponse:
            return status(503, "ServiceUnavailable", "not now")

        async def cut(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(encode("ADDED", {"metadata": {"name": "x"}})[:10])
            assert request.transport is not None
            request.transport.abort()
            return response

        server = ApiServer()
        server.scripts["list"].extend([unavailable, nonsense])
        server.scripts["watch"].extend([unavailable, cut, nonsense])
        async with running(server) as made:
            server.put(path_of("a"))
            await made.until(lambda: len(server.requests("watch")) >= 4)
            server.put(path_of("b"))
            await made.until_in_step()

    asyncio.run(scenario())


def test_a_silent_watch_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """A connection on which nothing is heard any more is left for another, and that is no news."""

    async def scenario() -> None:
        async with running(silence=0.2) as made:
            made.server.put(path_of("a"))
            await made.server.wait_for("watch", 3)
            made.server.put(path_of("b"))
            await made.until_in_step()
            assert caplog.records == []

    asyncio.run(scenario())


def test_a_refusal_is_a_problem_until_it_is_mended() -> None:
    """What a person must mend is told in a sentence with the remedy, and tried again."""

    async def scenario() -> None:
        async def forbidden(request: web.Request) -> web.StreamResponse:
            return status(403, "Forbidden", "pods is forbidden")

        server = ApiServer()
        server.scripts["list"].append(forbidden)
        async with running(server) as made:
            await made.until(lambda: made.stream.problem)
            assert "grant it both verbs" in made.stream.problem
            await made.until_in_step()
            assert made.stream.problem == ""

    asyncio.run(scenario())


def test_failures_are_spaced() -> None:
    """While the API server fails it is asked less and less often, and never more than every `least` seconds or so."""

    async def scenario() -> None:
        async def unavailable(request: web.Request) -> web.StreamResponse:
            return status(503, "ServiceUnavailable", "not now")

        server = ApiServer()
        server.scripts["list"].extend([unavailable] * 6)
        async with running(server) as made:
            await made.until_in_step()
            times = [each.at for each in server.requests("list")]
            pauses = [after - before for before, after in pairwise(times)]
            assert min(pauses) >= PACE.least / 2
            assert max(pauses[-2:]) >= PACE.most / 2

    asyncio.run(scenario())


def test_a_token_file_is_read_for_each_request(tmp_path: Path) -> None:
    """The kubelet replaces a pod's token: the next request bears the new one."""

    async def scenario() -> None:
        token = tmp_path / "token"
        async with ApiServer() as server:
            server.put(path_of("a"))
            api = Api(Credentials(server.url, token_file=token))
            for each in ("first", "second"):
                token.write_text(f"{each}\n")
                await asyncio.to_thread(api.get, path_of("a"))
            assert [each.headers["Authorization"] for each in server.seen] == ["Bearer first", "Bearer second"]

    asyncio.run(scenario())
