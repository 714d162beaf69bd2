"""kill -9 of either half, again and again under load: every event is there once, or it is counted."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fixtures.recordings import Recording, assert_law

from podcorder_agent.interpreter.events import FileOpen, FileOpenFailed, ProcessExec, ProcessExit, ProcessFork

Record = Callable[..., Recording]

KILLS = 20
RING = 64 * 1024 * 1024
"""Holds what this load makes in the second that a restart may take."""


class Load:
    """Opens a file 1,009 times, rests, and again: in the recording's cgroup until told to stop."""

    def __init__(self, recording: Recording, workloads: Path, target: Path) -> None:
        self._running = target.with_suffix(".running")
        self._running.touch()
        script = f'while [ -e "{self._running}" ]; do "{workloads}/opens" 1009 "{target}"; sleep 0.1; done'
        self._process = recording.cgroup.start(["/bin/sh", "-c", script])

    def stop(self) -> int:
        """How often the file was opened."""
        self._running.unlink()
        printed, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return sum(int(line.split()[0]) for line in printed.splitlines())


def test_a_killed_recorder_loses_nothing(record: Record, workloads: Path, tmp_path: Path) -> None:
    """After 20 kill -9 of the recorder at random moments each event is there once and nothing was lost."""
    chance = random.Random(20261122)
    target = tmp_path / "target"
    target.touch()
    recording = record(ring_size=RING)
    recording.select()
    load = Load(recording, workloads, target)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, 0.4))  # the random moment is the point
        recording.recorder.kill()
        recording.recorder.wait()
        recording.start_recorder()
        assert recording.ready["resumed"] is True
    opened = load.stop()
    recording.stop()
    events, counters = recording.interpret()
    seen = [event for event in events if type(event) is FileOpen and event.path == bytes(target)]
    assert len(seen) == opened
    assert len({event.id for event in events}) == len(events), "an event is there twice"
    classes = {"open": FileOpen, "open_failed": FileOpenFailed, "exec": ProcessExec, "fork": ProcessFork}
    assert assert_law(events, counters, classes | {"exit": ProcessExit}).total() == 0


def test_a_recorder_killed_at_full_load_counts_what_it_lost(record: Record, workloads: Path, tmp_path: Path) -> None:
    """With a ring too small for the time a restart takes, what overflowed while nobody drained is in the gaps."""
    chance = random.Random(5)
    target = tmp_path / "target"
    target.touch()
    recording = record(ring_size=64 * 1024)
    recording.select()
    load = recording.cgroup.start([workloads / "opens", "1000003", target])
    for _ in range(5):
        time.sleep(chance.uniform(0.0, 0.2))  # the random moment is the point
        recording.recorder.kill()
        recording.recorder.wait()
        recording.start_recorder()
    printed, _ = load.communicate(timeout=120)
    assert printed.split() == ["1000003", "0"]
    recording.stop()
    events, counters = recording.interpret()
    losses = assert_law(events, counters, {"open": FileOpen, "open_failed": FileOpenFailed})
    seen = sum(type(event) is FileOpen and event.path == bytes(target) for event in events)
    assert losses["open"] > 0
    assert seen < 1_000_003 <= seen + losses["open"]


def start_exporter(recording: Recording, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "podcorder_agent.delivery", "--journal", recording.journal, "--to", output]
    return subprocess.Popen(command)


def delivered_ids(output: Path) -> Counter[str]:
    """Record ids of an OTLP JSON lines file; a line that a kill cut short is no line."""
    ids: Counter[str] = Counter()
    for line in output.read_bytes().split(b"\n")[:-1]:
        for resource in json.loads(line)["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                for log in scope["logRecords"]:
                    values = {each["key"]: each["value"] for each in log["attributes"]}
                    ids[values["podcorder.record.id"]["stringValue"]] += 1
    return ids


def test_a_killed_exporter_loses_nothing(record: Record, workloads: Path, tmp_path: Path) -> None:
    """After 20 kill -9 of the exporter at random moments each event is delivered, once after de-duplication."""
    chance = random.Random(7)
    target, output = tmp_path / "target", tmp_path / "events.otlp.jsonl"
    target.touch()
    recording = record(ring_size=RING)
    recording.select()
    load = Load(recording, workloads, target)
    exporter = start_exporter(recording, output)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.3, 1.2))  # the random moment is the point; from before the first delivery to after
        exporter.kill()
        exporter.wait()
        exporter = start_exporter(recording, output)
    opened = load.stop()
    exporter.terminate()
    exporter.wait(30)
    recording.stop()
    last = subprocess.run(
        [sys.executable, "-m", "podcorder_agent.delivery", "--journal", recording.journal, "--to", output, "--once"]
    )
    assert last.returncode == 0
    events, _ = recording.interpret()
    assert sum(type(event) is FileOpen and event.path == bytes(target) for event in events) == opened
    delivered = delivered_ids(output)
    assert set(delivered) == {event.id for event in events}
