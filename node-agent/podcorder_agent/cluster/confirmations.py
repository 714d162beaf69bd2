"""Sees to it that no session is called unannounced of which the watch was only late to tell.

While the interpreter knows of a session that nobody asked for, the API server is asked for all records of the node at
once, and the journal is told that there are no others.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from podcorder_agent.cluster.announcer import UNANNOUNCED_MS
from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.collections import Collection
from podcorder_agent.cluster.errors import ApiError
from podcorder_agent.cluster.streams import Change, Put
from podcorder_agent.interpreter.session_reports import SessionReport
from podcorder_agent.interpreter.subjects import Identity, SessionKind

logger = logging.getLogger(__name__)

MOST_PENDING = 1024
"""Of more sessions the oldest are left to the next question."""
_LOOK_SECONDS = 1.0


class Confirmer:
    """Knows which sessions nobody is known of, and asks about them when it is time."""

    def __init__(
        self,
        api: Api,
        records: Collection,
        node: str,
        tell_record: Callable[[Change], None],
        tell_current: Callable[[], None],
        *,
        after: float = UNANNOUNCED_MS / 1000 + 1,
        least: float = 10.0,
    ) -> None:
        """`tell_current`: all records there are have been told. `after`: seconds from a session's first report to the
        question; `least`: from one question to the next."""
        self._api = api
        self._records = records
        self._selector = f"spec.nodeName={node}"
        self._tell_record = tell_record
        self._tell_current = tell_current
        self._after = after
        self._least = least
        self._heard: queue.SimpleQueue[Sequence[SessionReport]] = queue.SimpleQueue()
        self._pending: dict[str, float] = {}
        """By session: since when."""
        self._told = ""

    def tell_reports(self, reports: Sequence[SessionReport]) -> None:
        """From any thread."""
        self._heard.put(reports)

    def run(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            self._hear()
            if self._is_due():
                self._ask()
                stop.wait(self._least)

    def _hear(self) -> None:
        """Wait for a report, but not for long, then take all there are."""
        try:
            self._take(self._heard.get(timeout=min(_LOOK_SECONDS, self._after)))
            while True:
                self._take(self._heard.get_nowait())
        except queue.Empty:
            pass

    def _take(self, reports: Sequence[SessionReport]) -> None:
        for each in reports:
            if each.session_id is None or each.kind is SessionKind.HOST:
                continue
            if each.identity is not Identity.PENDING:
                self._pending.pop(each.session_id, None)
            elif each.session_id not in self._pending:
                self._pending[each.session_id] = time.monotonic()
                if len(self._pending) > MOST_PENDING:
                    del self._pending[next(iter(self._pending))]

    def _is_due(self) -> bool:
        return any(time.monotonic() - since >= self._after for since in self._pending.values())

    def _ask(self) -> None:
        """Where the API server gives no answer, the sessions stay, and it is asked again."""
        asked = time.monotonic()
        try:
            with self._api.list(self._records.path, self._selector) as listing:
                for each in listing:
                    self._tell_record(Put(each))
        except ApiError as error:
            if str(error) != self._told:
                self._told = str(error)
                logger.warning("Whether anybody asked for a session cannot be told now, trying again: %s", error)
            return
        self._told = ""
        self._tell_current()
        self._pending = {each: since for each, since in self._pending.items() if asked - since < self._after}
