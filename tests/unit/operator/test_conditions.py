"""The words of a policy's status."""

from __future__ import annotations

from typing import Any

import pytest

from podcorder_crds import PolicyStatus
from podcorder_operator.conditions import is_stored, make_status
from podcorder_operator.metadata import Metadata, read_conditions
from podcorder_operator.policies import Policy, read_policy
from podcorder_operator.reaches import Tally
from podcorder_operator.resources import CLUSTER_POLICIES, POLICIES

EARLIER, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"
EVERYTHING: dict[str, Any] = {"events": {"commands": {}}}


def make(
    name: str = "exec", spec: dict[str, Any] = EVERYTHING, status: Any = None, *, namespace: str = "shop"
) -> Policy:
    resource = POLICIES if namespace else CLUSTER_POLICIES
    return read_policy(resource, {"spec": spec, "status": status}, Metadata(namespace, name, "uid", 3, EARLIER))


def judge(policy: Policy, tally: Tally, *partners: Policy) -> dict[str, tuple[str, str, str]]:
    """Status, reason and message by type."""
    conditions = read_conditions(make_status(policy, tally, partners, NOW))
    return {kind: (found["status"], found["reason"], found["message"]) for kind, found in conditions.items()}


@pytest.mark.parametrize(
    ("tally", "ready"),
    [
        (Tally(), ("False", "NoNodesMatched", "No node reports pods in the namespace shop.")),
        (Tally(2, 2), ("True", "AppliedOnAllNodes", "Applied on all 2 nodes that the policy concerns.")),
        (Tally(1, 1), ("True", "AppliedOnAllNodes", "Applied on the one node that the policy concerns.")),
        (
            Tally(5, 3, 1, 2, first_behind="node-1", first_degraded="node-2"),
            ("False", "NodesBehind", "2 of 5 nodes have not applied the policy yet, node-1 among them."),
        ),
        (
            Tally(5, 4, behind=1, first_behind="node-1"),
            ("False", "NodesBehind", "1 of 5 nodes has not applied the policy yet: node-1."),
        ),
        (
            Tally(5, 5, 2, first_degraded="node-2"),
            (
                "False",
                "NodesDegraded",
                "2 of 5 nodes cannot record all that the policy asks for: "
                "`kubectl get noderecordingconfig node-2 -o yaml` says what is missing there.",
            ),
        ),
    ],
)
def test_ready(tally: Tally, ready: tuple[str, str, str]) -> None:
    """Ready says the first thing that is missing, with a node to look at."""
    conditions = judge(make(), tally)
    assert conditions["Ready"] == ready
    assert conditions["Accepted"] == ("True", "Accepted", "The policy can be carried out.")


def test_no_nodes_of_the_cluster() -> None:
    """A cluster policy without nodes says which of its fields to look at."""
    assert "nodeSelector" in judge(make(namespace=""), Tally())["Ready"][2]


def test_invalid() -> None:
    """A policy that the contract refuses says why, and is not ready."""
    conditions = judge(make(spec={"events": {"files": {"paths": {"include": ["etc"]}}}}), Tally())
    assert conditions["Accepted"][:2] == ("False", "Invalid")
    assert "begin the prefix with /" in conditions["Accepted"][2]
    assert conditions["Ready"][:2] == ("False", "NotAccepted")


@pytest.mark.parametrize(
    ("count", "where"),
    [(1, "the config of node node-4,"), (3, "the configs of 3 nodes, node-4 among them,")],
)
def test_full(count: int, where: str) -> None:
    """A policy that some configs have no space for says how many and one of them."""
    conditions = judge(make(), Tally(5, 5, left_out=count, first_left_out="node-4"))
    assert conditions["Accepted"][:2] == ("False", "NodeConfigFull")
    assert where in conditions["Accepted"][2]
    assert conditions["Ready"][1] == "NotAccepted"


def test_combined() -> None:
    """Combined names three of those it shares sessions with, counts the others, and says the mode that holds."""
    strict = make("strict", EVERYTHING | {"mode": "Strict"}, namespace="")
    others = [make(f"policy-{number}") for number in range(4)]
    assert judge(make(), Tally())["Combined"][:2] == ("False", "Alone")
    assert judge(make(), Tally(), others[0])["Combined"] == (
        "True",
        "SharesPods",
        "May concern the same sessions as shop/policy-0: "
        "whatever one of them asks for is recorded there, in mode BestEffort.",
    )
    message = judge(make(), Tally(), strict, *others)["Combined"][2]
    assert "as strict (cluster), shop/policy-0, shop/policy-1 and 2 more:" in message
    assert message.endswith("in mode Strict.")


def test_contract_takes_it() -> None:
    """Every status is one of the contract, about the generation that was looked at."""
    status = make_status(make(), Tally(5, 3, 1, 2, first_behind="node-1"), [], NOW)
    parsed = PolicyStatus.model_validate(status)
    assert parsed.observed_generation == 3
    assert {condition.observed_generation for condition in parsed.conditions} == {3}
    assert parsed.nodes is not None
    assert parsed.nodes.model_dump() == {"matched": 5, "applied": 3, "degraded": 1, "behind": 2}


def test_transition_times() -> None:
    """A condition keeps the time of its last transition until its status changes, whatever its reason does."""
    stored = make_status(make(), Tally(2, 1, behind=1, first_behind="node-1"), [], EARLIER)
    later = read_conditions(make_status(make(status=stored), Tally(), [], NOW))
    assert (later["Ready"]["reason"], later["Ready"]["lastTransitionTime"]) == ("NoNodesMatched", EARLIER)
    later = read_conditions(make_status(make(status=stored), Tally(2, 2), [], NOW))
    assert (later["Ready"]["status"], later["Ready"]["lastTransitionTime"]) == ("True", NOW)
    assert later["Accepted"]["lastTransitionTime"] == EARLIER


def test_is_stored() -> None:
    """A status that is stored already is known as such, whatever others store beside it."""
    stored = make_status(make(), Tally(2, 2), [], EARLIER)
    foreign = {"type": "Reviewed", "status": "True"}
    policy = make(status=stored | {"conditions": [foreign, *stored["conditions"]]})
    assert is_stored(make_status(policy, Tally(2, 2), [], NOW), policy.status)
    assert not is_stored(make_status(policy, Tally(3, 3), [], NOW), policy.status)


@pytest.mark.parametrize("stored", [{"conditions": 7}, {"conditions": [None, {"type": []}, {}]}, {"nodes": "all"}])
def test_garbled_status_is_written_anew(stored: dict[str, Any]) -> None:
    """A stored status that makes no sense is as good as none."""
    policy = make(status=stored)
    status = make_status(policy, Tally(), [], NOW)
    assert not is_stored(status, policy.status)
    assert {condition["lastTransitionTime"] for condition in status["conditions"]} == {NOW}
