"""What 10,000 records of sessions cost: `make bench-sessions`, about four minutes on a quiet machine.

A control plane of its own; records as the operator and the agents write them. For a quick look: SESSIONS of the
environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from urllib.parse import urlencode

from benchmarks.processes import read_cpu_seconds, read_memory
from benchmarks.scale_probes import count_requests, count_writes, read_gauge
from benchmarks.scale_worlds import CONNECTIONS, NAMESPACES, Object, Writer, identify
from benchmarks.tables import render_table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cluster.control_plane import ControlPlane
from fixtures.api_clients import MERGE
from fixtures.charts import NAMESPACE
from fixtures.installations import OPERATOR, Installation, Operator
from fixtures.session_records import make_ended, make_running, make_session

from podcorder_operator.resources import RECORDED_SESSIONS

SESSIONS = int(os.environ.get("SESSIONS", "10000"))
NODES = 100
SHOPS = 50
"""Namespaces with records."""
RUNNING = 20
"""One session of so many runs."""
LARGE = 100
"""Records of the size that etcd still takes."""
PATIENCE = 900.0
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
KUBECTL_PAGE = 500

BOUNDS = {
    "kubectl get rsess -A": "10 s",
    "... bytes of a record": "4 KB",
    "to look through all": "30 s",
    "to let half of them go": "at most 50/s",
    "... writes to each of them": "1",
    "operator's memory: most, with them": "150 MB",
    "... most, while half of them goes": "150 MB",
    f"... most, with {LARGE} of 1 MB": "256 MB",
}


class Run:
    """One control plane, one operator at a time."""

    def __init__(self, installation: Installation, admin: Writer, operator: Writer) -> None:
        self.figures: dict[str, str] = {}
        self._installation = installation
        self._admin = admin
        self._operator = operator

    async def measure(self) -> None:
        """All of it, in an order in which each part finds what it needs."""
        for part in (self._measure_empty, self._write, self._measure_lists, self._measure_look, self._measure_end):
            print(f"{time.strftime('%T')} {part.__name__.removeprefix('_')}", file=sys.stderr, flush=True)
            await part()
        print(f"{time.strftime('%T')} measure_large", file=sys.stderr, flush=True)
        await self._measure_large()

    async def _measure_empty(self) -> None:
        """An operator that has looked through no records at all."""
        operator, _ = await self._run_operator(SESSIONS)
        self.figures["operator's memory: most, without a record"] = show_memory(operator)
        operator.terminate()

    async def _write(self) -> None:
        """Every record is created, and its status written once; the sizes of what is there then."""
        await self._admin.create_all(NAMESPACES, ({"metadata": {"name": name_shop(each)}} for each in range(SHOPS)))
        for number in range(NODES):
            self._installation.control_plane.add_node(f"node-{number}")
        records = list(make_records())
        begun = time.monotonic()
        await self._operator.create_all(RECORDED_SESSIONS, (record for record, _ in records))
        self.figures["written: records a second"] = f"{SESSIONS / (time.monotonic() - begun):,.0f}"
        begun = time.monotonic()
        await asyncio.gather(*(self._report(record, status) for record, status in records))
        self.figures["... statuses a second"] = f"{SESSIONS / (time.monotonic() - begun):,.0f}"

    async def _report(self, record: Object, status: Object) -> None:
        metadata = record["metadata"]
        path = RECORDED_SESSIONS.path(metadata["name"], namespace=metadata["namespace"], subresource="status")
        await self._operator.send("PATCH", path, {"status": status}, kind=MERGE)

    async def _measure_lists(self) -> None:
        """What a person, an auditor's program and a node's agent ask for."""
        self.figures["kubectl get rsess -A"] = await self._time_kubectl()
        table = await self._count_bytes(accept=TABLE, limit=KUBECTL_PAGE)
        self.figures["... bytes from the API server"] = show_bytes(table)
        self.figures["kubectl get rsess -A -o json"] = await self._time_kubectl("-o", "json")
        whole = await self._count_bytes(limit=KUBECTL_PAGE)
        self.figures["... bytes from the API server (json)"] = show_bytes(whole)
        self.figures["... bytes of a record"] = f"{whole / SESSIONS / 1000:.1f} KB"
        for name, query in (("as of now", {}), ("from the API server's cache", {"resourceVersion": "0"})):
            begun = time.monotonic()
            own = await self._count_bytes(fieldSelector="spec.nodeName=node-1", **query)
            self.figures[f"an agent's list, {name}"] = f"{(time.monotonic() - begun) * 1000:,.0f} ms"
        self.figures["... bytes from the API server (node)"] = show_bytes(own)

    async def _time_kubectl(self, *arguments: str) -> str:
        command = self._installation.control_plane.kubectl_command("get", "rsess", "-A", *arguments)
        begun = time.monotonic()
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
        took = time.monotonic() - begun
        if done.stdout.count(b"exec-") < SESSIONS:
            raise RuntimeError("kubectl showed less than there is")
        return f"{took:.1f} s"

    async def _count_bytes(self, *, accept: str = "", **query: object) -> int:
        """Of all pages of a list, without compression."""
        count = 0
        while True:
            path = f"{RECORDED_SESSIONS.path()}?{urlencode(query)}"
            text = await self._admin.send("GET", path, accept=accept)
            count += len(text)
            token = json.loads(text)["metadata"].get("continue")
            if not token:
                return count
            query["continue"] = token

    async def _measure_look(self) -> None:
        """A replica that begins to lead and finds that all may stay."""
        spent = await self._read_api_server_seconds()
        operator, seconds = await self._run_operator(SESSIONS)
        self.figures["to look through all"] = f"{seconds:.1f} s"
        self.figures["... CPU of the operator since its start"] = f"{read_cpu_seconds(operator.pid):.1f} s"
        self.figures["... CPU of the API server"] = f"{await self._read_api_server_seconds() - spent:.1f} s"
        self.figures["operator's memory: most, with them"] = show_memory(operator)
        operator.terminate()

    async def _measure_end(self) -> None:
        """Half of those that are over are too many."""
        over = sum(number % RUNNING > 0 for number in range(SESSIONS))
        counted = await count_requests(self._admin)
        spent = await self._read_api_server_seconds()
        operator, seconds = await self._run_operator(over // 2)
        asked = await count_requests(self._admin) - counted
        deleted = asked["DELETE", "recordedsessions"]
        self.figures["to let half of them go"] = f"{seconds:.0f} s, {deleted / seconds:.0f}/s"
        self.figures["... writes to each of them"] = f"{count_writes(asked, ('recordedsessions',)) / deleted:.2f}"
        self.figures["... CPU of the API server meanwhile"] = (
            f"{(await self._read_api_server_seconds() - spent) / seconds:.1%}"
        )
        self.figures["... most, while half of them goes"] = show_memory(operator)
        operator.terminate()
        left = json.loads(await self._admin.send("GET", RECORDED_SESSIONS.path()))["items"]
        running = [each for each in left if "endTime" not in each["status"]]
        if len(running) != SESSIONS - over or len(left) != len(running) + over // 2:
            raise RuntimeError(f"{len(left)} records are left, {len(running)} of them of sessions that run")

    async def _measure_large(self) -> None:
        """The largest commands that the contract takes: 256 words of 4,096 characters."""
        for number in range(LARGE):
            spec = make_session(f"node-{number % NODES}")
            spec["request"]["command"] = ["x" * 4096] * 256
            metadata = {"name": f"large-{number}", "namespace": name_shop(0)}
            await self._operator.create_all(RECORDED_SESSIONS, [{"metadata": metadata, "spec": spec}])
        operator, _ = await self._run_operator(SESSIONS)
        self.figures[f"... most, with {LARGE} of 1 MB"] = show_memory(operator)
        operator.terminate()

    async def _run_operator(self, count: int) -> tuple[Operator, float]:
        """A new replica that has looked through all records once; how many seconds that took it."""
        os.environ["PODCORDER_RETENTION_COUNT"] = str(count)
        operator = self._installation.start_operator()
        begun = time.monotonic()
        while time.monotonic() < begun + PATIENCE:
            await asyncio.sleep(0.25)
            found = re.search(
                r'^podcorder_operator_reconcile_duration_seconds_sum\{what="retention"\} (\S+)$',
                await asyncio.to_thread(operator.ask, "metrics") or "",
                re.M,
            )
            if found:
                return operator, float(found[1])
        raise RuntimeError("the operator did not look through the records")

    async def _read_api_server_seconds(self) -> float:
        return await read_gauge(self._admin, "process_cpu_seconds_total")


def name_shop(number: int) -> str:
    return f"shop-{number}"


def make_records() -> Iterable[tuple[Object, Object]]:
    """Each with its status: sessions of half an hour, people of ten groups."""
    random = Random(7)
    now = datetime.now(UTC)
    for number in range(SESSIONS):
        user = f"user-{random.randrange(200)}@example.org"
        spec = make_session(f"node-{random.randrange(NODES)}", user)
        spec["user"]["groups"] = [f"https://groups.example.org/team-{random.randrange(40)}" for _ in range(10)]
        begun = now - timedelta(minutes=random.randrange(31, 1000))
        status = make_ended(begun, now) if number % RUNNING else make_running(begun)
        metadata = {"name": f"exec-{random.getrandbits(128):032x}", "namespace": name_shop(random.randrange(SHOPS))}
        yield identify(RECORDED_SESSIONS, {"metadata": metadata, "spec": spec}), status


def show_memory(operator: Operator) -> str:
    return f"{read_memory(operator.pid):.0f} MB"


def show_bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


async def run() -> dict[str, str]:
    """One control plane of its own."""
    with ControlPlane.running() as plane:
        installation = Installation(plane)
        token = plane.service_account_token(NAMESPACE, OPERATOR)
        try:
            async with (
                Writer(plane.url, plane.tokens["admin"], plane.authority) as admin,
                Writer(plane.url, token, plane.authority) as operator,
            ):
                measured = Run(installation, admin, operator)
                await measured.measure()
        finally:
            installation.stop_operators()
    return measured.figures


def main() -> None:
    print(
        f"Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}; load before: {os.getloadavg()[0]:.1f}"
    )
    figures = asyncio.run(run())
    rows = [[name, value, BOUNDS.get(name, "")] for name, value in figures.items()]
    title = f"{SESSIONS:,} records of sessions in {SHOPS} namespaces, written {CONNECTIONS} at a time"
    print(render_table(title, ["", "measured", "bound"], rows))


if __name__ == "__main__":
    main()
