"""How long ago agents were heard of, whatever their clocks say."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.strict_worlds import NODE, OWN, StrictWorld

from podcorder_operator.elections import LEASES
from podcorder_operator.heartbeats import Heartbeats


@pytest.fixture
def strict() -> StrictWorld:
    return StrictWorld()


def test_age(strict: StrictWorld) -> None:
    """It is the time since the last renewal that was seen, and since the time that the agent wrote."""
    strict.pass_time(7)
    assert strict.heartbeats.age(NODE) == (7, 7)
    strict.skew = -3
    strict.beat()
    strict.pass_time(1)
    assert strict.heartbeats.age(NODE) == (1, 4)


def test_the_first_sight_of_an_old_lease_is_no_beat() -> None:
    """A replica that has just begun believes a Lease that it is old."""
    heartbeats = Heartbeats(lambda: 50.0, lambda: 100.0)
    heartbeats.put(LEASES, lease("1970-01-01T00:00:30Z"))
    assert heartbeats.age(NODE) == (70, 70)


def test_a_lease_listed_anew_is_no_beat(strict: StrictWorld) -> None:
    """What has not been renewed is as old as before, however often it is told; what is not listed is gone."""
    before = strict.now
    strict.pass_time(30)
    strict.now, now = before, strict.now
    strict.beat()
    strict.now = now
    age = strict.heartbeats.age(NODE)
    assert age is not None
    assert age.seen == 30
    strict.heartbeats.listed(LEASES, {(OWN, "podcorder-operator")})
    assert strict.heartbeats.age(NODE) is None


@pytest.mark.parametrize("spec", [None, {}, {"renewTime": 3}, {"renewTime": "yesterday"}, {"renewTime": None}])
def test_garbled_lease(spec: Any, strict: StrictWorld) -> None:
    """A Lease that says no time is none."""
    strict.heartbeats.put(LEASES, {"metadata": {"name": f"agent.{NODE}"}, "spec": spec})
    assert strict.heartbeats.age(NODE) is None


def test_leases_of_others(strict: StrictWorld) -> None:
    """A Lease that happens to be called as a node is no agent's."""
    strict.heartbeats.put(LEASES, lease("1970-01-01T00:00:30Z") | {"metadata": {"name": "node-2"}})
    assert strict.heartbeats.age("node-2") is None
    strict.heartbeats.drop(LEASES, OWN, NODE)
    assert strict.heartbeats.age(NODE) is not None
    strict.heartbeats.drop(LEASES, OWN, f"agent.{NODE}")
    assert strict.heartbeats.age(NODE) is None


def test_steady(strict: StrictWorld) -> None:
    """Where no Lease at all is renewed for a while, nobody has been followed steadily; nor where none is followed."""
    strict.pass_time(40)
    assert strict.heartbeats.steady_seconds == 40
    strict.now += 11
    assert strict.heartbeats.steady_seconds == 0
    strict.pass_time(5)
    assert strict.heartbeats.steady_seconds == 4
    strict.heartbeats.clear()
    assert strict.heartbeats.steady_seconds == 0


def lease(renewed: str) -> dict[str, Any]:
    return {"metadata": {"name": f"agent.{NODE}"}, "spec": {"renewTime": renewed}}
