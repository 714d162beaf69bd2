"""What the terminal at hand can show."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


@dataclass(frozen=True, slots=True)
class Style:
    """How to draw."""

    colour: bool = False
    unicode: bool = True
    width: int | None = None
    """Columns to cut lines at; None where there is no terminal to overflow."""

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colour and text else text


def printable(text: str) -> str:
    """A text without anything that a terminal would act on: what does not print is escaped as in Python."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def counted(number: int, noun: str) -> str:
    """`1 process`, `2 processes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def style_of(stream: TextIO) -> Style:
    """Colours only on a terminal, and never with NO_COLOR (no-color.org); lines drawn where UTF-8 is read."""
    terminal = stream.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
    return Style(colour, unicode, shutil.get_terminal_size().columns if terminal else None)


def out_style() -> Style:
    return style_of(sys.stdout)
