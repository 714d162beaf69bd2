"""What is asked of the recorder for combinations of policies."""

from __future__ import annotations

from typing import Any

import pytest

from podcorder_agent.cluster.decisions import Recorded
from podcorder_agent.cluster.matching import key_of
from podcorder_agent.cluster.selection import Selection
from podcorder_agent.cluster.slots import MOST_SLOTS
from podcorder_crds import ConfiguredPolicy, SessionKind


class RememberingControl:
    """A recorder that does what it is asked."""

    def __init__(self) -> None:
        self.slots: dict[int, Any] = {}

    def configure(self, slot: int, settings: dict[str, Any] | None) -> dict[str, Any]:
        self.slots[slot] = settings
        return {}

    def pending(self, events: list[str], seconds: int = 60) -> dict[str, Any]:
        return {}

    def select(self, cgroup_id: int, slot: int, session_kind: str, container: dict[str, Any]) -> dict[str, Any]:
        return {}

    def exclude(self, cgroup_id: int, outside: bool = False) -> dict[str, Any]:
        return {}


def make_policy(number: int, *, ends: bool) -> ConfiguredPolicy:
    spec = {"events": {"commands": {}}, "mode": "Strict", "onRecorderFailure": "End" if ends else "Continue"}
    names = {"kind": "SessionRecordingPolicy", "namespace": "shop", "name": f"p{number:03}", "generation": 1}
    return ConfiguredPolicy.model_validate(names | {"spec": spec})


@pytest.mark.parametrize(("gentle", "ends"), [(0, ["Exec"]), (1, [])])
def test_nobody_is_thrown_out_for_policies_of_others(gentle: int, ends: list[str]) -> None:
    """The slot that the rarest combinations share ends sessions where all of them would, and records what any asks."""
    count = MOST_SLOTS + 2
    policies = [make_policy(each, ends=each < count - gentle) for each in range(count)]
    combinations = [((SessionKind.EXEC, (key_of(each),)),) for each in policies]
    container = {"pod": {"namespace": "shop", "name": "web"}}
    recorded = {at: Recorded(each, SessionKind.CONTAINER, container) for at, each in enumerate(combinations)}
    control = RememberingControl()
    Selection(control).apply({key_of(each): each for each in policies}, recorded, frozenset())
    alone, shared = control.slots[0], control.slots[MOST_SLOTS - 1]
    assert alone["ends"] == ["Exec"]
    assert shared["ends"] == ends
    assert shared["policy"].count("shop/") == 3
