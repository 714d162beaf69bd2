"""The exporter as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures import receivers
from fixtures.receivers import Receiver
from fixtures.unprivileged_recorder import UnprivilegedRecorder

RESIDENT_LIMIT = 80 << 20
"""Bytes, with one transport loaded."""


def start(journal: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-m", "podcorder_agent.delivery", "--journal", str(journal), *options]
    quiet = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    return subprocess.Popen(command, env=kept | quiet | environment, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_sigterm_ends_it_when_all_is_delivered(recorder: UnprivilegedRecorder, receiver: Receiver) -> None:
    """What is in the journal at SIGTERM still goes out, and the process ends well."""
    ids = recorder.opens(101)
    process = start(recorder.directory, "--to", receiver.url)
    wait_for(lambda: ids <= receiver.accepted.keys())
    ids |= recorder.opens(101)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=20)
    assert (process.returncode, told) == (0, "")
    assert ids <= receiver.accepted.keys()


def test_sigterm_ends_it_in_time_when_nobody_listens(recorder: UnprivilegedRecorder, receiver: Receiver) -> None:
    """With the receiver out the drain's time bounds the end, and the one who stopped it is told what is left."""
    receiver.usual = receivers.refuse(503)
    recorder.opens(101)
    process = start(recorder.directory, "--to", receiver.url, "--drain", "0.5")
    wait_for(lambda: receiver.seen)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=5)
    assert process.returncode == 46
    assert "it stays in the journal" in told
    assert recorder.acknowledged == []


def test_a_file_can_be_the_destination(recorder: UnprivilegedRecorder, tmp_path: Path) -> None:
    """With --to FILE everything there is becomes OTLP JSON lines."""
    ids = recorder.opens(101)
    process = start(recorder.directory, "--once", "--to", str(tmp_path / "out.jsonl"))
    assert process.wait(20) == 0
    text = (tmp_path / "out.jsonl").read_text()
    assert all(text.count(f'"{each}"') == 1 for each in ids)


@pytest.mark.parametrize(
    ("options", "environment", "code"),
    [
        (["--to", "ftp://nowhere"], {}, 40),
        (["--to", "localhost:4318"], {}, 40),
        ([], {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector"}, 40),
        ([], {"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier pigeon"}, 41),
        (["--to", "https://localhost"], {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/such.pem"}, 42),
        (["--to", "/no/such/directory/out.jsonl"], {}, 44),
        (["--user", "0"], {}, 45),
    ],
)
def test_bad_input_gives_one_sentence_and_a_code(
    recorder: UnprivilegedRecorder, options: list[str], environment: dict[str, str], code: int
) -> None:
    """What cannot be obeyed ends at once with one line that names the remedy, and no traceback."""
    process = start(recorder.directory, *options, **environment)
    _, told = process.communicate(timeout=20)
    assert process.returncode == code
    assert told.startswith("podcorder-exporter: ")
    assert told.count("\n") == 1


def test_it_is_no_larger_than_promised(recorder: UnprivilegedRecorder, receiver: Receiver) -> None:
    """At most 80 MB resident with traces and metrics on and a backlog to deliver."""
    ids = set().union(*(recorder.opens(2503) for _ in range(8)))
    process = start(recorder.directory, "--to", receiver.url, OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="otlp")
    wait_for(lambda: ids <= receiver.accepted.keys())
    status = Path(f"/proc/{process.pid}/status").read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    (peak,) = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    assert peak <= RESIDENT_LIMIT
