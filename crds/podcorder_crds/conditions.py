"""Conditions, as everywhere in Kubernetes."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from podcorder_crds.enums import ConditionStatus
from podcorder_crds.models import Model
from podcorder_crds.names import Generation
from podcorder_crds.rules import Keyed


class Condition(Model):
    """One aspect of an object's state."""

    type: Annotated[str, Field(min_length=1, max_length=316, pattern=r"^[A-Za-z]([A-Za-z0-9]*[A-Za-z0-9])?$")]
    """What the condition is about, in camel case."""
    status: ConditionStatus
    """Whether it holds: True, False or Unknown."""
    observed_generation: Generation | None = None
    """The metadata.generation of the object that the condition was made from."""
    last_transition_time: AwareDatetime
    """When the status last changed."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """Why, as one word in camel case for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, as a sentence for people."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), Keyed("type")]
