"""Policies of both kinds as the operator holds them: what decides where they go, and their text for the configs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from podcorder_crds import (
    Capability,
    ClusterSessionRecordingPolicySpec,
    ContainerFilter,
    EventClass,
    Mode,
    OnRecorderFailure,
    RecordingSpec,
    Redaction,
    SessionKind,
    SessionRecordingPolicySpec,
    capabilities_of,
    classes_of,
)
from podcorder_crds.problems import find_problems
from podcorder_operator.metadata import Metadata
from podcorder_operator.resources import CLUSTER_POLICIES, POLICIES, Resource
from podcorder_operator.selectors import Selector, compile_selector

SELECTORS = ("namespaceSelector", "nodeSelector")
"""Fields of a spec that the operator resolves, so that no config holds them."""
BEGUN_BY_PEOPLE = frozenset({SessionKind.EXEC, SessionKind.ATTACH, SessionKind.DEBUG, SessionKind.PORT_FORWARD})
"""Kinds of session that the API server is asked for."""
SHOWN_PROBLEMS = 3
"""How many of an invalid policy's problems its status names."""

_MODELS: Mapping[str, type[RecordingSpec]] = {
    POLICIES.kind: SessionRecordingPolicySpec,
    CLUSTER_POLICIES.kind: ClusterSessionRecordingPolicySpec,
}


class PolicyKey(NamedTuple):
    """A policy's identity; sorts as configs do."""

    kind: str
    namespace: str
    """Empty for the cluster kind."""
    name: str

    @property
    def resource(self) -> Resource:
        return CLUSTER_POLICIES if self.kind == CLUSTER_POLICIES.kind else POLICIES

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else f"{self.name} (cluster)"


@lru_cache(maxsize=8192)
def share_key(kind: str, namespace: str, name: str) -> PolicyKey:
    """One object for each identity: 2,000 configs name the same policies."""
    return PolicyKey(kind, namespace, name)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a valid policy asks for, as far as the operator cares."""

    text: str
    """Canonical JSON of the spec as stored, without `SELECTORS`."""
    pods: Selector
    namespaces: Selector
    nodes: Selector
    containers: ContainerFilter
    sessions: frozenset[SessionKind]
    mode: Mode
    redaction: Redaction
    needs: frozenset[Capability]
    """Capabilities that a node must have in full to record it."""
    wishes: frozenset[Capability]
    """Capabilities that it asks for besides. They are tried only where a container runs that it concerns, so a node
    that does not tell of them does not lack them."""
    classes: frozenset[EventClass]
    """Classes of events that it is recorded by."""

    @property
    def hosts(self) -> bool:
        return SessionKind.HOST in self.sessions

    @property
    def gates(self) -> bool:
        """Whether sessions that people ask the API server for are refused where they would not be recorded."""
        return self.mode is Mode.STRICT and not self.sessions.isdisjoint(BEGUN_BY_PEOPLE)


@dataclass(frozen=True, slots=True)
class Policy:
    """A stored policy, valid or not."""

    key: PolicyKey
    uid: str
    generation: int
    created: str
    """RFC 3339, in UTC and whole seconds as the API server writes it: sorts as time does."""
    rules: Rules | None
    """None: the contract refuses it."""
    problem: str
    """Why the contract refuses it, in one sentence."""
    status: Mapping[str, Any]
    """As stored."""

    def same_content(self, other: Policy | None) -> bool:
        """Whether they differ in nothing but their status."""
        return other is not None and (
            (self.uid, self.generation, self.created, self.rules, self.problem)
            == (other.uid, other.generation, other.created, other.rules, other.problem)
        )


def encode_canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, characters as they are."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read_policy(resource: Resource, raw: Mapping[str, Any], metadata: Metadata) -> Policy:
    """A policy, with `problem` set where the contract refuses it."""
    key = share_key(resource.kind, metadata.namespace if resource.namespaced else "", metadata.name)
    spec = raw.get("spec")
    rules = None
    try:
        problems = find_problems(_MODELS[resource.kind], spec, ("spec",))
        problem = "; ".join(each.sentence for each in problems[:SHOWN_PROBLEMS])
        if not problems:
            rules = _read_rules(resource, raw["spec"])
    except Exception as error:  # whatever a stored policy does to its parser is that policy's trouble alone
        problem = f"the spec cannot be read ({type(error).__name__}): apply a corrected one"
    status = raw.get("status")
    return Policy(
        key,
        metadata.uid,
        metadata.generation,
        metadata.created,
        rules,
        problem,
        status if isinstance(status, dict) else {},
    )


def _read_rules(resource: Resource, raw: Mapping[str, Any]) -> Rules:
    """`raw`: a spec that the contract takes."""
    spec: SessionRecordingPolicySpec | ClusterSessionRecordingPolicySpec
    namespaces = nodes = Selector()
    if resource.namespaced:
        spec = SessionRecordingPolicySpec.model_validate(raw)
    else:
        spec = ClusterSessionRecordingPolicySpec.model_validate(raw)
        namespaces, nodes = compile_selector(spec.namespace_selector), compile_selector(spec.node_selector)
    return Rules(
        encode_canonical({name: value for name, value in raw.items() if name not in SELECTORS}),
        compile_selector(spec.pod_selector),
        namespaces,
        nodes,
        spec.containers,
        frozenset(spec.sessions),
        spec.mode,
        spec.redaction,
        capabilities_of(spec.events),
        frozenset({Capability.ENDINGS} if spec.on_recorder_failure is OnRecorderFailure.END else ()),
        classes_of(spec.events),
    )
