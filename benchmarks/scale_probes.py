"""What the scale benchmark looks at: changes of configs as they come, and the API server's own counts of requests."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from benchmarks.scale_worlds import METADATA_LIST, Writer
from podcorder_operator.resources import CONFIGS

REQUEST = re.compile(r"^apiserver_request_total\{(?P<labels>.*)\} (?P<count>\S+)$", re.M)
WRITES = ("POST", "PUT", "PATCH", "APPLY", "DELETE")
LABEL = re.compile(r'(\w+)="([^"]*)"')


class Changes:
    """The configs' generations, and when each was seen; use as an asynchronous context manager."""

    def __init__(self, writer: Writer) -> None:
        self.generations: dict[str, int] = {}
        self.seen: dict[str, float] = {}
        """When the node's config last changed in its spec, by the monotonic clock."""
        self.written = 0
        """Changes of specs since the start."""
        self.first = self.last = 0.0
        """When the first and the last change was seen."""
        self._writer = writer
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        listed = await self._writer.list(CONFIGS, accept=METADATA_LIST)
        for item in listed["items"] or ():
            self.generations[item["metadata"]["name"]] = item["metadata"]["generation"]
        self._task = asyncio.create_task(self._follow(listed["metadata"]["resourceVersion"]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def wait_for(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Until the condition holds. Raises RuntimeError when it does not in time, or when nobody looks any more."""

        async def wait() -> None:
            async with self._changed:
                await self._changed.wait_for(condition)

        waiting = asyncio.create_task(wait())
        await asyncio.wait({waiting, self._task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            raise RuntimeError(f"{what}: not within {seconds} s") from self._find_error()

    def _find_error(self) -> BaseException | None:
        return self._task.exception() if self._task.done() else None

    async def _follow(self, version: str) -> None:
        while True:  # the API server ends watches that do not read for a while
            async for kind, metadata in self._writer.watch_metadata(CONFIGS, version):
                version = metadata["resourceVersion"]
                if kind != "DELETED" and self.generations.get(metadata["name"]) != metadata["generation"]:
                    await self._note(metadata["name"], metadata["generation"])

    async def _note(self, name: str, generation: int) -> None:
        async with self._changed:
            self.generations[name] = generation
            self.seen[name] = self.last = time.monotonic()
            self.first = self.first or self.last
            self.written += 1
            self._changed.notify_all()


async def count_requests(writer: Writer) -> Counter[tuple[str, str]]:
    """All requests that the API server has answered, by verb and resource/subresource; watches when they end."""
    counted: Counter[tuple[str, str]] = Counter()
    for match in REQUEST.finditer((await writer.send("GET", "/metrics")).decode()):
        labels = dict(LABEL.findall(match["labels"]))
        resource = "/".join(filter(None, (labels["resource"], labels["subresource"])))
        counted[labels["verb"], resource] += int(float(match["count"]))
    return counted


def count_writes(requests: Counter[tuple[str, str]], resources: tuple[str, ...]) -> int:
    """Writes among these requests to the resources that end so."""
    return sum(count for (verb, name), count in requests.items() if verb in WRITES and name.endswith(resources))


async def read_gauge(writer: Writer, name: str) -> float:
    """One metric of the API server, all its series summed up."""
    text = (await writer.send("GET", "/metrics")).decode()
    return sum(float(each) for each in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.M))
