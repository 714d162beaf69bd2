"""Pods as the API server tells of them, reduced to what matching and attribution need.

Nothing an object holds makes this raise: what is not as it should be is left out, and everything is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from podcorder_agent.cluster.expansions import expand
from podcorder_agent.cluster.objects import MOST_ENTRIES, MOST_TEXT, read_mapping, read_mappings, read_text

MOST_ARGUMENTS = 64
"""Of a vector; one with more of them, or with one of more than MOST_TEXT characters, is left out."""

MIRROR = "kubernetes.io/config.mirror"
"""Of a static pod: the uid by which the kubelet knows it, and its cgroup is called (kubelet's pod config)."""
MANAGED_BY = "app.kubernetes.io/managed-by"
NODE_DEBUG = "kubectl-debug"
"""Of a pod made by `kubectl debug node/...`: the value of that label."""
_TEMPLATE_HASH = "pod-template-hash"
_SCHEDULED_JOB = re.compile(r"(?P<name>.+)-(?P<minutes>[0-9]{8,10})")
_LATEST_START = 7 * 86400
"""Seconds that a CronJob's run is believed to be late; more, and the number in a Job's name means something else."""
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HOOKS = ("postStart", "preStop")
_ENDED = ("Succeeded", "Failed")


class ContainerType(StrEnum):
    """Which list of the pod's spec a container stands in."""

    INIT = "initContainers"
    MAIN = "containers"
    EPHEMERAL = "ephemeralContainers"

    @property
    def statuses(self) -> str:
        """The list of the pod's status with the containers of this type."""
        return {"initContainers": "initContainerStatuses", "containers": "containerStatuses"}.get(
            self.value, "ephemeralContainerStatuses"
        )


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """One container of a pod."""

    name: str
    type: ContainerType
    image: str = ""
    probes: tuple[tuple[str, ...], ...] = ()
    """Argument vectors of its exec probes and lifecycle hooks, as the kubelet runs them."""
    ids: frozenset[str] = frozenset()
    """Without the runtime's name; after a restart the earlier one too."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The workload that a pod belongs to."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod."""

    namespace: str
    name: str
    uid: str
    cgroup_uid: str
    """By which its cgroup is called: another one for static pods."""
    labels: tuple[tuple[str, str], ...] = ()
    owner: Owner | None = None
    ended: bool = False
    """Whether none of its containers runs any more, nor will."""
    containers: tuple[ContainerFacts, ...] = ()
    created: str = ""
    """When, as the API server wrote it; in UTC, so that the earlier is the lesser."""
    looks_into_node: bool = False
    """Whether it was made to look into its node, as `kubectl debug node/...` does."""

    def find(self, container_id: str) -> ContainerFacts | None:
        """The container that has this id."""
        return next((each for each in self.containers if container_id in each.ids), None)


def read_pod(raw: dict[str, Any]) -> PodFacts | None:
    """The facts; None of what has no name or uid."""
    metadata, spec, status = read_mapping(raw, "metadata"), read_mapping(raw, "spec"), read_mapping(raw, "status")
    namespace, name, uid = read_text(metadata, "namespace"), read_text(metadata, "name"), read_text(metadata, "uid")
    if not (namespace and name and uid):
        return None
    labels = {key: value for key, value in read_mapping(metadata, "labels").items() if isinstance(value, str)}
    return PodFacts(
        namespace,
        name,
        uid,
        read_text(read_mapping(metadata, "annotations"), MIRROR) or uid,
        tuple(sorted(labels.items())),
        _find_owner(metadata, labels),
        read_text(status, "phase") in _ENDED,
        tuple(
            _read_container(each, kind, status) for kind in ContainerType for each in read_mappings(spec, kind.value)
        )[:MOST_ENTRIES],
        read_text(metadata, "creationTimestamp"),
        _looks_into_node(metadata, spec, labels),
    )


def _looks_into_node(metadata: dict[str, Any], spec: dict[str, Any], labels: Mapping[str, str]) -> bool:
    """As the operator sees it when the pod is made: whoever made it chose the node. Later every pod has one; but what
    the scheduler binds has no owner of the field."""
    if labels.get(MANAGED_BY) == NODE_DEBUG:
        return True
    owned = (
        read_mapping(read_mapping(each, "fieldsV1"), "f:spec") for each in read_mappings(metadata, "managedFields")
    )
    return spec.get("hostPID") is True and any("f:nodeName" in each for each in owned)


def _read_container(raw: dict[str, Any], kind: ContainerType, status: dict[str, Any]) -> ContainerFacts:
    name = read_text(raw, "name")
    ids = set()
    for each in read_mappings(status, kind.statuses):
        if read_text(each, "name") == name:
            state, last = read_mapping(each, "state"), read_mapping(each, "lastState")
            holders = (each, read_mapping(state, "terminated"), read_mapping(last, "terminated"))
            ids |= {read_text(holder, "containerID").rpartition("://")[2] for holder in holders}
    return ContainerFacts(name, kind, read_text(raw, "image"), _find_probes(raw), frozenset(ids - {""}))


def _find_probes(raw: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    variables = {read_text(each, "name"): read_text(each, "value") for each in read_mappings(raw, "env")}
    probes = [_find_command(read_mapping(raw, each)) for each in PROBES]
    hooks = [_find_command(read_mapping(read_mapping(raw, "lifecycle"), each)) for each in HOOKS]
    expanded = [_expand_all(each, variables) for each in probes]
    return tuple(dict.fromkeys(each for each in (*expanded, *hooks) if _is_comparable(each)))


def _find_command(handler: dict[str, Any]) -> tuple[str, ...]:
    """What a handler executes; nothing where it does something else."""
    command = read_mapping(handler, "exec").get("command")
    if not isinstance(command, list) or not all(isinstance(each, str) for each in command):
        return ()
    return tuple(command) if _is_comparable(command) else ()


def _expand_all(command: Sequence[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    """Nothing as soon as one word has become too long: all together would take as much memory as their author likes."""
    expanded = []
    for word in command:
        expanded.append(expand(word, variables))
        if len(expanded[-1]) > MOST_TEXT:
            return ()
    return tuple(expanded)


def _is_comparable(command: Sequence[str]) -> bool:
    return 0 < len(command) <= MOST_ARGUMENTS and all(len(each) <= MOST_TEXT for each in command)


def _find_owner(metadata: dict[str, Any], labels: dict[str, str]) -> Owner | None:
    """The controller; a ReplicaSet's Deployment and a Job's CronJob by how their controllers name what they make."""
    for each in read_mappings(metadata, "ownerReferences"):
        if each.get("controller") is True and (kind := read_text(each, "kind")) and (name := read_text(each, "name")):
            template = labels.get(_TEMPLATE_HASH)
            if kind == "ReplicaSet" and template and name.endswith(f"-{template}") and len(name) > len(template) + 1:
                return Owner("Deployment", name.removesuffix(f"-{template}"))
            if kind == "Job" and (cron := _find_cron_job(name, read_text(metadata, "creationTimestamp"))):
                return Owner("CronJob", cron)
            return Owner(kind, name)
    return None


def _find_cron_job(job: str, created: str) -> str:
    """A CronJob calls its Job by the minute for which it was scheduled, counted from 1970."""
    found = _SCHEDULED_JOB.fullmatch(job)
    try:
        moment = datetime.fromisoformat(created).timestamp()
    except ValueError:
        return ""
    return found["name"] if found and 0 <= moment - int(found["minutes"]) * 60 <= _LATEST_START else ""
