"""The operator on a real API server, under its own role: configs and statuses become what a naive recount says."""

from __future__ import annotations

import time
from random import Random
from secrets import randbits

import pytest
from cluster.sandboxes import wait_until
from fixtures.agents import make_status
from fixtures.api_clients import ApiClient, Object, make_node
from fixtures.config_histories import ConfigHistory
from fixtures.installations import Installation, Operator
from fixtures.policy_samples import make_large_spec
from fixtures.recounts import wait_converged, wait_truthful
from fixtures.worlds import World

from podcorder_operator.resources import CLUSTER_POLICIES, CONFIGS, NAMESPACES, NODES, POLICIES

SEEDS = (1, 2, 3, randbits(32))
EVERYTHING: Object = {"events": {"commands": {}}}


def put_policy(client: ApiClient, name: str, spec: Object, namespace: str = "") -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return client.apply(POLICIES if namespace else CLUSTER_POLICIES, {"metadata": metadata, "spec": spec})


def put_namespace(client: ApiClient, name: str, **labels: str) -> None:
    client.apply(NAMESPACES, {"metadata": {"name": name, "labels": labels}})


def put_node(client: ApiClient, name: str, **labels: str) -> None:
    client.apply(NODES, make_node(name, labels))


def report(client: ApiClient, node: str, *namespaces: str, applied: int = 0, degraded: str = "") -> None:
    """As the node's agent does."""
    status = make_status(applied, namespaces, degraded.split())
    client.apply(CONFIGS, {"metadata": {"name": node}, "status": status}, manager="agent", subresource="status")


def read_config(client: ApiClient, node: str) -> Object:
    config = client.get(CONFIGS, node)
    assert config is not None, f"{node} has no config"
    return config


def read_condition(client: ApiClient, kind: str, name: str, namespace: str = "") -> Object:
    """A condition of a policy, empty where it has none of this type."""
    policy = client.get(POLICIES if namespace else CLUSTER_POLICIES, name, namespace)
    assert policy is not None
    return next((each for each in policy.get("status", {}).get("conditions", []) if each["type"] == kind), {})


def versions(client: ApiClient) -> dict[str, str]:
    """resourceVersion of every config."""
    return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in client.list(CONFIGS)}


def test_a_node_gets_a_config_and_takes_it_along(client: ApiClient, operator: Operator) -> None:
    """A node has a config as soon as it is there, even with no policy, and none any more when it has left."""
    put_node(client, "node-1")
    wait_converged(client)
    assert read_config(client, "node-1")["spec"] == {"nodeName": "node-1", "policies": []}
    client.delete(NODES, "node-1")
    wait_converged(client)
    assert client.list(CONFIGS) == []


def test_policies_come_change_and_go(client: ApiClient, operator: Operator) -> None:
    """A policy is in the configs of the nodes that have its namespace, as it is now, until it is deleted."""
    put_namespace(client, "shop")
    for node in ("node-1", "node-2"):
        put_node(client, node)
    wait_converged(client)
    report(client, "node-1", "shop")
    put_policy(client, "exec", EVERYTHING, "shop")
    put_policy(client, "all", EVERYTHING)
    wait_converged(client)
    assert [each["name"] for each in read_config(client, "node-1")["spec"]["policies"]] == ["all", "exec"]
    put_policy(client, "exec", {"events": {"files": {}}}, "shop")
    wait_converged(client)
    assert read_config(client, "node-1")["spec"]["policies"][1]["generation"] == 2
    client.delete(POLICIES, "exec", "shop")
    client.delete(CLUSTER_POLICIES, "all")
    wait_converged(client)
    assert all(config["spec"]["policies"] == [] for config in client.list(CONFIGS))


def test_labels_decide_where_cluster_policies_go(client: ApiClient, operator: Operator) -> None:
    """Relabelling namespaces and nodes moves the policies that select by labels."""
    put_namespace(client, "shop", team="red")
    put_namespace(client, "till", team="blue")
    put_node(client, "node-1", zone="a")
    wait_converged(client)
    report(client, "node-1", "shop", "till")
    put_policy(client, "red", {**EVERYTHING, "namespaceSelector": {"matchLabels": {"team": "red"}}})
    put_policy(client, "b", {**EVERYTHING, "nodeSelector": {"matchLabels": {"zone": "b"}}})
    wait_converged(client)
    assert [(each["name"], each.get("namespaces")) for each in read_config(client, "node-1")["spec"]["policies"]] == [
        ("red", ["shop"])
    ]
    put_namespace(client, "till", team="red")
    put_node(client, "node-1", zone="b")
    wait_converged(client)
    assert [(each["name"], each.get("namespaces")) for each in read_config(client, "node-1")["spec"]["policies"]] == [
        ("b", None),
        ("red", ["shop", "till"]),
    ]
    put_namespace(client, "shop", team="blue")
    put_namespace(client, "till", team="blue")
    wait_converged(client)
    assert [each["name"] for each in read_config(client, "node-1")["spec"]["policies"]] == ["b"]


def test_only_what_changed_is_written(client: ApiClient, operator: Operator, history: ConfigHistory) -> None:
    """A change writes the configs that it concerns and no others; what changes nothing for any node writes none."""
    for number in range(4):
        put_namespace(client, f"shop-{number}")
        put_node(client, f"node-{number}")
    put_policy(client, "all", EVERYTHING)
    wait_converged(client)
    for number in range(4):
        report(client, f"node-{number}", f"shop-{number}")
    wait_truthful(client, history)
    before = versions(client)
    put_policy(client, "exec", EVERYTHING, "shop-2")
    wait_converged(client)
    wait_truthful(client, history)
    changed = {name for name, version in versions(client).items() if version != before[name]}
    assert changed == {"node-2"}

    before = versions(client)
    stored = client.list(POLICIES) + client.list(CLUSTER_POLICIES)
    client.merge(POLICIES, "exec", {"metadata": {"labels": {"looked-at": "yes"}}}, "shop-2")
    put_namespace(client, "shop-1", looked_at="yes")
    put_node(client, "node-1", looked_at="yes")
    time.sleep(3)  # nothing shall happen: there is no event to wait for
    assert versions(client) == before
    statuses = [each.get("status") for each in client.list(POLICIES) + client.list(CLUSTER_POLICIES)]
    assert statuses == [each.get("status") for each in stored]


def test_a_config_that_somebody_edits_comes_back(client: ApiClient, operator: Operator) -> None:
    """A config edited or deleted by hand is written anew."""
    put_node(client, "node-1")
    put_policy(client, "all", EVERYTHING)
    wait_converged(client)
    foreign = {"kind": "ClusterSessionRecordingPolicy", "name": "foreign", "generation": 1, "spec": EVERYTHING}
    for spec in ({"policies": []}, {"policies": [foreign]}):
        client.merge(CONFIGS, "node-1", {"spec": spec})
        wait_converged(client)
    client.delete(CONFIGS, "node-1")
    wait_converged(client)
    assert [each["name"] for each in read_config(client, "node-1")["spec"]["policies"]] == ["all"]


def test_statuses_tell_how_far_nodes_are(client: ApiClient, operator: Operator, history: ConfigHistory) -> None:
    """Ready says how far the nodes are with this very policy, whatever newer one they are behind with."""
    put_namespace(client, "shop")
    put_policy(client, "old", EVERYTHING, "shop")
    wait_truthful(client, history)
    assert read_condition(client, "Ready", "old", "shop")["reason"] == "NoNodesMatched"

    put_node(client, "node-1")
    wait_converged(client)
    report(client, "node-1", "shop")
    wait_converged(client)
    wait_truthful(client, history)
    assert read_condition(client, "Ready", "old", "shop")["reason"] == "NodesBehind"

    applied = read_config(client, "node-1")["metadata"]["generation"]
    report(client, "node-1", "shop", applied=applied)
    wait_truthful(client, history)
    assert read_condition(client, "Ready", "old", "shop")["reason"] == "AppliedOnAllNodes"

    put_policy(client, "new", {"events": {"files": {}}}, "shop")
    wait_converged(client)
    wait_truthful(client, history)
    assert read_condition(client, "Ready", "new", "shop")["reason"] == "NodesBehind"
    assert read_condition(client, "Ready", "old", "shop")["reason"] == "AppliedOnAllNodes"

    report(client, "node-1", "shop", applied=applied + 1, degraded="Files")
    wait_truthful(client, history)
    assert read_condition(client, "Ready", "new", "shop")["reason"] == "NodesDegraded"
    assert read_condition(client, "Ready", "old", "shop")["reason"] == "AppliedOnAllNodes"


def test_what_is_full_refuses_a_policy_until_there_is_space(
    client: ApiClient, operator: Operator, history: ConfigHistory
) -> None:
    """What would take a config over 256 KiB is refused in its status, the others stay, and it comes in later."""
    put_namespace(client, "shop")
    put_node(client, "node-1")
    put_node(client, "node-2")
    wait_converged(client)
    report(client, "node-1", "shop")
    for number in range(8):
        put_policy(client, f"large-{number}", make_large_spec(31_000), "shop")
    wait_converged(client)
    before = versions(client)

    late = ("SessionRecordingPolicy", "shop", "late")
    put_policy(client, "late", make_large_spec(31_000), "shop")
    wait_truthful(client, history, refused=frozenset({late}))
    wait_converged(client, refused=frozenset({late}))
    # Its first status may be older than the attempt to place it; the next comes 5 s later.
    wait_until(lambda: read_condition(client, "Accepted", "late", "shop").get("status") == "False", 15, "the refusal")
    accepted = read_condition(client, "Accepted", "late", "shop")
    assert accepted["reason"] == "NodeConfigFull"
    assert "node-1" in accepted["message"]
    assert read_condition(client, "Ready", "late", "shop")["reason"] == "NotAccepted"
    assert versions(client) == before

    put_policy(client, "small", EVERYTHING, "shop")
    wait_converged(client, refused=frozenset({late}))
    client.delete(POLICIES, "large-3", "shop")
    wait_converged(client)
    wait_truthful(client, history)
    assert read_condition(client, "Accepted", "late", "shop")["reason"] == "Accepted"


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_random_worlds_converge(installation: Installation, client: ApiClient, seed: int) -> None:
    """Whatever happens in whatever order, operators ended and killed in between: all becomes what a recount says."""
    print(f"seed {seed}")
    random = Random(seed)
    world = World(client, random)
    operator = installation.start_operator()
    with ConfigHistory(installation.new_client()) as history:
        world.populate()
        for number in range(8):
            ending = random.choice((None, None, operator.terminate, operator.kill))
            for _ in range(random.randint(1, 12)):
                world.step()
            if ending is not None:
                ending()
                world.steps.append(f"{operator.name}: {ending.__name__}")
                for _ in range(random.randint(0, 6)):
                    world.step()
                operator.start()
            print(*world.steps, sep="\n")
            world.steps.clear()
            wait_converged(client, 25)
            if number % 4 == 3:
                snapshot = wait_truthful(client, history)
                assert not any(policy["metadata"].get("finalizers") for policy in snapshot.policies.values())
    assert operator.problems() == []
