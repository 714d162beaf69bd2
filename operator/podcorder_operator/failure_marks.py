"""Marks sessions of Strict policies that were running when their node's recorder failed, and tells of it at their pods.

Nodes it knows anyway; records of sessions are read of a node that has failed, and of no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from podcorder_crds import Mode, SessionKind
from podcorder_operator.api import FIELD_MANAGER, Api
from podcorder_operator.errors import ApiError, NotFound
from podcorder_operator.metrics import Metrics
from podcorder_operator.notices import MAX_MESSAGE
from podcorder_operator.records import read_record
from podcorder_operator.resources import EVENTS, RECORDED_SESSIONS
from podcorder_operator.strict_policies import StrictPolicies
from podcorder_operator.strictness import Strictness

logger = logging.getLogger(__name__)

REASON = "RecorderFailed"
PAGE = 25
_RUN = frozenset({SessionKind.EXEC, SessionKind.ATTACH, SessionKind.DEBUG})
"""Kinds of session in which something runs."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    look: float = 5.0
    """From one look at all nodes to the next."""
    window: float = 30.0
    """After a failure, in which sessions may still have begun: then the node's sessions are looked at once more."""
    write: float = 0.05
    """Between any two sessions that are marked: 20 a second."""


class FailureMarks:
    """Looks at the nodes while `run` runs and there is a Strict policy."""

    def __init__(
        self,
        strict: StrictPolicies,
        strictness: Strictness,
        api: Api,
        metrics: Metrics,
        timing: Timing | None = None,
    ) -> None:
        self._strict = strict
        self._strictness = strictness
        self._api = api
        self._metrics = metrics
        self._timing = timing or Timing()
        self._failing: dict[str, float] = {}
        """Nodes that have failed, with the event loop's time from which on their sessions are to be looked at."""

    async def run(self) -> NoReturn:
        """Until cancelled."""
        while True:
            await self._strict.begun.wait()
            await self.look()
            await asyncio.sleep(self._timing.look)

    async def look(self) -> None:
        """Once at all nodes. Raises nothing of the API server's."""
        failures: dict[str, str] = {}
        for node in self._strictness.find_nodes():
            if failure := self._strictness.find_failure(node):
                failures[node] = failure
            await asyncio.sleep(0)  # 2,000 nodes of 200 Strict policies take 0.15 s, in which people wait for answers
        self._failing = {node: when for node, when in self._failing.items() if node in failures}
        now = asyncio.get_running_loop().time()
        for node, failure in failures.items():
            known = node in self._failing
            if self._failing.get(node, now) > now:
                continue
            try:
                marked = await self._mark_all(node, failure)
            except ApiError as error:
                self._metrics.count_error("mark", error.status)
                logger.warning("The sessions on node %s cannot be marked, trying again: %s", node, error)
                continue
            self._failing[node] = float("inf") if known else now + self._timing.window
            if marked or not known:
                logger.warning("On node %s sessions may go unrecorded, %d marked: %s.", node, marked, failure)

    async def _mark_all(self, node: str, failure: str) -> int:
        """How many sessions were marked. Raises ApiError."""
        marked = 0
        async for page in self._api.list_pages(RECORDED_SESSIONS, fields=f"spec.nodeName={node}", page=PAGE):
            now = datetime.now(UTC)
            for raw in page.items:
                if is_exposed(raw, now):
                    await asyncio.sleep(self._timing.write)
                    marked += await self._mark(raw, failure, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        return marked

    async def _mark(self, raw: Mapping[str, Any], failure: str, now: str) -> bool:
        """False where the record is gone. Raises ApiError."""
        name, namespace = raw["metadata"]["name"], raw["metadata"]["namespace"]
        change = {"status": {"recorderFailure": {"time": now, "message": failure[:MAX_MESSAGE]}}}
        try:
            await self._api.merge(RECORDED_SESSIONS, name, change, namespace=namespace, subresource="status")
            await self._api.create(EVENTS, make_event(raw, failure, now), namespace=namespace)
        except NotFound:
            return False
        return True


def is_exposed(raw: Mapping[str, Any], now: datetime) -> bool:
    """Whether a stored session is of a Strict policy, may be running, and is not marked yet."""
    spec, status = raw["spec"], raw.get("status") or {}
    return (
        spec.get("mode") == Mode.STRICT
        and spec.get("kind") in _RUN
        and "pod" in spec
        and "recorderFailure" not in status
        and read_record(raw, now).over is None
    )


def make_event(raw: Mapping[str, Any], failure: str, now: str) -> dict[str, Any]:
    """The Event on the pod of a stored session. `now`: RFC 3339, in UTC."""
    metadata, pod = raw["metadata"], raw["spec"]["pod"]
    return {
        "metadata": {"generateName": f"{pod['name'][:200]}."},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": pod["name"],
            "uid": pod["uid"],
        },
        "type": "Warning",
        "reason": REASON,
        "message": f"The session {metadata['name']} may go on unrecorded: {failure}."[:MAX_MESSAGE],
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
