"""What is kept of a pod on its way through the agent."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.cluster.excerpts import excerpt_pod, with_excerpts
from podcorder_agent.cluster.pods import read_pod
from podcorder_agent.cluster.streams import Change, Drop, Put

PROBE = {"exec": {"command": ["cat", "$(FILE)"]}}
FULL: dict[str, Any] = {
    "metadata": {
        "namespace": "shop",
        "name": "web-abc-1",
        "uid": "uid-1",
        "creationTimestamp": "2026-11-22T10:00:00Z",
        "labels": {"app": "web", "pod-template-hash": "abc"},
        "annotations": {"kubernetes.io/config.mirror": "hash"},
        "ownerReferences": [{"controller": True, "kind": "ReplicaSet", "name": "web-abc"}],
        "managedFields": [{"fieldsV1": {"f:spec": {"f:nodeName": {}}}}],
    },
    "spec": {
        kind: [
            {
                "name": kind,
                "image": "busybox",
                "env": [{"name": "FILE", "value": "/ready"}],
                "livenessProbe": PROBE,
                "readinessProbe": {"exec": {"command": ["readiness"]}},
                "startupProbe": {"exec": {"command": ["startup"]}},
                "lifecycle": {
                    "postStart": {"exec": {"command": ["post"]}},
                    "preStop": {"exec": {"command": ["pre"]}},
                },
            }
        ]
        for kind in ("initContainers", "containers", "ephemeralContainers")
    },
    "status": {
        "phase": "Running",
        **{
            f"{prefix}ontainerStatuses": [
                {
                    "name": name,
                    "containerID": f"containerd://{name}-3",
                    "state": {"terminated": {"containerID": f"containerd://{name}-2"}},
                    "lastState": {"terminated": {"containerID": f"containerd://{name}-1"}},
                }
            ]
            for prefix, name in (
                ("initC", "initContainers"),
                ("c", "containers"),
                ("ephemeralC", "ephemeralContainers"),
            )
        },
    },
}


def _names(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_names, value))
    if isinstance(value, dict):
        return set(value).union(*map(_names, value.values()))
    return set()


def _wrecks(pod: Any) -> st.SearchStrategy[Any]:
    """The pod with any part of it replaced by anything."""
    anything = st.sampled_from([None, True, 1, "text", [], {}, ["text"], [{}], [None], {"name": "web"}])
    if isinstance(pod, list):
        return anything | st.tuples(*map(_wrecks, pod)).map(list)
    if isinstance(pod, dict):
        return anything | st.fixed_dictionaries({}, optional={name: _wrecks(each) for name, each in pod.items()})
    return st.just(pod) | anything


def test_all_facts_are_kept() -> None:
    """Of a pod that has everything, the excerpt has all that is read, and nothing is left to cut."""
    pod = read_pod(FULL)
    assert pod is not None
    assert all(len(each.probes) == 5 and len(each.ids) == 3 and each.image for each in pod.containers)
    assert excerpt_pod(FULL) == FULL


@given(st.fixed_dictionaries({}, optional={name: _wrecks(each) for name, each in FULL.items()}))
def test_no_other_facts_are_read(raw: dict[str, Any]) -> None:
    """Whatever a pod holds, its excerpt gives the same facts."""
    assert read_pod(excerpt_pod(raw)) == read_pod(raw)


def test_what_is_not_read_goes() -> None:
    """Arguments, unknown fields and the far end of long lists are not kept."""
    fat = json.loads(json.dumps(FULL))
    fat["metadata"]["managedFields"][0]["fieldsV1"]["f:status"] = {}
    fat["spec"]["volumes"] = [{"name": "data"}] * 1000
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        fat["spec"][kind][0] |= {"args": ["ab"] * 250_000, "livenessProbe": {"exec": {"command": ["ab"] * 250_000}}}
    assert _names(excerpt_pod(fat)) == _names(FULL)
    assert len(json.dumps(excerpt_pod(fat))) < 10_000
    assert read_pod(excerpt_pod(fat)) == read_pod(fat)


def test_whoever_is_told_of_pods_is_told_of_excerpts() -> None:
    """What is new comes as an excerpt, what is gone as it is."""
    told: list[Change] = []
    tell = with_excerpts(told.append)
    tell(Put(FULL | {"apiVersion": "v1"}))
    tell(Drop(("shop", "web")))
    assert told == [Put(FULL), Drop(("shop", "web"))]
