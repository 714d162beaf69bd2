"""The figures that need no kernel: of every program in the compiled objects."""

from __future__ import annotations

from pathlib import Path

from budget.elf import read_functions
from budget.stacks import called_functions, chain_depth, own_depth
from budget.table import Section

SUFFIX = ".bpf.o"


def measure_objects(directory: Path) -> Section:
    """Instructions and stack, that of the functions that a program calls included."""
    section = {}
    for path in sorted(directory.rglob(f"*{SUFFIX}")):
        functions = read_functions(path)
        depths = {name: own_depth(each) for name, each in functions.items()}
        place = str(path.relative_to(directory)).removesuffix(SUFFIX)
        for name in (each.name for each in functions.values() if each.attached):
            count = sum(len(each.instructions) for each in called_functions(functions, name))
            section[f"{place}/{name}"] = {"instructions": count, "stack": chain_depth(functions, name, depths)}
    return section
