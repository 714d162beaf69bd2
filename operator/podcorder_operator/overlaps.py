"""Whether two policies may record the same sessions, so that they combine there."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from podcorder_crds import ContainerFilter, SessionKind
from podcorder_operator.policies import Rules


@dataclass(frozen=True, slots=True)
class Footprint:
    """Where a valid policy's pods may be."""

    rules: Rules
    namespaces: Set[str] | None
    """None: every namespace."""


def may_overlap(one: Footprint, other: Footprint) -> bool:
    """False only where it is certain that no session is recorded by both."""
    shared = one.rules.sessions & other.rules.sessions
    if not shared or one.rules.nodes.disjoint(other.rules.nodes):
        return False
    if SessionKind.HOST in shared:
        return True
    if one.namespaces is not None and other.namespaces is not None and one.namespaces.isdisjoint(other.namespaces):
        return False
    if one.rules.pods.disjoint(other.rules.pods):
        return False
    return _share_containers(one.rules.containers, other.rules.containers)


def _share_containers(one: ContainerFilter, other: ContainerFilter) -> bool:
    """Only names without wildcards can show that nothing is shared. Whether one matches a pattern is not looked at:
    with thousands of policies, which anybody may write in a namespace, that would take minutes."""
    some, others = _names(one), _names(other)
    if some is None or others is None:
        return True
    return not some.isdisjoint(others)


def _names(containers: ContainerFilter) -> Set[str] | None:
    """The containers that are recorded, where they are named one by one; None where they are not."""
    if not containers.include or any("*" in name or "?" in name for name in containers.include):
        return None
    return set(containers.include).difference(containers.exclude)
