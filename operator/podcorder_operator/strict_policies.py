"""Which policies refuse sessions that would not be recorded, and who waits for a change of that."""

from __future__ import annotations

import asyncio

from podcorder_operator.policies import Policy, PolicyKey


class StrictPolicies:
    """The valid policies of mode Strict over sessions that people ask the API server for."""

    def __init__(self) -> None:
        self.keys: set[PolicyKey] = set()
        self.changed = asyncio.Event()
        """Set whenever these policies, or the namespaces that they select, may have changed; who waits clears it."""
        self.begun = asyncio.Event()
        """Set while there is one."""
        self.ended = asyncio.Event()
        """Set while there is none."""
        self.ended.set()

    def put(self, policy: Policy) -> None:
        """A valid policy, as it is now."""
        if policy.rules is not None and policy.rules.gates:
            self.keys.add(policy.key)
            self._tell()

    def drop(self, key: PolicyKey) -> None:
        """That it was none of them is fine."""
        if key in self.keys:
            self.keys.discard(key)
            self._tell()

    def touch(self) -> None:
        """A namespace came, went, or has other labels."""
        if self.keys:
            self.changed.set()

    def _tell(self) -> None:
        self.changed.set()
        now, before = (self.begun, self.ended) if self.keys else (self.ended, self.begun)
        before.clear()
        now.set()
