"""A gate before an API server that does not answer: while it is closed nobody asks."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from podcorder_operator.backoffs import Backoff
from podcorder_operator.errors import ApiError, TooManyRequests, Unavailable

LEAST = 0.5
LONGEST = 8.0
"""Seconds that the gate is closed: a server that is away costs few requests, one that is back is soon found."""
PATIENCE = 8
"""Errors inside the API server, one after the other, that close the gate: fewer may be about single objects."""


class Gate:
    """Shared by all who write at the same time."""

    def __init__(self) -> None:
        self._backoff = Backoff(LEAST, LONGEST)
        self._failures = 0
        self._closed_at = 0.0
        self._open_at = 0.0

    async def wait(self) -> float:
        """Until the gate is open; returns the event loop's time, to be given to `close`."""
        while (now := asyncio.get_running_loop().time()) < self._open_at:
            await asyncio.sleep(self._open_at - now)
        return now

    def succeed(self) -> None:
        """After a request that was granted."""
        self._backoff.reset()
        self._failures = 0

    def close(self, error: ApiError, begun: float) -> None:
        """After a request that `begun` then and failed; those that failed together count once."""
        if not isinstance(error, Unavailable | TooManyRequests) or begun < self._closed_at:
            return
        self._failures += 1
        if error.status == HTTPStatus.INTERNAL_SERVER_ERROR and self._failures < PATIENCE:
            return
        self._failures = 0
        self._closed_at = asyncio.get_running_loop().time()
        self._open_at = self._closed_at + self._backoff.take(error.retry_after)
