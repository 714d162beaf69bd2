"""Where the running kernel has the fields of its structures, from its BTF."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from podcorder_agent.recorder.btf import ENUM, POINTER, STRUCT, TYPEDEF, UNION, Btf
from podcorder_agent.recorder.errors import BtfMissing

VOID = "void"
BTF_PATH = Path("/sys/kernel/btf/vmlinux")


class KernelTypes:
    """The kernel's types; raises BtfMissing where it does not describe them."""

    def __init__(self, path: Path = BTF_PATH) -> None:
        try:
            self._btf = Btf(path)
        except OSError:
            raise BtfMissing("This kernel has no BTF: boot one built with CONFIG_DEBUG_INFO_BTF=y.") from None
        self.offset_of = cache(self._offset_of)

    def close(self) -> None:
        self._btf.close()

    def size_of(self, name: str) -> int | None:
        """Bytes of a structure or union; None: this kernel has none of this name."""
        number = self._btf.find(name, STRUCT, UNION)
        return self._btf.type(number).size_or_type if number else None

    def _offset_of(self, structure: str, field: str) -> int | None:
        """Bytes from its beginning, through members without a name; None: no such field, or one of single bits."""
        number = self._btf.find(structure, STRUCT, UNION)
        return self._search(number, field) if number else None

    def has_helper(self, name: str) -> bool:
        """Whether programs may call `bpf_NAME`."""
        number = self._btf.find("bpf_func_id", ENUM)
        return bool(number) and f"BPF_FUNC_{name}" in self._btf.enumerators(self._btf.type(number))

    def pointees(self, tracepoint: str) -> list[str] | None:
        """For each argument of a raw tracepoint what structure it points to; None: there is no such tracepoint.

        VOID where the kernel does not say, empty where the argument is no pointer to a structure.
        """
        number = self._btf.find(f"btf_trace_{tracepoint}", TYPEDEF)
        if not number:
            return None
        prototype = self._btf.bare(self._btf.bare(number).size_or_type)
        return [self._pointee(number) for number in self._btf.parameters(prototype)][1:]

    def _pointee(self, number: int) -> str:
        found = self._btf.bare(number)
        if found.kind != POINTER:
            return ""
        target = self._btf.bare(found.size_or_type)
        if not target.address:
            return VOID
        return target.name if target.kind in (STRUCT, UNION) else ""

    def _search(self, number: int, field: str) -> int | None:
        for member in self._btf.members(self._btf.bare(number)):
            if not member.name:
                inner = self._search(member.number, field)
                if inner is not None:
                    return member.offset // 8 + inner
            elif member.name == field:
                return None if member.width else member.offset // 8
        return None
