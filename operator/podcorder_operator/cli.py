"""The command line: `podcorder-operator`."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from pathlib import Path
from uuid import uuid4

import click
import kopf
from kubernetes.aio.client.configuration import Configuration

from podcorder_operator.api import Api
from podcorder_operator.controller import Controller
from podcorder_operator.credentials import load_configuration
from podcorder_operator.elections import Election
from podcorder_operator.errors import OperatorError
from podcorder_operator.handlers import make_kopf_settings, make_registry
from podcorder_operator.logs import configure_logs
from podcorder_operator.metrics import Metrics
from podcorder_operator.probes import Probes
from podcorder_operator.settings import Settings

logger = logging.getLogger(__name__)

_LEASE_TIMEOUT = 2.0
"""Seconds: well below the time in which a leader must renew its lease, so that two tries fit into it."""


@click.command(context_settings={"auto_envvar_prefix": "PODCORDER", "show_default": True, "max_content_width": 100})
@click.option("--namespace", default=Settings.namespace, show_envvar=True, help="Namespace of the operator's Lease.")
@click.option("--lease-name", default=Settings.lease_name, show_envvar=True, help="Name of the operator's Lease.")
@click.option(
    "--probe-port",
    type=click.IntRange(0, 65535),
    default=Settings.probe_port,
    show_envvar=True,
    help="Port of /healthz, /readyz and /metrics.",
)
@click.option(
    "--webhook-port",
    type=click.IntRange(1, 65535),
    default=Settings.webhook_port,
    show_envvar=True,
    help="Port of the admission webhook.",
)
@click.option(
    "--webhook-certificate",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="PEM file; without one there is no admission webhook.",
)
@click.option("--webhook-key", type=click.Path(path_type=Path), show_envvar=True, help="PEM file of its key.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default=Settings.log_level,
    show_envvar=True,
    help="What to log, as JSON lines on standard error.",
)
def main(
    namespace: str,
    lease_name: str,
    probe_port: int,
    webhook_port: int,
    webhook_certificate: Path | None,
    webhook_key: Path | None,
    log_level: str,
) -> None:
    """Turn recording policies into one config for each node. Reaches the API server by KUBECONFIG or as a pod."""
    configure_logs(log_level)
    try:
        settings = Settings(
            namespace, lease_name, probe_port, webhook_port, webhook_certificate, webhook_key, log_level
        )
        asyncio.run(operate(settings))
    except OperatorError as error:
        click.echo(f"podcorder-operator: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception:
        logger.exception("A part of the operator failed in a way that it knows no answer to; it ends.")
        sys.exit(OperatorError.exit_code)


async def operate(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT. Raises OperatorError, or what a part of the operator could not handle."""
    metrics = Metrics()
    configuration = await load_configuration(os.environ)
    async with (
        Api(configuration, metrics) as api,
        Api(configuration, metrics, connections=2, timeout=_LEASE_TIMEOUT) as lease_api,
    ):
        identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid4()}"
        election = Election(lease_api, settings.namespace, settings.lease_name, identity)
        controller = Controller(api, election, metrics)
        async with Probes(
            settings.probe_port,
            metrics,
            check_health=controller.check_health,
            check_readiness=controller.check_readiness,
        ):
            await _run_in_kopf(settings, configuration, controller)


async def _run_in_kopf(settings: Settings, configuration: Configuration, controller: Controller) -> None:
    ended = asyncio.Event()
    running = asyncio.create_task(controller.run(), name="controller")
    running.add_done_callback(lambda _: ended.set())

    async def stop() -> None:
        running.cancel()
        await asyncio.wait({running})

    try:
        await kopf.operator(
            registry=make_registry(settings, configuration, start=controller.wait_synced, stop=stop),
            settings=make_kopf_settings(settings),
            standalone=True,
            clusterwide=True,
            stop_flag=ended,
        )
    finally:
        await stop()
    if not running.cancelled():
        running.result()
