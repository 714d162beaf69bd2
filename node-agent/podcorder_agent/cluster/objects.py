"""Fields of what the API server tells: what is not as it should be is as if it were not there, and all is bounded."""

from __future__ import annotations

from typing import Any

MOST_ENTRIES = 256
"""Of a list: containers of a pod, variables of a container, ..."""
MOST_TEXT = 1024
"""Characters of a name, an image, ..."""


def read_mapping(raw: dict[str, Any], field: str) -> dict[str, Any]:
    value = raw.get(field)
    return value if isinstance(value, dict) else {}


def read_list(raw: dict[str, Any], field: str) -> list[Any]:
    value = raw.get(field)
    return value[:MOST_ENTRIES] if isinstance(value, list) else []


def read_mappings(raw: dict[str, Any], field: str) -> list[dict[str, Any]]:
    value = raw.get(field)
    return [each for each in value if isinstance(each, dict)][:MOST_ENTRIES] if isinstance(value, list) else []


def read_text(raw: dict[str, Any], field: str) -> str:
    value = raw.get(field)
    return value[:MOST_TEXT] if isinstance(value, str) else ""
