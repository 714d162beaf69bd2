"""Types as the kernel or a compiled object describes its own: BTF (Documentation/bpf/btf.rst), read through libbpf."""

from __future__ import annotations

import ctypes
import os
import struct
from ctypes import c_char_p, c_int32, c_uint32, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

from podcorder_agent.recorder.libbpf import library

INT, POINTER, ARRAY, STRUCT, UNION, ENUM, TYPEDEF = 1, 2, 3, 4, 5, 6, 8
"""Kinds of types."""
_MODIFIERS = {TYPEDEF, 9, 10, 11, 18}
"""With volatile, const, restrict and type tags."""
_BITFIELDS = 1 << 31
"""Of a structure's info: its members' offsets hold a width in their upper byte."""
_HEAD = struct.Struct("=3I")
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "btf__parse": (c_void_p, [c_char_p, c_void_p]),
    "btf__free": (None, [c_void_p]),
    "btf__find_by_name_kind": (c_int32, [c_void_p, c_char_p, c_uint32]),
    "btf__type_by_id": (c_void_p, [c_void_p, c_uint32]),
    "btf__name_by_offset": (c_char_p, [c_void_p, c_uint32]),
}


class Type(NamedTuple):
    """One type; that of kind 0 is `void`."""

    kind: int
    length: int
    """Number of members, enumerators or parameters."""
    bitfields: bool
    name: str
    size_or_type: int
    address: int


class Member(NamedTuple):
    """Of a structure or union; one without a name stands for its own members."""

    name: str
    number: int
    """Of its type."""
    offset: int
    """Bits."""
    width: int
    """Bits, of a bit field; else 0."""


class Btf:
    """The types in a file: `/sys/kernel/btf/vmlinux`, or a compiled object."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._calls = library()
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(self._calls, name)
            function.restype, function.argtypes = result, arguments
        self._handle = self._calls.btf__parse(os.fsencode(path), None)
        if not self._handle:
            error = ctypes.get_errno()
            raise OSError(error, f"types of {path}: {os.strerror(error)}")

    def close(self) -> None:
        """Give back their memory: of a kernel's some 10 MB."""
        self._calls.btf__free(self._handle)

    def find(self, name: str, *kinds: int) -> int:
        """A type's number; 0: there is none of this name and these kinds."""
        for kind in kinds:
            number = self._calls.btf__find_by_name_kind(self._handle, name.encode(), kind)
            if number > 0:
                return int(number)
        return 0

    def type(self, number: int) -> Type:
        if not number:
            return Type(0, 0, False, "void", 0, 0)
        address = self._calls.btf__type_by_id(self._handle, number)
        name, info, size_or_type = _HEAD.unpack(ctypes.string_at(address, _HEAD.size))
        return Type(info >> 24 & 0x1F, info & 0xFFFF, bool(info & _BITFIELDS), self._name(name), size_or_type, address)

    def bare(self, number: int) -> Type:
        """A type without its typedefs and qualifiers."""
        found = self.type(number)
        while found.kind in _MODIFIERS:
            found = self.type(found.size_or_type)
        return found

    def members(self, found: Type) -> list[Member]:
        """None of what is no structure or union."""
        if found.kind not in (STRUCT, UNION):
            return []
        members = []
        for name, number, place in self.read(found, "=3I", found.length):
            offset, width = (place & 0xFFFFFF, place >> 24) if found.bitfields else (place, 0)
            members.append(Member(self._name(name), number, offset, width))
        return members

    def enumerators(self, found: Type) -> dict[str, int]:
        """The values of an enumeration by name."""
        return {self._name(name): value for name, value in self.read(found, "=Ii", found.length)}

    def parameters(self, found: Type) -> list[int]:
        """The number of each parameter's type, of a function's type."""
        return [number for _, number in self.read(found, "=2I", found.length)]

    def read(self, found: Type, layout: str, count: int = 1) -> list[tuple[int, ...]]:
        """What follows a type's head, as its kind has it."""
        size = struct.calcsize(layout) * count
        return list(struct.iter_unpack(layout, ctypes.string_at(found.address + _HEAD.size, size)))

    def _name(self, offset: int) -> str:
        name: bytes = self._calls.btf__name_by_offset(self._handle, offset)
        return name.decode()
