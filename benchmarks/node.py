"""What the agent costs a full node: `make bench-node`, about six minutes on a quiet machine.

A whole cluster of one node, the chart installed from the built images, and as many pods as the kubelet takes by
default: real containers of containerd and runc that sleep, in namespaces with a policy each, no two policies alike. For
a quick look: PODS, NAMESPACES, SAMPLES and REST_SECONDS of the environment.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from benchmarks.processes import read_cpu_seconds, read_memory
from benchmarks.tables import render_table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cluster.images import BUSYBOX
from cluster.sandboxes import ClusterFailed, hierarchies, wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.processes import read_resident
from fixtures.releases import Release

PODS = int(os.environ.get("PODS", "110"))
"""The kubelet's maxPods where nobody sets it; Podcorder's own three are among them."""
OWN_PODS = 3
NAMESPACES = int(os.environ.get("NAMESPACES", "20"))
SAMPLES = int(os.environ.get("SAMPLES", "20"))
REST_SECONDS = float(os.environ.get("REST_SECONDS", "60"))
EXECS = 2_000
"""Commands of one session, in each of as many pods at once as there are namespaces."""
SETTLE_SECONDS = 15.0
"""Until a node that has just started pods has come to rest."""

TARGETS = {
    f"kubectl exec to the event in the collector, slowest of {SAMPLES}": "2 s",
    "recorder, outside its rings, after work": "40 MB",
    "exporter, most memory": "100 MB",
    "recorder and exporter at rest": "1 % of a core",
}

Figures = dict[str, str]


class Node:
    """The cluster's node, with pods on it."""

    def __init__(self, cluster: WholeCluster) -> None:
        self.cluster = cluster
        self.namespaces = [f"team-{number}" for number in range(NAMESPACES)]

    def fill(self) -> None:
        """Start all pods but Podcorder's own, and wait until they run."""
        for namespace in self.namespaces:
            self.cluster.add_service_account(namespace, "default")
        for number in range(PODS - OWN_PODS):
            namespace = self.namespaces[number % NAMESPACES]
            self.cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods", make_pod(f"pod-{number}"))
        wait_until(lambda: self._count_running() == PODS - OWN_PODS, 600, "the start of all pods")

    def _count_running(self) -> int:
        time.sleep(1)  # a list of all pods is no small thing to ask again and again
        pods = self.cluster.request("GET", "/api/v1/pods")["items"]
        return sum(pod["status"].get("phase") == "Running" for pod in pods)

    def execute(self, number: int, *command: str) -> None:
        """By kubectl, in the number-th pod."""
        number %= PODS - OWN_PODS
        namespace = self.namespaces[number % NAMESPACES]
        self.cluster.kubectl("exec", "-n", namespace, f"pod-{number}", "--", *command)

    def measure_rest(self, *pids: int) -> list[float]:
        """CPU seconds a second, while nobody asks for anything, of the cluster with its control plane and containers,
        and of each of these processes."""
        time.sleep(SETTLE_SECONDS)
        before = [self._read_cpu(), *map(read_cpu_seconds, pids)]
        time.sleep(REST_SECONDS)
        after = [self._read_cpu(), *map(read_cpu_seconds, pids)]
        return [(late - early) / REST_SECONDS for early, late in zip(before, after, strict=True)]

    def _read_cpu(self) -> float:
        lines = Path(f"{hierarchies()[-1]}{self.cluster.sandbox.cgroup}/cpu.stat").read_text().splitlines()
        return int(dict(map(str.split, lines))["usage_usec"]) / 1e6

    def find_process(self, module: str) -> int:
        """The process of the node that runs a Python module."""
        for procs in Path(f"{hierarchies()[-1]}{self.cluster.sandbox.cgroup}").rglob("cgroup.procs"):
            for pid in procs.read_text().split():
                if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return int(pid)
        raise RuntimeError(f"nothing on the node runs {module}")


def make_pod(name: str) -> dict[str, Any]:
    container = {"name": "main", "image": BUSYBOX, "command": ["sleep", "86400"]}
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False},
    }


def make_policy(namespace: str) -> str:
    """Everything, with a filter that no other namespace has: each takes a slot of its own."""
    events = {"commands": {}, "files": {"paths": {"exclude": [f"/var/{namespace}/"]}}, "network": {}}
    return yaml.safe_dump(
        {
            "apiVersion": "podcorder.dev/v1alpha1",
            "kind": "SessionRecordingPolicy",
            "metadata": {"name": "all", "namespace": namespace},
            "spec": {"sessions": ["Container", "Exec", "Debug", "Probe"], "events": events},
        }
    )


def time_each(act: Callable[[int], None]) -> list[float]:
    """Seconds that each of SAMPLES calls took, sorted."""
    times = []
    for number in range(SAMPLES):
        begun = time.monotonic()
        act(number)
        times.append(time.monotonic() - begun)
    return sorted(times)


def measure_bare(node: Node) -> Figures:
    """Without Podcorder."""
    (rest,) = node.measure_rest()
    return {
        "the whole cluster at rest": f"{rest:.1%} of a core",
        "kubectl exec, median": measure_execs(node),
    }


def measure_recorded(node: Node, release: Release) -> Figures:
    """With it, everything of every pod being recorded."""
    for namespace in node.namespaces:
        release.cluster.kubectl("apply", "-f", "-", input=make_policy(namespace))
    wait_until(lambda: len(release.read_config()["spec"]["policies"]) == NAMESPACES, 60, "all policies on the node")
    wait_until(release.is_applied, 60, "all policies in force")
    recorder, exporter = map(node.find_process, ("podcorder_agent.recorder", "podcorder_agent.cluster"))
    whole, *halves = node.measure_rest(recorder, exporter)
    figures = {"the whole cluster at rest": f"{whole:.1%} of a core"}
    figures["recorder at rest"] = f"{halves[0]:.2%} of a core"
    figures["exporter at rest"] = f"{halves[1]:.2%} of a core"
    figures["recorder and exporter at rest"] = f"{sum(halves):.2%} of a core"
    memory = read_resident(recorder)
    figures["recorder, its rings"] = f"{memory.rings / 1e6:.0f} MB"
    figures["recorder, outside its rings, at rest"] = f"{memory.outside / 1e6:.0f} MB"
    figures["exporter, at rest"] = f"{read_memory(exporter, 'VmRSS'):.0f} MB"
    figures["kubectl exec, median"] = measure_execs(node)
    delays = measure_delays(node, release)
    figures["kubectl exec to the event in the collector, median"] = show_time(statistics.median(delays))
    figures[f"kubectl exec to the event in the collector, slowest of {SAMPLES}"] = show_time(delays[-1])
    figures["delivered of the work"] = work(node, release)
    figures["recorder, outside its rings, after work"] = f"{read_resident(recorder).outside / 1e6:.0f} MB"
    figures["exporter, most memory"] = f"{read_memory(exporter):.0f} MB"
    return figures


def measure_execs(node: Node) -> str:
    return show_time(statistics.median(time_each(lambda number: node.execute(number, "true"))))


def measure_delays(node: Node, release: Release) -> list[float]:
    """Seconds from the start of kubectl exec to the event in the collector's file, sorted."""

    def execute(number: int) -> None:
        mark = f"mark-{number}"
        node.execute(number, "echo", mark)
        wait_until(lambda: mark.encode() in release.collector.output.read_bytes(), 20, "the event")

    return time_each(execute)


def work(node: Node, release: Release) -> str:
    """EXECS commands in a pod of each namespace at once; how many of them came to the collector."""
    before, wanted = count_execs(release), NAMESPACES * EXECS
    script = f"i=0; while [ $i -lt {EXECS} ]; do /bin/true $i; i=$((i+1)); done"
    with ThreadPoolExecutor(NAMESPACES) as threads:
        list(threads.map(lambda number: node.execute(number, "sh", "-c", script), range(NAMESPACES)))
    with suppress(ClusterFailed):
        wait_until(lambda: count_execs(release) - before >= wanted + NAMESPACES, 60, "all commands")
    return f"{count_execs(release) - before - NAMESPACES:,} of {wanted:,} commands"


def count_execs(release: Release) -> int:
    with release.collector.output.open("rb") as lines:
        return sum(line.count(b'"eventName":"podcorder.process.exec"') for line in lines)


def show_time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def main() -> None:
    print(
        f"Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs, "
        f"load before: {os.getloadavg()[0]:.1f}\n"
    )
    with WholeCluster.running() as cluster, tempfile.TemporaryDirectory(prefix="podcorder-bench-") as directory:
        node = Node(cluster)
        node.fill()
        bare = measure_bare(node)
        with Release.installed(cluster, Path(directory)) as release:
            recorded = measure_recorded(node, release)
    rows = [[name, bare.get(name, ""), figure, TARGETS.get(name, "")] for name, figure in recorded.items()]
    print(render_table(f"A node with {PODS} pods", ["what", "bare", "recorded", "target"], rows))


if __name__ == "__main__":
    main()
