"""What becomes of a record of a session follows from what it says and from the time alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fixtures.session_records import (
    make_condition,
    make_ended,
    make_never_started,
    make_running,
    make_session,
    write_time,
)
from hypothesis import given
from hypothesis import strategies as st

from podcorder_crds import RecordedSessionStatus
from podcorder_operator.metadata import read_conditions
from podcorder_operator.records import SILENCE, Reason, Record, find_reason, find_surplus, make_end, read_record

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def read(status: Any = None, *, created: datetime = NOW - DAY, now: datetime = NOW) -> Record:
    metadata = {"namespace": "shop", "name": "exec-1", "uid": "1", "resourceVersion": "2"}
    raw = {"metadata": metadata | {"creationTimestamp": write_time(created)}, "spec": make_session("node-1")}
    return read_record(raw if status is None else raw | {"status": status}, now)


@pytest.mark.parametrize(
    "status", [None, {}, {"conditions": []}, make_running(NOW - HOUR), {"endTime": write_time(NOW)}]
)
def test_what_may_be_running(status: Any) -> None:
    """Where nobody has said that a session has ended or never started, it may be running."""
    assert read(status).over is None


@pytest.mark.parametrize(
    ("status", "over"),
    [
        (make_ended(NOW - 9 * HOUR, NOW - HOUR), NOW - HOUR),
        (make_never_started(NOW - 2 * HOUR), NOW - 2 * HOUR),
        ({"conditions": [make_condition("Ended", "Unknown", "NodeGone", NOW - HOUR)]}, NOW - HOUR),
    ],
)
def test_what_is_over(status: Any, over: datetime) -> None:
    """A session is over when it has ended, never started, or nobody can tell of its end any more."""
    assert read(status).over == over


@pytest.mark.parametrize("wrong", [NOW - 400 * DAY, NOW + 400 * DAY])
def test_no_agent_shortens_or_lengthens_a_records_life(wrong: datetime) -> None:
    """An end before the record was made, or in times to come, counts as the time at which it was made."""
    assert read(make_ended(wrong, wrong)).over == NOW - DAY


@pytest.mark.parametrize("wrong", ["", "yesterday", 5, None, "2026-11-22T12:00:00"])
def test_a_time_that_is_none(wrong: Any) -> None:
    """What cannot be read as a time is taken for the time at which the record was made."""
    status = {"conditions": [{"type": "Ended", "status": "True", "lastTransitionTime": wrong}], "endTime": wrong}
    assert read(status).over == NOW - DAY


def test_when_nobody_can_tell() -> None:
    """A session whose node is gone, or of which its agent has said nothing for a day, ends without a known end."""
    running, unreported = read(make_running(NOW - HOUR)), read(created=NOW - SILENCE)
    assert find_reason(running, NOW, node_gone=False) is None
    assert find_reason(running, NOW + 400 * DAY, node_gone=False) is None
    assert find_reason(running, NOW, node_gone=True) is Reason.NODE_GONE
    assert find_reason(unreported, NOW, node_gone=False) is None
    assert find_reason(unreported, NOW + HOUR, node_gone=False) is Reason.AGENT_SILENT
    assert find_reason(read(make_ended(NOW - HOUR, NOW)), NOW, node_gone=True) is None


@pytest.mark.parametrize("reason", Reason)
def test_what_is_said_of_an_unknown_end(reason: Reason) -> None:
    """Ended and Complete become Unknown, in words that the contract takes; what else was said stays."""
    record = read(make_running(NOW - HOUR))
    conditions = make_end(record, reason, NOW)
    RecordedSessionStatus.model_validate({"conditions": conditions})
    by_type = read_conditions({"conditions": conditions})
    assert by_type["Started"] == record.conditions["Started"]
    for kind in ("Ended", "Complete"):
        assert (by_type[kind]["status"], by_type[kind]["reason"]) == ("Unknown", reason)
        assert "node-1" in by_type[kind]["message"]
    assert read({"conditions": conditions}).over == NOW


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 1000), max_size=12),
    st.integers(1, 5000),
)
def test_the_most_give(counts: dict[str, int], limit: int) -> None:
    """What is left is just what the limit lets, and no namespace gives that has less than another keeps."""
    surplus = find_surplus(counts, limit)
    left = {namespace: count - surplus.get(namespace, 0) for namespace, count in counts.items()}
    assert sum(left.values()) == min(limit, sum(counts.values()))
    assert all(count > 0 for count in surplus.values())
    assert all(left[namespace] >= max(left.values()) - 1 for namespace in surplus)
