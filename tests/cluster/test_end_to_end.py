"""helm install, kubectl apply, kubectl exec, and what the collector receives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.control_plane import NODE, NODE_ADDRESS
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.charts import NAMESPACE
from fixtures.namespaces import Namespace
from fixtures.releases import Release, write_policy


@pytest.fixture(scope="module")
def release(whole_cluster: WholeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    with Release.installed(whole_cluster, tmp_path_factory.mktemp("release")) as release:
        yield release


def start_pods(release: Release, namespace: str, *names: str) -> Namespace:
    """Pods that sleep, labelled with their names; ready."""
    made = Namespace(release.cluster, namespace)
    for name in names:
        made.start(name, labels={"app": name})
    made.wait_ready(*names)
    return made


def test_what_kubectl_exec_runs_reaches_the_collector(release: Release) -> None:
    """Namespace, pod, container and session kind are with every command of the session, and nobody else's are there."""
    shop = start_pods(release, "shop", "web", "other")
    release.apply(write_policy("shop", "shells", podSelector={"matchLabels": {"app": "web"}}))
    for pod in ("other", "web"):
        assert shop.execute(pod, "sh", "-c", "echo L2Jpbi9scyAvdG1w | base64 -d | sh") == 0

    (found,) = release.wait_for(
        "the hidden command", lambda record: record.get("process.command_args") == ["/bin/ls", "/tmp"]
    )
    assert found["event"] == "podcorder.process.exec"
    assert found["k8s.namespace.name"] == "shop"
    assert found["k8s.pod.name"] == "web"
    assert found["k8s.container.name"] == "main"
    assert found["podcorder.session.kind"] == "Exec"
    assert release.records(lambda record: record.get("k8s.pod.name") == "other") == []


def test_who_asked_for_an_exec_is_on_its_events_and_in_its_record(release: Release) -> None:
    """Every event of alice's session has her name, and its record tells what became of it."""
    team = start_pods(release, "team", "web")
    cluster = release.cluster
    cluster.kubectl("create", "clusterrolebinding", "alice", "--clusterrole=cluster-admin", "--user=alice")
    release.apply(write_policy("team", "sessions"))
    script = "ls /tmp; exit 3"
    assert team.execute("web", "sh", "-c", script, user="alice") == 3

    (end,) = release.wait_for("the session's end", lambda record: is_of(record, "team", "podcorder.session.end"))
    session = end["podcorder.session.id"]
    events = release.records(lambda record: record.get("podcorder.session.id") == session)
    assert {"podcorder.session.start", "podcorder.process.exec", "podcorder.process.exit"} <= {
        each["event"] for each in events
    }
    found = {(each.get("user.name"), each.get("podcorder.identity")) for each in events}
    assert found == {("alice", "Identified")}

    records = "/apis/podcorder.dev/v1alpha1/namespaces/team/recordedsessions"
    wait_until(lambda: is_ended(cluster.request("GET", records)["items"]), 20, "the end in the session's record")
    (record,) = cluster.request("GET", records)["items"]
    assert {each["podcorder.session.record"] for each in events} == {f"team/{record['metadata']['name']}"}
    assert record["spec"]["user"]["username"] == "alice"
    assert record["spec"]["request"]["command"] == ["sh", "-c", script]
    status = record["status"]
    assert (status["sessionID"], status["exitCode"], status["confidence"]) == (session, 3, "Certain")
    assert {each["type"]: each["status"] for each in status["conditions"]} == dict.fromkeys(
        ("Started", "Ended", "Complete"), "True"
    )
    counts = {each["class"]: each["count"] for each in status["counts"]}
    assert counts["Exec"] == sum(each["event"] == "podcorder.process.exec" for each in events)


def is_of(record: dict[str, Any], namespace: str, event: str) -> bool:
    return bool(record["event"] == event and record.get("k8s.namespace.name") == namespace)


def is_ended(sessions: list[dict[str, Any]]) -> bool:
    """Whether all of them are."""
    conditions = [each for session in sessions for each in session.get("status", {}).get("conditions", ())]
    return sum(each["type"] == "Ended" and each["status"] == "True" for each in conditions) == len(sessions) > 0


def test_a_session_costs_few_writes(release: Release) -> None:
    """Quick sessions are written down with one write before and three after; one that goes on, once in 10 s more."""
    shop = start_pods(release, "ledger", "web")
    release.apply(write_policy("ledger", "shells", podSelector={"matchLabels": {"app": "web"}}))
    before = count_record_writes(release)
    begun = time.monotonic()
    for number in range(10):
        assert shop.execute("web", "echo", str(number)) == 0
    assert shop.execute("web", "sh", "-c", "for i in $(seq 60); do ls >/dev/null; sleep 0.2; done") == 0

    def have_all_ended() -> bool:
        ends = shop.kubectl("get", "rsess", "-o", "jsonpath={.items[*].status.endTime}").stdout
        return len(ends.split()) == 11

    wait_until(have_all_ended, 30, "the end of every session")
    written = count_record_writes(release) - before
    print(f"{written} writes for 11 sessions")
    assert 22 <= written <= 11 * 4 + (time.monotonic() - begun) / 10


def count_record_writes(release: Release) -> int:
    """Of RecordedSessions and their statuses, that the API server took."""
    text = release.cluster.kubectl("get", "--raw", "/metrics").stdout
    taken = re.findall(r'^apiserver_request_total\{code="20.",(.*)\} (\S+)$', text, re.M)
    return sum(
        int(float(count))
        for labels, count in taken
        if 'resource="recordedsessions"' in labels and re.search(r'verb="(POST|PUT|PATCH|APPLY|DELETE)"', labels)
    )


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


def test_helm_test_says_that_every_node_records(release: Release) -> None:
    """Asked from inside the cluster, with rights that are gone afterwards."""
    assert "Every node records (1)" in release.helm("test")
    left = release.cluster.kubectl("get", "clusterrole,clusterrolebinding", "-o", "name").stdout
    assert "podcorder-test" not in left


def test_an_unreachable_collector_keeps_nothing_from_being_recorded(release: Release) -> None:
    """The exporter says once where nobody answers; what was recorded meanwhile is delivered when somebody does."""
    release.collector.stop()
    early = start_pods(release, "early", "web")
    release.apply(write_policy("early", "early"))
    early.execute("web", "echo", "early")

    def is_said() -> bool:
        logs = release.cluster.kubectl("logs", "-n", NAMESPACE, "daemonset/podcorder-agent", "-c", "exporter").stdout
        return f"{NODE_ADDRESS}:{release.collector.http}" in logs

    wait_until(is_said, 30, "the exporter's word on the collector")
    release.collector.start()
    release.wait_for("the early command", lambda record: record.get("process.command_args") == ["echo", "early"], 60)


def test_a_missing_image_stops_neither_recording_nor_the_way_back(release: Release) -> None:
    """An upgrade to images that nobody has is told by node and container; the kernel records on meanwhile, and what it
    has recorded is delivered once the upgrade is taken back."""
    steady = start_pods(release, "steady", "web")
    release.apply(write_policy("steady", "steady"))
    missing = ("--reuse-values", "--set", "agent.image.tag=missing,operator.image.tag=missing")
    release.helm("upgrade", *missing)
    told = re.compile(rf"{NODE}: the container (recorder|exporter) does not run \((ErrImagePull|ImagePullBackOff)")
    wait_until(lambda: told.search(verify(release)), 60, "the missing image told")
    steady.execute("web", "echo", "meanwhile")
    release.helm("rollback", "--wait", "--timeout=90s")
    wait_until(lambda: "Every node records (1)" in verify(release), 60, "every node recording again")
    release.wait_for("the command", lambda record: record.get("process.command_args") == ["echo", "meanwhile"], 60)


def verify(release: Release) -> str:
    """What `podcorder-operator verify` says, asked from outside the cluster and of this moment."""
    command = [Path(sys.executable).with_name("podcorder-operator"), "verify", "--seconds", "0"]
    environment = {**os.environ, "KUBECONFIG": str(release.cluster.kubeconfig())}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True).stdout
