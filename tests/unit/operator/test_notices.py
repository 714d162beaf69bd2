"""What a policy's author is told of, once each."""

from __future__ import annotations

from typing import Any

import pytest

from podcorder_operator.conditions import make_status
from podcorder_operator.metadata import Metadata
from podcorder_operator.notices import Notice, Notices, make_event
from podcorder_operator.policies import Policy, read_policy
from podcorder_operator.reaches import Tally
from podcorder_operator.resources import CLUSTER_POLICIES, POLICIES

NOW = "2026-01-01T00:00:00Z"
EVERYTHING: dict[str, Any] = {"events": {"commands": {}}}
WRONG: dict[str, Any] = {"events": {}}
APPLIED = Tally(2, 2)
BEHIND = Tally(2, 1, behind=1, first_behind="node-1")
FULL = Tally(2, 2, left_out=1, first_left_out="node-1")

Step = tuple[dict[str, Any], int, Tally]
"""A policy's spec and generation, and how far it has come."""


def make(spec: dict[str, Any], generation: int = 1, status: Any = None, uid: str = "uid") -> Policy:
    raw = {"spec": spec, "status": status}
    return read_policy(POLICIES, raw, Metadata("shop", "exec", uid, generation, NOW))


def walk(*steps: Step) -> list[list[str]]:
    """Reasons of what is told at each step, each status stored before the next."""
    notices = Notices()
    status: Any = None
    told = []
    for spec, generation, tally in steps:
        policy = make(spec, generation, status)
        status = make_status(policy, tally, [], NOW)
        told.append([notice.reason for notice in notices.choose(policy, status)])
    return told


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        # Applied everywhere is told once for each generation, whatever nodes come and go.
        (
            [(EVERYTHING, 1, BEHIND), (EVERYTHING, 1, APPLIED), (EVERYTHING, 1, BEHIND), (EVERYTHING, 1, APPLIED)],
            [[], ["AppliedOnAllNodes"], [], []],
        ),
        (
            [(EVERYTHING, 1, APPLIED), (EVERYTHING, 2, BEHIND), (EVERYTHING, 2, APPLIED)],
            [["AppliedOnAllNodes"], [], ["AppliedOnAllNodes"]],
        ),
        # That a policy is not accepted, or accepted again, is told when it comes to be so.
        (
            [(WRONG, 1, Tally()), (WRONG, 1, Tally()), (EVERYTHING, 2, BEHIND), (WRONG, 3, Tally())],
            [["Invalid"], [], ["Accepted"], ["Invalid"]],
        ),
        (
            [(EVERYTHING, 1, BEHIND), (EVERYTHING, 1, FULL), (EVERYTHING, 1, FULL), (EVERYTHING, 1, BEHIND)],
            [[], ["NodeConfigFull"], [], ["Accepted"]],
        ),
    ],
)
def test_once_for_each_transition(steps: list[Step], told: list[list[str]]) -> None:
    """A person is told of what changed, not of what is so."""
    assert walk(*steps) == told


def test_new_leader_repeats_nothing() -> None:
    """What the stored status says already is known to an operator that has just begun."""
    for spec, tally in ((EVERYTHING, APPLIED), (EVERYTHING, FULL), (WRONG, Tally())):
        status = make_status(make(spec), tally, [], NOW)
        policy = make(spec, status=status)
        assert list(Notices().choose(policy, status)) == []


def test_another_policy_of_the_name() -> None:
    """A policy that was deleted and made anew is told of anew."""
    notices = Notices()
    for uid in ("one", "other"):
        policy = make(EVERYTHING, uid=uid)
        assert [notice.reason for notice in notices.choose(policy, make_status(policy, APPLIED, [], NOW))]


def test_events() -> None:
    """An Event is about the very object, and its message no longer than the API server takes."""
    long = Notice("Warning", "Invalid", "x" * 2000)
    event = make_event(make(WRONG), long, NOW)
    assert event["involvedObject"] == {
        "apiVersion": "podcorder.dev/v1alpha1",
        "kind": "SessionRecordingPolicy",
        "namespace": "shop",
        "name": "exec",
        "uid": "uid",
    }
    assert len(event["message"]) == 1024
    cluster = read_policy(CLUSTER_POLICIES, {"spec": EVERYTHING}, Metadata("", "all", "uid", 1, NOW))
    assert "namespace" not in make_event(cluster, long, NOW)["involvedObject"]
