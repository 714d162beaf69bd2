"""Policies that are stored though the schema takes none such: from before a change of it, or past it in another way."""

from __future__ import annotations

import copy
from functools import partial

import pytest
from cluster.sandboxes import wait_until
from fixtures.agents import make_status
from fixtures.api_clients import ApiClient, Object, Refused, make_node
from fixtures.config_histories import ConfigHistory
from fixtures.installations import Installation
from fixtures.recounts import Key, read_snapshot, wait_converged, wait_truthful

from podcorder_operator.resources import CLUSTER_POLICIES, CONFIGS, EVENTS, NAMESPACES, NODES, POLICIES, Resource

DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
ANYTHING: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
HEALTHY: Object = {"events": {"commands": {}}}
NAMESPACE = "shop"
HEALTHY_NAMES = ("a-healthy", "z-healthy")

TOLD = ("spec-is-text", "spec-is-a-list", "events-are-text", "null-section", "bad-pattern", "selector-of-lists")
"""Poisons on which rules of the schema cannot even be evaluated: the API server refuses every write to them, that of
their status as well, so that an Event must tell."""
# What a schema does not know is pruned when it is read, and so is no poison.
POISONS: dict[str, Object] = {
    "no-spec": {},
    "empty-spec": {"spec": {}},
    "spec-is-text": {"spec": "record everything"},
    "spec-is-a-list": {"spec": [1, {"events": []}]},
    "events-are-text": {"spec": {"events": "all"}},
    "null-section": {"spec": {"events": {"files": {"paths": 5}}}},
    "unknown-session": {"spec": {**HEALTHY, "sessions": ["Telepathy"]}},
    "bad-pattern": {"spec": {**HEALTHY, "redaction": {"rules": [{"name": "open", "pattern": "(["}]}}},
    "bad-selector": {"spec": {**HEALTHY, "podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}},
    "huge-number": {"spec": {**HEALTHY, "rateLimits": {"recordsPerSecond": 10**18}}},
    "deep": {"spec": {"events": {"commands": {"outcomes": [[[[[[[[[["Failed"]]]]]]]]]]}}}},
    "many-prefixes": {"spec": {"events": {"files": {"paths": {"include": [f"/{each}" for each in range(5000)]}}}}},
}
CLUSTER_POISONS: dict[str, Object] = {
    "selectors-are-text": {"spec": {**HEALTHY, "namespaceSelector": "all", "nodeSelector": 7}},
    "selector-of-lists": {"spec": {**HEALTHY, "namespaceSelector": {"matchLabels": {"team": ["red"]}}}},
}


@pytest.fixture
def poisoned(installation: Installation) -> frozenset[Key]:
    """Every poison stored while the schemas took anything, healthy policies among them, the schemas strict again."""
    client = installation.client
    client.apply(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    strict = {resource: read_definition(client, resource) for resource in (POLICIES, CLUSTER_POLICIES)}
    for resource, definition in strict.items():
        loose = copy.deepcopy(definition)
        loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = ANYTHING
        put_definition(client, loose)
        wait_until(partial(takes, client, resource, {}), 20, f"{resource.kind} takes anything")
    try:
        for resource, poisons in ((POLICIES, POISONS), (CLUSTER_POLICIES, POISONS | CLUSTER_POISONS)):
            for name, body in {**{name: {"spec": HEALTHY} for name in HEALTHY_NAMES}, **poisons}.items():
                client.create(resource, make_policy(resource, name, body))
    finally:
        for resource, definition in strict.items():
            put_definition(client, definition)
            wait_until(lambda resource=resource: not takes(client, resource, {}), 20, f"{resource.kind} is strict")
    return frozenset(
        (resource.kind, NAMESPACE if resource.namespaced else "", name)
        for resource, poisons in ((POLICIES, POISONS), (CLUSTER_POLICIES, POISONS | CLUSTER_POISONS))
        for name in poisons
    )


def test_a_poisoned_policy_is_told_of_in_its_own_status_and_stops_nobody(
    installation: Installation, client: ApiClient, poisoned: frozenset[Key], history: ConfigHistory
) -> None:
    """Each has Accepted=False with a sentence, or an Event if no status can be written; the others are in force."""
    client.apply(NODES, make_node("node-1", {}))
    operator = installation.start_operator()
    operator.wait_ready()
    wait_converged(client, refused=poisoned)
    status = make_status(0, [NAMESPACE])
    client.apply(CONFIGS, {"metadata": {"name": "node-1"}, "status": status}, manager="agent", subresource="status")
    snapshot = wait_converged(client, refused=poisoned)
    names = [(each["kind"], each["name"]) for each in snapshot.configs["node-1"]["spec"]["policies"]]
    assert names == [(resource.kind, name) for resource in (CLUSTER_POLICIES, POLICIES) for name in HEALTHY_NAMES]

    def find_silent() -> list[Key]:
        policies = read_snapshot(client).policies
        told = {read_subject(event) for event in client.list(EVENTS) if event["reason"] == "Invalid"}
        return [
            key
            for key in poisoned
            if read_accepted(policies[key]) != "Invalid" and not (key[2] in TOLD and key in told)
        ]

    wait_until(lambda: not find_silent(), 30, "a word on every poisoned policy")
    wait_truthful(client, history, refused=poisoned)
    assert operator.problems() == []


def read_accepted(policy: Object) -> str:
    """The reason of the condition Accepted where it is False and names the field, empty elsewhere."""
    for each in policy.get("status", {}).get("conditions", []):
        if each["type"] == "Accepted" and each["status"] == "False" and "spec" in each["message"]:
            return str(each["reason"])
    return ""


def read_subject(event: Object) -> Key:
    subject = event["involvedObject"]
    return subject["kind"], subject.get("namespace", ""), subject["name"]


def read_definition(client: ApiClient, resource: Resource) -> Object:
    found = client.get(DEFINITIONS, f"{resource.plural}.{resource.group}")
    assert found is not None
    return found


def put_definition(client: ApiClient, definition: Object) -> None:
    """Replaces what there is, whatever version it has."""
    name = definition["metadata"]["name"]
    current = client.get(DEFINITIONS, name)
    assert current is not None
    metadata = {"name": name, "resourceVersion": current["metadata"]["resourceVersion"]}
    client.call("PUT", DEFINITIONS.path(name), {**definition, "metadata": metadata})


def takes(client: ApiClient, resource: Resource, body: Object) -> bool:
    """Whether the API server would store such an object."""
    namespace = NAMESPACE if resource.namespaced else ""
    try:
        client.call("POST", resource.path(namespace=namespace), make_policy(resource, "tried", body), dryRun="All")
    except Refused:
        return False
    return True


def make_policy(resource: Resource, name: str, body: Object) -> Object:
    metadata = {"name": name} | ({"namespace": NAMESPACE} if resource.namespaced else {})
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **body}
