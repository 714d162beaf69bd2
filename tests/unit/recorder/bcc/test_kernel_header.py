"""kernel.h written anew: every field where the kernel's types say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from podcorder_agent.recorder.bcc.kernel_header import POISON, place_fields
from podcorder_agent.recorder.bcc.sources import KERNEL_STUBS
from podcorder_agent.recorder.hooks import SOURCES

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
	unsigned int rare;
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
    placed = place_fields(HEADER, kernel).text
    expected = "".join(
        offset("pair", name, kernel.offset_of("pair", name) or 0) for name in ("first", "second", "rare")
    )
    expected += offset("pair", "there", 64) + offset("pair", "named.b", 0)
    expected += '_Static_assert(sizeof(struct pair) == 96 && KEPT && HAS_FIELD_pair_rare, "");\n'
    done = compile_c(tmp_path, "#include <linux/types.h>\n" + placed + expected)
    assert not done.returncode, done.stderr


def test_missing_fields_compile_and_are_found_in_what_reads_them(tmp_path: Path) -> None:
    """Each has a place that no other has, from which instructions are told; what asks first does not read it."""
    header = place_fields(HEADER, Kernel({"first": 0, "named": 8}, 64))
    assert header.missing == ["pair.second", "pair.there", "pair.rare"]
    places = [POISON + (index << 16) for index in range(3)]
    expected = offset("pair", "second", places[0]) + offset("pair", "rare", places[2])
    done = compile_c(tmp_path, "#include <linux/types.h>\n" + header.text + expected)
    assert not done.returncode, done.stderr
    assert [header.find_missing(place + 8) for place in places] == header.missing
    assert header.find_missing(-places[1]) == "pair.there"
    assert [header.find_missing(number) for number in (0, 64, POISON - 1, places[2] + (1 << 16))] == [""] * 4


def test_field_that_is_wider_here_is_still_where_the_kernel_has_it(tmp_path: Path) -> None:
    """Flags of 32 bits have become 64 before: C would put the wider field elsewhere."""
    header = place_fields("struct flags {\n\t__u64 wide;\n};\n", Kernel({"wide": 68}, 128))
    done = compile_c(tmp_path, "#include <linux/types.h>\n" + header.text + offset("flags", "wide", 68))
    assert not done.returncode, done.stderr


def test_every_structure_of_the_real_header_is_understood(tmp_path: Path) -> None:
    """Each has its fields asked for, and the result compiles."""
    header = (SOURCES / "kernel.h").read_text()
    kernel = AnyKernel()
    done = compile_c(tmp_path, place_fields(header, kernel).text)
    assert not done.returncode, done.stderr
    declared = set(re.findall(r"^struct (\w+) \{", header, re.MULTILINE))
    assert {structure for structure, _ in kernel.asked} == declared
    assert ("task_struct", "tgid") in kernel.asked
    assert ("sock_common", "skc_rcv_saddr") in kernel.asked


def test_line_that_is_not_understood_is_an_error() -> None:
    """Nothing is passed over in silence."""
    with pytest.raises(ValueError, match="is not understood"):
        place_fields("struct odd {\n\tint (*call)(void);\n\t42;\n};\n", AnyKernel())
