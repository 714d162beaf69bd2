"""One instruction of a program, as the kernel takes it (include/uapi/linux/bpf.h)."""

from __future__ import annotations

import struct

INSTRUCTION = struct.Struct("=BBhi")
"""`struct bpf_insn`: operation, registers, offset, number."""
