"""Pods as the API server tells of them: the facts, and nothing else."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.cluster.excerpts import excerpt_pod
from podcorder_agent.cluster.pods import ContainerFacts, ContainerType, Owner, read_pod

ID, EARLIER = "a" * 64, "b" * 64


def make_pod(**parts: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "web", "uid": "uid-1"} | parts.pop("metadata", {})
    return {"metadata": metadata, "spec": {}, "status": {}} | parts


def test_containers_of_all_types_are_read() -> None:
    """Init, main and ephemeral containers have image and type; ids come without the runtime, earlier ones too."""
    terminated = {"terminated": {"containerID": f"cri-o://{EARLIER}"}}
    pod = read_pod(
        make_pod(
            spec={
                "initContainers": [{"name": "prepare", "image": "a:1"}],
                "containers": [{"name": "main", "image": "b:1"}],
                "ephemeralContainers": [{"name": "look", "image": "c:1"}],
            },
            status={
                "phase": "Running",
                "initContainerStatuses": [{"name": "prepare", "state": terminated}],
                "containerStatuses": [
                    {"name": "main", "containerID": f"containerd://{ID}", "lastState": terminated, "state": {}}
                ],
                "ephemeralContainerStatuses": [{"name": "look"}],
            },
        )
    )
    assert pod is not None
    assert pod.containers == (
        ContainerFacts("prepare", ContainerType.INIT, "a:1", ids=frozenset({EARLIER})),
        ContainerFacts("main", ContainerType.MAIN, "b:1", ids=frozenset({ID, EARLIER})),
        ContainerFacts("look", ContainerType.EPHEMERAL, "c:1"),
    )
    assert not pod.ended


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_ends_with_its_phase(phase: str) -> None:
    """A pod that has succeeded or failed runs nothing any more."""
    pod = read_pod(make_pod(status={"phase": phase}))
    assert pod is not None
    assert pod.ended


def test_commands_of_the_kubelet_are_read() -> None:
    """Exec probes and exec hooks, each command once; other probes are none."""
    alive, ready = ["cat", "/alive"], ["cat", "/ready"]
    container = {
        "name": "main",
        "livenessProbe": {"exec": {"command": alive}},
        "readinessProbe": {"exec": {"command": ready}},
        "startupProbe": {"httpGet": {"path": "/"}},
        "lifecycle": {"postStart": {"exec": {"command": alive}}, "preStop": {"exec": {"command": ["sync"]}}},
    }
    pod = read_pod(make_pod(spec={"containers": [container]}))
    assert pod is not None
    assert pod.containers[0].probes == (tuple(alive), tuple(ready), ("sync",))


@pytest.mark.parametrize("command", [[], ["x" * 5000], ["x"] * 500, "cat", [1]])
def test_a_probe_that_cannot_be_told_is_left_out(command: object) -> None:
    """A command that is too long to be compared, or none at all, is no probe."""
    container = {"name": "main", "livenessProbe": {"exec": {"command": command}}}
    pod = read_pod(make_pod(spec={"containers": [container]}))
    assert pod is not None
    assert pod.containers[0].probes == ()


def test_variables_in_a_probes_command_are_expanded() -> None:
    """As the kubelet expands them: in probes by the container's own env, of two of a name by the later; one that comes
    from elsewhere is empty there. Hooks are run as they are written."""
    command = ["check", "--port=$(PORT)", "$(NODE)", "$(OTHER)"]
    container = {
        "name": "main",
        "env": [
            {"name": "PORT", "value": "80"},
            {"name": "PORT", "value": "8080"},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
        "readinessProbe": {"exec": {"command": command}},
        "lifecycle": {"preStop": {"exec": {"command": command}}},
    }
    pod = read_pod(make_pod(spec={"containers": [container]}))
    assert pod is not None
    assert pod.containers[0].probes == (("check", "--port=8080", "", "$(OTHER)"), tuple(command))


def test_a_probe_that_grows_too_long_is_left_out() -> None:
    """Neither does it cost what its author has it grow to."""
    container = {
        "name": "main",
        "env": [{"name": "A", "value": "x" * 100_000}],
        "livenessProbe": {"exec": {"command": ["echo", "$(A)" * 256]}},
    }
    pod = read_pod(make_pod(spec={"containers": [container]}))
    assert pod is not None
    assert pod.containers[0].probes == ()


def test_a_probe_is_expanded_no_further_than_it_is_compared() -> None:
    """What an agent needs of memory to read a pod is no matter of what its author has a command grow to."""
    command = ["$(A)" * 256] * 64
    probes = {each: {"exec": {"command": command}} for each in ("livenessProbe", "readinessProbe", "startupProbe")}
    container = {"name": "main", "env": [{"name": "A", "value": "\N{GRINNING FACE}" * 1024}]} | probes
    tracemalloc.start()
    try:
        read_pod(make_pod(spec={"containers": [container]}))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 16 << 20


def test_a_static_pod_has_the_kubelets_own_uid() -> None:
    """The cgroup of a static pod is called by the hash of its file, which its mirror carries as an annotation."""
    pod = read_pod(make_pod(metadata={"annotations": {"kubernetes.io/config.mirror": "0123abcd"}}))
    assert pod is not None
    assert (pod.uid, pod.cgroup_uid) == ("uid-1", "0123abcd")


@pytest.mark.parametrize(
    ("kind", "name", "owner"),
    [
        ("ReplicaSet", "web-5d8f", Owner("Deployment", "web")),
        ("ReplicaSet", "web-other", Owner("ReplicaSet", "web-other")),
        ("StatefulSet", "db", Owner("StatefulSet", "db")),
        ("Job", "report-29912345", Owner("CronJob", "report")),
        ("Job", "report-20260101", Owner("Job", "report-20260101")),
        ("Job", "report", Owner("Job", "report")),
    ],
)
def test_the_owner_is_the_workload(kind: str, name: str, owner: Owner) -> None:
    """A ReplicaSet of the pod's template hash stands for its Deployment, a Job named by its minute for its CronJob."""
    metadata = {
        "labels": {"pod-template-hash": "5d8f"},
        "creationTimestamp": "2026-11-15T16:25:10Z",
        "ownerReferences": [
            {"kind": "Other", "name": "no-controller"},
            {"kind": kind, "name": name, "controller": True},
        ],
    }
    pod = read_pod(make_pod(metadata=metadata))
    assert pod is not None
    assert pod.owner == owner


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
FIELDS = ("labels", "annotations", "ownerReferences", "creationTimestamp")


@given(
    st.dictionaries(st.sampled_from(FIELDS), json_values),
    st.dictionaries(st.sampled_from([each.value for each in ContainerType]), json_values),
    json_values,
)
def test_nothing_raises(metadata: dict[str, Any], spec: dict[str, Any], status: Any) -> None:
    """Whatever an object holds, it is read."""
    pod = read_pod(make_pod(metadata=metadata, spec=spec, status=status))
    assert pod is not None
    assert pod.name == "web"


@given(json_values)
def test_what_has_no_name_is_none(raw: Any) -> None:
    """An object without namespace, name and uid gives no facts."""
    assert read_pod({"metadata": raw}) is None


@pytest.mark.parametrize(
    ("metadata", "spec", "looks"),
    [
        ({"labels": {"app.kubernetes.io/managed-by": "kubectl-debug"}}, {}, True),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, {"nodeName": "node-1"}, False),
        ({"managedFields": [{"fieldsV1": {"f:spec": {"f:nodeName": {}}}}]}, {"hostPID": True}, True),
        ({"managedFields": [{"fieldsV1": {"f:spec": {"f:nodeName": {}}}}]}, {"hostPID": False}, False),
        ({"managedFields": [{"fieldsV1": {"f:spec": {"f:hostPID": {}}}}]}, {"hostPID": True, "nodeName": "a"}, False),
        ({"managedFields": [{}, {"fieldsV1": []}]}, {"hostPID": True}, False),
    ],
)
def test_a_pod_that_was_made_to_look_into_its_node_is_known(
    metadata: dict[str, Any], spec: dict[str, Any], looks: bool
) -> None:
    """By kubectl's label, or the processes of the node and a node that its maker chose, not the scheduler."""
    names = {"namespace": "default", "name": "debugger", "uid": "uid"}
    raw = {"metadata": names | metadata, "spec": spec}
    pod = read_pod(raw)
    assert pod is not None
    assert pod.looks_into_node is looks
    assert read_pod(excerpt_pod(raw)) == pod
