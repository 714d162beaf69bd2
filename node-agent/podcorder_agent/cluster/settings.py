"""The settings of a slot (docs/control.md), from the policies whose sessions it takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from podcorder_agent.cluster.configs import name_policy
from podcorder_agent.cluster.matching import Combination, PolicyKey
from podcorder_agent.policies import Policy, compile_settings
from podcorder_crds import ConfiguredPolicy, RateLimits, Redaction, SessionKind, SessionRecordingPolicySpec
from podcorder_crds.combination import combine


def compile_slot(combination: Combination, policies: Mapping[PolicyKey, ConfiguredPolicy]) -> dict[str, Any]:
    """The settings for a combination: of the slot the union of all, and of each session kind its own."""
    keys = sorted({key for _, keys in combination for key in keys})
    settings = _compile([policies[key] for key in keys])
    settings["kinds"] = {kind.value: _compile([policies[key] for key in keys]) for kind, keys in combination}
    if SessionKind.CONTAINER not in settings["kinds"]:
        settings["own_session"] = False
    return settings


def events_of(policies: Iterable[ConfiguredPolicy]) -> list[str]:
    """The classes of records that any of the policies asks for."""
    chosen = list(policies)
    return list(_compile(chosen)["events"]) if chosen else []


def _compile(policies: list[ConfiguredPolicy]) -> dict[str, Any]:
    combined = combine(each.spec for each in policies)
    # Constructed without checks: together they may have more rules than one may.
    spec = SessionRecordingPolicySpec.model_construct(
        events=combined.events,
        mode=combined.mode,
        redaction=Redaction.model_construct(defaults=combined.redaction_defaults, rules=combined.redaction_rules),
        rate_limits=RateLimits.model_construct(records_per_second=combined.records_per_second),
    )
    return dict(compile_settings(Policy(", ".join(map(name_policy, policies)), spec)))
