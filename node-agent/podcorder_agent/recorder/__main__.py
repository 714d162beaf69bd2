"""`python -m podcorder_agent.recorder`: start the privileged half, say so on stdout, serve until told to stop."""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
from pathlib import Path

from podcorder_agent.control.messages import SOCKET_NAME
from podcorder_agent.errors import PodcorderError
from podcorder_agent.journal import Limits, Writer
from podcorder_agent.loaders import LOADERS, TRACE_LEVELS
from podcorder_agent.mounts import cgroup2_mount
from podcorder_agent.recorder.attachments import Attachments
from podcorder_agent.recorder.choice import Choice, choose_loader
from podcorder_agent.recorder.errors import Unable
from podcorder_agent.recorder.identities import Identities
from podcorder_agent.recorder.kernel_maps import KernelMaps, find_maps, make_skipped_map
from podcorder_agent.recorder.loaders import CoreLoader
from podcorder_agent.recorder.pins import DEFAULT_PINS, Pins
from podcorder_agent.recorder.privileges import (
    drop_privileges,
    join_group,
    lift_memory_limit,
    require_privileges,
)
from podcorder_agent.recorder.recorder import Recorder
from podcorder_agent.recorder.requests import RequestHandler
from podcorder_agent.recorder.seccomp import install_filter
from podcorder_agent.recorder.server import ControlServer
from podcorder_agent.recorder.standby import Standby

DEFAULT_RING_BYTES = 8 * 1024 * 1024
BUSY_SECONDS = 0.025
"""Between drains while there is something; the kernel wakes us earlier when a quarter of the ring waits."""
REST_SECONDS = 0.1


def ring_bytes(text: str) -> int:
    """A ring's size: a power of two, of at least a page."""
    size = int(text)
    if size < os.sysconf("SC_PAGESIZE") or size & (size - 1) or size > 1 << 30:
        raise argparse.ArgumentTypeError("must be a power of two, from a page to 1 GiB")
    return size


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="podcorder-recorder", description="Podcorder's privileged half.")
    parser.add_argument("--journal", type=Path, required=True, help="directory of the journal")
    parser.add_argument("--pins", type=Path, default=DEFAULT_PINS, help="directory in a bpffs (default: %(default)s)")
    parser.add_argument("--ring-size", type=ring_bytes, default=DEFAULT_RING_BYTES, help="bytes of a new event ring")
    parser.add_argument("--node", default=os.uname().nodename, help="name of this machine (default: %(default)s)")
    parser.add_argument("--exporter-uid", type=int, help="a uid that may use the control socket, besides root")
    parser.add_argument("--exporter-gid", type=int, help="the group that may read the journal")
    parser.add_argument("--loader", choices=LOADERS, default="auto", help="what makes programs (default: %(default)s)")
    parser.add_argument("--objects", type=Path, help="directory of compiled BPF objects (default: the package's)")
    parser.add_argument("--sources", type=Path, help="directory of BPF sources, for bcc (default: the package's)")
    parser.add_argument("--stay", action="store_true", help="answer, and say why, where nothing can be recorded")
    parser.add_argument("--trace", choices=TRACE_LEVELS, default="", help="a debug build, with log lines of this level")
    defaults = Limits()
    parser.add_argument("--journal-bytes", type=int, default=defaults.journal_bytes, help="the journal's cap")
    parser.add_argument("--kept-bytes", type=int, default=defaults.kept_bytes, help="delivered segments kept, bytes")
    parser.add_argument("--kept-seconds", type=int, default=defaults.kept_seconds, help="delivered segments kept, s")
    parser.add_argument("--segment-bytes", type=int, default=defaults.segment_bytes, help="a segment's size")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """The whole life of a recorder; raises PodcorderError where it cannot begin."""
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: signals.append(received))
    require_privileges()
    pins = Pins(options.pins.absolute())
    pins.prepare()
    if options.exporter_gid is not None:
        join_group(options.exporter_gid)
    lift_memory_limit()
    drop_privileges()
    install_filter()
    try:
        record(options, pins, signals)
    except Unable as error:
        if not options.stay:
            raise
        print(error, file=sys.stderr)
        pins.close()
        stand_by(options, error, signals)


def record(options: argparse.Namespace, pins: Pins, signals: list[int]) -> None:
    """Record until told to stop; raises PodcorderError where that cannot begin."""
    resumed = False
    poller = select.epoll()
    try:
        choice = choose_loader(options.loader, options.objects, options.sources, options.trace)
        found = find_maps(pins) if pins.loader == choice.loader.identity else None
        resumed = found is not None
        identities = Identities(choice.loader)
        recorder = begin(options, pins, found, choice, identities, signals)
        server = listen(options, poller)
        state = {"capabilities": recorder.attachments.states, "loader": recorder.loader}
        recorder.note("resumed" if resumed else "started", **state)
    except PodcorderError:
        if not resumed:
            pins.remove()
        raise
    greeting = {"boot_id": read_boot_id(), "generation": recorder.generation, "node": options.node}
    handler = RequestHandler(recorder, cgroup2_mount(), identities, greeting)
    ready = {"ready": True, "resumed": resumed, **greeting, **state}
    print(json.dumps(ready), flush=True)
    try:
        serve(recorder, server, handler, poller, signals)
    finally:
        server.close()


def begin(
    options: argparse.Namespace,
    pins: Pins,
    found: KernelMaps | None,
    choice: Choice,
    identities: Identities,
    signals: list[int],
) -> Recorder:
    """Lock the journal, then take over the pinned maps that were found, and their programs, or make them.

    The rings are drained while the loader prepares, which may take it long.
    """
    generation = found.generation if found else make_generation()
    journal = open_journal(options, generation)
    try:
        maps = found or make_maps(options, pins, choice.loader, generation)
        maps.beat()
        attachments = Attachments(choice.loader, pins, maps, identities)
        attachments.adopt()
        recorder = Recorder(journal, options.journal, pins, maps, attachments, generation, choice.described())

        def attend() -> bool:
            if found is not None:  # else nothing records yet
                recorder.attend()
            return not signals

        choice.loader.prepare(maps.events.max_entries, attend)
        if not signals:
            maps.ignore(identities.find(os.getpid()))
            attachments.apply(maps.needs())
    except Unable:
        journal.close()
        raise
    return recorder


def stand_by(options: argparse.Namespace, reason: Unable, signals: list[int]) -> None:
    """Answer in a recorder's place; raises PodcorderError where even that cannot be."""
    poller = select.epoll()
    greeting = {"boot_id": read_boot_id(), "generation": make_generation(), "node": options.node}
    journal = open_journal(options, greeting["generation"])
    server = listen(options, poller)
    try:
        loader = describe_loader(options)
        standby = Standby(journal, reason, loader, greeting)
        ready = {"ready": True, "resumed": False, **greeting, "capabilities": standby.states, "loader": loader}
        print(json.dumps(ready), flush=True)
        standby.serve(server, poller, signals)
    finally:
        server.close()


def describe_loader(options: argparse.Namespace) -> dict[str, str]:
    """What would load programs, or why nothing would."""
    try:
        return choose_loader(options.loader, options.objects, options.sources, options.trace).described()
    except Unable as error:
        return {"name": options.loader, "reason": str(error)}


def make_generation() -> int:
    """A number for the programs' next load; never 0."""
    return int.from_bytes(os.urandom(8), "little") or 1


def open_journal(options: argparse.Namespace, generation: int) -> Writer:
    """Lock the journal; raises JournalError."""
    return Writer(
        options.journal,
        node=options.node,
        generation=generation,
        boot_id=read_boot_id(),
        limits=Limits(options.segment_bytes, options.kept_seconds, options.kept_bytes, options.journal_bytes),
        group=options.exporter_gid,
    )


def make_maps(options: argparse.Namespace, pins: Pins, loader: CoreLoader, generation: int) -> KernelMaps:
    """In place of whatever is pinned."""
    pins.clear()
    pins.loader = loader.identity
    loader.make_maps(pins, options.ring_size)
    make_skipped_map(pins)
    maps = KernelMaps(pins)
    maps.begin(generation)
    return maps


def listen(options: argparse.Namespace, poller: select.epoll) -> ControlServer:
    """Open the control socket to root, ourselves and the exporter."""
    own, group = os.getuid(), -1 if options.exporter_gid is None else options.exporter_gid
    uids = frozenset({0, own, own if options.exporter_uid is None else options.exporter_uid})
    mode = 0o600 if len(uids) == 1 and group < 0 else 0o666  # who may really talk is decided by the peer's uid
    return ControlServer(options.journal / SOCKET_NAME, uids, mode, group, poller)


def read_boot_id() -> str:
    """32 hexadecimal digits."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")


def serve(
    recorder: Recorder, server: ControlServer, handler: RequestHandler, poller: select.epoll, signals: list[int]
) -> None:
    """Drain, answer and tick until a signal or a `stop`."""
    for ring in (recorder.lifecycle, recorder.events):
        poller.register(ring.fd, select.EPOLLIN | select.EPOLLET)  # level-triggered it would never rest
    wait = BUSY_SECONDS
    while not signals:
        for descriptor, mask in poller.poll(wait):
            server.serve(descriptor, mask, handler.handle)
            if recorder.finished:
                return
        moved = recorder.attend()
        wait = BUSY_SECONDS if moved else min(wait * 2, REST_SECONDS)
    recorder.finish(unpin=False)


def main() -> int:
    try:
        run(parse_arguments())
    except PodcorderError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
