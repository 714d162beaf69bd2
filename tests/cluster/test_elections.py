"""Which of two replicas writes, on a real API server and under the chart's own rights."""

from __future__ import annotations

import time

import pytest
from cluster.sandboxes import wait_until
from fixtures.installations import Installation, Operator

from podcorder_operator.resources import CONFIGS


@pytest.fixture
def pair(installation: Installation) -> tuple[Operator, Operator]:
    """A leader and a standby, both ready."""
    leader = installation.start_operator(name="first")
    leader.wait_ready()
    wait_until(lambda: installation.find_leader() == "first", 20, "the first replica leads")
    standby = installation.start_operator(name="second")
    standby.wait_ready()
    return leader, standby


def measure_takeover(installation: Installation, begun: float) -> float:
    """Seconds until the second replica has written the config of a node that came meanwhile."""
    installation.control_plane.add_node("node-takeover", {})
    wait_until(lambda: installation.client.get(CONFIGS, "node-takeover") is not None, 30, "the config written")
    assert installation.find_leader() == "second"
    return time.monotonic() - begun


def test_one_writes(installation: Installation, pair: tuple[Operator, Operator]) -> None:
    """Both are ready, one leads, and only it has written anything."""
    leader, standby = pair
    installation.control_plane.add_node("node-one", {})
    wait_until(lambda: installation.client.get(CONFIGS, "node-one") is not None, 10, "the config written")
    metrics = {operator.name: operator.ask("metrics") or "" for operator in pair}
    assert "podcorder_operator_leader 1.0" in metrics["first"]
    assert "podcorder_operator_leader 0.0" in metrics["second"]
    assert 'verb="patch"' in metrics["first"]
    assert 'verb="patch"' not in metrics["second"]
    assert standby.problems() == leader.problems() == []


def test_terminated_leader(installation: Installation, pair: tuple[Operator, Operator]) -> None:
    """On SIGTERM the leader ends without an error and the standby writes within 3 seconds."""
    leader, _ = pair
    begun = time.monotonic()
    assert leader.terminate() == 0
    assert measure_takeover(installation, begun) < 3


def test_killed_leader(installation: Installation, pair: tuple[Operator, Operator]) -> None:
    """After kill -9 of the leader the standby writes within 20 seconds."""
    leader, _ = pair
    begun = time.monotonic()
    leader.kill()
    assert measure_takeover(installation, begun) < 20


def test_returning_replica(installation: Installation, pair: tuple[Operator, Operator]) -> None:
    """One that comes back is a standby, and leads when the other goes."""
    leader, standby = pair
    leader.terminate()
    wait_until(lambda: installation.find_leader() == "second", 5, "the second replica leads")
    leader.start()
    leader.wait_ready()
    assert installation.find_leader() == "second"
    standby.terminate()
    wait_until(lambda: installation.find_leader() == "first", 3, "the first replica leads again")
