"""What the two halves cost at rest and at work, and how long a person waits: memory, start, event to export."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fixtures.processes import read_resident
from fixtures.recordings import Recording, build_workloads

from benchmarks.exporter import peak_memory
from benchmarks.processes import read_cpu_seconds
from benchmarks.tables import render_table

OPENS = 500_009
SAMPLES = 20


def measure_start(directory: Path) -> float:
    """Seconds from starting the recorder to the first record in the journal."""
    begun = time.monotonic()
    recording = Recording(directory)
    try:
        recording.select()
        recording.cgroup.run("/bin/true")
        recording.client.flush()
        taken = time.monotonic() - begun
        recording.stop()
    finally:
        recording.clean_up()
    return taken


def start_exporter(recording: Recording, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "podcorder_agent.delivery", "--journal", recording.journal, "--to", output]
    return subprocess.Popen([str(word) for word in command])


def measure_delay(recording: Recording, output: Path, number: int) -> float:
    """Seconds from a command's start to its line in the exporter's file."""
    mark = f"mark-{number}"
    begun = time.monotonic()
    recording.cgroup.run("/bin/true", mark)
    while mark.encode() not in (output.read_bytes() if output.exists() else b""):
        time.sleep(0.002)
        assert time.monotonic() < begun + 10, "the event never came"
    return time.monotonic() - begun


def run() -> str:
    workloads = build_workloads()
    with tempfile.TemporaryDirectory(prefix="podcorder-bench-") as name:
        directory = Path(name)
        for each in ("start", "work"):
            (directory / each).mkdir()
        start = measure_start(directory / "start")
        recording = Recording(directory / "work")
        try:
            recording.select()
            output = directory / "events.jsonl"
            exporter = start_exporter(recording, output)
            delays = sorted(measure_delay(recording, output, number) for number in range(SAMPLES))
            before = {pid: read_cpu_seconds(pid) for pid in (recording.recorder.pid, exporter.pid)}
            time.sleep(3)  # at rest: what polling costs
            idle = {pid: (read_cpu_seconds(pid) - before[pid]) / 3 * 100 for pid in before}
            busy = read_cpu_seconds(recording.recorder.pid)
            recording.cgroup.run(workloads / "opens", str(OPENS), "/etc/passwd")
            recording.client.flush()
            busy = read_cpu_seconds(recording.recorder.pid) - busy
            memory = read_resident(recording.recorder.pid)
            size = recording.client.health()["ring"]["size"] / 1024 / 1024
            exporter.terminate()
            peak = 0
            while exporter.poll() is None:
                peak = max(peak, peak_memory(exporter.pid))
                time.sleep(0.01)
            recording.stop()
        finally:
            recording.clean_up()
        _, counters = recording.interpret()
    lost = sum(map(sum, counters["lost"])) + sum(counters["skipped"])
    rows = [
        ["start of the recorder to the first record in the journal", f"{start:.2f} s"],
        ["event to export (file), median", f"{delays[len(delays) // 2] * 1000:.0f} ms"],
        ["event to export (file), slowest of 20", f"{delays[-1] * 1000:.0f} ms"],
        ["recorder, resident outside the ring's mapping", f"{memory.outside / 1024 / 1024:.0f} MiB"],
        [f"recorder, the ring's mapping (a ring of {size:.0f} MiB)", f"{memory.rings / 1024 / 1024:.0f} MiB"],
        ["exporter, peak resident", f"{peak / 1024:.0f} MiB"],
        ["recorder at rest", f"{idle[recording.recorder.pid]:.1f} % of a core"],
        ["exporter at rest", f"{idle[exporter.pid]:.1f} % of a core"],
        ["recorder, CPU a record", f"{busy / OPENS * 1e6:.2f} us"],
        [f"lost of {OPENS:,} opens at full speed", f"{lost:,}"],
    ]
    return render_table("The two halves", ["what", "figure"], rows)


if __name__ == "__main__":
    print(run())
