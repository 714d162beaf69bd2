"""The server that the API server asks about sessions. Kopf's own cannot be used: it gives CONNECT reviews no names."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Callable
from typing import Self

from aiohttp import web

from podcorder_operator.errors import PortTaken
from podcorder_operator.listeners import listen
from podcorder_operator.metrics import Metrics
from podcorder_operator.sessions.announcer import Announcer
from podcorder_operator.sessions.certificates import Certificate
from podcorder_operator.sessions.reviews import Garbled, read_review, write_answer

logger = logging.getLogger(__name__)

MAX_REVIEW_BYTES = 1 << 23
"""Two pods as large as etcd takes them, and room to spare."""

MAX_ANSWERING = 512
"""Reviews at a time, with their connections 50 MB: where the API server has become so slow that more of them wait, they
are turned away, which is the same as no answer."""


class Endpoint:
    """The server, while the context lasts.

    Whoever can ask it can have it write down anybody's name. So the API server alone is told its path, `/sessions/` and
    a secret word; who does not know it is not listened to.
    """

    def __init__(
        self,
        port: int,
        certificate: Certificate,
        token: str,
        announcer: Announcer,
        metrics: Metrics,
        is_ready: Callable[[], bool],
    ) -> None:
        """Port 0: any that is free, see `port` then. `is_ready`: whether the policies are known."""
        self.port = port
        self._certificate = certificate
        self._token = token.encode()
        self._announcer = announcer
        self._metrics = metrics
        self._is_ready = is_ready
        application = web.Application(client_max_size=MAX_REVIEW_BYTES)
        application.add_routes([web.post("/sessions/{token}", self._answer)])
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=5.0)
        self._answering = 0
        """How many are being answered."""
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Raises PortTaken."""
        await self._runner.setup()
        try:
            await web.SockSite(self._runner, listen(self.port), ssl_context=self._certificate.context).start()
        except OSError as error:
            await self._runner.cleanup()
            raise PortTaken(
                f"Port {self.port} cannot be opened for admission reviews of sessions ({error.strerror}): "
                "give another one with --sessions-port."
            ) from error
        self.port = self._runner.addresses[0][1]
        self._following = asyncio.create_task(self._certificate.follow(), name="certificate")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Answers what was asked before it ends."""
        if self._following is not None:
            self._following.cancel()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.match_info["token"].encode(), self._token):
            raise web.HTTPNotFound
        if not self._is_ready() or self._answering >= MAX_ANSWERING:
            self._metrics.count_admission("unknown", "turned_away", 0.0)
            raise web.HTTPServiceUnavailable
        self._answering += 1
        try:
            return await self._review(request)
        finally:
            self._answering -= 1

    async def _review(self, request: web.Request) -> web.Response:
        begun = asyncio.get_running_loop().time()
        try:
            review = read_review(json.loads(await request.read()))
        except (ValueError, RecursionError) as error:
            raise web.HTTPBadRequest(text=f"The body is no JSON: {error}.") from error
        except Garbled as error:
            raise web.HTTPBadRequest(text=f"The body is no review of a session: {error}.") from error
        verdict = await self._announcer.answer(review)
        seconds = asyncio.get_running_loop().time() - begun
        self._metrics.count_admission(review.source, verdict.outcome, seconds)
        return web.json_response(write_answer(review, verdict))
