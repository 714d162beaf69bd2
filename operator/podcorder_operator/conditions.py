"""What a policy's status says: pure, from what is known to the words that its author reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from podcorder_crds import MAX_CONFIG_BYTES, ConditionStatus, Mode
from podcorder_operator.metadata import read_conditions
from podcorder_operator.policies import Policy
from podcorder_operator.reaches import Tally
from podcorder_operator.resolver import MAX_POLICIES

ACCEPTED = "Accepted"
READY = "Ready"
COMBINED = "Combined"

INVALID = "Invalid"
NODE_CONFIG_FULL = "NodeConfigFull"

NAMED_PARTNERS = 3
"""Policies that Combined names; of more it says how many."""

Verdict = tuple[ConditionStatus, str, str]
"""Status, reason and message of a condition."""


def make_status(policy: Policy, tally: Tally, partners: Sequence[Policy], now: str) -> dict[str, Any]:
    """A policy's status. `partners`: policies that may record the same sessions; `now`: RFC 3339, in UTC.

    What the stored status says already with the same meaning keeps its lastTransitionTime.
    """
    accepted = judge_accepted(policy, tally)
    verdicts = {
        ACCEPTED: accepted,
        READY: judge_ready(policy, tally, accepted[0]),
        COMBINED: judge_combined(policy, partners),
    }
    known = read_conditions(policy.status)
    return {
        "observedGeneration": policy.generation,
        "conditions": [
            {
                "type": kind,
                "status": status.value,
                "observedGeneration": policy.generation,
                "lastTransitionTime": _read_transition(known.get(kind, {}), status) or now,
                "reason": reason,
                "message": message,
            }
            for kind, (status, reason, message) in verdicts.items()
        ],
        "nodes": {
            "matched": tally.matched,
            "applied": tally.applied,
            "degraded": tally.degraded,
            "behind": tally.behind,
        },
    }


def is_stored(status: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    """Whether the stored status says all of this one; what others say in it besides does not matter."""
    known = read_conditions(stored)
    return (
        stored.get("observedGeneration") == status["observedGeneration"]
        and stored.get("nodes") == status["nodes"]
        and all(known.get(condition["type"]) == condition for condition in status["conditions"])
    )


def judge_accepted(policy: Policy, tally: Tally) -> Verdict:
    if policy.rules is None:
        return ConditionStatus.FALSE, INVALID, policy.problem
    if tally.left_out:
        return ConditionStatus.FALSE, NODE_CONFIG_FULL, _explain_full(tally)
    return ConditionStatus.TRUE, "Accepted", "The policy can be carried out."


def judge_ready(policy: Policy, tally: Tally, accepted: ConditionStatus) -> Verdict:
    if accepted is not ConditionStatus.TRUE:
        return ConditionStatus.FALSE, "NotAccepted", "The policy is not accepted: the condition Accepted says why."
    if not tally.matched:
        return ConditionStatus.FALSE, "NoNodesMatched", _explain_no_nodes(policy)
    if tally.behind:
        return ConditionStatus.FALSE, "NodesBehind", _explain_behind(tally)
    if tally.degraded:
        return (
            ConditionStatus.FALSE,
            "NodesDegraded",
            f"{tally.degraded} of {_nodes(tally.matched)} cannot record all that the policy asks for: "
            f"`kubectl get noderecordingconfig {tally.first_degraded} -o yaml` says what is missing there.",
        )
    where = "the one node" if tally.matched == 1 else f"all {tally.matched} nodes"
    return ConditionStatus.TRUE, "AppliedOnAllNodes", f"Applied on {where} that the policy concerns."


def judge_combined(policy: Policy, partners: Sequence[Policy]) -> Verdict:
    if not partners:
        return ConditionStatus.FALSE, "Alone", "No other policy can concern the same sessions."
    named = [str(partner.key) for partner in partners[:NAMED_PARTNERS]]
    more = len(partners) - len(named)
    if more:
        named.append(f"{more} more")
    listing = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else named[0]
    mode = strictest_mode((policy, *partners))
    return (
        ConditionStatus.TRUE,
        "SharesPods",
        f"May concern the same sessions as {listing}: whatever one of them asks for is recorded there, in mode {mode}.",
    )


def strictest_mode(policies: Sequence[Policy]) -> Mode:
    modes = {policy.rules.mode for policy in policies if policy.rules is not None}
    return Mode.STRICT if Mode.STRICT in modes else Mode.BEST_EFFORT


def _explain_behind(tally: Tally) -> str:
    if tally.behind == 1:
        return f"1 of {_nodes(tally.matched)} has not applied the policy yet: {tally.first_behind}."
    return (
        f"{tally.behind} of {_nodes(tally.matched)} have not applied the policy yet, {tally.first_behind} among them."
    )


def _explain_full(tally: Tally) -> str:
    where = f"the config of node {tally.first_left_out}"
    if tally.left_out > 1:
        where = f"the configs of {tally.left_out} nodes, {tally.first_left_out} among them"
    limit = f"as one holds {MAX_CONFIG_BYTES // 1024} KiB and {MAX_POLICIES} policies at most"
    return f"The policy does not fit into {where}, {limit}: make the policies there fewer or smaller."


def _explain_no_nodes(policy: Policy) -> str:
    if policy.key.namespace:
        return f"No node reports pods in the namespace {policy.key.namespace}."
    return "No node matches nodeSelector and has pods in a namespace that namespaceSelector matches."


def _read_transition(known: Mapping[str, Any], status: ConditionStatus) -> str:
    """When the condition came to have this status; empty: only now."""
    since = known.get("lastTransitionTime")
    return since if known.get("status") == status and isinstance(since, str) else ""


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"
