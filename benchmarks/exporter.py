"""What the exporter delivers for a second of CPU: a journal on disk, the real exporter process, the real collector.

The CPU time is the whole process's, as the kernel accounts for it, less that of the same process with a journal that
holds one record: what is left is decoding, sessions, redaction, encoding and sending.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fixtures.collectors import Collector, find_binary
from fixtures.journals import BOOT_ID, GENERATION

from benchmarks.interpreter import MAKERS, make_journal
from benchmarks.tables import render_table
from podcorder_agent.journal import FrameKind, Writer

EVENTS = 200_000


def write_journal(directory: Path, kind: str, count: int) -> None:
    """A journal of `count` records, with a slot and a selection before them: redaction and attribution are on."""
    settings = {"policy": "bench", "events": ["exec", "open", "connect"], "redaction": {"defaults": True}}
    requests = [
        {"kind": "configure", "slot": 0, "settings": settings},
        {"kind": "select", "cgroup_id": 1, "slot": 0, "session_kind": "Container", "container": {"path": "/bench"}},
    ]
    with Writer(directory, node="bench", generation=GENERATION, boot_id=BOOT_ID) as journal:
        for number, request in enumerate(requests):
            payload = {"number": number, "peer_uid": 0, "request": request}
            journal.append(FrameKind.REQUEST, json.dumps(payload).encode())
        for frame in make_journal(MAKERS[kind], count):
            journal.append(FrameKind.RECORDS, frame.payload)


def peak_memory(pid: int) -> int:
    """KiB; `ru_maxrss` will not do: it begins with what the parent had before the exec."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def run_exporter(journal: Path, endpoint: str) -> tuple[float, int]:
    """(CPU seconds, peak resident KiB) of one run of the exporter."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-m", "podcorder_agent.delivery", "--journal", str(journal), "--to", endpoint, "--once"]
    process = subprocess.Popen(
        command, env=environment | {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    )
    peak, finished = 0, 0
    while not finished:
        peak = max(peak, peak_memory(process.pid))
        time.sleep(0.02)
        finished, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"the exporter ended with {process.returncode}"
    return usage.ru_utime + usage.ru_stime, peak


def count_records(output: Path) -> int:
    with output.open() as lines:
        return sum(
            len(scope["logRecords"])
            for line in lines
            for resource in json.loads(line).get("resourceLogs", ())
            for scope in resource["scopeLogs"]
        )


def measure(kind: str, count: int, directory: Path) -> list[str]:
    """A row: records a CPU-second, us a record, memory, and how many of them the collector wrote."""
    small, large = directory / "small", directory / "large"
    small.mkdir()
    large.mkdir()
    write_journal(small, kind, 1)
    write_journal(large, kind, count)
    collector = Collector(find_binary(), directory)
    collector.start()
    endpoint = f"http://127.0.0.1:{collector.http}"
    try:
        idle, _ = run_exporter(small, endpoint)
        busy, peak = run_exporter(large, endpoint)
    finally:
        collector.stop()
    arrived = count_records(collector.output)
    seconds = busy - idle
    return [
        kind,
        f"{count / seconds:,.0f}",
        f"{seconds / count * 1e6:.2f}",
        f"{peak / 1024:.0f}",
        f"{count:,}",
        f"{arrived:,}",
    ]


def run(count: int = EVENTS, kinds: Iterable[str] = ("mix", "open", "exec", "connect")) -> str:
    """The table; sessions that begin make the collector's count a little higher than the records'."""
    rows = []
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="podcorder-bench-") as directory:
            rows.append(measure(kind, count, Path(directory)))
    head = ["exporter, journal to collector", "records/CPU-s", "us each", "peak MiB", "records", "arrived"]
    return render_table(
        "Delivery over OTLP/HTTP, redaction and attribution on (mix: 90% opens, 5% execs, 5% connects)", head, rows
    )


if __name__ == "__main__":
    print(run())
