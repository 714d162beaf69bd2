"""What a node's config holds, given what concerns the node and what it holds already."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from fixtures.policy_samples import make_large_spec, make_spec
from hypothesis import given
from hypothesis import strategies as st

from podcorder_crds import MAX_CONFIG_BYTES, NodeRecordingConfigSpec
from podcorder_operator.metadata import Metadata
from podcorder_operator.node_configs import digest_spec
from podcorder_operator.policies import PolicyKey, read_policy
from podcorder_operator.resolver import MAX_POLICIES, Candidate, resolve
from podcorder_operator.resources import CLUSTER_POLICIES, POLICIES


def make_candidate(
    name: str, spec: dict[str, Any], *, namespace: str = "shop", generation: int = 1, created: int = 0
) -> Candidate:
    """`namespace` empty: of the cluster kind, limited to two namespaces."""
    resource = POLICIES if namespace else CLUSTER_POLICIES
    metadata = Metadata(namespace, name, "uid", generation, f"2026-01-01T00:00:{created:02}Z")
    policy = read_policy(resource, {"spec": spec}, metadata)
    assert policy.rules is not None, policy.problem
    return Candidate(policy, None if namespace else ("shop", "web"))


def make_candidates(random: Random, large: float) -> list[Candidate]:
    """Up to 14, each large with that probability, so that eight of these alone fill a config."""
    return [
        make_candidate(
            f"policy-{number}",
            make_large_spec(31_000) if random.random() < large else make_spec(random),
            namespace=random.choice(("", "shop", "web")),
            generation=random.randint(1, 3),
            created=random.randint(0, 2),
        )
        for number in range(random.randint(0, 14))
    ]


def choose(candidates: list[Candidate], current: dict[PolicyKey, int]) -> list[PolicyKey]:
    """What fits, tried one by one: the cluster's, who is there already, who is there as it was before, the oldest."""
    chosen: list[Candidate] = []
    for candidate in sorted(
        candidates,
        key=lambda each: (
            each.policy.key.kind != CLUSTER_POLICIES.kind,
            current.get(each.policy.key) != each.policy.generation,
            each.policy.key not in current,
            each.policy.created,
            each.policy.key.namespace,
            each.policy.key.name,
        ),
    ):
        if len(json.dumps(make_config([*chosen, candidate]), separators=(",", ":"))) <= MAX_CONFIG_BYTES:
            chosen.append(candidate)
    return sorted(candidate.policy.key for candidate in chosen)


def make_config(candidates: list[Candidate]) -> dict[str, Any]:
    entries = []
    for candidate in sorted(candidates, key=lambda each: each.policy.key):
        key, rules = candidate.policy.key, candidate.policy.rules
        assert rules is not None
        entry: dict[str, Any] = {"kind": key.kind, "name": key.name, "generation": candidate.policy.generation}
        if key.namespace:
            entry["namespace"] = key.namespace
        if candidate.namespaces is not None:
            entry["namespaces"] = list(candidate.namespaces)
        entries.append(entry | {"spec": json.loads(rules.text)})
    return {"nodeName": "node-1", "policies": entries}


seeds = st.integers(0, 2**32)


@given(seeds, st.sampled_from((0.0, 0.5, 0.9)))
def test_config_is_what_fits(seed: int, large: float) -> None:
    """A config holds whole policies in order, at most 256 KiB of them, chosen as a plain trial of each says."""
    random = Random(seed)
    candidates = make_candidates(random, large)
    current = {each.policy.key: random.randint(1, 3) for each in candidates if random.random() < 0.5}
    resolution = resolve("node-1", candidates, current)
    chosen = choose(candidates, current)
    assert resolution.spec == make_config([each for each in candidates if each.policy.key in chosen])
    assert resolution.left_out == {each.policy.key for each in candidates} - set(chosen)
    assert resolution.size == len(resolution.text.encode()) <= MAX_CONFIG_BYTES
    assert resolution.digest == digest_spec(resolution.spec)
    assert resolution.text == json.dumps(resolution.spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@given(seeds, st.sampled_from((0.0, 0.5, 0.9)))
def test_order_does_not_matter(seed: int, large: float) -> None:
    """The same candidates in any order make the same config."""
    random = Random(seed)
    candidates = make_candidates(random, large)
    shuffled = random.sample(candidates, len(candidates))
    assert resolve("node-1", candidates, {}) == resolve("node-1", shuffled, {})


@given(seeds)
def test_resolving_again_changes_nothing(seed: int) -> None:
    """A config resolved with itself as the current one stays as it is, whatever was current before."""
    random = Random(seed)
    candidates = make_candidates(random, 0.9)
    current = {each.policy.key: random.randint(1, 3) for each in candidates if random.random() < 0.5}
    first = resolve("node-1", candidates, current)
    held = {each.policy.key: each.policy.generation for each in candidates if each.policy.key not in first.left_out}
    assert resolve("node-1", candidates, held) == first


@given(seeds)
def test_history_does_not_matter_where_all_fits(seed: int) -> None:
    """Where everything fits, what the node held before makes no difference."""
    random = Random(seed)
    candidates = make_candidates(random, 0.0)
    current = {each.policy.key: random.randint(1, 3) for each in candidates if random.random() < 0.5}
    assert resolve("node-1", candidates, current) == resolve("node-1", candidates, {})


@given(seeds)
def test_agents_can_read_it(seed: int) -> None:
    """The contract's own model takes every config."""
    resolution = resolve("node-1", make_candidates(Random(seed), 0.3), {})
    assert NodeRecordingConfigSpec.model_validate(resolution.spec).node_name == "node-1"


def test_newcomer_is_left_out() -> None:
    """A policy that comes last to a full config is left out whole, even if it is older than those there."""
    held = [make_candidate(f"held-{number}", make_large_spec(31_000), created=9) for number in range(8)]
    current = {each.policy.key: 1 for each in held}
    newcomer = make_candidate("newcomer", make_large_spec(31_000))
    assert resolve("node-1", [newcomer, *held], current).left_out == {newcomer.policy.key}


def test_namespaces_do_not_push_out_the_cluster() -> None:
    """A policy of the cluster has its place however full the namespaces' policies have made the config."""
    held = [make_candidate(f"held-{number}", make_large_spec(31_000)) for number in range(8)]
    current = {each.policy.key: 1 for each in held}
    newcomer = make_candidate("newcomer", make_large_spec(31_000), namespace="", created=9)
    assert resolve("node-1", [newcomer, *held], current).left_out == {held[7].policy.key}


def test_small_one_still_fits() -> None:
    """After one that does not fit, those that do are taken all the same."""
    large = [make_candidate(f"large-{number}", make_large_spec(31_000)) for number in range(9)]
    small = make_candidate("small", {"events": {"commands": {}}}, created=9)
    assert resolve("node-1", [*large, small], {}).left_out == {large[8].policy.key}


def test_sizes_are_bytes() -> None:
    """Characters count with the bytes they take in UTF-8."""
    paths = [f"/srv/{number:03}/{'ä' * 110}" for number in range(128)]
    spec = {"events": {"files": {"paths": {"include": paths}}}}
    resolution = resolve("node-1", [make_candidate(f"policy-{number}", spec) for number in range(12)], {})
    assert resolution.left_out
    assert len(resolution.text) < resolution.size == len(resolution.text.encode()) <= MAX_CONFIG_BYTES


def test_many_policies() -> None:
    """A config has no more entries than the contract lets it have, small as they may be."""
    tiny = [make_candidate(f"p{number}", {"events": {"commands": {}}}, namespace="s") for number in range(2100)]
    resolution = resolve("node-1", tiny, {})
    assert len(NodeRecordingConfigSpec.model_validate(resolution.spec).policies) == MAX_POLICIES
    assert len(resolution.left_out) == 2100 - MAX_POLICIES
