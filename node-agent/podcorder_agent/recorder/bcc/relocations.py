"""Instructions that name maps by their place among an object's, given the maps' descriptors."""

from __future__ import annotations

from collections.abc import Sequence

from podcorder_agent.recorder.instructions import INSTRUCTION

_LOAD_64 = 0x18
"""Takes two instructions, of which the second has the upper half of the number."""
_MAP = 1
"""In its source register: the number is a map's descriptor (BPF_PSEUDO_MAP_FD)."""


def insert_maps(code: bytes, descriptors: Sequence[int]) -> bytes:
    """The same instructions, for the loader of this process."""
    changed = bytearray(code)
    at = 0
    while at < len(code):
        operation, registers, offset, number = INSTRUCTION.unpack_from(code, at)
        if operation == _LOAD_64 and registers >> 4 == _MAP:
            INSTRUCTION.pack_into(changed, at, operation, registers, offset, descriptors[number])
        at += INSTRUCTION.size * (2 if operation == _LOAD_64 else 1)
    return bytes(changed)
