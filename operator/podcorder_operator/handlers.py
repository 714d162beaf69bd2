"""The operator as kopf runs it: start, stop, credentials, admission."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import kopf
from kubernetes.aio.client.configuration import Configuration

from podcorder_operator.admission import Denied, review
from podcorder_operator.backoffs import Backoff
from podcorder_operator.resources import CLUSTER_POLICIES, GROUP, POLICIES, Resource
from podcorder_operator.settings import Settings

logger = logging.getLogger(__name__)

WEBHOOK_PATH = "policies"
"""Kopf lets pass what comes on any other path, so the webhook's configuration must name this one."""


class _Backoffs:
    """Kopf gives up after its last wait; this has none, as an API server may be away for long."""

    def __iter__(self) -> Iterator[float]:
        backoff = Backoff()
        while True:
            yield backoff.take()


def make_kopf_settings(settings: Settings) -> kopf.OperatorSettings:
    made = kopf.OperatorSettings()
    made.scanning.disabled = True  # no right to watch CustomResourceDefinitions is needed
    made.posting.enabled = False  # Events are written by `notices`
    made.networking.error_backoffs = _Backoffs()
    made.networking.request_timeout = 10.0
    # Kopf marks no object of ours; should that ever change, the marks are at least its own.
    made.persistence.finalizer = f"{GROUP}/operator"
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    made.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    made.admission.managed = None  # the chart has the webhook's configuration
    if settings.webhook_certificate is not None and settings.webhook_key is not None:
        made.admission.server = kopf.WebhookServer(
            port=settings.webhook_port,
            certfile=str(settings.webhook_certificate),
            pkeyfile=str(settings.webhook_key),
        )
    return made


def make_registry(
    settings: Settings,
    configuration: Configuration,
    *,
    start: Callable[[], Awaitable[None]],
    stop: Callable[[], Awaitable[None]],
) -> kopf.OperatorRegistry:
    """`start` returns when admission may begin; `stop` when nothing is left running."""
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(id="start", registry=registry)
    async def begin(**_: Any) -> None:
        try:
            await start()
        except asyncio.CancelledError:  # told to stop before the start was over: kopf cleans up only after one
            await stop()
            raise

    @kopf.on.cleanup(id="stop", registry=registry)
    async def end(**_: Any) -> None:
        await stop()

    @kopf.on.login(id="login", registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _read_connection(configuration)

    if settings.webhook_certificate is not None:
        for resource in (POLICIES, CLUSTER_POLICIES):
            kopf.on.validate(
                resource.group,
                resource.version,
                resource.plural,
                id=WEBHOOK_PATH,
                operations=["CREATE", "UPDATE"],
                registry=registry,
            )(partial(_validate, resource))
    return registry


async def _validate(resource: Resource, /, *, new: Any, old: Any, warnings: list[str], **_: Any) -> None:
    try:
        warnings += review(resource, dict(new), dict(old) if old is not None else None)
    except Denied as denied:
        raise kopf.AdmissionError(str(denied), code=422) from None


async def _read_connection(configuration: Configuration) -> kopf.ConnectionInfo:
    """The same credentials as everybody else's here, as they are now."""
    header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or ""
    scheme, _, token = header.rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        ca_data=configuration.ca_cert_data,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
