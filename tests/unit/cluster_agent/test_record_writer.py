"""The writing of sessions' records, against an API server that speaks the real protocol."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from aiohttp import web
from fixtures.api_server import ApiServer, Seen, status

from podcorder_agent.cluster.announcements import read_announcement
from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.collections import SESSIONS, Collection
from podcorder_agent.cluster.credentials import Credentials
from podcorder_agent.cluster.record_writer import RecordWriter, Timing
from podcorder_agent.cluster.streams import Listed, Put
from podcorder_agent.interpreter.session_reports import SessionReport
from podcorder_agent.interpreter.subjects import Identity, Pod, SessionKind

COLLECTION = "/apis/podcorder.dev/v1alpha1/namespaces/shop/recordedsessions"
QUICK = Timing(settle=0.02, least=0.4, each=0.0, retry=0.05, longest=0.1)
SESSION, OTHER = "5e" * 16, "0f" * 16
POD = Pod(namespace="shop", name="web", uid="pod", container="main")
A, B = ("shop", "exec-a"), ("shop", "exec-b")


def make_report(record: tuple[str, str] | None = A, session: str | None = SESSION, **more: Any) -> SessionReport:
    fields: dict[str, Any] = {"candidates": (), "kind": SessionKind.EXEC, "identity": Identity.IDENTIFIED, "pod": POD}
    if session is not None:
        fields |= {"start": 10**18, "root_pid": 7}
    return SessionReport(session, record, **(fields | more))


class Writing:
    """A writer at work; what the watch would tell it is told here."""

    def __init__(self, server: ApiServer, timing: Timing) -> None:
        self.server = server
        self.stop = threading.Event()
        api = Api(Credentials(server.url))
        self.writer = RecordWriter(api, Collection(api, SESSIONS), "node-1", "podcorder", lambda uid: "Pod", timing)
        self.thread = threading.Thread(target=self.writer.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def store(self, *keys: tuple[str, str], **spec: Any) -> None:
        """Records that are there, and all of them are."""
        for _, name in keys:
            raw = self.server.put(f"{COLLECTION}/{name}", {"spec": {"origin": "Announced"} | spec})
            self.writer.tell_records(Put(raw))
        self.writer.tell_records(Listed(frozenset(keys)))

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.server.objects[f"{COLLECTION}/{name}"].get("status", {})
        return found

    def condition(self, name: str, kind: str) -> str:
        return next((each["reason"] for each in self.status(name).get("conditions", ()) if each["type"] == kind), "")

    def writes(self) -> list[Seen]:
        return self.server.requests("patch")


@asynccontextmanager
async def writing(server: ApiServer, timing: Timing = QUICK) -> AsyncIterator[Writing]:
    found = Writing(server, timing)
    try:
        yield found
    finally:
        found.stop.set()
        await until(lambda: not found.thread.is_alive())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_session_is_written_into_its_record() -> None:
    """Into the status alone, and only once it is known what is there; the same again not at all."""

    async def scenario() -> None:
        async with ApiServer() as server, writing(server) as node:
            node.writer.tell_reports([make_report()])
            await asyncio.sleep(0.1)
            assert node.writes() == []
            node.store(A)
            await until(lambda: node.condition("exec-a", "Started") == "Observed")
            (request,) = node.writes()
            assert request.path == f"{COLLECTION}/exec-a/status"
            assert request.body.keys() == {"status"}
            node.writer.tell_reports([make_report()])
            await until(lambda: not node.writer.waiting)
            assert len(node.writes()) == 1
            assert node.writer.written == 1

    asyncio.run(scenario())


def test_most_sessions_are_written_once_and_long_ones_seldom() -> None:
    """One that has ended by then with its end at once; of one that runs the changes of a time together, and its end
    at once."""

    async def scenario() -> None:
        async with ApiServer() as server, writing(server) as node:
            node.store(A, B)
            node.writer.tell_reports([make_report(B, OTHER)])
            node.writer.tell_reports([make_report(B, OTHER, end=2 * 10**18)])
            await until(lambda: node.condition("exec-b", "Ended") == "Exited")
            assert len(node.writes()) == 1
            for count in range(20):
                node.writer.tell_reports([make_report(counts=(("exec", count + 1),))])
                await asyncio.sleep(0.025)
            node.writer.tell_reports([make_report(counts=(("exec", 21),), end=2 * 10**18)])
            await until(lambda: node.condition("exec-a", "Ended") == "Exited")
            times = [each.at for each in node.writes()[1:]]
            assert 3 <= len(times) <= 4
            assert times[1] - times[0] >= QUICK.least - 0.05
            assert node.status("exec-a")["counts"] == [{"class": "Exec", "count": 21}]

    asyncio.run(scenario())


def test_what_could_not_be_written_is_written_later() -> None:
    """As it is then; what is refused is not tried again, and a record that is gone needs no word."""

    async def scenario() -> None:
        async def fail(request: web.Request) -> web.StreamResponse:
            return status(503, "ServiceUnavailable", "not now")

        async def refuse(request: web.Request) -> web.StreamResponse:
            return status(422, "Invalid", "never")

        async with ApiServer() as server, writing(server) as node:
            node.store(A, B)
            server.scripts["patch"].extend([fail, fail, None, refuse])
            node.writer.tell_reports([make_report()])
            await until(lambda: len(node.writes()) == 1)
            node.writer.tell_reports([make_report(exit_code=4, end=2 * 10**18)])
            await until(lambda: node.status("exec-a").get("exitCode") == 4)
            node.writer.tell_reports([make_report(B, OTHER)])
            await until(lambda: node.writer.dropped == 1)
            node.writer.tell_reports([make_report(("shop", "gone"), "aa" * 16)])
            await until(lambda: not node.writer.waiting)
            assert node.writer.dropped == 1
            assert {each.path for each in node.writes()} == {f"{COLLECTION}/{name}/status" for _, name in (A, B)}

    asyncio.run(scenario())


def test_a_session_that_nobody_asked_for_has_a_record_made() -> None:
    """Once, though another exporter made it before; when somebody had asked after all, that record goes no further."""

    async def scenario() -> None:
        async with ApiServer() as server, writing(server) as node:
            node.store(A)
            name = f"unannounced-{SESSION}"
            unannounced = make_report(None, identity=Identity.UNANNOUNCED)
            node.writer.tell_reports([unannounced])
            await until(lambda: f"{COLLECTION}/{name}" in server.objects and node.status(name))
            made = server.objects[f"{COLLECTION}/{name}"]["spec"]
            assert (made["origin"], made["nodeName"], made["pod"]) == (
                "Unannounced",
                "node-1",
                {"name": "web", "uid": "pod"},
            )
            async with writing(server) as other:
                other.store(A)
                other.writer.tell_reports([replace(unannounced, end=2 * 10**18)])
                await until(lambda: node.condition(name, "Ended") == "Exited")
            node.writer.tell_reports([make_report()])
            await until(lambda: node.condition(name, "Ended") == "AnnouncedLate")
            assert node.condition("exec-a", "Started") == "Observed"

    asyncio.run(scenario())


def test_of_several_each_session_has_a_record_of_its_own() -> None:
    """And keeps it, over restarts too."""

    async def scenario() -> None:
        async with ApiServer() as server:
            several: dict[str, Any] = {"candidates": (A, B), "identity": Identity.AMBIGUOUS}
            reports = [make_report(None, each, **several) for each in (SESSION, OTHER)]
            async with writing(server) as node:
                node.store(A, B)
                node.writer.tell_reports(reports)
                await until(lambda: node.status("exec-a") and node.status("exec-b"))
                assert node.status("exec-b")["sessionID"] == SESSION
                assert node.status("exec-a")["sessionID"] == OTHER
                assert node.status("exec-a")["candidates"] == ["exec-a", "exec-b"]
            async with writing(server) as node:
                for _, name in (A, B):
                    node.writer.tell_records(Put(server.objects[f"{COLLECTION}/{name}"]))
                node.writer.tell_records(Listed(frozenset([A, B])))
                node.writer.tell_reports([replace(each, end=2 * 10**18) for each in reversed(reports)])
                await until(lambda: node.condition("exec-a", "Ended") == node.condition("exec-b", "Ended") == "Exited")
                assert node.status("exec-b")["sessionID"] == SESSION

    asyncio.run(scenario())


def test_a_session_leaves_the_only_record_of_another_to_it() -> None:
    """Of what could belong to two requests or to the first of them alone, each gets one, whichever is told first."""

    async def scenario() -> None:
        async with ApiServer() as server, writing(server) as node:
            node.store(A, B)
            for session, candidates in ((SESSION, (A, B)), (OTHER, (A,))):
                report = make_report(None, session, candidates=candidates, identity=Identity.AMBIGUOUS)
                node.writer.tell_reports([report])
            await until(lambda: node.status("exec-a") and node.status("exec-b"))
            assert [node.status(each)["sessionID"] for each in ("exec-a", "exec-b")] == [OTHER, SESSION]

    asyncio.run(scenario())


def test_what_begins_no_process_is_over_once_it_is_told() -> None:
    """Attach and port-forward; an exec that was told of waits for its report."""

    async def scenario() -> None:
        async with ApiServer() as server, writing(server) as node:
            node.store(A, kind="Attach")
            node.store(A, B, kind="Exec")
            for key, kind in ((A, "Attach"), (B, "Exec")):
                metadata = {"namespace": key[0], "name": key[1], "uid": "uid"}
                announcement = read_announcement({"metadata": metadata, "spec": {"kind": kind, "origin": "Announced"}})
                assert announcement is not None
                node.writer.tell_announcement(announcement)
            await until(lambda: node.condition("exec-a", "Ended") == "NotFollowed")
            await until(lambda: not node.writer.waiting)
            assert node.status("exec-b") == {}

    asyncio.run(scenario())


def test_a_session_that_never_started_is_said_so_and_no_more() -> None:
    """What is over already stays as it was written."""

    async def scenario() -> None:
        async with ApiServer() as server, writing(server) as node:
            node.store(A, B)
            node.writer.tell_reports([make_report(session=None), make_report(B, end=2 * 10**18)])
            await until(lambda: node.condition("exec-a", "Started") == "NeverStarted" and node.status("exec-b"))
            node.writer.tell_reports([make_report(B, None)])
            await until(lambda: not node.writer.waiting)
            assert node.condition("exec-b", "Ended") == "Exited"

    asyncio.run(scenario())
