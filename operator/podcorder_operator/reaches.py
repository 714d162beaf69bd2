"""How far each policy has come, node by node: only the exceptions are kept, so that a cluster at rest costs nothing."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class State(Enum):
    """A policy on a node."""

    ELSEWHERE = "elsewhere"
    """The policy does not concern the node."""
    LEFT_OUT = "left out"
    """It did not fit into the node's config."""
    BEHIND = "behind"
    """The node has not applied it, as it is now, yet."""
    DEGRADED = "degraded"
    """Applied, but the node lacks, in part or in whole, a capability that it needs."""
    APPLIED = "applied"
    """Applied, and in full."""


class Tally(NamedTuple):
    """A policy's nodes, with the first by name of each exception."""

    matched: int = 0
    """Nodes whose configs hold it, or will as soon as they are written."""
    applied: int = 0
    degraded: int = 0
    """Of the applied."""
    behind: int = 0
    left_out: int = 0
    first_behind: str = ""
    first_degraded: str = ""
    first_left_out: str = ""


@dataclass(slots=True)
class Reach:
    """The exceptions of one policy: a node is in one set at most."""

    behind: set[str] = field(default_factory=set)
    degraded: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)

    def note(self, node: str, state: State) -> bool:
        """Returns whether this is news."""
        changed = False
        for here, nodes in (
            (state is State.BEHIND, self.behind),
            (state is State.DEGRADED, self.degraded),
            (state is State.LEFT_OUT, self.left_out),
        ):
            if here != (node in nodes):
                changed = True
                (nodes.add if here else nodes.discard)(node)
        return changed

    def tally(self, concerned: Set[str]) -> Tally:
        """`concerned`: the nodes that the policy concerns."""
        matched = len(concerned) - len(self.left_out)
        return Tally(
            matched,
            matched - len(self.behind),
            len(self.degraded),
            len(self.behind),
            len(self.left_out),
            min(self.behind, default=""),
            min(self.degraded, default=""),
            min(self.left_out, default=""),
        )
