"""Bringing a batch to an end: every record of it taken by the receiver, or known to be rejected."""

from __future__ import annotations

import logging
import os
import select
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from podcorder_agent.delivery.errors import DrainExpired
from podcorder_agent.delivery.retries import Backoff
from podcorder_agent.delivery.transports import Reply, SendFailed, Transport, Verdict

logger = logging.getLogger(__name__)

REMIND = 60.0
"""Seconds between log lines about the same trouble."""


class Stop:
    """The wish to end, from a signal: waiting ends at once, and work may go on until the drain's time is over."""

    def __init__(self, drain: float) -> None:
        """`drain`: seconds for what is under way."""
        self._drain = drain
        self._deadline: float | None = None
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()  # select(2) takes no descriptor above 1023
        self._poll.register(self._reader, select.POLLIN)

    def request(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Fit to be a signal's handler: it takes no locks."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._drain
            os.write(self._writer, b"x")

    @property
    def requested(self) -> bool:
        return self._deadline is not None

    @property
    def remaining(self) -> float | None:
        """Seconds left of the drain's time; None while nobody wants to stop."""
        return None if self._deadline is None else self._deadline - time.monotonic()

    @property
    def expired(self) -> bool:
        """Whether the drain's time is over."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def wait(self, seconds: float) -> None:
        """Sleep, but not past a request to stop that comes meanwhile, nor past its deadline."""
        remaining = self.remaining
        if remaining is None:
            self._poll.poll(seconds * 1000)
        else:
            time.sleep(max(0.0, min(seconds, remaining)))


@dataclass(slots=True)
class Rejection:
    """Records that the receiver will not have."""

    reason: str
    """`rejected`: refused by themselves; `rejected_by_collector`: some among these, in a partial success."""
    indexes: range
    """Which of the batch."""
    count: int
    message: str


@dataclass(slots=True)
class Tally:
    """What delivery did, for the metrics."""

    delivered: int = 0
    rejected: int = 0
    requests: int = 0
    retries: int = 0
    bytes: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    """Records per class that gaps in the stream told of."""


class Sender:
    """Sends batches one after another through one transport."""

    def __init__(self, transport: Transport, stop: Stop, tally: Tally, backoff: Backoff | None = None) -> None:
        self._transport = transport
        self._stop = stop
        self._tally = tally
        self._backoff = backoff or Backoff()
        self._trouble = ""
        self._told = 0.0

    def deliver(self, preamble: Any, records: Sequence[bytes]) -> list[Rejection]:
        """Deliver every record, however long it takes, and say which were rejected.

        A request refused for its content is halved until the records at fault stand alone. Raises DrainExpired.
        """
        rejections = []
        todo = [range(len(records))]
        while todo:
            part = todo.pop()
            try:
                reply = self._insist(preamble, records[part.start : part.stop])
            except SendFailed as failure:
                if len(part) == 1:
                    rejections.append(Rejection("rejected", part, 1, str(failure)))
                    self._tally.rejected += 1
                else:
                    middle = part.start + len(part) // 2
                    todo += [range(middle, part.stop), range(part.start, middle)]
                continue
            rejected = min(reply.rejected, len(part))
            self._tally.delivered += len(part) - rejected
            self._tally.rejected += rejected
            if rejected > 0:
                rejections.append(Rejection("rejected_by_collector", part, rejected, reply.message))
            elif reply.message:
                logger.warning("The collector says: %r", reply.message)
        return rejections

    def _insist(self, preamble: Any, records: Sequence[bytes]) -> Reply:
        """Send until there is an answer. Raises SendFailed only of the verdict SPLIT, and DrainExpired."""
        request = self._transport.codec.wrap(preamble, records)
        while True:
            try:
                self._tally.requests += 1
                self._tally.bytes += len(request)
                reply = self._transport.send(request)
            except SendFailed as failure:
                if failure.verdict is Verdict.SPLIT and self._takes_empty(preamble):
                    raise
                self._wait(failure)
                continue
            self._backoff.reset()
            if self._trouble:
                logger.warning("Delivery goes on.")
                self._trouble = ""
            return reply

    def _takes_empty(self, preamble: Any) -> bool:
        """Whether a request without records is taken: then it was the records that were refused, not the address."""
        try:
            self._transport.send(self._transport.codec.wrap(preamble, ()))
        except SendFailed:
            return False
        return True

    def _wait(self, failure: SendFailed) -> None:
        self._tally.retries += 1
        wait = self._backoff.next(failure.after)
        remaining = self._stop.remaining
        if remaining is not None and wait >= remaining:
            raise DrainExpired(
                f"The collector did not take what was left ({failure}): it stays in the journal, start again."
            )
        now = time.monotonic()
        trouble = str(failure)
        if trouble != self._trouble or now - self._told >= REMIND:
            advice = "" if failure.verdict is Verdict.RETRY else " Mend the collector's address or credentials;"
            logger.warning("Delivery is held up: %s.%s Nothing is dropped, it is tried again.", failure, advice)
            self._trouble, self._told = trouble, now
        self._stop.wait(wait)
