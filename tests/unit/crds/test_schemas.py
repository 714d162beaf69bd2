from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podcorder_crds.kinds import KINDS, Kind
from podcorder_crds.rules import OPAQUE
from podcorder_crds.schemas import schema_of

ROOT = Path(__file__).parents[3]
KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.short_name)


def walk(schema: dict[str, Any], where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below, and the way to it."""
    yield where, schema
    for name, each in schema.get("properties", {}).items():
        yield from walk(each, f"{where}.{name}")
    for part in ("items", "additionalProperties"):
        if part in schema:
            yield from walk(schema[part], f"{where}[]")


def test_generated_files_are_up_to_date() -> None:
    """What stands in crds/ and docs/reference/ is what the models say."""
    done = subprocess.run([sys.executable, ROOT / "crds/generate.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@KIND
def test_every_field_is_described(kind: Kind) -> None:
    """Every field says in full sentences what it is, for `kubectl explain`."""
    for where, schema in walk(schema_of(kind)):
        if where.endswith("[]") or where in (".apiVersion", ".kind", ".metadata"):
            continue
        assert schema["description"].endswith("."), where
        assert schema["description"][0].isupper(), where


@KIND
def test_everything_is_bounded(kind: Kind) -> None:
    """Every list, map, text and number has a bound; nothing is a boolean or a float."""
    for where, schema in walk(schema_of(kind)):
        if where in ("", ".apiVersion", ".kind", ".metadata"):
            continue
        match schema["type"]:
            case "array":
                assert "maxItems" in schema, where
                assert "x-kubernetes-list-type" in schema, where
            case "object":
                assert {"properties", "maxProperties", OPAQUE} & schema.keys(), where
            case "string":
                assert schema.keys() & {"maxLength", "enum"} or schema.get("format") == "date-time", where
            case "integer":
                assert {"minimum", "maximum"} <= schema.keys(), where
            case other:
                pytest.fail(f"{where} is a {other}")


@KIND
def test_schemas_are_structural(kind: Kind) -> None:
    """No reference, choice, title or null, and no field besides those of the object, is left of pydantic's schema."""
    for where, schema in walk(schema_of(kind)):
        assert not schema.keys() & {"$ref", "$defs", "anyOf", "allOf", "title", "const", "nullable"}, where
        assert "default" not in schema or schema["type"] == "string", where
        assert not {"properties", "additionalProperties"} <= schema.keys(), where


def test_a_config_holds_policies_without_their_rules() -> None:
    """What the operator writes into a config costs no rule and is changed by no default."""
    kind = next(each for each in KINDS if each.short_name == "nrc")
    for where, schema in walk(schema_of(kind)):
        if where.startswith(".spec.policies"):
            assert not schema.keys() & {"x-kubernetes-validations", "default"}, where
            assert schema.get("x-kubernetes-list-type", "atomic") == "atomic", where
