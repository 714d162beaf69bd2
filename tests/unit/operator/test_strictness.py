"""When sessions of Strict policies may begin on a node, as one replica sees it."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.agents import CAPABILITIES
from fixtures.strict_worlds import NODE, OWN, SHOP, StrictWorld

from podcorder_operator.elections import LEASES
from podcorder_operator.resources import NAMESPACES, POLICIES
from podcorder_operator.strictness import Scope

EVERYWHERE = Scope(everywhere=True)


@pytest.fixture
def strict() -> StrictWorld:
    return StrictWorld()


def lossless(status: str, reason: str, message: str = "Too much is going on.") -> dict[str, Any]:
    return {"type": "Lossless", "status": status, "reason": reason, "message": message}


def ready(status: str, reason: str, message: str = "Something is wrong.") -> dict[str, Any]:
    return {"type": "Ready", "status": status, "reason": reason, "message": message}


def test_a_healthy_node_refuses_nothing(strict: StrictWorld) -> None:
    """Where the agent beats, has applied the policy, records and loses nothing, sessions begin."""
    policy = strict.add_policy()
    strict.report(lossless("True", "Recording"))
    assert strict.strictness.check(NODE, [policy]) == ""
    strict.pass_time(20)
    assert strict.strictness.check(NODE, [policy]) == ""


def test_silence(strict: StrictWorld) -> None:
    """20 seconds after the last beat that this replica saw sessions are refused, until the next."""
    policy = strict.add_policy()
    strict.pass_time(21)
    assert strict.strictness.check(NODE, [policy]) == (
        "the recording policy shop/exec is Strict, and nothing was heard of the agent on node node-1 for 21 s: "
        "see that its pod runs (kubectl get pods --namespace podcorder --field-selector spec.nodeName=node-1)"
    )
    strict.beat()
    assert strict.strictness.check(NODE, [policy]) == ""
    strict.heartbeats.drop(LEASES, OWN, f"agent.{NODE}")
    assert "nothing was heard of the agent on node node-1:" in strict.strictness.check(NODE, [policy])


def test_beats_that_come_late(strict: StrictWorld) -> None:
    """A beat that bears an old time is none, for it may have waited on its way: 30 seconds after a recorder has failed
    no session begins, whatever held up the news."""
    policy = strict.add_policy()
    strict.skew = -30
    strict.pass_time(1)
    strict.beat()
    assert strict.strictness.check(NODE, [policy]) == ""
    strict.skew = -31
    strict.pass_time(1)
    strict.beat()
    assert "times that are 31 s past: set the clocks" in strict.strictness.check(NODE, [policy])
    strict.skew = 3600
    strict.beat()
    assert strict.strictness.check(NODE, [policy]) == ""


def test_unknown_beats(strict: StrictWorld) -> None:
    """A replica that has not read the Leases says so."""
    policy = strict.add_policy()
    strict.heartbeats.clear()
    assert "try again in a few seconds" in strict.strictness.check(NODE, [policy])


@pytest.mark.parametrize("node", [NODE, "node-2"])
def test_best_effort_refuses_nothing(node: str, strict: StrictWorld) -> None:
    """Policies that are not Strict, or are about nothing that people begin, refuse nothing."""
    strict.pass_time(100)
    mild = strict.add_policy("mild", mode="BestEffort")
    containers = strict.add_policy("containers", sessions=["Container", "Probe"])
    assert strict.strictness.check(node, [mild, containers]) == ""
    assert strict.strictness.check(node, [strict.add_policy()]) != ""


def test_unknown_node(strict: StrictWorld) -> None:
    """A node without a config records nothing."""
    assert "node node-2 has no NodeRecordingConfig" in strict.strictness.check("node-2", [strict.add_policy()])


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        ("False", "RecorderAway", "the agent on node node-1 does not record (RecorderAway): Something is wrong"),
        ("False", "Unloaded", "(Unloaded)"),
        ("Unknown", "", "(NotReported)"),
    ],
)
def test_unready(status: str, reason: str, said: str, strict: StrictWorld) -> None:
    """An agent that says that it does not record lets nobody in."""
    policy = strict.add_policy()
    strict.report(ready(status, reason))
    assert said in strict.strictness.check(NODE, [policy])


def test_before_the_first_report(strict: StrictWorld) -> None:
    """What an agent has not said does not count as said."""
    policy = strict.add_policy()
    strict.report(conditions=[])
    assert "it has not said yet that it records" in strict.strictness.check(NODE, [policy])


def test_capabilities(strict: StrictWorld) -> None:
    """A capability that the node has not got refuses sessions of the policies that need it, and of no others; one that
    is Degraded is told of, and refuses none."""
    commands = strict.add_policy()
    files = strict.add_policy("files", events={"files": {}})
    unready = ready("False", "CapabilitiesUnavailable", "This node cannot record Files.")
    capabilities = [{"name": each, "state": "Full"} for each in CAPABILITIES if each != "Files"]
    strict.report(unready, capabilities=[*capabilities, {"name": "Files", "state": "Unavailable"}])
    assert strict.strictness.check(NODE, [commands]) == ""
    assert "node node-1 cannot record Files" in strict.strictness.check(NODE, [commands, files])
    strict.report(capabilities=[*capabilities, {"name": "Files", "state": "Degraded"}])
    assert strict.strictness.check(NODE, [files]) == ""


def test_behind(strict: StrictWorld) -> None:
    """Until the node has applied the policy as it is now, sessions are refused."""
    strict.add_policy()
    strict.put(POLICIES, "exec", SHOP, generation=2, spec={"mode": "Strict", "events": {"files": {}}})
    (policy,) = strict.world.policies.values()
    assert "node node-1 does not record by it yet: try again in" in strict.strictness.check(NODE, [policy])


def test_left_out(strict: StrictWorld) -> None:
    """A policy for which a node's config has no room is not carried out there."""
    policy = strict.add_policy()
    strict.world.leave_out(NODE, frozenset({policy.key}))
    assert "does not fit into the config of node node-1" in strict.strictness.check(NODE, [policy])


def test_losses(strict: StrictWorld) -> None:
    """Events that are being lost refuse the sessions of policies that ask for them; a full journal refuses all."""
    commands = strict.add_policy()
    files = strict.add_policy("files", events={"files": {}})
    strict.report(lossless("False", "LosingEvents"), losingClasses=["Open", "Connect"])
    assert strict.strictness.check(NODE, [commands]) == ""
    assert strict.strictness.check(NODE, [files]) == (
        "the recording policy shop/files is Strict, and the recorder on node node-1 is losing Open: "
        "Too much is going on"
    )
    strict.report(lossless("False", "LosingEvents"))
    assert "is losing events" in strict.strictness.check(NODE, [commands])
    strict.report(lossless("False", "JournalFull", ""))
    assert "the journal on node node-1 is full: make room on its disk" in strict.strictness.check(NODE, [commands])
    strict.report(lossless("Unknown", "Recording"))
    assert strict.strictness.check(NODE, [commands]) == ""


def test_scope(strict: StrictWorld) -> None:
    """It has the namespaces of Strict policies that can refuse, but the system's and the operator's own never."""
    for each in ("web", "kube-system", OWN):
        strict.put(NAMESPACES, each)
    assert strict.strictness.find_scope() == Scope()
    strict.add_policy("mild", mode="BestEffort")
    strict.add_policy("probes", sessions=["Probe"])
    assert not strict.strictness.find_scope()
    strict.add_policy()
    assert strict.strictness.find_scope() == Scope((SHOP,))
    names = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In"}]}
    names["matchExpressions"][0]["values"] = ["web", SHOP, "kube-system", OWN]  # type: ignore[assignment]
    strict.add_policy("named", "", namespaceSelector=names)
    assert strict.strictness.find_scope() == Scope((SHOP, "web"))
    strict.world.drop(NAMESPACES, "", "web")
    assert strict.strictness.find_scope() == Scope((SHOP,))
    strict.add_policy("all", "")
    assert strict.strictness.find_scope() == EVERYWHERE


def test_changes_are_told(strict: StrictWorld) -> None:
    """Whoever waits for Strict policies, for their end, or for another scope of theirs is told."""
    policies = strict.world.strict
    assert (policies.begun.is_set(), policies.ended.is_set()) == (False, True)
    strict.add_policy()
    assert (policies.begun.is_set(), policies.ended.is_set(), policies.changed.is_set()) == (True, False, True)
    policies.changed.clear()
    strict.add_policy("mild", mode="BestEffort")
    assert not policies.changed.is_set()
    strict.put(POLICIES, "exec", SHOP, generation=2, spec={"events": {"commands": {}}})
    assert (policies.begun.is_set(), policies.ended.is_set(), policies.changed.is_set()) == (False, True, True)


def test_failure(strict: StrictWorld) -> None:
    """A failure is one of a node that Strict policies are in force on, once Leases have been followed for the time that
    the news may take: that nobody can be heard is none."""
    strict.add_policy("mild", mode="BestEffort")
    strict.pass_time(100)
    assert strict.strictness.find_failure(NODE) == ""
    assert strict.strictness.find_nodes() == set()
    strict.add_policy()
    assert strict.strictness.find_nodes() == {NODE}
    assert "nothing was heard of the agent" in strict.strictness.find_failure(NODE)
    strict.now += 60
    strict.pass_time(20)
    assert strict.strictness.find_failure(NODE) == ""
    strict.pass_time(11)
    assert "nothing was heard of the agent" in strict.strictness.find_failure(NODE)
    strict.beat()
    assert strict.strictness.find_failure(NODE) == ""
    strict.report(lossless("False", "LosingEvents"), losingClasses=["Connect"])
    assert strict.strictness.find_failure(NODE) == ""
    strict.report(lossless("False", "LosingEvents"), losingClasses=["Exec"])
    assert "is losing Exec" in strict.strictness.find_failure(NODE)
