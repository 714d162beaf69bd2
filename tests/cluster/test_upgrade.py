"""helm upgrade under a steady workload: what runs meanwhile is recorded once, and as what it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures import charts
from fixtures.images import agent_image, operator_image
from fixtures.node_runtimes import NodeRuntime
from fixtures.numbered_commands import NAMESPACE, Recorded, endless, make_container, make_spec, read_done, some
from fixtures.programs import list_programs
from fixtures.releases import Release

POLICY = {
    "apiVersion": "podcorder.dev/v1alpha1",
    "kind": "SessionRecordingPolicy",
    "metadata": {"name": "all", "namespace": NAMESPACE},
    "spec": {"sessions": ["Container", "Exec"], "events": {"commands": {}}},
}
OTHER_TAG = "0.1.0-other"


@pytest.fixture(scope="module")
def release(whole_cluster: WholeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """One with two pods that run commands for as long as the tests last."""
    with Release.installed(whole_cluster, tmp_path_factory.mktemp("release")) as release:
        whole_cluster.add_service_account(NAMESPACE, "default")
        whole_cluster.kubectl("apply", "-f", "-", input=json.dumps(POLICY))
        start_pod(release, "steady", make_container("main", endless()))
        start_pod(release, "pair", make_container("one", endless()), make_container("two", endless()))
        yield release


def start_pod(release: Release, name: str, *containers: dict[str, Any]) -> None:
    pod = {"metadata": {"name": name}, "spec": make_spec(*containers)}
    release.cluster.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod)
    release.cluster.kubectl("wait", "-n", NAMESPACE, "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


@contextmanager
def people_at_work(release: Release) -> Iterator[None]:
    """One `kubectl exec` after the other, until the end."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            release.cluster.kubectl("exec", "-n", NAMESPACE, "steady", "--", "sh", "-c", some(2, "Exec"))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def upgrade(release: Release, *values: str) -> None:
    """While people work; returns when the pods of before are gone. Other values must roll agent and operator."""
    before = find_pods(release)
    with people_at_work(release):
        options = [option for each in values for option in ("--set", each)]
        release.helm("upgrade", "--wait", "--timeout=120s", "--reuse-values", *options)
        wait_until(lambda: not before & find_pods(release), 60, "the end of the pods of before")
    assert {name.partition("-")[2].partition("-")[0] for name in find_pods(release)} == {"agent", "operator"}


def find_pods(release: Release) -> set[str]:
    items = release.cluster.request("GET", f"/api/v1/namespaces/{charts.NAMESPACE}/pods")["items"]
    return {each["metadata"]["name"] for each in items}


def check(release: Release, name: str) -> None:
    """All that has run is delivered, once and as what it was, and nothing was lost; so it goes on with a new pod."""
    start_pod(release, name, make_container("main", endless()))
    done = read_done(release.cluster)
    assert {each.kind for each in done} == {"Container", "Exec"}
    recorded = Recorded(release.collector.records())

    def is_complete() -> bool:
        nonlocal recorded
        recorded = Recorded(release.collector.records())
        return done <= recorded.commands

    wait_until(is_complete, 30, f"the delivery of {len(done)} commands")
    assert recorded.problems == []


def test_an_upgrade_takes_over_what_is_pinned(release: Release) -> None:
    """Other values roll agent and operator: the same programs go on, and no command is lost, nor told of twice."""
    programs = list_programs(release.cluster)
    upgrade(release, "clusterName=other", "operator.logLevel=debug")
    check(release, "after-values")
    assert list_programs(release.cluster) == programs
    assert release.records(lambda record: record.get("k8s.cluster.name") == "other")


def test_an_upgrade_takes_over_from_halves_that_were_killed(release: Release) -> None:
    """Other images, and nobody ended in good order what was pinned."""
    programs = list_programs(release.cluster)
    for image in (agent_image(), operator_image()):
        name, _, _ = image.reference.rpartition(":")
        release.cluster.sandbox.run(
            *("ctr", "--namespace", "k8s.io", "images", "tag", image.reference, f"{name}:{OTHER_TAG}")
        )
    NodeRuntime(release.cluster).kill(charts.NAMESPACE, "recorder", "exporter")
    upgrade(release, f"agent.image.tag={OTHER_TAG}", f"operator.image.tag={OTHER_TAG}")
    check(release, "after-images")
    assert list_programs(release.cluster) == programs
