"""What answers in a node's agent where nothing can be recorded: each capability has failed, and the reason is told.

It takes every request, so that the exporter goes on and reports the reason. None is written down: recording that was
never begun must not look begun.
"""

from __future__ import annotations

import json
import select
import time
from typing import Any

from podcorder_agent.classes import CLASS_COUNT, REASON_NAMES
from podcorder_agent.control.messages import Message, MessageError
from podcorder_agent.journal import FrameKind, JournalError, Position, Writer
from podcorder_agent.recorder.attachments import CapabilityState
from podcorder_agent.recorder.errors import Unable
from podcorder_agent.recorder.filters import compile_settings
from podcorder_agent.recorder.ladders import LADDERS
from podcorder_agent.recorder.recorder import TICK_SECONDS, describe_journal
from podcorder_agent.recorder.server import ControlServer

AGAIN_SECONDS = 600.0
"""After these it ends, where the reason may be over, for the next recorder to try; else a kernel stays as it is."""


class Standby:
    """The journal alone, and answers."""

    def __init__(self, journal: Writer, reason: Unable, loader: dict[str, str], greeting: Message) -> None:
        """`greeting`: the fields boot_id, generation and node of the reply to `hello`. Raises JournalError."""
        self._journal = journal
        self._loader = loader
        self._greeting = greeting
        self._full = False
        self._ends = time.monotonic() + AGAIN_SECONDS if reason.passes else float("inf")
        self._finished = False
        failed = CapabilityState(state="Failed", rung="", reason=str(reason))
        self.states = {each.name: failed for each in LADDERS}
        self._note("started", capabilities=self.states, loader=loader)

    def serve(self, server: ControlServer, poller: select.epoll, signals: list[int]) -> None:
        """Until a signal, a `stop`, or the time to try again. Raises JournalError where the disk is full at the end."""
        while not (signals or self._finished or time.monotonic() > self._ends):
            for descriptor, mask in poller.poll(TICK_SECONDS):
                server.serve(descriptor, mask, self.handle)
            self._sync()
        self._note("stopped", unpinned=True)
        self._journal.close()

    def handle(self, number: int, uid: int, kind: str, request: Message) -> Message:
        """The reply's fields; raises MessageError for what no recorder takes."""
        match kind:
            case "hello":
                return {**self._greeting, "position": str(self._journal.position)}
            case "configure" | "pending":
                compile_settings(0, request.get("settings"))
                return {"capabilities": self.states}
            case "select" | "exclude":
                return {"cgroups": 0}
            case "acknowledge":
                self._acknowledge(request)
            case "flush":
                return {"position": str(self._journal.position)}
            case "health":
                return self._health()
            case "stop":
                self._finished = True
        return {}

    def _acknowledge(self, request: Message) -> None:
        try:
            self._journal.acknowledge(Position.parse(request["position"]), request.get("checkpoint"))
        except JournalError as error:
            raise MessageError(str(error)) from None

    def _health(self) -> Message:
        return {
            "capabilities": self.states,
            "loader": self._loader,
            "counters": {
                "generated": [0] * CLASS_COUNT,
                "lost": [[0] * len(REASON_NAMES)] * CLASS_COUNT,
                "skipped": [0] * CLASS_COUNT,
            },
            "journal": describe_journal(self._journal, full=self._full),
            "ring": {"size": 0, "used": 0},
            "drained": {"bytes": 0, "records": 0},
        }

    def _sync(self) -> None:
        """And look after retention."""
        try:
            self._journal.sync()
            self._full = False
        except JournalError:
            self._full = True

    def _note(self, name: str, **fields: Any) -> None:
        self._journal.append(FrameKind.NOTE, json.dumps({"note": name, **fields}, separators=(",", ":")).encode())
