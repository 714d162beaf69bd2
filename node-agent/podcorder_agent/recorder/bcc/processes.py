"""The processes of our own pid namespace, each asked of the kernel by its descriptor (pidfd_open(2))."""

from __future__ import annotations

import os
from pathlib import Path

from podcorder_agent.recorder.loaders import IDENTITY
from podcorder_agent.recorder.raw_tracepoints import RawTracepoint

_PART_TGID, _PART_START, _PART_START_HIGH = range(3)
"""`enum identity_part` of bpf/identities.bpf.c."""


def list_processes(program: RawTracepoint) -> bytes:
    """A `struct identity` for each."""
    numbers = sorted(int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    return b"".join(_ask(program, number) for number in numbers)


def _ask(program: RawTracepoint, pid: int) -> bytes:
    """Empty where the process is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return b""
    try:
        tgid, low, high = (
            program.run(descriptor, part) & 0xFFFFFFFF for part in (_PART_TGID, _PART_START, _PART_START_HIGH)
        )
    finally:
        os.close(descriptor)
    start = high << 32 | low
    return IDENTITY.pack(pid, tgid, start) if tgid and start else b""
