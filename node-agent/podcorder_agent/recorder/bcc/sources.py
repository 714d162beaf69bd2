"""What bcc is given besides the programs' sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

from podcorder_agent.recorder.hooks import DEBUG_LICENSE, LICENSE

PREFIX = "run_"
"""Of the function that bcc sees for a program: of those in files that are included it takes none."""

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
