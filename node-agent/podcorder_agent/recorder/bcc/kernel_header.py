"""bpf/kernel.h written anew for the running kernel: the same structures, every field where that kernel has it."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

_STRUCTURE = re.compile(r"^struct (\w+) \{\n(.*?)^\};$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_DECLARATION = re.compile(r"((?:(?:const|volatile|unsigned|struct|union) )*\w+) (.+)", re.DOTALL)
_NESTED = re.compile(r"((?:struct|union) \{.*\}) (\w+)", re.DOTALL)
POISON = 0x6BAD0000
"""Where the fields are that this kernel lacks: far from all others, _POISON_STEP apart."""
_POISON_STEP = 1 << 16


_PACKED = "__attribute__((packed, aligned(4)))"
"""A field may be wider here than in this kernel, and then is where C would not put it."""


class Types(Protocol):
    """What is asked of the kernel's types."""

    def size_of(self, name: str) -> int | None: ...

    def offset_of(self, structure: str, field: str) -> int | None: ...


class _Field(NamedTuple):
    name: str
    declaration: str


class PlacedHeader(NamedTuple):
    """kernel.h as it is to be included."""

    text: str
    missing: list[str]
    """The fields that this kernel lacks, as `structure.field`, by their place from POISON on."""

    def find_missing(self, number: int) -> str:
        """The field in whose poisoned place a number lies that some instruction adds; empty: in none's."""
        index = (abs(number) - POISON) // _POISON_STEP
        return self.missing[index] if 0 <= index < len(self.missing) else ""


def list_fields(header: str) -> list[tuple[str, str]]:
    """All that will be asked of the types, as (structure, field)."""
    return [(found[1], field.name) for found in _STRUCTURE.finditer(header) for field in _fields(found[2])]


def place_fields(header: str, types: Types) -> PlacedHeader:
    """The header with padded structures, and HAS_FIELD_STRUCTURE_FIELD for each field.

    What reads a field that this kernel lacks compiles, since the ladders have rungs that need less of the same file;
    `find_missing()` tells it by its instructions.
    """
    missing: list[str] = []
    kept = "\n".join(line for line in header.splitlines() if not line.startswith("#pragma clang attribute"))
    text = _STRUCTURE.sub(lambda found: _place(found[1], _fields(found[2]), types, missing), kept)
    return PlacedHeader(text, missing)


def _fields(body: str) -> list[_Field]:
    fields = []
    for text in _split(_COMMENT.sub("", body), ";"):
        nested = _NESTED.fullmatch(text)
        if nested:
            fields.append(_Field(nested[2], text))
            continue
        declaration = _DECLARATION.fullmatch(text)
        if declaration is None:
            raise ValueError(f"kernel.h: {text!r} is not understood")
        for each in _split(declaration[2], ","):
            name = re.sub(r"[*\s]|\[\d+\]", "", each)
            fields.append(_Field(name, f"{declaration[1]} {each}"))
    return fields


def _split(text: str, separator: str) -> list[str]:
    """At separators outside of braces; nothing empty."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if character == separator and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [" ".join(part.split()) for part in [*parts, text[start:]] if part.strip()]


def _place(name: str, fields: list[_Field], types: Types, missing: list[str]) -> str:
    """Each field in a view of its own of the same bytes: fields may overlap."""
    tests, views = [], []
    for field in fields:
        offset = types.offset_of(name, field.name)
        tests.append(f"#define HAS_FIELD_{name}_{field.name} {int(offset is not None)}")
        if offset is None:
            offset = POISON + _POISON_STEP * len(missing)
            missing.append(f"{name}.{field.name}")
        padding = f"__u8 before_{field.name}_[{offset}]; " if offset else ""
        views.append(f"\t\tstruct {{ {padding}{field.declaration}; }} {_PACKED};")
    size = types.size_of(name)
    if size:
        views.append(f"\t\t__u8 whole_[{size}];")
    return "\n".join([*tests, f"struct {name} {{", "\tunion {", *views, "\t};", "};"])
