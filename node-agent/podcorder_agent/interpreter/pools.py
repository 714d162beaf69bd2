"""Who asked for a session: requests and roots that have the same pod, container, command and terminal, side by side.

Nothing is guessed. A root that could be of one of several people is nobody's: all are named. Pure; times are boot times
of frames in ns, but where Unix time is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from podcorder_agent.interpreter.announcements import Announcement
from podcorder_agent.interpreter.subjects import Identity, Session, SessionKind

SKEW = 10**9
"""How far the operator's clock may be ahead of the node's for a request to be a session's cause, ns."""
LONGEST_START = 60 * 10**9
"""From a request to the session that it asked for, ns; one that takes longer never started."""
LONGEST_DEBUG_START = 600 * 10**9
"""The same of an ephemeral container, whose image is pulled first."""
REMEMBERED = 600 * 10**9
"""How long a session that nobody is known of waits for an announcement, ns: its node may hear of them late."""


@dataclass(slots=True, eq=False)
class Root:
    """A session that began, and what is known of whose it is."""

    session: Session
    seen: int
    """Boot time of the frame that told of it, ns."""
    start: int
    """Unix time, ns."""
    also_probe: bool = False
    """The kubelet runs the same command."""
    told: bool = False
    """It has gone out without a name."""
    reported: bool = False
    """It was said that nobody asked for it."""


@dataclass(slots=True)
class Verdict:
    """Whose a session is."""

    root: Root
    identity: Identity
    announcement: Announcement | None = None
    """The request that it is of; None: it may be of any of the candidates."""
    candidates: tuple[Announcement, ...] = ()


@dataclass(slots=True)
class Failure:
    """A runtime could not execute the command, so far: it may look for it in another place of PATH."""

    seen: int
    """Boot time of the frame, ns."""
    error: str | None


@dataclass(slots=True, eq=False)
class Pool:
    """Requests and roots that cannot be told apart."""

    hold: int
    """How long a root waits for any request, ns, and half of it for more that could be its own."""
    open: list[Announcement] = field(default_factory=list)
    taken: int = 0
    """How many of the open ones belong to roots that are decided."""
    roots: list[Root] = field(default_factory=list)
    """Not decided."""
    decided: list[tuple[Root, Announcement]] = field(default_factory=list)
    """Roots that were given a name a short while ago."""
    latest: int = 0
    """When the last request came."""
    failures: dict[int, Failure] = field(default_factory=dict)
    """By pid of the process that did not become the command: its last."""

    def begin(self, root: Root) -> None:
        """A session began, maybe after its runtime had looked for the command elsewhere."""
        self.failures.pop(root.session.root_tgid, None)
        self.roots.append(root)

    def announce(self, request: Announcement) -> list[Verdict]:
        """A request came. One that may be the cause of a root that was given another's name takes the name back."""
        verdicts = []
        self.latest = request.arrived
        for root, before in self.decided[:]:
            if before.user.name != request.user.name and _may_cause(request, root):
                self.decided.remove((root, before))
                if before not in self.open:
                    self.open.append(before)
                    self.taken += 1
                verdicts.append(Verdict(root, Identity.AMBIGUOUS, None, (before, request)))
        self.open.append(request)
        return verdicts

    def absorb(self, other: Pool) -> None:
        """It turns out that the other's cannot be told from these."""
        self.open = sorted(self.open + other.open, key=lambda each: each.arrived)
        self.taken += other.taken
        self.roots += other.roots
        self.decided += other.decided
        self.latest = max(self.latest, other.latest)
        self.failures |= other.failures

    def due(self) -> int:
        """The next boot time at which something is to be decided, ns."""
        times = [self._ripe(each) for each in self.roots if not each.told or self._requests_for(each)]
        times += [each.arrived + longest_start(each) for each in self.open]
        times += [root.seen + 2 * self.hold for root, _ in self.decided]
        times += [each.seen + REMEMBERED for each in self.roots]
        times += [each.seen + self.hold for each in self.failures.values()]
        return min(times, default=0)

    @property
    def empty(self) -> bool:
        return not (self.open or self.roots or self.decided or self.failures)

    def decide(self, now: int) -> list[Verdict]:
        """What can be said by now."""
        self.decided = [each for each in self.decided if now < each[0].seen + 2 * self.hold]
        verdicts: list[Verdict] = []
        ripe = [each for each in self.roots if now >= self._ripe(each)]
        rivals = [each for each in self.roots if self._requests_for(each)]
        crowded = len(rivals) > len(self.open) - self.taken
        if crowded and any(each in rivals for each in ripe):
            ripe = [each for each in self.roots if each in rivals or each in ripe]
        for root in ripe:
            requests = self._requests_for(root)
            if requests:
                verdicts.append(self._join(root, requests, crowded))
            elif not root.told and now >= root.seen + self.hold:
                verdicts += self._give_up(root)
        if self.taken >= len(self.open):
            self.open, self.taken = [], 0
        return verdicts

    def expire(self, now: int) -> list[Announcement]:
        """Requests of which nothing came; those that may well be a decided root's are dropped only."""
        over = [each for each in self.open if now >= each.arrived + longest_start(each)]
        self.open = [each for each in self.open if each not in over]
        self.roots = [each for each in self.roots if now < each.seen + REMEMBERED]
        gone = over[self.taken :]
        self.taken = max(0, self.taken - len(over))
        return gone

    def fail(self, now: int) -> list[tuple[Announcement, str | None]]:
        """Requests that came to nothing because their command could not be executed, and why. None where it could have
        been another's."""
        over = {tgid: each for tgid, each in self.failures.items() if now >= each.seen + self.hold}
        failed = []
        for tgid, failure in over.items():
            del self.failures[tgid]
            if not self.taken and not self.roots and len({each.user.name for each in self.open}) == 1:
                failed.append((self.open.pop(0), failure.error))
        return failed

    def _ripe(self, root: Root) -> int:
        if root.session.kind is SessionKind.DEBUG and self.open:
            return root.seen
        waited = max(root.seen, self.latest) + self.hold // 2
        return waited if root.told else min(waited, root.seen + self.hold) if self.open else root.seen + self.hold

    def _requests_for(self, root: Root) -> list[Announcement]:
        return [each for each in self.open if _may_cause(each, root)]

    def _join(self, root: Root, requests: list[Announcement], crowded: bool) -> Verdict:
        self.roots.remove(root)
        number, self.taken = self.taken, self.taken + 1
        if root.also_probe or crowded or len({each.user.name for each in requests}) > 1:
            return Verdict(root, Identity.AMBIGUOUS, None, tuple(requests))
        request = requests[min(number, len(requests) - 1)]
        self.decided.append((root, request))
        others = tuple(each for each in requests if each is not request)
        return Verdict(root, Identity.IDENTIFIED, request, others)

    def _give_up(self, root: Root) -> list[Verdict]:
        """Nobody has asked for it; where another one just took such a request, it may have been this one's."""
        root.told = True
        rivals = [each for each in self.decided if abs(root.start - each[0].start) <= self.hold]
        if not rivals:
            return [Verdict(root, Identity.PENDING)]
        self.roots.remove(root)
        self.decided = [each for each in self.decided if each not in rivals]
        candidates = tuple(request for _, request in rivals)
        roots = [*(rival for rival, _ in rivals), root]
        return [Verdict(each, Identity.AMBIGUOUS, None, candidates) for each in roots]


def longest_start(request: Announcement) -> int:
    return LONGEST_DEBUG_START if request.kind == SessionKind.DEBUG else LONGEST_START


def _may_cause(request: Announcement, root: Root) -> bool:
    """What the node knew of before it began may be its cause; of the rest the clocks decide."""
    return request.arrived <= root.seen or request.time is None or request.time <= root.start + SKEW
