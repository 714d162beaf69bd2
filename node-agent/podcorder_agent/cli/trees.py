"""A session drawn as a tree of processes, with files and peers under each and gaps in place."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from podcorder_agent.cli.rows import Row, quoted
from podcorder_agent.cli.terminals import Style, counted
from podcorder_agent.cli.timelines import Process, Session, Timeline
from podcorder_agent.delivery.renderings import quote, quote_all, show_duration

LISTED_FAILURES = 3
"""Lines about files that could not be opened, for each error."""
LISTED = 8
"""Files or peers of one kind that are listed; more are grouped."""
CROWD = 20
"""Children that are all shown; of more, the first SHOWN of each program are."""
SHOWN = 3

DEEPEST = 60
"""Levels drawn, where they leave COMMAND_COLUMNS of the terminal's width."""
COMMAND_COLUMNS = 50

VERBS = {"read_write": "read+write"}


@dataclass(frozen=True, slots=True)
class _Lines:
    branch: str
    last: str
    through: str
    empty: str
    more: str


_UNICODE = _Lines("├─ ", "└─ ", "│  ", "   ", "…")
_ASCII = _Lines("|- ", "`- ", "|  ", "   ", "...")


def draw(timeline: Timeline, session: Session, style: Style) -> Iterator[str]:
    """The lines of a session's timeline, without line ends."""
    return _Drawing(timeline.gaps_of(session), style).session(session, timeline.identities.show(session.id))


def clock(ns: int, *, date: bool = False) -> str:
    """Local time, with the date on demand."""
    try:
        moment = datetime.fromtimestamp(ns // 10**9).astimezone()
    except (ValueError, OverflowError, OSError):
        return f"@{ns}"
    text = f"{moment:%H:%M:%S}.{ns // 10**6 % 1000:03d}"
    return f"{moment:%Y-%m-%d} {text} {moment:%z}" if date else text


def how_it_ended(row: Row | None) -> str:
    """`exit 0`, `SIGKILL`; of what still goes on or whose end was not seen, nothing."""
    if row is None:
        return ""
    signal, code = row.word("podcorder.process.signal"), row.number("process.exit.code")
    return signal or ("ended" if code is None else f"exit {code}")


def command_of(process: Process | None) -> str:
    """What a process ran last, quoted for a shell; of one that ran nothing, its name in brackets."""
    if process is None:
        return "?"
    if not process.commands:
        return f"({quoted(process.comm) if process.comm else '?'})"
    return _command(process.commands[-1][1])


def _command(row: Row) -> str:
    words = row.words("process.command_args")
    text = quote_all(words) if words else quoted(row.text("process.executable.path") or "?")
    origin = row.word("podcorder.exec.origin")
    return f"{text} ({origin})" if origin else text


class _Drawing:
    def __init__(self, notices: list[Row], style: Style) -> None:
        self._notices = sorted(notices, key=lambda row: row.time)
        self._style = style
        self._lines = _UNICODE if style.unicode else _ASCII
        room = DEEPEST if style.width is None else (style.width - COMMAND_COLUMNS) // len(self._lines.empty)
        self._deepest = max(4, min(DEEPEST, room))
        self._begun_here: Process | None = None
        """The root of a command: until its exec it was podcorder, and that time is not the command's."""

    def session(self, session: Session, whose: str) -> Iterator[str]:
        paint = self._style.paint
        self._begun_here = session.root if session.kind == "Command" else None
        facts = [session.kind, clock(session.start, date=True), show_duration(max(0, session.end - session.start))]
        facts.append(how_it_ended(session.ended) or "not ended")
        facts.append(f"{counted(session.processes, 'process')}, {counted(session.events, 'event')}")
        if session.container:
            facts.insert(1, quoted(session.container))
        if whose:
            facts.insert(1, whose if whose.startswith("(") else f"by {whose}")
        yield f"{paint('session ' + quoted(session.id), 'bold')}  {'  '.join(facts)}"
        tops: list[Process | Row] = [*session.roots]
        if len(session.roots) != 1:
            tops += self._notices
        yield from self._level(sorted(tops, key=_time), "", session.roots[0] if len(session.roots) == 1 else None)

    def _level(self, items: list[Process | Row], indent: str, noticed: Process | None = None) -> Iterator[str]:
        """The items of one level; `noticed` is the process below which the notices go."""
        if len(indent) > self._deepest * len(self._lines.empty):
            count = sum(1 + descendants(each) for each in items if isinstance(each, Process))
            yield f"{indent}{self._lines.last}{self._lines.more} {counted(count, 'process')} deeper"
            return
        shown, hidden = thin_out(items)
        count = len(shown) + len(hidden)
        for number, item in enumerate(shown, 1):
            last = number == count
            lead = indent + (self._lines.last if last else self._lines.branch)
            rest = indent + (self._lines.empty if last else self._lines.through)
            if isinstance(item, Process):
                yield from self._process(item, lead, rest, noticed)
            else:
                text, colour = notice(item)
                yield lead + self._style.paint(self._cut(text, len(lead)), colour)
        for number, (name, crowd) in enumerate(hidden.items(), len(shown) + 1):
            lead = indent + (self._lines.last if number == count else self._lines.branch)
            yield lead + self._cut(f"{self._lines.more} {len(crowd):,} more of {name}: {summary(crowd)}", len(lead))

    def _process(self, process: Process, lead: str, rest: str, noticed: Process | None) -> Iterator[str]:
        first = _command(process.commands[0][1]) if process.commands else command_of(process)
        end = how_it_ended(process.ended)
        tail = f"[{process.pid}]"
        if process.ended is not None:
            duration = process.ended.number("podcorder.process.duration_ns")
            if process is self._begun_here:
                duration = max(0, process.ended.time - process.start)
            tail += f" {end}" + (f" {show_duration(duration)}" if duration is not None else "")
        yield self._command_line(lead, process.start, "", first, tail, "dim" if end in ("", "exit 0") else "red")
        children: list[Process | Row] = [*process.children]
        if process is noticed:
            children += self._notices
        detail = rest + (self._lines.through if children else self._lines.empty)
        for time, row in process.commands[1:]:
            yield self._command_line(detail, time, "then ", _command(row))
        for line in details(process, self._lines.more):
            yield detail + self._cut(line, len(detail))
        yield from self._level(sorted(children, key=_time), rest)

    def _command_line(self, lead: str, time: int, word: str, text: str, tail: str = "", colour: str = "dim") -> str:
        moment, paint = clock(time), self._style.paint
        shown = self._cut(text, len(lead) + len(moment) + 1 + len(word) + (len(tail) + 2 if tail else 0))
        return f"{lead}{paint(moment, 'dim')} {word}{paint(shown, 'bold')}{'  ' + paint(tail, colour) if tail else ''}"

    def _cut(self, text: str, taken: int) -> str:
        """A text no wider than what a terminal has left beside the columns taken."""
        width = self._style.width
        if width is None or len(text) + taken <= width:
            return text
        return text[: max(20, width - taken - len(self._lines.more))] + self._lines.more


def notice(row: Row) -> tuple[str, str]:
    """The line of a gap or finding, and its colour."""
    if row.kind == "finding":
        text = f"{row.text('podcorder.finding.subject') or '?'}: {row.text('podcorder.finding.message') or '?'}"
        return f"{clock(row.time)} FINDING {quoted(text)}", "yellow"
    count = row.number("podcorder.gap.count")
    first, last = row.number("podcorder.gap.first"), row.number("podcorder.gap.last")
    between = f", between {clock(first)} and {clock(last)}" if first and last else ""
    amount = "an unknown number of" if count is None else f"{count:,}"
    what = row.word("podcorder.gap.class") or "unknown"
    reason = row.word("podcorder.gap.reason") or "unknown"
    return f"{clock(row.time)} GAP {amount} {what} records lost ({reason}){between}", "red"


def _time(item: Process | Row) -> int:
    return item.start if isinstance(item, Process) else item.time


def thin_out(items: list[Process | Row]) -> tuple[list[Process | Row], dict[str, list[Process]]]:
    """What to show of a level, and of a crowd the rest by program."""
    if len(items) <= CROWD:
        return items, {}
    shown: list[Process | Row] = []
    hidden: dict[str, list[Process]] = {}
    seen: Counter[str] = Counter()
    for item in items:
        if isinstance(item, Row):
            shown.append(item)
            continue
        name = program_of(item)
        seen[name] += 1
        if seen[name] <= SHOWN:
            shown.append(item)
        else:
            hidden.setdefault(name, []).append(item)
    return shown, hidden


def program_of(process: Process) -> str:
    """The name of the program a process ran last."""
    if not process.commands:
        return f"({quoted(process.comm) if process.comm else '?'})"
    row = process.commands[-1][1]
    words = row.words("process.command_args")
    return quote(words[0]) if words else quoted(row.text("process.executable.path") or "?")


def summary(crowd: list[Process]) -> str:
    """How processes that are not shown ended, and what they did."""
    ends = Counter(how_it_ended(each.ended) or "not ended" for each in crowd)
    parts = [f"{end} x{count:,}" for end, count in ends.most_common(4)]
    files = sum(sum(each.files.values()) for each in crowd)
    peers = sum(sum(each.peers.values()) for each in crowd)
    below = sum(map(descendants, crowd))
    parts += [f"{files:,} opens"] if files else []
    parts += [f"{peers:,} network events"] if peers else []
    parts += [f"{below:,} processes below"] if below else []
    return ", ".join(parts)


def descendants(process: Process) -> int:
    """Processes below one; without recursion, for a chain may be long."""
    count, todo = 0, list(process.children)
    while todo:
        each = todo.pop()
        count += 1
        todo += each.children
    return count


def details(process: Process, more: str) -> Iterator[str]:
    """What a process did, a line a thing, many things grouped."""
    yield from unstarted(process)
    for (verb, endpoint, outcome), times in list(process.peers.items())[:LISTED]:
        yield f"{verb} {endpoint}{' ' + outcome if outcome else ''}{_times(times)}"
    hidden = len(process.peers) - LISTED
    if hidden > 0:
        yield f"{more} and {hidden:,} more peers"
    for access in sorted({access for access, _ in process.files}):
        opened = Counter({path: times for (each, path), times in process.files.items() if each == access})
        for line in group(opened, LISTED):
            yield f"{VERBS.get(access, access)} {line}"
    for error in sorted({error for error, _, _ in process.failures}):
        refused: Counter[str] = Counter()
        for (each, _, path), times in process.failures.items():
            if each == error:
                refused[path] += times
        for line in group(refused, LISTED_FAILURES):
            yield f"open failed {error} {line}"
    if process.more:
        yield f"{more} and {process.more:,} more events of other files and peers"


def unstarted(process: Process) -> Iterator[str]:
    """Programs that could not be started; one that was looked for along PATH is one line."""
    names: dict[tuple[str, str], Counter[str]] = {}
    for (error, name), times in process.unstarted.items():
        names.setdefault((error, posixpath.basename(name)), Counter())[name] += times
    for (error, base), places in names.items():
        if len(places) == 1:
            (place,) = places
            yield f"exec failed {error} {quoted(place)}{_times(places[place])}"
        else:
            yield f"exec failed {error} {quoted(base)} in {len(places)} directories{_times(places.total())}"


def group(paths: Counter[str], limit: int) -> list[str]:
    """At most `limit` lines: directories that hold many of the paths are put together, the deepest first."""
    groups = {path: Counter({path: times}) for path, times in paths.items()}
    while len(groups) > limit:
        deepest = max(each.rstrip("/").count("/") for each in groups)
        merged: dict[str, Counter[str]] = {}
        for path, held in groups.items():
            deep = path.rstrip("/").count("/") == deepest and path != "/"
            merged.setdefault(_above(path) if deep else path, Counter()).update(held)
        if merged.keys() == groups.keys():
            break
        groups = merged
    lines = []
    for place, held in sorted(groups.items()):
        if len(held) == 1:
            (path,) = held
            lines.append(f"{quoted(path)}{_times(held[path])}")
        else:
            lines.append(f"{len(held):,} files in {quoted(place)}")
    return lines


def _times(count: int) -> str:
    return f" x{count:,}" if count > 1 else ""


def _above(path: str) -> str:
    above = posixpath.dirname(path.rstrip("/"))
    return above if above.endswith("/") else above + "/"
