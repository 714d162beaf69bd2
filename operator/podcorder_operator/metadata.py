"""What is read of any object: nothing that is stored can make it stop."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any, NamedTuple


class Metadata(NamedTuple):
    """What is read of any object's metadata."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    """RFC 3339, in UTC and whole seconds as the API server writes it: sorts as time does."""


def read_metadata(raw: Any) -> Metadata | None:
    """None where the object has not even a name."""
    metadata = raw.get("metadata") if isinstance(raw, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return None
    return Metadata(
        read_text(metadata.get("namespace")),
        read_text(metadata["name"]),
        read_text(metadata.get("uid")),
        read_count(metadata.get("generation")),
        read_text(metadata.get("creationTimestamp")),
    )


def read_labels(raw: Mapping[str, Any]) -> dict[str, str]:
    labels = raw["metadata"].get("labels")
    if not isinstance(labels, dict):
        return {}
    return {intern(key): intern(value) for key, value in labels.items() if isinstance(value, str)}


def read_conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """A status' conditions by type, whatever the status holds."""
    conditions = status.get("conditions")
    return {
        condition["type"]: condition
        for condition in (conditions if isinstance(conditions, list) else ())
        if isinstance(condition, dict) and isinstance(condition.get("type"), str)
    }


def read_text(value: Any) -> str:
    """The value, shared among all that have it; empty for what is no text."""
    return intern(value) if type(value) is str else ""


def read_mapping(value: Any) -> Mapping[str, Any]:
    """The value; empty for what is no object."""
    return value if isinstance(value, dict) else {}


def read_count(value: Any) -> int:
    """The value; 0 for what is no whole number."""
    return value if type(value) is int else 0
