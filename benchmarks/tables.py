"""Figures as a table for people: ratios first."""

from __future__ import annotations

from collections.abc import Sequence


def render_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(str(row[column])) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (str(cell) for cell in cells)
        return "  ".join([first.ljust(widths[0]), *(o.rjust(w) for o, w in zip(others, widths[1:], strict=True))])

    return "\n".join([title, "=" * len(title), line(head), *(line(row) for row in rows), ""])
