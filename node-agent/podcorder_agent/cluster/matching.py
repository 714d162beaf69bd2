"""Which policies record which sessions of a container. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from podcorder_agent.cluster.pods import ContainerFacts, ContainerType, PodFacts
from podcorder_crds import ConfiguredPolicy, LabelSelector, Operator, RecordingSpec, SessionKind

PolicyKey = tuple[str, str, str]
"""Kind, namespace (empty for a cluster policy) and name."""

Combination = tuple[tuple[SessionKind, tuple[PolicyKey, ...]], ...]
"""The policies of each session kind, both sorted: what containers with one slot have in common."""

PLAIN_SESSIONS = (SessionKind.CONTAINER, SessionKind.EXEC, SessionKind.PROBE)
DEBUG_SESSIONS = (SessionKind.DEBUG, SessionKind.EXEC)
"""Of an ephemeral container, and in a pod that looks into its node: what it runs itself is a debug session, and it has
neither probes nor hooks."""


def key_of(policy: ConfiguredPolicy) -> PolicyKey:
    return policy.kind.value, policy.namespace or "", policy.name


def match(pod: PodFacts, container: ContainerFacts, policies: Iterable[ConfiguredPolicy]) -> Combination:
    """What records this container; empty where nothing does."""
    labels = dict(pod.labels)
    possible = DEBUG_SESSIONS if is_debug(pod, container) else PLAIN_SESSIONS
    found: dict[SessionKind, list[PolicyKey]] = {}
    for policy in policies:
        spec = policy.spec
        if (
            covers_namespace(policy, pod.namespace)
            and selects_labels(spec.pod_selector, labels)
            and spec.containers.selects(container.name)
        ):
            for kind in possible:
                if kind in spec.sessions or (kind is SessionKind.DEBUG and _is_plain_too(container, spec)):
                    found.setdefault(kind, []).append(key_of(policy))
    return tuple(sorted((kind, tuple(sorted(keys))) for kind, keys in found.items()))


def is_debug(pod: PodFacts, container: ContainerFacts) -> bool:
    """Whether what a container runs itself is a debug session."""
    return container.type is ContainerType.EPHEMERAL or pod.looks_into_node


def _is_plain_too(container: ContainerFacts, spec: RecordingSpec) -> bool:
    """Whoever makes a pod can give it the look of one that looks into its node: that takes nothing from what policies
    record of containers."""
    return container.type is not ContainerType.EPHEMERAL and SessionKind.CONTAINER in spec.sessions


def covers_namespace(policy: ConfiguredPolicy, namespace: str) -> bool:
    """Whether pods of a namespace are among those that a policy is about."""
    if policy.namespace is not None:
        return policy.namespace == namespace
    return policy.namespaces is None or namespace in policy.namespaces


def selects_labels(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """As Kubernetes' own label selectors: all conditions must hold."""
    if any(labels.get(key) != value for key, value in selector.match_labels.items()):
        return False
    for each in selector.match_expressions:
        value = labels.get(each.key)
        holds = {
            Operator.IN: value in each.values,
            Operator.NOT_IN: value not in each.values,
            Operator.EXISTS: value is not None,
            Operator.DOES_NOT_EXIST: value is None,
        }
        if not holds[each.operator]:
            return False
    return True
