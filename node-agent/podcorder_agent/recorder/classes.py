"""The record classes of bpf/record.h by name: the privileged half needs their numbers, never their layout."""

from __future__ import annotations

from podcorder_agent.control.messages import EVENT_CLASSES

CLASSES = (*EVENT_CLASSES, "cgroup")
"""In the order of `enum record_class`."""

NUMBERS = {name: number for number, name in enumerate(CLASSES)}
LOSS_REASON_COUNT = 6


def event_bits(names: list[str]) -> int:
    """One bit for each class, as `struct slot.events` has it."""
    return sum(1 << NUMBERS[name] for name in set(names))
