"""What the kubelet and Prometheus ask: /healthz, /readyz and /metrics.

Kopf's own liveness server is not used: it knows no readiness, and a probe of it that raises never answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web

from podcorder_operator.errors import PortTaken
from podcorder_operator.listeners import listen
from podcorder_operator.metrics import Metrics

Check = Callable[[], str]
"""Returns an empty string, or a sentence that says what is wrong."""

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Probes:
    """The server, while the context lasts."""

    def __init__(self, port: int, metrics: Metrics, *, check_health: Check, check_readiness: Check) -> None:
        """Port 0: any that is free, see `port` then."""
        self.port = port
        application = web.Application()
        application.add_routes(
            [
                web.get("/healthz", _answer(check_health)),
                web.get("/readyz", _answer(check_readiness)),
                web.get("/metrics", self._answer_metrics),
            ]
        )
        self._metrics = metrics
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def __aenter__(self) -> Self:
        """Raises PortTaken."""
        await self._runner.setup()
        try:
            await web.SockSite(self._runner, listen(self.port)).start()
        except OSError as error:
            await self._runner.cleanup()
            raise PortTaken(
                f"Port {self.port} cannot be opened for probes ({error.strerror}): give another one with --probe-port."
            ) from error
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": _METRICS_TYPE})


def _answer(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        problem = check()
        return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)

    return answer
