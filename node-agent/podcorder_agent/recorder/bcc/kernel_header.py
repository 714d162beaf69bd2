"""bpf/kernel.h written anew for the running kernel: the same structures, every field where that kernel has it."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

_STRUCTURE = re.compile(r"^struct (\w+) \{\n(.*?)^\};$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_DECLARATION = re.compile(r"((?:(?:const|volatile|unsigned|struct|union) )*\w+) (.+)", re.DOTALL)
_NESTED = re.compile(r"((?:struct|union) \{.*\}) (\w+)", re.DOTALL)
_OPTIONAL = " __optional"


class Types(Protocol):
    """What is asked of the kernel's types."""

    def size_of(self, name: str) -> int | None: ...

    def offset_of(self, structure: str, field: str) -> int | None: ...


class _Field(NamedTuple):
    name: str
    declaration: str
    optional: bool


def place_fields(header: str, types: Types) -> str:
    """The header with padded structures, and HAS_FIELD_STRUCTURE_FIELD for each field that is `__optional`.

    A field that this kernel lacks is left out, so that what needs it does not compile; an optional one stays,
    at no place in particular.
    """
    kept = "\n".join(line for line in header.splitlines() if not line.startswith("#pragma clang attribute"))
    return _STRUCTURE.sub(lambda found: _place(found[1], _fields(found[2]), types), kept)


def _fields(body: str) -> list[_Field]:
    fields = []
    for text in _split(_COMMENT.sub("", body), ";"):
        optional = text.endswith(_OPTIONAL)
        text = text.removesuffix(_OPTIONAL)
        nested = _NESTED.fullmatch(text)
        if nested:
            fields.append(_Field(nested[2], text, optional))
            continue
        declaration = _DECLARATION.fullmatch(text)
        if declaration is None:
            raise ValueError(f"kernel.h: {text!r} is not understood")
        for each in _split(declaration[2], ","):
            name = re.sub(r"[*\s]|\[\d+\]", "", each)
            fields.append(_Field(name, f"{declaration[1]} {each}", optional))
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


def _place(name: str, fields: list[_Field], types: Types) -> str:
    """Each field in a view of its own of the same bytes: fields may overlap."""
    tests, views, checks = [], [], []
    for field in fields:
        offset = types.offset_of(name, field.name)
        if field.optional:
            tests.append(f"#define HAS_FIELD_{name}_{field.name} {int(offset is not None)}")
        elif offset is None:
            continue
        padding = f"__u8 before_{field.name}_[{offset}]; " if offset else ""
        views.append(f"\t\tstruct {{ {padding}{field.declaration}; }};")
        place = f"__builtin_offsetof(struct {name}, {field.name}) == {offset or 0}"
        checks.append(f'_Static_assert({place}, "{name}.{field.name} is not aligned");')
    size = types.size_of(name)
    if size:
        views.append(f"\t\t__u8 whole_[{size}];")
    return "\n".join([*tests, f"struct {name} {{", "\tunion {", *views, "\t};", "};", *checks])
