"""The entry of the webhook's configuration that fails closed: made from the chart's own, for Strict namespaces alone.

The chart's entry and this one never have a namespace in common, and both change with one write, so that no request is
asked about twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Set
from typing import Any, NoReturn

from podcorder_operator.api import Api
from podcorder_operator.backoffs import Backoff
from podcorder_operator.errors import ApiError, NotFound
from podcorder_operator.metadata import read_text
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import Resource
from podcorder_operator.streams import Stream
from podcorder_operator.strictness import Scope, Strictness
from podcorder_operator.world import World

logger = logging.getLogger(__name__)

WEBHOOKS = Resource(
    "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"
)
CONFIGURATION = "podcorder-sessions"
OPEN_ENTRY = "sessions.podcorder.dev"
"""The chart's: where nobody answers, sessions begin all the same."""
STRICT_ENTRY = "strict-sessions.podcorder.dev"
FIELD_MANAGER = "podcorder-operator-strict"
"""Of the fields that are ours: helm upgrades its own without a conflict."""
RETRY_SECONDS = 30.0
"""The longest wait between two tries."""

_NAME_LABEL = "kubernetes.io/metadata.name"
"""The API server keeps it on every namespace, with the namespace's name."""

Entry = dict[str, Any]


def make_entries(stored: Mapping[str, Any], scope: Scope, open_namespaces: Set[str]) -> list[Entry] | None:
    """What is to be applied to the stored configuration; None where it is so already. Empty: nothing of ours."""
    entries = {read_text(each.get("name")): each for each in stored.get("webhooks") or ()}
    chart, ours = entries.get(OPEN_ENTRY), entries.get(STRICT_ENTRY)
    if not scope or chart is None:
        return None if ours is None else []
    names: Iterable[str] = sorted(open_namespaces) if scope.everywhere else scope.names
    among, beside = _select("In", names), _select("NotIn", names)
    shut, left = (beside, among) if scope.everywhere else (among, beside)
    strict = dict(chart) | {"name": STRICT_ENTRY, "failurePolicy": "Fail", "namespaceSelector": shut}
    if ours == strict and chart.get("namespaceSelector") == left:
        return None
    return [{"name": OPEN_ENTRY, "namespaceSelector": left}, strict]


async def apply_entries(api: Api, stored: Mapping[str, Any], entries: list[Entry]) -> None:
    """All in one write, to this very object as it was read: one that was deleted is not made anew, for nobody would
    take away what then refuses. Raises ApiError."""
    metadata = {key: stored["metadata"][key] for key in ("uid", "resourceVersion")}
    body: dict[str, Any] = {"metadata": metadata} | ({"webhooks": entries} if entries else {})
    await api.apply(WEBHOOKS, CONFIGURATION, body, manager=FIELD_MANAGER)


async def remove_entry(api: Api) -> None:
    """Nothing is refused any more because nobody answers. Raises ApiError."""
    try:
        stored = await api.get(WEBHOOKS, CONFIGURATION)
    except NotFound:
        return
    if make_entries(stored, Scope(), frozenset()) is not None:
        await apply_entries(api, stored, [])


class EntryWriter:
    """Keeps the configuration in step with the Strict policies, while `run` runs."""

    def __init__(self, world: World, strictness: Strictness, api: Api, metrics: Metrics) -> None:
        self._changed = world.strict.changed
        self._world = world
        self._strictness = strictness
        self._api = api
        self._metrics = metrics
        self._stored: dict[str, Any] | None = None
        self._told = ""

    async def run(self) -> NoReturn:
        """Until cancelled; nothing is written before the world is whole."""
        await self._world.when_synced.wait()
        stream = Stream(self._api, WEBHOOKS, self, self._metrics, fields=f"metadata.name={CONFIGURATION}")
        backoff = Backoff(1.0, RETRY_SECONDS)
        self._stored = None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stream.run(), name="stream of the webhook's configuration")
            while True:
                await self._changed.wait()
                self._changed.clear()
                if await self._write():
                    backoff.reset()
                else:
                    await asyncio.sleep(backoff.take())
                    self._changed.set()

    async def _write(self) -> bool:
        """Whether all is as it should be."""
        if self._stored is None:
            return True
        scope = self._strictness.find_scope()
        entries = make_entries(self._stored, scope, self._strictness.open_namespaces)
        if entries is None:
            return True
        try:
            await apply_entries(self._api, self._stored, entries)
        except ApiError as error:
            self._metrics.count_error("webhook", error.status)
            sentence = f"Where Strict policies refuse sessions cannot be written, trying again: {error}"
            logger.log(logging.DEBUG if sentence == self._told else logging.WARNING, sentence)
            self._told = sentence
            return False
        self._told = ""
        logger.info("Sessions are refused where nobody answers: %s.", _describe(scope))
        return True

    # What the stream tells

    def put(self, resource: Resource, raw: dict[str, Any]) -> None:
        self._stored = raw
        self._changed.set()

    def drop(self, resource: Resource, namespace: str, name: str) -> None:
        self._stored = None

    def listed(self, resource: Resource, keys: set[tuple[str, str]]) -> None:
        if not keys:
            self._stored = None


def _select(operator: str, names: Iterable[str]) -> dict[str, Any]:
    return {"matchExpressions": [{"key": _NAME_LABEL, "operator": operator, "values": list(names)}]}


def _describe(scope: Scope) -> str:
    if scope.everywhere:
        return "in all namespaces but the system's and the operator's own"
    if len(scope.names) > 3:
        return f"in {', '.join(scope.names[:3])} and {len(scope.names) - 3} more namespaces"
    return f"in {', '.join(scope.names)}" if scope else "nowhere"
