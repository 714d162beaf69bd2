"""Joins the sessions that the kernel tells of with the requests that the operator has written down.

From the fact `announcing` on, the events of an Exec or Debug session are kept back until it is known whose it is, a
short while at most. What is found out later is told by `podcorder.session.identified`, for the whole session. Pure:
what a frame's time makes due is done with that frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from podcorder_agent.interpreter.announcements import (
    Announcement,
    make_debug_key,
    make_exec_key,
    read_announcement,
)
from podcorder_agent.interpreter.asked import tell_request
from podcorder_agent.interpreter.events import Event, Finding, SessionIdentified
from podcorder_agent.interpreter.ledgers import Ledger
from podcorder_agent.interpreter.pools import Failure, Pool, Root, Verdict, longest_start
from podcorder_agent.interpreter.probes import Program
from podcorder_agent.interpreter.subjects import Container, Identity, Process, Session, SessionKind
from podcorder_agent.interpreter.waiting import MOST_HELD, Waiting
from podcorder_crds.digests import digest_command

ANNOUNCING, ANNOUNCEMENT, CURRENT = "announcing", "announcement", "current"
"""Subjects of facts: that announcements are told, one of them, and that there were no others until now."""
MOST_POOLS = 4096
MOST_SETTLED = 4096
_MS = 10**6
_KINDS = (SessionKind.EXEC, SessionKind.DEBUG)

Key = tuple[str, ...]


class Claims:
    """Whose the sessions of one boot are."""

    def __init__(self, root_of: Callable[[Session], Process], refresh: Callable[[Session], None]) -> None:
        self.active = False
        """Whether announcements are told at all: `podcorder record` knows none."""
        self.waiting = Waiting()
        self.ledger = Ledger(root_of)
        self.anchor = 0
        self.now = 0
        """Unix time minus boot time, and the boot time of the frame at hand, ns."""
        self.begun = -1
        """Boot time of the `announcing` that holds, ns: the journal may carry an older one forward."""
        self.key = b""
        self.hold = self.unannounced = 0
        self.pools: dict[Key, Pool] = {}
        self.settled: dict[str, None] = {}
        """Uids of RecordedSessions that were told of before: a restarted agent tells of them again."""
        self.due: int | None = None
        """Boot time at which something is due, ns, though nothing happens."""
        self._root_of = root_of
        self._refresh = refresh
        self._ready: list[Event] = []

    # What frames tell

    def take_fact(self, subject: object, data: object, time: int, containers: Iterable[Container]) -> list[Event]:
        """A fact that the agent sent at this boot time, ns: before now where the journal carried it forward. Returns
        the events it makes."""
        told: list[Event] = []
        if subject == ANNOUNCING and isinstance(data, dict) and time >= self.begun:
            self._begin(data, time)
        elif subject == ANNOUNCEMENT and self.active:
            request = read_announcement(data, time)
            if request is not None and request.uid not in self.settled:
                self._settle(request)
                told = self._announce(request, containers)
        elif subject == CURRENT:
            self._find_unannounced(time)
        return told

    def _begin(self, data: dict[str, Any], time: int) -> None:
        try:
            key, hold, unannounced = bytes.fromhex(data["key"]), int(data["hold_ms"]), int(data["unannounced_ms"])
        except (KeyError, TypeError, ValueError):
            return
        self.begun, self.key, self.active = time, key, True
        self.hold, self.unannounced = min(max(hold, 0), 60_000) * _MS, min(max(unannounced, 0), 3_600_000) * _MS
        for pool in self._all_pools():
            pool.hold = self.hold

    def _announce(self, request: Announcement, containers: Iterable[Container]) -> list[Event]:
        if request.kind not in _KINDS:
            return tell_request(request, request.arrived + self.anchor, containers)
        if self.now < request.arrived + longest_start(request):
            for verdict in self._pool((request.key,)).announce(request):
                self._tell(verdict)
        return []

    def expects(self, container: Container, program: Program) -> bool:
        """Whether somebody asked for this command and it may not have begun."""
        found = (self.pools.get(key) for key in self._exec_keys(container, program))
        return any(pool.open for pool in found if pool is not None)

    def begin(self, session: Session, program: Program | None, also_probe: bool, start: int) -> None:
        """A session began at this Unix time, ns; `program` is what its root executed, None: that is not known."""
        if session.kind is SessionKind.HOST:
            self.ledger.open(session, start)
            return
        if not self.active or session.kind not in _KINDS:
            return
        self.ledger.open(session, start)
        keys = self._keys(session, program)
        root = Root(session, self.now, start, also_probe)
        if not keys or session.partial:
            self._tell(Verdict(root, Identity.PENDING))
            return
        self.waiting.begin(session)
        self._pool(keys).begin(root)

    def begin_moved(self, session: Session, start: int) -> None:
        """A session began at this Unix time, ns: its root was moved here out of another container, so nobody asked."""
        if not self.active or session.kind not in _KINDS:
            return
        self.ledger.open(session, start)
        self._tell(Verdict(Root(session, self.now, start), Identity.UNANNOUNCED))
        self._find(session, "This process was moved here out of another container.")

    def fail(self, container: Container, program: Program, tgid: int, error: str | None) -> None:
        """A runtime's process could not execute this: if it never does, somebody's request came to nothing."""
        if not self.active:
            return
        for key in self._exec_keys(container, program):
            pool = self.pools.get(key)
            if pool is not None:
                pool.failures[tgid] = Failure(self.now, error)

    def pass_on(self, events: list[Event]) -> list[Event]:
        """Those of the events that need not wait."""
        if not self.waiting.sessions:
            return events
        passed: list[Event] = []
        for event in events:
            process = event.process
            if process is None or not self.waiting.hold(process.session, event):
                passed.append(event)
        return passed

    def go_out(self, passed: list[Event]) -> list[Event]:
        """These events, and what is due by now: what was kept back of sessions that are decided, and what is found out
        late."""
        if self.due is not None and self.now >= self.due:
            self._decide()
        while self.waiting.count > MOST_HELD:
            self._let_largest_go()
        if self._ready or self.pools or self.due is not None:
            self.due = min((pool.due() for pool in self._all_pools()), default=None)
        if self._ready:
            passed = [*passed, *self._ready]
            self._ready = []
        if self.ledger.entries:
            self.ledger.count(passed)
        return passed

    def _let_largest_go(self) -> None:
        """Its events go out without a name, but it is decided when it would have been, as all others are."""
        largest = self.waiting.find_largest()
        root = next(each for pool in self._all_pools() for each in pool.roots if each.session.id == largest)
        self._tell(Verdict(root, Identity.PENDING))

    def let_go(self) -> list[Event]:
        """Keep nothing back any more, whatever is known."""
        for pool in self._all_pools():
            for root in pool.roots:
                if root.session.id in self.waiting.sessions:
                    root.told = True
                    self._tell(Verdict(root, Identity.PENDING))
        ready, self._ready = self._ready, []
        return ready

    # Decisions

    def _decide(self) -> None:
        for pool in self._all_pools():
            for verdict in pool.decide(self.now):
                self._tell(verdict)
            for request, error in pool.fail(self.now):
                self.ledger.note_unstarted(request, error)
            for request in pool.expire(self.now):
                self.ledger.note_unstarted(request, None)
        self.pools = {key: pool for key, pool in self.pools.items() if not pool.empty}

    def _tell(self, verdict: Verdict) -> None:
        """Say whose a session is: with its events, where they still wait, else by an event of its own."""
        session = verdict.root.session
        is_news = session.identity is not None and verdict.identity is not Identity.PENDING
        name_session(session, verdict)
        self.ledger.note_verdict(session, verdict)
        if session.id in self.waiting.sessions:
            self._ready += self.waiting.release(session.id)
        elif is_news:
            self._refresh(session)
            self._ready.append(self._identified(session))

    def _identified(self, session: Session) -> SessionIdentified:
        number = self.ledger.number(session)
        identity = f"{session.id}.identified.{number}"
        return SessionIdentified(identity, self.now + self.anchor, self._root_of(session))

    def _find_unannounced(self, time: int) -> None:
        """The agent had told of all requests until this boot time, ns."""
        for root in self._unreported():
            if time >= root.seen + self.unannounced:
                root.reported = True
                self._tell(Verdict(root, Identity.UNANNOUNCED))
                self._find(root.session, "Nobody asked the API server for this session.")

    def _find(self, session: Session, message: str) -> None:
        finding = Finding(f"{session.id}.unannounced", self.now + self.anchor)
        finding.process, finding.subject, finding.message = self._root_of(session), "session", message
        self._ready.append(finding)

    def _unreported(self) -> list[Root]:
        """Those that have gone out without a name, which nobody was told of yet."""
        roots = (root for pool in self._all_pools() for root in pool.roots)
        return [each for each in roots if each.told and not each.reported]

    # Pools

    def _keys(self, session: Session, program: Program | None) -> list[Key]:
        pod = session.container.pod
        if session.kind is SessionKind.DEBUG:
            return [make_debug_key(pod.uid, pod.container)] if pod and pod.uid and pod.container else []
        return [] if program is None else self._exec_keys(session.container, program)

    def _exec_keys(self, container: Container, program: Program) -> list[Key]:
        pod = container.pod
        if pod is None or not pod.uid or not pod.container:
            return []
        words = {digest_command(self.key, argv) for argv in commands_of(program)}
        return [make_exec_key(pod.uid, pod.container, each, program.terminal) for each in sorted(words)]

    def _pool(self, keys: Iterable[Key]) -> Pool:
        """One for all keys: what could have been asked for in two ways is one thing."""
        keys = tuple(keys)
        found = list(dict.fromkeys(pool for key in keys if (pool := self.pools.get(key)) is not None))
        pool = found[0] if found else Pool(self.hold)
        for other in found[1:]:
            pool.absorb(other)
            self.pools |= {key: pool for key, each in self.pools.items() if each is other}
        for key in keys:
            self.pools[key] = pool
        while len(self.pools) > MOST_POOLS:
            self._drop(next(iter(self.pools)))
        return pool

    def _drop(self, key: Key) -> None:
        pool = self.pools.pop(key)
        for root in pool.roots:
            if not root.told:
                self._tell(Verdict(root, Identity.PENDING))

    def _all_pools(self) -> list[Pool]:
        return list(dict.fromkeys(self.pools.values()))

    def _settle(self, request: Announcement) -> None:
        self.settled[request.uid] = None
        if len(self.settled) > MOST_SETTLED:
            del self.settled[next(iter(self.settled))]


def commands_of(program: Program) -> list[bytes]:
    """What may have been asked for to run this, as argv would stand in memory. Nothing where argv is cut.

    Of a script the kernel has put the interpreter and maybe one argument of its own in front, and the name of the file
    in the place of the name that was given (fs/binfmt_script.c): that was the file's, or its last part, found in PATH.
    """
    if program.total != len(program.argv) or not program.argv:
        return []
    if not program.script:
        return [program.argv]
    words = program.argv.split(b"\0")[:-1]
    if program.filename not in words[1:]:
        return []
    rest = words[words.index(program.filename, 1) + 1 :]
    name = program.filename.rpartition(b"/")[2]
    return [b"".join(word + b"\0" for word in (each, *rest)) for each in dict.fromkeys((program.filename, name))]


def name_session(session: Session, verdict: Verdict) -> None:
    """Give a session what is known of whose it is."""
    request = verdict.announcement
    session.identity = verdict.identity
    session.user_name = session.user_id = session.user_groups = None
    session.record = session.request_id = session.candidates = None
    if request is not None:
        session.user_name, session.user_id = request.user.name, request.user.uid
        session.user_groups = list(request.user.groups) or None
        session.record, session.request_id = "/".join(request.record), request.request_id or None
    elif verdict.candidates:
        session.candidates = sorted({each.user.name for each in verdict.candidates})
