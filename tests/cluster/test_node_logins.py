"""Logins on a real node: recorded where a cluster policy asks for them, and no container passes for one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from cluster.access import Refused
from cluster.images import BUSYBOX
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.logins import as_user, log_in
from fixtures.node_agents import NodeAgent, Record

ALICE, BOB, CLAIMED = 4242, 4343, 4444
POLICY = {
    "kind": "ClusterSessionRecordingPolicy",
    "name": "logins",
    "generation": 1,
    "spec": {"sessions": ["Host"], "events": {"commands": {}}},
}
RECORDS = "/apis/podcorder.dev/v1alpha1/namespaces/podcorder/recordedsessions"
CLAIM = f"echo {CLAIMED} >/proc/self/loginuid; (/bin/echo {{0}}); (/bin/echo {{0}})"


@pytest.fixture
def agent(whole_cluster: WholeCluster) -> Iterator[NodeAgent]:
    """Younger than one pod, whose containers nobody ever held."""
    start_pod(whole_cluster, "old")
    with NodeAgent.running(whole_cluster) as running:
        yield running
        whole_cluster.kubectl("delete", "pod", "old", "new", "--grace-period=0", "--force")


def start_pod(cluster: WholeCluster, name: str) -> None:
    """A pod that sees the node's processes, with nothing that records it."""
    container = {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", f"{CLAIM.format(name)}; sleep 600"]}
    spec: dict[str, Any] = {"terminationGracePeriodSeconds": 0, "hostPID": True, "containers": [container]}
    cluster.request("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": name}, "spec": spec})
    cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", f"pod/{name}")


def runs(record: Record, word: str) -> bool:
    return record.event == "podcorder.process.exec" and word in record.arguments


def test_a_login_is_delivered_with_its_user_and_no_container_passes_for_one(agent: NodeAgent) -> None:
    """Of a login's commands each bears who logged in; pods older than the agent and newer than the policy write a login
    uid in vain, though they see the node's processes."""
    agent.write_config([POLICY])
    wait_until(agent.is_applied, 25, "the report that the config is in force")
    start_pod(agent.cluster, "new")
    agent.cluster.kubectl("exec", "old", "--", "sh", "-c", CLAIM.format("executed"))
    login = log_in(ALICE, "/bin/sh", "-c", f"{shlex.join(as_user(BOB, '/bin/true'))}; /bin/echo end")
    assert login.wait(20) == 0
    (record,) = agent.wait_for("the login's last command", lambda each: runs(each, "end"))
    assert record.attributes["user.id"] == str(ALICE)
    assert record.attributes["podcorder.identity"] == "Identified"
    assert record.kind == "Host"
    assert not record.pod
    assert {each.attributes["user.id"] for each in agent.records() if each.kind == "Host"} == {str(ALICE)}
    assert {each.kind for each in agent.records() if "podcorder.session.kind" in each.attributes} == {"Host"}
    path = f"{RECORDS}/host-{record.attributes['podcorder.session.id']}"
    wait_until(lambda: "endTime" in read_status(agent.cluster, path), 20, "the login's record")
    status = read_status(agent.cluster, path)
    assert status["login"]["uid"] == ALICE
    assert status["counts"]
    assert {each["type"]: each["status"] for each in status["conditions"]}["Ended"] == "True"


def read_status(cluster: WholeCluster, path: str) -> dict[str, Any]:
    """Empty where there is none yet."""
    try:
        status: dict[str, Any] = cluster.request("GET", path).get("status", {})
    except Refused:
        return {}
    return status
