from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.control.messages import check_settings
from podcorder_agent.policies import EVERYTHING, Policy, compile_settings, without_effect
from podcorder_crds import SessionRecordingPolicySpec


def compiled(**spec: Any) -> Any:
    return compile_settings(Policy("p", SessionRecordingPolicySpec.model_validate(spec)))


def test_everything_is_unfiltered() -> None:
    """Without a policy file every class is recorded, with no filter, and with the default redaction."""
    assert compile_settings(EVERYTHING) == {
        "policy": "everything",
        "events": [
            "exec", "exec_failed", "fork", "exit", "open", "open_failed", "connect", "accept", "listen", "datagram",
        ],
        "paths": [],
        "access": ["read", "write"],
        "networks": [],
        "ports": [],
        "rate_limit": 0,
        "redaction": {"defaults": True, "patterns": []},
    }  # fmt: skip


def test_each_choice_becomes_its_setting() -> None:
    """Every field of a policy that a machine can follow stands in the slot's settings."""
    assert compiled(
        events={
            "files": {
                "access": ["Write"],
                "outcomes": ["Succeeded"],
                "paths": {"include": ["/etc/"], "exclude": ["/etc/ssl/"]},
            },
            "network": {
                "directions": ["Inbound"],
                "peers": {"exclude": ["10.0.0.0/8"]},
                "ports": {"include": [{"port": 1, "endPort": 1023}], "exclude": [{"port": 53}]},
            },
        },
        rateLimits={"recordsPerSecond": 500},
        redaction={"defaults": "Disabled", "rules": [{"name": "card", "pattern": "[0-9]{16}"}]},
    ) == {
        "policy": "p",
        "events": ["exit", "open", "accept", "listen"],
        "paths": [{"prefix": "/etc/", "verdict": "include"}, {"prefix": "/etc/ssl/", "verdict": "exclude"}],
        "access": ["write"],
        "networks": [{"cidr": "10.0.0.0/8", "verdict": "exclude"}],
        "ports": [{"first": 53, "last": 53, "verdict": "exclude"}, {"first": 1, "last": 1023, "verdict": "include"}],
        "rate_limit": 500,
        "redaction": {"defaults": False, "patterns": ["[0-9]{16}"]},
    }


def test_failures_alone() -> None:
    """Outcomes choose the classes: failed ones alone need no successful ones."""
    assert compiled(events={"commands": {"outcomes": ["Failed"]}, "files": {"outcomes": ["Failed"]}})["events"] == [
        "exec_failed", "exit", "open_failed",
    ]  # fmt: skip


def test_what_has_no_effect_is_said() -> None:
    """Fields that only Kubernetes gives a meaning are named, never silently left out."""
    spec = SessionRecordingPolicySpec.model_validate(
        {
            "events": {"files": {}},
            "podSelector": {"matchLabels": {"app": "db"}},
            "sessions": ["Exec"],
            "routing": {"label": "a"},
            "mode": "Strict",
            "onRecorderFailure": "End",
        }
    )
    text = " ".join(without_effect(spec))
    assert all(word in text for word in ("podSelector", "routing", "Exec", "onRecorderFailure"))
    assert without_effect(EVERYTHING.spec) == []


prefixes = st.text(st.characters(codec="utf-8", exclude_characters="\0*/."), min_size=1, max_size=60).map(
    lambda t: f"/{t}/"
)
ports = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(
    lambda pair: {"port": min(pair), "endPort": max(pair)}
)


@given(
    st.lists(prefixes, unique=True, max_size=100),
    st.lists(ports, unique_by=lambda each: each["port"], max_size=16),
    st.integers(1, 1_000_000),
)
def test_the_recorder_takes_whatever_a_policy_allows(paths: list[str], ranges: list[Any], rate: int) -> None:
    """Settings compiled from any valid policy pass the recorder's own check."""
    half = len(paths) // 2
    check_settings(
        compiled(
            events={
                "files": {"paths": {"include": paths[:half], "exclude": paths[half:]}},
                "network": {"ports": {"include": ranges}},
            },
            rateLimits={"recordsPerSecond": rate},
        )
    )


@pytest.mark.parametrize(
    ("peers", "networks"),
    [
        ({"exclude": ["::/0"]}, {"0.0.0.0/0": "include", "::/0": "exclude"}),
        ({"include": ["::/0"]}, {"0.0.0.0/0": "exclude", "::/0": "include"}),
        (
            {"exclude": ["::/8", "10.0.0.0/8"]},
            {"0.0.0.0/0": "include", "::/0": "include", "::/8": "exclude", "10.0.0.0/8": "exclude"},
        ),
        ({"include": ["fd00::/8"]}, {"fd00::/8": "include"}),
    ],
)
def test_networks_around_the_mapped_addresses_say_nothing_of_ipv4(peers: Any, networks: dict[str, str]) -> None:
    """To the kernel 10.0.0.1 is ::ffff:10.0.0.1, which ::/0 holds: a policy's ::/0 means IPv6 alone."""
    entries = compiled(events={"network": {"peers": peers}})["networks"]
    assert {each["cidr"]: each["verdict"] for each in entries} == networks
