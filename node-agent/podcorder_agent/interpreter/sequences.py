"""Which records were seen: an id is (load generation, CPU, sequence), and the same bytes may be journaled twice.

Ids of a CPU need not arrive sorted: a program that interrupts another finishes first, and a whole lifecycle ring is
drained before the events that came between its records. So a CPU keeps its highest id and the ranges below it that are
still missing. Lost records leave their ranges missing for good, so the ranges are bounded; the oldest are given up, and
an id out of one given up counts as a repeat.

The upper byte of a sequence (NUMBER_LEVEL_SHIFT of bpf/record.h) names the count that it is of: a CPU may have several.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

MOST_HOLES = 4096
"""Half of them are kept when it is too many: more than the records that a lifecycle ring holds (256 KiB, 136 bytes)."""


LEVEL_SHIFT = 56
CPU_BITS = 16
_CPU_MASK = (1 << CPU_BITS) - 1


class Sequence:
    """The ids of one count of one CPU in one load generation."""

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
    """The counts of one load generation, by `sequence >> LEVEL_SHIFT << CPU_BITS | cpu`; one not met before begins."""

    def __init__(self, generation: int) -> None:
        super().__init__()
        self.generation = generation

    def __missing__(self, count: int) -> Sequence:
        made = self[count] = Sequence(self._prefix(count), count >> CPU_BITS << LEVEL_SHIFT)
        return made

    def _prefix(self, count: int) -> str:
        return f"{self.generation:016x}.{count & _CPU_MASK}."

    def snapshot(self) -> list[Any]:
        return [[count, *each.snapshot()] for count, each in self.items()]

    @classmethod
    def restore(cls, generation: int, saved: list[Any]) -> Sequences:
        made = cls(generation)
        for count, high, holes in saved:
            made[int(count)] = Sequence(made._prefix(int(count)), int(high), [[int(a), int(b)] for a, b in holes])
        return made
