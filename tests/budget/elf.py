"""What there is in a compiled object: the functions with their instructions, and which calls which."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

INSTRUCTION = struct.Struct("<BBhi")
"""`struct bpf_insn`: operation, registers (source in the upper half), offset, number."""
CALL = 0x85
PSEUDO_CALL = 1
"""In the source register of CALL: the callee is another function, not a helper."""
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQ")
_SYMBOLS, _RELOCATIONS = 2, 9
_FUNCTION, _SECTION_SYMBOL = 2, 3
_EXECUTABLE = 4
_SUBPROGRAMS = ".text"


@dataclass(frozen=True)
class Function:
    """A program, or a function that programs call."""

    name: str
    instructions: tuple[tuple[int, int, int, int], ...]
    """As INSTRUCTION reads them."""
    callees: tuple[str, ...]
    """In the order of the calls, each once."""
    attached: bool
    """Whether it is a program."""


class _Section(NamedTuple):
    name: str
    kind: int
    flags: int
    data: bytes
    link: int
    info: int


class _Symbol(NamedTuple):
    name: str
    kind: int
    section: int
    offset: int
    size: int


def read_functions(path: Path) -> dict[str, Function]:
    """All functions of an object, by name."""
    sections = _read_sections(path.read_bytes())
    symbols = _read_symbols(sections)
    relocated = _read_relocations(sections)
    places = {(each.section, each.offset): each.name for each in symbols if each.kind == _FUNCTION}
    found = {}
    for symbol in symbols:
        if symbol.kind != _FUNCTION or not sections[symbol.section].flags & _EXECUTABLE:
            continue
        code = sections[symbol.section].data[symbol.offset : symbol.offset + symbol.size]
        callees: dict[str, None] = {}
        instructions = tuple(INSTRUCTION.iter_unpack(code))
        for index, (operation, registers, _, number) in enumerate(instructions):
            if operation == CALL and registers >> 4 == PSEUDO_CALL:
                place = symbol.offset + index * INSTRUCTION.size
                target = relocated.get((symbol.section, place))
                base = symbols[target] if target is not None else None
                if base is None:  # in the same section: counted from the next instruction
                    callee = symbol.section, place + (number + 1) * INSTRUCTION.size
                elif base.kind == _SECTION_SYMBOL:
                    callee = base.section, (number + 1) * INSTRUCTION.size
                else:
                    callee = base.section, base.offset
                callees[places[callee]] = None
        attached = sections[symbol.section].name != _SUBPROGRAMS
        found[symbol.name] = Function(symbol.name, instructions, tuple(callees), attached)
    return found


def _read_sections(data: bytes) -> list[_Section]:
    *_, offset, _, _, _, _, size, count, names_index = _HEADER.unpack_from(data)
    headers = [_SECTION.unpack_from(data, offset + index * size) for index in range(count)]
    contents = [data[each[4] : each[4] + each[5]] for each in headers]
    return [
        _Section(_text(contents[names_index], each[0]), each[1], each[2], content, each[6], each[7])
        for each, content in zip(headers, contents, strict=True)
    ]


def _read_symbols(sections: list[_Section]) -> list[_Symbol]:
    table = next(each for each in sections if each.kind == _SYMBOLS)
    names = sections[table.link].data
    return [
        _Symbol(_text(names, name), info & 0xF, section, offset, size)
        for name, info, _, section, offset, size in _SYMBOL.iter_unpack(table.data)
    ]


def _read_relocations(sections: list[_Section]) -> dict[tuple[int, int], int]:
    """Number of the symbol by section and offset in it."""
    return {
        (table.info, offset): info >> 32
        for table in sections
        if table.kind == _RELOCATIONS
        for offset, info in _RELOCATION.iter_unpack(table.data)
    }


def _text(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode()
