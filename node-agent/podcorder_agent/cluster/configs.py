"""The node's NodeRecordingConfig. What is newer than this agent is said so, and the rest is carried out."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from podcorder_agent.policies.patterns import refused_patterns
from podcorder_crds import API_VERSION, ConfiguredPolicy, NodeRecordingConfigSpec, Programs
from podcorder_crds.problems import find_problems

_KNOWN = {field.alias for field in NodeRecordingConfigSpec.model_fields.values()}
_MOST_REPAIRS = 32
_MOST_PROBLEMS = 16


@dataclass(frozen=True, slots=True)
class Config:
    """What the operator asks of this node."""

    uid: str = ""
    generation: int = 0
    policies: tuple[ConfiguredPolicy, ...] = ()
    problems: tuple[str, ...] = ()
    """What of it is not understood, a sentence each."""
    unload: bool = False
    """Whether nothing of ours may be left in the kernel."""


def read_config(raw: dict[str, Any]) -> Config:
    """Read a config; whatever it holds, the policies that can be understood are in the result."""
    metadata, spec = raw.get("metadata"), raw.get("spec")
    metadata = metadata if isinstance(metadata, dict) else {}
    entries = spec.get("policies", []) if isinstance(spec, dict) else []
    problems = []
    if raw.get("apiVersion", API_VERSION) != API_VERSION:
        problems.append(f"the config is of version {raw['apiVersion']!r}, this agent knows {API_VERSION}: update it")
    if isinstance(spec, dict):
        problems += [f"spec.{name} is not known to this agent: update it" for name in sorted(spec.keys() - _KNOWN)]
    if not isinstance(entries, list):
        problems.append("spec.policies is no list")
        entries = []
    policies = []
    for index, entry in enumerate(entries):
        policy, found = _read_policy(entry, index)
        policies += [policy] if policy is not None else []
        problems += found
    generation = metadata.get("generation")
    return Config(
        str(metadata.get("uid", "")),
        generation if isinstance(generation, int) else 0,
        tuple(policies),
        tuple(problems[:_MOST_PROBLEMS]),
        isinstance(spec, dict) and spec.get("programs") == Programs.UNLOADED,
    )


def _read_policy(entry: Any, index: int) -> tuple[ConfiguredPolicy | None, list[str]]:
    """The policy without what is unknown in it, None where nothing can be made of it; and what is wrong with it."""
    root = ("spec", "policies", index)
    problems = find_problems(ConfiguredPolicy, entry, root)
    sentences = [each.sentence for each in problems]
    repaired = copy.deepcopy(entry)
    for _ in range(_MOST_REPAIRS):
        problem = next((each for each in problems if not each.missing and each.location), None)
        if problem is None:
            break
        if not _remove(repaired, problem.location):
            return None, sentences
        problems = find_problems(ConfiguredPolicy, repaired, root)
    try:
        policy = ConfiguredPolicy.model_validate(repaired)
    except ValidationError:
        return None, sentences
    # They stay in the policy: where one cannot be used, all arguments are taken out.
    sentences += [f"{policy.name}: {each}, so all arguments are taken out" for _, each in refused_patterns(policy.spec)]
    return policy, sentences


def _remove(entry: Any, location: tuple[str | int, ...]) -> bool:
    """Take out what stands at `location`; whether there was anything."""
    try:
        for part in location[:-1]:
            entry = entry[part]
        del entry[location[-1]]
    except (LookupError, TypeError):
        return False
    return True
