"""helm install, kubectl apply, kubectl exec, and what the collector receives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cluster.images import BUSYBOX
from cluster.whole_cluster import WholeCluster
from fixtures.charts import NAMESPACE
from fixtures.releases import Release


@pytest.fixture(scope="module")
def release(whole_cluster: WholeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    with Release.installed(whole_cluster, tmp_path_factory.mktemp("release")) as release:
        yield release


def start_pod(release: Release, namespace: str, name: str, **labels: str) -> None:
    """A pod that sleeps, in a namespace that comes with it; ready."""
    namespaced = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    release.cluster.kubectl("apply", "-f", "-", input=json.dumps(namespaced))
    container = {"name": "main", "image": BUSYBOX, "command": ["sleep", "600"]}
    spec = {
        "containers": [container],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "serviceAccountName": "nobody",
    }
    release.cluster.add_service_account(namespace, "nobody")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }
    release.cluster.kubectl("apply", "-f", "-", input=json.dumps(pod))
    release.cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def make_policy(namespace: str, **spec: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "podcorder.dev/v1alpha1",
            "kind": "SessionRecordingPolicy",
            "metadata": {"name": "shells", "namespace": namespace},
            "spec": {"events": {"commands": {}}} | spec,
        }
    )


def test_what_kubectl_exec_runs_reaches_the_collector(release: Release) -> None:
    """Namespace, pod, container and session kind are with every command of the session, and nobody else's are there."""
    start_pod(release, "shop", "web", app="web")
    start_pod(release, "shop", "other", app="other")
    release.apply(make_policy("shop", podSelector={"matchLabels": {"app": "web"}}))
    for pod in ("other", "web"):
        release.cluster.kubectl("exec", "-n", "shop", pod, "--", "sh", "-c", "echo L2Jpbi9scyAvdG1w | base64 -d | sh")

    (found,) = release.wait_for(
        "the hidden command", lambda record: record.get("process.command_args") == ["/bin/ls", "/tmp"]
    )
    assert found["event"] == "podcorder.process.exec"
    assert found["k8s.namespace.name"] == "shop"
    assert found["k8s.pod.name"] == "web"
    assert found["k8s.container.name"] == "main"
    assert found["podcorder.session.kind"] == "Exec"
    assert release.records(lambda record: record.get("k8s.pod.name") == "other") == []


def test_the_policys_author_sees_that_it_is_in_force(release: Release) -> None:
    """The policy is accepted, and applied on the node."""
    release.cluster.kubectl("wait", "-n", "shop", "--for=condition=Ready", "srp/shells", "--timeout=15s")


def test_each_half_has_no_more_than_it_needs(release: Release) -> None:
    """The recorder has two capabilities and no token, the exporter no capability and the token; neither gets more."""
    rights = (
        "import re; print(*re.findall(r'(?:CapEff|CapBnd|NoNewPrivs|Seccomp):.(.+)', open('/proc/self/status').read()))"
    )
    token = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount/token'))"
    assert ask(release, "exporter", rights) == "0000000000000000 0000000000000000 1 2"
    assert ask(release, "recorder", rights) == "000000c000000000 000000c000000000 1 2"
    assert ask(release, "exporter", token) == "True"
    assert ask(release, "recorder", token) == "False"


def ask(release: Release, container: str, script: str) -> str:
    """What a Python script prints in a container of the agent's pod."""
    command = ("exec", "-n", NAMESPACE, "daemonset/podcorder-agent", "-c", container, "--", "python3", "-c", script)
    return release.cluster.kubectl(*command).stdout.strip()
