"""What slots ask for as bits: the record classes by their numbers, and what is no record behind them."""

from __future__ import annotations

from podcorder_agent.classes import CLASS_NAMES

NUMBERS = {name: number for number, name in enumerate(CLASS_NAMES)}
ENDINGS = "endings"
"""That sessions are ended when the recorder fails."""
ENDINGS_BIT = 1 << len(CLASS_NAMES)


def event_bits(names: list[str]) -> int:
    """One bit for each class, as `struct slot.events` has it."""
    return sum(1 << NUMBERS[name] for name in set(names))


def wanted_names(bits: int) -> set[str]:
    """The classes that bits stand for, and ENDINGS."""
    return {name for number, name in enumerate((*CLASS_NAMES, ENDINGS)) if bits >> number & 1}
