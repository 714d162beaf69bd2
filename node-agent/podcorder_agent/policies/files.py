"""Policy files: a SessionRecordingPolicy manifest, or its bare spec."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from podcorder_agent.policies.documents import Document, Location
from podcorder_agent.policies.errors import PolicyInvalid, PolicyUnreadable
from podcorder_crds import (
    API_VERSION,
    CommandEvents,
    EventSelection,
    FileEvents,
    NetworkEvents,
    SessionRecordingPolicy,
    SessionRecordingPolicySpec,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy and what it is called."""

    name: str
    spec: SessionRecordingPolicySpec


EVERYTHING = Policy(
    "everything",
    SessionRecordingPolicySpec(
        events=EventSelection(commands=CommandEvents(), files=FileEvents(), network=NetworkEvents())
    ),
)
"""What `podcorder record` does without a policy file."""


def load(path: Path) -> Policy:
    """Reads and checks a policy file. Raises PolicyUnreadable and PolicyInvalid."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyUnreadable(
            f"cannot read the policy file {path}: {error.strerror}: check its name and rights"
        ) from None
    except UnicodeDecodeError:
        raise PolicyInvalid(f"{path} is not UTF-8 text: a policy is a YAML file") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Policy:
    """Checks a policy's text; `name` is what errors call the file. Raises PolicyInvalid."""
    document = Document(text, name)
    if not isinstance(document.data, dict):
        raise PolicyInvalid(f"{name}:1: not a policy: write a SessionRecordingPolicy or its spec")
    whole = bool({"apiVersion", "kind", "metadata", "spec"} & document.data.keys())
    model: type[BaseModel] = SessionRecordingPolicy if whole else SessionRecordingPolicySpec
    try:
        parsed = model.model_validate(document.data)
    except ValidationError as error:
        # Of one line's errors the one about what stands there, before the one about what does not.
        first = min(error.errors(), key=lambda each: (_line(document, each), each["type"] == "missing"))
        raise PolicyInvalid(f"{name}:{_line(document, first)}: {_sentence(model, first)}") from None
    if isinstance(parsed, SessionRecordingPolicy):
        return Policy(parsed.metadata.name, parsed.spec)
    assert isinstance(parsed, SessionRecordingPolicySpec)
    return Policy(Path(name).stem, parsed)


def _line(document: Document, error: ErrorDetails) -> int:
    return document.line(error["loc"])


def _sentence(model: type[BaseModel], error: ErrorDetails) -> str:
    location: Location = error["loc"]
    where = _dotted(location)
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
            return f"{where}: {context['error']}" if where else str(context["error"])
        case "literal_error":
            return f"{where} is {value!r}: write {SUPPORTED.get(where, context.get('expected'))}"
        case "enum":
            return f"{where} is {value!r}: write one of {context['expected']}"
        case "string_pattern_mismatch":
            return f"{where} is {_shown(value)}: it must match {context['pattern']}"
        case _:
            message = error["msg"]
            return f"{where or 'the policy'}: {message[0].lower()}{message[1:]}, not {_shown(value)}"


SUPPORTED = {"apiVersion": API_VERSION, "kind": "SessionRecordingPolicy"}


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
    if get_origin(annotation) in (Union, UnionType, tuple):
        return next(_model(each) for each in get_args(annotation) if each not in (type(None), ...))
    return annotation
