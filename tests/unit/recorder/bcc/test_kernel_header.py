"""kernel.h written anew: every field where the kernel's types say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from podcorder_agent.recorder.bcc.kernel_header import place_fields
from podcorder_agent.recorder.bcc.sources import KERNEL_STUBS, SOURCES

HEADER = """\
#define KEPT 1
struct other;
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct pair {
	int first, *second; /* one, two; three */
	const struct other *there[2];
	union {
		int a, b;
	} named;
	unsigned int rare __optional;
};
#pragma clang attribute pop
"""


class Kernel:
    """Types of a kernel that never was: fields at the offsets given."""

    def __init__(self, offsets: dict[str, int], size: int) -> None:
        self._offsets = offsets
        self._size = size

    def size_of(self, name: str) -> int | None:
        return self._size

    def offset_of(self, structure: str, field: str) -> int | None:
        return self._offsets.get(field)


class AnyKernel:
    """Has every field, each in a place of its own."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def size_of(self, name: str) -> int | None:
        return 1 << 16

    def offset_of(self, structure: str, field: str) -> int | None:
        self.asked.append((structure, field))
        return 64 * len(self.asked) % (1 << 15)


def compile_c(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    for name, stub in KERNEL_STUBS.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(stub)
    command = ["clang", "-nostdinc", "-fsyntax-only", "-Werror", "-D__TARGET_ARCH_x86", f"-I{directory}", "-xc", "-"]
    return subprocess.run(command, input=text, text=True, capture_output=True, check=False)


def offset(structure: str, field: str, expected: int) -> str:
    return f'_Static_assert(__builtin_offsetof(struct {structure}, {field}) == {expected}, "");\n'


def test_fields_are_where_the_kernel_has_them(tmp_path: Path) -> None:
    """In any order, overlapping or not; the structure has the kernel's size."""
    kernel = Kernel({"first": 12, "second": 40, "there": 64, "named": 0, "rare": 4}, 96)
    placed = place_fields(HEADER, kernel)
    expected = "".join(
        offset("pair", name, kernel.offset_of("pair", name) or 0) for name in ("first", "second", "rare")
    )
    expected += offset("pair", "there", 64) + offset("pair", "named.b", 0)
    expected += '_Static_assert(sizeof(struct pair) == 96 && KEPT && HAS_FIELD_pair_rare, "");\n'
    done = compile_c(tmp_path, "#include <linux/types.h>\n" + placed + expected)
    assert not done.returncode, done.stderr


def test_missing_field_does_not_compile_and_an_optional_one_is_known_to_be_missing(tmp_path: Path) -> None:
    """What a program cannot do without is refused by the compiler, by name; what it asks for first is not."""
    text = "#include <linux/types.h>\n" + place_fields(HEADER, Kernel({"first": 0}, 64))
    usable = compile_c(
        tmp_path, text + "int f(struct pair *p) { return HAS_FIELD_pair_rare ? (int)p->rare : p->first; }"
    )
    assert not usable.returncode, usable.stderr
    refused = compile_c(tmp_path, text + "void *f(struct pair *p) { return p->second; }")
    assert "no member named 'second' in 'struct pair'" in refused.stderr


def test_misplaced_field_is_refused(tmp_path: Path) -> None:
    """A place that C would round up is told instead."""
    done = compile_c(tmp_path, "#include <linux/types.h>\n" + place_fields(HEADER, Kernel({"first": 3}, 64)))
    assert "pair.first is not aligned" in done.stderr


def test_every_structure_of_the_real_header_is_understood(tmp_path: Path) -> None:
    """Each has its fields asked for, and the result compiles."""
    header = (SOURCES / "kernel.h").read_text()
    kernel = AnyKernel()
    done = compile_c(tmp_path, place_fields(header, kernel))
    assert not done.returncode, done.stderr
    declared = set(re.findall(r"^struct (\w+) \{", header, re.MULTILINE))
    assert {structure for structure, _ in kernel.asked} == declared
    assert ("task_struct", "tgid") in kernel.asked
    assert ("sock_common", "skc_rcv_saddr") in kernel.asked


def test_line_that_is_not_understood_is_an_error() -> None:
    """Nothing is passed over in silence."""
    with pytest.raises(ValueError, match="is not understood"):
        place_fields("struct odd {\n\tint (*call)(void);\n\t42;\n};\n", AnyKernel())
