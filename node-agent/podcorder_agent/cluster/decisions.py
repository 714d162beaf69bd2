"""What becomes of one cgroup: recorded for a combination of policies, excluded, or held until more is known. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any

from podcorder_agent.cluster.cgroups import PodCgroup
from podcorder_agent.cluster.matching import Combination, is_debug
from podcorder_agent.cluster.pods import ContainerFacts, PodFacts
from podcorder_agent.cluster.slots import merge
from podcorder_crds import SessionKind

NAMING_NS = 50 * 10**9
"""How long a container is held until the API server tells its name: before the 60 s end after which nothing is."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """It is recorded."""

    combination: Combination
    session_kind: SessionKind
    container: dict[str, Any]
    """What the `select` request says of it (docs/control.md)."""


class Unrecorded(Enum):
    """It is not."""

    EXCLUDED = "excluded"
    WAITING = "waiting"


Decision = Recorded | Unrecorded

Match = Callable[[PodFacts, ContainerFacts], Combination]
"""The policies of a container."""


def decide(cgroup: PodCgroup, pod: PodFacts | None, beside: Collection[str], match: Match, now: int) -> Decision:
    """What becomes of a cgroup at this boot time, ns. `beside`: container ids of its pod's cgroups that lived when it
    did."""
    if pod is None:
        return Unrecorded.WAITING
    container = identify(cgroup, pod, beside)
    if container is not None:
        combination = match(pod, container)
        if not combination:
            return Unrecorded.EXCLUDED
        kind = SessionKind.DEBUG if is_debug(pod, container) else SessionKind.CONTAINER
        return Recorded(combination, kind, describe(cgroup, pod, container))
    combination = merge([match(pod, each) for each in pod.containers])
    if cgroup.is_sandbox or not combination:
        return Unrecorded.EXCLUDED
    if now - cgroup.made < NAMING_NS:
        return Unrecorded.WAITING
    if cgroup.first and all(each.ids for each in pod.containers):
        return Unrecorded.EXCLUDED  # a sandbox that came in no order
    kind = SessionKind.DEBUG if pod.looks_into_node else SessionKind.CONTAINER
    return Recorded(combination, kind, describe(cgroup, pod, None))


def identify(cgroup: PodCgroup, pod: PodFacts, beside: Collection[str]) -> ContainerFacts | None:
    """Which of the pod's containers it is. The kubelet may tell the id of a container only after its end; of a pod with
    one container it need not be waited for, unless that runs: then it is one that was added since."""
    found = pod.find(cgroup.container_id)
    if found is None and len(pod.containers) == 1 and not cgroup.first:
        (only,) = pod.containers
        return only if only.ids.isdisjoint(beside) else None
    return found


def describe(cgroup: PodCgroup, pod: PodFacts, container: ContainerFacts | None) -> dict[str, Any]:
    """`container` of a `select` request; without a container what is known of the pod."""
    told: dict[str, Any] = {"id": cgroup.container_id, "path": cgroup.path}
    if cgroup.runtime:
        told["runtime"] = cgroup.runtime
    told["pod"] = {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
    if pod.owner is not None:
        told["pod"]["owner"] = {"kind": pod.owner.kind, "name": pod.owner.name}
    if container is not None:
        told["name"] = container.name
        if container.image:
            told["image"] = container.image
        if container.probes:
            told["probes"] = [list(each) for each in container.probes]
    return told
