"""docs/verifier-budget.md, from the checked-in table of `make verifier-budget`."""

from __future__ import annotations

import json
from pathlib import Path

TABLE = Path(__file__).parent.parent / "bpf/verifier-budget.json"
PROCESSED_LIMIT = 1_000_000
STACK_LIMIT = 512
OBJECTS = "objects"

INTRODUCTION = f"""\
Before a program runs, the kernel's verifier follows every way through it. It gives up at {PROCESSED_LIMIT:,}
instructions processed, and grants a program and the functions that it calls {STACK_LIMIT} bytes of stack. How many
instructions it processes depends on the kernel's version, and a small change may double it: so the figures are checked
in, and `make lint` fails where one has grown by more than a tenth, and at a program that has none.

Lint compares the compiled objects of all architectures, which takes no kernel, and as root also what the running
kernel's verifier says, if the table has that kernel. `make verifier-budget` measures both anew, and so acknowledges
what has grown. For other kernels run `PYTHONPATH=tests python -m budget measure >FILE` there, as on the
[test machines](test-machines.md), and `PYTHONPATH=tests python -m budget merge FILE` here.

The stack is that of the deepest chain of calls, each function's rounded up to 32 bytes, as kernels before 6.9 do.
"""

Figures = dict[str, int]


def verifier_budget_page(note: str) -> str:
    table: dict[str, dict[str, Figures]] = json.loads(TABLE.read_text(encoding="utf-8"))
    kernels = {name: section for name, section in table.items() if not name.startswith(OBJECTS)}
    objects = {name: section for name, section in table.items() if name.startswith(OBJECTS)}
    parts = ["# Verifier budget\n", note, INTRODUCTION, "## What is left\n", headroom_table(kernels)]
    for loader in sorted({name.split()[2] for name in kernels}, reverse=True):
        own = {name.removesuffix(f" {loader}"): each for name, each in kernels.items() if name.split()[2] == loader}
        parts += [
            f"## Each program, by `{loader}`\n",
            'Instructions processed / bytes of stack; "-" where it is not loaded.\n',
        ]
        parts += [program_table(own, "processed")]
    parts += ["## The compiled objects\n", "Instructions / bytes of stack, by reading them.\n"]
    parts += [program_table({name.split()[1]: each for name, each in objects.items()}, "instructions")]
    return "\n".join(parts).rstrip() + "\n"


def headroom_table(kernels: dict[str, dict[str, Figures]]) -> str:
    """The costliest program of each kernel against the limits."""
    lines = [
        "| kernel | loader | programs | most instructions processed | of the limit | deepest stack | bytes left |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, section in kernels.items():
        kernel, architecture, loader = name.split()
        costly = max(section, key=lambda each: section[each]["processed"])
        deep = max(section, key=lambda each: section[each]["stack"])
        processed, stack = section[costly]["processed"], section[deep]["stack"]
        lines.append(
            f"| {kernel} {architecture} | `{loader}` | {len(section)} | {processed:,} (`{costly}`) "
            f"| {processed / PROCESSED_LIMIT:.1%} | {stack} (`{deep}`) | {STACK_LIMIT - stack} |"
        )
    return "\n".join(lines) + "\n"


def program_table(sections: dict[str, dict[str, Figures]], figure: str) -> str:
    lines = [f"| program | {' | '.join(sections)} |", "|---" * (1 + len(sections)) + "|"]
    for program in sorted({each for section in sections.values() for each in section}):
        cells = (section.get(program) for section in sections.values())
        shown = (f"{each[figure]:,} / {each['stack']}" if each else "-" for each in cells)
        lines.append(f"| `{program}` | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"
