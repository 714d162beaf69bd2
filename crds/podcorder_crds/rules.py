"""Laws on values, each said once: in CEL for the API server, as a predicate for Python, with one sentence for both."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

Item = TypeVar("Item", bound=Hashable)

VALIDATIONS = "x-kubernetes-validations"
PLAIN = "x-podcorder-plain"
OPAQUE = "x-kubernetes-preserve-unknown-fields"


class _Annotation:
    """What stands beside a type in `Annotated`: checks in Python, writes into the JSON schema."""

    __slots__ = ()

    def check(self, value: Any) -> Any:
        """Returns the value. Raises ValueError with a sentence that says what to write instead."""
        return value

    def write(self, schema: JsonSchemaValue) -> None:
        """Adds to the JSON schema what the API server needs to say the same."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler(schema)
        self.write(written)
        return written


@dataclass(frozen=True, slots=True)
class Rule(_Annotation):
    """A law. The API server shows the value before the sentence, and so does `podcorder_crds.problems`."""

    cel: str
    """An expression over `self` (Kubernetes 1.32) that is true where the law holds."""
    holds: Callable[[Any], bool]
    """The same in Python, over the parsed value."""
    sentence: str
    """What is wrong where it does not hold, and what to write instead."""

    def check(self, value: Any) -> Any:
        if not self.holds(value):
            raise ValueError(self.sentence)
        return value

    def write(self, schema: JsonSchemaValue) -> None:
        schema.setdefault(VALIDATIONS, []).append({"rule": self.cel, "message": self.sentence})


def pattern(regex: str, sentence: str) -> Rule:
    """The law that a text matches `regex`, anchored with ^ and $ and of the syntax that RE2 and Python share."""
    return Rule(f"self.matches(r'{regex}')", lambda text: re.fullmatch(regex, text) is not None, sentence)


@dataclass(frozen=True, slots=True)
class Among(_Annotation):
    """Which members of an enumeration a field may take."""

    members: frozenset[StrEnum]
    sentence: str

    def check(self, value: StrEnum) -> StrEnum:
        if value not in self.members:
            raise ValueError(self.sentence)
        return value

    def write(self, schema: JsonSchemaValue) -> None:
        schema["enum"] = [str(each) for each in type(next(iter(self.members))) if each in self.members]


@dataclass(frozen=True, slots=True)
class Unique(_Annotation):
    """Lists are sets in the contract: an item named twice is a slip that its author should see."""

    def check(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        seen: set[Item] = set()
        for item in items:
            if item in seen:
                raise ValueError(f"{item!s} stands there twice: remove one")
            seen.add(item)
        return items

    def write(self, schema: JsonSchemaValue) -> None:
        schema["x-kubernetes-list-type"] = "set"


@dataclass(frozen=True, slots=True)
class Keyed(_Annotation):
    """A list of objects that one field tells apart."""

    key: str
    """The field, as written in YAML."""

    def check(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        seen: set[str] = set()
        for item in items:
            name = getattr(item, self._find_field(item))
            if name in seen:
                raise ValueError(f"two have the {self.key} {name}: change or remove one")
            seen.add(name)
        return items

    def _find_field(self, item: Item) -> str:
        """In Python a keyword, such as class, has another name."""
        fields = type(item).model_fields  # type: ignore[attr-defined]
        return next(str(name) for name, field in fields.items() if self.key in (name, field.alias))

    def write(self, schema: JsonSchemaValue) -> None:
        schema["x-kubernetes-list-type"] = "map"
        schema["x-kubernetes-list-map-keys"] = [self.key]


@dataclass(frozen=True, slots=True)
class Plain(_Annotation):
    """Something that was checked where it came from: the API server keeps its shape, and neither applies its rules,
    which would cost too much here, nor its defaults, which would make what is stored differ from what was written."""

    def write(self, schema: JsonSchemaValue) -> None:
        schema[PLAIN] = True


@dataclass(frozen=True, slots=True)
class Opaque(_Annotation):
    """An object that the API server stores as it comes: whoever writes it has checked it, and whoever reads it does."""

    def write(self, schema: JsonSchemaValue) -> None:
        schema[OPAQUE] = True


Set = Annotated[tuple[Item, ...], Unique()]
