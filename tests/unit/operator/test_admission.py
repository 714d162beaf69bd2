"""What the admission webhook says of policies."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from podcorder_operator import admission
from podcorder_operator.admission import Denied, review
from podcorder_operator.resources import CLUSTER_POLICIES, POLICIES, Resource

GOOD = {"metadata": {"name": "exec", "namespace": "shop"}, "spec": {"events": {"commands": {}}}}
BAD = {"metadata": {"name": "exec", "namespace": "shop"}, "spec": {"events": {}}}


@pytest.mark.parametrize("resource", [POLICIES, CLUSTER_POLICIES])
def test_valid(resource: Resource) -> None:
    """A policy that the contract takes is let pass, new or changed, without a word."""
    assert review(resource, GOOD, None) == []
    assert review(resource, GOOD, BAD) == []


@pytest.mark.parametrize("resource", [POLICIES, CLUSTER_POLICIES])
def test_invalid(resource: Resource) -> None:
    """One that it refuses is denied with the sentence that says why, new or changed."""
    for old in (None, GOOD):
        with pytest.raises(Denied, match="nothing would be recorded"):
            review(resource, BAD, old)


def test_too_long() -> None:
    """A spec longer than any policy is denied for its length, before all that is wrong with it is looked for."""
    policy = {"metadata": {"name": "exec", "namespace": "shop"}, "spec": {"sessions": ["x"] * 200_000}}
    with pytest.raises(Denied, match="longer than 512 KiB"):
        review(POLICIES, policy, None)


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "(?P<a>x)(?P<a>y)"])
def test_patterns(pattern: str) -> None:
    """A regular expression is tried as it will be used, which no schema can do."""
    policy = copy.deepcopy(GOOD)
    policy["spec"]["redaction"] = {"rules": [{"name": "mine", "pattern": pattern}]}  # type: ignore[assignment]
    with pytest.raises(Denied, match="not a regular expression"):
        review(POLICIES, policy, None)


def test_stored_before_the_contract_changed() -> None:
    """A stored policy that the contract refuses by now can be labelled, and deleted, without being mended."""
    labelled = {**BAD, "metadata": {**BAD["metadata"], "labels": {"team": "a"}}}
    assert review(POLICIES, labelled, BAD) == []


@pytest.mark.parametrize("spec", [None, 7, "x", [], {"events": 7}, {"events": {"files": {"paths": [[]]}}}])
def test_poison(spec: Any) -> None:
    """A spec of any shape is denied with a sentence."""
    with pytest.raises(Denied, match=r"\w"):
        review(POLICIES, {"metadata": {"name": "exec"}, "spec": spec}, None)


def test_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the operator keeps nobody from applying a policy, and says so."""

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(admission, "read_policy", fail)
    (warning,) = review(POLICIES, GOOD, None)
    assert "could not review" in warning
