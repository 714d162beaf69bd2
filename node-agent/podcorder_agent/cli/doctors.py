"""`podcorder doctor`: what this machine can record, tried for real, and what to do about what is missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from podcorder_agent.cli import traces
from podcorder_agent.cli.errors import NotRoot, ProbesFailed, TraceNotWritten
from podcorder_agent.cli.halves import PINS_PREFIX
from podcorder_agent.cli.reports import say
from podcorder_agent.cli.terminals import Style, counted
from podcorder_agent.machine import CgroupsMissing, unified_mount
from podcorder_agent.machine.cgroups import leftovers, remove_parent, remove_tree
from podcorder_agent.mounts import mount_points

OPTIONAL = {"tracefs"}
"""Checks without which recording works."""


def examine(loader: str, *, clean: bool) -> dict[str, Any]:
    """The report of the recorder's probes, and the leftovers of all recordings. Raises ProbesFailed."""
    report = probe(["--loader", loader])
    try:
        cgroups = leftovers(unified_mount())
    except CgroupsMissing:
        cgroups = []
    left, running = [], []
    removed = [str(each) for each in traces.remove_left()] if clean else []
    debug_builds = {}
    for pins in find_pins():
        found = probe(["--pins", str(pins), "--quick"])
        if found["recorder_running"]:
            running.append(str(pins))
            if found["trace"]:
                debug_builds[str(pins)] = found["trace"]
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
    report.update(leftovers=left, removed=removed, running=running, debug_builds=debug_builds, able=able(report))
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


def follow_trace(level: str | None, output: str, style: Style) -> None:
    """Print log lines until a signal, or until nobody reads them.

    Raises NotRoot, TraceNotWritten, TracefsMissing, TraceUnusable, ProbesFailed.
    """
    if os.geteuid() != 0:
        raise NotRoot("log lines are root's to read: run it with sudo")
    instances = traces.find_instances()
    builds = find_debug_builds()
    if not builds:
        raise TraceNotWritten(
            "no recorder here writes log lines: start one of a debug build (podcorder record --trace debug)"
        )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    booted = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with traces.open_trace(instances) as trace:
        for pins, written in builds.items():
            say(f"reading log lines up to level {written} of {pins}: Ctrl-C ends it")
        lost = 0
        for line in trace.lines(sys.stdout.fileno()):
            if not level or traces.includes(level, line.level):
                click.echo(traces.to_json(line, booted) if output == "json" else traces.draw(line, booted, style))
            if trace.lost > lost:
                lost = trace.lost
                say(f"{counted(lost, 'line')} lost so far: more came than were read")


def find_debug_builds() -> dict[str, str]:
    """The level of what recorders write that are at work now, by their pins. Raises ProbesFailed."""
    found = {}
    for pins in find_pins():
        report = probe(["--pins", str(pins), "--quick"])
        if report["recorder_running"] and report["trace"]:
            found[str(pins)] = report["trace"]
    return found


def find_pins() -> list[Path]:
    """Whatever recorders have pinned, each in a directory of its own; a node's may be seen from a container."""
    found: dict[tuple[int, int], Path] = {}
    for place in mount_points("bpf"):
        for each in sorted(each for each in place.glob(f"{PINS_PREFIX}*") if each.is_dir()):
            found.setdefault((each.stat().st_dev, each.stat().st_ino), each)
    return list(found.values())


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
        level = report["debug_builds"].get(pins)
        yield f"  under way: {pins}" + (f", a debug build, which is slow: log lines of level {level}" if level else "")
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
