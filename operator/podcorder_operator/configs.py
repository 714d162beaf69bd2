"""Keeps each node's NodeRecordingConfig as the resolver says it should be."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import perf_counter

from podcorder_operator.api import Api
from podcorder_operator.backoffs import Backoff
from podcorder_operator.errors import ApiError, Refused
from podcorder_operator.gates import Gate
from podcorder_operator.metrics import Metrics, Outcome
from podcorder_operator.node_configs import digest_spec
from podcorder_operator.queues import NodeQueue
from podcorder_operator.resolver import Resolution, resolve
from podcorder_operator.resources import CONFIGS
from podcorder_operator.world import World

logger = logging.getLogger(__name__)

WRITERS = 8
"""Configs written at a time."""
GATHER_SECONDS = 0.05
"""Between two looks at what was touched: changes that come together are resolved together."""
ECHO_SECONDS = 5.0
"""How long the watch may take to show a config as we wrote it, before it is written once more."""
LEAST_WAIT = 0.25
LONGEST_WAIT = 30.0
"""Seconds between two tries of one node, unless the API server asks for more."""
LONGEST_WAIT_REFUSED = 300.0
"""The same for what the API server refuses: it will, until a person changes something."""


@dataclass(frozen=True, slots=True)
class Written:
    """What we last wrote for a node. Digests of specs."""

    wanted: bytes
    stored: bytes
    """As the API server answered; other than `wanted` where it changes what it is sent."""
    before: bytes | None
    """As the world showed the config at that time; None: there was none."""
    at: float


@dataclass(slots=True)
class Failure:
    """A node's failures in a row."""

    backoff: Backoff
    refused: bool
    wanted: bytes | None
    """Digest of what could not be written last; None: a deletion."""


class ConfigWriter:
    """Writes while `run` runs. Nothing of a failure is lost: the node is tried again, ever more slowly."""

    def __init__(self, world: World, api: Api, metrics: Metrics) -> None:
        self._world = world
        self._api = api
        self._metrics = metrics
        self._queue = NodeQueue()
        self._gate = Gate()
        self._written: dict[str, Written] = {}
        self._failures: dict[str, Failure] = {}
        self._reported: set[str] = set()
        metrics.observe_queue("config", lambda: len(self._queue))

    async def run(self) -> None:
        """Until cancelled; begins, once the world is whole, with every node: others may have written before."""
        await self._world.when_synced.wait()
        self._queue = NodeQueue()
        self._written.clear()
        self._failures.clear()
        self._world.touch_all()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._fill())
                for _ in range(WRITERS):
                    tasks.create_task(self._work())
        finally:
            self._queue.close()

    async def _fill(self) -> None:
        while True:
            await self._world.nodes_touched.wait()
            for node, wave in self._world.take_nodes().items():
                self._queue.add(node, wave)
            await asyncio.sleep(GATHER_SECONDS)

    async def _work(self) -> None:
        while True:
            node = await self._queue.take()
            try:
                await self._reconcile(node)
            finally:
                self._queue.done(node)
            await asyncio.sleep(0)  # thousands of nodes may need nothing, and then nothing else waits

    async def _reconcile(self, node: str) -> None:
        begun = await self._gate.wait()
        started = perf_counter()
        outcome: Outcome = "failed"
        wanted: bytes | None = None
        try:
            resolution = self._resolve(node)
            wanted = resolution.digest if resolution else None
            if self._is_put_off(node, wanted):
                return
            outcome = await (self._write(node, resolution) if resolution else self._delete(node))
            self._failures.pop(node, None)
        except ApiError as error:
            self._gate.close(error, begun)
            self._put_off(node, wanted, error)
        except Exception:  # a defect of ours must cost this node's config only, and only for now
            logger.exception("The config of node %s could not be reconciled.", node)
            self._put_off(node, wanted, None)
            if self._world.has_node(node):
                self._world.leave_out(node, frozenset())  # statuses wait until each node was looked at
        self._metrics.count_reconcile("config", outcome, perf_counter() - started)

    def _resolve(self, node: str) -> Resolution | None:
        """What the node's config should be; None where there is no such node."""
        if not self._world.has_node(node):
            return None
        config = self._world.config(node)
        current = {key: held.generation for key, held in config.held.items()} if config else {}
        resolution = resolve(node, self._world.candidates(node), current)
        self._world.leave_out(node, resolution.left_out)
        return resolution

    async def _write(self, node: str, resolution: Resolution) -> Outcome:
        config = self._world.config(node)
        before = config.digest if config else None
        if before == resolution.digest or self._is_written(node, resolution.digest, before):
            return "unchanged"
        stored = digest_spec((await self._api.apply(CONFIGS, node, {"spec": resolution.spec})).get("spec"))
        self._gate.succeed()
        now = asyncio.get_running_loop().time()
        self._written[node] = Written(resolution.digest, stored, before, now)
        if stored != resolution.digest:
            self._warn(
                node,
                f"The API server stores other configs than it is sent, that of node {node} for one: "
                "apply the CustomResourceDefinitions of this version.",
            )
        return "written"

    def _is_written(self, node: str, wanted: bytes, shown: bytes | None) -> bool:
        """Whether we wrote just this already: the watch may not show it yet, or the API server stores it changed."""
        written = self._written.get(node)
        if written is None or written.wanted != wanted:
            return False
        if shown == written.stored:
            return True
        wait = written.at + ECHO_SECONDS - asyncio.get_running_loop().time()
        if shown == written.before and wait > 0:
            self._queue.add_later(node, wait)
            return True
        return False

    async def _delete(self, node: str) -> Outcome:
        config = self._world.config(node)
        self._written.pop(node, None)
        if config is None:
            return "unchanged"
        await self._api.delete(CONFIGS, node, uid=config.uid)
        self._gate.succeed()
        return "deleted"

    # After failures

    def _is_put_off(self, node: str, wanted: bytes | None) -> bool:
        """Whether the node failed with just this, and its time has not come yet."""
        failure = self._failures.get(node)
        return failure is not None and failure.wanted == wanted and self._queue.is_later(node)

    def _put_off(self, node: str, wanted: bytes | None, error: ApiError | None) -> None:
        refused = isinstance(error, Refused)
        failure = self._failures.get(node)
        if failure is None or failure.refused != refused:
            backoff = Backoff(LEAST_WAIT, LONGEST_WAIT_REFUSED if refused else LONGEST_WAIT)
            failure = self._failures[node] = Failure(backoff, refused, wanted)
            if error is not None and not refused:
                logger.info("The config of node %s could not be written and is tried again: %s", node, error)
        failure.wanted = wanted
        self._queue.add_later(node, failure.backoff.take(error.retry_after if error else None))
        if error is not None:
            self._metrics.count_error("config", error.status)
        if refused:
            self._warn(node, f"The API server refuses a config, that of node {node} for one: {error}")

    def _warn(self, node: str, message: str) -> None:
        """Once, whatever number of nodes it is true of."""
        common = message.replace(node, "")
        if common not in self._reported:
            self._reported.add(common)
            logger.warning(message)
