"""What it costs an exec to be announced: `make bench-admission`, about three minutes on a quiet machine.

A control plane of its own, a kubelet that takes every exec and ends it, and execs as kubectl makes them, so many a
second whatever they take (an open loop): in turn into pods that no webhook is about, that one is about that does
nothing, and that the operator is asked about. All of them run at the same time, so that all meet the same machine; of
several rounds that one is told in which those without a webhook were the quickest, for there the machine was quietest.
SECONDS, ROUNDS and RATE of the environment are for a quick look. With KUBELET=0 the execs are such as end behind
admission, for they ask for no upgrade, and keep their connections: two processors are too few for 200 a second with all
their TLS.
"""

from __future__ import annotations

import asyncio
import math
import os
import platform
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.processes import read_busy_seconds, read_cpu_seconds, read_memory
from benchmarks.tables import render_table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cluster.access import write_kubeconfig
from cluster.control_plane import ControlPlane
from fixtures.collectors import free_ports
from fixtures.installations import OPERATOR, Installation, Operator
from fixtures.session_endpoints import CONFIGURATION, WEBHOOKS, ask_about_sessions

from podcorder_operator.api import Api
from podcorder_operator.credentials import load_configuration
from podcorder_operator.errors import ApiError
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import NODES, PODS, POLICIES, RECORDED_SESSIONS

RATE = int(os.environ.get("RATE", "200"))
KUBELET = os.environ.get("KUBELET", "1") == "1"
ROUNDS = int(os.environ.get("ROUNDS", "6"))
SECONDS = float(os.environ.get("SECONDS", "10"))
"""Of each round."""
BARE_RATE = RATE / 20
NODE = "node-1"
AHEAD = 1.0
"""Seconds before its exec that a connection is opened: TLS is not what is measured."""
SETTLE_SECONDS = 30.0
"""So long an API server is busy with itself after its start."""
PATIENCE = 30.0

NO_WEBHOOK, NOOP = "no webhook", "a webhook that does nothing"
UNSELECTED, SELECTED = "operator, a pod that no policy selects", "operator, a selected pod"
CASES = {
    NO_WEBHOOK: ("bare", "api"),
    NOOP: ("noop", "api"),
    "operator, no policy in the namespace": ("quiet", "api"),
    UNSELECTED: ("shop", "other"),
    SELECTED: ("shop", "api"),
}
"""Namespace and pod."""
GET, CREATE = "bare: read the pod", "bare: create the record"

Times = defaultdict[str, list[float]]


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """Execs of one person: each with a connection of its own where the kubelet is to take it."""

    expected = 101 if KUBELET else 400
    """The status that tells that nobody has kept it from the kubelet."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._address = urlsplit(control_plane.url)
        self._token = control_plane.tokens["admin"]
        self._context = ssl.create_default_context(cafile=str(control_plane.authority))
        self._free: list[Connection] = []

    async def exec(self, namespace: str, pod: str, at: float) -> tuple[float, int]:
        """At a time of the event loop: seconds until the API server has answered, and its status."""
        loop = asyncio.get_running_loop()
        reader, writer = self._free.pop() if self._free else await self._connect()
        await asyncio.sleep(max(0.0, at - loop.time()))
        begun = loop.time()
        writer.write(self._make_head(namespace, pod))
        head = await reader.readuntil(b"\r\n\r\n")
        took = loop.time() - begun
        if KUBELET:
            writer.close()
        else:
            length = head.lower().partition(b"content-length:")[2].split()[0]
            await reader.readexactly(int(length))
            self._free.append((reader, writer))
        return took, int(head.split()[1])

    async def _connect(self) -> Connection:
        return await asyncio.open_connection(self._address.hostname, self._address.port, ssl=self._context)

    def _make_head(self, namespace: str, pod: str) -> bytes:
        path = f"{PODS.path(pod, namespace=namespace, subresource='exec')}?container=main&command=true&stdout=true"
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._address.hostname}", f"Authorization: Bearer {self._token}"]
        lines += ["Content-Length: 0"]
        if KUBELET:
            lines += ["Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"]
        return "\r\n".join([*lines, "", ""]).encode()


async def repeat(rate: float, seconds: float, make: Callable[[int, float], Awaitable[None]]) -> None:
    """So many a second, at their times, however long each takes."""
    loop = asyncio.get_running_loop()
    start = loop.time() + AHEAD
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            at = start + number / rate
            await asyncio.sleep(max(0.0, at - AHEAD - loop.time()))
            tasks.create_task(make(number, at))


async def measure(client: Client, api: Api, seconds: float) -> tuple[Times, int]:
    """Seconds by case, and how many execs somebody kept from the kubelet."""
    times: Times = defaultdict(list)
    failed = 0
    cases = list(CASES.items())

    async def connect(number: int, at: float) -> None:
        nonlocal failed
        name, (namespace, pod) = cases[number % len(cases)]
        try:
            took, status = await asyncio.wait_for(client.exec(namespace, pod, at), PATIENCE)
        except (TimeoutError, OSError, EOFError):
            took, status = PATIENCE, 0
        times[name].append(took)
        failed += status != client.expected

    async def trip(number: int, at: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, at - loop.time()))
        begun = loop.time()
        between = math.inf
        with suppress(ApiError):  # it then has taken as long as its time-out
            await api.get(PODS, "api", namespace="shop")
            between = loop.time()
            await api.create(RECORDED_SESSIONS, make_record(number), namespace="bare")
        between = min(between, loop.time())
        times[GET].append(between - begun)
        times[CREATE].append(loop.time() - between)

    await asyncio.gather(repeat(RATE, seconds, connect), repeat(BARE_RATE, seconds, trip))
    return times, failed


def make_record(number: int) -> dict[str, Any]:
    """As large as those of the execs."""
    user = {"username": "admin", "uid": "admin", "groups": ["system:masters", "system:authenticated"]}
    name = f"exec-bare-{os.getpid()}-{time.monotonic_ns()}-{number}"
    asked = {"id": name, "time": "2026-01-01T00:00:00Z", "source": "pods/exec", "commandDigest": "0" * 64}
    asked |= {"command": ["true"], "stdin": "NotAttached", "tty": "NotAllocated"}
    spec: dict[str, Any] = {"kind": "Exec", "origin": "Announced", "user": user, "request": asked, "nodeName": NODE}
    spec |= {"pod": {"name": "api", "uid": name}, "container": "main", "mode": "BestEffort"}
    return {"metadata": {"name": name}, "spec": spec}


@contextmanager
def serving(what: str, port: int, certificate: Path, key: Path) -> Iterator[None]:
    module = "benchmarks.admission_servers"
    command = [sys.executable, "-m", module, what, str(port), str(certificate), str(key)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def populate(installation: Installation, kubelet: int) -> None:
    """A node whose kubelet is on this machine, a pod in each namespace, and a policy about one of them."""
    client, address = installation.client, installation.control_plane.host_address
    client.create(NODES, {"metadata": {"name": NODE}})
    status = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet}},
    }
    client.call(
        "PATCH",
        NODES.path(NODE, subresource="status"),
        {"status": status},
        kind="application/merge-patch+json",
    )
    for namespace, pod in CASES.values():
        installation.control_plane.add_service_account(namespace, "default")
        containers = [{"name": "main", "image": "none"}]
        spec = {"nodeName": NODE, "automountServiceAccountToken": False, "containers": containers}
        metadata = {"name": pod, "namespace": namespace, "labels": {"app": pod}}
        client.create(PODS, {"metadata": metadata, "spec": spec})
    spec = {"podSelector": {"matchLabels": {"app": "api"}}, "events": {"commands": {}}}
    client.create(POLICIES, {"metadata": {"name": "people", "namespace": "shop"}, "spec": spec})


def aim(installation: Installation, noop: str, authority: str) -> None:
    """The operator is asked about all namespaces but two, the other webhook about one of those."""
    client = installation.client
    webhooks = (client.get(WEBHOOKS, CONFIGURATION) or {})["webhooks"]
    name = "kubernetes.io/metadata.name"
    (asked,) = (each for each in webhooks if each["name"] == "sessions.podcorder.dev")
    other = asked | {"name": "noop.example.org", "clientConfig": {"url": noop, "caBundle": authority}}
    for each, operator, values in ((asked, "NotIn", ["bare", "noop"]), (other, "In", ["noop"])):
        each["namespaceSelector"] = {"matchExpressions": [{"key": name, "operator": operator, "values": values}]}
    client.merge(WEBHOOKS, CONFIGURATION, {"webhooks": [*webhooks, other]})


def find_p99(times: list[float]) -> float:
    return sorted(times)[math.ceil(len(times) * 0.99) - 1]


def show(times: list[float]) -> list[str]:
    figures = (statistics.median(times), find_p99(times), max(times))
    return [f"{each * 1000:.1f}" for each in figures] + [f"{len(times):,}"]


async def run(installation: Installation, directory: Path) -> None:
    plane = installation.control_plane
    with ask_about_sessions(installation, directory) as endpoint:
        kubelet, webhook = free_ports(2)
        pair = (directory / "webhook.crt", directory / "webhook.key")
        populate(installation, kubelet)
        (asked, *_) = (installation.client.get(WEBHOOKS, CONFIGURATION) or {})["webhooks"]
        aim(installation, f"https://{plane.host_address}:{webhook}/", asked["clientConfig"]["caBundle"])
        os.environ.update(endpoint.environment)
        operator = installation.start_operator()
        token = plane.service_account_token("podcorder", OPERATOR)
        kubeconfig = write_kubeconfig(
            directory / "bare.kubeconfig", plane.url, plane.authority, {OPERATOR: token}, OPERATOR
        )
        with serving("kubelet", kubelet, *pair), serving("webhook", webhook, *pair):
            await asyncio.to_thread(operator.wait_ready)
            async with Api(await load_configuration({"KUBECONFIG": str(kubeconfig)}), Metrics()) as api:
                await measure_all(Client(plane), api, operator, installation)


async def measure_all(client: Client, api: Api, operator: Operator, installation: Installation) -> None:
    await measure(client, api, 5)  # connections, caches, everybody's first time
    await asyncio.sleep(SETTLE_SECONDS)
    rounds = []
    for number in range(ROUNDS):
        cpu, busy, begun = read_cpu_seconds(operator.pid), read_busy_seconds(), time.monotonic()
        times, failed = await measure(client, api, SECONDS)
        took = time.monotonic() - begun
        cpu, busy = read_cpu_seconds(operator.pid) - cpu, read_busy_seconds() - busy
        rounds.append((find_p99(times[NO_WEBHOOK]), times, failed, cpu / took, busy / took))
        print(f"{number + 1}: {rounds[-1][0] * 1000:.0f} ms", file=sys.stderr, flush=True)
    _, times, failed, cpu, busy = min(rounds, key=lambda each: each[0])
    names = [each["metadata"]["name"] for each in installation.client.list(RECORDED_SESSIONS)]
    records = len([name for name in names if "bare" not in name])
    rows = [[name, *show(times[name])] for name in (*CASES, GET, CREATE)]
    where = "to a kubelet" if KUBELET else "as far as admission"
    title = f"{RATE} execs a second through the API server {where}, {failed} of which failed (ms)"
    print(render_table(title, ["", "median", "p99", "most", "times"], rows))
    notes = {
        "above the webhook that does nothing, p99: a pod that no policy selects": excess(times, UNSELECTED),
        "... a selected pod": excess(times, SELECTED),
        "records written, in all rounds": f"{records:,}",
        "operator, CPU": f"{cpu:.0%}",
        "operator, most memory": f"{read_memory(operator.pid):.0f} MB",
        f"busy CPUs of {os.cpu_count()}": f"{busy:.1f}",
    }
    print(*(f"{name}: {value}" for name, value in notes.items()), sep="\n", end="\n\n")
    operator.kill()
    times, failed = await measure(client, api, 5)
    rows = [[name, *show(times[name])] for name in CASES]
    title = f"The same for 5 s with the operator killed: {failed} failed (ms)"
    print(render_table(title, ["", "median", "p99", "most", "times"], rows))


def excess(times: Times, name: str) -> str:
    return f"{(find_p99(times[name]) - find_p99(times[NOOP])) * 1000:+.1f} ms"


def main() -> None:
    print(
        f"Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}; load before: {os.getloadavg()[0]:.1f}\n"
    )
    with ControlPlane.running() as control_plane, tempfile.TemporaryDirectory() as directory:
        installation = Installation(control_plane)
        try:
            asyncio.run(run(installation, Path(directory)))
        finally:
            installation.stop_operators()


if __name__ == "__main__":
    main()
