"""Functions are read from objects that clang makes of a few lines."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from budget.elf import Function, read_functions
from budget.objects import measure_objects
from budget.stacks import own_depth

SOURCE = """
#define INNER static __attribute__((noinline))
#define USE(kept) asm volatile("" : : "r"(kept) : "memory")
INNER int leaf(int x) { char kept[100]; USE(kept); return kept[x & 63]; }
INNER int middle(int x) { char kept[8]; USE(kept); return leaf(x) + leaf(kept[x & 7]); }
__attribute__((noinline)) int shared(int x) { volatile int kept = x; return kept; }
__attribute__((section("raw_tp/first"))) int first(void *context) { return middle(1) + shared(2); }
__attribute__((section("raw_tp/second"))) int second(void *context) { return 0; }
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two objects of the same source, one below the other."""
    directory = tmp_path_factory.mktemp("objects")
    source = directory / "source.c"
    source.write_text(SOURCE)
    for name in ("one.bpf.o", "deeper/one.bpf.o"):
        (directory / name).parent.mkdir(exist_ok=True)
        subprocess.run(["clang", "--target=bpf", "-O2", "-g", "-c", source, "-o", directory / name], check=True)
    return directory


@pytest.fixture(scope="module")
def functions(compiled: Path) -> dict[str, Function]:
    return read_functions(compiled / "one.bpf.o")


def test_programs_are_told_from_what_they_call(functions: dict[str, Function]) -> None:
    """A program is what stands in a section of its own."""
    assert {name for name, each in functions.items() if each.attached} == {"first", "second"}
    assert functions.keys() == {"leaf", "middle", "shared", "first", "second"}


def test_calls_are_followed(functions: dict[str, Function]) -> None:
    """Across sections and within one, of static functions and of global ones; each once."""
    callees = {name: each.callees for name, each in functions.items()}
    assert callees == {"first": ("middle", "shared"), "second": (), "middle": ("leaf",), "leaf": (), "shared": ()}


def test_the_stack_of_a_function_is_what_it_reaches(functions: dict[str, Function]) -> None:
    """By arrays as by single numbers."""
    depths = {name: own_depth(each) for name, each in functions.items()}
    assert depths["second"] == depths["first"] == 0
    assert 100 <= depths["leaf"] <= 104
    assert (depths["middle"], depths["shared"]) == (8, 4)


def test_objects_are_measured_with_all_that_programs_call(compiled: Path, functions: dict[str, Function]) -> None:
    """Each program under its object's place; of the functions that it calls every instruction counts once."""
    section = measure_objects(compiled)
    assert section.keys() == {"one/first", "one/second", "deeper/one/first", "deeper/one/second"}
    called = ("first", "middle", "leaf", "shared")
    assert section["one/first"] == {
        "instructions": sum(len(functions[name].instructions) for name in called),
        "stack": 32 + 32 + 128,
    }
    assert section["one/second"] == {"instructions": 2, "stack": 32}
    assert section["deeper/one/first"] == section["one/first"]
