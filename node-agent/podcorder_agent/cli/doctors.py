"""`podcorder doctor`: what this machine can record, tried for real, and what to do about what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from podcorder_agent.cli.errors import ProbesFailed
from podcorder_agent.cli.halves import BPFFS, PINS_PREFIX
from podcorder_agent.cli.terminals import Style
from podcorder_agent.machine import CgroupsMissing, unified_mount
from podcorder_agent.machine.cgroups import leftovers, remove_parent, remove_tree

OPTIONAL = {"tracefs"}
"""Checks without which recording works."""


def examine(loader: str, *, clean: bool) -> dict[str, Any]:
    """The report of the recorder's probes, and the leftovers of all recordings. Raises ProbesFailed."""
    report = probe(["--loader", loader])
    try:
        cgroups = leftovers(unified_mount())
    except CgroupsMissing:
        cgroups = []
    left, removed, running = [], [], []
    for pins in sorted(each for each in BPFFS.glob(f"{PINS_PREFIX}*") if each.is_dir()) if BPFFS.exists() else []:
        found = probe(["--pins", str(pins), "--quick"])
        if found["recorder_running"]:
            running.append(str(pins))
        elif clean:
            probe(["--pins", str(pins), "--quick", "--clean"])
            removed.append(str(pins))
        else:
            left.append(str(pins))
    for each in cgroups:
        if clean and remove_tree(each):
            remove_parent(each)
            removed.append(str(each))
        else:
            left.append(str(each))
    report.update(leftovers=left, removed=removed, running=running, able=able(report))
    return report


def probe(arguments: list[str]) -> dict[str, Any]:
    """What `python -m podcorder_agent.recorder.probes` reports. Raises ProbesFailed."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "podcorder_agent.recorder.probes", "--json", *arguments],
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise ProbesFailed(f"cannot start {sys.executable}: {error.strerror}: run doctor as root") from None
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines()
        reason = said[-1] if said else f"exit code {done.returncode}"
        raise ProbesFailed(f"the recorder's probes gave no report: {reason}") from None
    return report


def able(report: dict[str, Any]) -> bool:
    """Whether recording works: every needed check is fine, and each capability has a rung."""
    fine = all(check["ok"] or check["name"] in OPTIONAL | {"bpffs"} for check in report["checks"])
    capabilities = {each["capability"] for each in report["rungs"]}
    reached = {each["capability"] for each in report["rungs"] if each["ok"]}
    return fine and bool(capabilities) and capabilities == reached


def draw(report: dict[str, Any], style: Style) -> Iterator[str]:
    """The lines of the report."""
    yes, no, some = ("✔", "✘", "!") if style.unicode else ("ok", "NO", "!")

    def mark(ok: bool, soft: bool = False) -> str:
        return style.paint(yes, "green") if ok else style.paint(some, "yellow") if soft else style.paint(no, "red")

    yield style.paint("This machine", "bold")
    for check in report["checks"]:
        soft = check["name"] in OPTIONAL or check["name"] == "bpffs"
        yield f"  {mark(check['ok'], soft)} {check['name']:<12} {check['detail']}"
        if check["remedy"]:
            own = check["name"] == "bpffs"
            yield f"      {'podcorder record does it: ' if own else 'to do: '}{check['remedy']}"
    yield style.paint("Capabilities, each rung loaded and attached with CAP_BPF and CAP_PERFMON alone", "bold")
    if not report["rungs"]:
        yield "  not tried: mend the above first"
    reached = {each["capability"] for each in report["rungs"] if each["ok"]}
    for rung in report["rungs"]:
        sign = mark(rung["ok"], rung["capability"] in reached)
        yield f"  {sign} {rung['capability']:<16} {rung['rung']:<12} {' '.join(rung['reason'].split())}"
    yield style.paint("Recordings", "bold")
    for pins in report["running"]:
        yield f"  under way: {pins}"
    for each in report["removed"]:
        yield f"  removed: {each}"
    for each in report["leftovers"]:
        yield f"  left behind: {each}"
    if report["leftovers"]:
        yield "      to do: podcorder doctor --clean"
    if not report["running"] and not report["removed"] and not report["leftovers"]:
        yield "  nothing left behind"
    yield style.paint(
        "This machine can record." if report["able"] else "This machine cannot record everything yet.", "bold"
    )
