"""The programs' sources: what each program is attached to, as its source declares it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple, Protocol

from podcorder_agent.recorder.kernel_types import VOID

SOURCES = Path(__file__).parent / "sources"
"""Copies of bpf/, made with the objects."""
LICENSE = "Dual BSD/GPL"
DEBUG_LICENSE = "GPL"
"""Only under this one a program may write log lines; both as in bpf/log.bpf.h."""

_PROGRAM = re.compile(r"^PROGRAM\((\w+), (\w+)\)\s+int (?:BPF_PROG\((\w+)((?:,\s+[^,)]+)*)\)|(\w+)\()", re.MULTILINE)
_POINTER = re.compile(r"(?:const )?struct (\w+) \*\w+")


class Tracepoints(Protocol):
    """What is known of a kernel's tracepoints."""

    def pointees(self, tracepoint: str) -> list[str] | None: ...


class Hook(NamedTuple):
    """What a program is attached to."""

    kind: str
    """As the source names it: `tracepoint`, `function_exit`, `iterator`."""
    target: str
    pointees: tuple[str, ...]
    """What structure each argument is taken to point to, or ""; only as many as the program names."""


def read_hooks(source: Path) -> dict[str, Hook]:
    """Hooks by program, as the source declares them."""
    hooks = {}
    for kind, target, name, arguments, plain in _PROGRAM.findall(source.read_text()):
        pointees = []
        for argument in arguments.split(",")[1:]:
            pointer = _POINTER.fullmatch(argument.strip())
            pointees.append(pointer[1] if pointer else "")
        hooks[name or plain] = Hook(kind, target, tuple(pointees))
    return hooks


def find_mismatch(hook: Hook, types: Tracepoints) -> str:
    """Why a raw tracepoint hands over something else than its program takes it for; empty: it does not.

    To the verifier its arguments are bare numbers.
    """
    given = types.pointees(hook.target)
    if given is None:
        return f"this kernel has no tracepoint {hook.target}"
    for wanted, found in zip(hook.pointees, [*given, *[""] * len(hook.pointees)], strict=False):
        if wanted and found not in (wanted, VOID):
            return f"the tracepoint {hook.target} hands over no struct {wanted} here"
    return ""
