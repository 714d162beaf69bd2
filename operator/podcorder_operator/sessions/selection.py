"""Which policies record a session that is asked for, and what they make of it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from podcorder_crds import Mode, SessionKind
from podcorder_crds import Rules as Defaults
from podcorder_crds.combination import strictest
from podcorder_crds.digests import join_arguments
from podcorder_operator.policies import Policy, Rules
from podcorder_operator.sessions.pods import Pod
from podcorder_operator.sessions.requests import SessionRequest
from podcorder_operator.world import World
from podcorder_redaction import Redaction

LONGEST_REDACTED = 1 << 16
"""Bytes: of a longer command the first word is told alone, for to look for secrets takes time that others wait."""
_TAKEN_OUT = "[redacted]"


def find_candidates(world: World, namespace: str, kind: SessionKind) -> list[Policy]:
    """The policies that could record sessions of this kind in a namespace, whatever the pod."""
    return [policy for policy in world.policies_in(namespace) if kind in _rules(policy).sessions]


def select(world: World, candidates: Iterable[Policy], pod: Pod, request: SessionRequest) -> list[Policy]:
    """Those of the candidates that record this session, sorted."""
    # What reaches the pod, and no container of it, concerns whom any of its containers concerns.
    names = (request.container,) if request.container else pod.all_containers
    found = []
    for policy in candidates:
        rules = _rules(policy)
        if (
            rules.pods.matches(pod.labels)
            and any(map(rules.containers.selects, names))
            # What a Strict policy cannot record must not begin, even where the policy has not come to the node.
            and (rules.mode is Mode.STRICT or world.records_on(policy, pod.node))
        ):
            found.append(policy)
    return sorted(found, key=lambda policy: policy.key)


def mode_of(policies: Iterable[Policy]) -> Mode:
    """The mode of a session that all of these policies record."""
    return strictest([_rules(policy).mode for policy in policies])


def redact(command: Sequence[str], policies: Iterable[Policy]) -> tuple[str, ...]:
    """The command without what any of the policies takes out of it."""
    if not command:
        return ()
    wanted = [_rules(policy).redaction for policy in policies]
    patterns = sorted({rule.pattern for each in wanted for rule in each.rules})
    redaction = _compile(any(each.defaults is Defaults.ENABLED for each in wanted), tuple(patterns))
    words = command if len(join_arguments(command)) <= LONGEST_REDACTED else (command[0][:LONGEST_REDACTED],)
    cleaned, _ = redaction.apply(join_arguments(words), [word.encode(errors="replace") for word in words])
    told = tuple(word.decode(errors="replace") for word in cleaned)
    return told if len(words) == len(command) else (*told, _TAKEN_OUT)


@lru_cache(maxsize=64)
def _compile(defaults: bool, patterns: tuple[str, ...]) -> Redaction:
    return Redaction(defaults, patterns)


def _rules(policy: Policy) -> Rules:
    assert policy.rules is not None, "the world names valid policies alone"
    return policy.rules
