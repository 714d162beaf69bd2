from __future__ import annotations

from typing import Any

import pytest

from podcorder_agent.classes import EVENT_CLASSES
from podcorder_agent.policies import Policy, compile_settings
from podcorder_agent.recorder.ladders import LADDERS
from podcorder_crds import (
    Capability,
    EventClass,
    EventSelection,
    SessionRecordingPolicySpec,
    capabilities_of,
    classes_of,
)


def test_names_are_the_agents_in_camel_case() -> None:
    """The contract knows every capability and every class of events that the agent knows, and no others."""
    assert [each.agent_name for each in Capability] == [each.name for each in LADDERS]
    assert all(each.agent_name == each.name.lower() for each in Capability)
    assert {each.name.lower() for each in EventClass} == set(EVENT_CLASSES)


selections = pytest.mark.parametrize(
    "events",
    [
        {"commands": {}},
        {"commands": {"outcomes": ["Failed"]}},
        {"commands": {"outcomes": ["Succeeded"]}},
        {"files": {}},
        {"files": {"outcomes": ["Failed"]}},
        {"network": {}},
        {"network": {"directions": ["Inbound"]}},
        {"network": {"directions": ["Outbound"]}},
        {"commands": {}, "files": {}, "network": {}},
    ],
)


@selections
def test_what_a_policy_needs_is_what_the_agent_attaches(events: dict[str, Any]) -> None:
    """A policy needs just those capabilities that the recorder attaches for it, what is on demand aside."""
    spec = SessionRecordingPolicySpec.model_validate({"events": events})
    wanted = set(compile_settings(Policy("p", spec))["events"])
    attached = {each.name for each in LADDERS if each.serves(wanted)}
    assert {each.agent_name for each in capabilities_of(EventSelection.model_validate(events))} == attached


@selections
def test_the_classes_of_a_policy_are_those_that_the_agent_selects(events: dict[str, Any]) -> None:
    """A policy's events are made of just those classes that the recorder takes for it; sessions begin with Exec."""
    wanted = {
        "exec",
        *compile_settings(Policy("p", SessionRecordingPolicySpec.model_validate({"events": events})))["events"],
    }
    assert {each.name.lower() for each in classes_of(EventSelection.model_validate(events))} == wanted
