"""Which records were seen: an id is (load generation, CPU, sequence), and the same bytes may be journaled twice.

Ids of a CPU need not arrive sorted: a program that interrupts another finishes first, and a whole lifecycle ring is
drained before the events that came between its records. So a CPU keeps its highest id and the ranges below it that are
still missing. Lost records leave their ranges missing for good, so the ranges are bounded; the oldest are given up, and
an id out of one given up counts as a repeat.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

MOST_HOLES = 4096
"""Half of them are kept when it is too many: more than the records that a lifecycle ring holds (256 KiB, 136 bytes)."""


class Sequence:
    """The ids of one CPU in one load generation."""

    __slots__ = ("high", "holes", "prefix")

    def __init__(self, prefix: str, high: int = 0, holes: list[list[int]] | None = None) -> None:
        self.prefix = prefix
        """What a record's id begins with."""
        self.high = high
        self.holes: list[list[int]] = holes if holes is not None else []
        """Missing ids below `high`: [first, last], ascending, disjoint."""

    def admit(self, sequence: int) -> bool:
        """Note an id; False for one that was seen before, and for 0, which is none."""
        if sequence > self.high:
            if sequence > self.high + 1:
                self.holes.append([self.high + 1, sequence - 1])
                if len(self.holes) > MOST_HOLES:
                    del self.holes[: -MOST_HOLES // 2]
            self.high = sequence
            return True
        index = bisect_right(self.holes, sequence, key=lambda hole: hole[0]) - 1
        if index < 0 or sequence > self.holes[index][1]:
            return False
        first, last = self.holes[index]
        self.holes[index : index + 1] = [
            [low, high] for low, high in ((first, sequence - 1), (sequence + 1, last)) if low <= high
        ]
        return True

    def snapshot(self) -> list[Any]:
        return [self.high, [list(each) for each in self.holes]]


class Sequences(dict[int, Sequence]):
    """The CPUs of one load generation; a CPU not met before begins."""

    def __init__(self, generation: int) -> None:
        super().__init__()
        self.generation = generation

    def __missing__(self, cpu: int) -> Sequence:
        made = self[cpu] = Sequence(f"{self.generation:016x}.{cpu}.")
        return made

    def snapshot(self) -> list[Any]:
        return [[cpu, *each.snapshot()] for cpu, each in self.items()]

    @classmethod
    def restore(cls, generation: int, saved: list[Any]) -> Sequences:
        made = cls(generation)
        for cpu, high, holes in saved:
            made[int(cpu)] = Sequence(f"{generation:016x}.{int(cpu)}.", int(high), [[int(a), int(b)] for a, b in holes])
        return made
