"""docs/kernels.md, from the figures that `make test-kernels` leaves in docs/kernels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parent / "kernels"
LOADERS = ("core", "bcc")
INTRODUCTION = """\
`make test-kernels` boots each of these kernels in a [virtual machine](test-machines.md), has `podcorder doctor` try
every rung of every [capability](bpf.md) with either [loader](loaders.md), and runs tests: of everything in `tests/bpf`
and `tests/system` that asks something of the kernel, or fewer with `KERNEL_TESTS=short`, as `make test` does with two
kernels. `make test-kernels KERNELS='6.1 5.10'` takes some of them. A rung or a capability that is lost fails the run.
This page counts what the runs that it was made from had: see [Tests](#tests).
"""
COSTS = """\
A recorder with everything attached. The machines are emulated, several at a time, which takes ten to forty times as
long as a real one does: [loaders.md](loaders.md) has a real one's figures, and memory is the same there. "Ready" is
when it answers, "attached" when every program is at work. The child is the one in which bcc compiles; it is gone
afterwards.
"""
TESTS = """\
How many tests of each file passed there. Empty: the file was not in the list that was run. With `bcc` the comparison of
every event with `core`'s stands for the tests of single events.
"""
LEFT_OUT = """\
Tests of these files that were not run, by a part of their names, with either loader.
"""
LEGEND = """\
**taken**: by the recorder, and all that the capability promises is covered. **less**: taken, but the note says what is
not covered. *yes*: the kernel takes it, but a better one is there. no: refused, for the reason in the note. Empty: no
rung of this loader.
"""
Report = dict[str, Any]


def kernels_page(note: str) -> str:
    """One table of costs, and one of rungs for each loader; all reasons below."""
    reports = read_reports()
    reasons: dict[str, int] = {}
    parts = ["# Kernels\n", note, INTRODUCTION, "## What was run\n", run_table(reports), "## What it costs\n", COSTS]
    parts += [cost_table(reports)]
    parts += ["## Tests\n", TESTS, test_table(reports)]
    parts += ["## Not run\n", LEFT_OUT, left_out_table(reports)]
    for loader in LOADERS:
        own = {name: each[loader] for name, each in reports.items() if loader in each}
        if own:
            parts += [f"## Rungs, by `{loader}`\n", LEGEND, rung_table(own, reasons)]
    parts += ["## Notes\n", *(f"{number}. {reason}" for reason, number in reasons.items())]
    return "\n".join(parts).rstrip() + "\n"


def read_reports() -> dict[str, dict[str, Report]]:
    """By kernel and loader, in the order of versions."""
    reports = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FIGURES.glob("*.json")}
    return dict(sorted(reports.items(), key=lambda item: _order(item[0], item[1])))


def run_table(reports: dict[str, dict[str, Report]]) -> str:
    lines = [
        "| kernel | release | loader | examined on | tests passed | of what it does not see, failed as they must |",
        "|---|---|---|---|---|---|",
    ]
    for name, loader, each in _rows(reports):
        denied = ", ".join(f"`{test.partition('::')[2]}`" for test in each["contradicted"]) or "none"
        lines.append(
            f"| {name} | {each['release']} | `{loader}` | {each['date']} | {sum(each['passed'].values())} | {denied} |"
        )
    return "\n".join(lines) + "\n"


def test_table(reports: dict[str, dict[str, Report]]) -> str:
    """A row for each file, a column for each kernel and loader."""
    runs = _rows(reports)
    files = sorted({path for _, _, each in runs for path in each["passed"]})
    lines = [
        f"| file | {' | '.join(f'{name} `{loader}`' for name, loader, _ in runs)} |",
        "|---" * (1 + len(runs)) + "|",
    ]
    for path in files:
        counts = (str(each["passed"].get(path, "")) for _, _, each in runs)
        lines.append(f"| `{path.removeprefix('tests/')}` | {' | '.join(counts)} |")
    return "\n".join(lines) + "\n"


def left_out_table(reports: dict[str, dict[str, Report]]) -> str:
    """Each reason once, with the kernels that it is about."""
    kernels: dict[tuple[str, str], list[str]] = {}
    for name, _, each in _rows(reports):
        for left_out in each["left_out"].items():
            if name not in kernels.setdefault(left_out, []):
                kernels[left_out].append(name)
    lines = ["| test | kernel | why |", "|---|---|---|"]
    for (test, why), names in kernels.items():
        lines.append(f"| `{test}` | {'all' if len(names) == len(reports) else ', '.join(names)} | {why} |")
    return "\n".join(lines) + "\n"


def cost_table(reports: dict[str, dict[str, Report]]) -> str:
    lines = [
        "| kernel | loader | ready, s | attached, s | CPU, s | recorder at its most, MB | child at its most, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, loader, each in _rows(reports):
        child = f"{each['child_bytes'] / 1e6:.0f}" if each["child_bytes"] else ""
        lines.append(
            f"| {name} | `{loader}` | {each['ready_seconds']} | {each['load_seconds']} | {each['cpu_seconds']} "
            f"| {each['recorder_bytes'] / 1e6:.0f} | {child} |"
        )
    return "\n".join(lines) + "\n"


def rung_table(reports: dict[str, Report], reasons: dict[str, int]) -> str:
    """`reasons` numbers what the notes say, and grows."""
    rows = dict.fromkeys((rung["capability"], rung["rung"]) for each in reports.values() for rung in each["rungs"])
    lines = [f"| capability | rung | {' | '.join(reports)} |", "|---" * (2 + len(reports)) + "|"]
    for capability, name in rows:
        cells = (_cell(each, capability, name, reasons) for each in reports.values())
        lines.append(f"| {capability} | `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(report: Report, capability: str, name: str, reasons: dict[str, int]) -> str:
    found = [each for each in report["rungs"] if (each["capability"], each["rung"]) == (capability, name)]
    if not found:
        return ""
    rung = found[0]
    reason = " ".join(rung["reason"].split())
    note = f" ({reasons.setdefault(reason, len(reasons) + 1)})" if reason else ""
    if not rung["ok"]:
        return f"no{note}"
    if report["capabilities"][capability]["rung"] != name:
        return f"*yes*{note}"
    return f"**less**{note}" if reason else "**taken**"


def _rows(reports: dict[str, dict[str, Report]]) -> list[tuple[str, str, Report]]:
    return [(name, loader, each[loader]) for name, each in reports.items() for loader in LOADERS if loader in each]


def _order(name: str, reports: dict[str, Report]) -> tuple[str, list[int]]:
    release = next(iter(reports.values()))["release"]
    return (name.rpartition("-")[2], [int(each) for each in re.findall(r"\d+", release)[:3]])
