"""Label selectors, ready to be matched many times and to be compared with one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from podcorder_crds import LabelSelector, Operator


@dataclass(frozen=True, slots=True)
class Requirement:
    """What all conditions of one selector on one label key come to."""

    key: str
    absent: bool = True
    """Whether an object without the label matches."""
    allowed: frozenset[str] | None = None
    """The values that match; None: all."""
    denied: frozenset[str] = frozenset()
    """Values that do not match all the same."""

    def matches(self, value: str | None) -> bool:
        if value is None:
            return self.absent
        return value not in self.denied and (self.allowed is None or value in self.allowed)

    def meets(self, other: Requirement) -> Requirement:
        """The requirement that holds where both do."""
        allowed = self.allowed if other.allowed is None else other.allowed
        if self.allowed is not None and other.allowed is not None:
            allowed = self.allowed & other.allowed
        return Requirement(self.key, self.absent and other.absent, allowed, self.denied | other.denied)

    @property
    def possible(self) -> bool:
        """Whether any object can meet it."""
        return self.absent or self.allowed is None or bool(self.allowed - self.denied)


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector; one without requirements matches everything."""

    requirements: tuple[Requirement, ...] = ()

    @property
    def everything(self) -> bool:
        return not self.requirements

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels.get(requirement.key)) for requirement in self.requirements)

    def disjoint(self, other: Selector) -> bool:
        """Whether it is certain that no labels match both."""
        if not self.requirements or not other.requirements:
            return not _possible(self.requirements or other.requirements)
        return not _possible(merge((*self.requirements, *other.requirements)))


def compile_selector(selector: LabelSelector) -> Selector:
    conditions = [Requirement(key, False, frozenset((value,))) for key, value in selector.match_labels.items()]
    for expression in selector.match_expressions:
        values = frozenset(expression.values)
        match expression.operator:
            case Operator.IN:
                conditions.append(Requirement(expression.key, False, values))
            case Operator.NOT_IN:
                conditions.append(Requirement(expression.key, denied=values))
            case Operator.EXISTS:
                conditions.append(Requirement(expression.key, False))
            case Operator.DOES_NOT_EXIST:
                conditions.append(Requirement(expression.key, allowed=frozenset()))
    return Selector(merge(conditions))


def merge(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """One requirement a key."""
    merged: dict[str, Requirement] = {}
    for requirement in requirements:
        known = merged.get(requirement.key)
        merged[requirement.key] = known.meets(requirement) if known else requirement
    return tuple(merged.values())


def _possible(requirements: Iterable[Requirement]) -> bool:
    return all(requirement.possible for requirement in requirements)
