"""What `read_pod` reads of a pod, and no more: the rest may be 1.5 MB, as the pod's author likes, and has no bound that
would spare the agent's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from podcorder_agent.cluster.objects import MOST_ENTRIES
from podcorder_agent.cluster.pods import HOOKS, MIRROR, PROBES, ContainerType
from podcorder_agent.cluster.streams import Change, Put

Shape = Mapping[str, "Shape | None"]
"""Fields by name; None: with all that is in them."""

_TERMINATED: Shape = {"terminated": {"containerID": None}}
_HANDLER: Shape = {"exec": {"command": None}}
_CONTAINER: Shape = {
    "name": None,
    "image": None,
    "env": {"name": None, "value": None},
    "lifecycle": dict.fromkeys(HOOKS, _HANDLER),
    **dict.fromkeys(PROBES, _HANDLER),
}
_CONTAINER_STATUS: Shape = {"name": None, "containerID": None, "state": _TERMINATED, "lastState": _TERMINATED}
_POD: Shape = {
    "metadata": {
        "namespace": None,
        "name": None,
        "uid": None,
        "creationTimestamp": None,
        "labels": None,
        "annotations": {MIRROR: None},
        "ownerReferences": {"controller": None, "kind": None, "name": None},
        "managedFields": {"fieldsV1": {"f:spec": {"f:nodeName": {}}}},
    },
    "spec": {"hostPID": None, **{each.value: _CONTAINER for each in ContainerType}},
    "status": {"phase": None, **{each.statuses: _CONTAINER_STATUS for each in ContainerType}},
}


def with_excerpts(tell: Callable[[Change], None]) -> Callable[[Change], None]:
    """Who is told of pods through this is told of their excerpts."""
    return lambda change: tell(Put(excerpt_pod(change.object)) if isinstance(change, Put) else change)


def excerpt_pod(raw: dict[str, Any]) -> dict[str, Any]:
    """A pod of which the same facts are read."""
    found: dict[str, Any] = _excerpt(raw, _POD)
    return found


def _excerpt(value: Any, shape: Shape | None) -> Any:
    if isinstance(value, list):
        return [_excerpt(each, shape) for each in value[:MOST_ENTRIES]]
    if isinstance(value, dict) and shape is not None:
        return {name: _excerpt(value[name], shape[name]) for name in shape.keys() & value.keys()}
    return value
