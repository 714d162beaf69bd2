"""What it costs an exec to be announced: `make bench-admission`, about three minutes on a quiet machine.

A control plane of its own, a kubelet that takes every exec and ends it, and execs as kubectl makes them, so many a
second whatever they take (an open loop): in turn into pods that no webhook is about, that one is about that does
nothing, and that the operator is asked about. All of them run at the same time, so that all meet the same machine.
SECONDS and RATE of the environment are for a quick look.
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
from contextlib import contextmanager
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
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import NODES, PODS, POLICIES, RECORDED_SESSIONS

RATE = int(os.environ.get("RATE", "200"))
SECONDS = float(os.environ.get("SECONDS", "60"))
BARE_RATE = RATE / 20
NODE = "node-1"
AHEAD = 1.0
"""Seconds before its exec that a connection is opened: TLS is not what is measured."""
PATIENCE = 30.0

NOOP = "a webhook that does nothing"
UNSELECTED, SELECTED = "operator, a pod that no policy selects", "operator, a selected pod"
CASES = {
    "no webhook": ("bare", "api"),
    NOOP: ("noop", "api"),
    "operator, no policy in the namespace": ("quiet", "api"),
    UNSELECTED: ("shop", "other"),
    SELECTED: ("shop", "api"),
}
"""Namespace and pod."""
GET, CREATE = "bare: read the pod", "bare: create the record"

Times = defaultdict[str, list[float]]


class Client:
    """Execs of one person, each with a connection of its own."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._address = urlsplit(control_plane.url)
        self._token = control_plane.tokens["admin"]
        self._context = ssl.create_default_context(cafile=str(control_plane.authority))

    async def exec(self, namespace: str, pod: str, at: float) -> tuple[float, int]:
        """At a time of the event loop: seconds until the API server has answered, and its status."""
        loop = asyncio.get_running_loop()
        host, port = self._address.hostname, self._address.port
        reader, writer = await asyncio.open_connection(host, port, ssl=self._context)
        path = f"{PODS.path(pod, namespace=namespace, subresource='exec')}?container=main&command=true&stdout=true"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self._token}\r\nContent-Length: 0\r\n"
            "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
        )
        await asyncio.sleep(max(0.0, at - loop.time()))
        begun = loop.time()
        writer.write(head.encode())
        status = int((await reader.readline()).split()[1])
        took = loop.time() - begun
        writer.close()
        return took, status


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
    """Seconds by case, and how many execs the kubelet did not get."""
    times: Times = defaultdict(list)
    failed = 0
    cases = list(CASES.items())

    async def connect(number: int, at: float) -> None:
        nonlocal failed
        name, (namespace, pod) = cases[number % len(cases)]
        took, status = await asyncio.wait_for(client.exec(namespace, pod, at), PATIENCE)
        times[name].append(took)
        failed += status != 101

    async def trip(number: int, at: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, at - loop.time()))
        begun = loop.time()
        await api.get(PODS, "api", namespace="shop")
        between = loop.time()
        await api.create(RECORDED_SESSIONS, make_record(number), namespace="bare")
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
    command = [sys.executable, "-m", "benchmarks.admission_servers", what, str(port), certificate, key]
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


def show(times: list[float]) -> list[str]:
    ordered = sorted(times)
    p99 = ordered[math.ceil(len(ordered) * 0.99) - 1]
    return [f"{each * 1000:.1f}" for each in (statistics.median(ordered), p99, ordered[-1])] + [f"{len(ordered):,}"]


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
    cpu, busy, begun = read_cpu_seconds(operator.pid), read_busy_seconds(), time.monotonic()
    times, failed = await measure(client, api, SECONDS)
    took = time.monotonic() - begun
    cpu, busy = read_cpu_seconds(operator.pid) - cpu, read_busy_seconds() - busy
    records = len(
        [each for each in installation.client.list(RECORDED_SESSIONS) if "bare" not in each["metadata"]["name"]]
    )
    rows = [[name, *show(times[name])] for name in (*CASES, GET, CREATE)]
    title = f"{RATE} execs a second through the API server to a kubelet, {failed} of which failed (ms)"
    print(render_table(title, ["", "median", "p99", "most", "times"], rows))
    notes = {
        "above the webhook that does nothing, p99: a pod that no policy selects": excess(times, UNSELECTED),
        "... a selected pod": excess(times, SELECTED),
        "records written, those of the first seconds among them": f"{records:,}",
        "operator, CPU": f"{cpu / took:.0%}",
        "operator, most memory": f"{read_memory(operator.pid):.0f} MB",
        f"busy CPUs of {os.cpu_count()}": f"{busy / took:.1f}",
    }
    print(*(f"{name}: {value}" for name, value in notes.items()), sep="\n", end="\n\n")
    operator.kill()
    times, failed = await measure(client, api, 5)
    rows = [[name, *show(times[name])] for name in CASES]
    title = f"The same for 5 s with the operator killed: {failed} failed (ms)"
    print(render_table(title, ["", "median", "p99", "most", "times"], rows))


def excess(times: Times, name: str) -> str:
    return f"{float(show(times[name])[1]) - float(show(times[NOOP])[1]):+.1f} ms"


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
