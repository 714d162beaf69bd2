"""Which slot of the kernel's each combination of policies has. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

from podcorder_agent.cluster.matching import Combination, PolicyKey
from podcorder_crds import SessionKind

MOST_SLOTS = 62


class Slots:
    """A combination keeps its slot for as long as it is wanted. Where there are more than slots, the rarest share the
    last one, which records what any of them asks for: never less."""

    def __init__(self) -> None:
        self._own: dict[Combination, int] = {}
        self._free: deque[int] = deque(range(MOST_SLOTS - 1))
        """The one that was given back last comes last: records on their way may still bear its number."""
        self._last: deque[int] = deque([MOST_SLOTS - 1])

    def adopt(self, combination: Combination, slot: int) -> None:
        """A combination has this slot already, from before a restart."""
        free = self._last if slot in self._last else self._free
        if slot in free and combination not in self._own:
            free.remove(slot)
            self._own[combination] = slot

    def assign(self, wanted: Mapping[Combination, int]) -> dict[Combination, int]:
        """The slot of each combination that is wanted, given how many containers it has."""
        for gone in [each for each in self._own if each not in wanted]:
            self._release(gone)
        crowded = len(wanted) > MOST_SLOTS
        order = sorted(wanted, key=lambda each: (-wanted[each], each not in self._own, each))
        alone = order[: MOST_SLOTS - 1] if crowded else order
        shared = order[len(alone) :]
        for each in [*shared, *(each for each in alone if crowded and self._own.get(each) == MOST_SLOTS - 1)]:
            self._release(each)
        for each in alone:
            if each not in self._own:
                self._own[each] = self._free.popleft() if self._free else self._last.popleft()
        return {each: self._own[each] for each in alone} | dict.fromkeys(shared, MOST_SLOTS - 1)

    def _release(self, combination: Combination) -> None:
        slot = self._own.pop(combination, None)
        if slot is not None:
            (self._last if slot == MOST_SLOTS - 1 else self._free).append(slot)


def merge(combinations: Collection[Combination]) -> Combination:
    """What records all that one of them records."""
    merged: dict[SessionKind, set[PolicyKey]] = {}
    for combination in combinations:
        for kind, keys in combination:
            merged.setdefault(kind, set()).update(keys)
    return tuple(sorted((kind, tuple(sorted(keys))) for kind, keys in merged.items()))
