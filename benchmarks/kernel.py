"""What an operation costs: bare, with Podcorder attached but the cgroup not selected, in a container's own session that
is left out, recorded, and under bpftrace.

The five are run in turn, several rounds, so that a machine whose speed drifts does not favour one of them; the ratio
is taken within each round and the median of the rounds is shown.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fixtures.recordings import Cgroup, Recording, mount_tracefs

from benchmarks.tables import render_table
from podcorder_agent.classes import EVENT_CLASSES

ROUNDS = 5
COUNTS = {"open": 100_000, "exec": 1_000, "connect": 10_000}
NAMES = {"open": "open+close", "exec": "fork+exec+wait", "connect": "TCP connect+close"}
BPFTRACE = {
    # what each opens, executes and connects to: as its own tools opensnoop, execsnoop and tcpconnect do
    "open": "tracepoint:syscalls:sys_enter_openat { @f[tid] = args->filename; }"
    " tracepoint:syscalls:sys_exit_openat /@f[tid]/"
    ' { printf("%d %s %d %s\\n", pid, comm, args->ret, str(@f[tid])); delete(@f[tid]); }',
    "exec": 'tracepoint:syscalls:sys_enter_execve { printf("%d ", pid); join(args->argv); }',
    "connect": "tracepoint:sock:inet_sock_set_state /args->oldstate == 7/"
    ' { printf("%d %s %s:%d\\n", pid, comm, ntop(args->daddr), args->dport); }',
}


def build_operations(directory: Path) -> Path:
    program = directory / "operations"
    subprocess.run(["cc", "-O2", "-o", program, Path(__file__).parent / "operations.c"], check=True)
    return program


@contextmanager
def listening() -> Iterator[int]:
    """A port whose connections are accepted and closed at once."""
    with create_server(("127.0.0.1", 0), backlog=512) as listener:

        def accept() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(2)
        thread.join()


@contextmanager
def bpftrace(script: str, directory: Path) -> Iterator[Path]:
    """bpftrace running the script, its output in a file. It takes tracefs, which Podcorder does without."""
    output = directory / "bpftrace.out"
    command = ["bpftrace", "-B", "line", "-e", 'BEGIN { printf("ready\\n"); } ' + script]
    with output.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while b"ready" not in output.read_bytes():
            assert process.poll() is None, f"bpftrace ended with {process.returncode}"
            assert time.monotonic() < deadline, "bpftrace did not start"
            time.sleep(0.05)
        yield output
        process.send_signal(signal.SIGINT)
        process.wait(60)
    finally:
        process.kill()
        process.wait()


class Bench:
    """One directory, one program, the five ways."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program = build_operations(directory)
        self.target = directory / "target"
        self.target.touch()
        self.missed: dict[str, int] = {}
        self.generated = 0
        self.lost = 0

    def measure(self, cgroup: Cgroup, operation: str, port: int) -> float:
        """Nanoseconds an operation."""
        target = {"open": str(self.target), "exec": "/bin/true", "connect": str(port)}[operation]
        return float(cgroup.run(self.program, operation, str(COUNTS[operation]), target))

    def measure_left_out(self, recording: Recording, operation: str, port: int) -> float:
        """In the own session of a cgroup whose slot does without."""
        container = Cgroup(f"{recording.name}-{operation}")
        recording.client.configure(1, {"policy": "bench", "events": list(EVENT_CLASSES), "own_session": False})
        recording.client.select(container.id, 1, "Command", {"path": f"/{container.path.name}"})
        try:
            return self.measure(container, operation, port)
        finally:
            container.remove()

    def round(self, number: int, port: int) -> dict[tuple[str, str], float]:
        found: dict[tuple[str, str], float] = {}
        own = self.directory / str(number)
        own.mkdir()
        bare = Cgroup(f"podcorder-bench-{os.getpid()}-{number}")
        for operation in COUNTS:
            found[operation, "bare"] = self.measure(bare, operation, port)
        recording = Recording(own)
        try:
            recording.select()
            for operation in COUNTS:
                found[operation, "unselected"] = self.measure(bare, operation, port)
                found[operation, "left out"] = self.measure_left_out(recording, operation, port)
                found[operation, "recorded"] = self.measure(recording.cgroup, operation, port)
            recording.stop()
        finally:
            recording.clean_up()
        _, counters = recording.interpret()
        self.generated += sum(counters["generated"]) + sum(counters["skipped"])
        self.lost += sum(map(sum, counters["lost"])) + sum(counters["skipped"])
        for operation, script in BPFTRACE.items():
            with bpftrace(script, self.directory) as output:
                found[operation, "bpftrace"] = self.measure(bare, operation, port)
            self.count_missed(operation, port, output)
        bare.remove()
        return found

    def count_missed(self, operation: str, port: int, output: Path) -> None:
        """What bpftrace did not print of what was done."""
        mark = {"open": str(self.target), "exec": "two arguments", "connect": f":{port}"}[operation]
        seen = sum(mark in line for line in output.read_text(errors="replace").splitlines())
        assert seen, f"bpftrace printed nothing of {operation}: there is nothing to compare with"
        self.missed[operation] = self.missed.get(operation, 0) + COUNTS[operation] - seen


def run(rounds: int = ROUNDS) -> str:
    """The table; takes about ten seconds a round."""
    mount_tracefs()
    with tempfile.TemporaryDirectory(prefix="podcorder-bench-") as directory, listening() as port:
        bench = Bench(Path(directory))
        found = [bench.round(number, port) for number in range(rounds)]

    def median(operation: str, way: str) -> float:
        return statistics.median(each[operation, way] for each in found)

    def ratio(operation: str, way: str) -> float:
        return statistics.median(each[operation, way] / each[operation, "bare"] for each in found)

    def share(operation: str) -> float:
        """Of what bpftrace adds, how much recording adds."""
        return statistics.median(
            (each[operation, "recorded"] - each[operation, "bare"])
            / (each[operation, "bpftrace"] - each[operation, "bare"])
            for each in found
        )

    ways = ("unselected", "left out", "recorded", "bpftrace")
    rows = [
        [
            NAMES[operation],
            *(f"{ratio(operation, way):.2f}" for way in ways),
            f"{share(operation):.2f}",
            *(f"{median(operation, way) / 1000:.2f}" for way in ("bare", *ways)),
            f"{bench.missed[operation]:,}",
        ]
        for operation in COUNTS
    ]
    head = ["operation", *(f"{way} x" for way in ways), "of bpftrace's", *(f"{way} us" for way in ("bare", *ways))]
    table = render_table(
        f"Cost of an operation, median of {rounds} rounds (x: ratio to bare)", [*head, "bpftrace missed"], rows
    )
    return f"{table}Podcorder: {bench.generated:,} records generated, {bench.lost:,} lost.\n"


if __name__ == "__main__":
    print(run())
