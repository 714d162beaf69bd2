"""Whether what the node records is kept."""

from __future__ import annotations

import json

from fixtures.healths import make_health

from podcorder_agent.classes import CLASS_COUNT, RecordClass
from podcorder_agent.cluster.losses import LATELY_SECONDS, Losses
from podcorder_crds import EventClass


def test_a_class_is_being_lost_until_it_was_kept_for_a_while() -> None:
    """Whatever was lost before is no loss of now; of what the kernel skipped nobody knows more than that it is lost."""
    losses = Losses()
    losses.note_health(make_health(open=5), 100.0)
    assert losses.find_losing(100.0) == ()
    losses.note_health(make_health(open=6, exec_failed=1, skipped=1), 105.0)
    lost = EventClass.EXEC_FAILED, EventClass.OPEN, EventClass.CONNECT
    assert losses.find_losing(105.0) == lost
    losses.note_health(make_health(open=7, exec_failed=1, skipped=1), 110.0)
    assert losses.find_losing(105.0 + LATELY_SECONDS) == (EventClass.OPEN,)
    assert losses.find_losing(110.0 + LATELY_SECONDS) == ()


def test_a_recorder_that_begins_anew_counts_anew() -> None:
    """Its first word is not held against the last of the one before."""
    losses = Losses()
    losses.note_health(make_health(open=5), 100.0)
    losses.forget()
    losses.note_health(make_health(open=6), 105.0)
    assert losses.find_losing(105.0) == ()


def test_a_journal_is_full_when_nothing_fits_or_nearly_all_waits() -> None:
    """The disk's end counts as much as the cap: at either the next records are lost."""
    losses = Losses()
    for health, full in (
        (make_health(undelivered=940), False),
        (make_health(undelivered=960), True),
        (make_health(full=True), True),
        ({"counters": {}, "journal": {}}, False),
    ):
        losses.note_health(health, 1.0)
        assert losses.is_full() is full


def test_what_went_unsent_with_a_segment_is_lost() -> None:
    """By class, as the journal's note says; segments that were delivered tell of nothing, other notes neither."""
    losses = Losses()
    counts = [0] * CLASS_COUNT
    for note in ({"note": "dropped", "classes": counts}, {"note": "started"}, {"note": "dropped"}):
        losses.note_journal(json.dumps(note, separators=(",", ":")).encode(), 1.0)
    assert losses.find_losing(1.0) == ()
    counts[RecordClass.EXIT] = counts[RecordClass.CGROUP] = 3
    note = {"note": "dropped", "classes": counts}
    losses.note_journal(json.dumps(note, separators=(",", ":")).encode(), 1.0)
    assert losses.find_losing(1.0) == (EventClass.EXIT,)
