"""Where the configs are, when a newer Podcorder serves them in a newer version alone."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from fixtures.api_server import ApiServer, status

from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.collections import CONFIGS, Collection
from podcorder_agent.cluster.credentials import Credentials
from podcorder_agent.cluster.streams import Change, Pace, Put, Stream

OLD, NEW = (f"/apis/podcorder.dev/{version}/noderecordingconfigs" for version in ("v1alpha1", "v2"))


def serve(server: ApiServer, *versions: str, without: str = "") -> None:
    """The API server's word on the group, the version that it prefers first; one may be without configs."""
    served = [{"groupVersion": f"podcorder.dev/{each}"} for each in versions]
    server.objects["/apis/podcorder.dev"] = {"metadata": {}, "versions": served}
    for each in versions:
        resources = [{"name": "sessionrecordingpolicies"}] + [{"name": "noderecordingconfigs"}] * (each != without)
        server.objects[f"/apis/podcorder.dev/{each}"] = {"metadata": {}, "resources": resources}


def find(server: ApiServer) -> str:
    async def run() -> str:
        async with server:
            return await asyncio.to_thread(Collection(Api(Credentials(server.url)), CONFIGS).find)

    return asyncio.run(run())


def test_the_agents_own_version_goes_first() -> None:
    """Whichever the API server prefers."""
    server = ApiServer()
    serve(server, "v2", "v1alpha1")
    assert find(server) == OLD


def test_else_it_is_the_preferred_one() -> None:
    """Where the agent's own is not served, or has other kinds alone."""
    for versions in (("v2", "v1beta1"), ("v2", "v1beta1", "v1alpha1")):
        server = ApiServer()
        serve(server, *versions, without="v1alpha1")
        assert find(server) == NEW


def test_where_none_is_served_it_stays() -> None:
    """Nothing better is known."""
    server = ApiServer()
    serve(server, "v1alpha1", without="v1alpha1")
    assert find(server) == OLD


def test_a_stream_goes_where_its_collection_has_gone() -> None:
    """What is not found at its path is looked for, and listed from there; nothing is said to be gone."""

    async def scenario() -> None:
        told: list[Change] = []
        async with ApiServer() as server:
            serve(server, "v2")
            server.put(f"{NEW}/node-1", {"apiVersion": "podcorder.dev/v2"})

            async def refuse(_: Any) -> Any:
                return status(404, "NotFound", "the server could not find the requested resource")

            server.scripts["list"].append(refuse)
            api = Api(Credentials(server.url))
            configs = Collection(api, CONFIGS)
            stream = Stream(api, OLD, "metadata.name=node-1", told.append, Pace(0.05, 0.1), find_path=configs.find)
            stop = threading.Event()
            running = asyncio.create_task(asyncio.to_thread(stream.run, stop))
            await server.wait_for("watch", 1)
            stop.set()
            server.close_watches()
            await running
        first = told[0]
        assert isinstance(first, Put)
        assert first.object["apiVersion"] == "podcorder.dev/v2"
        assert configs.path == NEW

    asyncio.run(scenario())
