"""Sessions as traces: a span for each process, best effort and capped; the log records remain the account.

Ids derive from session and process, so that log records and spans name each other without having met. A span is called
by its executable's base name: a command line may hold secrets, and names are indexed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags

from podcorder_agent import __version__
from podcorder_agent.delivery.resources import SCOPE
from podcorder_agent.interpreter.events import (
    Event,
    ProcessExit,
    ProcessFork,
    SessionEnd,
    SessionStart,
)
from podcorder_agent.interpreter.subjects import Process, Session, SessionKind

MOST_SPANS = 1000
"""Spans of a session; further processes have none."""
MOST_PROCESSES = 65536
"""Processes whose parent is remembered."""
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Spans:
    """Makes a span of each process that ends. Feed it the events delivered, in order."""

    def __init__(self, processor: SpanProcessor, resource: Resource) -> None:
        self._processor = processor
        self._resource = resource
        self._scope = InstrumentationScope(SCOPE, __version__)
        self._parents: dict[tuple[str, int], str] = {}
        """Span id of the parent, by session id and pid."""
        self._roots: dict[str, str] = {}
        self._made: Counter[str] = Counter()

    def listen(self, events: Sequence[Event]) -> None:
        """Take note of a batch."""
        for event in events:
            kind, process = event.__class__, event.process
            if process is None or kind not in _HANDLED or process.session.kind is SessionKind.PROBE:
                continue
            session = process.session
            if isinstance(event, ProcessFork) and event.child_pid is not None:
                if len(self._parents) >= MOST_PROCESSES:
                    self._parents.clear()
                self._parents[session.id, event.child_pid] = process.span_id
            elif isinstance(event, SessionStart):
                self._roots[session.id] = process.span_id
            elif isinstance(event, ProcessExit):
                self._end(event, process, session)
            elif isinstance(event, SessionEnd):
                self._roots.pop(session.id, None)
                self._made.pop(session.id, None)

    def _end(self, event: ProcessExit, process: Process, session: Session) -> None:
        parent = self._parents.pop((session.id, process.tgid), None) or self._roots.get(session.id)
        self._made[session.id] += 1
        if self._made[session.id] > MOST_SPANS or not session.id or not process.span_id:
            return
        executable = (process.executable or b"?").decode(errors="backslashreplace")
        attributes: dict[str, str | int] = {
            "process.pid": process.tgid,
            "process.executable.path": executable,
            "podcorder.session.id": session.id,
            "podcorder.session.kind": session.kind.value,
        }
        if event.code is not None:
            attributes["process.exit.code"] = event.code
        if event.signal is not None:
            attributes["podcorder.process.signal"] = event.signal
        is_root = process.tgid == session.root_tgid and process.start == session.root_start
        self._processor.on_end(
            ReadableSpan(
                name=executable.rpartition("/")[2] or executable,
                context=_context(session.id, process.span_id),
                parent=None if is_root or parent is None else _context(session.id, parent),
                resource=self._resource,
                attributes=attributes,
                start_time=max(0, event.time - (event.duration or 0)),
                end_time=event.time,
                instrumentation_scope=self._scope,
            )
        )


_HANDLED = frozenset({ProcessFork, ProcessExit, SessionStart, SessionEnd})


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
