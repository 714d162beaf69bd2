"""Regular expressions of users, run by RE2: no pattern and no text makes it take more than linear time.

Linear is not free: one search takes up to as many steps a byte as the pattern's program has instructions, and one text
can be searched once for each match. So `Work` bounds the steps for one command line, and the program has a bound, too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import re2

MOST_PATTERNS = 128
"""Of one slot, and as many are kept compiled in all."""
LONGEST_PATTERN = 1024
LARGEST_PROGRAM = 1024
"""Instructions; `[a-z]{999}` has 1003."""
STEPS_PER_BYTE = 2 * LARGEST_PROGRAM
"""Of a command line: so much that the largest pattern can look at it twice, argument by argument and joined."""
STEPS_PER_SEARCH = 128
"""What a search costs whatever it looks at."""
STEPS_AT_LEAST = 1 << 20
"""So that several matches in a short command line fit."""
_MEMORY = 1 << 18
"""Bytes of one compiled pattern with its automata, which RE2 drops and makes anew where they would be more."""
_ASSERTIONS = ("^", "$", r"\A", r"\b", r"\B")
"""One of these stands in every pattern that can match in a part of a text and not in the whole."""


class TooMuchWork(Exception):
    """The patterns take more steps than a command line may cost."""


class Work:
    """The steps that are left for one command line of `size` bytes."""

    def __init__(self, size: int) -> None:
        self.left = max(STEPS_AT_LEAST, STEPS_PER_BYTE * size)

    def spend(self, steps: int) -> None:
        """Raises TooMuchWork where so many are not left."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchWork


class Pattern:
    """A user's pattern. Bytes are matched one by one, as of Latin-1. Raises ValueError, which says what is wrong."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST_PATTERN:
            raise ValueError(f"it is longer than {LONGEST_PATTERN} characters: write a shorter one")
        self.text = text
        compiled = _compile(text)
        self.group = 1 if compiled.groups else 0
        self.size: int = compiled.programsize
        self.looks_around = any(each in text for each in _ASSERTIONS)
        if self.size > LARGEST_PROGRAM:
            raise ValueError("it is too large once its repetitions are written out: repeat less")

    def may_match(self, text: bytes, work: Work) -> bool:
        """Whether the pattern matches in `text` or may in a part of it. Raises TooMuchWork."""
        if self.looks_around:
            return True
        work.spend(self._cost(len(text)))
        return _compile(self.text).search(text) is not None

    def spans(self, text: bytes, work: Work) -> Iterator[tuple[int, int]]:
        """Where its first group matches, or all of it where it has none. Raises TooMuchWork."""
        yield from self._search(text, work)
        if text.endswith(b"\n"):
            # To RE2 `$` is the very end, but a last line break is no part of a secret.
            yield from self._search(text[:-1], work)

    def _search(self, text: bytes, work: Work) -> Iterator[tuple[int, int]]:
        work.spend(self._cost(len(text)))
        for match in _compile(self.text).finditer(text):
            first, last = match.span(self.group)
            if first < last:
                yield first, last
            # The next search may look at all that is left, however short the match is.
            work.spend(self._cost(len(text) - match.end()))

    def _cost(self, size: int) -> int:
        """The most steps that one search of so many bytes takes."""
        return STEPS_PER_SEARCH + size * self.size


@functools.lru_cache(MOST_PATTERNS)
def _compile(text: str) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY
    options.log_errors = False
    try:
        return re2.compile(text.encode("utf-8", "surrogatepass"), options)
    except re2.error as error:
        raise ValueError(f"RE2 refuses it: {error.args[0].decode('utf-8', 'replace')}") from None
