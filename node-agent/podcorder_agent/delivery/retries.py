"""When to try again."""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime

FIRST = 0.5
"""Seconds that the first wait is at most."""
LONGEST = 30.0
"""Seconds that any wait is at most, unless the receiver asks for more."""
LONGEST_ASKED = 3600.0
"""Seconds of a receiver's wish that are granted: a mistaken clock must not stop delivery for good."""


class Backoff:
    """Waits that double, each drawn evenly from nothing to its bound, so that many senders do not come back at once."""

    def __init__(self, first: float = FIRST, longest: float = LONGEST) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def reset(self) -> None:
        """After a success."""
        self._failures = 0

    def next(self, after: float | None = None) -> float:
        """Seconds to wait after one more failure; never shorter than `after`, which the receiver asked for."""
        bound = min(self._longest, self._first * 2 ** min(self._failures, 32))
        self._failures += 1
        wait = random.uniform(0, bound)
        return wait if after is None else min(after, LONGEST_ASKED) + wait


def parse_retry_after(text: str | None, now: float | None = None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None where there is none to understand."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, moment - (time.time() if now is None else now))
