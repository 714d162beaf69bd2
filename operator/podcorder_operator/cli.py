"""The command line: `podcorder-operator`."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import click
import kopf
from kubernetes.aio.client.configuration import Configuration

from podcorder_operator.api import Api
from podcorder_operator.controller import Controller
from podcorder_operator.credentials import load_configuration
from podcorder_operator.elections import Election
from podcorder_operator.errors import ApiError, OperatorError, UnloadFailed
from podcorder_operator.handlers import make_kopf_settings, make_registry
from podcorder_operator.listeners import shrink_tls_buffers
from podcorder_operator.logs import configure_logs
from podcorder_operator.metrics import Metrics
from podcorder_operator.probes import Probes
from podcorder_operator.retention import Limits
from podcorder_operator.sessions.announcer import DEADLINE, Announcer
from podcorder_operator.sessions.certificates import read_certificate
from podcorder_operator.sessions.endpoint import Endpoint
from podcorder_operator.settings import Settings
from podcorder_operator.unloading import Outcome, unload
from podcorder_operator.verification import Verification, wait_verified

logger = logging.getLogger(__name__)

_LEASE_TIMEOUT = 2.0
"""Seconds: well below the time in which a leader must renew its lease, so that two tries fit into it."""


@click.group(
    invoke_without_command=True,
    context_settings={"auto_envvar_prefix": "PODCORDER", "show_default": True, "max_content_width": 100},
)
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
    "--sessions-port",
    type=click.IntRange(1, 65535),
    default=Settings.sessions_port,
    show_envvar=True,
    help="Port that the API server asks at before a session begins.",
)
@click.option(
    "--digest-key",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="File with the key of the commands' digests, 32 bytes; without one no session is announced.",
)
@click.option(
    "--sessions-token",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="File with the secret last word of the path that the API server asks at.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default=Settings.log_level,
    show_envvar=True,
    help="What to log, as JSON lines on standard error.",
)
@click.option(
    "--retention-days",
    type=click.IntRange(1, 36_500),
    default=Settings.retention_days,
    show_envvar=True,
    help="Days that records of sessions are kept after the sessions' end.",
)
@click.option(
    "--retention-count",
    type=click.IntRange(1),
    default=Settings.retention_count,
    show_envvar=True,
    help="Records of ended sessions that are kept at most.",
)
@click.pass_context
def main(
    context: click.Context,
    namespace: str,
    lease_name: str,
    probe_port: int,
    webhook_port: int,
    webhook_certificate: Path | None,
    webhook_key: Path | None,
    sessions_port: int,
    digest_key: Path | None,
    sessions_token: Path | None,
    log_level: str,
    retention_days: int,
    retention_count: int,
) -> None:
    """Turn recording policies into one config for each node. Reaches the API server by KUBECONFIG or as a pod."""
    configure_logs(log_level)
    with _explaining():
        context.obj = Settings(
            namespace,
            lease_name,
            probe_port,
            webhook_port,
            webhook_certificate,
            webhook_key,
            sessions_port,
            digest_key,
            sessions_token,
            log_level,
            retention_days,
            retention_count,
        )
        if context.invoked_subcommand is None:
            asyncio.run(operate(context.obj))


@main.command("unload")
@click.pass_obj
def unload_nodes(settings: Settings) -> None:
    """Before an uninstallation: end the operator, have each agent take everything out of its node's kernel, and delete
    the nodes' configs. Agents that do not answer within a minute are named, and left alone."""
    with _explaining():
        outcome = asyncio.run(_unload(settings))
    click.echo(f"Nothing of Podcorder's is left in the nodes' kernels ({len(outcome.unloaded)}).")
    if outcome.silent:
        click.echo(
            f"No answer came from {', '.join(outcome.silent)}: recording ends there within 10 minutes, and "
            "`rm -r /sys/fs/bpf/podcorder` on the node, or its next boot, removes what is left."
        )


@main.command("verify")
@click.option("--seconds", type=float, default=60.0, help="How long to wait for what is not so yet.")
@click.pass_obj
def verify_release(settings: Settings, seconds: float) -> None:
    """Whether the agent of every node records, and policies are reviewed when they are applied: what `helm test` asks.
    Everything that is not as it should be is told in a sentence of its own."""
    with _explaining():
        outcome = asyncio.run(_verify(settings, seconds))
    for problem in outcome.problems:
        click.echo(problem)
    if outcome.problems:
        sys.exit(1)
    click.echo(f"Every node records ({outcome.nodes}), and policies are reviewed when they are applied.")


@contextmanager
def _explaining() -> Iterator[None]:
    """Ends the process where something goes wrong, with a sentence and an exit code."""
    try:
        yield
    except OperatorError as error:
        click.echo(f"podcorder-operator: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception:
        logger.exception("A part of the operator failed in a way that it knows no answer to; it ends.")
        sys.exit(OperatorError.exit_code)


async def operate(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT. Raises OperatorError, or what a part of the operator could not handle."""
    shrink_tls_buffers()
    metrics = Metrics()
    configuration = await load_configuration(os.environ)
    async with _connected(settings, configuration, metrics) as (api, election):
        limits = Limits(settings.retention_days, settings.retention_count)
        controller = Controller(api, election, metrics, limits, settings.namespace)
        async with (
            Probes(
                settings.probe_port,
                metrics,
                check_health=controller.check_health,
                check_readiness=controller.check_readiness,
            ),
            _announcing(settings, configuration, controller, metrics),
        ):
            await _run_in_kopf(settings, configuration, controller)


@asynccontextmanager
async def _announcing(
    settings: Settings, configuration: Configuration, controller: Controller, metrics: Metrics
) -> AsyncIterator[None]:
    """Answers reviews of requests that begin sessions, where it is set up to. Raises OperatorError."""
    certificate, key = settings.webhook_certificate, settings.webhook_key
    if settings.digest_key is None or certificate is None or key is None:
        yield
        return
    async with Api(configuration, metrics, connections=64, timeout=DEADLINE) as api:
        announcer = Announcer(
            controller.world, controller.strictness, api, settings.namespace, settings.read_digest_key()
        )
        async with Endpoint(
            settings.sessions_port,
            read_certificate(certificate, key),
            settings.read_sessions_token(),
            announcer,
            metrics,
            lambda: controller.world.synced,
        ):
            yield


async def _unload(settings: Settings) -> Outcome:
    """Raises OperatorError."""
    configuration = await load_configuration(os.environ)
    async with _connected(settings, configuration, Metrics()) as (api, election):
        try:
            return await unload(api, election, settings.namespace)
        except ApiError as error:
            raise UnloadFailed(
                f"The agents cannot be asked to unload ({error}): try again, or uninstall without hooks (--no-hooks) "
                "and remove /sys/fs/bpf/podcorder on each node."
            ) from error


async def _verify(settings: Settings, seconds: float) -> Verification:
    """Raises OperatorError."""
    async with Api(await load_configuration(os.environ), Metrics()) as api:
        return await wait_verified(api, settings.namespace, seconds)


@asynccontextmanager
async def _connected(
    settings: Settings, configuration: Configuration, metrics: Metrics
) -> AsyncIterator[tuple[Api, Election]]:
    """The API server, and a candidate for the operator's Lease with connections of its own."""
    async with (
        Api(configuration, metrics) as api,
        Api(configuration, metrics, connections=2, timeout=_LEASE_TIMEOUT) as lease_api,
    ):
        identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid4()}"
        yield api, Election(lease_api, settings.namespace, settings.lease_name, identity)


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
