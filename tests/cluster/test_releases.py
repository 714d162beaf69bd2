"""The life of a release beside a steady workload: upgraded, uninstalled, installed again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cluster.control_plane import NODE
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures import charts
from fixtures.images import agent_image, operator_image
from fixtures.numbered_commands import NAMESPACE, Recorded, endless, make_container, make_spec, read_done, some
from fixtures.programs import BPFFS, is_loaded, list_programs
from fixtures.releases import CONFIG, Release

CONFIGS = CONFIG.rpartition("/")[0]
POLICY = {
    "apiVersion": "podcorder.dev/v1alpha1",
    "kind": "SessionRecordingPolicy",
    "metadata": {"name": "all", "namespace": NAMESPACE},
    "spec": {"sessions": ["Container", "Exec"], "events": {"commands": {}}},
}
VAULT = "vault"
STRICT_POLICY = {
    **POLICY,
    "metadata": {"name": "strict", "namespace": VAULT},
    "spec": {"sessions": ["Exec"], "events": {"commands": {}}, "mode": "Strict"},
}
WEBHOOK = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/podcorder-sessions"
OTHER_TAG = "0.1.0-other"
OURS = "all,serviceaccounts,secrets,roles,rolebindings,clusterroles,clusterrolebindings"
"""Kinds of which an uninstall leaves nothing."""


@pytest.fixture(scope="module")
def release(whole_cluster: WholeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """One with pods that run commands for as long as the tests last."""
    with Release.installed(whole_cluster, tmp_path_factory.mktemp("release")) as release:
        whole_cluster.add_service_account(NAMESPACE, "default")
        whole_cluster.add_service_account(VAULT, "default")
        for policy in (POLICY, STRICT_POLICY):
            whole_cluster.kubectl("apply", "-f", "-", input=json.dumps(policy))
        start_pod(release, "steady", make_container("main", endless()))
        start_pod(release, "pair", make_container("one", endless()), make_container("two", endless()))
        start_pod(release, "safe", make_container("main", "sleep 3600"), namespace=VAULT)
        release.wait_for("the first command", lambda record: record["event"] == "podcorder.process.exec")
        yield release


def start_pod(release: Release, name: str, *containers: dict[str, Any], namespace: str = NAMESPACE) -> None:
    pod = {"metadata": {"name": name}, "spec": make_spec(*containers)}
    release.cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    release.cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def execute(release: Release, *command: str) -> None:
    release.cluster.kubectl("exec", "-n", NAMESPACE, "steady", "--", *command)


def is_safe_entered(release: Release) -> bool:
    """Whether somebody gets into the pod of the Strict policy."""
    return release.cluster.kubectl("exec", "-n", VAULT, "safe", "--", "true", check=False).returncode == 0


def fails_closed(release: Release) -> list[str]:
    """The entries of the webhook's configuration that refuse where nobody answers."""
    webhooks = release.cluster.request("GET", WEBHOOK)["webhooks"]
    return [each["name"] for each in webhooks if each["failurePolicy"] == "Fail"]


@contextmanager
def people_at_work(release: Release) -> Iterator[None]:
    """One `kubectl exec` after the other, until the end."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            execute(release, "sh", "-c", some(2, "Exec"))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def tag_images(cluster: WholeCluster) -> list[str]:
    """Have the images under another version's name on the node; the values that ask for it."""
    for image in (agent_image(), operator_image()):
        name, _, _ = image.reference.rpartition(":")
        cluster.sandbox.run("ctr", "--namespace", "k8s.io", "images", "tag", image.reference, f"{name}:{OTHER_TAG}")
    return [f"{part}.image.tag={OTHER_TAG}" for part in ("agent", "operator")]


def find_pods(release: Release) -> set[str]:
    items = release.cluster.request("GET", f"/api/v1/namespaces/{charts.NAMESPACE}/pods")["items"]
    return {each["metadata"]["name"] for each in items}


def test_an_upgrade_loses_nothing(release: Release) -> None:
    """Other images and values roll agent and operator under load: the programs that are pinned go on, every command is
    delivered once and as what it was, and there is no gap. What a Strict policy refuses stays as it was."""
    wait_until(lambda: is_safe_entered(release), 30, "an exec under the Strict policy")
    assert fails_closed(release) == ["strict-sessions.podcorder.dev"]
    programs = list_programs(release.cluster)
    before = find_pods(release)
    values = [*tag_images(release.cluster), "clusterName=other", "operator.logLevel=debug"]

    with people_at_work(release):
        release.helm("upgrade", "--wait", "--timeout=120s", "--reuse-values", "--set", ",".join(values))
        wait_until(lambda: not before & find_pods(release), 60, "the end of the pods of before")
    start_pod(release, "new", make_container("main", endless()))

    done = read_done(release.cluster)
    assert {each.kind for each in done} == {"Container", "Exec"}
    wait_until(lambda: done <= Recorded(release.collector.records()).commands, 30, f"{len(done)} commands")
    assert Recorded(release.collector.records()).problems == []
    assert release.records(lambda record: record.get("k8s.cluster.name") == "other")
    assert list_programs(release.cluster) == programs
    assert fails_closed(release) == ["strict-sessions.podcorder.dev"]
    wait_until(lambda: is_safe_entered(release), 30, "an exec under the Strict policy")


def test_an_uninstall_takes_everything_along_but_what_users_made(release: Release) -> None:
    """No program, pin, config or right of ours stays, and nothing that refuses; policies and kinds do. The log says
    where recording ended, and helm that a node without an agent did not answer."""
    cluster = release.cluster
    programs = list_programs(cluster)
    assert programs
    assert all(map(is_loaded, programs))
    cluster.request("POST", "/api/v1/nodes", {"metadata": {"name": "gone"}})
    wait_until(lambda: len(cluster.request("GET", CONFIGS)["items"]) == 2, 20, "the config of the node that is gone")

    told = release.helm("uninstall", "--timeout=120s")

    assert "left in the nodes' kernels (1)" in told
    assert "No answer came from gone:" in told
    assert "podcorder" not in cluster.sandbox.run("ls", BPFFS).split()
    assert not any(map(is_loaded, programs))
    release.wait_for(
        "the end of recording",
        lambda record: record["event"] == "podcorder.container.end" and record.get("k8s.pod.name") == "steady",
    )
    assert cluster.request("GET", CONFIGS)["items"] == []
    cluster.request("DELETE", "/api/v1/nodes/gone")
    wait_until(lambda: not find_pods(release), 60, "the end of the release's pods")
    left = cluster.kubectl("get", OURS, "-A", "-l", "app.kubernetes.io/name=podcorder", "-o", "name").stdout
    assert left.split() == []
    assert cluster.kubectl("get", "-n", NAMESPACE, "srp", "all", "-o", "name").stdout
    assert cluster.kubectl("get", "-n", VAULT, "srp", "strict", "-o", "name").stdout
    assert is_safe_entered(release)


def test_a_later_install_records_again(release: Release) -> None:
    """The policy that stayed comes into force again, for pods that ran on; of the time between nothing is told. So it
    is where an uninstall was broken off and left a config behind."""
    execute(release, "true", "between")
    left_behind = {
        "apiVersion": "podcorder.dev/v1alpha1",
        "kind": "NodeRecordingConfig",
        "metadata": {"name": NODE},
        "spec": {"nodeName": NODE, "programs": "Unloaded"},
    }
    asking = f"{CONFIG}?fieldManager=podcorder-operator&force=true"
    release.cluster.request("PATCH", asking, left_behind, content="application/apply-patch+yaml")
    release.install()
    wait_until(lambda: release.read_config()["spec"].get("policies"), 20, "the policy in the node's config")
    wait_until(release.is_applied, 20, "the config in force")
    execute(release, "true", "after")
    release.wait_for("what ran after", lambda record: record.get("process.command_args") == ["true", "after"])
    assert release.records(lambda record: record.get("process.command_args") == ["true", "between"]) == []
