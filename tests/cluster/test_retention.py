"""Records of sessions are kept and let go on a real API server, under the chart's own rights and admission policies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cluster.sandboxes import wait_until
from fixtures.api_clients import MERGE, ApiClient
from fixtures.charts import NAMESPACE
from fixtures.installations import OPERATOR, Installation
from fixtures.session_records import make_ended, make_running, make_session

from podcorder_operator.api import Api
from podcorder_operator.conditions import read_conditions
from podcorder_operator.credentials import load_configuration
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import NAMESPACES, NODES, RECORDED_SESSIONS, WATCHED
from podcorder_operator.retention import PAGE, Limits, Retention, Timing
from podcorder_operator.world import World

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


class Records:
    """Records as the operator and the agents write them, in one namespace."""

    def __init__(self, installation: Installation, namespace: str) -> None:
        self._token = installation.control_plane.service_account_token(NAMESPACE, OPERATOR)
        self._client = installation.client.as_user(self._token)
        self._reader = installation.client
        self._namespace = namespace
        installation.client.call("POST", NAMESPACES.path(), {"metadata": {"name": namespace}})

    def add(self, name: str, status: dict[str, Any] | None = None, *, node: str = "node-1") -> None:
        body = {
            "apiVersion": RECORDED_SESSIONS.api_version,
            "kind": RECORDED_SESSIONS.kind,
            "metadata": {"name": name},
            "spec": make_session(node),
        }
        self._client.call("POST", RECORDED_SESSIONS.path(namespace=self._namespace), body)
        if status is not None:
            self.report(name, status)

    def report(self, name: str, status: dict[str, Any], client: ApiClient | None = None) -> None:
        path = RECORDED_SESSIONS.path(name, namespace=self._namespace, subresource="status")
        (client or self._client).call("PATCH", path, {"status": status}, kind=MERGE)

    def names(self) -> set[str]:
        listed = self._reader.call("GET", RECORDED_SESSIONS.path(namespace=self._namespace))
        return {each["metadata"]["name"] for each in listed["items"]}

    def read_conditions(self, name: str) -> dict[str, tuple[str, str]]:
        """Status and reason of each."""
        found = self._reader.call("GET", RECORDED_SESSIONS.path(name, namespace=self._namespace))
        conditions = read_conditions(found.get("status", {}))
        return {kind: (each["status"], each["reason"]) for kind, each in conditions.items()}

    def clear(self) -> None:
        for name in self.names():
            self._client.call("DELETE", RECORDED_SESSIONS.path(name, namespace=self._namespace))


@pytest.fixture
def make_records(installation: Installation) -> Iterator[Callable[[str], Records]]:
    """Makes a namespace for records, which are gone at the end."""
    made: list[Records] = []

    def make(namespace: str) -> Records:
        made.append(Records(installation, namespace))
        return made[-1]

    yield make
    for records in made:
        records.clear()


def ended() -> dict[str, Any]:
    return make_ended(NOW, NOW)


def look_through(
    installation: Installation,
    test: Callable[[Retention], Awaitable[None]],
    *nodes: str,
    at: datetime,
    count: int = 10_000,
) -> None:
    """With the operator's token, in a cluster of these nodes, at this time; a node that is gone stays so."""
    token = installation.control_plane.service_account_token(NAMESPACE, OPERATOR)
    kubeconfig = installation.control_plane.kubeconfig_for_token(token)

    async def run() -> None:
        metrics = Metrics()
        async with Api(await load_configuration({"KUBECONFIG": str(kubeconfig)}), metrics) as api:
            world = World()
            for resource in WATCHED:
                world.listed(resource, set())
            for node in nodes:
                world.put(NODES, {"metadata": {"name": node}})
            timing = Timing(write=0.0, node=0.0)
            await test(Retention(world, api, metrics, Limits(30, count), timing, read_clock=lambda: at))

    asyncio.run(asyncio.wait_for(run(), 60))


def test_by_age(installation: Installation, make_records: Callable[[str], Records]) -> None:
    """A month after their end sessions go from an API server that pages, and one that runs stays whatever its age."""
    records = make_records("aging")
    for number in range(2 * PAGE + 1):
        records.add(f"exec-{number}", ended())
    records.add("exec-running", make_running(NOW))

    async def test(retention: Retention) -> None:
        assert await retention.sweep() == 2 * PAGE + 1

    async def test_too_early(retention: Retention) -> None:
        assert await retention.sweep() == 0

    look_through(installation, test_too_early, "node-1", at=NOW + 29 * DAY)
    look_through(installation, test, "node-1", at=NOW + 31 * DAY)
    assert records.names() == {"exec-running"}


def test_a_session_that_nobody_can_tell_of(installation: Installation, make_records: Callable[[str], Records]) -> None:
    """Its end becomes Unknown beside what was said before; the agent of a node that comes back says what it knows."""
    records = make_records("lost")
    for name in ("exec-lost", "exec-back"):
        records.add(name, make_running(NOW), node="node-away")
    records.add("exec-silent")

    async def test(retention: Retention) -> None:
        assert await retention.sweep() == 3
        assert await retention.sweep() == 0

    look_through(installation, test, "node-1", at=NOW + 2 * DAY)
    unknown = {"Ended": ("Unknown", "NodeGone"), "Complete": ("Unknown", "NodeGone")}
    assert records.read_conditions("exec-lost") == {"Started": ("True", "Observed"), **unknown}
    assert records.read_conditions("exec-silent")["Ended"] == ("Unknown", "AgentSilent")

    plane = installation.control_plane
    plane.add_node("node-away")
    agent = installation.client.as_user(plane.pod_bound_token(NAMESPACE, "podcorder-agent", "node-away"))
    records.report("exec-back", ended(), agent)
    assert records.read_conditions("exec-back")["Ended"] == ("True", "Exited")


def test_a_replica_that_leads(
    installation: Installation, make_records: Callable[[str], Records], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lets the oldest go of a namespace that has too many, and none that runs; a standby lets nothing go."""
    monkeypatch.setenv("PODCORDER_RETENTION_COUNT", "10")
    installation.control_plane.add_node("node-1")
    busy, quiet = make_records("busy"), make_records("quiet")
    for number in range(15):
        busy.add(f"exec-{number}")
        busy.add(f"exec-running-{number}", make_running(NOW))
    for number in range(3):
        quiet.add(f"exec-{number}", ended())
    last = datetime.now(UTC) + timedelta(seconds=16)  # no end counts from before its record was made
    for number in range(15):
        moment = last - timedelta(seconds=14 - number)
        busy.report(f"exec-{number}", make_ended(moment, moment))
    wait_until(lambda: datetime.now(UTC) > last, 30, "the last session's end")

    replicas = []
    for name in ("first", "second"):
        replicas.append(installation.start_operator(name=name))
        replicas[-1].wait_ready()
        wait_until(lambda: installation.find_leader() == "first", 20, "the first replica leads")
    running = {f"exec-running-{number}" for number in range(15)}
    wait_until(lambda: len(busy.names() - running) <= 7, 20, "the oldest gone")
    assert busy.names() - running == {f"exec-{number}" for number in range(8, 15)}
    assert running <= busy.names()
    assert len(quiet.names()) == 3
    leader, standby = (replica.ask("metrics") or "" for replica in replicas)
    assert 'podcorder_operator_recorded_sessions_deleted_total{reason="count"} 8.0' in leader
    assert "podcorder_operator_recorded_sessions_deleted" not in standby
    assert [replica.problems() for replica in replicas] == [[], []]
