"""Nodes, and where on them the policies of the cluster kind apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from podcorder_operator.node_configs import Config
from podcorder_operator.policies import PolicyKey, Rules


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
