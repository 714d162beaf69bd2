"""Label selectors against the plainest reading of them."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from fixtures.policy_samples import LABELS, make_labels, make_selector
from fixtures.recounts import matches
from hypothesis import given
from hypothesis import strategies as st

from podcorder_crds import LabelSelector
from podcorder_operator.selectors import Selector, compile_selector

EVERY_LABELLING = [
    {key: value for key, value in zip(LABELS, chosen, strict=True) if value is not None}
    for chosen in product(*((*values, "other", None) for values in LABELS.values()))
]
"""Of the vocabulary, one value besides each, and none."""


def make(selector: dict[str, object]) -> Selector:
    return compile_selector(LabelSelector.model_validate(selector))


@given(st.integers(0, 2**32))
def test_matches(seed: int) -> None:
    """A selector matches what its conditions, taken one by one, all match."""
    random = Random(seed)
    selector, labels = make_selector(random), make_labels(random)
    assert make(selector).matches(labels) == matches(selector, labels)


@given(st.integers(0, 2**32))
def test_disjoint(seed: int) -> None:
    """Two selectors are disjoint if and only if there are no labels that both match."""
    random = Random(seed)
    one, other = make(make_selector(random)), make(make_selector(random))
    both = any(one.matches(labels) and other.matches(labels) for labels in EVERY_LABELLING)
    assert one.disjoint(other) == other.disjoint(one) == (not both)


def test_everything() -> None:
    """An empty selector matches everything and is disjoint only with what matches nothing."""
    nothing = make({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]})
    assert make({}).everything
    assert make({}).matches({})
    assert not make({}).disjoint(make({"matchLabels": {"a": "1"}}))
    assert make({}).disjoint(nothing)


@pytest.mark.parametrize("labels", [{}, {"a": "2"}])
def test_conditions_on_one_key(labels: dict[str, str]) -> None:
    """Conditions on one key must all hold."""
    selector = {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}
    assert make(selector).matches({"a": "1"})
    assert not make(selector).matches(labels)
