"""What every model of the contract has in common."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from podcorder_crds.rules import Rule

ATOMIC = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})
"""For a model that may be empty: server-side apply would make null of one that loses its last field."""


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

    laws: ClassVar[tuple[Rule, ...]] = ()
    """Laws on several fields at once."""

    @model_validator(mode="after")
    def check_laws(self) -> Self:
        for rule in self.laws:
            rule.check(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler(schema)
        for rule in cls.laws:
            rule.write(handler.resolve_ref_schema(written))
        return written
