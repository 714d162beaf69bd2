"""Waiting."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.delivery.retries import LONGEST_ASKED, Backoff, parse_retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()


def test_waits_double_to_a_bound_with_full_jitter() -> None:
    """The n-th wait lies between nothing and the bound, is spread over all of it, and never beyond the longest."""
    waits = [[] for _ in range(12)]
    for _ in range(300):
        backoff = Backoff(0.5, 30)
        for number in range(12):
            waits[number].append(backoff.next())
    for number, found in enumerate(waits):
        bound = min(30, 0.5 * 2**number)
        assert 0 <= min(found) < bound / 10
        assert bound * 9 / 10 < max(found) <= bound


def test_a_success_begins_anew() -> None:
    """After a success the first bound holds again."""
    backoff = Backoff(0.5, 30)
    for _ in range(20):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 0.5


@given(st.floats(0, 1e12))
def test_the_receivers_wish_is_granted_within_reason(after: float) -> None:
    """A wait is at least what was asked for, up to an hour."""
    wait = Backoff().next(after)
    assert min(after, LONGEST_ASKED) <= wait <= LONGEST_ASKED + 0.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("٣", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    """Both forms of RFC 9110 are read; anything else is as if it were absent."""
    assert parse_retry_after(text, NOW) == seconds


@given(st.text())
def test_retry_after_never_raises(text: str) -> None:
    """A receiver cannot break delivery by a header."""
    found = parse_retry_after(text, NOW)
    assert found is None or found >= 0
