"""Which policies record which sessions of a container."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from fixtures.policy_samples import make_labels, make_selector

from podcorder_agent.cluster.matching import match, selects_labels
from podcorder_agent.cluster.pods import ContainerFacts, ContainerType, PodFacts
from podcorder_crds import ConfiguredPolicy, ContainerFilter, LabelSelector, SessionKind

POLICY, CLUSTER_POLICY = "SessionRecordingPolicy", "ClusterSessionRecordingPolicy"


def make_policy(name: str = "exec", namespace: str | None = "shop", **more: Any) -> ConfiguredPolicy:
    spec = {"events": {"commands": {}}, "sessions": ["Exec"]} | more.pop("spec", {})
    entry = {"kind": POLICY if namespace else CLUSTER_POLICY, "name": name, "generation": 1, "spec": spec} | more
    return ConfiguredPolicy.model_validate(entry | ({"namespace": namespace} if namespace else {}))


def make_pod(namespace: str = "shop", **labels: str) -> PodFacts:
    return PodFacts(namespace, "web", "uid", "uid", tuple(labels.items()))


MAIN = ContainerFacts("main", ContainerType.MAIN)
DEBUG = ContainerFacts("look", ContainerType.EPHEMERAL)
EXEC = ((SessionKind.EXEC, ((POLICY, "shop", "exec"),)),)


def test_a_policy_concerns_its_own_namespace() -> None:
    """A namespaced policy records pods of its namespace alone."""
    assert match(make_pod(), MAIN, [make_policy()]) == EXEC
    assert match(make_pod("web"), MAIN, [make_policy()]) == ()


@pytest.mark.parametrize(
    ("namespaces", "matched"), [({}, True), ({"namespaces": ["shop"]}, True), ({"namespaces": []}, False)]
)
def test_a_cluster_policy_concerns_the_namespaces_it_names(namespaces: dict[str, Any], matched: bool) -> None:
    """Without a list a cluster policy records all namespaces, with one those that are in it."""
    assert bool(match(make_pod(), MAIN, [make_policy(namespace=None, **namespaces)])) is matched


def test_session_kinds_are_kept_apart() -> None:
    """Each kind has the policies that name it; kinds without a process tree in the container have none."""
    everything = make_policy("all", spec={"sessions": ["Container", "Exec", "Probe", "Attach", "PortForward", "Debug"]})
    found = dict(match(make_pod(), MAIN, [make_policy(), everything]))
    everyone = ((POLICY, "shop", "all"), (POLICY, "shop", "exec"))
    assert found == {
        SessionKind.CONTAINER: everyone[:1],
        SessionKind.EXEC: everyone,
        SessionKind.PROBE: everyone[:1],
    }


def test_a_pod_that_looks_into_its_node_is_a_debug_session() -> None:
    """It is recorded for Debug; for Container as well, for whoever makes a pod can give it that look."""
    pod = replace(make_pod(), looks_into_node=True)
    policies = [make_policy(kind, spec={"sessions": [kind.capitalize()]}) for kind in ("container", "debug", "probe")]
    both = ((POLICY, "shop", "container"), (POLICY, "shop", "debug"))
    assert match(pod, MAIN, policies) == ((SessionKind.DEBUG, both),)
    assert match(pod, DEBUG, policies) == ((SessionKind.DEBUG, both[1:]),)


def test_an_ephemeral_container_is_a_debug_session() -> None:
    """What an ephemeral container runs itself is recorded for Debug, not for Container."""
    container, debug = (make_policy(each, spec={"sessions": [each.title()]}) for each in ("container", "debug"))
    assert match(make_pod(), DEBUG, [container]) == ()
    assert match(make_pod(), DEBUG, [debug]) == ((SessionKind.DEBUG, ((POLICY, "shop", "debug"),)),)
    assert match(make_pod(), MAIN, [debug]) == ()


def test_the_order_of_policies_is_nothing() -> None:
    """The same policies in another order are the same combination."""
    policies = [make_policy("b"), make_policy("a"), make_policy("c", None)]
    assert match(make_pod(), MAIN, policies) == match(make_pod(), MAIN, policies[::-1])


@pytest.mark.parametrize(
    ("wanted", "name", "selected"),
    [
        ({}, "main", True),
        ({"include": ["web-*"]}, "web-1", True),
        ({"include": ["web-*"]}, "main", False),
        ({"exclude": ["istio-?"]}, "istio-1", False),
        ({"include": ["*"], "exclude": ["main"]}, "main", False),
    ],
)
def test_containers_are_selected_by_name(wanted: dict[str, Any], name: str, selected: bool) -> None:
    """Wildcards include, and what is excluded stays out."""
    assert ContainerFilter.model_validate(wanted).selects(name) is selected


def holds(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Kubernetes' documentation of label selectors, word for word."""
    for key, value in selector.get("matchLabels", {}).items():
        if key not in labels or labels[key] != value:
            return False
    for each in selector.get("matchExpressions", []):
        present, values = each["key"] in labels, each.get("values", [])
        if each["operator"] == "In" and not (present and labels[each["key"]] in values):
            return False
        if each["operator"] == "NotIn" and present and labels[each["key"]] in values:
            return False
        if each["operator"] == "Exists" and not present:
            return False
        if each["operator"] == "DoesNotExist" and present:
            return False
    return True


def test_labels_are_selected_as_kubernetes_does() -> None:
    """Random selectors select just the random labels that the documentation says, both ways often."""
    random = Random(5)
    outcomes = []
    for _ in range(2000):
        selector, labels = make_selector(random), make_labels(random)
        outcomes.append(selects_labels(LabelSelector.model_validate(selector), labels))
        assert outcomes[-1] is holds(selector, labels), (selector, labels)
    assert 200 < sum(outcomes) < 1800
