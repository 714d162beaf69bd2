"""The record classes as bits and numbers: the privileged half needs no more of them."""

from __future__ import annotations

from podcorder_agent.classes import CLASS_NAMES

NUMBERS = {name: number for number, name in enumerate(CLASS_NAMES)}


def event_bits(names: list[str]) -> int:
    """One bit for each class, as `struct slot.events` has it."""
    return sum(1 << NUMBERS[name] for name in set(names))
