"""Where the running kernel has the fields of its structures, from its BTF (Documentation/bpf/btf.rst)."""

from __future__ import annotations

import ctypes
import struct
from ctypes import c_char_p, c_int32, c_uint32, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from podcorder_agent.recorder.errors import BtfMissing
from podcorder_agent.recorder.libbpf import library

VOID = "void"
BTF_PATH = Path("/sys/kernel/btf/vmlinux")
_KIND_INT, _KIND_POINTER, _KIND_STRUCT, _KIND_UNION, _KIND_ENUM = 1, 2, 4, 5, 6
_KIND_TYPEDEF, _KIND_VOLATILE, _KIND_CONST, _KIND_RESTRICT, _KIND_PROTOTYPE, _KIND_TYPE_TAG = 8, 9, 10, 11, 13, 18
_MODIFIERS = {_KIND_TYPEDEF, _KIND_VOLATILE, _KIND_CONST, _KIND_RESTRICT, _KIND_TYPE_TAG}
_BITFIELDS = 1 << 31
"""Of a structure's info: its members' offsets hold a width in their upper byte."""
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "btf__parse": (c_void_p, [c_char_p, c_void_p]),
    "btf__find_by_name_kind": (c_int32, [c_void_p, c_char_p, c_uint32]),
    "btf__type_by_id": (c_void_p, [c_void_p, c_uint32]),
    "btf__name_by_offset": (c_char_p, [c_void_p, c_uint32]),
}


class _Type(NamedTuple):
    kind: int
    entries: int
    bitfields: bool
    name: str
    size_or_type: int
    address: int


class KernelTypes:
    """The kernel's types; raises BtfMissing where it does not describe them."""

    def __init__(self, path: Path = BTF_PATH) -> None:
        self._calls = library()
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(self._calls, name)
            function.restype, function.argtypes = result, arguments
        self._handle = self._calls.btf__parse(str(path).encode(), None) if path.exists() else None
        if not self._handle:
            raise BtfMissing("This kernel has no BTF: boot one built with CONFIG_DEBUG_INFO_BTF=y.")
        self.offset_of = cache(self._offset_of)

    def size_of(self, name: str) -> int | None:
        """Bytes of a structure or union; None: this kernel has none of this name."""
        number = self._find(name)
        return self._type(number).size_or_type if number else None

    def _offset_of(self, structure: str, field: str) -> int | None:
        """Bytes from its beginning, through members without a name; None: no such field, or one of single bits."""
        number = self._find(structure)
        return self._search(number, field) if number else None

    def has_helper(self, name: str) -> bool:
        """Whether programs may call `bpf_NAME`."""
        number = self._calls.btf__find_by_name_kind(self._handle, b"bpf_func_id", _KIND_ENUM)
        if number <= 0:
            return False
        found = self._type(number)
        wanted = f"BPF_FUNC_{name}"
        return any(self._name(offset) == wanted for offset, _ in self._entries(found, "=2I"))

    def pointees(self, tracepoint: str) -> list[str] | None:
        """For each argument of a raw tracepoint what structure it points to; None: there is no such tracepoint.

        VOID where the kernel does not say, empty where the argument is no pointer to a structure.
        """
        number = self._calls.btf__find_by_name_kind(self._handle, f"btf_trace_{tracepoint}".encode(), _KIND_TYPEDEF)
        if number <= 0:
            return None
        prototype = self._bare(self._bare(number).size_or_type)
        return [self._pointee(number) for _, number in self._entries(prototype, "=2I")][1:]

    def _pointee(self, number: int) -> str:
        found = self._bare(number)
        if found.kind != _KIND_POINTER:
            return ""
        target = self._bare(found.size_or_type)
        if not target.address:
            return VOID
        return target.name if target.kind in (_KIND_STRUCT, _KIND_UNION) else ""

    def _find(self, name: str) -> int:
        for kind in (_KIND_STRUCT, _KIND_UNION):
            number = self._calls.btf__find_by_name_kind(self._handle, name.encode(), kind)
            if number > 0:
                return int(number)
        return 0

    def _search(self, number: int, field: str) -> int | None:
        found = self._bare(number)
        for name, member, place in self._entries(found, "=3I"):
            bits, width = (place & 0xFFFFFF, place >> 24) if found.bitfields else (place, 0)
            if not name:
                inner = self._search(member, field)
                if inner is not None:
                    return bits // 8 + inner
            elif self._name(name) == field:
                return None if width else bits // 8
        return None

    def _bare(self, number: int) -> _Type:
        """A type without its typedefs and qualifiers."""
        found = self._type(number)
        while found.kind in _MODIFIERS:
            found = self._type(found.size_or_type)
        return found

    def _entries(self, found: _Type, layout: str) -> list[tuple[int, ...]]:
        if found.kind not in (_KIND_STRUCT, _KIND_UNION, _KIND_ENUM, _KIND_PROTOTYPE):
            return []
        size = struct.calcsize(layout) * found.entries
        return list(struct.iter_unpack(layout, ctypes.string_at(found.address + 12, size)))

    def _type(self, number: int) -> _Type:
        if not number:
            return _Type(0, 0, False, VOID, 0, 0)
        address = self._calls.btf__type_by_id(self._handle, number)
        name, info, size_or_type = struct.unpack("=3I", ctypes.string_at(address, 12))
        return _Type(info >> 24 & 0x1F, info & 0xFFFF, bool(info & _BITFIELDS), self._name(name), size_or_type, address)

    def _name(self, offset: int) -> str:
        name: bytes = self._calls.btf__name_by_offset(self._handle, offset)
        return name.decode()
