"""When nobody asks an API server that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from podcorder_operator.errors import ApiError, Conflict, Refused, TooManyRequests, Unavailable
from podcorder_operator.gates import LEAST, PATIENCE, Gate

AWAY = Unavailable(503, "ServiceUnavailable", "not now")


def play(test: Callable[[Gate], Awaitable[None]]) -> None:
    async def run() -> None:
        await asyncio.wait_for(test(Gate()), 20)

    asyncio.run(run())


async def measure(gate: Gate) -> float:
    """Seconds until the gate is open."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    return await gate.wait() - begun


@pytest.mark.parametrize("error", [Conflict(409, "Conflict", ""), Refused(422, "Invalid", "")])
def test_answers_close_nothing(error: ApiError) -> None:
    """What the API server says of one object is no reason not to ask about others."""

    async def test(gate: Gate) -> None:
        gate.close(error, await gate.wait())
        assert await measure(gate) < LEAST / 2

    play(test)


def test_no_answer() -> None:
    """After no answer nobody asks for a while; requests that failed together count once."""

    async def test(gate: Gate) -> None:
        begun = [await gate.wait() for _ in range(8)]
        for each in begun:
            gate.close(AWAY, each)
        assert LEAST * 0.9 < await measure(gate) < LEAST * 1.9

    play(test)


def test_asked_to_wait() -> None:
    """The API server's own wish is granted."""

    async def test(gate: Gate) -> None:
        gate.close(TooManyRequests(429, "TooManyRequests", "", retry_after=0.9), await gate.wait())
        assert await measure(gate) >= 0.9

    play(test)


def test_errors_inside_the_server() -> None:
    """Errors inside the API server may be about single objects: only many in a row close the gate."""

    async def test(gate: Gate) -> None:
        error = Unavailable(500, "InternalError", "field not declared in schema")
        for _ in range(2):
            for _ in range(PATIENCE - 1):
                gate.close(error, await gate.wait())
            assert await measure(gate) < LEAST / 2
            gate.succeed()
        for _ in range(PATIENCE):
            gate.close(error, await gate.wait())
        assert await measure(gate) > LEAST / 2

    play(test)
