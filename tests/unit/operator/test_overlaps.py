"""Which policies may record the same sessions: never denied wrongly, denied where it is certain."""

from __future__ import annotations

from typing import Any

import pytest

from podcorder_operator.metadata import Metadata
from podcorder_operator.overlaps import Footprint, may_overlap
from podcorder_operator.policies import read_policy
from podcorder_operator.resources import CLUSTER_POLICIES

EVERYTHING: dict[str, Any] = {"events": {"commands": {}}}
RED = {"podSelector": {"matchLabels": {"team": "red"}}}
BLUE = {"podSelector": {"matchLabels": {"team": "blue"}}}


def make(spec: dict[str, Any], namespaces: set[str] | None = None) -> Footprint:
    policy = read_policy(CLUSTER_POLICIES, {"spec": EVERYTHING | spec}, Metadata("", "policy", "", 1, ""))
    assert policy.rules is not None, policy.problem
    return Footprint(policy.rules, namespaces)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {}, True),
        (RED, BLUE, False),
        (RED, {}, True),
        (RED, {"podSelector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["red"]}]}}, False),
        (RED, {"podSelector": {"matchLabels": {"tier": "front"}}}, True),
        ({"sessions": ["Exec"]}, {"sessions": ["Attach"]}, False),
        ({"sessions": ["Exec"]}, {}, True),
        ({"nodeSelector": {"matchLabels": {"zone": "a"}}}, {"nodeSelector": {"matchLabels": {"zone": "b"}}}, False),
        ({"sessions": ["Host", "Exec"]} | RED, {"sessions": ["Host"]} | BLUE, True),
        ({"containers": {"include": ["app"]}}, {"containers": {"include": ["web"]}}, False),
        ({"containers": {"include": ["app"]}}, {"containers": {"include": ["a*"]}}, True),
        ({"containers": {"include": ["app"]}}, {"containers": {"include": ["b*"]}}, True),
        ({"containers": {"include": ["app"]}}, {"containers": {"include": ["app"], "exclude": ["app"]}}, False),
        ({"containers": {"include": ["app"]}}, {"containers": {"exclude": ["a??"]}}, True),
        ({"containers": {"include": ["a*"]}}, {"containers": {"include": ["b*"]}}, True),
        ({"containers": {"exclude": ["app"]}}, {"containers": {"exclude": ["web"]}}, True),
    ],
)
def test_specs(one: dict[str, Any], other: dict[str, Any], expected: bool) -> None:
    """Sessions, nodes, pods and containers each can keep two policies apart, whichever is looked at first."""
    assert may_overlap(make(one), make(other)) == expected
    assert may_overlap(make(other), make(one)) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (None, None, True),
        (None, {"shop"}, True),
        ({"shop"}, {"shop", "web"}, True),
        ({"shop"}, {"web"}, False),
        (set(), None, True),
    ],
)
def test_namespaces(one: set[str] | None, other: set[str] | None, expected: bool) -> None:
    """Policies of different namespaces have no pods in common; one of all namespaces may share with any."""
    assert may_overlap(make({}, one), make({}, other)) == expected
