"""`python -m podcorder_agent.cluster`: the exporter of a node in a cluster, which follows its pods and its config."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from podcorder_agent.cluster.announcer import HOLD_SECONDS, Announcer
from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.collections import CONFIGS, SESSIONS, Collection
from podcorder_agent.cluster.confirmations import Confirmer
from podcorder_agent.cluster.copies import LocalCopy
from podcorder_agent.cluster.credentials import read_credentials, read_digest_key
from podcorder_agent.cluster.excerpts import with_excerpts
from podcorder_agent.cluster.follower import Follower
from podcorder_agent.cluster.leases import Heartbeat
from podcorder_agent.cluster.metrics import measure_following
from podcorder_agent.cluster.record_writer import RecordWriter
from podcorder_agent.cluster.states import Board
from podcorder_agent.cluster.statuses import StatusWriter
from podcorder_agent.cluster.streams import Change, Stream
from podcorder_agent.control.client import SOCKET_NAME, ControlClient
from podcorder_agent.delivery.__main__ import add_delivery_options, export
from podcorder_agent.delivery.identities import forbid_new_privileges
from podcorder_agent.delivery.metrics import Measure
from podcorder_agent.errors import PodcorderError
from podcorder_agent.interpreter.session_reports import SessionReport
from podcorder_agent.machine import unified_mount

PODS = "/api/v1/pods"
CONTROL_TIMEOUT = 5.0
"""Seconds that a recorder which does not answer may hold up the following."""

logger = logging.getLogger(__name__)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="podcorder-exporter",
        description="Follow this node's pods and its NodeRecordingConfig, and deliver the journal as OTLP logs.",
        epilog="The API server is reached as the pod's service account, or by KUBECONFIG. OTEL_EXPORTER_OTLP_*, "
        "OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME mean what the OpenTelemetry specification says.",
    )
    add_delivery_options(parser)
    parser.add_argument(
        "--node", default=os.environ.get("NODE_NAME", ""), help="name of this node in the cluster (default: $NODE_NAME)"
    )
    parser.add_argument(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE", "podcorder"),
        help="namespace of the agent's Lease (default: $POD_NAMESPACE, else podcorder)",
    )
    parser.add_argument(
        "--copies",
        type=Path,
        required=True,
        metavar="DIRECTORY",
        help="where to keep what the API server told of pods and config, for a start while it is away",
    )
    parser.add_argument(
        "--digest-key",
        type=Path,
        metavar="FILE",
        help="the key that the operator makes the digests of commands with; without it no session is expected to be "
        "announced",
    )
    parser.add_argument(
        "--hold",
        type=float,
        default=HOLD_SECONDS,
        metavar="SECONDS",
        help=f"that a session's events wait for who asked for it (default: {HOLD_SECONDS:g})",
    )
    options = parser.parse_args(arguments)
    if not options.node:
        parser.error("the node's name is missing: give --node, or set NODE_NAME from spec.nodeName")
    options.once = False
    return options


class Threads:
    """What follows the cluster beside the exporter; where one part fails, all ends, to be started anew."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.failed = False

    def start(self, name: str, run: Callable[[threading.Event], None]) -> None:
        """A watch may be in the middle of its silence: nobody waits for it at the end."""
        threading.Thread(target=self._run, args=(run,), name=name, daemon=True).start()

    def _run(self, run: Callable[[threading.Event], None]) -> None:
        try:
            run(self.stop)
        except Exception:
            name = threading.current_thread().name
            logger.exception("The %s failed: the exporter delivers what it has, and ends.", name)
            self.failed = True
            os.kill(os.getpid(), signal.SIGTERM)


Listen = Callable[[Sequence[SessionReport]], None]


def follow(options: argparse.Namespace, threads: Threads) -> tuple[list[Measure], list[Listen]]:
    """Start all that follows; what its metrics tell, and whom the exporter is to tell of sessions. Raises
    PodcorderError."""
    api = Api(read_credentials(os.environ))
    board = Board()
    configs, records = Collection(api, CONFIGS), Collection(api, SESSIONS)
    writer = RecordWriter(api, records, options.node, options.namespace, lambda uid: follower.find_debug_target(uid))
    key = None if options.digest_key is None else read_digest_key(options.digest_key)
    announcer = Announcer(_connect(options, "announcer"), key, writer.tell_announcement, options.hold)
    confirmer = Confirmer(api, records, options.node, announcer.tell_sessions, announcer.tell_current)
    control = _connect(options, "follower")
    follower = Follower(options.journal, control, unified_mount(), board, announcer.tell_generation)

    def tell_sessions(change: Change) -> None:
        announcer.tell_sessions(change)
        writer.tell_records(change)

    identity = os.environ.get("POD_NAME") or f"{options.node}-{os.getpid()}"
    heartbeat = Heartbeat(api, options.namespace, options.node, identity)
    pod_copy = LocalCopy(options.copies / "pods", follower.tell_pods)
    config_copy = LocalCopy(options.copies / "config", follower.tell_config)
    of_node = f"spec.nodeName={options.node}"
    pods = Stream(api, PODS, of_node, with_excerpts(pod_copy.tell))
    config = Stream(api, configs.path, f"metadata.name={options.node}", config_copy.tell, find_path=configs.find)
    sessions = Stream(api, records.path, of_node, tell_sessions, find_path=records.find)
    threads.start("watch of pods", pods.run)
    threads.start("watch of the config", config.run)
    threads.start("watch of sessions", sessions.run)
    threads.start("copy of pods", pod_copy.run)
    threads.start("copy of the config", config_copy.run)
    threads.start("following of pods", follower.run)
    threads.start("announcing of sessions", announcer.run)
    threads.start("asking for announcements", confirmer.run)
    threads.start("writing of records", writer.run)
    threads.start("reporting", StatusWriter(api, configs, options.node, board).run)
    threads.start("heartbeat", heartbeat.run)
    streams = {"pods": pods, "config": config, "sessions": sessions}
    measures = measure_following(api, follower, announcer, writer, heartbeat, streams)
    return measures, [writer.tell_reports, confirmer.tell_reports]


def _connect(options: argparse.Namespace, name: str) -> ControlClient:
    return ControlClient(options.journal / SOCKET_NAME, f"{name}-{os.getpid()}", timeout=CONTROL_TIMEOUT)


def main(arguments: list[str] | None = None) -> int:
    """Follow and export, and say in one sentence what went wrong."""
    options = parse_arguments(arguments)
    logging.basicConfig(format="podcorder-exporter: %(message)s", level=logging.WARNING)
    threads = Threads()
    try:
        forbid_new_privileges()  # holds for the calling thread and those it starts
        export(options, *follow(options, threads))
    except PodcorderError as error:
        print(f"podcorder-exporter: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        threads.stop.set()
    return int(threads.failed)


if __name__ == "__main__":
    sys.exit(main())
