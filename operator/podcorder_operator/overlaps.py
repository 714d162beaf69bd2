"""Whether two policies may record the same sessions, so that they combine there."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from fnmatch import fnmatchcase

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
    """Only names without wildcards can show that nothing is shared."""
    for some, others in ((one, other), (other, one)):
        if some.include and not any(map(_is_pattern, some.include)):
            return any(_takes(some, name) and _takes(others, name) for name in some.include)
    return True


def _takes(containers: ContainerFilter, name: str) -> bool:
    included = not containers.include or any(fnmatchcase(name, pattern) for pattern in containers.include)
    return included and not any(fnmatchcase(name, pattern) for pattern in containers.exclude)


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name
