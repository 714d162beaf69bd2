"""The stack of a program is summed as the verifier sums it."""

from __future__ import annotations

from budget.elf import Function
from budget.stacks import chain_depth, verified_depth

FUNCTIONS = {
    name: Function(name, (), callees, name == "program")
    for name, callees in {"program": ("deep", "flat"), "deep": ("end",), "flat": (), "end": ()}.items()
}


def test_the_deepest_chain_counts() -> None:
    """Functions that are not called by each other do not add up, and each is rounded up to 32 bytes."""
    depths = {"program": 33, "deep": 0, "end": 32, "flat": 64}
    assert chain_depth(FUNCTIONS, "program", depths) == 64 + 32 + 32
    assert chain_depth(FUNCTIONS, "program", depths | {"flat": 65}) == 64 + 96


def test_the_verifiers_figures_are_those_of_the_functions_in_the_order_of_the_calls() -> None:
    """libbpf puts a function where it is first called, and behind it what that one calls."""
    assert verified_depth(FUNCTIONS, "program", [33, 0, 32, 65]) == 64 + 96
    assert verified_depth(FUNCTIONS, "program", [33, 0, 96, 65]) == 64 + 32 + 96


def test_a_function_that_the_verifier_dropped_does_not_hide_another() -> None:
    """Where it cannot be known whose figures they are, all are summed."""
    assert verified_depth(FUNCTIONS, "program", [33, 0, 32]) == 64 + 32 + 32
