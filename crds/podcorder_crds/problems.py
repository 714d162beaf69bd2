"""What is wrong with data that is to be of the contract, a sentence each that says what to write instead."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    location: Location
    """The way to the field, as written in YAML; for a missing or an unknown field its own name is the last part."""
    sentence: str
    """What is wrong there, with the field's dotted name, and what to write instead."""
    missing: bool
    """Whether it is about something that is not there."""


MOST_PROBLEMS = 100
"""Nobody reads more of them, and a hostile object may have a hundred thousand."""


def find_problems(model: type[BaseModel], data: object, root: Location = ()) -> list[Problem]:
    """What keeps `data`, as read from YAML or JSON, from being a `model`: `MOST_PROBLEMS` at most, none if nothing.

    Sentences name fields as seen from where `root` begins: ("spec",) for an object's spec.
    """
    try:
        model.model_validate(data)
    except ValidationError as error:
        return [
            Problem(each["loc"], _sentence(model, each, root), each["type"] == "missing")
            for each in error.errors(include_url=False)[:MOST_PROBLEMS]
            # A list that is too short for its wrong items alone is not wrong itself.
            if not (each["type"] == "too_short" and each["input"])
        ]
    return []


def _sentence(model: type[BaseModel], error: ErrorDetails, root: Location) -> str:
    location: Location = error["loc"]
    where = _dotted((*root, *location))
    value = error.get("input")
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            known = _fields(model, location[:-1])
            near = difflib.get_close_matches(str(location[-1]), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known there: {', '.join(known)}"
            return f"unknown field {where}: {hint}"
        case "missing":
            return f"{where} is missing: add it"
        case "value_error":
            # What rules say of a text goes on from the text itself.
            sentence = f"{_shown(value)} {context['error']}" if isinstance(value, str) else str(context["error"])
            return f"{where}: {sentence}" if where else sentence
        case "literal_error":
            return f"{where} is {value!r}: write {str(context['expected']).strip(chr(39))}"
        case "enum":
            return f"{where} is {value!r}: write one of {context['expected']}"
        case "string_pattern_mismatch":
            return f"{where} is {_shown(value)}: it must match {context['pattern']}"
        case "too_short":
            return f"{where} is empty: name at least one, or leave {location[-1]} out"
        case "model_type" | "dict_type":
            return f"{where or 'the policy'} is {_shown(value)}: write a mapping of fields"
        case "tuple_type":
            return f"{where} is {_shown(value)}: write a list"
        case _:
            message = error["msg"]
            return f"{where or 'the policy'}: {message[0].lower()}{message[1:]}, not {_shown(value)}"


def _shown(value: object) -> str:
    match value:
        case dict():
            return "a mapping"
        case list():
            return f"a list of {len(value)}"
        case _:
            text = repr(value)
            return text if len(text) <= 80 else text[:77] + "..."


def _dotted(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _fields(model: type[BaseModel], location: Location) -> list[str]:
    """The names of the fields at `location`, as written in YAML."""
    found: Any = model
    for part in location:
        if isinstance(part, str):
            found = next(_model(each.annotation) for each in found.model_fields.values() if each.alias == part)
    return [each.alias for each in found.model_fields.values()]


def _model(annotation: Any) -> Any:
    """The model inside an annotation such as `Model | None` or `tuple[Model, ...]`."""
    if get_origin(annotation) is Annotated:
        return _model(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType, tuple):
        return next(_model(each) for each in get_args(annotation) if each not in (type(None), ...))
    return annotation
