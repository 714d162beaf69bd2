"""Repeats are dropped exactly, in whatever order ids arrive."""

from __future__ import annotations

from typing import Any

from fixtures.journals import GENERATION, record_cgroup, record_open, ring
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.interpreter.events import FileOpen
from podcorder_agent.interpreter.sequences import LEVEL_SHIFT, MOST_HOLES, Sequence, Sequences


@given(st.lists(st.integers(0, 60), max_size=80))
def test_an_id_is_admitted_once(ids: list[int]) -> None:
    """Of every id the first one counts and the others do not; 0 is no id."""
    sequence, known = Sequence("x."), {0}
    for each in ids:
        assert sequence.admit(each) is (each not in known)
        known.add(each)


@given(st.lists(st.integers(1, 60), max_size=40), st.lists(st.integers(1, 60), max_size=40))
def test_a_snapshot_remembers_them_all(before: list[int], after: list[int]) -> None:
    """Going on from a snapshot is going on."""
    sequences = Sequences(7)
    for each in before:
        sequences[3].admit(each)
    again = Sequences.restore(7, sequences.snapshot())
    assert again[3].prefix == sequences[3].prefix
    assert [again[3].admit(each) for each in after] == [sequences[3].admit(each) for each in after]


def test_holes_are_bounded() -> None:
    """A CPU that loses every other record for ever does not grow, and what is new is still admitted."""
    sequence = Sequence("x.")
    for each in range(2, 20 * MOST_HOLES, 2):
        assert sequence.admit(each)
    assert len(sequence.holes) <= MOST_HOLES
    assert sequence.admit(sequence.high - 1)
    assert not sequence.admit(1)


def test_levels_of_a_cpu_do_not_stand_in_for_each_other(feed: Any) -> None:
    """Programs without an atomic addition that hands back number by level: each level has its own holes and repeats."""
    base = 17 << LEVEL_SHIFT
    ids = [1, base + 1, 2, (18 << LEVEL_SHIFT) + 1, base + 3, 3, base + 2]
    events = feed.frame(1, ring(*(record_open(sequence=each) for each in ids * 2)))
    opened = [each.id for each in events if isinstance(each, FileOpen)]
    assert [int(each.rpartition(".")[2]) for each in opened] == ids
    assert feed.interpreter.duplicates == len(ids)
    known = feed.interpreter.sequences[GENERATION]
    assert [each.holes for each in known.values()] == [[]] * 3
    assert {each.prefix for each in known.values()} == {f"{GENERATION:016x}.0."}
    assert Sequences.restore(GENERATION, known.snapshot()).snapshot() == known.snapshot()


def test_a_whole_lifecycle_ring_may_come_first(feed: Any) -> None:
    """Cgroups are drained before the events between them: however many they are, no event is taken for a repeat."""
    cgroups = 256 * 1024 // 136
    known = feed.interpreter.sequences[GENERATION] = Sequences(GENERATION)
    for each in range(2, 4 * MOST_HOLES, 2):  # what was lost before must not count against them
        known[0].admit(each)
    start = 4 * MOST_HOLES
    made = [record_cgroup(sequence=start + 2 * each + 1) for each in range(cgroups)]
    between = [record_open(sequence=start + 2 * each) for each in range(cgroups)]
    feed.frame(2, ring(*made))
    opened = [each for each in feed.frame(1, ring(*between)) if isinstance(each, FileOpen)]
    assert len(opened) == cgroups
    assert feed.interpreter.duplicates == 0


def test_the_same_bytes_twice_are_one_record(feed: Any) -> None:
    """After a crash the ring's bytes may be journaled again."""
    payload = ring(*(record_open(sequence=each, cpu=each % 2) for each in (1, 3, 2, 4, 6)))
    first = feed.frame(1, payload)
    assert len(first) == 6
    assert feed.frame(1, payload) == []
    assert feed.interpreter.duplicates == 5
    assert len({each.id for each in first}) == 6


def test_another_load_counts_anew(feed: Any) -> None:
    """Ids belong to a load generation."""
    feed.record(record_open)
    feed.turn(generation=5)
    found = feed.records(record_open(sequence=1))
    assert [each.id for each in found if each.NAME == "podcorder.file.open"] == ["0000000000000005.0.1"]
