"""References to variables in commands; Kubernetes 1.37's own function gives the same for each of these words."""

from __future__ import annotations

import pytest

from podcorder_agent.cluster.expansions import expand

VARIABLES = {"A": "1", "B_b": "two", "EMPTY": "", "SELF": "$(A)", "with space": "odd"}


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B_b)z", "x1ytwoz"),
        ("$(EMPTY)", ""),
        ("$(MISSING)", "$(MISSING)"),
        ("$()", "$()"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(SELF)", "$(A)"),
        ("$(with space)", "odd"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(A $$", "$(A $"),
        ("$($(A)", "$($(A)"),
        ("$(A)(A)", "1(A)"),
        ("", ""),
    ],
)
def test_references_are_expanded(word: str, expanded: str) -> None:
    """A known name in `$()` gives its value, once; `$$` is a dollar; everything else stays."""
    assert expand(word, VARIABLES) == expanded
