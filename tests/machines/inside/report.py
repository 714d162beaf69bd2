"""What a kernel allows with a loader, and what that costs: `python3 -m machines.inside.report LOADER` prints JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fixtures.recordings import Recording, temporary_directory

from podcorder_agent.mounts import mount_points

RECORDER = """
import atexit, os, resource, runpy, sys
sys.argv[0] = "recorder"
def tell():
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = sum((own.ru_utime, own.ru_stime, children.ru_utime, children.ru_stime))
    print(seconds, children.ru_maxrss, file=open(os.environ["USAGE"], "w"))
atexit.register(tell)
runpy.run_module("podcorder_agent.recorder", run_name="__main__")
"""
"""A recorder that tells in the end how much processor time it and its children took, s, and the largest child, KiB."""
ATTACH_SECONDS = 600
ON_DEMAND = "syscalls"
"""The capability that is attached only where another stands on it."""
_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB", re.MULTILINE)


class MeasuredRecording(Recording):
    """One whose recorder tells what it used."""

    @property
    def command(self) -> list[str]:
        """The recorder's own."""
        _, _, _, *arguments = super().command
        return [sys.executable, "-c", RECORDER, *arguments]

    def launch(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "USAGE": str(self._usage)}
        return subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True, env=environment)

    @property
    def _usage(self) -> Path:
        return self.journal.parent / "usage"

    def read_usage(self) -> tuple[float, int]:
        """Processor time, s, and the largest child, bytes."""
        seconds, kibibytes = self._usage.read_text().split()
        return float(seconds), int(kibibytes) * 1024


def measure(loader: str) -> dict[str, Any]:
    """A recorder with everything attached: what each capability is, how long that takes, s, and the memory, bytes."""
    with temporary_directory() as name:
        began = time.monotonic()
        recording = MeasuredRecording(Path(name), loader=loader)
        ready = time.monotonic()
        try:
            recording.select(ends=["Exec"])
            states = wait_attached(recording)
            attached = time.monotonic()
            found = _PEAK.search(Path(f"/proc/{recording.recorder.pid}/status").read_text())
            assert found
            recording.stop()
        finally:
            recording.clean_up()
        cpu, child = recording.read_usage()
    return {
        "capabilities": states,
        "ready_seconds": round(ready - began, 1),
        "load_seconds": round(attached - began, 1),
        "cpu_seconds": round(cpu, 1),
        "recorder_bytes": int(found[1]) * 1024,
        "child_bytes": child if loader == "bcc" else 0,
    }


def wait_attached(recording: Recording) -> dict[str, Any]:
    """The states of the capabilities, when none is still to come."""
    deadline = time.monotonic() + ATTACH_SECONDS
    while time.monotonic() < deadline:
        states: dict[str, Any] = recording.client.health()["capabilities"]
        pending = [name for name, each in states.items() if each["state"] == "Off" and name != ON_DEMAND]
        if not pending:
            return states
        time.sleep(0.1)
    raise AssertionError(f"{pending} not attached after {ATTACH_SECONDS} s")


def ask_doctor(loader: str) -> dict[str, Any]:
    """Its report, whether or not this machine can record everything."""
    done = subprocess.run(["podcorder", "doctor", "--output", "json", "--loader", loader], stdout=subprocess.PIPE)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> None:
    (loader,) = sys.argv[1:]
    measured = measure(loader)  # first: what bcc compiles for it is there for all that come later
    doctor = ask_doctor(loader)
    report = measured | {
        "release": os.uname().release,
        "machine": os.uname().machine,
        "cgroups": [str(each) for kind in ("cgroup", "cgroup2") for each in mount_points(kind)],
        "checks": doctor["checks"],
        "rungs": doctor["rungs"],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
