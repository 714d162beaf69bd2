"""The world against a naive recount of what is stored, whatever the way in which it came to know of it."""

from __future__ import annotations

import json
import logging
from random import Random
from typing import Any

import pytest
from fixtures.recounts import expect_spec, find_differences, find_untruths
from fixtures.stored_clusters import StoredCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from podcorder_crds import MAX_CONFIG_BYTES
from podcorder_operator.conditions import is_stored, make_status
from podcorder_operator.metadata import read_conditions
from podcorder_operator.policies import Policy, PolicyKey
from podcorder_operator.reaches import Tally
from podcorder_operator.resolver import resolve
from podcorder_operator.resources import CLUSTER_POLICIES, CONFIGS, NAMESPACES, NODES, POLICIES, WATCHED, Resource
from podcorder_operator.world import World

NOW = "2026-01-01T00:00:00Z"
EVERYTHING: dict[str, Any] = {"events": {"commands": {}}}
EXEC = PolicyKey(POLICIES.kind, "shop", "exec")


class Replica:
    """A world that learns of a stored cluster through streams, and writes what the writers would."""

    def __init__(self, cluster: StoredCluster, random: Random) -> None:
        self._cluster = cluster
        self._random = random
        self.restart()

    def restart(self) -> None:
        self.world = World()
        self._delivered = dict.fromkeys(WATCHED, 0)
        for resource in self._random.sample(WATCHED, len(WATCHED)):
            self.relist(resource)
        self.world.touch_all()

    def relist(self, resource: Resource) -> None:
        """As after 410 Gone: what happened in between is never told."""
        objects = list(self._cluster.objects[resource].items())
        for _, found in self._random.sample(objects, len(objects)):
            self.world.put(resource, found)
        self.world.listed(resource, {name for name, _ in objects})
        self._delivered[resource] = len(self._cluster.events[resource])

    def repeat(self, resource: Resource) -> None:
        """A watch that is resumed from an older place."""
        self._delivered[resource] = self._random.randint(
            max(0, self._delivered[resource] - 5), self._delivered[resource]
        )

    def deliver(self, resource: Resource, count: int) -> None:
        start = self._delivered[resource]
        events = self._cluster.events[resource][start : start + count]
        for (namespace, name), found in events:
            if found is None:
                self.world.drop(resource, namespace, name)
            else:
                self.world.put(resource, found)
        self._delivered[resource] = start + len(events)

    def write(self) -> bool:
        """Takes what was touched and writes what differs; returns whether there was any."""
        nodes, policies = self.world.take_nodes(), self.world.take_policies()
        for node in nodes:
            self._write_config(node)
        for key in policies:
            self._write_status(key)
        return bool(nodes or policies)

    def settle(self) -> None:
        """Until nothing is left to tell or to write."""
        busy = True
        while busy:
            for resource in WATCHED:
                self.deliver(resource, len(self._cluster.events[resource]))
            busy = self.write()

    def judge(self, key: PolicyKey) -> tuple[Tally, list[Policy]]:
        return self.world.tally(key), self.world.partners(key)

    def _write_config(self, node: str) -> None:
        if not self.world.has_node(node):
            self._cluster.drop(CONFIGS, node)
            return
        config = self.world.config(node)
        current = {key: held.generation for key, held in config.held.items()} if config else {}
        resolution = resolve(node, self.world.candidates(node), current)
        self.world.leave_out(node, resolution.left_out)
        if config is None or config.digest != resolution.digest:
            self._cluster.put(CONFIGS, node, {"spec": resolution.spec})

    def _write_status(self, key: PolicyKey) -> None:
        policy = self.world.policies.get(key)
        if policy is None or (key.namespace, key.name) not in self._cluster.objects[key.resource]:
            return
        status = make_status(policy, *self.judge(key), NOW)
        if not is_stored(status, policy.status):
            self._cluster.put(key.resource, key.name, {"status": status}, key.namespace)


@settings(max_examples=100)
@given(st.integers(0, 2**32), st.integers(5, 40))
def test_any_order_of_events(seed: int, steps: int) -> None:
    """Late, repeated, lost in re-lists or over restarts: configs and statuses end as a recount of all says."""
    random = Random(seed)
    cluster = StoredCluster(random)
    replica = Replica(cluster, random)
    for _ in range(steps):
        for _ in range(random.randint(1, 4)):
            cluster.change()
        resource = random.choice(WATCHED)
        match random.choices(range(5), (8, 1, 1, 1, 6))[0]:
            case 0:
                replica.deliver(resource, random.randint(1, 20))
            case 1:
                replica.repeat(resource)
            case 2:
                replica.relist(resource)
            case 3:
                replica.restart()
            case _:
                replica.write()
    check_settled(cluster, replica)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_each_change(seed: int) -> None:
    """After any one change, all that was touched is all that has to be written."""
    random = Random(seed)
    cluster = StoredCluster(random)
    replica = Replica(cluster, random)
    for _ in range(60):
        cluster.change()
        check_settled(cluster, replica)


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_full_configs(seed: int) -> None:
    """Where not all fits, configs hold whole policies, as many as fit, and statuses say which are left out."""
    random = Random(seed)
    cluster = StoredCluster(random, large=0.9)
    replica = Replica(cluster, random)
    for _ in range(60):
        cluster.change()
    for _ in range(10):
        cluster.change()
        replica.settle()
        snapshot = cluster.snapshot()
        refused = set()
        for node in snapshot.nodes:
            spec = snapshot.configs[node]["spec"]
            wanted = expect_spec(snapshot, node)["policies"]
            left_out = [entry for entry in wanted if entry not in spec["policies"]]
            assert spec["policies"] == [entry for entry in wanted if entry not in left_out]
            assert measure(spec) <= MAX_CONFIG_BYTES
            for entry in left_out:
                assert measure(spec | {"policies": [*spec["policies"], entry]}) > MAX_CONFIG_BYTES
                refused.add((entry["kind"], entry.get("namespace", ""), entry["name"]))
        for key, policy in snapshot.policies.items():
            reason = read_conditions(policy["status"])["Accepted"]["reason"]
            assert reason == ("NodeConfigFull" if key in refused else "Accepted")
        assert list(find_untruths(snapshot, cluster.came_in, frozenset(refused))) == []


def measure(spec: dict[str, Any]) -> int:
    """Bytes of a spec as canonical JSON."""
    return len(json.dumps(spec, separators=(",", ":")))


def check_settled(cluster: StoredCluster, replica: Replica) -> None:
    replica.settle()
    snapshot = cluster.snapshot()
    assert list(find_differences(snapshot)) == []
    assert list(find_untruths(snapshot, cluster.came_in)) == []
    for key, policy in replica.world.policies.items():
        assert is_stored(make_status(policy, *replica.judge(key), NOW), policy.status), f"{key} was not touched"


def put(world: World, resource: Resource, name: str, namespace: str = "", generation: int = 1, **body: Any) -> None:
    metadata = {"name": name, "uid": f"uid of {name}", "generation": generation, "labels": body.pop("labels", {})}
    world.put(resource, {"metadata": metadata | ({"namespace": namespace} if namespace else {}), **body})


def report(world: World, node: str, *namespaces: str, generation: int = 1) -> None:
    put(world, CONFIGS, node, generation=generation, spec={}, status={"namespaces": list(namespaces)})


@pytest.fixture
def world() -> World:
    """Three nodes, two with namespace shop, one with web; everything was taken."""
    made = World()
    for name in ("node-1", "node-2", "node-3"):
        put(made, NODES, name, labels={"zone": name[-1]})
    for name in ("shop", "web"):
        put(made, NAMESPACES, name, labels={"team": name})
    report(made, "node-1", "shop")
    report(made, "node-2", "shop", "web")
    report(made, "node-3")
    made.take_nodes()
    made.take_policies()
    return made


def test_policy_touches_the_nodes_of_its_namespace(world: World) -> None:
    """A policy touches the nodes that have its namespace, each with the size of that wave, and its own status."""
    put(world, POLICIES, "exec", "shop", spec=EVERYTHING)
    assert world.take_nodes() == {"node-1": 2, "node-2": 2}
    assert world.take_policies() == {("SessionRecordingPolicy", "shop", "exec")}


def test_smallest_wave_counts(world: World) -> None:
    """A node touched by a large change and a small one is taken as touched by the small one."""
    put(world, CLUSTER_POLICIES, "all", spec=EVERYTHING)
    put(world, POLICIES, "exec", "web", spec=EVERYTHING)
    assert world.take_nodes() == {"node-1": 3, "node-2": 1, "node-3": 3}


def test_nothing_new_touches_nothing(world: World) -> None:
    """What changes nothing for configs touches no node: repeats, a policy's labels, other labels of a namespace."""
    selector = {"namespaceSelector": {"matchLabels": {"team": "shop"}}}
    put(world, CLUSTER_POLICIES, "team", spec=EVERYTHING | selector)
    world.take_nodes()
    put(world, CLUSTER_POLICIES, "team", spec=EVERYTHING | selector, labels={"looked-at": "yes"})
    put(world, NODES, "node-1", labels={"zone": "1"})
    put(world, NAMESPACES, "shop", labels={"team": "shop", "looked-at": "yes"})
    report(world, "node-1", "shop")
    assert world.take_nodes() == {}


def test_namespace_labels_touch_where_it_is(world: World) -> None:
    """A namespace that a selector begins to match, or no longer matches, touches the nodes that have it."""
    put(world, CLUSTER_POLICIES, "red", spec=EVERYTHING | {"namespaceSelector": {"matchLabels": {"team": "red"}}})
    assert world.take_nodes() == {}
    put(world, NAMESPACES, "web", labels={"team": "red"})
    assert world.take_nodes() == {"node-2": 1}
    world.drop(NAMESPACES, "", "web")
    assert world.take_nodes() == {"node-2": 1}


def test_config_changed_by_others_touches_its_node(world: World) -> None:
    """A config's spec that changes, and a config that goes, touch the node; what its agent applied does not."""
    put(world, CONFIGS, "node-3", generation=2, spec={"policies": []})
    assert world.take_nodes() == {"node-3": 1}
    put(world, CONFIGS, "node-3", generation=2, spec={"policies": []}, status={"appliedGeneration": 2})
    assert world.take_nodes() == {}
    world.drop(CONFIGS, "", "node-3")
    assert world.take_nodes() == {"node-3": 1}


def test_synced_after_all_lists() -> None:
    """The world is whole when each collection was listed once, empty or not."""
    world = World()
    for resource in WATCHED:
        assert not world.synced
        world.listed(resource, set())
    assert world.synced
    assert world.when_synced.is_set()


def test_resolved_when_all_nodes_are(world: World) -> None:
    """What configs leave out is known once each node was resolved, again for a new node and a new leader."""
    for resource in (POLICIES, CLUSTER_POLICIES):
        world.listed(resource, set())
    world.listed(NAMESPACES, {("", "shop"), ("", "web")})
    for resource in (NODES, CONFIGS):
        world.listed(resource, {("", f"node-{number}") for number in (1, 2, 3)})
    for number in (1, 2, 3):
        assert not world.when_resolved.is_set()
        world.leave_out(f"node-{number}", frozenset())
    assert world.when_resolved.is_set()
    put(world, NODES, "node-4")
    assert not world.when_resolved.is_set()
    world.drop(NODES, "", "node-4")
    assert world.when_resolved.is_set()
    world.touch_all()
    assert not world.when_resolved.is_set()


POISON: tuple[Any, ...] = (
    None,
    7,
    True,
    "text",
    [],
    [[]],
    {},
    {"": None},
    [{"name": []}],
    [{"type": 3}],
    float("nan"),
    "\ud800",
)
PLACES = (
    ("metadata",),
    ("metadata", "name"),
    ("metadata", "uid"),
    ("metadata", "generation"),
    ("metadata", "labels"),
    ("metadata", "creationTimestamp"),
    ("spec",),
    ("spec", "events"),
    ("spec", "events", "files"),
    ("spec", "podSelector"),
    ("spec", "namespaceSelector"),
    ("spec", "nodeSelector"),
    ("spec", "sessions"),
    ("spec", "policies"),
    ("status",),
    ("status", "conditions"),
    ("status", "appliedGeneration"),
    ("status", "namespaces"),
    ("status", "capabilities"),
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("poison", POISON, ids=repr)
def test_nothing_stored_stops_it(place: tuple[str, ...], poison: Any) -> None:
    """Whatever an object holds wherever, it is taken, and everything else goes on as it should."""
    world = World()
    put(world, NODES, "node-1")
    put(world, CONFIGS, "node-1", spec={"nodeName": "node-1", "policies": []}, status={"namespaces": ["shop"]})
    put(world, POLICIES, "good", "shop", spec=EVERYTHING)
    for resource in WATCHED:
        for _ in range(2):
            raw: dict[str, Any] = {
                "metadata": {"name": "bad", "namespace": "shop", "uid": "1", "generation": 1},
                "spec": {"events": {"commands": {}}},
            }
            inner = raw
            for part in place[:-1]:
                inner = inner.setdefault(part, {})
            inner[place[-1]] = poison
            world.put(resource, raw)
    for key in world.take_policies():
        if policy := world.policies.get(key):
            assert policy.rules or policy.problem
            make_status(policy, world.tally(key), world.partners(key), NOW)
    resolution = resolve("node-1", world.candidates("node-1"), {})
    assert "good" in [entry["name"] for entry in resolution.spec["policies"]]


def test_refused_policy_is_in_no_config(world: World) -> None:
    """A stored policy that the contract refuses is kept with a sentence that says why, and is no candidate anywhere."""
    put(world, POLICIES, "exec", "shop", spec=EVERYTHING)
    put(world, POLICIES, "exec", "shop", generation=2, spec={"events": {"files": {"paths": {"include": ["etc"]}}}})
    assert world.candidates("node-1") == []
    (policy,) = world.policies.values()
    assert policy.rules is None
    assert "begin the prefix with /" in policy.problem
    assert set(world.take_nodes()) == {"node-1", "node-2"}


def test_garbled_report_counts_as_none(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A status that is no report counts as none, and is told of once."""
    put(world, POLICIES, "exec", "web", spec=EVERYTHING)
    with caplog.at_level(logging.WARNING):
        for applied in (-1, "two", -1):
            put(world, CONFIGS, "node-2", spec={}, status={"namespaces": ["web"], "appliedGeneration": applied})
    assert len(caplog.records) == 1
    assert "node-2" in caplog.text
    assert world.candidates("node-2") == []
    report(world, "node-2", "web")
    assert [candidate.policy.key.name for candidate in world.candidates("node-2")] == ["exec"]


def test_status_follows_what_a_policy_no_longer_concerns(world: World) -> None:
    """A node that a policy no longer concerns touches its status, even if all was well there."""
    put(world, POLICIES, "exec", "shop", spec={"events": {"commands": {"outcomes": ["Succeeded"]}}})
    key = PolicyKey(POLICIES.kind, "shop", "exec")
    for node in ("node-1", "node-2"):
        apply(world, node, "shop")
    assert world.tally(key)[:4] == (2, 2, 0, 0)
    world.take_policies()
    put(world, CONFIGS, "node-1", generation=2, status={"namespaces": ["web"], "appliedGeneration": 2})
    assert world.take_policies() == {key}
    assert world.tally(key)[:4] == (1, 1, 0, 0)
    world.drop(NODES, "", "node-2")
    assert world.take_policies() == {key}
    assert world.tally(key)[:4] == (0, 0, 0, 0)


def apply(world: World, node: str, *namespaces: str) -> None:
    """The config of generation 2 is as resolved, and in force in full."""
    capabilities = [{"name": name, "state": "Full"} for name in ("Containers", "Processes")]
    status = {"namespaces": list(namespaces), "appliedGeneration": 2, "capabilities": capabilities}
    put(world, CONFIGS, node, generation=2, spec=resolve(node, world.candidates(node), {}).spec, status=status)


@pytest.fixture
def applied(world: World) -> World:
    """The policy `exec` is in force on node-1, alone there."""
    put(world, POLICIES, "exec", "shop", spec=EVERYTHING)
    report(world, "node-2")
    put(world, CONFIGS, "node-1", generation=2, **hold(EVERYTHING, 2))
    assert world.tally(EXEC) == Tally(matched=1, applied=1, degraded=1, first_degraded="node-1")
    return world


@pytest.mark.parametrize(("state", "degraded"), [(None, 0), ("Full", 0), ("Degraded", 0), ("Unavailable", 1)])
def test_what_is_tried_only_where_it_is_needed_is_not_missed(world: World, state: str | None, degraded: int) -> None:
    """A policy that ends sessions is degraded where a node says that it cannot, not where nothing has asked it to."""
    spec = {"events": {"commands": {"outcomes": ["Succeeded"]}}, "mode": "Strict", "onRecorderFailure": "End"}
    put(world, POLICIES, "exec", "shop", spec=spec)
    capabilities = [{"name": name, "state": "Full"} for name in ("Containers", "Processes")]
    capabilities += [{"name": "Endings", "state": state}] if state else []
    status = {"namespaces": ["shop"], "appliedGeneration": 2, "capabilities": capabilities}
    put(world, CONFIGS, "node-1", generation=2, **hold(spec, 2) | {"status": status})
    assert (world.tally(EXEC).applied, world.tally(EXEC).degraded) == (1, degraded)


def hold(spec: dict[str, Any], applied: int) -> dict[str, Any]:
    """The body of a config that holds `exec` with this spec."""
    entry = {"generation": 1, "kind": EXEC.kind, "name": EXEC.name, "namespace": EXEC.namespace, "spec": spec}
    return {"spec": {"policies": [entry]}, "status": {"appliedGeneration": applied, "namespaces": ["shop"]}}


def test_policy_made_anew_is_not_applied_yet(applied: World) -> None:
    """A policy that was deleted and made anew, with the same generation, is applied when its new spec is."""
    other = {"events": {"files": {}}}
    applied.drop(POLICIES, "shop", "exec")
    put(applied, POLICIES, "exec", "shop", spec=other)
    assert applied.tally(EXEC).behind == 1
    put(applied, CONFIGS, "node-1", generation=3, **hold(other, 2))
    assert applied.tally(EXEC).behind == 1
    put(applied, CONFIGS, "node-1", generation=3, **hold(other, 3))
    assert applied.tally(EXEC).behind == 0


def test_generation_not_reached_is_not_applied(applied: World) -> None:
    """An agent that reports more than the config's generation speaks of an earlier config of this name, or lies."""
    put(applied, CONFIGS, "node-1", generation=2, **hold(EVERYTHING, 3))
    assert applied.tally(EXEC).behind == 1
