from __future__ import annotations

from typing import Any

import pytest

from podcorder_crds import ClusterSessionRecordingPolicySpec, SessionRecordingPolicySpec
from podcorder_crds.problems import find_problems

COMMANDS = {"commands": {}}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (None, "spec is None: write a mapping of fields"),
        ({}, "spec.events is missing: add it"),
        ({"events": {}}, "spec.events: nothing would be recorded: give at least one of commands, files and network"),
        ({"events": COMMANDS, "sessions": "Exec"}, "spec.sessions is 'Exec': write a list"),
        ({"events": COMMANDS, "sessions": []}, "spec.sessions is empty: name at least one, or leave sessions out"),
        ({"events": COMMANDS, "sessions": ["Exec", "Exec"]}, "spec.sessions: Exec stands there twice: remove one"),
        ({"events": COMMANDS, "sessions": ["Host"]}, "spec: sessions of kind Host belong to no namespace"),
        ({"events": COMMANDS, "sessions": ["Command"]}, "spec.sessions[0]: 'Command' is not for a policy to name"),
        ({"events": COMMANDS, "sessions": ["Login"]}, "spec.sessions[0] is 'Login': write one of 'Container', 'Exec'"),
        ({"events": COMMANDS, "podSelecter": {}}, "unknown field spec.podSelecter: did you mean podSelector?"),
        (
            {"events": COMMANDS, "podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "value": 1}]}},
            "unknown field spec.podSelector.matchExpressions[0].value: did you mean values?",
        ),
        (
            {"events": {"files": {"paths": {"include": ["etc/"]}}}},
            "spec.events.files.paths.include[0]: 'etc/' is not absolute: begin the prefix with /",
        ),
        (
            {
                "events": COMMANDS,
                "redaction": {"rules": [{"name": "a", "pattern": "x"}, {"name": "a", "pattern": "y"}]},
            },
            "spec.redaction.rules: two have the name a: change or remove one",
        ),
        (
            {"events": COMMANDS, "podSelector": {"matchLabels": {"a b": "c"}}},
            "spec.podSelector.matchLabels: one of the keys is not a label key",
        ),
    ],
)
def test_a_problem_names_field_and_remedy(spec: Any, sentence: str) -> None:
    """Each problem is one sentence with the field as seen from the object, what is wrong there and what to write."""
    problems = find_problems(SessionRecordingPolicySpec, spec, ("spec",))
    assert [each.sentence[: len(sentence)] for each in problems] == [sentence]


def test_every_problem_is_named() -> None:
    """All that is wrong is found at once, each thing in its place."""
    spec = {"events": {"network": {"peers": {"include": ["10.0.0.1"]}, "ports": {"include": [{}]}}}, "mode": "strict"}
    assert {each.location: each.missing for each in find_problems(ClusterSessionRecordingPolicySpec, spec)} == {
        ("mode",): False,
        ("events", "network", "peers", "include", 0): False,
        ("events", "network", "ports", "include", 0, "port"): True,
    }


def test_what_is_valid_has_no_problem() -> None:
    """A spec that the contract accepts has none."""
    assert find_problems(ClusterSessionRecordingPolicySpec, {"events": COMMANDS, "sessions": ["Host"]}) == []
