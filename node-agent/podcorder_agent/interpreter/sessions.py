"""Sessions and their processes, as the records tell of them.

A process is known by its key: the 32 bytes of a record's header that name container, session, start and pid. So a pid
that is used again, or a process that moves to another container, is never taken for the one before. Events share their
process: an exec puts a new one in its place, because events before it tell of the program before it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from podcorder_agent.interpreter.claims import Claims
from podcorder_agent.interpreter.events import Event, SessionEnd, SessionStart
from podcorder_agent.interpreter.logins import identify
from podcorder_agent.interpreter.probes import Program, is_probe
from podcorder_agent.interpreter.records import KEY_FIELDS, RecordFlag
from podcorder_agent.interpreter.selections import Selection
from podcorder_agent.interpreter.slots import Slot
from podcorder_agent.interpreter.subjects import Container, Process, Session, SessionKind
from podcorder_agent.interpreter.vocabulary import describe_exit

MOST_PROCESSES = 32_768
MOST_ENDED = 1024
"""Processes and sessions remembered after their end, for records that come late: a socket is closed after the exit."""
LATEST_RECORD = 10**8
"""From a session's start to the record of the exec that began it, ns; one that is later is of another exec."""
MOST_ARGUMENTS = 4096
"""Bytes of arguments kept with a process; its exec event has them all."""

_PLACE = struct.Struct("<QI")
Find = Callable[[int, int], Selection]


@dataclass(slots=True)
class Tree:
    """A session, its root and how that ended."""

    session: Session
    root: Process
    exit_code: int | None = None


@dataclass(slots=True, frozen=True)
class Cause:
    """The record behind a change."""

    id: str
    time: int
    """Unix time, ns."""
    anchor: int
    """Unix time minus boot time, ns."""


def cut_arguments(arguments: list[bytes]) -> list[bytes]:
    """As many arguments as a process keeps."""
    room = MOST_ARGUMENTS
    for count, each in enumerate(arguments):
        room -= len(each)
        if room < 0:
            return arguments[:count]
    return arguments


def _is_root(process: Process, session: Session) -> bool:
    """A session begins with its root's start or a later exec; whoever has the pid after it started later than that."""
    return process.tgid == session.root_tgid and process.start <= session.root_start


def _may_be_older(session: Session) -> bool:
    """Whether its root may have lived before anything of it was recorded, and may live though nothing tells of it."""
    return session.partial or session.kind in (SessionKind.CONTAINER, SessionKind.DEBUG)


class Sessions:
    """The sessions and processes of one boot."""

    def __init__(self, boot_id: str, find: Find, slots: Mapping[int, Slot]) -> None:
        self.boot_id = boot_id
        self.find = find
        """(cgroup id, slot) -> its selection."""
        self.claims = Claims(self.root_of_session, self.refresh_session)
        self.slots = slots
        self.processes: dict[bytes, Process] = {}
        self.keys: dict[int, bytes] = {}
        """By pid, of the processes alive."""
        self.ended: dict[bytes, Process] = {}
        self.trees: dict[tuple[int, int], Tree] = {}
        self.past: dict[tuple[int, int], Tree] = {}
        self._boot = boot_id.encode("utf-8", "surrogatepass")

    def session_id(self, start: int, tgid: int) -> str:
        """32 hexadecimal digits."""
        return blake2b(self._boot + _PLACE.pack(start, tgid), digest_size=16).hexdigest()

    def span_id(self, start: int, tgid: int) -> str:
        """16 hexadecimal digits."""
        return blake2b(self._boot + _PLACE.pack(start, tgid), digest_size=8).hexdigest()

    def meet(
        self,
        key: bytes,
        slot: int,
        ppid: int,
        flags: int,
        cause: Cause,
        events: list[Event],
        program: Program | None = None,
    ) -> Process:
        """The process of a key that is not among the living: one that ended, one that moved, or a new one. `program`:
        what it executes with this record."""
        if key in self.ended:
            return self.ended[key]
        container_id, root_start, start, root, tgid = KEY_FIELDS.unpack(key)
        before = self._take_pid(tgid)
        process = Process(None, start, tgid, ppid, None, self.span_id(start, tgid))  # type: ignore[arg-type]
        if before is not None and before.start == start:
            process.executable, process.cwd, process.arguments = before.executable, before.cwd, before.arguments
            process.revision = before.revision + 1
        parent = self.processes.get(self.keys.get(ppid, b""))
        if flags & RecordFlag.SESSIONLESS and parent and parent.session.container.cgroup_id == container_id:
            process.session = parent.session
        else:
            self._enter(process, container_id, slot, (root, root_start), flags, cause, events, program)
        self._add(key, process)
        if before is not None:  # only now: the session may be the same
            self._leave(before, None, cause, events)
        return process

    def fork(self, parent: Process, key: bytes, start: int, tgid: int, cause: Cause, events: list[Event]) -> None:
        """A child is born with what its parent has."""
        if key in self.processes or key in self.ended:
            return
        before = self._take_pid(tgid)
        span_id = self.span_id(start, tgid)
        child = Process(
            parent.session, start, tgid, parent.tgid, parent.executable, span_id, parent.arguments, parent.cwd
        )
        self._add(key, child)
        if before is not None:
            self._leave(before, None, cause, events)

    def execute(
        self,
        key: bytes,
        process: Process,
        executable: bytes | None,
        cwd: bytes | None,
        arguments: list[bytes],
        new: bool,
    ) -> Process:
        """The process as it is from an exec on; a new one that no event told of before is changed itself."""
        kept = cut_arguments(arguments)
        if new:
            process.executable, process.cwd, process.arguments = executable, cwd, kept
            return process
        session, tgid = process.session, process.tgid
        after = Process(
            *(session, process.start, tgid, process.ppid, executable, process.span_id, kept, cwd, process.revision + 1)
        )
        if key in self.processes:
            self.processes[key] = after
        tree = self.trees.get((session.root_tgid, session.root_start))
        if tree is not None and _is_root(process, session):
            tree.root = after
        return after

    def exit(self, key: bytes, process: Process, exit_code: int, cause: Cause, events: list[Event]) -> None:
        """The process is gone; its session too, if it was the last."""
        if self.processes.pop(key, None) is None:
            return
        if self.keys.get(process.tgid) == key:
            del self.keys[process.tgid]
        self.ended[key] = process
        if len(self.ended) > MOST_ENDED:
            del self.ended[next(iter(self.ended))]
        self._leave(process, exit_code, cause, events)

    def end_container(self, cgroup_id: int, cause: Cause, events: list[Event]) -> None:
        """The cgroup is removed: whatever was alive in it is gone, though no exit told so."""
        gone = [key for key, each in self.processes.items() if each.session.container.cgroup_id == cgroup_id]
        for key in gone:
            process = self.processes.pop(key)
            self.keys.pop(process.tgid, None)
            self._leave(process, None, cause, events)
        for place, tree in list(self.trees.items()):
            if tree.session.container.cgroup_id == cgroup_id:
                self._end(place, tree, cause, events)

    def end_all(self, cause: Cause, events: list[Event]) -> None:
        """The boot is over."""
        for place, tree in list(self.trees.items()):
            self._end(place, tree, cause, events)

    def refresh(self, cgroup_ids: Collection[int]) -> None:
        """Containers' descriptions changed: what was derived from them is made anew."""
        for each in self._all_processes():
            if each.session.container.cgroup_id in cgroup_ids:
                each.session.labels = self._labels(each.session.container, each.session.kind)
                each.encoded = None

    def rename_policy(self, slot: int, policy: str | None) -> set[int]:
        """A slot was configured anew: logins, which no selection holds, follow it. What stands in their containers'
        place."""
        places = [each.session.container for each in self.trees.values() if each.session.kind is SessionKind.HOST]
        concerned = [each for each in places if each.slot == slot]
        for each in concerned:
            each.policy = policy
        return {each.cgroup_id for each in concerned}

    def refresh_session(self, session: Session) -> None:
        """It has become known whose a session is."""
        for each in self._all_processes():
            if each.session is session:
                each.encoded = None

    def _all_processes(self) -> Iterator[Process]:
        """All that an event may still be about, some more than once."""
        yield from self.processes.values()
        yield from self.ended.values()
        for tree in (*self.trees.values(), *self.past.values()):
            yield tree.root

    def root_of_session(self, session: Session) -> Process:
        """The root of a session; where that is not known any more, what stands for it."""
        place = session.root_tgid, session.root_start
        tree = self.trees.get(place) or self.past.get(place)
        if tree is not None:
            return tree.root
        return Process(session, session.root_start, session.root_tgid, 0, None, self.span_id(*reversed(place)))

    def root_of(self, process: Process) -> Process:
        """The root of a process's session, where it is still known; else the process itself."""
        place = (process.session.root_tgid, process.session.root_start)
        tree = self.trees.get(place) or self.past.get(place)
        return process if tree is None else tree.root

    def _enter(
        self,
        process: Process,
        container_id: int,
        slot: int,
        place: tuple[int, int],
        flags: int,
        cause: Cause,
        events: list[Event],
        program: Program | None,
    ) -> None:
        """Give a process its session, which may begin with it."""
        tree = self.trees.get(place) or self.past.pop(place, None)
        if tree is None:
            root, start = place
            selection = self.find(container_id, slot)
            partial, moved = bool(flags & RecordFlag.PARTIAL), bool(flags & RecordFlag.MOVED)
            kind = self._kind(selection, flags, program if process.tgid == root and not moved else None)
            labels = self._labels(selection.container, kind)
            session = Session(selection.container, root, start, self.session_id(start, root), kind, labels)
            session.partial = partial
            identify(session, bool(flags & RecordFlag.DOUBTED))
            tree = self.trees[place] = Tree(session, Process(session, start, root, 0, None, self.span_id(start, root)))
            if _is_root(process, session):
                tree.root = process
            process.session = session
            if moved and self._is_wanted(session):
                self.claims.begin_moved(session, start + cause.anchor)
            elif self._is_wanted(session):
                began = process.tgid == root and cause.time - cause.anchor - start < LATEST_RECORD
                executed = program if began else None
                also_probe = executed is not None and is_probe(executed, selection.probes)
                self.claims.begin(session, executed, also_probe, start + cause.anchor)
            event = SessionStart(f"{session.id}.start", cause.time, tree.root, flags=["partial"] if partial else None)
            events.append(event)
        elif _is_root(process, tree.session):
            tree.root = process
        process.session = tree.session
        self.trees[place] = tree

    def _kind(self, selection: Selection, flags: int, program: Program | None) -> SessionKind:
        """The own session is what was selected; others are execs, or probes where they run what the kubelet runs. A
        session whose first program is not known is an exec: none is taken for less."""
        if selection.kind is SessionKind.HOST:
            return SessionKind.HOST
        if flags & RecordFlag.ENTERING:
            return SessionKind.SETUP
        if flags & RecordFlag.OWN:
            return selection.kind
        if program is None or not is_probe(program, selection.probes):
            return SessionKind.EXEC
        return SessionKind.EXEC if self.claims.expects(selection.container, program) else SessionKind.PROBE

    def _is_wanted(self, session: Session) -> bool:
        """Whether a policy asks for it: nobody is asked whose it is otherwise."""
        slot = self.slots.get(session.container.slot)
        return slot is None or slot.find(session.kind) is not None

    def _labels(self, container: Container, kind: SessionKind) -> list[str] | None:
        slot = self.slots.get(container.slot)
        return None if slot is None else slot.labels_of(kind)

    def _add(self, key: bytes, process: Process) -> None:
        self.processes[key] = process
        self.keys[process.tgid] = key
        process.session.processes += 1
        if len(self.processes) > MOST_PROCESSES:
            oldest = next(iter(self.processes))
            forgotten = self.processes.pop(oldest)
            if self.keys.get(forgotten.tgid) == oldest:
                del self.keys[forgotten.tgid]
            self._forget(forgotten.session)

    def _forget(self, session: Session) -> None:
        """One process of it is no longer followed; whether the session is over cannot be known then."""
        session.processes -= 1
        tree = self.trees.pop((session.root_tgid, session.root_start), None) if session.processes <= 0 else None
        if tree is not None:
            self._bury(tree)

    def _take_pid(self, tgid: int) -> Process | None:
        """A pid is met under another key: whoever had it has gone or moved."""
        key = self.keys.pop(tgid, None)
        return self.processes.pop(key, None) if key is not None else None

    def _leave(self, process: Process, exit_code: int | None, cause: Cause, events: list[Event]) -> None:
        session = process.session
        session.processes -= 1
        place = (session.root_tgid, session.root_start)
        tree = self.trees.get(place)
        if tree is None:
            return
        is_root = _is_root(process, session)
        if is_root:
            tree.exit_code = exit_code
        if session.processes <= 0 and (is_root or tree.exit_code is not None or not _may_be_older(session)):
            self._end(place, tree, cause, events)

    def _end(self, place: tuple[int, int], tree: Tree, cause: Cause, events: list[Event]) -> None:
        code, signal = (None, None) if tree.exit_code is None else describe_exit(tree.exit_code)
        duration = max(0, cause.time - cause.anchor - tree.session.root_start)
        event = SessionEnd(f"{cause.id}.end.{tree.session.id}", cause.time, tree.root)
        event.code, event.signal, event.duration = code, signal, duration
        events.append(event)
        self._bury(self.trees.pop(place))

    def _bury(self, tree: Tree) -> None:
        self.past[tree.session.root_tgid, tree.session.root_start] = tree
        if len(self.past) > MOST_ENDED:
            del self.past[next(iter(self.past))]
