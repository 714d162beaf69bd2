"""When each node's agent was heard of last: by its Lease, as this replica sees it renewed."""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from datetime import datetime
from typing import Any, NamedTuple

from podcorder_operator.resources import Resource

AGENT_LEASE = "agent."
"""What the name of an agent's Lease begins with; the node's name follows."""

SILENCE_SECONDS = 10.0
"""Without a word of any Lease: either nobody can renew one, or this replica does not see it."""


class Beat(NamedTuple):
    """The last renewal of a node's Lease."""

    text: str
    """Its time as the agent wrote it, by the node's clock."""
    written: float
    """The same in Unix seconds."""
    seen: float
    """When this replica saw it, in seconds of its monotonic clock."""


class Age(NamedTuple):
    """How long ago a node's agent was heard of."""

    seen: float
    """Seconds, by this replica's own clock alone."""
    written: float
    """Seconds from the time that the agent wrote until now: what two clocks that differ add is in it."""


class Heartbeats:
    """A stream's sink for Leases; those that are no agent's are passed over."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, clock: Callable[[], float] = time.time) -> None:
        self.known = False
        """Whether all Leases were listed, and are followed since."""
        self._monotonic = monotonic
        self._clock = clock
        self._beats: dict[str, Beat] = {}
        self._heard = self._followed = float("-inf")
        """When any Lease was last seen to change, and since when that was never long ago, by the monotonic clock."""

    def age(self, node: str) -> Age | None:
        """None where the agent has no Lease, or one that says nothing."""
        beat = self._beats.get(node)
        return None if beat is None else Age(self._monotonic() - beat.seen, self._clock() - beat.written)

    @property
    def steady_seconds(self) -> float:
        """For how long Leases have been followed without a silence of all, which would be the API server's and not the
        agents': the operator's own Lease is among them, and is renewed every 2 seconds."""
        now = self._monotonic()
        return now - self._followed if self.known and now - self._heard <= SILENCE_SECONDS else 0.0

    def clear(self) -> None:
        """Leases are not followed any more."""
        self.known = False
        self._beats.clear()

    def put(self, resource: Resource, raw: dict[str, Any]) -> None:
        """A Lease as it is now."""
        now = self._monotonic()
        if now - self._heard > SILENCE_SECONDS:
            self._followed = now
        self._heard = now
        name = raw["metadata"]["name"]
        if not name.startswith(AGENT_LEASE):
            return
        node = name.removeprefix(AGENT_LEASE)
        try:
            text = raw["spec"]["renewTime"]
            written = datetime.fromisoformat(text).timestamp()
        except (KeyError, TypeError, ValueError, OverflowError):  # an agent writes what it likes
            self._beats.pop(node, None)
            return
        before = self._beats.get(node)
        if before is not None and before.text == text:
            return
        # Of a Lease not seen before nobody saw when it was renewed: what it says is believed, as far as it is past.
        passed = max(0.0, self._clock() - written) if before is None else 0.0
        self._beats[node] = Beat(text, written, now - passed)

    def drop(self, resource: Resource, namespace: str, name: str) -> None:
        if name.startswith(AGENT_LEASE):
            self._beats.pop(name.removeprefix(AGENT_LEASE), None)

    def listed(self, resource: Resource, keys: Set[tuple[str, str]]) -> None:
        names = {name for _, name in keys}
        for node in [node for node in self._beats if AGENT_LEASE + node not in names]:
            del self._beats[node]
        self.known = True
