"""Label selectors, as everywhere in Kubernetes."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import Field

from podcorder_crds.enums import Operator
from podcorder_crds.models import ATOMIC, Model
from podcorder_crds.rules import Rule, Set, pattern

_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = rf"^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?{_NAME}$"
_KEY_LENGTH = 317
_KEY_SENTENCE = (
    "is not a label key: write a name of at most 63 letters, digits, -, _ and ., such as app, if need be behind a"
    " prefix, such as example.org/app"
)

LabelKey = Annotated[str, Field(min_length=1, max_length=_KEY_LENGTH), pattern(_KEY, _KEY_SENTENCE)]
LabelValue = Annotated[
    str,
    Field(max_length=63),
    pattern(
        rf"^({_NAME})?$",
        "is not a label value: write letters, digits, -, _ and ., with a letter or a digit first and last",
    ),
]
Labels = Annotated[
    dict[Annotated[str, Field(max_length=_KEY_LENGTH)], LabelValue],
    Rule(
        f"self.all(key, size(key) <= {_KEY_LENGTH} && key.matches(r'{_KEY}'))",
        lambda labels: all(re.fullmatch(_KEY, key) for key in labels),
        f"one of the keys {_KEY_SENTENCE}",
    ),
]


class LabelSelectorRequirement(Model):
    """One condition on a label."""

    laws: ClassVar = (
        Rule(
            "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
            lambda self: self.operator not in (Operator.IN, Operator.NOT_IN) or self.values,
            "the operators In and NotIn need values: name at least one",
        ),
        Rule(
            "self.operator in ['In', 'NotIn'] || !has(self.values) || size(self.values) == 0",
            lambda self: self.operator in (Operator.IN, Operator.NOT_IN) or not self.values,
            "the operators Exists and DoesNotExist take no values: remove them",
        ),
    )

    key: LabelKey
    """The label's key, such as app or example.org/app."""
    operator: Operator
    """How the label compares. In: it has one of the values. NotIn: it has none of them, or the label is missing.
    Exists: the label is there. DoesNotExist: it is not."""
    values: Set[LabelValue] = Field(default=(), max_length=32)
    """What In and NotIn compare with, at least one; Exists and DoesNotExist take none."""


class LabelSelector(Model):
    """Which objects, by their labels. All conditions must hold; an empty selector means every object."""

    model_config = ATOMIC

    match_labels: Labels = Field(default_factory=dict, max_length=32)
    """Labels that the object must have with just these values."""
    match_expressions: tuple[LabelSelectorRequirement, ...] = Field(default=(), max_length=16)
    """Further conditions on the object's labels."""
