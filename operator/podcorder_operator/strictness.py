"""Whether a node's recorder is fit for sessions of Strict policies, as far as this replica has seen. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from podcorder_crds import ConditionStatus, LosslessReason
from podcorder_operator.heartbeats import Heartbeats
from podcorder_operator.node_configs import Report
from podcorder_operator.policies import Policy
from podcorder_operator.reaches import State
from podcorder_operator.world import World

FRESH_SECONDS = 20.0
"""An agent that was heard of longer ago counts as gone; it renews its Lease every 10 seconds."""
SKEW_SECONDS = 10.0
"""How far the clocks of a node and of the operator may be apart. With `FRESH_SECONDS` it makes 30: so long after a
recorder has failed sessions may still begin."""
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Nobody is kept out of their pods, whatever a policy says, so that a cluster can always be mended; nor out of those of
the operator's own namespace."""

_UNAVAILABLE = "CapabilitiesUnavailable"
"""Reason of Ready where the rest is recorded: the capabilities that a policy needs decide."""


class Strictness:
    """Answers for one replica. Not for two threads at a time."""

    def __init__(self, world: World, heartbeats: Heartbeats, namespace: str) -> None:
        """`namespace`: the operator's own, which like the system's is never shut: there what fails is repaired."""
        self.open_namespaces = SYSTEM_NAMESPACES | {namespace}
        self._world = world
        self._heartbeats = heartbeats
        self._namespace = namespace

    def check(self, node: str, policies: Iterable[Policy]) -> str:
        """Why a session that these policies select cannot begin on the node: a sentence with the remedy, empty where it
        can. Policies that are not Strict refuse nothing."""
        for policy in policies:
            if policy.rules is not None and policy.rules.gates:
                problem = self._find_problem(node, policy.rules.classes) or self._find_lag(node, policy)
                if problem:
                    return f"the recording policy {policy.key} is Strict, and {problem}"
        return ""

    def find_failure(self, node: str) -> str:
        """What has failed on a node whose config holds Strict policies, so that sessions that run there may not be
        recorded. Empty where nothing has, where it holds none, and while agents cannot be heard at all."""
        if self._heartbeats.steady_seconds < FRESH_SECONDS + SKEW_SECONDS:
            return ""
        classes = {name for policy in self._held(node) if policy.rules for name in policy.rules.classes}
        return self._find_problem(node, classes) if classes else ""

    def find_nodes(self) -> set[str]:
        """Nodes whose configs hold Strict policies."""
        return {node for node in self._world.node_names() if any(True for _ in self._held(node))}

    def find_scope(self) -> Scope:
        """The namespaces where sessions may be refused."""
        named: set[str] = set()
        for key in self._world.strict.keys:
            footprint = self._world.footprint(key)
            if footprint is not None and footprint.namespaces is None:
                return Scope(everywhere=True)
            named.update(footprint.namespaces or () if footprint else ())
        return Scope(tuple(sorted(named - self.open_namespaces)))

    def _held(self, node: str) -> Iterator[Policy]:
        config = self._world.config(node)
        for key in self._world.strict.keys:
            if config is not None and key in config.held:
                yield self._world.policies[key]

    def _find_problem(self, node: str, classes: Collection[str]) -> str:
        """What keeps events of these classes from being recorded on the node."""
        config = self._world.config(node)
        if config is None:
            return (
                f"node {node} has no NodeRecordingConfig, so that nothing is recorded there: if there is such a node, "
                f"look at the logs of deployment/podcorder-operator in namespace {self._namespace}"
            )
        return (
            self._find_silence(node)
            or self._find_fault(node, config.report)
            or _find_loss(node, config.report, classes)
        )

    def _find_silence(self, node: str) -> str:
        if not self._heartbeats.known:
            return "this replica of the operator does not know yet which agents are alive: try again in a few seconds"
        age = self._heartbeats.age(node)
        if age is None or age.seen > FRESH_SECONDS:
            since = "" if age is None else f" for {age.seen:.0f} s"
            return (
                f"nothing was heard of the agent on node {node}{since}: "
                f"see that its pod runs (kubectl get pods --namespace {self._namespace} --field-selector "
                f"spec.nodeName={node})"
            )
        if age.written > FRESH_SECONDS + SKEW_SECONDS:
            return (
                f"the agent on node {node} writes times that are {age.written:.0f} s past: set the clocks of this node "
                "and of the operator's, which may differ by 10 s"
            )
        return ""

    def _find_fault(self, node: str, report: Report) -> str:
        status, reason, message = report.ready
        if status == ConditionStatus.TRUE or reason == _UNAVAILABLE:
            return ""
        said = message or "it has not said yet that it records"
        return f"the agent on node {node} does not record ({reason or 'NotReported'}): {said.removesuffix('.')}"

    def _find_lag(self, node: str, policy: Policy) -> str:
        """Why the node does not record by this policy, as it is now, though its recorder is well."""
        assert policy.rules is not None
        state = self._world.state(policy.key, node)
        if state is State.LEFT_OUT:
            return (
                f"it does not fit into the config of node {node}: make the policies there fewer or smaller "
                "(its condition Accepted says more)"
            )
        if state not in (State.APPLIED, State.DEGRADED):
            return f"node {node} does not record by it yet: try again in a few seconds"
        config = self._world.config(node)
        lacking = policy.rules.needs & config.report.unavailable if config else ()
        if lacking:
            return (
                f"node {node} cannot record {', '.join(sorted(lacking))}: "
                f"`kubectl get noderecordingconfig {node} -o yaml` says why"
            )
        return ""


@dataclass(frozen=True, slots=True)
class Scope:
    """Namespaces, beside those that are always open."""

    names: tuple[str, ...] = ()
    """Sorted."""
    everywhere: bool = False
    """All of them, whatever they are called."""

    def __bool__(self) -> bool:
        return self.everywhere or bool(self.names)


def _find_loss(node: str, report: Report, classes: Collection[str]) -> str:
    status, reason, message = report.lossless
    if status != ConditionStatus.FALSE:
        return ""
    if reason == LosslessReason.LOSING_EVENTS:
        lost = sorted(report.losing.intersection(classes)) if report.losing else ["events"]
        if not lost:
            return ""
        return f"the recorder on node {node} is losing {', '.join(lost)}: {_clause(message) or 'look at its load'}"
    if reason == LosslessReason.JOURNAL_FULL:
        return f"the journal on node {node} is full: {_clause(message) or 'make room on its disk'}"
    return f"the recorder on node {node} keeps not all that it records ({reason}): {_clause(message)}"


def _clause(message: str) -> str:
    return message.removesuffix(".")
