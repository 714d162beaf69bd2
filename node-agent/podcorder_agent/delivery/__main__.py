"""`python -m podcorder_agent.delivery`: the exporter, the half that talks to the network and has no privileges."""

from __future__ import annotations

import argparse
import encodings.ascii
import encodings.idna
import encodings.latin_1  # noqa: F401
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from podcorder_agent.control.client import SOCKET_NAME, ControlClient
from podcorder_agent.delivery.destinations import open_transport
from podcorder_agent.delivery.exporter import Exporter
from podcorder_agent.delivery.identities import become, forbid_new_privileges
from podcorder_agent.delivery.metrics import Measure, measure_delivery, measure_recorder
from podcorder_agent.delivery.senders import Stop
from podcorder_agent.delivery.settings import read_settings
from podcorder_agent.delivery.telemetry import start_telemetry
from podcorder_agent.errors import PodcorderError
from podcorder_agent.interpreter.session_reports import SessionReport

CONTROL_TIMEOUT = 5.0
"""Seconds that a recorder which does not answer may hold up delivery."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="podcorder-exporter",
        description="Deliver a journal as OTLP logs: from its checkpoint on, then live.",
        epilog="OTEL_EXPORTER_OTLP_*, OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME mean what the OpenTelemetry "
        "specification says.",
    )
    add_delivery_options(parser)
    parser.add_argument(
        "--once",
        action="store_true",
        help="deliver everything there is, then exit. The recorder moves the journal's checkpoint: where none runs, "
        "the checkpoint stays, and the same is delivered again the next time, under the same record ids",
    )
    return parser.parse_args(arguments)


def add_delivery_options(parser: argparse.ArgumentParser) -> None:
    """What `export` needs to be told, by whichever command line."""
    parser.add_argument("--journal", type=Path, required=True, help="the journal's directory")
    parser.add_argument(
        "--to",
        metavar="URL|FILE",
        help="a collector, or a file that OTLP JSON lines are appended to (default: OTEL_EXPORTER_OTLP_ENDPOINT, "
        "else http://localhost:4318)",
    )
    parser.add_argument("--user", type=int, metavar="UID", help="drop root's privileges and run as this uid")
    parser.add_argument(
        "--drain", type=float, default=10.0, metavar="SECONDS", help="for the rest at SIGTERM (default: 10)"
    )


def export(
    options: argparse.Namespace,
    measures: Iterable[Measure] = (),
    listeners: Iterable[Callable[[Sequence[SessionReport]], None]] = (),
) -> None:
    """The whole life of an exporter; `measures`: what else its metrics are to tell; `listeners`: who is told what has
    been delivered of sessions. Raises PodcorderError."""
    settings = read_settings(os.environ, options.to)
    # Before any thread is started, because it holds for the calling thread and those it starts.
    forbid_new_privileges()
    transport = open_transport(settings)
    stop = Stop(options.drain)
    signal.signal(signal.SIGTERM, stop.request)
    signal.signal(signal.SIGINT, stop.request)
    control = ControlClient(options.journal / SOCKET_NAME, f"exporter-{os.getpid()}", timeout=CONTROL_TIMEOUT)
    exporter = Exporter(options.journal, transport, stop, os.environ, control)
    exporter.report_listeners += listeners
    asking = ControlClient(options.journal / SOCKET_NAME, f"metrics-{os.getpid()}", timeout=CONTROL_TIMEOUT)
    measures = [*measure_delivery(exporter), *measure_recorder(asking), *measures]
    telemetry = start_telemetry(os.environ, options.to, exporter, measures)
    # Last, when all modules are loaded: root's Python may lie where nobody else can read.
    if options.user is not None:
        become(options.user, options.journal)
    try:
        exporter.run(once=options.once)
    finally:
        telemetry.close()
        for each in (asking, control):
            each.close()
        transport.close()


def main(arguments: list[str] | None = None) -> int:
    """Export, and say in one sentence what went wrong."""
    options = parse_arguments(arguments)
    logging.basicConfig(format="podcorder-exporter: %(message)s", level=logging.WARNING)
    try:
        export(options)
    except PodcorderError as error:
        print(f"podcorder-exporter: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
