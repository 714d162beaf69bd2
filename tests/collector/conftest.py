"""What the tests against the real collector need: it, a recorder without a kernel, and exporter processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.collectors import Collector, find_binary
from fixtures.unprivileged_recorder import UnprivilegedRecorder


@pytest.fixture(scope="session")
def collector_binary() -> Path:
    return find_binary()


@pytest.fixture
def collector(collector_binary: Path, tmp_path: Path) -> Iterator[Collector]:
    found = Collector(collector_binary, tmp_path)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[UnprivilegedRecorder]:
    with UnprivilegedRecorder(tmp_path / "journal") as found:
        found.begin()
        yield found


Exporters = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start_exporter(recorder: UnprivilegedRecorder) -> Iterator[Exporters]:
    """Starts exporter processes as they are started in earnest; those that still run are ended."""
    started: list[subprocess.Popen[str]] = []

    def start(to: str, *options: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "podcorder_agent.delivery", "--journal", str(recorder.directory)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        process = subprocess.Popen([*command, "--to", to, *options], env=kept | environment, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.wait(30)


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object], float], None]:
    def wait(condition: Callable[[], object], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.1)

    return wait
