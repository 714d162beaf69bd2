"""Whether the kernel is locked down for confidentiality: then no program may read its memory (kernel_lockdown(7)).

Tried with a program, since the pod of an agent does not see /sys/kernel/security. A kernel that is locked down denies
to know the helper; one before 5.13 may take the program and let the helper fail: every field would be recorded empty.
"""

from __future__ import annotations

import errno

from podcorder_agent.recorder.instructions import INSTRUCTION
from podcorder_agent.recorder.raw_tracepoints import RawTracepoint

_HELPER = 113
"""bpf_probe_read_kernel (include/uapi/linux/bpf.h)."""
_UNKNOWN = "unknown func"
"""What the verifier says of a helper that is not for this program, or not for this kernel."""


def _instruction(code: int, registers: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return INSTRUCTION.pack(code, registers, offset, value)


_PROGRAM = b"".join(
    [
        _instruction(0xBF, registers=0xA1),  # r1 = r10
        _instruction(0x07, registers=0x01, value=-8),  # r1 += -8
        _instruction(0xB7, registers=0x02, value=8),  # r2 = 8
        _instruction(0xB7, registers=0x03),  # r3 = 0, which the helper, where it reads, does not take for an address
        _instruction(0x85, value=_HELPER),
        _instruction(0x95),  # return r0
    ]
)


def is_locked_down() -> bool:
    """Asks the kernel; needs CAP_BPF and CAP_PERFMON."""
    try:
        program = RawTracepoint("try_reading", "sys_enter", _PROGRAM)
    except OSError as error:
        return _UNKNOWN in str(error)
    try:
        return program.run() == -errno.EPERM
    except OSError:
        return False  # before Linux 5.10 nothing tells
    finally:
        program.close()
