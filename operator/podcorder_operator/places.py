"""Nodes, and where on them the policies of the cluster kind apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from podcorder_operator.node_configs import Config, stand_for, stand_for_spec
from podcorder_operator.policies import Policy, PolicyKey, Rules
from podcorder_operator.reaches import State


@dataclass(slots=True)
class Node:
    """A node, or what is left of one that is gone."""

    labels: dict[str, str] | None = None
    """None: there is no such node."""
    config: Config | None = None
    present: tuple[str, ...] = ()
    """Its namespaces, sorted: those reported, while there is the node."""
    left_out: frozenset[PolicyKey] = frozenset()
    """Policies that concern it but do not fit into its config."""

    def find_state(self, policy: Policy, limit: tuple[str, ...] | None) -> State:
        """How a valid policy that concerns the node stands on it. `limit`: the namespaces that its entry is to name."""
        assert policy.rules is not None
        if policy.key in self.left_out:
            return State.LEFT_OUT
        held = self.config.held.get(policy.key) if self.config else None
        now = (policy.generation, stand_for(limit), stand_for_spec(policy.rules.text))
        if (
            self.config is None
            or held is None
            or held[:3] != now
            # What was applied of a config of this name before is beyond the generations of one made anew.
            or not held.since <= self.config.report.applied <= self.config.generation
        ):
            return State.BEHIND
        report = self.config.report
        lacks = policy.rules.needs - report.full or policy.rules.wishes & report.unavailable
        return State.DEGRADED if lacks else State.APPLIED


@dataclass(slots=True)
class Area:
    """Where a valid policy of the cluster kind applies."""

    rules: Rules
    namespaces: set[str] = field(default_factory=set)
    """Those that its namespaceSelector matches; unused where that selects everything."""
    nodes: set[str] = field(default_factory=set)
    """Nodes that it concerns."""

    def selects(self, labels: Mapping[str, str] | None) -> bool:
        """Whether a namespace with these labels belongs into `namespaces`; None: there is no such namespace."""
        return labels is not None and not self.rules.namespaces.everything and self.rules.namespaces.matches(labels)

    def place(self, name: str, node: Node) -> bool:
        """Takes a node in or out; returns whether it is, or was, in."""
        was, applies = name in self.nodes, self._applies(node)
        if was != applies:
            (self.nodes.add if applies else self.nodes.discard)(name)
        return was or applies

    def limit(self, node: Node) -> tuple[str, ...] | None:
        """The namespaces that the policy's entry in the node's config names; None: it names none."""
        if self.rules.namespaces.everything:
            return None
        return tuple(name for name in node.present if name in self.namespaces)

    def _applies(self, node: Node) -> bool:
        if node.labels is None or not self.rules.nodes.matches(node.labels):
            return False
        return self.rules.namespaces.everything or self.rules.hosts or not self.namespaces.isdisjoint(node.present)
