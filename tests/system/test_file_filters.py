"""Filters on files, applied in the kernel: what they leave out is never generated."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from fixtures.recordings import Recording, assert_law

from podcorder_agent.interpreter.events import FileOpen, FileOpenFailed

Record = Callable[..., Recording]


def opened(recording: Recording, base: Path) -> set[str]:
    """Names below `base` that were opened or tried."""
    events, counters = recording.interpret()
    assert assert_law(events, counters, {"open": FileOpen, "open_failed": FileOpenFailed}).total() == 0
    paths = [event.path for event in events if isinstance(event, FileOpen | FileOpenFailed)]
    prefix = bytes(base) + b"/"
    return {path.removeprefix(prefix).decode() for path in paths if path is not None and path.startswith(prefix)}


def make_files(base: Path) -> None:
    for name in ("in/a", "in/out/b", "in/out/in/c", "inside", "other/d"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).touch()


def test_the_longest_prefix_decides(record: Record, tmp_path: Path) -> None:
    """Of nested includes and excludes the most specific one decides, and a prefix ends where a directory does."""
    make_files(tmp_path)
    recording = record()
    recording.select(
        ["open", "open_failed"],
        paths=[
            {"prefix": f"{tmp_path}/in/", "verdict": "include"},
            {"prefix": f"{tmp_path}/in/out/", "verdict": "exclude"},
            {"prefix": f"{tmp_path}/in/out/in/", "verdict": "include"},
        ],
    )
    script = 'cd "$0"; cat in/a in/out/b in/out/in/c inside other/d; cat "$0/in/none" "$0/other/none"'
    recording.cgroup.run("/bin/sh", "-c", script, tmp_path, check=False, stderr=subprocess.DEVNULL)
    recording.stop()
    assert opened(recording, tmp_path) == {"in/a", "in/out/in/c", "in/none"}


def test_an_exclude_alone_lets_the_rest_through(record: Record, tmp_path: Path) -> None:
    """Where nothing is included, all that is not excluded is recorded."""
    make_files(tmp_path)
    recording = record()
    recording.select(["open", "open_failed"], paths=[{"prefix": f"{tmp_path}/in/", "verdict": "exclude"}])
    recording.cgroup.run("/bin/sh", "-c", 'cd "$0"; cat in/a inside other/d', tmp_path)
    recording.stop()
    assert opened(recording, tmp_path) == {"inside", "other/d"}


def test_writes_alone_are_recorded_where_asked(record: Record, tmp_path: Path) -> None:
    """With access `write` an open for reading is not recorded, one for writing or both is."""
    make_files(tmp_path)
    recording = record()
    recording.select(["open", "open_failed"], access=["write"])
    recording.cgroup.run("/bin/sh", "-c", 'cd "$0"; cat in/a; : >inside; : >>new; exec 3<>other/d', tmp_path)
    recording.stop()
    assert opened(recording, tmp_path) == {"inside", "new", "other/d"}
