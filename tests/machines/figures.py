"""What runs of kernels left in build/kernels goes into docs/kernels: `python -m machines.figures`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from budget.table import TABLE, merge_sections, read_table, render_table
from machines.kernel_runs import LOADERS, KernelRun, left_out
from machines.kernels import Kernel
from machines.systems import PROJECT

RUNS = PROJECT / "build" / "kernels"
FIGURES = PROJECT / "docs" / "kernels"
HIGHER_IS_BETTER = ("Failed", "Degraded", "Active")


def write_run(kernel: Kernel, loader: str, run: KernelRun, date: str) -> None:
    """Keep what one run said."""
    report = run.report | {
        "date": date,
        "passed": {str(path): count for path, count in sorted(run.passed.items())},
        "contradicted": run.contradicted,
        "left_out": left_out(kernel),
        "failed": run.failed,
    }
    RUNS.mkdir(parents=True, exist_ok=True)
    _run_path(kernel.name, loader).write_text(json.dumps(report))
    _run_path(kernel.name, f"{loader}.verifier").write_text(json.dumps(run.verifier))


def read_figures(kernel: Kernel) -> dict[str, Any]:
    """What was written down of a kernel, by loader; empty before it was first examined."""
    path = FIGURES / f"{kernel.name}.json"
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return figures


def compare(known: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """A sentence for each rung that was taken by the kernel and no longer is, and each capability that covers less."""
    worse = []
    now = {(each["capability"], each["rung"]) for each in found["rungs"] if each["ok"]}
    for each in known.get("rungs", ()):
        if each["ok"] and (each["capability"], each["rung"]) not in now:
            worse.append(f"{each['capability']} had the rung {each['rung']}")
    for name, state in known.get("capabilities", {}).items():
        new = found["capabilities"].get(name, {"state": "Failed", "reason": "it is no more"})
        if _rank(new["state"]) < _rank(state["state"]):
            worse.append(f"{name} was {state['state']} and is {new['state']}: {new['reason']}")
    return worse


def _rank(state: str) -> int:
    return HIGHER_IS_BETTER.index(state) if state in HIGHER_IS_BETTER else len(HIGHER_IS_BETTER)


def _run_path(name: str, loader: str) -> Path:
    return RUNS / f"{name}-{loader}.json"


def main() -> None:
    """Runs in which a test failed inside are left out. What was lost or has grown is written down: the diff has it."""
    FIGURES.mkdir(exist_ok=True)
    table = read_table()
    for path in sorted(RUNS.glob("*-core.json")) + sorted(RUNS.glob("*-bcc.json")):
        report = json.loads(path.read_text())
        name, _, loader = path.stem.rpartition("-")
        if report["failed"] or loader not in LOADERS:
            print(f"left out, since tests failed: {path.name}: {report['failed']}")
            continue
        page = FIGURES / f"{name}.json"
        figures = json.loads(page.read_text()) if page.exists() else {}
        for each in ("failed", "cgroups", "machine"):
            report.pop(each)
        figures[loader] = report
        page.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
        table = merge_sections(table, json.loads(_run_path(name, f"{loader}.verifier").read_text()))
    TABLE.write_text(render_table(table))


if __name__ == "__main__":
    main()
