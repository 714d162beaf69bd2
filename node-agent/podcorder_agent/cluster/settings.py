"""What the recorder is to be given for policies: the settings of a slot, and what is held of new containers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from podcorder_agent.classes import EVENT_CLASSES
from podcorder_agent.cluster.logins import ask_for_logins
from podcorder_agent.cluster.matching import DEBUG_SESSIONS, PLAIN_SESSIONS, Combination, PolicyKey
from podcorder_agent.policies import compile_slot
from podcorder_crds import ConfiguredPolicy

FIRST_EVENTS = ("exec", "fork", "exit")
"""What is held of new containers while policies may be on their way: what the others would cost, all of the node's
processes would pay."""


def settings_of(combination: Combination, policies: Mapping[PolicyKey, ConfiguredPolicy]) -> dict[str, Any]:
    """The settings of the slot of a combination, whose policies are all in `policies`."""
    return dict(compile_slot({kind: [policies[key] for key in keys] for kind, keys in combination}))


def events_of(policies: Collection[ConfiguredPolicy], settling: bool) -> list[str]:
    """The classes of records that any of the policies may ask for of a new container. `settling`: as well as those of
    policies that nobody here knows yet."""
    kinds = dict.fromkeys((*PLAIN_SESSIONS, *DEBUG_SESSIONS))
    wanted = {kind: [each for each in policies if kind in each.spec.sessions] for kind in kinds}
    known = compile_slot(wanted)["events"] if any(wanted.values()) else []
    if ask_for_logins(policies):
        known = [*known, "exit"]  # what a new container holds must not pass for a login
    return [each for each in EVENT_CLASSES if each in known or (settling and each in FIRST_EVENTS)]
