"""Records of sessions are kept and let go, against an API server that speaks the real protocol, faults included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from fixtures.api_server import ApiServer, status
from fixtures.session_records import make_ended, make_never_started, make_running, make_session, write_time

from podcorder_operator.api import Api
from podcorder_operator.metadata import read_conditions
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import NODES, RECORDED_SESSIONS, WATCHED
from podcorder_operator.retention import PAGE, Limits, Retention, Timing
from podcorder_operator.world import World

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
QUICK = Timing(sweep=0.05, write=0.0, node=0.1)


@dataclass
class Keeping:
    """A server with records, and what looks after them."""

    server: ApiServer
    world: World
    metrics: Metrics
    retention: Retention

    def put(
        self, name: str, status: Any = None, *, namespace: str = "shop", node: str = "node-1", age: int = 0
    ) -> None:
        """A record that was made so many days ago."""
        metadata = {"creationTimestamp": write_time(NOW - age * DAY)}
        body = {"metadata": metadata, "spec": make_session(node)} | ({} if status is None else {"status": status})
        self.server.put(RECORDED_SESSIONS.path(name, namespace=namespace), body)

    def put_ended(self, name: str, days: int, *, namespace: str = "shop") -> None:
        """One whose session was over so many days ago."""
        self.put(name, make_ended(NOW - days * DAY, NOW - days * DAY), namespace=namespace, age=days)

    def names(self, namespace: str = "shop") -> set[str]:
        prefix = RECORDED_SESSIONS.path(namespace=namespace)
        return {path.rpartition("/")[2] for path in self.server.objects if path.startswith(prefix)}

    def read_end(self, name: str) -> tuple[str, str] | None:
        """Status and reason of the condition Ended."""
        found = self.server.objects[RECORDED_SESSIONS.path(name, namespace="shop")]
        ended = read_conditions(found.get("status", {})).get("Ended")
        return (ended["status"], ended["reason"]) if ended else None

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)


def play(test: Callable[[Keeping], Awaitable[None]], *, count: int = 10_000, timing: Timing = QUICK) -> None:
    """Runs a test on an empty cluster that has the node node-1; records are kept for 30 days."""

    async def run() -> None:
        metrics = Metrics()
        async with ApiServer() as server, Api(server.configuration(), metrics) as api:
            world = World()
            for resource in WATCHED:
                world.listed(resource, set())
            world.put(NODES, {"metadata": {"name": "node-1"}})
            limits = Limits(30, count)
            await test(
                Keeping(server, world, metrics, Retention(world, api, metrics, limits, timing, read_clock=lambda: NOW))
            )

    asyncio.run(asyncio.wait_for(run(), 60))


@asynccontextmanager
async def running(keeping: Keeping) -> AsyncIterator[None]:
    """The replica leads."""
    task = asyncio.create_task(keeping.retention.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


def test_by_age() -> None:
    """What has been over for longer than it is kept goes, whether the session ended or never began; the rest stays."""

    async def test(keeping: Keeping) -> None:
        keeping.put_ended("old", 31)
        keeping.put("never", make_never_started(NOW - 31 * DAY), age=31)
        keeping.put("long", make_ended(NOW - 90 * DAY, NOW - DAY), age=90)
        keeping.put_ended("young", 29)
        keeping.put("running", make_running(NOW - 90 * DAY), age=90)
        assert await keeping.retention.sweep() == 2
        assert keeping.names() == {"long", "young", "running"}
        text = keeping.metrics.render().decode()
        assert 'podcorder_operator_recorded_sessions_deleted_total{reason="age"} 2.0' in text

    play(test)


def test_by_count() -> None:
    """Of too many the oldest go, of the namespaces that have most; those that run are neither counted nor touched."""

    async def test(keeping: Keeping) -> None:
        for number in range(20):
            keeping.put_ended(f"many-{number}", number, namespace="flood")
            keeping.put(f"running-{number}", make_running(NOW - DAY), age=29)
        for number in range(3):
            keeping.put_ended(f"few-{number}", 25, namespace="quiet")
        assert await keeping.retention.sweep() == 13
        assert keeping.names("flood") == {f"many-{number}" for number in range(7)}
        assert len(keeping.names("quiet")) == 3
        assert len(keeping.names()) == 20
        text = keeping.metrics.render().decode()
        assert 'podcorder_operator_recorded_sessions{state="over"} 10.0' in text
        assert 'podcorder_operator_recorded_sessions{state="running"} 20.0' in text

    play(test, count=10)


def test_many_pages() -> None:
    """However many there are, no page is longer than a page, and each record is looked at."""

    async def test(keeping: Keeping) -> None:
        for number in range(4 * PAGE + 1):
            keeping.put_ended(f"old-{number}", 31)
        assert await keeping.retention.sweep() == 4 * PAGE + 1
        assert keeping.names() == set()
        assert {seen.query["limit"] for seen in keeping.server.requests("list")} == {str(PAGE)}

    play(test)


def test_not_faster_than_said() -> None:
    """Between two deletions there is a pause, however many wait."""

    async def test(keeping: Keeping) -> None:
        for number in range(10):
            keeping.put_ended(f"old-{number}", 31)
        await keeping.retention.sweep()
        times = [seen.at for seen in keeping.server.requests("delete")]
        assert min(later - earlier for earlier, later in pairwise(times)) >= 0.02

    play(test, timing=Timing(sweep=1, write=0.02, node=1))


def test_one_that_changes_stays() -> None:
    """A record that changes between the look at it and its deletion is left for the next look."""

    async def test(keeping: Keeping) -> None:
        keeping.put_ended("back", 31)

        async def change(request: web.Request) -> web.StreamResponse:
            keeping.put("back", make_running(NOW - DAY), age=31)
            return await keeping.server.serve("delete", request, await request.json())

        keeping.server.scripts["delete"].append(change)
        assert await keeping.retention.sweep() == 0
        assert await keeping.retention.sweep() == 0
        assert keeping.names() == {"back"}

    play(test)


def test_nodes_that_are_gone() -> None:
    """Sessions of a node that stays away get an unknown end; those of a node that comes back, or is there, do not."""

    async def test(keeping: Keeping) -> None:
        keeping.put("lost", make_running(NOW - DAY), node="node-2")
        keeping.put("unreported", node="node-2")
        keeping.put("ended", make_ended(NOW - DAY, NOW - DAY), node="node-2", age=2)
        keeping.put("here", make_running(NOW - DAY))
        keeping.put("back", make_running(NOW - DAY), node="node-3")
        assert await keeping.retention.sweep() == 0
        keeping.world.put(NODES, {"metadata": {"name": "node-3"}})
        async with running(keeping):
            await keeping.until(lambda: keeping.read_end("unreported"))
            await asyncio.sleep(2 * QUICK.sweep)
        assert keeping.read_end("lost") == keeping.read_end("unreported") == ("Unknown", "NodeGone")
        assert keeping.read_end("here") == keeping.read_end("back") == ("False", "Running")
        assert keeping.read_end("ended") == ("True", "Exited")
        assert len(keeping.server.requests("patch")) == 2
        text = keeping.metrics.render().decode()
        assert 'podcorder_operator_recorded_sessions_closed_total{reason="NodeGone"} 2.0' in text

    play(test)


def test_agents_that_never_reported() -> None:
    """What was announced a day ago and nobody has said anything of gets an unknown end."""

    async def test(keeping: Keeping) -> None:
        keeping.put("silent", age=2)
        keeping.put("fresh")
        assert await keeping.retention.sweep() == 1
        assert keeping.read_end("silent") == ("Unknown", "AgentSilent")
        assert keeping.read_end("fresh") is None

    play(test)


def test_an_agent_that_was_faster() -> None:
    """What an agent says between the look at a record and the write to it stays as the agent said it."""

    async def test(keeping: Keeping) -> None:
        keeping.put("silent", age=2)

        async def report(request: web.Request) -> web.StreamResponse:
            keeping.put("silent", make_ended(NOW - DAY, NOW - DAY), age=2)
            return await keeping.server.serve("patch", request, await request.json())

        keeping.server.scripts["patch"].append(report)
        assert await keeping.retention.sweep() == 0
        assert keeping.read_end("silent") == ("True", "Exited")

    play(test)


@pytest.mark.parametrize("code", [403, 422])
def test_one_that_is_refused(code: int, caplog: pytest.LogCaptureFixture) -> None:
    """What the API server refuses of one record keeps no other from being let go, and is told once."""

    async def test(keeping: Keeping) -> None:
        async def refuse(_: web.Request) -> web.StreamResponse:
            return status(code, "Forbidden", "not this one")

        for number in range(4):
            keeping.put_ended(f"old-{number}", 31)
        keeping.server.scripts["delete"].extend([refuse, refuse])
        assert await keeping.retention.sweep() == 2
        assert keeping.names() == {"old-0", "old-1"}

    play(test)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "A record of a session cannot be deleted, shop/old-0 for one: not this one"
    ]


def test_an_api_server_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """After whatever fault of the API server all is looked through again, and told once."""

    async def test(keeping: Keeping) -> None:
        async def fail(_: web.Request) -> web.StreamResponse:
            return status(503, "ServiceUnavailable", "not now")

        async def forget(request: web.Request) -> web.StreamResponse:
            keeping.server.compact()
            return await keeping.server.serve("list", request)

        for number in range(2 * PAGE):
            keeping.put_ended(f"old-{number:03}", 31)
        keeping.server.scripts["list"].extend([fail, None, forget])
        keeping.server.scripts["delete"].extend([*[None] * PAGE, fail])
        async with running(keeping):
            await keeping.until(lambda: not keeping.names())
        text = keeping.metrics.render().decode()
        assert 'podcorder_operator_reconciles_total{outcome="failed",what="retention"} 3.0' in text

    play(test)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
