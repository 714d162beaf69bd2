"""Nodes that wait for their configs: those of small changes first, each at most once, none in two hands."""

from __future__ import annotations

import asyncio

SMALL = 16
"""A change that touches at most so many nodes does not wait behind one that touches more."""


class NodeQueue:
    """First come, first served within small changes and within large ones."""

    def __init__(self) -> None:
        self._small: dict[str, None] = {}
        self._large: dict[str, None] = {}
        self._busy: dict[str, bool] = {}
        """Nodes in somebody's hand, and whether they came of a small change."""
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._small) + len(self._large) + len(self._later)

    def add(self, node: str, wave: int) -> None:
        """`wave`: how many nodes the change touches."""
        if wave <= SMALL:
            self._large.pop(node, None)
            self._small[node] = None
        elif node not in self._small:
            self._large[node] = None
        self._filled.set()

    def add_later(self, node: str, seconds: float) -> None:
        """After a while, for whoever has the node in hand; takes the place of an earlier wish."""
        if known := self._later.pop(node, None):
            known.cancel()
        wave = SMALL if self._busy[node] else SMALL + 1
        self._later[node] = asyncio.get_running_loop().call_later(seconds, self._ripen, node, wave)

    def is_later(self, node: str) -> bool:
        """Whether the node was put off."""
        return node in self._later

    async def take(self) -> str:
        """The next node; it is nobody else's until `done`."""
        while True:
            for waiting in (self._small, self._large):
                for node in waiting:
                    if node not in self._busy:
                        del waiting[node]
                        self._busy[node] = waiting is self._small
                        return node
            self._filled.clear()
            await self._filled.wait()

    def done(self, node: str) -> None:
        self._busy.pop(node, None)
        self._filled.set()

    def close(self) -> None:
        """Nothing ripens any more."""
        for handle in self._later.values():
            handle.cancel()
        self._later.clear()

    def _ripen(self, node: str, wave: int) -> None:
        self._later.pop(node, None)
        self.add(node, wave)
