"""Outages around a steady workload: every command that ran is recorded once, and as what it was.

What the pods run bears numbers (`fixtures.numbered_commands`). Each test ends with the account since the first pod.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import yaml
from cluster.images import BUSYBOX
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.charts import NAMESPACE as AGENTS
from fixtures.node_runtimes import NodeRuntime
from fixtures.numbered_commands import (
    NAMESPACE,
    Command,
    Recorded,
    endless,
    make_container,
    make_spec,
    read_done,
    some,
)
from fixtures.releases import Release

OUTAGE_SECONDS = 60.0
DELIVERY_SECONDS = 75.0
"""After an outage: no wait of the exporter's, nor of the kubelet's before it starts a half again, is longer."""


class Workload:
    """Pods that run commands for as long as the module's tests last, and the account of these commands."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.cluster = release.cluster
        self.runtime = NodeRuntime(release.cluster)
        self.nameless: set[str] = set()
        """Pods of several containers that were started again while nobody could tell which."""

    def start(self) -> None:
        """Have the policy in force, then the pods: from their first command on they are recorded."""
        self.cluster.add_service_account(NAMESPACE, "default")
        # The policies of a namespace come to a node with the first pod of it.
        self.start_pod("first", {"name": "main", "image": BUSYBOX, "command": ["sleep", "3600"]})
        policy = {
            "apiVersion": "podcorder.dev/v1alpha1",
            "kind": "SessionRecordingPolicy",
            "metadata": {"name": "all", "namespace": NAMESPACE},
            "spec": {"sessions": ["Container", "Exec", "Probe"], "events": {"commands": {}}},
        }
        self.wait_ready("pod/first")
        self.release.apply(yaml.safe_dump(policy))
        probe = {"exec": {"command": ["sh", "-c", some(1, "Probe")]}, "periodSeconds": 1}
        self.start_pod("steady", make_container("main", endless(), readinessProbe=probe))
        self.start_pod("pair", make_container("one", endless()), make_container("two", endless()))
        metadata = {"name": "moved", "namespace": NAMESPACE}
        template = {"metadata": {"labels": {"app": "moved"}}, "spec": make_spec(make_container("main", endless()))}
        spec = {"selector": {"matchLabels": {"app": "moved"}}, "template": template}
        self.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
        self.wait_ready("pod/steady", "pod/pair", "deployment/moved")

    def apply(self, document: dict[str, Any]) -> None:
        self.cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump(document))

    def start_pod(self, name: str, *containers: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": NAMESPACE}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": make_spec(*containers)})

    def wait_ready(self, *objects: str) -> None:
        for each in objects:
            condition = "Available" if each.startswith("deployment/") else "Ready"
            self.cluster.kubectl("wait", "-n", NAMESPACE, f"--for=condition={condition}", each, "--timeout=120s")

    def execute(self) -> None:
        """As somebody at the command line."""
        self.cluster.kubectl("exec", "-n", NAMESPACE, "steady", "--", "sh", "-c", some(2, "Exec"))

    def execute_on_node(self) -> None:
        """The same without the API server."""
        self.runtime.execute(NAMESPACE, "main", "steady", "sh", "-c", some(2, "Exec"))

    def evict(self, namespace: str, label: str) -> None:
        """Through the Eviction API; returns when another pod is there in its place, and runs."""
        pods = f"/api/v1/namespaces/{namespace}/pods"

        def find() -> dict[str, Any]:
            items = self.cluster.request("GET", f"{pods}?labelSelector={label}")["items"]
            return {each["metadata"]["name"]: each["status"] for each in items}

        (name,) = find()
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
        self.cluster.request("POST", f"{pods}/{name}/eviction", eviction)

        def is_replaced() -> bool:
            statuses = [status for other, status in find().items() if other != name]
            ready = {"type": "Ready", "status": "True"}.items()
            return any(ready <= each.items() for status in statuses for each in status.get("conditions", []))

        wait_until(is_replaced, 60, f"a pod in place of {name}")

    @contextmanager
    def without_collector(self) -> Iterator[None]:
        self.release.collector.stop()
        try:
            yield
        finally:
            self.release.collector.start()

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        self.cluster.kill_api_server()
        try:
            yield
        finally:
            self.cluster.start_api_server()

    @contextmanager
    def without_kubelet(self) -> Iterator[None]:
        self.cluster.kill_kubelet()
        try:
            yield
        finally:
            self.cluster.start_kubelet()

    def done(self) -> set[Command]:
        return read_done(self.cluster)

    def runs(self, *pods: str) -> set[str]:
        """The runs of scripts in these pods, each start of a container being one."""
        return {each.run for each in self.done() if each.pod in pods}

    def restarts(self, pod: str) -> int:
        """How often containers were started again, as far as the API server knows."""
        status = self.cluster.request("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}")["status"]
        return sum(each["restartCount"] for each in status.get("containerStatuses", []))

    def check(self, done: set[Command] | None = None) -> None:
        """All that has run, or this, is delivered in time, nothing of it twice or as something else."""
        done = self.done() if done is None else done
        deadline = time.monotonic() + DELIVERY_SECONDS
        while True:
            recorded = Recorded(self.release.collector.records(), self.nameless)
            missing = sorted(done - recorded.commands)
            if not missing:
                break
            if time.monotonic() > deadline:
                pytest.fail(f"{len(missing)} of {len(done)} are missing: {missing[:10]}\n{self.release.explain()}")
            time.sleep(0.5)
        assert recorded.problems == []


@pytest.fixture(scope="module")
def workload(whole_cluster: WholeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workload]:
    with Release.installed(whole_cluster, tmp_path_factory.mktemp("release")) as release:
        workload = Workload(release)
        workload.start()
        yield workload


def test_a_minute_without_collector_and_without_api_server(workload: Workload) -> None:
    """Each is away for 60 s, at first the collector alone and at last the API server alone: what pods, probes and
    people run meanwhile is delivered, by containers that were started again too; and not only when both are back."""
    failing = "sleep 5; " + some(3, "Container") + "; exit 1"
    with ExitStack() as away:
        with workload.without_collector():
            began = time.monotonic()
            workload.start_pod("failing", make_container("main", failing))
            workload.start_pod("half", make_container("one", failing), make_container("two", endless()))
            workload.execute()
            wait_until(lambda: min(map(workload.restarts, ("failing", "half"))) > 0, 30, "second starts")
            away.enter_context(workload.without_api_server())
            away_since = time.monotonic()
            before = workload.runs("failing", "half")
            while time.monotonic() < began + OUTAGE_SECONDS:
                workload.execute_on_node()
                time.sleep(5)
            workload.nameless.add("half")
            meanwhile = {each for each in workload.done() if each.pod != "half"}
        workload.check(meanwhile)
        time.sleep(max(0.0, away_since + OUTAGE_SECONDS - time.monotonic()))
        for pod in ("failing", "half"):
            assert len(workload.runs(pod) - before) > 1, f"{pod} was not started again without the API server"
    workload.execute()
    workload.check()


def test_the_agents_halves_killed(workload: Workload) -> None:
    """Each by SIGKILL, while sessions go on and others begin."""
    for half in ("recorder", "exporter"):
        killed = workload.runtime.kill(AGENTS, half)
        workload.execute_on_node()
        workload.runtime.wait_for_next(killed, AGENTS, half)
    workload.check()


def test_the_kubelet_killed(workload: Workload) -> None:
    """What runs goes on to be recorded, and so is what a kubelet that knows nothing starts."""
    probes = {each for each in workload.done() if each.kind == "Probe"}
    with workload.without_kubelet():
        workload.execute_on_node()
    wait_until(lambda: any(each.kind == "Probe" for each in workload.done() - probes), 60, "a probe by the new kubelet")
    workload.start_pod("new", make_container("main", endless()))
    workload.wait_ready("pod/new")
    workload.check()


def test_evictions(workload: Workload) -> None:
    """The evicted pod is recorded to its last command and the one in its place from its first; where the agent's own
    pod is evicted, the next goes on."""
    workload.evict(NAMESPACE, "app=moved")
    workload.evict(AGENTS, "app.kubernetes.io/component=agent")
    workload.execute()
    workload.check()


def test_all_of_it_at_once(workload: Workload) -> None:
    """Collector and API server away and both halves killed: the exporter that is started then knows what the last one
    knew, and delivers before the API server is back. Then the kubelet goes, and the halves with it."""
    failing = "sleep 2; " + some(3, "Container") + "; exit 1"
    workload.start_pod("restarting", make_container("main", failing))
    workload.wait_ready("pod/restarting")
    with workload.without_api_server():
        with workload.without_collector():
            before = workload.runs("restarting")
            killed = workload.runtime.kill(AGENTS, "recorder", "exporter")
            workload.execute_on_node()
            workload.runtime.wait_for_next(killed, AGENTS, "recorder", "exporter")
            wait_until(lambda: len(workload.runs("restarting") - before) > 1, 60, "a container started again")
            meanwhile = workload.done()
        workload.check(meanwhile)
        with workload.without_kubelet(), workload.without_collector():
            workload.runtime.kill(AGENTS, "recorder", "exporter")
            workload.execute_on_node()
    workload.wait_ready("pod/steady")
    workload.execute()
    workload.check()
