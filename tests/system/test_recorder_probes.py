"""What `doctor` is told about this machine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fixtures.recordings import LOADER, Recording

from podcorder_agent.recorder.ladders import LADDERS

Record = Callable[..., Recording]


def probe(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "podcorder_agent.recorder.probes",
        "--json",
        "--loader",
        LOADER,
        *map(str, arguments),
    ]
    command += map(str, arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout)) if done.stdout else {"error": done.stderr}


def test_every_rung_is_tried(record: Record) -> None:
    """Each rung of each ladder is loaded and attached for real, beside a recorder that works."""
    recording = record()
    report = probe("--pins", recording.pins)
    tried = [(each["capability"], each["rung"]) for each in report["rungs"]]
    assert tried == [(each.name, rung.name) for each in LADDERS for rung in each.rungs]
    assert {each["capability"] for each in report["rungs"] if each["ok"]} == {each.name for each in LADDERS}
    assert {check["name"] for check in report["checks"] if check["ok"]} >= {"privileges", "kernel", "btf", "bpffs"}
    assert report["recorder_running"]
    assert report["leftovers"] == []
    recording.stop()


def test_rung_taken_is_the_first_that_the_probes_find(record: Record) -> None:
    """What `doctor` shows of a ladder is what a recorder makes of it: refused rungs have reasons, the next is taken."""
    recording = record()
    recording.select(ends=["Exec"])
    states = recording.client.health()["capabilities"]
    first: dict[str, str] = {}
    for each in probe("--pins", recording.pins)["rungs"]:
        assert each["ok"] or each["reason"]
        if each["ok"]:
            first.setdefault(each["capability"], each["rung"])
    assert {name: state["rung"] for name, state in states.items()} == first
    recording.stop()


def test_clean_removes_what_a_dead_recorder_left(record: Record) -> None:
    """Leftovers are listed, and cleaned away; nothing is while a recorder works."""
    recording = record()
    recording.select(["exec"])
    rung = recording.client.health()["capabilities"]["processes"]["rung"]
    assert "Another recorder" in probe("--pins", recording.pins, "--clean", code=13)["error"]
    recording.recorder.send_signal(signal.SIGKILL)
    recording.recorder.wait()
    assert "maps/events" in probe("--pins", recording.pins)["leftovers"]
    report = probe("--pins", recording.pins, "--clean")
    assert f"links/processes/{rung}/record_exec" in report["removed"]
    assert report["leftovers"] == []
    assert not recording.pins.exists()


def test_missing_objects_are_reported_not_raised(tmp_path: Path) -> None:
    """A rung whose object is not there is a rung that does not load."""
    report = probe("--pins", "/sys/fs/bpf/podcorder-test-none", "--objects", tmp_path)
    assert {each["ok"] for each in report["rungs"]} == {False}
    assert "is missing" in report["rungs"][0]["reason"]
