"""The programs' sources: what each program is attached to, and what bcc is given besides them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict

from podcorder_agent.recorder.bcc.kernel_types import VOID

SOURCES = Path(__file__).parents[1] / "sources"
"""Copies of bpf/, made with the objects."""
LICENSE = "Dual BSD/GPL"
DEBUG_LICENSE = "GPL"
"""Only under this one a program may write log lines; both as in bpf/log.bpf.h."""
PREFIX = "run_"
"""Of the function that bcc sees for a program: of those in files that are included it takes none."""

_PROGRAM = re.compile(r"^PROGRAM\((\w+), (\w+)\)\s+int (?:BPF_PROG\((\w+)((?:,\s+[^,)]+)*)\)|(\w+)\()", re.MULTILINE)
_POINTER = re.compile(r"(?:const )?struct (\w+) \*\w+")

KERNEL_STUBS = {
    "linux/kconfig.h": "#define CONFIG_BPF_SYSCALL 1\n",
    "linux/types.h": """\
#ifndef PODCORDER_TYPES_H
#define PODCORDER_TYPES_H
typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __s8 s8;
typedef __u8 u8;
typedef __s16 s16;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef __u16 __be16, __le16, __sum16;
typedef __u32 __be32, __le32, __wsum;
typedef __u64 __be64, __le64;
typedef unsigned long size_t, uintptr_t;
#define __aligned_u64 __u64 __attribute__((aligned(8)))
#define __bitwise
#endif
""",
    "linux/bpf.h": "",
    "linux/bpf_common.h": "",
    "linux/log2.h": "",
    "linux/version.h": "#define LINUX_VERSION_CODE 0\n#define KERNEL_VERSION(a, b, c) 0\n",
    "asm/page.h": "",
    "uapi/linux/bpf.h": "",
    "uapi/linux/if_packet.h": "",
}
"""All that bcc's own headers include of the kernel's, by path below include/."""


class MapLayout(TypedDict):
    """Of a map that is made elsewhere."""

    key_bytes: int
    value_bytes: int


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


def write_main(object_name: str, programs: Iterable[str], license: str = LICENSE) -> str:
    """The file that bcc is given: the source, and a function of its own for each program that is wanted."""
    build = ["#define DEBUG"] if license == DEBUG_LICENSE else []
    functions = [f"int {PREFIX}{name}(__u64 *context) {{ return {name}(context); }}" for name in programs]
    return "\n".join([*build, f"#define BPF_LICENSE {license}", f'#include "{object_name}.bpf.c"', *functions, ""])


def write_maps(maps: Mapping[str, MapLayout], constants: Mapping[str, int]) -> str:
    """The header <podcorder/maps.h>; each map is named by its place."""
    lines = []
    for place, (name, layout) in enumerate(maps.items()):
        lines.append(f"#define PLACE_{name} {place}")
        lines.append(f"#define KEY_BYTES_{name} {layout['key_bytes']}")
        lines.append(f"#define VALUE_BYTES_{name} {layout['value_bytes']}")
    lines += [f"#define KNOB_{name} {value}" for name, value in constants.items()]
    return "\n".join([*lines, ""])
