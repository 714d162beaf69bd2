"""A session is recorded where the node's agent would record it, and told with what each policy lets through."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.session_reviews import NAMESPACE, NODE, make_pod, make_world

from podcorder_crds import Mode, SessionKind
from podcorder_operator.resources import CLUSTER_POLICIES, NAMESPACES, NODES
from podcorder_operator.sessions.pods import Pod, read_pod
from podcorder_operator.sessions.requests import SessionRequest
from podcorder_operator.sessions.selection import LONGEST_REDACTED, find_candidates, mode_of, redact, select
from podcorder_operator.world import World

EXEC = SessionRequest(SessionKind.EXEC, "main", ("ls",))


def find(world: World, request: SessionRequest = EXEC, pod: Pod | None = None) -> list[str]:
    """The names of the policies that record it."""
    pod = pod or read_pod(make_pod())
    assert pod is not None
    candidates = find_candidates(world, NAMESPACE, request.kind)
    return [policy.key.name for policy in select(world, candidates, pod, request)]


@pytest.mark.parametrize(
    ("spec", "selected"),
    [
        ({}, True),
        ({"podSelector": {}}, True),
        ({"podSelector": {"matchLabels": {"app": "web"}}}, False),
        ({"containers": {"include": ["ma*"]}}, True),
        ({"containers": {"exclude": ["main"]}}, False),
        ({"sessions": ["Attach"]}, False),
        ({"sessions": ["Container", "Exec"]}, True),
    ],
)
def test_policies(spec: dict[str, Any], selected: bool) -> None:
    """Pod labels, containers and session kinds decide."""
    assert bool(find(make_world(spec))) is selected


def test_a_port_forward_is_the_whole_pods() -> None:
    """It is recorded where any of the pod's containers would be."""
    pod = read_pod(make_pod(containers=[{"name": "main"}, {"name": "proxy"}]))
    request = SessionRequest(SessionKind.PORT_FORWARD)
    assert find(make_world({"containers": {"exclude": ["proxy"]}}), request, pod)
    assert not find(make_world({"containers": {"include": ["other"]}}), request, pod)


def test_other_namespaces() -> None:
    """Nobody's policy is about another namespace."""
    assert find(make_world({}, namespace="web")) == []


def test_cluster_policies() -> None:
    """Those whose namespaceSelector and nodeSelector match; of an unknown node it is supposed."""
    world = make_world()
    spec = {
        "namespaceSelector": {"matchLabels": {"team": "a"}},
        "nodeSelector": {"matchLabels": {"pool": "big"}},
        "events": {"commands": {}},
    }
    world.put(CLUSTER_POLICIES, {"metadata": {"name": "all", "uid": "1", "generation": 1}, "spec": spec})
    assert find(world) == []
    world.put(NAMESPACES, {"metadata": {"name": NAMESPACE, "labels": {"team": "a"}}})
    assert find(world) == ["all"]
    world.put(NODES, {"metadata": {"name": NODE, "labels": {"pool": "small"}}})
    assert find(world) == []
    world.put(NODES, {"metadata": {"name": NODE, "labels": {"pool": "big"}}})
    assert find(world) == ["all"]


def test_left_out() -> None:
    """A policy that did not fit into the node's config records nothing there; a Strict one keeps holding."""
    world = make_world({}, {"mode": "Strict"})
    world.put(NODES, {"metadata": {"name": NODE, "labels": {}}})
    world.leave_out(NODE, frozenset(world.policies))
    assert find(world) == ["policy-1"]
    assert mode_of(world.policies.values()) is Mode.STRICT


def test_redaction() -> None:
    """What any policy takes out is taken out; only where all say so the defaults are off."""
    rule = {"name": "mine", "pattern": "number-[0-9]+"}
    off = {"defaults": "Disabled"}
    command = ["mysql", "--password", "hunter2", "number-17"]
    both = make_world({"redaction": off | {"rules": [rule]}}, {}).policies.values()
    assert redact(command, both) == ("mysql", "--password", "[redacted]", "[redacted]")
    assert redact(command, make_world({"redaction": off}).policies.values()) == tuple(command)
    assert redact([], both) == ()


def test_long_commands() -> None:
    """Of a command that is too long to look for secrets in, the first word is told."""
    policies = make_world({}).policies.values()
    assert redact(["sh", "-c", "x" * LONGEST_REDACTED], policies) == ("sh", "[redacted]")
    assert redact(["x" * LONGEST_REDACTED, "a"], policies)[1:] == ("[redacted]",)


def test_words_that_are_no_text() -> None:
    """A lone surrogate, which JSON can hold, breaks nothing."""
    assert redact(["a\ud800"], make_world({}).policies.values()) == ("a?",)
