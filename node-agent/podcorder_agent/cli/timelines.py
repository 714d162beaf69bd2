"""Sessions as trees of processes with what each did, built from rows as they come."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from podcorder_agent.cli.identities import IDENTIFIED, Identities
from podcorder_agent.cli.rows import Row
from podcorder_agent.delivery.renderings import show_endpoint

Key = TypeVar("Key", bound=tuple[str, ...])

DISTINCT = 4096
"""Different files, peers and failures remembered of one process; what comes on top is counted."""


LATE = "network.connect"
"""The outcome of a connect may come when its process has gone: the socket is closed after the exit."""
ABOUT_SESSIONS = ("finding", IDENTIFIED)
"""What is told of a session with its root's pid, which may long be another process's."""


@dataclass(slots=True, eq=False)
class Process:
    """A process and what it did; a pid that is used again is another process."""

    pid: int
    start: int
    """Unix time of the first that is known of it, ns."""
    comm: str = ""
    parent: Process | None = None
    commands: list[tuple[int, Row]] = field(default_factory=list)
    """What it ran, one after the other."""
    children: list[Process] = field(default_factory=list)
    ended: Row | None = None
    files: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (access, path)."""
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Files that could not be opened, by (error, access, path)."""
    unstarted: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Programs that could not be started, by (error, name)."""
    peers: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By (verb, endpoint, outcome)."""
    more: int = 0
    """Events beyond DISTINCT."""


@dataclass(slots=True, eq=False)
class Session:
    """A session with its processes."""

    id: str
    kind: str
    container: str
    start: int
    root: Process | None = None
    ended: Row | None = None
    events: int = 0
    last: int = 0
    roots: list[Process] = field(default_factory=list)
    """Processes whose parent is not known, the session's root first."""
    processes: int = 0
    alive: dict[int, Process] = field(default_factory=dict)
    """The newest process of each pid."""

    @property
    def end(self) -> int:
        """When it ended, or when it was last heard of; Unix time, ns."""
        return self.last if self.ended is None else self.ended.time


class Timeline:
    """All sessions of the rows added, and what was lost meanwhile."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.sessions: dict[str, Session] = {}
        self.notices: list[Row] = []
        """Gaps and findings."""
        self.kinds: Counter[str] = Counter()
        self.identities = Identities()
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        self.kinds[row.kind] += 1
        identity = row.text("podcorder.session.id")
        if row.kind in ("recording.gap", "finding"):
            self.notices.append(row)
        if identity is None:
            return
        session = self.sessions.get(identity)
        if session is None:
            container = name_container(row)
            kind = row.word("podcorder.session.kind") or "?"
            session = self.sessions[identity] = Session(identity, kind, container, row.time)
        self.identities.add(row)
        session.events += 1
        session.last = max(session.last, row.time)
        session.start = min(session.start, row.time)
        if row.kind == "session.end":
            session.ended = row
            return
        pid = row.number("process.pid")
        if pid is None or row.kind in ABOUT_SESSIONS:
            return
        process = self._process(session, pid, row)
        process.comm = process.comm or _name(row)
        if row.kind == "session.start":
            session.root = process
        else:
            _note(session, process, row)

    def gaps_of(self, session: Session) -> list[Row]:
        """What was lost or found while a session went on: it may be the session's own."""
        found = []
        for row in self.notices:
            own = row.text("podcorder.session.id")
            first = row.number("podcorder.gap.first") or row.time
            last = row.number("podcorder.gap.last") or row.time
            if own == session.id or (own is None and first <= session.end and last >= session.start):
                found.append(row)
        return found

    def _process(self, session: Session, pid: int, row: Row) -> Process:
        found = session.alive.get(pid)
        if found is not None and (found.ended is None or row.time <= found.ended.time or row.kind == LATE):
            return found
        parent_pid = row.number("process.parent_pid")
        parent = session.alive.get(parent_pid) if parent_pid is not None and parent_pid != pid else None
        return _begin(session, pid, row.time, _name(row), parent)


def name_container(row: Row) -> str:
    """namespace/pod/container in a cluster; else the container's name or id, or nothing."""
    place = [row.text(each) for each in ("k8s.namespace.name", "k8s.pod.name", "k8s.container.name")]
    if place[1] is not None:
        return "/".join(filter(None, place))
    return row.text("container.name") or row.text("container.id") or ""


def _begin(session: Session, pid: int, time: int, comm: str, parent: Process | None) -> Process:
    process = Process(pid, time, comm, parent)
    session.alive[pid] = process
    session.processes += 1
    (session.roots if parent is None else parent.children).append(process)
    return process


def _name(row: Row) -> str:
    """What to call a process that ran nothing itself."""
    return row.text("podcorder.process.comm") or posixpath.basename(row.text("process.executable.path") or "")


def _note(session: Session, process: Process, row: Row) -> None:
    """What a row says about its process."""
    match row.kind:
        case "process.exec":
            process.commands.append((row.time, row))
            process.comm = _name(row)
        case "process.exec_failed":
            _count(
                process, process.unstarted, (row.word("error.type") or "?", row.text("podcorder.exec.filename") or "?")
            )
        case "process.fork":
            _fork(session, process, row)
        case "process.exit":
            process.ended = row
        case "file.open":
            _count(process, process.files, (row.word("podcorder.file.access") or "?", row.text("file.path") or "?"))
        case "file.open_failed":
            access, path = row.word("podcorder.file.access") or "?", row.text("file.path") or "?"
            _count(process, process.failures, (row.word("error.type") or "?", access, path))
        case "network.connect" | "network.datagram":
            verb = "connect" if row.kind == "network.connect" else "datagram"
            peer = show_endpoint(row.word("network.peer.address"), row.number("network.peer.port"))
            outcome = row.word("podcorder.network.outcome") or ("failed" if row.word("error.type") else "")
            _count(process, process.peers, (verb, peer, outcome))
        case "network.accept" | "network.listen":
            local = show_endpoint(row.word("network.local.address"), row.number("network.local.port"))
            origin = row.word("network.peer.address")
            _count(process, process.peers, (row.kind.split(".")[1], local, f"from {origin}" if origin else ""))


def _fork(session: Session, process: Process, row: Row) -> None:
    child = row.number("podcorder.child.pid")
    if child is None:
        return
    known = session.alive.get(child)
    # The child may have been heard of first: CPUs are not drained in order.
    if known is None or (known.ended is not None and row.time > known.ended.time):
        _begin(session, child, row.time, process.comm or _name(row), process)
    elif known.parent is None and known is not process:
        session.roots.remove(known)
        known.parent = process
        process.children.append(known)


def _count(process: Process, counter: Counter[Key], key: Key) -> None:
    if key in counter or len(counter) < DISTINCT:
        counter[key] += 1
    else:
        process.more += 1
