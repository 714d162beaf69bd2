"""From the kernel to a real collector, through both halves, as a person starts them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fixtures.collectors import Collector, find_binary, read_attribute
from fixtures.recordings import build_workloads, mount_bpffs, temporary_directory

from podcorder_agent.interpreter import Interpreter
from podcorder_agent.journal import Reader


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_receives_all_that_was_recorded(protocol: str) -> None:
    """Each event of the journal is in the collector's file once, whatever way it went there."""
    mount_bpffs()
    opens = build_workloads() / "opens"
    with temporary_directory() as directory:
        collector = Collector(find_binary(), Path(directory))
        collector.start()
        try:
            port = collector.grpc if protocol == "grpc" else collector.http
            journal = Path(directory) / "journal"
            command = [Path(sys.executable).parent / "podcorder", "record", "--journal", journal]
            command += ["--otlp", f"http://127.0.0.1:{port}", "--", opens, "10007", "/etc/passwd"]
            environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
        finally:
            collector.stop()
        interpreter = Interpreter()
        recorded = {event.id for frame in Reader(journal).read() for event in interpreter.interpret(frame)}
        delivered = Counter(str(read_attribute(each, "podcorder.record.id")) for each in collector.records())
    assert len(recorded) > 10_007
    # a removed cgroup is told a second later, when the exporter has gone: see the interpreter's rule
    assert {identity for identity in recorded if identity not in delivered} <= {
        identity for identity in recorded if identity.endswith(".end")
    }
    assert set(delivered.values()) == {1}
