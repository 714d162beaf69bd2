"""What the chart's admission policies keep: an agent writes of its own node, and only the operator says who it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cluster.access import Refused
from cluster.control_plane import ControlPlane
from cluster.sandboxes import wait_until
from fixtures.charts import NAMESPACE
from fixtures.installations import OPERATOR, Installation

AGENT = "podcorder-agent"
GROUP = "/apis/podcorder.dev/v1alpha1"
CONFIGS = f"{GROUP}/noderecordingconfigs"
SESSIONS = f"{GROUP}/namespaces/shop/recordedsessions"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class Writer:
    """Somebody who writes to the API server with a token."""

    plane: ControlPlane
    token: str

    def apply(self, path: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
        """Server-side apply of an object of Podcorder's group; raises Refused."""
        body = {"apiVersion": "podcorder.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, **fields}
        query = "?fieldManager=test&force=true"
        return self.plane.request("PATCH", path + query, body, token=self.token, content=APPLY)

    def report(self, node: str, **status: Any) -> dict[str, Any]:
        """Write the status of a node's config."""
        return self.apply(f"{CONFIGS}/{node}/status", "NodeRecordingConfig", node, status=status)

    def record(self, name: str, **spec: Any) -> dict[str, Any]:
        """Write a RecordedSession."""
        return self.apply(f"{SESSIONS}/{name}", "RecordedSession", name, spec=spec)

    def beat(self, name: str) -> dict[str, Any]:
        """Create a Lease."""
        lease = {"metadata": {"name": name}, "spec": {"holderIdentity": name, "leaseDurationSeconds": 40}}
        return self.plane.request("POST", LEASES, lease, token=self.token)


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """The chart on two nodes that each have a config, and a namespace for sessions."""
    with ControlPlane.running() as plane:
        Installation(plane)
        plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
        operator = Writer(plane, plane.service_account_token(NAMESPACE, OPERATOR))
        for node in ("node-1", "node-2"):
            plane.add_node(node)
            operator.apply(f"{CONFIGS}/{node}", "NodeRecordingConfig", node, spec={"nodeName": node, "policies": []})
        wait_until(lambda: policies_are_in_force(plane), 10, "the admission policies in force")
        yield plane


def policies_are_in_force(plane: ControlPlane) -> bool:
    """The API server takes a moment from storing an admission policy to asking it."""
    try:
        Writer(plane, plane.tokens["admin"]).record("early", **unannounced("node-1"))
    except Refused:
        return True
    plane.request("DELETE", f"{SESSIONS}/early")
    return False


@pytest.fixture(scope="module")
def agent(plane: ControlPlane) -> Writer:
    """The agent of node-1."""
    return Writer(plane, plane.pod_bound_token(NAMESPACE, AGENT, "node-1"))


@pytest.fixture(scope="module")
def admin(plane: ControlPlane) -> Writer:
    return Writer(plane, plane.tokens["admin"])


def unannounced(node: str) -> dict[str, Any]:
    pod = {"name": "web", "uid": "7c1e9d6e-0001-4f0a-9d2c-000000000001"}
    return {"kind": "Exec", "origin": "Unannounced", "nodeName": node, "pod": pod, "container": "web"}


def announced(node: str) -> dict[str, Any]:
    request = {"id": "7c1e9d6e-0002-4f0a-9d2c-000000000002", "time": "2026-11-22T12:00:00Z", "source": "pods/exec"}
    return unannounced(node) | {"origin": "Announced", "user": {"username": "alice"}, "request": request}


def refusal(write: Callable[[], object]) -> str:
    """The sentence with which the API server forbids a write."""
    with pytest.raises(Refused) as caught:
        write()
    assert caught.value.code == 403, caught.value
    return str(caught.value)


def test_an_agent_reports_of_its_own_node(agent: Writer) -> None:
    """A token bound to a pod on a node writes the status of that node's config."""
    stored = agent.report("node-1", appliedGeneration=1, namespaces=["shop"])
    assert stored["status"] == {"appliedGeneration": 1, "namespaces": ["shop"]}


def test_an_agent_reports_of_no_other_node(agent: Writer) -> None:
    """The status of another node's config is closed to it, and the refusal names both nodes."""
    said = refusal(lambda: agent.report("node-2", namespaces=["shop"]))
    assert "belongs to node node-2" in said
    assert "agent of node node-1" in said


def test_a_merge_patch_is_no_way_around(agent: Writer) -> None:
    """Another kind of patch is held to the same."""
    path = f"{CONFIGS}/node-2/status"
    body = {"status": {"namespaces": []}, "spec": {"nodeName": "node-1"}}
    said = refusal(lambda: agent.plane.request("PATCH", path, body, token=agent.token, content=MERGE))
    assert "belongs to node node-2" in said


def test_an_agent_writes_no_config(agent: Writer) -> None:
    """What a node records is not the node's to say, not even of its own."""
    spec = {"nodeName": "node-1", "policies": []}
    said = refusal(lambda: agent.apply(f"{CONFIGS}/node-1", "NodeRecordingConfig", "node-1", spec=spec))
    assert 'cannot patch resource "noderecordingconfigs"' in said


def test_a_report_changes_nothing_but_the_status(agent: Writer, plane: ControlPlane) -> None:
    """A write to the status leaves the spec, the labels and the annotations of the config as they were."""
    before = plane.request("GET", f"{CONFIGS}/node-1")
    body = {
        "metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["a.b/c"]},
        "spec": {"policies": [{"kind": "ClusterSessionRecordingPolicy", "name": "x"}]},
        "status": {"agentVersion": "0.1.0"},
    }
    path = f"{CONFIGS}/node-1/status"
    after = plane.request("PATCH", path, body, token=agent.token, content=MERGE)
    assert after["status"]["agentVersion"] == "0.1.0"
    assert after["spec"] == before["spec"]
    for field in ("labels", "annotations", "finalizers"):
        assert field not in after["metadata"]


def test_a_token_without_a_node_writes_nothing(plane: ControlPlane) -> None:
    """A token of the agent's service account that is bound to no pod, such as a stolen long-lived one, is of no use."""
    unbound = Writer(plane, plane.service_account_token(NAMESPACE, AGENT))
    assert "bound to no node" in refusal(lambda: unbound.report("node-1", namespaces=[]))
    assert "bound to no node" in refusal(lambda: unbound.record("forged", **unannounced("node-1")))


def test_an_agent_records_sessions_of_its_own_node(agent: Writer) -> None:
    """An unannounced session of its node is created and changed by the agent that saw it."""
    agent.record("own", **unannounced("node-1"))
    stored = agent.record("own", **unannounced("node-1") | {"container": "sidecar"})
    assert stored["spec"]["container"] == "sidecar"
    path = f"{SESSIONS}/own/status"
    stored = agent.apply(path, "RecordedSession", "own", status={"exitCode": 0})
    assert stored["status"]["exitCode"] == 0


def test_an_agent_records_no_session_of_another_node(agent: Writer) -> None:
    """A session that names another node is refused, at its creation and when it is handed over."""
    assert "belongs to node node-2" in refusal(lambda: agent.record("foreign", **unannounced("node-2")))
    agent.record("moved", **unannounced("node-1"))
    assert "never changes" in refusal(lambda: agent.record("moved", **unannounced("node-2")))


def test_an_agent_announces_no_session(agent: Writer) -> None:
    """A session with a person's name comes from the operator alone."""
    assert "only the operator announces" in refusal(lambda: agent.record("named", **announced("node-1")))


def test_not_even_an_administrator_makes_records(admin: Writer, agent: Writer) -> None:
    """Rights on everything do not make a record true: none is made, changed or given another status by people."""
    agent.record("seen", **unannounced("node-1"))
    assert "only Podcorder writes" in refusal(lambda: admin.record("made-up", **unannounced("node-1")))
    assert "only Podcorder writes" in refusal(lambda: admin.record("seen", **unannounced("node-2")))
    path = f"{SESSIONS}/seen/status"
    assert "only Podcorder writes" in refusal(
        lambda: admin.apply(path, "RecordedSession", "seen", status={"exitCode": 0})
    )


def test_an_agent_keeps_no_namespace_alive(agent: Writer) -> None:
    """A finalizer on a record, which would stop its namespace from going, is refused."""
    agent.record("lasting", **unannounced("node-1"))
    body = {"metadata": {"finalizers": ["example.org/keep"]}}
    path = f"{SESSIONS}/lasting"
    said = refusal(lambda: agent.plane.request("PATCH", path, body, token=agent.token, content=MERGE))
    assert "sets no finalizers" in said


def test_the_operator_says_who_it_was_and_nobody_changes_it(plane: ControlPlane, agent: Writer, admin: Writer) -> None:
    """User, request and origin of an announced session stay as the operator wrote them, whoever writes."""
    # The operator's right to write sessions comes with the announcements; its name alone is what is tried here.
    rule = {"apiGroups": ["podcorder.dev"], "resources": ["recordedsessions"], "verbs": ["create", "patch"]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "announce"}}
    plane.kubectl("apply", "-f", "-", input=json.dumps(role | {"rules": [rule]}))
    plane.kubectl(
        "create", "clusterrolebinding", "announce", "--clusterrole=announce", f"--serviceaccount={NAMESPACE}:{OPERATOR}"
    )
    operator = Writer(plane, plane.service_account_token(NAMESPACE, OPERATOR))
    operator.record("told", **announced("node-1"))

    mallory = announced("node-1") | {"user": {"username": "mallory"}}
    assert "leave it as it is" in refusal(lambda: agent.record("told", **mallory))
    assert "only Podcorder writes" in refusal(lambda: admin.record("told", **mallory))
    nobody = {"spec": {"origin": "Unannounced", "user": None, "request": None}}
    path = f"{SESSIONS}/told"
    assert "never changes" in refusal(lambda: plane.request("PATCH", path, nobody, token=agent.token, content=MERGE))
    assert agent.record("told", **announced("node-1") | {"container": "sidecar"})["spec"]["container"] == "sidecar"


def test_an_agent_keeps_its_own_lease(agent: Writer) -> None:
    """Its heartbeat is the Lease agent.<node>; another node's, and the operator's election, are closed to it."""
    agent.beat("agent.node-1")
    assert "agent.<its node> alone" in refusal(lambda: agent.beat("agent.node-2"))
    assert "agent.<its node> alone" in refusal(lambda: agent.beat(OPERATOR))


def test_an_agent_reads_no_secrets(agent: Writer) -> None:
    """Of the rest of the cluster an agent's token opens nothing."""
    for path in (f"/api/v1/namespaces/{NAMESPACE}/secrets", "/api/v1/nodes", f"{GROUP}/sessionrecordingpolicies"):
        assert "cannot list resource" in refusal(lambda path=path: agent.plane.request("GET", path, token=agent.token))
