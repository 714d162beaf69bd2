"""The kinds of podcorder.dev/v1alpha1, as the API server is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from podcorder_crds.models import Model
from podcorder_crds.node_configs import NodeRecordingConfigSpec, NodeRecordingConfigStatus
from podcorder_crds.policies import ClusterSessionRecordingPolicySpec, PolicyStatus, SessionRecordingPolicySpec
from podcorder_crds.sessions import RecordedSessionSpec, RecordedSessionStatus


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    path: str
    type: Literal["string", "integer", "date"] = "string"
    wide: bool = False
    """Whether `-o wide` alone shows it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object."""

    name: str
    plural: str
    short_name: str
    scope: Literal["Namespaced", "Cluster"]
    spec: type[Model]
    status: type[Model]
    meaning: str
    """What `kubectl explain` says of it."""
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    """The fields that a field selector may name."""


def condition(name: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{name}")].{field}'


AGE = Column("Age", ".metadata.creationTimestamp", "date")
POLICY_COLUMNS = (
    Column("Accepted", condition("Accepted")),
    Column("Ready", condition("Ready")),
    Column("Reason", condition("Ready", "reason")),
    Column("Mode", ".spec.mode"),
    Column("Nodes", ".status.nodes.matched", "integer"),
    Column("Applied", ".status.nodes.applied", "integer"),
    Column("Degraded", ".status.nodes.degraded", "integer"),
    Column("Behind", ".status.nodes.behind", "integer", wide=True),
    AGE,
)

KINDS = (
    Kind(
        "SessionRecordingPolicy",
        "sessionrecordingpolicies",
        "srp",
        "Namespaced",
        SessionRecordingPolicySpec,
        PolicyStatus,
        "SessionRecordingPolicy says what to record of the pods in its namespace: which sessions of which containers,"
        " and which of their commands, files and peers. Where several policies concern the same session, everything"
        " that one of them asks for is recorded.",
        POLICY_COLUMNS,
    ),
    Kind(
        "ClusterSessionRecordingPolicy",
        "clustersessionrecordingpolicies",
        "csrp",
        "Cluster",
        ClusterSessionRecordingPolicySpec,
        PolicyStatus,
        "ClusterSessionRecordingPolicy says what to record of pods in all namespaces, or in those it selects, and of"
        " logins on the nodes. Where several policies concern the same session, everything that one of them asks for is"
        " recorded.",
        POLICY_COLUMNS,
    ),
    Kind(
        "NodeRecordingConfig",
        "noderecordingconfigs",
        "nrc",
        "Cluster",
        NodeRecordingConfigSpec,
        NodeRecordingConfigStatus,
        "NodeRecordingConfig holds the policies that concern one node, and what its agent makes of them. Podcorder's"
        " operator writes it for every node: change the policies, not this object.",
        (
            Column("Ready", condition("Ready")),
            Column("Generation", ".metadata.generation", "integer"),
            Column("Applied", ".status.appliedGeneration", "integer"),
            Column("Agent", ".status.agentVersion"),
            Column("Kernel", ".status.kernelVersion", wide=True),
            Column("Loader", ".status.loader.name", wide=True),
            Column("Reason", condition("Ready", "reason"), wide=True),
            AGE,
        ),
        selectable=(".spec.nodeName",),
    ),
    Kind(
        "RecordedSession",
        "recordedsessions",
        "rsess",
        "Namespaced",
        RecordedSessionSpec,
        RecordedSessionStatus,
        "RecordedSession says who was where and when: one object for each session that was asked for, began unasked or"
        " was a login on a node. Podcorder alone writes it, and nothing of it ever changes but its status: it is the"
        " index of what was recorded, not the recording.",
        (
            Column("Kind", ".spec.kind"),
            Column("User", ".spec.user.username"),
            Column("Pod", ".spec.pod.name"),
            Column("Container", ".spec.container"),
            Column("Node", ".spec.nodeName"),
            Column("Started", ".status.startTime", "date"),
            Column("Ended", ".status.endTime", "date"),
            Column("Confidence", ".status.confidence"),
            Column("Origin", ".spec.origin", wide=True),
            Column("Login", ".status.login.uid", "integer", wide=True),
            Column("Exit", ".status.exitCode", "integer", wide=True),
            Column("Mode", ".spec.mode", wide=True),
            Column("Complete", condition("Complete"), wide=True),
            Column("Reason", condition("Ended", "reason"), wide=True),
            Column("Session", ".status.sessionID", wide=True),
            AGE,
        ),
        selectable=(".spec.nodeName",),
    ),
)
