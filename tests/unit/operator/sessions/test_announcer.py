"""Who asks for a session is written down first, by an API server that speaks the real protocol, faults included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from fixtures.api_server import ApiServer, status
from fixtures.session_reviews import NAMESPACE, POD, make_exec, make_pod, make_review, make_strictness, make_world

from podcorder_operator.api import Api
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import PODS, RECORDED_SESSIONS
from podcorder_operator.sessions import announcer as module
from podcorder_operator.sessions.announcer import Announcer
from podcorder_operator.sessions.reviews import Review, Verdict
from podcorder_operator.world import World

STRICT = {"mode": "Strict"}
DEBUGGER = {"name": "debugger"}


def play(world: World, test: Callable[[ApiServer, Announcer], Awaitable[None]]) -> None:
    async def run() -> None:
        async with ApiServer() as server, Api(server.configuration(), Metrics()) as api:
            server.put(PODS.path(POD, namespace=NAMESPACE), make_pod())
            await test(server, Announcer(world, make_strictness(world), api, "podcorder", bytes(32)))

    asyncio.run(run())


def answers(world: World, review: Review, *, pod: dict[str, Any] | None = None, fault: str = "") -> Verdict:
    """The answer, with this pod or where this verb fails."""
    found: list[Verdict] = []

    async def test(server: ApiServer, announcer: Announcer) -> None:
        if pod is not None:
            server.put(PODS.path(POD, namespace=NAMESPACE), pod)
        if fault:
            server.scripts[fault].append(refuse)
        found.append(await announcer.answer(review))

    play(world, test)
    return found[0]


async def refuse(_request: web.Request) -> web.StreamResponse:
    return status(500, "InternalError", "etcd is away")


def records(server: ApiServer) -> list[dict[str, Any]]:
    return [found for path, found in sorted(server.objects.items()) if RECORDED_SESSIONS.plural in path]


def test_two_round_trips() -> None:
    """A selected session costs one read and one write."""

    async def test(server: ApiServer, announcer: Announcer) -> None:
        verdict = await announcer.answer(make_exec("ls"))
        assert verdict == Verdict("announced", records=("shop/exec-review-1",))
        assert [seen.verb for seen in server.seen] == ["get", "create"]
        (record,) = records(server)
        assert (record["spec"]["container"], record["spec"]["mode"]) == ("main", "BestEffort")

    play(make_world({}), test)


def test_no_policy_no_read() -> None:
    """Where no policy is about the namespace, or none about the kind of session, nothing is asked of the API server."""

    async def test(server: ApiServer, announcer: Announcer) -> None:
        assert await announcer.answer(make_exec("ls")) == Verdict("unselected")
        assert server.seen == []

    for world in (make_world(), make_world({"sessions": ["Attach"]}), make_world({}, namespace="web")):
        play(world, test)


def test_sessions_that_cannot_begin() -> None:
    """A pod that is not there or on no node, or a container that is not named, is left to the API server to refuse."""
    world = make_world(STRICT)
    assert answers(world, make_review("pods/exec", {}, name="other")) == Verdict("impossible")
    assert answers(world, make_exec("ls"), pod=make_pod(nodeName="")) == Verdict("impossible")
    two = make_pod(containers=[{"name": "main"}, {"name": "proxy"}])
    assert answers(world, make_exec("ls"), pod=two) == Verdict("impossible")
    assert answers(world, make_exec("ls", container="proxy"), pod=two).outcome == "announced"


@pytest.mark.parametrize("fault", ["get", "create"])
def test_failures(fault: str) -> None:
    """Without a record nobody gets in where a Strict policy may be about the pod, and everybody where none is."""
    assert answers(make_world({}), make_exec("ls"), fault=fault) == Verdict("failed")
    refused = answers(make_world({}, STRICT), make_exec("ls"), fault=fault)
    assert refused.outcome == "refused"
    assert "etcd is away" in refused.refusal
    other = {"mode": "Strict", "sessions": ["Attach"]}
    assert answers(make_world({}, other), make_exec("ls"), fault=fault) == Verdict("failed")


def test_what_is_never_refused() -> None:
    """Pods are created and the system's own are entered, whatever a policy says and whatever fails."""
    assert answers(make_world(STRICT), make_review("pods", make_pod(hostPID=True)), fault="create").outcome == "failed"
    proxy = make_review("nodes/proxy", {"path": "/exec/a/b/c"})
    assert answers(make_world(STRICT), proxy, fault="create").outcome == "failed"
    for namespace in ("kube-system", "podcorder"):
        world = make_world(STRICT, namespace=namespace)
        review = make_review("pods/exec", {}, namespace=namespace)
        assert answers(world, review, fault="get") == Verdict("failed")


def test_a_slow_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer comes while it is still one."""
    monkeypatch.setattr(module, "DEADLINE", 0.05)
    released = asyncio.Event()

    async def stall(_request: web.Request) -> web.StreamResponse:
        await released.wait()
        return status(500, "InternalError", "late")

    async def test(server: ApiServer, announcer: Announcer) -> None:
        server.scripts["get"].append(stall)
        verdict = await announcer.answer(make_exec("ls"))
        released.set()
        assert verdict.outcome == "refused"
        assert "took longer" in verdict.refusal

    play(make_world(STRICT), test)


def test_dry_run() -> None:
    """It is answered like what it tries, and writes nothing."""

    async def test(server: ApiServer, announcer: Announcer) -> None:
        review = make_review("pods", make_pod(hostPID=True), dryRun=True)
        assert await announcer.answer(review) == Verdict("dry_run")
        assert server.seen == []

    play(make_world({}), test)


def test_a_node_that_does_not_record() -> None:
    """Exec, attach and debug are refused there where a Strict policy records them, with the reason, and nothing is
    written down. What leads into a port is in no recording, and lets nobody wait for one."""

    async def test(server: ApiServer, announcer: Announcer) -> None:
        server.put(PODS.path(POD, namespace=NAMESPACE), make_pod(nodeName="node-2"))
        for source, object in (("pods/exec", {}), ("pods/attach", {})):
            verdict = await announcer.answer(make_review(source, object))
            assert verdict.outcome == "refused"
            assert verdict.refusal.startswith(
                "Podcorder lets no session begin here now: the recording policy shop/policy-0 is Strict, and node "
            )
        added = make_pod(nodeName="node-2", ephemeralContainers=[DEBUGGER])
        review = make_review("pods/ephemeralcontainers", added, oldObject=make_pod())
        assert (await announcer.answer(review)).outcome == "refused"
        assert records(server) == []
        forward = await announcer.answer(make_review("pods/portforward", {}, uid="2"))
        assert forward.outcome == "announced"

    play(make_world(STRICT), test)


def debug(uid: str, user: str = "alice") -> Review:
    added = make_pod(ephemeralContainers=[DEBUGGER])
    return make_review("pods/ephemeralcontainers", added, oldObject=make_pod(), uid=uid, userInfo={"username": user})


def test_debug_containers() -> None:
    """Asked again for the same person there is one record; for another one, or where the first attempt never came to
    anything, there is one more."""

    async def test(server: ApiServer, announcer: Announcer) -> None:
        first = await announcer.answer(debug("1"))
        assert await announcer.answer(debug("2")) == first
        assert len(records(server)) == 1
        second = await announcer.answer(debug("3", "bob"))
        assert second.records != first.records
        (path,) = (path for path in server.objects if path.endswith(first.records[0].partition("/")[2]))
        server.put(path, server.objects[path] | {"status": {"conditions": [{"type": "Started", "status": "False"}]}})
        third = await announcer.answer(debug("4"))
        assert len({first.records, second.records, third.records}) == 3
        assert [record["spec"]["user"]["username"] for record in records(server)].count("bob") == 1

    play(make_world({}), test)


def test_attaching_to_a_debugger() -> None:
    """It is part of the session of who added the container, and a session of its own of anybody else."""

    async def test(server: ApiServer, announcer: Announcer) -> None:
        added = await announcer.answer(debug("1"))
        server.put(PODS.path(POD, namespace=NAMESPACE), make_pod(ephemeralContainers=[DEBUGGER]))
        own, other = [
            await announcer.answer(make_review("pods/attach", {"container": "debugger"}, userInfo={"username": user}))
            for user in ("alice", "bob")
        ]
        assert own == added
        assert other.records == ("shop/attach-review-1",)
        assert len(records(server)) == 2

    play(make_world({}), test)


def test_too_many_at_once() -> None:
    """One request cannot have any number of records written."""
    added = make_pod(ephemeralContainers=[{"name": f"debugger-{number}"} for number in range(65)])
    review = make_review("pods/ephemeralcontainers", added, oldObject=make_pod())
    assert answers(make_world({}), review).outcome == "failed"
    assert answers(make_world(STRICT), review).outcome == "refused"
