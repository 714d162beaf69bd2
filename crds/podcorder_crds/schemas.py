"""Structural schemas, the form of JSON schema that Kubernetes takes, made from the models."""

from __future__ import annotations

from typing import Any

from podcorder_crds.kinds import Kind
from podcorder_crds.models import Model
from podcorder_crds.rules import OPAQUE, PLAIN, VALIDATIONS

Schema = dict[str, Any]

_KEPT = (
    "description", "type", "format", "enum", "default", "pattern", "minLength", "maxLength", "minimum", "maximum",
    "minItems", "maxItems", "maxProperties", "required", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type", VALIDATIONS,
)  # fmt: skip


def schema_of(kind: Kind) -> Schema:
    """The openAPIV3Schema of a kind."""
    return {
        "description": kind.meaning,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(kind.spec),
            "status": structural(kind.status),
        },
    }


def structural(model: type[Model]) -> Schema:
    """The structural schema of a model."""
    schema = model.model_json_schema()
    return _structural(schema, schema.get("$defs", {}), plain=False)


def _structural(schema: Schema, definitions: Schema, *, plain: bool) -> Schema:
    resolved = _resolve(schema, definitions)
    plain = plain or PLAIN in resolved
    made = {key: resolved[key] for key in _KEPT if key in resolved}
    if "description" in made:
        made["description"] = " ".join(made["description"].split())
    # A list that the API server filled in would be added to by the next server-side apply, not replaced.
    if plain or not isinstance(made.get("default"), str):
        made.pop("default", None)
    if plain:
        made.pop(VALIDATIONS, None)
    if resolved.get(OPAQUE):
        return {**{key: made[key] for key in ("description", "type") if key in made}, OPAQUE: True}
    match resolved["type"]:
        case "array":
            made["items"] = _structural(resolved["items"], definitions, plain=plain)
            made["items"].pop("description", None)
            if plain or "x-kubernetes-list-type" not in made:
                made["x-kubernetes-list-type"] = "atomic"
                made.pop("x-kubernetes-list-map-keys", None)
        case "object" if "properties" in resolved:
            made["properties"] = {
                name: _structural(each, definitions, plain=plain) for name, each in resolved["properties"].items()
            }
        case "object":
            made["additionalProperties"] = _structural(resolved["additionalProperties"], definitions, plain=plain)
    return made


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    """The schema with what it refers to in its place; its own words, such as the description, come first."""
    if "$ref" in schema:
        schema = {**_resolve(definitions[schema["$ref"].rpartition("/")[2]], definitions), **schema}
    if "anyOf" in schema:
        present = next(each for each in schema["anyOf"] if each.get("type") != "null")
        schema = {**_resolve(present, definitions), **schema}
    return schema
