"""The order in which nodes get their configs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from podcorder_operator.queues import SMALL, NodeQueue


def play(test: Callable[[NodeQueue], Awaitable[None]]) -> None:
    async def run() -> None:
        await asyncio.wait_for(test(NodeQueue()), 20)

    asyncio.run(run())


def test_small_changes_first() -> None:
    """Nodes of small changes go before those of large ones, each in the order of their coming."""

    async def test(queue: NodeQueue) -> None:
        for node in ("a", "b"):
            queue.add(node, SMALL + 1)
        for node in ("c", "d"):
            queue.add(node, SMALL)
        assert [await queue.take() for _ in range(4)] == ["c", "d", "a", "b"]

    play(test)


def test_once() -> None:
    """A node that is added again before its turn has one turn, the earlier one."""

    async def test(queue: NodeQueue) -> None:
        for node, wave in (("a", 2000), ("b", 2000), ("b", 1), ("b", 2000), ("a", 2000)):
            queue.add(node, wave)
        assert len(queue) == 2
        assert [await queue.take() for _ in range(2)] == ["b", "a"]
        assert len(queue) == 0

    play(test)


def test_in_one_hand() -> None:
    """A node that somebody has is given to nobody else before it is done, and then it is."""

    async def test(queue: NodeQueue) -> None:
        queue.add("a", 1)
        assert await queue.take() == "a"
        queue.add("a", 1)
        queue.add("b", 1)
        assert await queue.take() == "b"
        waiting = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.done("a")
        assert await waiting == "a"

    play(test)


def test_later() -> None:
    """A node that was put off comes by itself, after its time and not twice."""

    async def test(queue: NodeQueue) -> None:
        loop = asyncio.get_running_loop()
        queue.add("a", 1)
        begun = loop.time()
        node = await queue.take()
        for seconds in (0.0, 0.05):
            queue.add_later(node, seconds)
        queue.done(node)
        assert queue.is_later("a")
        assert await queue.take() == "a"
        assert loop.time() - begun >= 0.05
        assert not queue.is_later("a")
        assert len(queue) == 0

    play(test)


def test_later_keeps_its_rank() -> None:
    """What was put off of a large change is behind a small one again."""

    async def test(queue: NodeQueue) -> None:
        for node, wave in (("small", 1), ("large", SMALL + 1)):
            queue.add(node, wave)
        for _ in range(2):
            queue.add_later(await queue.take(), 0.0)
        for node in ("large", "small"):
            queue.done(node)
        while len(queue) < 2 or queue.is_later("large") or queue.is_later("small"):
            await asyncio.sleep(0)
        assert [await queue.take() for _ in range(2)] == ["small", "large"]

    play(test)


def test_closed() -> None:
    """After the end nothing comes any more."""

    async def test(queue: NodeQueue) -> None:
        queue.add("a", 1)
        queue.add_later(await queue.take(), 0.0)
        queue.close()
        assert len(queue) == 0

    play(test)
