"""Rows and sessions as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from podcorder_agent.cli.rows import Row, quoted, show_time
from podcorder_agent.cli.terminals import Style
from podcorder_agent.cli.timelines import Session, Timeline
from podcorder_agent.cli.trees import clock, command_of, how_it_ended
from podcorder_agent.delivery.renderings import quote, show_duration

COLOURS = {"recording": "red", "finding": "yellow", "session": "bold", "file": "dim", "network": "cyan"}
COLUMNS = (
    "SESSION", "KIND", "USER", "CONTAINER", "BEGAN", "TOOK", "END", "PROCESSES", "EVENTS", "GAPS", "COMMAND"
)  # fmt: skip
USER_WIDTH = 48
"""Of a terminal's width, at most, for whose a session is."""


class EventTable:
    """Events one a line: time, session, process, what happened."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._day = ""

    def line(self, row: Row) -> str:
        moment = clock(row.time, date=True)
        day = moment.split(" ")[0]
        lead = "" if day == self._day else f"{self._style.paint(day, 'bold')}\n"
        self._day = day
        session = quoted(row.text("podcorder.session.id") or "-")[:8]
        pid = row.number("process.pid")
        comm = row.text("podcorder.process.comm")
        who = "" if pid is None else f"{quoted(comm) if comm else '?'}[{pid}]"
        text = f"{clock(row.time)} {session:<8} {who:<24} "
        flags = ", ".join(quote(each) for each in row.words("podcorder.flags"))
        # Our own bodies are printable; those of a file need not be.
        body = row.body if row.body.isprintable() and row.body else quoted(row.body or row.kind)
        body += f" ({flags})" if flags else ""
        width = self._style.width
        if width is not None and len(text) + len(body) > width > len(text) + 10:
            body = body[: width - len(text) - 1] + ("…" if self._style.unicode else "~")
        colour = COLOURS.get(row.kind.split(".")[0])
        return lead + text + (self._style.paint(body, colour) if colour else body)


def session_object(timeline: Timeline, session: Session) -> dict[str, Any]:
    """A session as JSON shows it."""
    code = session.ended.number("process.exit.code") if session.ended else None
    signal = session.ended.text("podcorder.process.signal") if session.ended else None
    found: dict[str, Any] = {
        "podcorder.session.id": session.id,
        "podcorder.session.kind": session.kind,
        **timeline.identities.attributes_of(session.id),
        "container": session.container or None,
        "start": show_time(session.start),
        "end": show_time(session.ended.time) if session.ended else None,
        "command": command_of(_root(session)),
        "process.exit.code": code,
        "podcorder.process.signal": signal,
        "processes": session.processes,
        "events": session.events,
        "gaps": _count_gaps(timeline, session),
    }
    return {name: value for name, value in found.items() if value is not None}


def session_table(timeline: Timeline, sessions: list[Session], style: Style) -> Iterator[str]:
    """A line a session, oldest first; users have a column where any session has some."""
    if not sessions:
        yield "no sessions"
        return
    lines = [[*COLUMNS], *(_cells(timeline, each, style) for each in sorted(sessions, key=lambda each: each.start))]
    if not any(timeline.identities.show(each.id) for each in sessions):
        for line in lines:
            del line[COLUMNS.index("USER")]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    for number, line in enumerate(lines):
        text = "  ".join([*(cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=True)), line[-1]])
        if style.width is not None and len(text) > style.width:
            text = text[: style.width - 1] + ("…" if style.unicode else "~")
        yield style.paint(text, "bold") if number == 0 else text


def _cells(timeline: Timeline, session: Session, style: Style) -> list[str]:
    """What stands in COLUMNS of a session."""
    return [
        quoted(session.id[:12]),
        session.kind,
        _cut_user(timeline.identities.show(session.id), style) or "-",
        quoted(_shorten(session.container)) if session.container else "-",
        clock(session.start, date=True)[:19],
        show_duration(max(0, session.end - session.start)),
        how_it_ended(session.ended) or "-",
        f"{session.processes:,}",
        f"{session.events:,}",
        f"{_count_gaps(timeline, session):,}",
        command_of(_root(session)),
    ]


def _shorten(container: str) -> str:
    """An id's first digits tell containers apart."""
    return container[:12] if len(container) == 64 and "/" not in container else container


def _cut_user(text: str, style: Style) -> str:
    """A long name leaves room for the other columns."""
    if style.width is None or len(text) <= USER_WIDTH:
        return text
    return text[: USER_WIDTH - 1] + ("…" if style.unicode else "~")


def _count_gaps(timeline: Timeline, session: Session) -> int:
    return sum(each.kind == "recording.gap" for each in timeline.gaps_of(session))


def _root(session: Session) -> Any:
    return session.root or (session.roots[0] if session.roots else None)


def describe_kinds(kinds: Counter[str]) -> str:
    """`3 process.exec, 12 file.open`."""
    shown = {kind: count for kind, count in kinds.items() if kind.startswith(("process.", "file.", "network."))}
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(shown.items())) or "nothing"
