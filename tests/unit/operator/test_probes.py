"""The server that the kubelet and Prometheus ask."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from podcorder_operator.errors import PortTaken
from podcorder_operator.metrics import Metrics
from podcorder_operator.probes import Probes


async def fetch(probes: Probes, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://localhost:{probes.port}{path}") as response,
    ):
        return response.status, await response.text()


def test_answers() -> None:
    """A check that finds nothing is 200, one that finds something 503 with its sentence."""

    async def test() -> None:
        problem = ""
        async with Probes(0, Metrics(), check_health=str, check_readiness=lambda: problem) as probes:
            assert await fetch(probes, "/healthz") == (200, "ok\n")
            assert await fetch(probes, "/readyz") == (200, "ok\n")
            problem = "Not yet."
            assert await fetch(probes, "/healthz") == (200, "ok\n")
            assert await fetch(probes, "/readyz") == (503, "Not yet.\n")

    asyncio.run(test())


def test_metrics() -> None:
    """Everything that is counted is there for Prometheus, under the names that docs/operator.md gives."""

    async def test() -> None:
        metrics = Metrics()
        metrics.count_reconcile("config", "written", 0.02)
        metrics.count_error("config", 409)
        metrics.count_request("list", "nodes", 200)
        metrics.count_watch_restart("nodes", "Gone")
        metrics.count_unreadable("nodes")
        metrics.observe_leader(lambda: True)
        metrics.observe_queue("config", lambda: 3)
        metrics.observe_queue("status", lambda: 4)
        metrics.observe_policies(lambda: {("SessionRecordingPolicy", "NodesBehind"): 5})
        async with Probes(0, metrics, check_health=str, check_readiness=str) as probes:
            code, text = await fetch(probes, "/metrics")
        assert code == 200
        lines = set(text.splitlines())
        assert {
            'podcorder_operator_reconciles_total{outcome="written",what="config"} 1.0',
            'podcorder_operator_reconcile_duration_seconds_bucket{le="0.025",what="config"} 1.0',
            'podcorder_operator_reconcile_duration_seconds_bucket{le="0.01",what="config"} 0.0',
            'podcorder_operator_errors_total{code="409",what="config"} 1.0',
            'podcorder_operator_api_requests_total{code="200",resource="nodes",verb="list"} 1.0',
            'podcorder_operator_watch_restarts_total{reason="Gone",resource="nodes"} 1.0',
            'podcorder_operator_unreadable_objects_total{resource="nodes"} 1.0',
            "podcorder_operator_leader 1.0",
            'podcorder_operator_queue_depth{what="config"} 3.0',
            'podcorder_operator_queue_depth{what="status"} 4.0',
            'podcorder_operator_policies{kind="SessionRecordingPolicy",state="NodesBehind"} 5.0',
        } <= lines

    asyncio.run(test())


def test_port_taken() -> None:
    """A port that another has is an error that says which option to change."""

    async def test() -> None:
        async with Probes(0, Metrics(), check_health=str, check_readiness=str) as first:
            with pytest.raises(PortTaken, match=rf"Port {first.port} .*--probe-port"):
                async with Probes(first.port, Metrics(), check_health=str, check_readiness=str):
                    pass

    asyncio.run(test())
