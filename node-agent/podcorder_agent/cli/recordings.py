"""One recording from beginning to end: start the halves, select, run or wait, stop, tell."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podcorder_agent.classes import CLASS_NAMES, EVENT_CLASSES
from podcorder_agent.cli import children, halves
from podcorder_agent.cli.errors import RecordingDegraded
from podcorder_agent.cli.terminals import Style
from podcorder_agent.control.client import SOCKET_NAME, ControlClient, ControlError
from podcorder_agent.errors import PodcorderError
from podcorder_agent.journal import Reader
from podcorder_agent.machine import CommandCgroup, ContainerSelector, unified_mount
from podcorder_agent.policies import Policy, Settings, compile_settings
from podcorder_crds import Mode, SessionKind

SLOT = 0
PENDING_SECONDS = 60
LIVE_SECONDS = 0.5
WATCH_SECONDS = 0.05
NOTICE_SECONDS = 1.5
"""Before a person who waits for delivery is told so."""
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REVIVALS = 8
"""How often a half that was killed is started again; whoever kills oftener than that means it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to record and where to."""

    policy: Policy
    journal: Path
    target: str | None
    """URL or file for the exporter; None leaves it to the environment."""
    ring_size: int | None
    loader: str
    trace: str
    """Level of a debug build's log lines; empty: the normal build."""
    command: tuple[str, ...]
    """Empty: the machine's containers."""


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    exit_code: int
    began: int
    """Unix time, ns."""
    left: int = 0
    """Processes of the command that go on without being recorded."""
    trouble: PodcorderError | None = None
    """Why delivery did not come to its end; the journal has everything."""
    unwritten: PodcorderError | None = None
    """Why not all came into the journal; the rest stays pinned in the kernel."""


class Recording:
    """A recording under way. Everything it starts it ends, however it ends itself."""

    def __init__(self, order: Order, say: Callable[[str], None], style: Style) -> None:
        """`say` takes a sentence for people."""
        self._order = order
        self._say = say
        self._style = style
        self._next_count = 0.0
        self._counting = False
        self._selector: ContainerSelector | None = None
        self._reader: Reader | None = None
        self._recorder: halves.Half | None = None
        self._exporter: halves.Half | None = None
        self._revivals = 0

    def run(self) -> Outcome:
        """Raises PodcorderError and children.Unstartable."""
        order = self._order
        program = children.find_program(order.command[0]) if order.command else ""
        root = unified_mount()
        halves.make_journal(order.journal)
        halves.mount_bpffs()
        outcome = Outcome(0, time.time_ns())
        with uninterrupted() as mask:
            self._recorder, _ = self._start_recorder()
            self._record(root, program, outcome, mask)
        return outcome

    def _start_recorder(self) -> tuple[halves.Half, dict[str, Any]]:
        order = self._order
        return halves.start_recorder(order.journal, order.ring_size, order.loader, order.trace)

    def _record(self, root: Path, program: str, outcome: Outcome, mask: set[signal.Signals]) -> None:
        """With the recorder at work. Only here an interrupt is one: it must find what there is to be ended."""
        order = self._order
        client = ControlClient(order.journal / SOCKET_NAME, f"cli-{os.getpid()}")
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            client.hello()
            settings = compile_settings(order.policy)
            self._check(client.configure(SLOT, dict(settings)))
            self._exporter = halves.start_exporter(order.journal, order.target)
            containers = SessionKind.CONTAINER in order.policy.spec.sessions
            if containers:
                self._watch_containers(client, settings, root)
            if order.command:
                self._run_command(client, root, program, outcome)
            else:
                self._wait(client)
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
            self._end_line()
            self._stop(client, outcome)

    def _run_command(self, client: ControlClient, root: Path, program: str, outcome: Outcome) -> None:
        cgroup = CommandCgroup(root, f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}")
        try:
            if self._selector is not None:
                self._selector.leave(cgroup.id, cgroup.path)
            client.select(cgroup.id, SLOT, SessionKind.COMMAND, {"path": cgroup.path})
            outcome.exit_code = children.run(
                program, self._order.command, cgroup.enter, lambda: self._tick(client, live=not sys.stdout.isatty())
            )
        finally:
            if not cgroup.remove():
                outcome.left = cgroup.release()

    def _watch_containers(self, client: ControlClient, settings: Settings, root: Path) -> None:
        self._reader = Reader(self._order.journal)
        for _ in self._reader.read():
            pass  # cgroups of earlier recordings are no news
        client.pending(settings["events"], PENDING_SECONDS)
        self._selector = ContainerSelector(client, SLOT, self._order.policy.spec.containers)
        self._selector.scan(root)

    def _wait(self, client: ControlClient) -> None:
        """Until Ctrl-C or SIGTERM."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
        try:
            self._say("recording this machine's containers; Ctrl-C ends it")
            while signal.sigtimedwait(INTERRUPTS, WATCH_SECONDS) is None:
                self._tick(client, live=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _revive(self) -> None:
        """Starts a half anew that was killed; the kernel and the journal hold what happens meanwhile."""
        order = self._order
        try:
            if self._recorder is not None and self._recorder.fell and self._revivals < REVIVALS:
                self._revivals += 1
                self._say("the recorder was killed: it is started again")
                self._recorder, _ = self._start_recorder()
            if self._exporter is not None and self._exporter.fell and self._revivals < REVIVALS:
                self._revivals += 1
                self._say("the exporter was killed: it is started again")
                self._exporter = halves.start_exporter(order.journal, order.target)
        except (PodcorderError, OSError) as error:
            self._revivals = REVIVALS
            self._say(str(error))

    def _tick(self, client: ControlClient, *, live: bool) -> None:
        self._revive()
        # A recorder that is away for a moment must not disturb the command.
        with contextlib.suppress(ControlError):
            if self._selector is not None and self._reader is not None:
                for frame in self._reader.read():
                    self._selector.observe(frame)
            if live and sys.stderr.isatty() and time.monotonic() >= self._next_count:
                self._next_count = time.monotonic() + LIVE_SECONDS
                self._count(client.health())

    def _count(self, health: dict[str, Any]) -> None:
        self._counting = True
        containers = f"{self._selector.selected} containers, " if self._selector is not None else ""
        text = f"podcorder: {containers}{describe_counters(health['counters'])}"
        sys.stderr.write(f"\r\x1b[K{text[: (self._style.width or 80) - 1]}")
        sys.stderr.flush()

    def _end_line(self) -> None:
        if self._counting:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _check(self, reply: dict[str, Any]) -> None:
        """Says what cannot be recorded in full; a policy of mode Strict refuses what cannot be recorded at all."""
        for name, state in reply["capabilities"].items():
            if state["state"] == "Failed":
                if self._order.policy.spec.mode is Mode.STRICT:
                    raise RecordingDegraded(
                        f"{name} cannot be recorded here ({state['reason']}), and the policy's mode is Strict: "
                        "run podcorder doctor, or set mode: BestEffort"
                    )
                self._say(f"{name} cannot be recorded here: {state['reason']}")

    def _stop(self, client: ControlClient, outcome: Outcome) -> None:
        """Ends both halves so that the exporter has delivered and acknowledged everything before the recorder goes."""
        self._revive()
        recorder, exporter = self._recorder, self._exporter
        assert recorder is not None
        try:
            client.pending([], 0)
            client.configure(SLOT, None)  # detaches the programs: what comes out of the flush is all there is
            client.flush()
        except ControlError as error:
            outcome.unwritten = error
        if exporter is not None:
            slow = "delivery waits for the receiver, some seconds more; the journal keeps what is not taken"
            notice = threading.Timer(NOTICE_SECONDS, self._say, (slow,))
            notice.start()
            outcome.trouble = halves.exporter_trouble(exporter, exporter.terminate())
            notice.cancel()
        try:
            client.stop(unpin=True)
            recorder.wait()
        except ControlError as error:
            recorder.terminate()
            outcome.unwritten = error
        else:
            outcome.unwritten = None  # what the flush could not write, the recorder did in the end
        finally:
            client.close()


@contextlib.contextmanager
def uninterrupted() -> Iterator[set[signal.Signals]]:
    """Keeps Ctrl-C and its kin waiting, and lets all of them end podcorder as Ctrl-C does; with the mask from before.

    One that comes when everything is ended already is forgotten: the person gets the timeline.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    handlers = {each: signal.getsignal(each) for each in INTERRUPTS}
    for each, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(each, signal.default_int_handler)
    try:
        yield {signal.Signals(each) for each in mask}
    finally:
        while signal.sigtimedwait(INTERRUPTS, 0) is not None:
            pass
        for each, handler in handlers.items():
            signal.signal(each, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def describe_counters(counters: dict[str, Any]) -> str:
    """`12 exec, 340 open; lost 0` from the kernel's counters."""
    made = dict(zip(CLASS_NAMES, counters["generated"], strict=False))
    lost = sum(sum(reasons) for reasons in counters["lost"]) + sum(counters["skipped"])
    told = ", ".join(f"{made[name]:,} {name}" for name in EVENT_CLASSES if made.get(name))
    return f"{told or 'nothing yet'}; lost {lost:,}"
