"""One replica, and the whole program, against an API server that lacks things."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
from fixtures.api_server import ApiServer, status
from fixtures.collectors import free_ports

from podcorder_operator.api import Api
from podcorder_operator.controller import Controller
from podcorder_operator.elections import LEASES, Election
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import CONFIGS, NODES
from podcorder_operator.retention import Limits

LEASE = LEASES.path("podcorder-operator", namespace="podcorder")
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{{name: here, cluster: {{server: "{url}"}}}}]
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
users: [{{name: me, user: {{token: secret}}}}]
"""


@asynccontextmanager
async def controlled(server: ApiServer) -> AsyncIterator[tuple[Controller, asyncio.Task[None]]]:
    metrics = Metrics()
    async with Api(server.configuration(), metrics) as api:
        controller = Controller(
            api, Election(api, "podcorder", "podcorder-operator", "first"), metrics, Limits(30, 1000), "podcorder"
        )
        task = asyncio.create_task(controller.run())
        try:
            yield controller, task
        finally:
            task.cancel()
            await asyncio.wait({task})


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def play(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def test_leads_and_gives_back() -> None:
    """Once all collections are known it is ready, leads and writes; at the end the lease is free."""

    async def test() -> None:
        async with ApiServer() as server:
            server.put(NODES.path("node-1"))
            async with controlled(server) as (controller, _):
                assert controller.check_readiness() != ""
                await controller.wait_synced()
                assert controller.check_readiness() == controller.check_health() == ""
                await until(lambda: CONFIGS.path("node-1") in server.objects)
                assert server.objects[LEASE]["spec"]["holderIdentity"] == "first"
            assert server.objects[LEASE]["spec"]["holderIdentity"] == ""

    play(test)


def test_waits_for_rights() -> None:
    """While a right is missing it is not ready and says which, is no candidate, and is healthy all the same."""

    async def test() -> None:
        async with ApiServer() as server:

            async def forbid(request: web.Request) -> web.StreamResponse:
                if request.path == NODES.path():
                    return status(403, "Forbidden", "no")
                return await server.serve("list", request)

            server.scripts["list"].extend([forbid] * 6)
            async with controlled(server) as (controller, _):
                await server.wait_for("list", 5)
                await until(controller.check_readiness)
                await until(lambda: "nodes" in controller.check_readiness())
                assert controller.check_health() == ""
                assert LEASE not in server.objects
                await controller.wait_synced()
                assert controller.check_readiness() == ""

    play(test)


def test_program_without_kinds(tmp_path: Path) -> None:
    """The program waits for the kinds, tells so at /readyz, and ends at once and without an error on SIGTERM."""

    async def test() -> None:
        async with ApiServer(collections=set()) as server:
            (tmp_path / "kubeconfig").write_text(KUBECONFIG.format(url=server.url))
            (port,) = free_ports(1)
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", "from podcorder_operator.cli import main; main()", "--probe-port", str(port)),
                env=os.environ | {"KUBECONFIG": str(tmp_path / "kubeconfig")},
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                await server.wait_for("list", 5)
                url = f"http://localhost:{port}"
                async with aiohttp.ClientSession() as session:
                    async with session.get(f"{url}/healthz") as response:
                        assert response.status == 200
                    async with session.get(f"{url}/readyz") as response:
                        assert (response.status, "install" in await response.text()) == (503, True)
                program.send_signal(signal.SIGTERM)
                _, log = await asyncio.wait_for(program.communicate(), 4)
                assert program.returncode == 0
                assert log.count(b"install Podcorder's CustomResourceDefinitions") <= 5
                assert b'"level": "error"' not in log
            finally:
                if program.returncode is None:
                    program.kill()

    play(test)
