"""A kernel without a tracepoint that a program is for: what another kernel calls it is a name that this one lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.faulty_kernels import compile_changed
from fixtures.recordings import Recording

from podcorder_agent.interpreter.events import FileOpen, Finding, ProcessExec

Record = Callable[..., Recording]

KNOWN, UNKNOWN = "sched_process_exec", "sched_process_exex"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources in `bpf` and objects of them, whose program for execs is for a tracepoint that is nowhere."""
    made = tmp_path_factory.mktemp("programs")
    compile_changed(made, "process.bpf.c", KNOWN, UNKNOWN)
    return made


@pytest.mark.parametrize("loader", ["core", "bcc"])
def test_a_missing_tracepoint_costs_its_capability_alone(loader: str, directory: Path, record: Record) -> None:
    """It fails by the name, with either loader and on each of its rungs; the others record, and a finding tells."""
    objects = next((directory / "objects").iterdir())
    recording = record(loader=loader, arguments=["--objects", str(objects), "--sources", str(directory / "bpf")])
    recording.select(["exec", "open"])
    states = recording.client.health()["capabilities"]
    assert states["processes"]["state"] == "Failed"
    reasons = [each for each in states["processes"]["reason"].split("; ") if "it needs the kernel's types" not in each]
    assert reasons
    assert all(UNKNOWN in reason for reason in reasons)
    assert states["files"]["state"] == "Active"
    recording.cgroup.run("cat", "/etc/passwd")
    recording.stop()
    assert recording.events(FileOpen, lambda each: each.path == b"/etc/passwd")
    assert not recording.events(ProcessExec)
    (finding,) = recording.events(Finding)
    assert (finding.subject, UNKNOWN in finding.message) == ("processes", True)
