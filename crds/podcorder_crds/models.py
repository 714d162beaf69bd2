"""What every model of the contract has in common."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

Item = TypeVar("Item", bound=Hashable)


class Model(BaseModel):
    """Camel case outside, snake case inside; an unknown field is an error; never changed once made."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        validate_by_alias=True,
        validate_by_name=False,
        use_attribute_docstrings=True,
    )


def refuse_repeats(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Lists are sets in the contract: an item named twice is a slip that its author should see."""
    seen: set[Item] = set()
    for item in items:
        if item in seen:
            raise ValueError(f"{item!s} stands there twice: remove one")
        seen.add(item)
    return items


Set = Annotated[tuple[Item, ...], AfterValidator(refuse_repeats)]
