from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from podcorder_crds import ClusterSessionRecordingPolicySpec, OnRecorderFailure, SessionRecordingPolicySpec
from podcorder_crds.schemas import structural


def parse(**events: Any) -> SessionRecordingPolicySpec:
    return SessionRecordingPolicySpec.model_validate({"events": events})


def test_empty_section_means_everything() -> None:
    """An empty section records everything of its kind, an absent one nothing."""
    events = parse(files={}).events
    assert events.commands is None
    assert events.network is None
    assert events.files is not None
    assert [str(each) for each in events.files.access] == ["Read", "Write"]
    assert [str(each) for each in events.files.outcomes] == ["Succeeded", "Failed"]


@pytest.mark.parametrize(
    ("events", "remedy"),
    [
        ({}, "at least one of commands, files and network"),
        ({"files": {"paths": {"include": ["etc/"]}}}, "begin the prefix with /"),
        ({"files": {"paths": {"include": ["/" + "ä" * 120]}}}, "longer than 240 bytes"),
        ({"files": {"paths": {"include": ["/etc/../root/"]}}}, "without //, . and .."),
        ({"files": {"paths": {"include": ["/var/*.log"]}}}, "leave out the *"),
        ({"files": {"paths": {"include": ["/a"], "exclude": ["/a"]}}}, "both included and excluded"),
        ({"files": {"paths": {"include": ["/a", "/a"]}}}, "twice"),
        (
            {"files": {"paths": {"include": [f"/{n}" for n in range(100)], "exclude": [f"/x{n}" for n in range(100)]}}},
            "128",
        ),
        ({"network": {"peers": {"include": ["10.0.0.300/8"]}}}, "write it like 10.0.0.0/8"),
        ({"network": {"peers": {"include": ["10.1.2.3/8"]}}}, "as in 10.0.0.0/8"),
        ({"network": {"peers": {"include": ["10.1.2.3"]}}}, "add /32"),
        ({"network": {"ports": {"include": [{"port": 9, "endPort": 8}]}}}, "swap them"),
        ({"network": {"ports": {"include": [{"port": n} for n in range(1, 18)]}}}, "16"),
        ({"network": {"ports": {"include": [{"port": 70000}]}}}, "65535"),
        ({"network": {"ports": {"include": [{"port": "80"}]}}}, "integer"),
    ],
)
def test_refusals_name_the_remedy(events: dict[str, Any], remedy: str) -> None:
    """What cannot be meant is refused with a message that says what to write instead."""
    with pytest.raises(ValidationError) as caught:
        parse(**events)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("kind", [SessionRecordingPolicySpec, ClusterSessionRecordingPolicySpec])
@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ({"onRecorderFailure": "End"}, "write mode: Strict"),
        ({"onRecorderFailure": "End", "mode": "BestEffort"}, "write mode: Strict"),
        ({"onRecorderFailure": "End", "mode": "Strict", "sessions": ["Attach", "Container"]}, "name one of them"),
        ({"onRecorderFailure": "End", "mode": "Strict"}, ""),
        ({"onRecorderFailure": "End", "mode": "Strict", "sessions": ["Debug", "Container"]}, ""),
        ({"onRecorderFailure": "Continue", "sessions": ["Attach"]}, ""),
    ],
)
def test_sessions_are_ended_by_strict_policies_about_them(
    kind: type[SessionRecordingPolicySpec], spec: dict[str, str], remedy: str
) -> None:
    """End is refused, in both kinds of policy, without mode Strict and where no session could be ended."""
    spec = {"events": {"commands": {}}, **spec}
    if remedy:
        with pytest.raises(ValidationError, match=remedy):
            kind.model_validate(spec)
    else:
        assert kind.model_validate(spec).on_recorder_failure == spec["onRecorderFailure"]


def test_sessions_go_on_where_a_policy_says_nothing() -> None:
    """And the API server writes nothing into a policy for that: an earlier version would take it for a mistake."""
    assert parse(commands={}).on_recorder_failure is OnRecorderFailure.CONTINUE
    assert "default" not in structural(SessionRecordingPolicySpec)["properties"]["onRecorderFailure"]


@given(st.ip_addresses(), st.integers(0, 128))
def test_every_network_is_kept(address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int) -> None:
    """Every canonical CIDR of IPv4 and IPv6 is taken as it stands."""
    network = str(ipaddress.ip_network((address, min(length, address.max_prefixlen)), strict=False))
    assume(not network.startswith("::ffff:"))  # IPv4 wrapped into IPv6, which Kubernetes refuses
    selected = parse(network={"peers": {"include": [network]}}).events.network
    assert selected is not None
    assert selected.peers.include == (network,)


def models(root: type[BaseModel]) -> dict[str, Any]:
    schema = root.model_json_schema()
    return {root.__name__: schema, **schema["$defs"]}


def test_every_field_is_documented_and_bounded() -> None:
    """Every field has a description; every list, text and number has a bound; nothing is a boolean or a float."""

    def check(where: str, schema: dict[str, Any]) -> None:
        for option in schema.get("anyOf", ()):
            check(where, option)
        kind = schema.get("type")
        assert kind not in ("boolean", "number"), where
        if kind == "array":
            assert "maxItems" in schema, where
            check(f"{where}[]", schema["items"])
        if kind == "string" and "enum" not in schema and "const" not in schema:
            assert "maxLength" in schema, where
        if kind == "integer":
            assert {"minimum", "maximum"} <= schema.keys(), where
        if kind == "object" and "additionalProperties" in schema and "properties" not in schema:
            assert "maxProperties" in schema, where

    for name, schema in models(SessionRecordingPolicySpec).items():
        if "enum" in schema:
            continue
        assert schema["additionalProperties"] is False, name
        for field, body in schema["properties"].items():
            assert body.get("description"), f"{name}.{field}"
            check(f"{name}.{field}", body)


def test_names_are_camel_case() -> None:
    """The contract speaks camel case alone: the Python name of a field is not a field."""
    with pytest.raises(ValidationError):
        SessionRecordingPolicySpec.model_validate({"events": {"commands": {}}, "pod_selector": {}})
    assert SessionRecordingPolicySpec.model_validate({"events": {"commands": {}}, "podSelector": {}})
