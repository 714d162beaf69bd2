"""Slots: stable, and never less recorded where there are too few."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.cluster.matching import Combination
from podcorder_agent.cluster.slots import MOST_SLOTS, Slots, merge
from podcorder_crds import SessionKind


def make_combination(number: int) -> Combination:
    return ((SessionKind.EXEC, (("SessionRecordingPolicy", "shop", f"policy-{number:03}"),)),)


wanted = st.dictionaries(st.integers(0, 120).map(make_combination), st.integers(1, 9), max_size=100)


@given(st.lists(wanted, max_size=6))
def test_every_combination_has_a_slot(history: list[dict[Combination, int]]) -> None:
    """At any time each has one of 62, alone in it but for those that share the last."""
    slots = Slots()
    for each in history:
        assigned = slots.assign(each)
        assert assigned.keys() == each.keys()
        assert set(assigned.values()) <= set(range(MOST_SLOTS))
        alone = [slot for slot in assigned.values() if slot != MOST_SLOTS - 1]
        assert len(alone) == len(set(alone))
        assert len(each) > MOST_SLOTS or len(set(assigned.values())) == len(each)


@given(wanted, wanted)
def test_what_stays_wanted_keeps_its_slot(before: dict[Combination, int], after: dict[Combination, int]) -> None:
    """Where there are slots enough, others that come and go move nobody."""
    slots = Slots()
    first, second = slots.assign(dict(list(before.items())[:60])), slots.assign(dict(list(after.items())[:60]))
    assert all(second[each] == slot for each, slot in first.items() if each in second)


def test_the_rarest_share() -> None:
    """Of more combinations than slots those with the fewest containers share the last slot."""
    combinations = {make_combination(each): 100 - each for each in range(MOST_SLOTS + 3)}
    assigned = Slots().assign(combinations)
    shared = [each for each, slot in assigned.items() if slot == MOST_SLOTS - 1]
    assert shared == [make_combination(each) for each in range(MOST_SLOTS - 1, MOST_SLOTS + 3)]


def test_a_slot_given_back_rests() -> None:
    """The slot that was given back last is taken last."""
    slots = Slots()
    (first,) = slots.assign({make_combination(0): 1}).values()
    taken = [*slots.assign({make_combination(each): 1 for each in range(1, MOST_SLOTS - 1)}).values()]
    assert first not in taken


def test_a_slot_is_adopted() -> None:
    """What was in a slot before a restart stays in it."""
    slots = Slots()
    slots.adopt(make_combination(1), 7)
    slots.adopt(make_combination(2), 7)
    assigned = slots.assign({make_combination(1): 1, make_combination(2): 1})
    assert assigned[make_combination(1)] == 7
    assert assigned[make_combination(2)] != 7


@given(st.lists(st.integers(0, 9).map(make_combination), min_size=1))
def test_merged_has_all_policies(combinations: list[Combination]) -> None:
    """A merged combination has for each kind the policies of all."""
    merged = dict(merge(combinations))
    assert set(merged[SessionKind.EXEC]) == {key for each in combinations for key in dict(each)[SessionKind.EXEC]}
