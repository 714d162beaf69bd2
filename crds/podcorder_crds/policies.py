"""SessionRecordingPolicy: whom to record, what of it, and how. `podcorder record --policy` takes the same spec."""

from __future__ import annotations

import fnmatch
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from podcorder_crds.conditions import Conditions
from podcorder_crds.enums import Mode, OnRecorderFailure, SessionKind
from podcorder_crds.events import EventSelection
from podcorder_crds.models import ATOMIC, Model
from podcorder_crds.names import ContainerPattern, Generation, LabelName, ObjectName
from podcorder_crds.redactions import Redaction
from podcorder_crds.rules import Among, Plain, Rule, Set, pattern
from podcorder_crds.selectors import LabelKey, LabelSelector, LabelValue

GROUP = "podcorder.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

POLICY_SESSIONS = frozenset(SessionKind) - {SessionKind.COMMAND, SessionKind.NODE_PROXY}
"""What a policy may name: Command is what `podcorder record` begins, and NodeProxy what passes by all pods, whatever a
policy says."""
DEFAULT_SESSIONS = (SessionKind.EXEC, SessionKind.ATTACH, SessionKind.DEBUG, SessionKind.PORT_FORWARD)
"""All that people begin in pods."""
ENDED_SESSIONS = (SessionKind.EXEC, SessionKind.DEBUG)
"""What can be ended: of the others some have no processes of their own, and some are nobody's."""

PolicySession = Annotated[
    SessionKind,
    Among(
        POLICY_SESSIONS,
        "is not for a policy to name, for it is recorded whatever a policy says: leave it out",
    ),
]


class ContainerFilter(Model):
    """Which containers, by name; * stands for any characters and ? for any one."""

    model_config = ATOMIC

    include: Set[ContainerPattern] = Field(default=(), max_length=64)
    """Names of the containers to record, with * and ? as wildcards; empty means all."""
    exclude: Set[ContainerPattern] = Field(default=(), max_length=64)
    """Names of the containers not to record, even where they are included."""

    def selects(self, name: str) -> bool:
        """Whether a container of this name is to be recorded."""
        if any(fnmatch.fnmatchcase(name, each) for each in self.exclude):
            return False
        return not self.include or any(fnmatch.fnmatchcase(name, each) for each in self.include)


class RateLimits(Model):
    """Bounds that protect the node. What goes beyond them is counted and told of as a gap, never silently left out."""

    model_config = ATOMIC

    records_per_second: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    """How many records a second are taken of each container; absent means no limit."""


class Routing(Model):
    """How the receiving side can tell this policy's records apart."""

    label: Annotated[
        str,
        Field(min_length=1, max_length=63),
        pattern(
            r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
            "is not a label: write letters, digits, -, _ and ., with a letter or a digit first and last",
        ),
    ]
    """A word that is exported with every record, for the collector to route by."""


class RecordingSpec(Model):
    """What both kinds of policy say."""

    pod_selector: LabelSelector = LabelSelector()
    """Which pods, by their labels; empty means all. A policy concerns the pods of its own namespace."""
    containers: ContainerFilter = ContainerFilter()
    """Which containers of these pods. The default is all of them."""
    sessions: Set[PolicySession] = Field(
        default=DEFAULT_SESSIONS,
        min_length=1,
        max_length=len(POLICY_SESSIONS),
    )
    """Which kinds of session. Container: what the container itself runs. Exec: kubectl exec and cp. Attach: kubectl
    attach. Debug: ephemeral containers of kubectl debug. Probe: exec probes and lifecycle hooks. PortForward: kubectl
    port-forward. Host: logins on the node, for ClusterSessionRecordingPolicy alone. The default is what people begin in
    pods: Exec, Attach, Debug and PortForward."""
    events: EventSelection
    """What to record of these sessions. A section that is absent is not recorded, an empty one ({}) records everything
    of its kind; there must be at least one."""
    mode: Mode = Mode.BEST_EFFORT
    """What happens where recording fails. BestEffort, the default, lets sessions go on, with a gap on record. Strict
    refuses new sessions where the node's recorder is not healthy or is losing events."""
    # A default of the API server's would stand in every policy as soon as the kinds are upgraded, and an operator of an
    # earlier version takes no policy with a field that it does not know.
    on_recorder_failure: Annotated[OnRecorderFailure, Plain()] = OnRecorderFailure.CONTINUE
    """What becomes of sessions that run when the node's recorder fails. Continue, the default, lets them run, marked.
    End kills the processes of execs and debug containers that began before, half a minute after the recorder's last
    sign of life, each at its next system call; it needs mode Strict."""
    redaction: Redaction = Redaction()
    """What is taken out of arguments before they leave the machine. The default is passwords, tokens and keys."""
    rate_limits: RateLimits = RateLimits()
    """Bounds that protect the node. The default is none."""
    routing: Routing | None = None
    """How the receiving side can tell this policy's records apart. Absent: it cannot."""


# Not of `RecordingSpec`: an agent takes what it does not understand out of a policy, and carries out the rest.
_LAWS_OF_BOTH = (
    Rule(
        "!has(self.onRecorderFailure) || self.onRecorderFailure != 'End' || self.mode == 'Strict'",
        lambda self: self.on_recorder_failure is not OnRecorderFailure.END or self.mode is Mode.STRICT,
        "onRecorderFailure End needs mode Strict: write mode: Strict, or leave onRecorderFailure out",
    ),
    Rule(
        "!has(self.onRecorderFailure) || self.onRecorderFailure != 'End' || !has(self.sessions)"
        " || self.sessions.exists(each, each in ['Exec', 'Debug'])",
        lambda self: (
            self.on_recorder_failure is not OnRecorderFailure.END
            or any(each in ENDED_SESSIONS for each in self.sessions)
        ),
        "onRecorderFailure End ends sessions of kind Exec and Debug: name one of them in sessions",
    ),
)


class SessionRecordingPolicySpec(RecordingSpec):
    """What to record of the pods in the policy's own namespace."""

    laws: ClassVar = (
        *_LAWS_OF_BOTH,
        Rule(
            "!has(self.sessions) || !('Host' in self.sessions)",
            lambda self: SessionKind.HOST not in self.sessions,
            "sessions of kind Host belong to no namespace: name Host in a ClusterSessionRecordingPolicy",
        ),
    )


class ClusterSessionRecordingPolicySpec(RecordingSpec):
    """What to record of pods in all namespaces, and of the nodes themselves."""

    laws: ClassVar = _LAWS_OF_BOTH

    pod_selector: LabelSelector = LabelSelector()
    """Which pods of the namespaces that namespaceSelector selects, by their labels; empty means all."""
    namespace_selector: LabelSelector = LabelSelector()
    """Which namespaces, by their labels; empty means all. Sessions of kind Host have no namespace: it is not asked of
    them."""
    node_selector: LabelSelector = LabelSelector()
    """Which nodes, by their labels; empty means all."""


Count = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]


class NodeCounts(Model):
    """How many nodes a policy concerns, and how far they have come."""

    matched: Count
    """Nodes whose NodeRecordingConfig holds the policy."""
    applied: Count
    """Of the matched nodes, those whose agent has put the policy's current generation into force."""
    degraded: Count
    """Of the nodes that applied it, those that cannot record all that it asks for."""
    behind: Count
    """Of the matched nodes, those that have not put the current generation into force yet."""


class PolicyStatus(Model):
    """What has become of a policy. The operator writes it."""

    observed_generation: Generation | None = None
    """The metadata.generation of the policy that this status is about."""
    conditions: Conditions = ()
    """Accepted: the policy can be carried out and stands in the configs of its nodes. Ready: every node that it
    concerns records all that it asks for. Combined: other policies may concern the same pods; the message says what
    holds then."""
    nodes: NodeCounts | None = None
    """How many nodes the policy concerns, and how far they have come."""


class ObjectMeta(Model):
    """The part of Kubernetes' metadata that a policy file may carry."""

    name: ObjectName
    """The policy's name."""
    namespace: LabelName | None = None
    """The policy's namespace."""
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=64)
    """Labels."""
    annotations: dict[LabelKey, Annotated[str, Field(max_length=65536)]] = Field(default_factory=dict, max_length=64)
    """Annotations."""


class SessionRecordingPolicy(Model):
    """A whole manifest, as `kubectl apply` takes it."""

    api_version: Literal["podcorder.dev/v1alpha1"]
    """podcorder.dev/v1alpha1."""
    kind: Literal["SessionRecordingPolicy"]
    """SessionRecordingPolicy."""
    metadata: ObjectMeta
    """Name and labels."""
    spec: SessionRecordingPolicySpec
    """What to record."""
