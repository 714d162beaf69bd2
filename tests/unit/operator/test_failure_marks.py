"""Sessions that were running when their node's recorder failed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fixtures.api_server import ApiServer, status
from fixtures.strict_worlds import NODE, SHOP, StrictWorld

from podcorder_operator.api import Api
from podcorder_operator.failure_marks import FailureMarks, Timing, is_exposed
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import EVENTS, RECORDED_SESSIONS

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
AWAY = {"type": "Ready", "status": "False", "reason": "RecorderAway", "message": "The recorder is away."}


def make_session(kind: str = "Exec", mode: str | None = "Strict", **status: Any) -> dict[str, Any]:
    spec = {"kind": kind, "origin": "Announced", "nodeName": NODE, "pod": {"name": "api", "uid": "pod-uid"}}
    return {"spec": spec | ({"mode": mode} if mode else {}), "status": status}


def stored(session: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "exec-1", "namespace": SHOP, "uid": "uid", "resourceVersion": "1"}
    return session | {"metadata": metadata | {"creationTimestamp": "2026-01-01T11:00:00Z"}}


def ended(status: str) -> list[dict[str, Any]]:
    return [{"type": "Ended", "status": status, "reason": "R", "lastTransitionTime": "2026-01-01T11:30:00Z"}]


@pytest.mark.parametrize(
    ("session", "exposed"),
    [
        (make_session(), True),
        (make_session("Attach"), True),
        (make_session("Debug"), True),
        (make_session("PortForward"), False),
        (make_session(mode="BestEffort"), False),
        (make_session(mode=None), False),
        (make_session(recorderFailure={"time": "2026-01-01T11:30:00Z", "message": "before"}), False),
        (make_session(conditions=ended("False")), True),
        (make_session(conditions=ended("True")), False),
        (make_session(conditions=ended("Unknown")), False),
    ],
)
def test_whose_recording_may_miss_something(session: dict[str, Any], exposed: bool) -> None:
    """It is a session of mode Strict in which something may run still, and which is not marked."""
    assert is_exposed(stored(session), NOW) is exposed


def play(test: Callable[[ApiServer, FailureMarks, StrictWorld], Awaitable[None]], *, window: float = 0.2) -> None:
    async def run() -> None:
        strict = StrictWorld()
        strict.add_policy()
        strict.pass_time(40, beating=True)
        async with ApiServer() as server, Api(server.configuration(), Metrics()) as api:
            timing = Timing(look=0.01, window=window, write=0.0)
            marks = FailureMarks(strict.world.strict, strict.strictness, api, Metrics(), timing)
            await asyncio.wait_for(test(server, marks, strict), 30)

    asyncio.run(run())


def path(name: str) -> str:
    return RECORDED_SESSIONS.path(name, namespace=SHOP)


def test_marks_what_runs() -> None:
    """Each session that runs there is marked once, and an Event on its pod tells of it; others are left alone, and
    where nothing has failed nothing is read."""

    async def test(server: ApiServer, marks: FailureMarks, strict: StrictWorld) -> None:
        server.put(path("running"), make_session())
        server.put(path("mild"), make_session(mode="BestEffort"))
        await marks.look()
        assert server.seen == []
        strict.report(AWAY)
        await marks.look()
        await marks.look()
        (listed,) = server.requests("list")
        assert listed.query["fieldSelector"] == f"spec.nodeName={NODE}"
        (marked,) = server.requests("patch")
        assert marked.path == path("running") + "/status"
        assert "does not record (RecorderAway)" in marked.body["status"]["recorderFailure"]["message"]
        (told,) = server.requests("create")
        assert told.path == EVENTS.path(namespace=SHOP)
        assert told.body["involvedObject"]["uid"] == "pod-uid"
        assert told.body["message"].startswith(
            "The session running may go on unrecorded: the agent on node node-1 does"
        )

    play(test, window=60.0)  # no second look, however slow this machine is


def test_marks_what_began_meanwhile() -> None:
    """Sessions that begin while the news of a failure is on its way are marked as well; the failures of a node that has
    recovered are new ones."""

    async def test(server: ApiServer, marks: FailureMarks, strict: StrictWorld) -> None:
        strict.report(AWAY)
        await marks.look()
        server.put(path("late"), make_session())
        await marks.look()
        assert server.requests("patch") == []
        await asyncio.sleep(0.25)
        await marks.look()
        assert [each.path for each in server.requests("patch")] == [path("late") + "/status"]
        await asyncio.sleep(0.25)
        await marks.look()
        assert len(server.requests("list")) == 2
        strict.report()
        await marks.look()
        strict.report(AWAY)
        await marks.look()
        assert len(server.requests("list")) == 3

    play(test)


def test_tries_again() -> None:
    """An API server that fails costs no mark; a session that is gone needs none."""

    async def test(server: ApiServer, marks: FailureMarks, strict: StrictWorld) -> None:
        async def fail(_: Any) -> Any:
            return status(500, "InternalError", "etcd is away")

        async def miss(_: Any) -> Any:
            return status(404, "NotFound", "gone")

        server.put(path("running"), make_session())
        server.scripts["patch"].extend([fail, miss])
        strict.report(AWAY)
        await marks.look()
        await marks.look()
        await asyncio.sleep(0.25)
        await marks.look()
        assert len(server.requests("patch")) == 3
        assert "recorderFailure" in server.objects[path("running")]["status"]

    play(test)
