"""Nothing lost goes unsaid, and nothing is said twice."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.journals import ANCHOR, SECOND, record_exec, record_open, ring

from podcorder_agent.classes import CLASS_NAMES
from podcorder_agent.interpreter import Interpreter, events
from podcorder_agent.interpreter.gaps import Account
from podcorder_agent.journal import FrameKind


def summary(found: list[Any]) -> list[tuple[str | None, str | None, int | None]]:
    return [(each.record_class, each.reason, each.count) for each in found if isinstance(each, events.RecordingGap)]


def test_each_rise_of_a_loss_counter_is_a_gap(feed: Any) -> None:
    """By class and reason, between the counters before and these."""
    feed.note("started", capabilities={})
    assert feed.count(open=5) == []
    before = feed.time
    found = feed.count(open=9, exec=2, lost={("open", "ring_full"): 3, ("exec", "throttled"): 1}, skipped={"fork": 2})
    assert summary(found) == [("exec", "throttled", 1), ("fork", "skipped", 2), ("open", "ring_full", 3)]
    assert all((each.first, each.last) == (before + ANCHOR, feed.time + ANCHOR) for each in found)
    assert feed.count(open=9, lost={("open", "ring_full"): 3, ("exec", "throttled"): 1}, skipped={"fork": 2}) == []
    assert summary(feed.count(open=9, lost={("open", "ring_full"): 4})) == [("open", "ring_full", 1)]
    assert len({each.id for each in feed.all(events.RecordingGap)}) == 4


def test_the_law_holds_at_the_end(feed: Any) -> None:
    """generated = seen + lost: no gap remains to be explained."""
    feed.note("started", capabilities={})
    for _ in range(5):
        feed.record(record_open)
    feed.count(open=7, lost={("open", "ring_full"): 2}, skipped={"open": 4})
    assert summary(feed.note("stopped", unpinned=True)) == []


def test_what_is_missing_without_explanation_is_a_gap(feed: Any) -> None:
    """The safety net: the final counters know of records that neither came nor were counted as lost."""
    feed.note("started", capabilities={})
    feed.record(record_open)
    feed.record(record_exec, b"sh")
    feed.count(open=4, exec=1, lost={("open", "ring_full"): 1})
    assert summary(feed.note("stopped", unpinned=True)) == [("open", "unexplained", 2)]


def test_repeats_do_not_hide_what_is_missing(feed: Any) -> None:
    """The same bytes journaled twice count once."""
    feed.note("started", capabilities={})
    payload = ring(record_open(sequence=1))
    feed.frame(FrameKind.RECORDS, payload)
    feed.frame(FrameKind.RECORDS, payload)
    feed.count(open=2)
    assert summary(feed.note("stopped", unpinned=True)) == [("open", "unexplained", 1)]


def test_an_undecodable_record_is_explained(feed: Any) -> None:
    """It has its own gap, and is not missing besides."""
    feed.note("started", capabilities={})
    found = feed.records(record_open(sequence=1, version=9), record_open(sequence=2)[:-2])
    assert summary(found) == [("open", "undecodable", 2)]
    feed.count(open=2)
    assert summary(feed.note("stopped", unpinned=True)) == []


@pytest.mark.parametrize("pinned", [True, False])
def test_a_stop_is_no_gap_and_a_sudden_end_is_one(feed: Any, pinned: bool) -> None:
    """A load that ends without its closing note may have lost anything."""
    feed.note("started", capabilities={})
    feed.note("stopped", unpinned=not pinned)
    last = feed.time
    feed.turn(generation=5, created_ns=ANCHOR + 500 * SECOND)
    found = feed.note("started", capabilities={})
    assert summary(found) == ([(None, "power_loss", None)] if pinned else [])
    if pinned:
        assert (found[0].first, found[0].last) == (last + ANCHOR, ANCHOR + 500 * SECOND)


def test_a_recorder_that_resumes_is_no_gap(feed: Any) -> None:
    """Pinned programs went on without it."""
    feed.note("started", capabilities={})
    feed.note("stopped", unpinned=False)
    feed.turn()
    assert feed.note("resumed", capabilities={}) == []


def dropped(segment: int, opens: int, execs: int = 0, **more: Any) -> dict[str, Any]:
    classes = [0] * len(CLASS_NAMES)
    classes[CLASS_NAMES.index("open")], classes[CLASS_NAMES.index("exec")] = opens, execs
    times = {"first": 50 * SECOND, "last": 60 * SECOND}
    return {"segment": segment, "segments": 1, "classes": classes, "requests": 0, "rejected": 0, **times, **more}


def test_a_dropped_segment_is_a_gap(feed: Any) -> None:
    """By class, between the times of its records; the law holds in the end."""
    feed.note("started", capabilities={})
    feed.turn()
    feed.turn()
    found = feed.note("dropped", **dropped(2, 9, 2, rejected=1))
    assert summary(found) == [
        ("exec", "journal_dropped", 2),
        ("open", "journal_dropped", 9),
        (None, "journal_dropped", None),
    ]
    assert (found[0].first, found[0].last) == (ANCHOR + 50 * SECOND, ANCHOR + 60 * SECOND)
    feed.count(open=9, exec=2)
    assert summary(feed.note("stopped", unpinned=True)) == []


def test_what_was_read_before_it_was_dropped_is_not_lost(feed: Any) -> None:
    """The note counts what nobody had acknowledged, which may be on its way already."""
    feed.record(record_open)
    feed.record(record_open)
    feed.turn()
    feed.record(record_open)
    assert feed.note("dropped", **dropped(1, 1)) == []


def test_what_was_not_read_behind_a_checkpoint_is_lost(feed: Any) -> None:
    """The checkpoint stood within the segment, and the rest of it went before the next start."""
    feed.record(record_open)
    feed.interpreter = Interpreter.restore(feed.interpreter.snapshot())
    feed.turn()
    assert summary(feed.note("dropped", **dropped(1, 5))) == [("open", "journal_dropped", 5)]


def test_a_note_told_again_by_another_is_one_gap(feed: Any) -> None:
    """A segment that holds a `dropped` note may go as well; its own note then tells of both."""
    feed.turn()
    assert summary(feed.note("dropped", **dropped(1, 5))) == [("open", "journal_dropped", 5)]
    feed.record(record_open)
    feed.turn()
    assert feed.note("dropped", **dropped(2, 6, segments=2)) == []


def test_lost_requests_are_a_finding(feed: Any) -> None:
    """Names and policies may be missing after it."""
    (found,) = feed.note("dropped", **dropped(1, 0, requests=2))
    assert isinstance(found, events.Finding)


def test_a_journal_read_from_its_middle_misses_nothing(feed: Any) -> None:
    """What acknowledged segments held is not lost: without the `started` note nothing is unexplained."""
    feed.record(record_open)
    feed.count(open=1000)
    assert summary(feed.note("stopped", unpinned=True)) == []


def test_an_older_recorder_counts_fewer_classes(feed: Any) -> None:
    """Its counters, notes and checkpoints are read as if it had seen nothing of the newer ones."""
    feed.note("started", capabilities={})
    feed.record(record_open)
    counters = {"generated": [0, 0, 0, 0, 4], "lost": [[0], [0], [0], [0], [1]], "skipped": [0, 0, 0, 0, 0]}
    assert summary(feed.told(FrameKind.COUNTERS, counters)) == [("open", "ring_full", 1)]
    account = feed.interpreter.account
    assert Account.restore(account.snapshot()) == account
    older = [each[:5] if isinstance(each, list) else each for each in account.snapshot()]
    assert Account.restore(older) == account
    assert summary(feed.note("dropped", **dropped(7, 1) | {"classes": [0, 0, 0, 0, 1]})) == [
        ("open", "journal_dropped", 1)
    ]
    assert summary(feed.note("stopped", unpinned=True)) == [("open", "unexplained", 1)]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"null",
        b'{"generated": 3}',
        b'{"generated": [], "lost": [], "skipped": []}',
        b'{"generated": [true,0,0,0,0,0,0,0,0,0,0], "lost": [[],[],[],[],[],[],[],[],[],[],[]], "skipped": [0,0,0,0]}',
        b'{"generated": [1e999,0,0,0,0,0,0,0,0,0,0], "lost": 0, "skipped": {}}',
    ],
)
def test_counters_that_cannot_be_read_are_counted(feed: Any, payload: bytes) -> None:
    """They become a gap of their own and change no figure."""
    assert summary(feed.frame(FrameKind.COUNTERS, payload)) == [(None, "undecodable", 1)]
    assert feed.interpreter.undecodable == 1


@pytest.mark.parametrize("state", [None, [], {}, {"version": 2}, {"version": 1}, {"version": 1, "boot_id": "x"}])
def test_a_state_that_cannot_be_read_is_a_gap(feed: Any, state: object) -> None:
    """It is dropped and said so, never guessed."""
    feed.interpreter = Interpreter.restore(state)
    assert summary(feed.record(record_open)) == [(None, "state_unreadable", None)]
    assert summary(feed.record(record_open)) == []


def test_capabilities_that_are_not_as_they_should_be_are_findings(feed: Any) -> None:
    """Once for each change."""
    degraded = {
        "files": {"state": "Degraded", "rung": "x", "reason": "no compat calls"},
        "process": {"state": "Active"},
    }
    (found,) = feed.note("started", capabilities=degraded)
    assert (found.subject, "no compat calls" in found.message) == ("files", True)
    assert feed.note("resumed", capabilities=degraded) == []
    assert len(feed.note("capabilities", capabilities={"files": {"state": "Failed", "reason": "gone"}})) == 1


def test_a_bad_redaction_pattern_is_a_finding(feed: Any) -> None:
    """The slot works, and lets no argument through."""
    settings = {"events": ["exec"], "redaction": {"defaults": True, "patterns": ["(", r"pin:(\S+)"]}}
    (found,) = feed.request("configure", slot=2, settings=settings)
    assert isinstance(found, events.Finding)
    *_, event = feed.record(record_exec, b"app", b"pin:1", slot=2)
    assert event.arguments == [b"[redacted]", b"[redacted]"]
    assert event.redacted == 2
