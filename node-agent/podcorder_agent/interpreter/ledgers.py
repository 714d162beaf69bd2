"""What becomes of each session that has, or should have, a RecordedSession: counted, and told as reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from podcorder_agent.classes import CLASS_COUNT, CLASS_NAMES
from podcorder_agent.interpreter.announcements import Announcement
from podcorder_agent.interpreter.events import Event, RecordingGap, SessionEnd
from podcorder_agent.interpreter.logins import read_login
from podcorder_agent.interpreter.pools import Verdict
from podcorder_agent.interpreter.session_reports import Loss, Record, SessionReport
from podcorder_agent.interpreter.subjects import Identity, Pod, Process, Session, SessionKind
from podcorder_agent.interpreter.vocabulary import number_signal

MOST_ENTRIES = 1024
KEPT = 600 * 10**9
"""How long a session is kept after its end, ns: gaps are told of after what they took, and reports may have to wait."""
MOST_CANDIDATES = 16
"""The latest of them."""


@dataclass(slots=True)
class Entry:
    """One session."""

    session: Session
    start: int
    end: int | None = None
    """Unix time, ns; so is `start`."""
    exit_code: int | None = None
    record: Record | None = None
    candidates: tuple[Record, ...] = ()
    losses: dict[str, Loss] = field(default_factory=dict)
    told: int = 0
    """How often it was said whose it is."""


class Ledger:
    """The sessions by id, the oldest first."""

    def __init__(self, root_of: Callable[[Session], Process]) -> None:
        self.entries: dict[str, Entry] = {}
        self.unstarted: list[SessionReport] = []
        self.changed: dict[str, None] = {}
        self._root_of = root_of

    def open(self, session: Session, start: int) -> None:
        session.counts = [0] * CLASS_COUNT
        self.entries[session.id] = Entry(session, start)
        self.changed[session.id] = None
        for key in [key for key, each in self.entries.items() if each.end is not None and start - each.end > KEPT]:
            del self.entries[key]
        if len(self.entries) > MOST_ENTRIES:
            over = next((key for key, each in self.entries.items() if each.end is not None), next(iter(self.entries)))
            del self.entries[over]

    def note_verdict(self, session: Session, verdict: Verdict) -> None:
        entry = self.entries.get(session.id)
        if entry is not None:
            request = verdict.announcement
            entry.record = None if request is None else request.record
            entry.candidates = tuple(each.record for each in verdict.candidates)[-MOST_CANDIDATES:]
            self.changed[session.id] = None

    def note_unstarted(self, request: Announcement, error: str | None) -> None:
        pod = Pod(request.record[0], request.pod_name, request.pod_uid, request.container or None)
        self.unstarted.append(
            SessionReport(None, request.record, (), SessionKind(request.kind), Identity.IDENTIFIED, pod, failure=error)
        )

    def number(self, session: Session) -> int:
        """The next number of what is said of it."""
        entry = self.entries.get(session.id)
        if entry is None:
            return 0
        entry.told += 1
        return entry.told

    def count(self, events: list[Event]) -> None:
        """Events that go out."""
        for event in events:
            process = event.process
            if process is None:
                if isinstance(event, RecordingGap):
                    self._note_gap(event)
                continue
            counts = process.session.counts
            if counts is None:
                continue
            number = event.RECORD
            if number is not None:
                counts[number] += 1
                self.changed[process.session.id] = None
            elif isinstance(event, SessionEnd):
                self._end(process.session, event)

    def _end(self, session: Session, event: SessionEnd) -> None:
        entry = self.entries.get(session.id)
        if entry is not None:
            entry.end = event.time
            entry.exit_code = event.code if event.signal is None else 128 + number_signal(event.signal)
            self.changed[session.id] = None

    def _note_gap(self, gap: RecordingGap) -> None:
        name = gap.record_class or "unknown"
        loss = Loss(name, gap.count, gap.first or gap.time, gap.last or gap.time)
        for identity, entry in self.entries.items():
            if loss.last >= entry.start and (entry.end is None or loss.first <= entry.end):
                before = entry.losses.get(name)
                entry.losses[name] = loss if before is None else _add(before, loss)
                self.changed[identity] = None

    def take_reports(self) -> list[SessionReport]:
        """Of all that has changed since the last time."""
        changed, self.changed = self.changed, {}
        reports = [self._report(self.entries[each]) for each in changed if each in self.entries]
        unstarted, self.unstarted = self.unstarted, []
        return reports + unstarted

    def _report(self, entry: Entry) -> SessionReport:
        session = entry.session
        root = self._root_of(session)
        executable = None if root.executable is None else root.executable.decode("utf-8", "backslashreplace")
        counts = zip(CLASS_NAMES, session.counts or (), strict=False)
        return SessionReport(
            session.id,
            entry.record,
            entry.candidates,
            session.kind,
            session.identity or Identity.PENDING,
            session.container.pod,
            session.root_tgid,
            executable,
            entry.start,
            entry.end,
            entry.exit_code,
            tuple((name, count) for name, count in counts if count),
            tuple(entry.losses.values()),
            session.partial,
            _login_of(session),
        )


def _login_of(session: Session) -> tuple[int, int] | None:
    login = read_login(session.container.cgroup_id)
    return login if login is not None and login.audit_session else None


def _add(before: Loss, loss: Loss) -> Loss:
    count = None if before.count is None or loss.count is None else before.count + loss.count
    return Loss(loss.record_class, count, min(before.first, loss.first), max(before.last, loss.last))
