"""Elections against an API server that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from fixtures.api_server import ApiServer

from podcorder_operator.api import Api
from podcorder_operator.elections import LEASES, Election, Timing
from podcorder_operator.metrics import Metrics

LEASE = LEASES.path("podcorder-operator", namespace="podcorder")
TIMING = Timing(duration=10.0, renew=7.0, retry=0.05)
BRIEF = Timing(duration=2.0, renew=0.8, retry=0.1)


@dataclass
class Replica:
    """A candidate that notes when it led."""

    election: Election
    began: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    task: asyncio.Task[Any] | None = None

    async def lead(self) -> None:
        self.began.append(_now())
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(_now())

    def start(self) -> None:
        self.task = asyncio.create_task(self.election.run(self.lead))

    async def stop(self) -> None:
        """As on SIGTERM."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait({self.task})

    async def wait_leading(self, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while len(self.began) < times:
                await asyncio.sleep(0.005)

    async def wait_ended(self, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while len(self.ended) < times:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def replicas(names: str, timing: Timing = TIMING) -> AsyncIterator[tuple[ApiServer, list[Replica]]]:
    """One for each letter, none started, each with connections of its own."""
    async with ApiServer() as server:
        apis = [Api(server.configuration(), Metrics(), timeout=0.3) for _ in names]
        found = [
            Replica(Election(api, "podcorder", "podcorder-operator", name, timing))
            for api, name in zip(apis, names, strict=True)
        ]
        try:
            yield server, found
        finally:
            for replica in found:
                if replica.task is not None:
                    await replica.stop()
            for api in apis:
                await api.__aexit__()


def _now() -> float:
    return asyncio.get_running_loop().time()


def holder(server: ApiServer) -> str:
    return str(server.objects[LEASE]["spec"]["holderIdentity"])


async def refuse(request: web.Request) -> web.StreamResponse:
    return web.Response(status=500)


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(5)
    return web.Response()


def play(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def test_one_leads() -> None:
    """Of several candidates one leads, and its lease says so as client-go would write it: times in UTC."""

    async def test() -> None:
        async with replicas("abc") as (server, found):
            for replica in found:
                replica.start()
            await server.wait_for("update", 5)
            assert sum(len(replica.began) for replica in found) == 1
            (leader,) = (replica for replica in found if replica.began)
            assert leader.election.leading
            spec = server.objects[LEASE]["spec"]
            assert spec["holderIdentity"] == "abc"[found.index(leader)]
            assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (10, 0)
            for time in (spec["acquireTime"], spec["renewTime"]):
                assert time.endswith("Z")
                assert abs(datetime.fromisoformat(time) - datetime.now(UTC)) < timedelta(seconds=5)
            assert spec["acquireTime"] < spec["renewTime"]

    play(test)


def test_lease_is_given_back() -> None:
    """One that is told to stop gives the lease back, and another leads long before it would have ended."""

    async def test() -> None:
        async with replicas("ab") as (server, (first, second)):
            first.start()
            await first.wait_leading()
            second.start()
            await server.wait_for("get", 3)
            stopped = _now()
            await first.stop()
            assert holder(server) == ""
            await second.wait_leading()
            assert second.began[0] - stopped < TIMING.duration / 2
            assert first.ended[0] <= second.began[0]
            assert server.objects[LEASE]["spec"]["leaseTransitions"] == 1

    play(test)


def test_lease_of_the_dead() -> None:
    """One that was killed is succeeded when its lease was left alone for its whole duration, and not before."""

    async def test() -> None:
        async with replicas("b") as (server, (second,)):
            server.put(LEASE, {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 1, "leaseTransitions": 7}})
            second.start()
            await server.wait_for("get", 1)
            seen = _now()
            server.put(LEASE, server.objects[LEASE])  # its last renewal
            await second.wait_leading()
            assert second.began[0] - seen > 1.0
            assert server.objects[LEASE]["spec"]["leaseTransitions"] == 8

    play(test)


@pytest.mark.parametrize("renew_time", ["1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", "soon"])
def test_wall_clocks_do_not_count(renew_time: str) -> None:
    """Whatever time another's clock wrote, its lease is its own until it was seen unchanged for the duration."""

    async def test() -> None:
        async with replicas("b") as (server, (second,)):
            spec = {"holderIdentity": "a", "leaseDurationSeconds": 1, "renewTime": renew_time}
            server.put(LEASE, {"spec": spec})
            began = _now()
            second.start()
            await second.wait_leading()
            assert second.began[0] - began > 1.0

    play(test)


@pytest.mark.parametrize("trouble", [refuse, hang])
def test_leader_stops_before_its_lease_ends(trouble: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
    """A leader that cannot renew stops in time, also where the API server hangs, and leads again when it can."""

    async def test() -> None:
        async with replicas("a", BRIEF) as (server, (first,)):
            first.start()
            await first.wait_leading()
            await server.wait_for("update", 2)
            renewed = server.requests("update")[-1].at
            server.scripts["update"].extend([trouble] * 8)
            await first.wait_ended()
            assert first.ended[0] - renewed < BRIEF.duration - 0.5
            server.scripts["update"].clear()
            await first.wait_leading(2)
            assert holder(server) == "a"

    play(test)


def test_short_trouble_changes_nothing() -> None:
    """A failed renewal, a conflict or an answer lost on its way back do not end leading."""

    async def test() -> None:
        async with replicas("a") as (server, (first,)):

            async def lose_answer(request: web.Request) -> web.StreamResponse:
                await server.serve("update", request, await request.json())
                assert request.transport is not None
                request.transport.abort()
                return web.Response()

            first.start()
            await first.wait_leading()
            await server.wait_for("update", 1)
            server.scripts["update"].extend([refuse, None, lose_answer])
            await server.wait_for("update", 6)
            server.put(LEASE, {**server.objects[LEASE], "metadata": {"labels": {"touched": "by another"}}})
            await server.wait_for("update", 10)
            assert (len(first.began), len(first.ended)) == (1, 0)

    play(test)


def test_deleted_lease() -> None:
    """A leader whose lease somebody deletes makes it anew and goes on."""

    async def test() -> None:
        async with replicas("a") as (server, (first,)):
            first.start()
            await first.wait_leading()
            server.remove(LEASE)
            await server.wait_for("create", 2)
            await server.wait_for("update", 2)
            assert holder(server) == "a"
            assert first.ended == []

    play(test)


def test_usurped_lease() -> None:
    """A leader that finds another in its lease stops at once, and does not take the lease back."""

    async def test() -> None:
        async with replicas("a") as (server, (first,)):
            first.start()
            await first.wait_leading()
            server.put(LEASE, {"spec": {"holderIdentity": "z", "leaseDurationSeconds": 60}})
            usurped = _now()
            await first.wait_ended()
            assert first.ended[0] - usurped < TIMING.renew / 2
            assert not first.election.leading
            await server.wait_for("get", 4)
            assert holder(server) == "z"
            await first.stop()
            assert holder(server) == "z"

    play(test)


@pytest.mark.parametrize("spec", [None, {}, {"holderIdentity": ""}, {"holderIdentity": None}, "poison"])
def test_free_lease(spec: Any) -> None:
    """A lease that names no holder, as helm or a person may have made it, is free."""

    async def test() -> None:
        async with replicas("a") as (server, (first,)):
            server.put(LEASE, {"spec": spec})
            first.start()
            await first.wait_leading()
            assert holder(server) == "a"

    play(test)


def test_failing_work() -> None:
    """What the work raises comes out of the election, which gives the lease back first."""

    async def test() -> None:
        async with replicas("a") as (server, (first,)):

            async def fail() -> None:
                raise RuntimeError("broken")

            with pytest.raises(RuntimeError, match="broken"):
                await first.election.run(fail)
            assert holder(server) == ""

    play(test)


def test_never_two() -> None:
    """Under random trouble and restarts no two lead at the same time, and someone always leads again."""

    async def test() -> None:
        async with replicas("abc", Timing(duration=1.0, renew=0.6, retry=0.05)) as (server, found):
            for replica in found:
                replica.start()
            for round_ in range(6):
                await asyncio.sleep(0.1)
                server.scripts["update"].extend([refuse, hang, refuse][: round_ % 4])
                stopping = found[round_ % 3]
                await stopping.stop()
                stopping.start()
            server.scripts["update"].clear()
            async with asyncio.timeout(20):
                while not any(replica.election.leading for replica in found):
                    await asyncio.sleep(0.01)
            times = sorted(
                [(time, 1) for replica in found for time in replica.began]
                + [(time, -1) for replica in found for time in replica.ended]
            )
            leaders = 0
            for _, change in times:
                leaders += change
                assert leaders <= 1

    play(test)
