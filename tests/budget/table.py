"""The checked-in figures: sections of programs, and what has grown since."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from budget.stacks import LIMIT as STACK_LIMIT

TABLE = Path(__file__).parent.parent.parent / "bpf/verifier-budget.json"
PROCESSED_LIMIT = 1_000_000
"""Instructions that the verifier processes of one program before it gives up (BPF_COMPLEXITY_LIMIT_INSNS)."""
TOLERANCE = 0.1

Figures = dict[str, int]
"""Of one program: `stack`, and `instructions` of an object or `processed` by a verifier."""
Section = dict[str, Figures]
"""By `object/program`."""
Table = dict[str, Section]
"""By `objects ARCHITECTURE`, or `KERNEL ARCHITECTURE LOADER` where KERNEL is major.minor."""

UNITS = {
    "instructions": "instructions",
    "processed": "instructions processed by the verifier",
    "stack": "bytes of stack",
}
LIMITS = {"processed": PROCESSED_LIMIT, "stack": STACK_LIMIT}


def read_table(path: Path = TABLE) -> Table:
    table: Table = json.loads(path.read_text()) if path.exists() else {}
    return table


def render_table(table: Table) -> str:
    """JSON with one program a line, kernels in the order of their versions."""
    sections = []
    for name in sorted(table, key=_section_order):
        lines = (f"    {json.dumps(key)}: {json.dumps(each)}" for key, each in sorted(table[name].items()))
        sections.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(sections) + "\n}\n"


def merge_sections(table: Table, measured: Table) -> Table:
    """What was measured replaces what was known of the same kernel; programs that are no more are left out of all."""
    merged = table | measured
    present = {program for name, section in merged.items() if name.startswith("objects ") for program in section}
    return {
        name: {program: each for program, each in section.items() if program in present}
        for name, section in merged.items()
    }


def compare_section(name: str, known: Mapping[str, Figures], measured: Mapping[str, Figures], remedy: str) -> list[str]:
    """A sentence for each figure that has grown too much, and for each program that has none or is gone."""
    found = []
    for program, figures in sorted(measured.items()):
        if program not in known:
            found.append(f"{program} ({name}) is not in the table: {remedy}.")
            continue
        for figure, new in figures.items():
            old = known[program].get(figure, 0)
            if new > LIMITS.get(figure, new):
                found.append(f"{program} ({name}) takes {new:,} {UNITS[figure]}, of at most {LIMITS[figure]:,}.")
            elif new > old * (1 + TOLERANCE):
                found.append(
                    f"{program} ({name}) takes {new:,} {UNITS[figure]}, and {old:,} before: "
                    f"make it cheaper, or {remedy}."
                )
    found += [
        f"{program} ({name}) is in the table and no longer loads: if that is meant, {remedy}."
        for program in sorted(known.keys() - measured.keys())
    ]
    return found


def _section_order(name: str) -> tuple[object, ...]:
    kernel = re.match(r"(\d+)\.(\d+) ", name)
    return (1, int(kernel[1]), int(kernel[2]), name) if kernel else (0, 0, 0, name)
