"""The exporter: from the journal's checkpoint on, frames become events, events batches, batches acknowledgements.

The cursor moves only over frames whose every event was taken. What the receiver has twice after a crash carries the
same `podcorder.record.id` twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from podcorder_agent import __version__
from podcorder_agent.control.client import ControlClient, ControlError
from podcorder_agent.delivery import resources
from podcorder_agent.delivery.errors import DrainExpired
from podcorder_agent.delivery.records import Encoder
from podcorder_agent.delivery.rejections import make_gaps
from podcorder_agent.delivery.senders import Sender, Stop, Tally
from podcorder_agent.delivery.transports import Transport
from podcorder_agent.interpreter import Interpreter
from podcorder_agent.interpreter.events import Event, RecordingGap
from podcorder_agent.interpreter.reports import report_damage
from podcorder_agent.interpreter.session_reports import SessionReport
from podcorder_agent.journal import Frame, Position, Reader, read_checkpoint

logger = logging.getLogger(__name__)

MOST_RECORDS = 4096
"""Records of a batch: the collector was measured to be at its best with these."""
MOST_BYTES = 2 << 20
"""Bytes of a batch: half of what a gRPC receiver takes at its defaults."""
CHUNK = 256
"""Events encoded between looks at the batch's size."""
ACKNOWLEDGE_EVERY = 1.0
"""Seconds between acknowledgements, and so about what is sent again after a crash."""
POLL = 0.05
"""Seconds until the next look into a journal that had something new ..."""
REST = 0.2
"""... and into one that has had nothing for a while."""
MOMENT_EVERY = 0.25
"""Seconds between frames that tell the time alone."""
MOST_CANDIDATES = 2
"""Snapshots kept while the interpreter holds back events of an older frame: the first from which to go on then, and the
latest."""
SNAPSHOT_EVERY = 5.0
"""Seconds between snapshots meanwhile: what is held is part of each."""


class Exporter:
    """Delivers one journal through one transport."""

    def __init__(
        self,
        directory: Path,
        transport: Transport,
        stop: Stop,
        environment: Mapping[str, str],
        control: ControlClient | None = None,
    ) -> None:
        """Begin at the journal's checkpoint; the recorder is asked over `control` to move it. Raises JournalError."""
        self.tally = Tally()
        self.listeners: list[Callable[[Sequence[Event]], None]] = []
        """Called with the events of each batch that was delivered."""
        self.report_listeners: list[Callable[[Sequence[SessionReport]], None]] = []
        """Called, after a batch was delivered, with what has changed of sessions that have a RecordedSession."""
        checkpoint = read_checkpoint(directory)
        start = None if checkpoint is None else checkpoint.position
        self.reader = Reader(directory, start)
        state = None if checkpoint is None else checkpoint.state
        self.interpreter = Interpreter() if state is None else Interpreter.restore(state)
        self._environment = environment
        self._transport = transport
        self._stop = stop
        self._control = control
        self._sender = Sender(transport, stop, self.tally)
        self._encoder = Encoder(transport.codec)
        self._preamble: Any = None
        self._origin: tuple[str, str] | None = None
        self._records: list[bytes] = []
        self._events: list[Event] = []
        self._size = 0
        self._rejected = 0
        """Damaged frames that gaps have told of."""
        self._position: Position | None = start
        self._acknowledged: Position | None = start
        self._candidates: list[tuple[Position, dict[str, Any]]] = []
        self._next = time.monotonic() + ACKNOWLEDGE_EVERY
        self._next_snapshot = 0.0
        self._next_moment = 0.0
        self._lag_since = 0
        self._ignored = control is None
        self._recorder_away = False

    @property
    def lag(self) -> float:
        """Seconds since the last frame that was read was written; 0 where none is waiting."""
        if not self._lag_since:
            return 0.0
        return max(0.0, (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._lag_since) / 1e9)

    def run(self, once: bool = False) -> None:
        """Deliver what there is, and unless `once` what comes, until told to stop.

        Raises DrainExpired, JournalError.
        """
        # A journal delivered once may well have no recorder any more: nothing to tell of.
        self._recorder_away = once
        if self._control is not None:
            self._tell_recorder(None)
        wait = POLL
        while True:
            before = self._position
            for frame in self.reader.read():
                self._take(frame)
                if self._stop.expired:
                    raise DrainExpired("There was no time to deliver all of the journal: start again to go on.")
            self._lag_since = 0
            if once:
                self._add(self.interpreter.finish(), self._encoder.observed(time.time_ns()))
            self._send()
            self._report()
            self._have_time_told()
            if once or self._stop.requested:
                self._acknowledge()
                return
            if time.monotonic() >= self._next:
                self._acknowledge()
            wait = POLL if self._position != before else min(wait * 2, REST)
            self._stop.wait(wait)

    def _take(self, frame: Frame) -> None:
        segment = frame.segment
        if (segment.boot_id, segment.node) != self._origin:
            # Records of another boot need another resource.
            self._send()
            self._origin = segment.boot_id, segment.node
            resource = resources.describe(segment.node, segment.boot_id, self._environment)
            self._preamble = self._transport.codec.preamble(resource, resources.SCOPE, __version__)
        if self.reader.rejected > self._rejected:
            self._rejected = self.reader.rejected
            self._add([report_damage(frame)], self._encoder.observed(frame.time + segment.anchor_ns))
        self._add(self.interpreter.interpret(frame), self._encoder.observed(frame.time + segment.anchor_ns))
        self._position = frame.end
        self._lag_since = frame.time
        if time.monotonic() >= self._next:
            self._acknowledge()

    def _add(self, events: Sequence[Event], observed: bytes) -> None:
        for start in range(0, len(events), CHUNK):
            chunk = events[start : start + CHUNK]
            records = self._encoder.encode_all(chunk, observed)
            self._records += records
            self._events += chunk
            self._size += sum(map(len, records))
            if len(self._records) > MOST_RECORDS - CHUNK or self._size >= MOST_BYTES:
                self._send()

    def _send(self) -> None:
        """Deliver the batch, and the gaps that its rejections make. Raises DrainExpired."""
        while self._records:
            records, events = self._records, self._events
            rejections = self._sender.deliver(self._preamble, records)
            self._records, self._events, self._size = [], [], 0
            self._count_lost(events)
            for listen in self.listeners:
                listen(events)
            if rejections:
                for each in rejections:
                    logger.error("The collector rejected %d records: %s", each.count, each.message)
                gaps = make_gaps(rejections, events)
                self._add(gaps, self._encoder.observed(time.time_ns()))

    def _report(self) -> None:
        reports = self.interpreter.take_reports()
        if reports:
            for listen in self.report_listeners:
                listen(reports)

    def _have_time_told(self) -> None:
        """While something is due that a frame brings by its time, and nothing happens, the recorder writes one."""
        due = self.interpreter.due
        if self._control is None or due is None or time.monotonic() < self._next_moment:
            return
        if time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= due:
            self._next_moment = time.monotonic() + MOMENT_EVERY
            with contextlib.suppress(ControlError):  # one that is away has nothing to tell the time of
                self._control.fact("moment", {})

    def _count_lost(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, RecordingGap):
                self.tally.lost[event.record_class or "unknown"] += event.count or 0

    def _acknowledge(self) -> None:
        """Move the cursor to the last frame's end, or as far as the interpreter lets go. Raises DrainExpired."""
        self._send()
        self._next = time.monotonic() + ACKNOWLEDGE_EVERY
        if self._control is None or self._position is None:
            return
        candidates, holding = self._candidates, self.interpreter.holding
        due = holding is None or self._next >= self._next_snapshot
        if due and (candidates[-1][0] if candidates else self._acknowledged) != self._position:
            if len(candidates) >= MOST_CANDIDATES:
                candidates.pop()
            candidates.append((self._position, self.interpreter.snapshot()))
            self._next_snapshot = self._next + SNAPSHOT_EVERY
        free = [each for each in candidates if holding is None or each[0] <= holding]
        if not self._ignored or free:
            self._tell_recorder(free[-1] if free else None)

    def _tell_recorder(self, candidate: tuple[Position, dict[str, Any]] | None) -> None:
        """A recorder that is away does not stop delivery: it is told the next time."""
        assert self._control is not None
        try:
            if not self._ignored:
                self._control.ignore(os.getpid())
                self._ignored = True
            if candidate is not None:
                self._control.acknowledge(str(candidate[0]), candidate[1])
                self._acknowledged = candidate[0]
                self._candidates = [each for each in self._candidates if each[0] > candidate[0]]
            self._recorder_away = False
        except ControlError as error:
            if not self._recorder_away:
                logger.warning("The journal's checkpoint stays where it is for now: %s", error)
            self._recorder_away = True
