"""Maps' descriptors in compiled instructions."""

from __future__ import annotations

import struct

from podcorder_agent.recorder.bcc.relocations import insert_maps

INSTRUCTION = struct.Struct("=BBhi")


def test_places_become_descriptors_and_nothing_else_changes() -> None:
    """A number that only looks like a map's is left alone, as is the second half of a long one."""
    program = [(0x18, 0x11, 0, 1), (0, 0, 0, 0), (0x18, 0x01, 0, 1), (0x18, 0x10, 0, 1), (0xB7, 0x10, 0, 1)]
    code = b"".join(INSTRUCTION.pack(*each) for each in program)
    changed = [INSTRUCTION.unpack_from(insert_maps(code, [40, 41]), at) for at in range(0, len(code), 8)]
    assert changed == [(0x18, 0x11, 0, 41), *program[1:]]
