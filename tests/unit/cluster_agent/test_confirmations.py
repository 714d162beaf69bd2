"""The asking for announcements before a session is called unannounced."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from aiohttp import web
from fixtures.api_server import ApiServer, status

from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.collections import SESSIONS, Collection
from podcorder_agent.cluster.confirmations import Confirmer
from podcorder_agent.cluster.credentials import Credentials
from podcorder_agent.cluster.streams import Change, Put
from podcorder_agent.interpreter.session_reports import SessionReport
from podcorder_agent.interpreter.subjects import Identity, SessionKind

COLLECTION = "/apis/podcorder.dev/v1alpha1/namespaces/shop/recordedsessions"
AFTER = 0.3


def make_report(session: str | None, identity: Identity = Identity.PENDING) -> SessionReport:
    return SessionReport(session, None, (), SessionKind.EXEC, identity, None)


@asynccontextmanager
async def confirming(server: ApiServer, told: list[Any]) -> AsyncIterator[Confirmer]:
    """What is told: names of records, and None where there are no others."""

    def tell(change: Change) -> None:
        assert isinstance(change, Put)
        told.append(change.object["metadata"]["name"])

    api = Api(Credentials(server.url))
    records = Collection(api, SESSIONS)
    confirmer = Confirmer(api, records, "node-1", tell, lambda: told.append(None), after=AFTER, least=0.05)
    stop = threading.Event()
    thread = threading.Thread(target=confirmer.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield confirmer
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, 10)


def test_all_records_are_asked_for_before_there_are_said_to_be_no_others() -> None:
    """Once, when a session's time is up; of the node's own alone, and again where there is no answer."""

    async def scenario() -> None:
        async def fail(request: web.Request) -> web.StreamResponse:
            return status(503, "ServiceUnavailable", "not now")

        told: list[Any] = []
        async with ApiServer() as server, confirming(server, told) as confirmer:
            server.put(f"{COLLECTION}/exec-a")
            server.scripts["list"].append(fail)
            begun = asyncio.get_running_loop().time()
            confirmer.tell_reports([make_report("5e" * 16)])
            confirmer.tell_reports([make_report("5e" * 16)])
            async with asyncio.timeout(20):
                while None not in told:
                    await asyncio.sleep(0.005)
            assert asyncio.get_running_loop().time() - begun >= AFTER
            await asyncio.sleep(2 * AFTER)
            assert told == ["exec-a", None]
            assert [each.query["fieldSelector"] for each in server.requests("list")] == ["spec.nodeName=node-1"] * 2

    asyncio.run(scenario())


def test_of_sessions_that_somebody_is_known_of_nothing_is_asked() -> None:
    """Nor of those that never began, nor of logins, for which nobody asks the API server."""

    async def scenario() -> None:
        told: list[Any] = []
        async with ApiServer() as server, confirming(server, told) as confirmer:
            confirmer.tell_reports([make_report("5e" * 16), make_report(None)])
            confirmer.tell_reports([make_report("5e" * 16, Identity.IDENTIFIED)])
            confirmer.tell_reports([replace(make_report("0f" * 16), kind=SessionKind.HOST)])
            await asyncio.sleep(2 * AFTER)
            assert (told, server.requests("list")) == ([], [])

    asyncio.run(scenario())
