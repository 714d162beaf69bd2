"""Which policies a node's config holds: pure, and the same for the same input in whatever order it comes.

Whole policies only. Those of the cluster come first: what people write in a namespace of theirs must not push out what
an administrator asks for. Of each kind those come first that the node has already; so a config that is resolved anew,
with what came of it as its current one, stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from podcorder_crds import MAX_CONFIG_BYTES
from podcorder_operator.node_configs import digest_text
from podcorder_operator.policies import Policy, PolicyKey, encode_canonical

MAX_POLICIES = 2048
"""How many entries the contract lets a config have."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A valid policy that concerns a node."""

    policy: Policy
    namespaces: tuple[str, ...] | None
    """Sorted names of the namespaces on the node that it is limited to; None: not limited."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a node's config should be."""

    text: str
    """Canonical JSON of the spec."""
    digest: bytes
    size: int
    """Bytes of `text`."""
    left_out: frozenset[PolicyKey]
    """Policies that concern the node but do not fit."""

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = json.loads(self.text)
        return spec


def resolve(node: str, candidates: Iterable[Candidate], current: Mapping[PolicyKey, int]) -> Resolution:
    """`current`: the policies in the node's stored config, with their generations."""

    def rank(candidate: Candidate) -> tuple[bool, bool, bool, str, PolicyKey]:
        policy = candidate.policy
        unchanged = current.get(policy.key) == policy.generation
        return bool(policy.key.namespace), not unchanged, policy.key not in current, policy.created, policy.key

    entries: dict[PolicyKey, str] = {}
    left_out = set()
    size = len(_join(node, ()).encode())
    for candidate in sorted(candidates, key=rank):
        entry = encode_entry(candidate)
        grown = size + len(entry.encode("utf-8", "surrogatepass")) + bool(entries)
        if grown > MAX_CONFIG_BYTES or len(entries) == MAX_POLICIES:
            left_out.add(candidate.policy.key)
            continue
        entries[candidate.policy.key] = entry
        size = grown
    text = _join(node, (entries[key] for key in sorted(entries)))
    return Resolution(text, digest_text(text), size, frozenset(left_out))


def encode_entry(candidate: Candidate) -> str:
    """A policy's entry in a config, as canonical JSON."""
    policy = candidate.policy
    assert policy.rules is not None, "an invalid policy is no candidate"
    head: dict[str, Any] = {"generation": policy.generation, "kind": policy.key.kind, "name": policy.key.name}
    if policy.key.namespace:
        head["namespace"] = policy.key.namespace
    if candidate.namespaces is not None:
        head["namespaces"] = candidate.namespaces
    return f'{encode_canonical(head)[:-1]},"spec":{policy.rules.text}}}'


def _join(node: str, entries: Iterable[str]) -> str:
    return f'{{"nodeName":{encode_canonical(node)},"policies":[{",".join(entries)}]}}'
