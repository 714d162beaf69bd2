"""How long to wait before the next try."""

from __future__ import annotations

import random


class Backoff:
    """Waits that double from `least` to `most` seconds, each shortened at random by up to a half."""

    def __init__(self, least: float = 1.0, most: float = 30.0) -> None:
        self._least = least
        self._most = most
        self._next = least

    def take(self, asked: float | None = None) -> float:
        """Seconds to wait now, never less than `least` nor than the API server asked for."""
        wait = max(self._least, self._next * random.uniform(0.5, 1.0))
        self._next = min(self._most, self._next * 2)
        return max(wait, asked or 0.0)

    def reset(self) -> None:
        """After progress: begin with the shortest wait again."""
        self._next = self._least
