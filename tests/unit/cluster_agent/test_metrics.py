"""What the metrics tell of the following of a cluster."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from aiohttp import web
from fixtures.api_server import ApiServer, status

from podcorder_agent.cluster import metrics
from podcorder_agent.cluster.announcer import Announcer
from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.collections import SESSIONS, Collection
from podcorder_agent.cluster.credentials import Credentials
from podcorder_agent.cluster.errors import ApiError
from podcorder_agent.cluster.follower import Follower
from podcorder_agent.cluster.leases import Heartbeat
from podcorder_agent.cluster.metrics import measure_following
from podcorder_agent.cluster.record_writer import RecordWriter
from podcorder_agent.cluster.states import Board
from podcorder_agent.cluster.streams import Stream
from podcorder_agent.control.client import ControlClient

PODS = "/api/v1/pods"


def make_api(server: ApiServer) -> Api:
    return Api(Credentials(server.url, fixed_token="secret"))


def ask(api: Api) -> None:
    try:
        api.get(f"{PODS}/web")
    except ApiError:
        pass


def test_failed_requests_are_counted_by_status() -> None:
    """An answer that is an error counts under its status, one that makes no sense and none at all as no answer."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        return status(403, "Forbidden", "not yours")

    async def babble(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    async def scenario() -> Api:
        async with ApiServer() as server:
            server.scripts["get"].extend([refuse, babble, refuse])
            api = make_api(server)
            for _ in range(4):
                await asyncio.to_thread(ask, api)
        await asyncio.to_thread(ask, api)
        return api

    assert asyncio.run(scenario()).errors == {"403": 2, "404": 1, "no_answer": 2}


def test_a_watch_is_as_old_as_the_last_word_of_it() -> None:
    """A bookmark makes it young again; while the API server is silent it grows older."""

    async def scenario() -> None:
        async with ApiServer() as server:
            stream = Stream(make_api(server), PODS, "spec.nodeName=node-1", lambda _: None)
            stop = threading.Event()
            thread = threading.Thread(target=stream.run, args=(stop,), daemon=True)
            thread.start()
            await server.wait_for("watch", 1)
            await asyncio.sleep(0.3)
            assert stream.age >= 0.25
            server.bookmark()
            async with asyncio.timeout(10):
                while stream.age >= 0.25:
                    await asyncio.sleep(0.005)
            stop.set()
            server.close_watches()
            await asyncio.to_thread(thread.join, 10)

    asyncio.run(scenario())


def test_every_metric_is_measured(tmp_path: Path) -> None:
    """The reference lists what there is, and nothing else."""
    api = Api(Credentials("http://127.0.0.1:1"))
    control = ControlClient(tmp_path / "none", "test")
    follower = Follower(tmp_path, control, tmp_path, Board())
    announcer = Announcer(control, b"key")
    writer = RecordWriter(api, Collection(api, SESSIONS), "node-1", "podcorder", lambda uid: "Pod")
    heartbeat = Heartbeat(api, "podcorder", "node-1", "pod")
    streams = {"pods": Stream(api, PODS, "", lambda _: None)}
    found = measure_following(api, follower, announcer, writer, heartbeat, streams)
    assert [each.metric for each in found] == [*metrics.METRICS]
    read = {each.metric.name: each.read() for each in found}
    assert read["podcorder.node.containers"] == {("recorded",): 0, ("waiting",): 0, ("excluded",): 0}
    assert read["podcorder.watch.age"].keys() == {("pods",)}
