"""The law, kept in figures: generated = seen + counted lost, per class, for each load of the programs.

The kernel counts what it generated and what it lost; each rise of a loss counter becomes a gap. `skipped` runs are
those the kernel did not start, so the programs could not count them as generated: they are lost on top of it. What
is still missing when the final counters are known is a gap without an explanation, never silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import add
from typing import Any

from podcorder_agent.classes import CLASS_COUNT, CLASS_NAMES, REASON_NAMES
from podcorder_agent.interpreter.events import RecordingGap

MOST_SEGMENTS = 256
"""Segments whose records are counted one by one, for the case that one is dropped."""
MOST_COUNT = 1 << 64


def _zeros() -> list[int]:
    return [0] * CLASS_COUNT


def read_counts(value: object, length: int) -> list[int] | None:
    """A list of counters as one of `length`, None for anything else; what an older recorder did not know is 0."""
    if not isinstance(value, list) or not value:
        return None
    counts = value[:length] + [0] * (length - len(value))
    return counts if all(type(each) is int and 0 <= each < MOST_COUNT for each in counts) else None


def read_losses(value: object) -> list[list[int]] | None:
    """Counters by class and reason, in the same way."""
    if not isinstance(value, list) or not value:
        return None
    rows = value[:CLASS_COUNT] + [[0]] * (CLASS_COUNT - len(value))
    losses = [row for each in rows if (row := read_counts(each, len(REASON_NAMES))) is not None]
    return losses if len(losses) == CLASS_COUNT else None


@dataclass(slots=True)
class Account:
    """The figures of one load generation; times are boot times in ns, gaps carry Unix time."""

    generation: int
    complete: bool = False
    """Whether it was seen from its `started` note on: only then can anything be missing at the end."""
    closed: bool = False
    """Whether the closing note of unpinned programs was seen."""
    seen: list[int] = field(default_factory=_zeros)
    """Records by class, repeats left out, undecodable ones with a known class included."""
    dropped: list[int] = field(default_factory=_zeros)
    """Records by class that went with unsent segments."""
    generated: list[int] = field(default_factory=_zeros)
    lost: list[list[int]] = field(default_factory=lambda: [[0] * len(REASON_NAMES) for _ in CLASS_NAMES])
    skipped: list[int] = field(default_factory=_zeros)
    counted: int | None = None
    """Time of the last counters."""
    last: int = 0
    """Time of the last frame."""
    anchor: int = 0

    def add_seen(self, counts: list[int]) -> None:
        self.seen = list(map(add, self.seen, counts))

    def count(self, counters: dict[str, Any], time: int) -> list[RecordingGap] | None:
        """Take over the counters of a frame; a gap for every rise of a loss, None where they cannot be read."""
        generated = read_counts(counters.get("generated"), CLASS_COUNT)
        skipped = read_counts(counters.get("skipped"), CLASS_COUNT)
        lost = read_losses(counters.get("lost"))
        if generated is None or skipped is None or lost is None:
            return None
        gaps = []
        for index, name in enumerate(CLASS_NAMES):
            for reason, before, now in zip(REASON_NAMES, self.lost[index], lost[index], strict=True):
                if now > before:
                    gaps.append(self._gap(name, reason, before, now, time))
            if skipped[index] > self.skipped[index]:
                gaps.append(self._gap(name, "skipped", self.skipped[index], skipped[index], time))
            self.lost[index] = list(map(max, self.lost[index], lost[index]))
        self.skipped = list(map(max, self.skipped, skipped))
        self.generated = list(map(max, self.generated, generated))
        self.counted = time
        return gaps

    def settle(self, time: int) -> list[RecordingGap]:
        """The closing note came, the counters are final: what neither arrived nor was counted."""
        self.closed = True
        if not self.complete or self.counted is None:
            return []
        gaps = []
        for index, name in enumerate(CLASS_NAMES):
            missing = self.generated[index] - self.seen[index] - sum(self.lost[index]) - self.dropped[index]
            if missing > 0:
                identity = f"gap.{self.generation:016x}.{name}.unexplained"
                gaps.append(RecordingGap(identity, time + self.anchor))
                gaps[-1].record_class, gaps[-1].reason, gaps[-1].count = name, "unexplained", missing
                gaps[-1].last = time + self.anchor
        return gaps

    def abandon(self, until: int) -> RecordingGap:
        """Another generation began without this one's closing note; `until` is Unix time."""
        gap = RecordingGap(f"gap.{self.generation:016x}.power_loss", until)
        gap.reason, gap.first = "power_loss", self.last + self.anchor
        gap.last = max(until, gap.first)
        return gap

    def _gap(self, name: str, reason: str, before: int, now: int, time: int) -> RecordingGap:
        gap = RecordingGap(f"gap.{self.generation:016x}.{name}.{reason}.{before}-{now}", time + self.anchor)
        gap.record_class, gap.reason, gap.count = name, reason, now - before
        gap.first = None if self.counted is None else self.counted + self.anchor
        gap.last = time + self.anchor
        return gap

    def snapshot(self) -> list[Any]:
        return [
            *(self.generation, self.complete, self.closed, self.seen[:], self.dropped[:], self.generated[:]),
            *([each[:] for each in self.lost], self.skipped[:], self.counted, self.last, self.anchor),
        ]

    @classmethod
    def restore(cls, saved: list[Any]) -> Account:
        """ValueError where the figures cannot be read; those of an older version may know fewer classes."""
        generation, complete, closed, *figures, rows, skips, counted, last, anchor = saved
        seen, dropped, generated, skipped = (read_counts(each, CLASS_COUNT) for each in (*figures, skips))
        lost = read_losses(rows)
        if seen is None or dropped is None or generated is None or skipped is None or lost is None:
            raise ValueError("the figures of the account cannot be read")
        return cls(generation, complete, closed, seen, dropped, generated, lost, skipped, counted, last, anchor)


class Segments:
    """What is known of the records of each of the last segments: what is lost with a dropped one is the rest.

    A segment that is being read stays readable to its end, so a running interpreter has seen all of it or nothing. What
    was seen of a checkpoint's own segment is not kept with the checkpoint: it is acknowledged, and in no later note.
    """

    def __init__(self) -> None:
        self.known: dict[int, list[int]] = {}
        """By segment: records seen, and those that a `dropped` note in it told of."""

    def add(self, index: int, counts: list[int]) -> None:
        known = self.known.get(index)
        self.known[index] = counts if known is None else list(map(add, known, counts))
        if len(self.known) > MOST_SEGMENTS:
            del self.known[next(iter(self.known))]

    def report_dropped(
        self, note: dict[str, Any], index: int, account: Account, time: int
    ) -> list[RecordingGap] | None:
        """The gaps of a `dropped` note that stands in segment `index`; None where it cannot be read."""
        segment, rejected = note.get("segment"), note.get("rejected", 0)
        counts = read_counts(note.get("classes"), CLASS_COUNT)
        if type(segment) is not int or type(rejected) is not int or counts is None:
            return None
        known = self.known.pop(segment, None) or _zeros()
        missing = [max(0, count - each) for count, each in zip(counts, known, strict=True)]
        account.dropped = list(map(add, account.dropped, missing))
        self.add(index, counts)  # where this segment goes too, its note tells of them again
        gaps: list[RecordingGap] = []
        for name, count in [*zip(CLASS_NAMES, missing, strict=True), (None, rejected)]:
            if count > 0:
                gap = RecordingGap(f"gap.dropped.{account.generation:016x}.{segment}.{name}", time + account.anchor)
                gap.record_class, gap.reason, gap.count = name, "journal_dropped", count if name else None
                gap.first, gap.last = (
                    value + account.anchor if type(value) is int and 0 <= value < MOST_COUNT else None
                    for value in (note.get("first"), note.get("last"))
                )
                gaps.append(gap)
        return gaps
