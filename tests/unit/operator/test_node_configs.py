"""What is kept of stored configs, and since when a config holds what it holds."""

from __future__ import annotations

from typing import Any

import pytest

from podcorder_operator.metadata import read_metadata
from podcorder_operator.node_configs import Aspect, Config, Garbled, Report, digest_spec, read_config, read_report
from podcorder_operator.policies import PolicyKey

ONE = PolicyKey("SessionRecordingPolicy", "shop", "one")
OTHER = PolicyKey("SessionRecordingPolicy", "shop", "other")


def entry(key: PolicyKey, generation: int = 1, **fields: Any) -> dict[str, Any]:
    return {"kind": key.kind, "namespace": key.namespace, "name": key.name, "generation": generation, **fields}


def read(known: Config | None, generation: int, *policies: dict[str, Any], uid: str = "uid") -> Config:
    raw = {"metadata": {"name": "node-1", "uid": uid, "generation": generation}, "spec": {"policies": list(policies)}}
    metadata = read_metadata(raw)
    assert metadata is not None
    return read_config(raw, metadata, known, Report())


def since(config: Config) -> dict[str, int]:
    return {key.name: held.since for key, held in config.held.items()}


def test_other_policies_do_not_matter() -> None:
    """An entry that stays as it is keeps the generation with which it came in, whatever happens to others."""
    first = read(None, 4, entry(ONE))
    second = read(first, 5, entry(ONE), entry(OTHER))
    third = read(second, 6, entry(ONE), entry(OTHER, 2))
    assert (since(first), since(second), since(third)) == ({"one": 4}, {"one": 4, "other": 5}, {"one": 4, "other": 6})


@pytest.mark.parametrize(
    "changed", [{"generation": 2}, {"namespaces": ["shop"]}, {"namespaces": []}, {"spec": {"mode": "Strict"}}]
)
def test_changed_entry_comes_in_anew(changed: dict[str, Any]) -> None:
    """An entry whose policy generation, namespaces or spec changed is as new as the config's generation."""
    first = read(None, 4, entry(ONE))
    assert since(read(first, 5, entry(ONE, **changed))) == {"one": 5}


def test_unseen_generations() -> None:
    """After generations that nobody saw, an entry may have come in with any of them: the last is believed."""
    first = read(None, 4, entry(ONE))
    assert since(read(first, 6, entry(ONE))) == {"one": 6}


def test_another_config_of_the_name() -> None:
    """A config that was deleted and made anew has a history of its own."""
    first = read(None, 1, entry(ONE))
    assert since(read(first, 2, entry(ONE), uid="new")) == {"one": 2}


def test_status_only() -> None:
    """At the same generation the spec is what it was, and is not looked at again."""
    first = read(None, 4, entry(ONE))
    again = read(first, 4)
    assert again.held is first.held
    assert again.digest == first.digest


def test_digest() -> None:
    """Specs have the same digest if and only if they are equal, in whatever order their fields come."""
    assert digest_spec({"a": 1, "b": [1, 2]}) == digest_spec({"b": [1, 2], "a": 1})
    assert digest_spec({"a": [1, 2]}) != digest_spec({"a": [2, 1]})


def test_report() -> None:
    """A report has the generation applied, the namespaces sorted, the capabilities that are Full and those that are
    not there, and whether the agent records and keeps what it records."""
    capabilities = [
        {"name": "Files", "state": "Full"},
        {"name": "NetworkTcp", "state": "Degraded", "message": "old"},
        {"name": "NetworkUdp", "state": "Unavailable", "message": "none"},
    ]
    conditions = [
        {"type": "Ready", "status": "True", "reason": "Recording", "message": "All is well."},
        {"type": "Lossless", "status": "False", "reason": "LosingEvents", "message": "Too much."},
        {"type": "Other", "status": "True", "reason": "Whatever", "message": ""},
    ]
    status = {"appliedGeneration": 3, "namespaces": ["web", "shop"], "capabilities": capabilities}
    status |= {"conditions": conditions, "losingClasses": ["Open"]}
    assert read_report({"status": status}) == Report(
        3,
        ("shop", "web"),
        frozenset({"Files"}),
        frozenset({"NetworkUdp"}),
        Aspect("True", "Recording", "All is well."),
        Aspect("False", "LosingEvents", "Too much."),
        frozenset({"Open"}),
    )
    assert read_report({}) == read_report({"status": {}}) == Report()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ([], "not an object"),
        ({"appliedGeneration": True}, "appliedGeneration"),
        ({"appliedGeneration": "3"}, "appliedGeneration"),
        ({"namespaces": ["shop", 3]}, "namespaces"),
        ({"capabilities": {"Files": "Full"}}, "capabilities"),
        ({"losingClasses": "Open"}, "losingClasses"),
    ],
)
def test_garbled_report(status: Any, said: str) -> None:
    """What no agent of ours writes is refused with what is wrong with it."""
    with pytest.raises(Garbled, match=said):
        read_report({"status": status})
