"""Fixtures of the tests on the real kernel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.containers import BusyContainer
from fixtures.recordings import Recording, build_workloads, temporary_directory

from podcorder_agent.recorder.loaders import ARCHITECTURES, OBJECTS


@pytest.fixture(scope="session")
def workloads() -> Path:
    return build_workloads()


@pytest.fixture
def raw_objects(tmp_path: Path) -> Path:
    """Compiled objects without those whose rungs come before plain raw tracepoints."""
    objects = OBJECTS / ARCHITECTURES[os.uname().machine]
    shutil.copytree(objects / "raw", tmp_path / "objects/raw")
    shutil.copy(objects / "identities.bpf.o", tmp_path / "objects")
    return tmp_path / "objects"


@pytest.fixture
def record() -> Iterator[Callable[..., Recording]]:
    """Start recordings: `record(ring_size=..., arguments=...)`; what a failed test leaves is cleaned up."""
    assert os.geteuid() == 0, "these tests load BPF programs: run them as root"
    recordings: list[Recording] = []
    with temporary_directory() as directory:

        def start(**options: object) -> Recording:
            own = Path(directory) / str(len(recordings))
            own.mkdir()
            recordings.append(Recording(own, **options))  # type: ignore[arg-type]
            return recordings[-1]

        try:
            yield start
        finally:
            for each in recordings:
                each.clean_up()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Recording], BusyContainer]]:
    """Start a container; what a failed test leaves is ended."""
    made: list[BusyContainer] = []

    def begin(recording: Recording) -> BusyContainer:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(BusyContainer(directory, f"{recording.name}-{len(made)}"))
        return made[-1]

    yield begin
    for each in made:
        each.end()
