"""The exporter started as root lets go of everything. Needs root."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fixtures.receivers import Receiver
from fixtures.unprivileged_recorder import UnprivilegedRecorder

EXPORTER = 64999
"""A uid and gid that nobody else has."""


def read_statuses(pid: int) -> list[dict[str, list[str]]]:
    """What the kernel says of each thread."""
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return [
        {name: value.split() for name, _, value in (line.partition(":") for line in text.splitlines())}
        for text in texts
    ]


def test_an_exporter_with_a_user_has_no_privileges_and_delivers() -> None:
    """With --user it runs as that uid in the journal's group alone, without capabilities, for good; and it delivers."""
    with tempfile.TemporaryDirectory() as found, Receiver() as receiver:
        Path(found).chmod(0o755)
        with UnprivilegedRecorder(Path(found) / "journal", exporter=EXPORTER) as recorder:
            recorder.begin()
            ids = recorder.opens(101)
            command = [sys.executable, "-m", "podcorder_agent.delivery", "--journal", str(recorder.directory)]
            process = subprocess.Popen([*command, "--to", f"http://localhost:{receiver.port}", "--user", str(EXPORTER)])
            deadline = time.monotonic() + 20
            while not recorder.acknowledged:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.02)
            statuses = read_statuses(process.pid)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert len(statuses) > 1, "the threads of the OpenTelemetry SDK are missing"
    for status in statuses:
        assert status["Uid"] == status["Gid"] == [str(EXPORTER)] * 4
        assert status["Groups"] == []
        assert [int(status[name][0], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")] == [0] * 4
        assert status["NoNewPrivs"] == ["1"]
    assert ids <= receiver.accepted.keys()
