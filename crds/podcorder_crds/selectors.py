"""Label selectors, as everywhere in Kubernetes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from podcorder_crds.enums import Operator
from podcorder_crds.models import Model, Set

NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=rf"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{NAME}$")]
LabelValue = Annotated[str, Field(max_length=63, pattern=rf"^({NAME})?$")]


class LabelSelectorRequirement(Model):
    """One condition on a label."""

    key: LabelKey
    """The label's key."""
    operator: Operator
    """In, NotIn, Exists or DoesNotExist."""
    values: Set[LabelValue] = Field(default=(), max_length=64)
    """Values for In and NotIn; empty for the others."""

    @model_validator(mode="after")
    def check(self) -> Self:
        wanted = self.operator in (Operator.IN, Operator.NOT_IN)
        if wanted and not self.values:
            raise ValueError(f"{self.operator} needs values: name at least one")
        if not wanted and self.values:
            raise ValueError(f"{self.operator} takes no values: remove them")
        return self


class LabelSelector(Model):
    """Which objects, by their labels; an empty selector means all."""

    match_labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=64)
    """Labels that an object must have with just these values."""
    match_expressions: tuple[LabelSelectorRequirement, ...] = Field(default=(), max_length=64)
    """Conditions that must all hold."""
