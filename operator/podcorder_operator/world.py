"""What the operator knows of the cluster, and which configs and statuses a change may touch. No I/O, no raw objects."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Set
from typing import Any

from podcorder_operator.metadata import Metadata, read_labels, read_metadata
from podcorder_operator.node_configs import Config, Reports, read_config
from podcorder_operator.overlaps import Footprint, may_overlap
from podcorder_operator.places import Area, Node
from podcorder_operator.policies import Policy, PolicyKey, read_policy, share_key
from podcorder_operator.reaches import Reach, State, Tally
from podcorder_operator.resolver import Candidate
from podcorder_operator.resources import (
    CLUSTER_POLICIES,
    CONFIGS,
    NAMESPACES,
    NODES,
    POLICIES,
    WATCHED,
    Resource,
)
from podcorder_operator.strict_policies import StrictPolicies

logger = logging.getLogger(__name__)


class World:
    """All that is known. Not for two threads at a time."""

    def __init__(self) -> None:
        self.policies: dict[PolicyKey, Policy] = {}
        self.strict = StrictPolicies()
        self.when_synced = asyncio.Event()
        """Set for good once every collection was listed."""
        self.when_resolved = asyncio.Event()
        """Set while it is known of every node what its config leaves out."""
        self.nodes_touched = asyncio.Event()
        """Set while `take_nodes` would return some."""
        self.policies_touched = asyncio.Event()
        """Set while `take_policies` would return some."""
        self._nodes: dict[str, Node] = {}
        self._namespaces: dict[str, dict[str, str]] = {}
        self._present: defaultdict[str, set[str]] = defaultdict(set)
        self._local: defaultdict[str, set[PolicyKey]] = defaultdict(set)
        self._areas: dict[PolicyKey, Area] = {}
        self._reaches: defaultdict[PolicyKey, Reach] = defaultdict(Reach)
        self._listed: set[Resource] = set()
        self._unresolved: set[str] = set()
        self._reports = Reports()
        self._touched_nodes: dict[str, int] = {}
        self._touched_policies: set[PolicyKey] = set()

    # What the streams tell

    def put(self, resource: Resource, raw: dict[str, Any]) -> None:
        """An object as it is now. Never raises, whatever the object holds."""
        metadata = read_metadata(raw)
        if metadata is None:
            logger.error("An object of %s without a name is left out.", resource.plural)
        elif resource in (POLICIES, CLUSTER_POLICIES):
            self._put_policy(read_policy(resource, raw, metadata))
        elif resource == NAMESPACES:
            self._put_namespace(metadata.name, read_labels(raw))
        elif resource == NODES:
            self._put_node(metadata.name, read_labels(raw))
        elif resource == CONFIGS:
            self._put_config(raw, metadata)

    def drop(self, resource: Resource, namespace: str, name: str) -> None:
        """An object that is gone; that it was never known is fine."""
        if resource in (POLICIES, CLUSTER_POLICIES):
            self._drop_policy(share_key(resource.kind, namespace, name))
        elif resource == NAMESPACES and self._namespaces.pop(name, None) is not None:
            self._match_namespace(name)
        elif resource == NODES:
            self._put_node(name, None)
        elif resource == CONFIGS:
            self._drop_config(name)

    def listed(self, resource: Resource, keys: Set[tuple[str, str]]) -> None:
        """A whole list has been put, `keys` its (namespace, name): what else there was of the collection is gone."""
        for namespace, name in [key for key in self._keys(resource) if key not in keys]:
            self.drop(resource, namespace, name)
        self._listed.add(resource)
        if self.synced:
            self.when_synced.set()
            self._mark_resolved()

    @property
    def synced(self) -> bool:
        """Whether every collection was listed, so that what is unknown does not exist."""
        return len(self._listed) == len(WATCHED)

    def _keys(self, resource: Resource) -> Iterator[tuple[str, str]]:
        if resource in (POLICIES, CLUSTER_POLICIES):
            return ((key.namespace, key.name) for key in self.policies if key.kind == resource.kind)
        if resource == NAMESPACES:
            return (("", name) for name in self._namespaces)
        if resource == NODES:
            return (("", name) for name, node in self._nodes.items() if node.labels is not None)
        return (("", name) for name, node in self._nodes.items() if node.config is not None)

    # What the writers take

    def take_nodes(self) -> dict[str, int]:
        """Nodes whose config may have to change, each with how many nodes the smallest change to it has touched."""
        touched, self._touched_nodes = self._touched_nodes, {}
        self.nodes_touched.clear()
        return touched

    def take_policies(self) -> set[PolicyKey]:
        """Policies whose status may have to change; some may be gone."""
        touched, self._touched_policies = self._touched_policies, set()
        self.policies_touched.clear()
        return touched

    def touch_all(self) -> None:
        """Everything is to be looked at anew, as by a new leader."""
        self._unresolved = {name for name, node in self._nodes.items() if node.labels is not None}
        self._mark_resolved()
        self._touch_nodes(self._nodes)
        self._touch_policies(self.policies)

    def has_node(self, name: str) -> bool:
        node = self._nodes.get(name)
        return node is not None and node.labels is not None

    def node_names(self) -> Set[str]:
        """Nodes that there are, and that are gone but have a config still."""
        return self._nodes.keys()

    def config(self, name: str) -> Config | None:
        """The node's stored config."""
        node = self._nodes.get(name)
        return node.config if node else None

    def candidates(self, name: str) -> list[Candidate]:
        """The valid policies that concern the node."""
        node = self._nodes[name]
        return [
            Candidate(policy, self._limit(policy.key, node))
            for policy in map(self.policies.__getitem__, self._concerning(name, node))
        ]

    def leave_out(self, name: str, keys: frozenset[PolicyKey]) -> None:
        """`keys`: policies that concern the node but do not fit into its config."""
        self._unresolved.discard(name)
        self._mark_resolved()
        node = self._nodes[name]
        changed = node.left_out ^ keys
        node.left_out = keys
        self._assess(name, changed)

    def policies_in(self, namespace: str) -> Iterator[Policy]:
        """The valid policies that are about pods of a namespace, on whatever node."""
        yield from (self.policies[key] for key in self._local.get(namespace, ()))
        for key, area in self._areas.items():
            if area.rules.namespaces.everything or namespace in area.namespaces:
                yield self.policies[key]

    def records_on(self, policy: Policy, node: str) -> bool:
        """Whether a valid policy is to be carried out on a node. Of a node that is not known yet it is supposed."""
        known = self._nodes.get(node)
        if known is None or known.labels is None or policy.rules is None:
            return True
        return policy.rules.nodes.matches(known.labels) and policy.key not in known.left_out

    def tally(self, key: PolicyKey) -> Tally:
        return self._reaches[key].tally(self._concerned(key)) if key in self._reaches else Tally()

    def partners(self, key: PolicyKey) -> list[Policy]:
        """Policies that may record the same sessions, sorted."""
        return [self.policies[other] for other in sorted(self._partner_keys(key))]

    # Policies

    def _put_policy(self, policy: Policy) -> None:
        key = policy.key
        before = self.policies.get(key)
        if before is not None and policy.same_content(before):
            self.policies[key] = policy
            if policy.status != before.status:
                self._touch_policies((key,))
            return
        nodes = set(self._concerned(key))
        self._forget(key)
        self.policies[key] = policy
        if policy.rules is not None:
            self._index(policy)
            self.strict.put(policy)
        nodes |= self._concerned(key)
        self._touch_nodes(nodes)
        self._touch_policies((key,))
        self._touch_policies(self._near(key))
        for node in nodes:
            self._assess(node, (key,))

    def _drop_policy(self, key: PolicyKey) -> None:
        if key not in self.policies:
            return
        nodes = set(self._concerned(key))
        self._touch_policies(self._near(key))
        self._forget(key)
        del self.policies[key]
        self._reaches.pop(key, None)
        self._touch_nodes(nodes)

    def _index(self, policy: Policy) -> None:
        assert policy.rules is not None
        if policy.key.resource.namespaced:
            self._local[policy.key.namespace].add(policy.key)
            return
        area = self._areas[policy.key] = Area(policy.rules)
        area.namespaces = {name for name, labels in self._namespaces.items() if area.selects(labels)}
        for name, node in self._nodes.items():
            area.place(name, node)

    def _forget(self, key: PolicyKey) -> None:
        self.strict.drop(key)
        self._areas.pop(key, None)
        local = self._local.get(key.namespace, set())
        local.discard(key)
        if not local:
            self._local.pop(key.namespace, None)

    def _partner_keys(self, key: PolicyKey) -> list[PolicyKey]:
        own = self.footprint(key)
        if own is None:
            return []
        others = ((other, self.footprint(other)) for other in self._near(key) if other != key)
        return [other for other, footprint in others if footprint and may_overlap(own, footprint)]

    def _near(self, key: PolicyKey) -> Collection[PolicyKey]:
        """What may record the same sessions, at first sight: one namespace can hold thousands, so that whether they do
        is looked at where nothing else waits for it."""
        return self._local.get(key.namespace, set()) | self._areas.keys() if key.namespace else self.policies

    def footprint(self, key: PolicyKey) -> Footprint | None:
        """Where a policy may record; None of what is not valid, or not there."""
        policy = self.policies.get(key)
        if policy is None or policy.rules is None:
            return None
        if key.namespace:
            return Footprint(policy.rules, {key.namespace})
        return Footprint(policy.rules, None if policy.rules.namespaces.everything else self._areas[key].namespaces)

    # Namespaces

    def _put_namespace(self, name: str, labels: dict[str, str]) -> None:
        if self._namespaces.get(name) != labels:
            self._namespaces[name] = labels
            self._match_namespace(name)

    def _match_namespace(self, name: str) -> None:
        """After its labels changed, or it came or went."""
        self.strict.touch()
        labels = self._namespaces.get(name)
        here = self._present.get(name, set())
        for key, area in self._areas.items():
            selected = area.selects(labels)
            if selected == (name in area.namespaces):
                continue
            partners = self._partner_keys(key)
            (area.namespaces.add if selected else area.namespaces.discard)(name)
            self._touch_policies((key, *partners, *self._partner_keys(key)))
            nodes = {node for node in here if area.place(node, self._nodes[node])}
            self._touch_nodes(nodes)
            for node in nodes:
                self._assess(node, (key,))

    # Nodes and their configs

    def _put_node(self, name: str, labels: dict[str, str] | None) -> None:
        node = self._nodes.get(name)
        if (node.labels if node else None) == labels:
            return
        node = self._nodes.setdefault(name, Node())
        if node.labels is None:
            self._unresolved.add(name)
        node.labels = labels
        if labels is None:
            self._unresolved.discard(name)
            node.left_out = frozenset()
        self._mark_resolved()
        self._place(name, node)
        self._touch_nodes((name,))
        self._sweep(name, node)

    def _put_config(self, raw: Mapping[str, Any], metadata: Metadata) -> None:
        name = metadata.name
        node = self._nodes.setdefault(name, Node())
        before = node.config
        node.config = config = read_config(raw, metadata, before, self._reports.read(name, raw))
        if before is None or (before.uid, before.digest) != (config.uid, config.digest):
            self._touch_nodes((name,))
        if before is None or before.report.namespaces != config.report.namespaces:
            self._touch_nodes((name,))
            self._place(name, node)
        elif before != config:
            self._assess(name, before.held.keys() | config.held.keys())

    def _drop_config(self, name: str) -> None:
        node = self._nodes.get(name)
        if node is None or node.config is None:
            return
        node.config = None
        self._reports.forget(name)
        self._place(name, node)
        self._touch_nodes((name,))
        self._sweep(name, node)

    def _place(self, name: str, node: Node) -> None:
        """After a node came or went, or its labels, namespaces or config changed."""
        concerned = set(self._concerning(name, node))
        here = node.labels is not None and node.config is not None
        present = node.config.report.namespaces if here and node.config else ()
        for namespace in set(node.present) - set(present):
            self._present[namespace].discard(name)
            if not self._present[namespace]:
                del self._present[namespace]
        for namespace in set(present) - set(node.present):
            self._present[namespace].add(name)
        node.present = present
        for area in self._areas.values():
            area.place(name, node)
        concerned.update(self._concerning(name, node))
        self._touch_policies(concerned)
        self._assess(name, concerned)

    def _sweep(self, name: str, node: Node) -> None:
        if node.labels is None and node.config is None:
            del self._nodes[name]

    # Which policies concern which nodes

    def _concerned(self, key: PolicyKey) -> Set[str]:
        """The nodes that a policy concerns."""
        if area := self._areas.get(key):
            return area.nodes
        if key in self._local.get(key.namespace, ()):
            return self._present.get(key.namespace, frozenset())
        return frozenset()

    def _concerning(self, name: str, node: Node) -> Iterator[PolicyKey]:
        """The valid policies that concern a node."""
        for namespace in node.present:
            yield from self._local.get(namespace, ())
        yield from (key for key, area in self._areas.items() if name in area.nodes)

    def _limit(self, key: PolicyKey, node: Node) -> tuple[str, ...] | None:
        """The namespaces on a node that a policy's entry names; None: it names none."""
        area = self._areas.get(key)
        return area.limit(node) if area else None

    # How far policies have come

    def _assess(self, name: str, keys: Collection[PolicyKey]) -> None:
        """Notes how these policies stand on a node."""
        node = self._nodes[name]
        for key in keys:
            policy = self.policies.get(key)
            if policy is not None and self._reaches[key].note(name, self._state(policy, name, node)):
                self._touch_policies((key,))

    def state(self, key: PolicyKey, name: str) -> State:
        """How a policy stands on a node."""
        policy, node = self.policies.get(key), self._nodes.get(name)
        return State.ELSEWHERE if policy is None or node is None else self._state(policy, name, node)

    def _state(self, policy: Policy, name: str, node: Node) -> State:
        if policy.rules is None or name not in self._concerned(policy.key):
            return State.ELSEWHERE
        return node.find_state(policy, self._limit(policy.key, node))

    # What was touched

    def _touch_nodes(self, names: Collection[str]) -> None:
        for name in names:
            self._touched_nodes[name] = min(len(names), self._touched_nodes.get(name, len(names)))
        if names:
            self.nodes_touched.set()

    def _touch_policies(self, keys: Collection[PolicyKey]) -> None:
        self._touched_policies.update(keys)
        if self._touched_policies:
            self.policies_touched.set()

    def _mark_resolved(self) -> None:
        if self.synced and not self._unresolved:
            self.when_resolved.set()
        else:
            self.when_resolved.clear()
