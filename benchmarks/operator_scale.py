"""What the operator does at scale: `make bench-operator`, about ten minutes on a quiet machine.

A control plane of its own, nodes that are plain objects, reports written as agents would write them. For a quick look:
NODES, NAMESPACES, POLICIES, TRIES and REST_SECONDS of the environment.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.processes import read_busy_seconds, read_cpu_seconds, read_memory
from benchmarks.scale_probes import Changes, count_requests, count_writes, read_gauge
from benchmarks.scale_worlds import Object, Writer, make_spec, namespace_name, place, populate, report_all
from benchmarks.tables import render_table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cluster.control_plane import ControlPlane
from fixtures.installations import OPERATOR, Installation
from fixtures.recounts import expect_spec, find_differences, read_snapshot

from podcorder_operator.resources import CLUSTER_POLICIES, CONFIGS, POLICIES, Resource

NODES = int(os.environ.get("NODES", "2000"))
NAMESPACES = int(os.environ.get("NAMESPACES", "500"))
POLICY_COUNT = int(os.environ.get("POLICIES", "200"))
TRIES = int(os.environ.get("TRIES", "120"))
REST_SECONDS = float(os.environ.get("REST_SECONDS", "60"))
PRESENT = (4, 40)
"""Namespaces on each node, a run each."""
LONELY = NODES // 20
"""So many namespaces are on one node each, for policies that concern one node."""
SETTLE_SECONDS = 10.0
"""Until statuses, which are written at most every 5 s, have come to rest."""
PATIENCE = 600.0
"""Seconds after which something will not happen any more."""

Figures = dict[str, str]

TARGETS = {
    "policy for one node, p99": "1 s",
    "policy for all nodes, new": "60 s",
    "... beyond those needed": "0",
    "operator, most memory": "250 MB",
}


class Run:
    """One control plane with so many namespaces present on each node."""

    def __init__(self, installation: Installation, writer: Writer, changes: Changes, present: int) -> None:
        self.figures: Figures = {}
        self._installation = installation
        self._writer = writer
        self._changes = changes
        self._random = Random(present)
        self._names = [f"node-{number}" for number in range(NODES)]
        self._placed = place(NODES, NAMESPACES, present, LONELY, self._random)
        self._needed = 0
        """Changes of configs that there had to be since the cold start."""

    async def measure(self) -> None:
        """All of it, in an order in which each part finds what it needs."""
        parts = {
            "makes nodes, namespaces, policies": self._populate,
            "applies without an operator": self._measure_bare,
            "cold start": self._measure_cold_start,
            "statuses": self._measure_statuses,
            "policies for one node": self._measure_one_node,
            "policies for all nodes": self._measure_all_nodes,
            "rest": self._measure_rest,
            "restart": self._measure_restart,
            "check": self._check,
        }
        for name, part in parts.items():
            print(f"{time.strftime('%T')} {name}", file=sys.stderr, flush=True)
            known = set(self.figures)
            await part()
            for figure, value in self.figures.items():
                if figure not in known:
                    print(f"    {figure}: {value}", file=sys.stderr, flush=True)

    async def _populate(self) -> None:
        await populate(self._writer, NODES, NAMESPACES, POLICY_COUNT, self._random)
        bodies = ({"metadata": {"name": name}, "spec": {"nodeName": name, "policies": []}} for name in self._names)
        await self._writer.apply_all(CONFIGS, bodies, manager=OPERATOR)
        await report_all(self._writer, self._names, self._placed)

    async def _check(self) -> None:
        """Every config is what it must be in the end; what it all takes by then."""
        differences = list(find_differences(read_snapshot(self._installation.client)))
        if differences:
            raise RuntimeError(f"{len(differences)} configs are wrong: {differences[0]}")
        database = self._installation.control_plane.directory / "etcd" / "member" / "snap" / "db"
        self.figures["etcd, database file"] = f"{database.stat().st_size / 1e6:.0f} MB"
        self.figures["API server, resident now"] = (
            f"{await read_gauge(self._writer, 'process_resident_memory_bytes') / 1e6:.0f} MB"
        )

    async def _measure_bare(self) -> None:
        """What the API server takes for as many server-side applies of just these specs from this very client."""
        snapshot = read_snapshot(self._installation.client)
        specs = {name: expect_spec(snapshot, name) for name in self._names}
        sizes = sorted(len(json.dumps(spec, separators=(",", ":")).encode()) for spec in specs.values())
        self.figures["a config, median"] = f"{statistics.median(sizes) / 1024:.1f} KiB"
        self.figures["a config, largest"] = f"{sizes[-1] / 1024:.1f} KiB"
        bodies = [
            {"metadata": {"name": f"bare-{name}"}, "spec": {**spec, "nodeName": f"bare-{name}"}}
            for name, spec in specs.items()
        ]
        begun = time.monotonic()
        await self._writer.apply_all(CONFIGS, bodies)
        self.figures["bare: as many plain applies"] = show_seconds(time.monotonic() - begun)
        names = [body["metadata"]["name"] for body in bodies]
        await asyncio.gather(*(self._writer.delete(CONFIGS, name) for name in names))
        await self._changes.wait_for(lambda: self._changes.generations.keys() >= {*names}, PATIENCE, "the bare configs")

    async def _measure_cold_start(self) -> None:
        """From the start of the process to the last config written, none of them being right before."""
        self._counted = await count_requests(self._writer)
        self._changes.first = 0.0
        begun = time.monotonic()
        self._operator = self._installation.start_operator()
        await self._wait_changed(self._names, begun, "all configs after a cold start")
        self.figures["cold start to the last config"] = show_seconds(self._changes.last - begun)
        self.figures["... from the first config"] = show_seconds(self._changes.last - self._changes.first)

    async def _measure_statuses(self) -> None:
        """Every agent applies its config; until every policy says so."""
        counted = await count_requests(self._writer)
        begun = time.monotonic()
        generations = [self._changes.generations[name] for name in self._names]
        await report_all(self._writer, self._names, self._placed, generations)
        reported = time.monotonic()
        while not await self._is_ready():
            if time.monotonic() > begun + PATIENCE:
                raise RuntimeError("the policies did not become ready")
            await asyncio.sleep(0.25)
        took = time.monotonic() - begun
        written = count_writes(await count_requests(self._writer) - counted, ("policies/status",))
        self.figures["all agents report"] = show_seconds(reported - begun)
        self.figures["... until every policy is Ready"] = show_seconds(took)
        self.figures["... policy statuses written"] = f"{written} ({written / took:.1f}/s)"

    async def _is_ready(self) -> bool:
        for resource in (POLICIES, CLUSTER_POLICIES):
            for policy in (await self._writer.list(resource))["items"]:
                nodes = policy.get("status", {}).get("nodes", {"behind": 1})
                if nodes["behind"] or policy["status"]["observedGeneration"] != policy["metadata"]["generation"]:
                    return False
        return True

    async def _measure_one_node(self) -> None:
        """From the apply of a policy that concerns one node to the watch's word that its config is written."""
        times = []
        for number in range(TRIES):
            node = number % LONELY
            metadata = {"name": f"try-{number}", "namespace": namespace_name(node)}
            body = {"metadata": metadata, "spec": make_spec(self._random)}
            times.append(await self._time_change(POLICIES, body, [f"node-{node}"]))
            begun = time.monotonic()
            await self._writer.delete(POLICIES, metadata["name"], metadata["namespace"])
            await self._wait_changed([f"node-{node}"], begun, "a deletion")
        times.sort()
        self.figures["policy for one node, median"] = f"{statistics.median(times) * 1000:.0f} ms"
        self.figures["policy for one node, p99"] = f"{times[math.ceil(len(times) * 0.99) - 1] * 1000:.0f} ms"
        self.figures["policy for one node, slowest"] = f"{times[-1] * 1000:.0f} ms of {TRIES}"

    async def _measure_all_nodes(self) -> None:
        """The same for a policy that concerns every node: new, changed, and deleted again."""
        new = {"metadata": {"name": "for-all"}, "spec": make_spec(self._random)}
        took = await self._time_change(CLUSTER_POLICIES, new, self._names)
        self.figures["policy for all nodes, new"] = show_seconds(took)
        await self._measure_small_amid_large()
        begun = time.monotonic()
        await self._writer.delete(CLUSTER_POLICIES, "for-all")
        await self._wait_changed(self._names, begun, "the deletion")
        self.figures["policy for all nodes, deleted"] = show_seconds(self._changes.last - begun)

    async def _measure_small_amid_large(self) -> None:
        """While a large change is on its way, a small one must not wait for it."""
        large = {"metadata": {"name": "for-all"}, "spec": make_spec(self._random)}
        small = {"metadata": {"name": "meanwhile", "namespace": namespace_name(0)}, "spec": make_spec(self._random)}
        name = self._names[0]
        generation = self._changes.generations[name]
        spread = asyncio.create_task(self._time_change(CLUSTER_POLICIES, large, self._names[1:]))
        await asyncio.sleep(1)
        begun = time.monotonic()
        await self._writer.apply(POLICIES, small)
        await self._changes.wait_for(lambda: self._changes.seen.get(name, 0) > begun, PATIENCE, "the small change")
        self.figures["... one node's, in the midst of it"] = show_seconds(self._changes.seen[name] - begun)
        self.figures["policy for all nodes, changed"] = show_seconds(await spread)
        await asyncio.sleep(1)
        self._needed += self._changes.generations[name] - generation  # one of both, or both at once

    async def _time_change(self, resource: Resource, body: Object, names: Sequence[str]) -> float:
        """Seconds from an apply to the last of these nodes' configs."""
        begun = time.monotonic()
        await self._writer.apply(resource, body)
        await self._wait_changed(names, begun, body["metadata"]["name"])
        return max(self._changes.seen[name] for name in names) - begun

    async def _wait_changed(self, names: Sequence[str], begun: float, what: str) -> None:
        await self._changes.wait_for(
            lambda: all(self._changes.seen.get(name, 0) > begun for name in names), PATIENCE, what
        )
        self._needed += len(names)

    async def _measure_rest(self) -> None:
        """With nothing to do."""
        await asyncio.sleep(SETTLE_SECONDS)
        api_server = partial(read_gauge, self._writer, "process_cpu_seconds_total")
        counted, spent = await count_requests(self._writer), await api_server()
        own, busy = read_cpu_seconds(self._operator.pid), read_busy_seconds()
        await asyncio.sleep(REST_SECONDS)
        own, busy = read_cpu_seconds(self._operator.pid) - own, read_busy_seconds() - busy
        spent = await api_server() - spent
        asked = await count_requests(self._writer) - counted
        made = counted["APPLY", "noderecordingconfigs"] - self._counted["APPLY", "noderecordingconfigs"]
        self.figures["configs written so far"] = f"{made:,}"
        self.figures["... beyond those needed"] = f"{made - self._needed:,}"
        self.figures["at rest: operator, CPU"] = f"{own / REST_SECONDS:.1%}"
        self.figures["at rest: API server, CPU"] = f"{spent / REST_SECONDS:.1%}"
        self.figures["at rest: all else on the machine, CPU"] = f"{(busy - own - spent) / REST_SECONDS:.1%}"
        self.figures["at rest: configs, statuses written"] = str(count_writes(asked, ("configs", "policies/status")))
        self.figures["at rest: requests in all"] = str(asked.total())

    async def _measure_restart(self) -> None:
        """A new process that finds everything as it should be writes nothing."""
        self.figures["operator, most memory"] = f"{read_memory(self._operator.pid):.0f} MB"
        self.figures["operator, CPU in all"] = f"{read_cpu_seconds(self._operator.pid):.0f} s"
        self._operator.terminate()
        written = self._changes.written
        begun = time.monotonic()
        self._operator.start()
        await asyncio.to_thread(self._operator.wait_ready, PATIENCE)
        self.figures["restart to ready"] = show_seconds(time.monotonic() - begun)
        await asyncio.sleep(SETTLE_SECONDS)
        self.figures["... configs written"] = str(self._changes.written - written)
        self.figures["... most memory"] = f"{read_memory(self._operator.pid):.0f} MB"


def show_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s"


async def run(present: int) -> Figures:
    """One control plane of its own."""
    with ControlPlane.running() as control_plane:
        installation = Installation(control_plane)
        try:
            async with (
                Writer(control_plane.url, control_plane.tokens["admin"], control_plane.authority) as writer,
                Changes(writer) as changes,
            ):
                measured = Run(installation, writer, changes, present)
                await measured.measure()
        finally:
            installation.stop_operators()
    return measured.figures


def main() -> None:
    print(
        f"Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}; load before: {os.getloadavg()[0]:.1f}"
    )
    runs = {present: asyncio.run(run(present)) for present in PRESENT}
    rows = [[name, *(figures[name] for figures in runs.values()), TARGETS.get(name, "")] for name in runs[PRESENT[0]]]
    title = f"{NODES:,} nodes, {NAMESPACES} namespaces, {POLICY_COUNT} policies, a fifth of them of the cluster"
    print(render_table(title, ["namespaces on each node", *map(str, PRESENT), "target"], rows))


if __name__ == "__main__":
    main()
