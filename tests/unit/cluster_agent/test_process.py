"""`python -m podcorder_agent.cluster` as a command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from podcorder_agent.cluster.__main__ import Threads, main


def test_without_a_node_it_says_what_to_do(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line is refused, and the sentence names the option and the variable."""
    monkeypatch.delenv("NODE_NAME", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["--journal", "/nowhere", "--copies", "/nowhere"])
    assert ended.value.code == 2
    assert "NODE_NAME" in capsys.readouterr().err


def test_outside_of_a_cluster_it_says_what_to_do(tmp_path: Path) -> None:
    """The exit code is that of missing credentials, and one sentence says so."""
    places = ["--journal", str(tmp_path), "--copies", str(tmp_path / "copies")]
    command = [sys.executable, "-m", "podcorder_agent.cluster", *places, "--node", "node-1"]
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "none")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 50
    assert done.stderr.startswith("podcorder-exporter: ")
    assert done.stderr.count("\n") == 1


def test_a_part_that_fails_ends_all() -> None:
    """A failure nobody thought of is logged and asks for the end, so that the kubelet starts all anew."""
    asked = threading.Event()

    def fail(_: threading.Event) -> None:
        raise RuntimeError("nobody thought of it")

    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        threads = Threads()
        threads.start("part", fail)
        assert asked.wait(10)
        assert threads.failed
    finally:
        signal.signal(signal.SIGTERM, before)
