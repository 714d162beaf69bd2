"""What the chart's admission policies keep: an agent writes of its own node, and only the operator says who it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from cluster.access import JSON, Refused
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
    """Somebody who writes to the API server with a token, and in another's name where there are headers for that."""

    plane: ControlPlane
    token: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: object = None, content: str = JSON) -> dict[str, Any]:
        """Raises Refused."""
        return self.plane.request(method, path, body, token=self.token, content=content, headers=self.headers)

    def apply(self, path: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
        """Server-side apply of an object of Podcorder's group."""
        body = {"apiVersion": "podcorder.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, **fields}
        return self.send("PATCH", path + "?fieldManager=test&force=true", body, APPLY)

    def report(self, node: str, **status: Any) -> dict[str, Any]:
        """Write the status of a node's config."""
        return self.apply(f"{CONFIGS}/{node}/status", "NodeRecordingConfig", node, status=status)

    def record(self, name: str, *, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
        """Create a RecordedSession; `metadata` among the fields is added to its own."""
        metadata = {"name": name, **spec.pop("metadata", {})}
        body = {"apiVersion": "podcorder.dev/v1alpha1", "kind": "RecordedSession", "metadata": metadata, "spec": spec}
        return self.send("POST", SESSIONS.replace("shop", namespace), body)

    def change(self, name: str, change: dict[str, Any], subresource: str = "") -> dict[str, Any]:
        """Merge patch of a RecordedSession in the shop."""
        return self.send("PATCH", f"{SESSIONS}/{name}/{subresource}".rstrip("/"), change, MERGE)

    def remove(self, name: str) -> dict[str, Any]:
        """Delete a RecordedSession in the shop."""
        return self.send("DELETE", f"{SESSIONS}/{name}")

    def beat(self, name: str) -> dict[str, Any]:
        """Create a Lease."""
        lease = {"metadata": {"name": name}, "spec": {"holderIdentity": name, "leaseDurationSeconds": 40}}
        return self.send("POST", LEASES, lease)


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
    admin = Writer(plane, plane.tokens["admin"])
    try:
        admin.record("unannounced-early", **unannounced("node-1"))
        admin.remove("unannounced-early")
    except Refused:
        return True
    return False


@pytest.fixture(scope="module")
def agent(plane: ControlPlane) -> Writer:
    """The agent of node-1."""
    return Writer(plane, plane.pod_bound_token(NAMESPACE, AGENT, "node-1"))


@pytest.fixture(scope="module")
def admin(plane: ControlPlane) -> Writer:
    return Writer(plane, plane.tokens["admin"])


def in_the_name_of(account: str, **extra: str) -> dict[str, str]:
    """Headers by which an administrator acts as a service account of Podcorder's that has every right there is."""
    names = {f"Impersonate-Extra-authentication.kubernetes.io%2F{key.replace('_', '-')}": extra[key] for key in extra}
    user = f"system:serviceaccount:{NAMESPACE}:{account}"
    return {"Impersonate-User": user, "Impersonate-Group": "system:masters", **names}


@pytest.fixture(scope="module")
def operator(plane: ControlPlane) -> Writer:
    """The operator, kept by no RBAC."""
    return Writer(plane, plane.tokens["admin"], in_the_name_of(OPERATOR))


@pytest.fixture(scope="module")
def strong_agent(plane: ControlPlane) -> Writer:
    """The agent of node-1, kept by no RBAC."""
    return Writer(plane, plane.tokens["admin"], in_the_name_of(AGENT, node_name="node-1"))


@pytest.fixture(scope="module")
def controllers(plane: ControlPlane) -> None:
    """What deletes namespaces and collects garbage."""
    plane.start_controllers()


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
    said = refusal(lambda: agent.send("PATCH", path, body, MERGE))
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
    after = agent.send("PATCH", path, body, MERGE)
    assert after["status"]["agentVersion"] == "0.1.0"
    assert after["spec"] == before["spec"]
    for name in ("labels", "annotations", "finalizers"):
        assert name not in after["metadata"]


def test_a_token_without_a_node_writes_nothing(plane: ControlPlane) -> None:
    """A token of the agent's service account that is bound to no pod, such as a stolen long-lived one, is of no use."""
    unbound = Writer(plane, plane.service_account_token(NAMESPACE, AGENT))
    assert "bound to no node" in refusal(lambda: unbound.report("node-1", namespaces=[]))
    assert "bound to no node" in refusal(lambda: unbound.record("unannounced-forged", **unannounced("node-1")))


def test_an_agent_records_sessions_of_its_own_node(agent: Writer) -> None:
    """An unannounced session of its node is created by the agent that saw it, which then says what was recorded."""
    assert agent.record("unannounced-own", **unannounced("node-1"))["spec"]["origin"] == "Unannounced"
    stored = agent.change("unannounced-own", {"status": {"exitCode": 0}}, "status")
    assert stored["status"] == {"exitCode": 0}


def test_logins_are_kept_with_podcorder(agent: Writer) -> None:
    """An agent records a login on its node in Podcorder's own namespace and in no other."""
    login = {"kind": "Host", "origin": "Host", "nodeName": "node-1"}
    assert "kept in the namespace podcorder" in refusal(lambda: agent.record("host-1", **login))
    assert agent.record("host-1", namespace=NAMESPACE, **login)["spec"] == login


def test_an_agent_records_no_session_of_another_node(agent: Writer, operator: Writer) -> None:
    """A session of another node is neither created nor told of."""
    assert "belongs to node node-2" in refusal(lambda: agent.record("unannounced-foreign", **unannounced("node-2")))
    operator.record("exec-foreign", **announced("node-2"))
    told = {"status": {"exitCode": 0}}
    assert "belongs to node node-2" in refusal(lambda: agent.change("exec-foreign", told, "status"))


def test_an_agent_announces_no_session(agent: Writer) -> None:
    """A session with a person's name comes from the operator alone, and no record stands where one of its would be."""
    assert "only the operator announces" in refusal(lambda: agent.record("exec-1", **announced("node-1")))
    assert "begins with unannounced-" in refusal(lambda: agent.record("debug-0123", **unannounced("node-1")))
    assert "begins with unannounced-" in refusal(lambda: agent.record("host-0123", **unannounced("node-1")))


def test_an_agent_changes_nothing_but_the_status(agent: Writer, operator: Writer, plane: ControlPlane) -> None:
    """Its rights end at the status; with more of them, the admission policies would keep the rest of a record."""
    operator.record("exec-kept", **announced("node-1"))
    before = plane.request("GET", f"{SESSIONS}/exec-kept")
    change = {
        "metadata": {
            "labels": {"a": "b"},
            "annotations": {"a": "b"},
            "finalizers": ["example.org/keep"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "1"}],
        },
        "spec": {"user": {"username": "mallory"}, "nodeName": "node-2"},
        "status": {"exitCode": 1},
    }
    after = agent.change("exec-kept", change, "status")
    assert after["status"] == {"exitCode": 1}
    for name in ("generation", "labels", "annotations", "finalizers", "ownerReferences"):
        assert after["metadata"].get(name) == before["metadata"].get(name)
    assert after["spec"] == before["spec"]
    assert 'cannot patch resource "recordedsessions"' in refusal(lambda: agent.change("exec-kept", {"spec": {}}))
    assert 'cannot delete resource "recordedsessions"' in refusal(lambda: agent.remove("exec-kept"))


CHANGES: dict[str, dict[str, Any]] = {
    "the user": {"spec": {"user": {"username": "mallory"}}},
    "the command": {"spec": {"request": {"command": ["true"]}}},
    "the node": {"spec": {"nodeName": "node-2"}},
    "the origin": {"spec": {"origin": "Unannounced", "user": None, "request": None}},
    "a label": {"metadata": {"labels": {"a": "b"}}},
    "an annotation": {"metadata": {"annotations": {"a": "b"}}},
    "a finalizer": {"metadata": {"finalizers": ["example.org/keep"]}},
    "an owner": {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "1"}]}},
}


@pytest.fixture(scope="module")
def told(operator: Writer) -> str:
    """The name of an announced session that nothing can be done to."""
    operator.record("exec-told", **announced("node-1"))
    return "exec-told"


@pytest.mark.parametrize("what", CHANGES)
def test_nobody_changes_who_it_was(operator: Writer, strong_agent: Writer, admin: Writer, told: str, what: str) -> None:
    """User, request and place of a session stay as they were written, whoever has the right to change the record."""
    assert "only Podcorder writes" in refusal(lambda: admin.change(told, CHANGES[what]))
    assert "nothing of a record ever changes but its status" in refusal(lambda: operator.change(told, CHANGES[what]))
    refusal(lambda: strong_agent.change(told, CHANGES[what]))


def test_a_write_that_changes_nothing(admin: Writer, told: str) -> None:
    """What is stored may be stored anew, as it is when its version is migrated."""
    stored = admin.plane.request("GET", f"{SESSIONS}/{told}")
    assert admin.plane.request("PUT", f"{SESSIONS}/{told}", stored) == stored


def test_not_even_an_administrator_makes_records(admin: Writer, agent: Writer) -> None:
    """Rights on everything do not make a record true: none is made, or given another status, by people."""
    agent.record("unannounced-seen", **unannounced("node-1"))
    assert "only Podcorder writes" in refusal(lambda: admin.record("unannounced-made-up", **unannounced("node-1")))
    told = {"status": {"exitCode": 0}}
    assert "only Podcorder writes" in refusal(lambda: admin.change("unannounced-seen", told, "status"))


@pytest.mark.parametrize("field", ["finalizers", "ownerReferences"])
def test_records_are_nobodys(agent: Writer, operator: Writer, field: str) -> None:
    """A record with an owner would go with it, one with a finalizer keep its namespace: neither is made."""
    metadata = {field: CHANGES["a finalizer" if field == "finalizers" else "an owner"]["metadata"][field]}
    said = refusal(lambda: operator.record("exec-owned", metadata=metadata, **announced("node-1")))
    assert "neither owners nor finalizers" in said
    refusal(lambda: agent.record("unannounced-owned", metadata=metadata, **unannounced("node-1")))


def test_nobody_takes_a_record_out(admin: Writer, strong_agent: Writer, told: str) -> None:
    """Not even an administrator, one by one or all at once, nor an agent that has the right."""
    for writer in (admin, strong_agent):
        assert "nobody deletes one" in refusal(partial(writer.remove, told))
    assert "nobody deletes one" in refusal(lambda: admin.plane.request("DELETE", SESSIONS))
    assert admin.plane.request("GET", f"{SESSIONS}/{told}")["spec"]["user"] == {"username": "alice"}


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_the_documented_way_to_take_one_out(
    plane: ControlPlane, operator: Writer, controllers: None, cascade: str
) -> None:
    """An administrator who must deletes it in the operator's name, which the audit log holds beside the own."""
    name = f"exec-must-go-{cascade}"
    operator.record(name, **announced("node-1"))
    command = ("delete", "rsess", name, "--namespace=shop", f"--cascade={cascade}", "--timeout=20s")
    assert "nobody deletes one" in plane.kubectl(*command, check=False).stderr
    plane.kubectl(*command, f"--as=system:serviceaccount:{NAMESPACE}:{OPERATOR}")
    listed = ("get", "rsess", "--namespace=shop", f"--field-selector=metadata.name={name}", "-o", "name")
    wait_until(lambda: plane.kubectl(*listed).stdout == "", 20, "the record gone")


def test_records_go_with_their_namespace(plane: ControlPlane, operator: Writer, controllers: None) -> None:
    """A namespace that is deleted takes its records along, and is kept by none."""
    plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": "closing"}})
    for number in range(20):
        operator.record(f"exec-{number}", namespace="closing", **announced("node-1"))
    plane.kubectl("delete", "namespace", "closing", "--timeout=60s")


def test_an_agent_keeps_its_own_lease(agent: Writer) -> None:
    """Its heartbeat is the Lease agent.<node>; another node's, and the operator's election, are closed to it."""
    agent.beat("agent.node-1")
    assert "agent.<its node> alone" in refusal(lambda: agent.beat("agent.node-2"))
    assert "agent.<its node> alone" in refusal(lambda: agent.beat(OPERATOR))


def test_an_agent_reads_no_secrets(agent: Writer) -> None:
    """Of the rest of the cluster an agent's token opens nothing."""
    for path in (f"/api/v1/namespaces/{NAMESPACE}/secrets", "/api/v1/nodes", f"{GROUP}/sessionrecordingpolicies"):
        assert "cannot list resource" in refusal(lambda path=path: agent.send("GET", path))
