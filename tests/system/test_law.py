"""The law, on the real kernel: generated = delivered + counted lost, per class, for workloads that count themselves."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fixtures.recordings import Recording, assert_law, scaled

from podcorder_agent.interpreter.events import (
    Event,
    FileOpen,
    FileOpenFailed,
    NetworkAccept,
    NetworkConnect,
    ProcessExec,
    ProcessExecFailed,
    ProcessExit,
    ProcessFork,
    RecordingGap,
)
from podcorder_agent.recorder import bpf_maps

Record = Callable[..., Recording]

PROCESS_CLASSES: dict[str, type[Event]] = {
    "exec": ProcessExec,
    "exec_failed": ProcessExecFailed,
    "fork": ProcessFork,
    "exit": ProcessExit,
}
OPENS = scaled(100_003)
EXECS = CONNECTS = scaled(8_998)
FAILED = scaled(1_009)
THROTTLED = scaled(20_011)
OPEN_CLASSES: dict[str, type[Event]] = {"open": FileOpen, "open_failed": FileOpenFailed}


class Listener:
    """Accepts and resets whatever connects to a free port of the loopback."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_every_open_is_delivered_at_the_defaults(record: Record, workloads: Path, tmp_path: Path) -> None:
    """100,003 opens are as many events, and none is lost."""
    target = tmp_path / "target"
    target.touch()
    recording = record()
    recording.select()
    assert recording.cgroup.run(workloads / "opens", str(OPENS), target).split() == [str(OPENS), "0"]
    recording.stop()
    events, counters = recording.interpret()
    seen = [event for event in events if type(event) is FileOpen and event.path == bytes(target)]
    assert len(seen) == OPENS
    assert assert_law(events, counters, OPEN_CLASSES | PROCESS_CLASSES).total() == 0


def test_every_exec_and_every_failed_exec_is_delivered(record: Record, workloads: Path) -> None:
    """10,007 execs, of which 1,009 fail, are 8,998 execs and 1,009 failed ones, each with its fork and its exit."""
    recording = record()
    recording.select()
    assert recording.cgroup.run(workloads / "execs", str(EXECS), "/bin/true").split() == [str(EXECS), "0"]
    assert recording.cgroup.run(workloads / "execs", str(FAILED), "/nonexistent/program").split() == ["0", str(FAILED)]
    recording.stop()
    events, counters = recording.interpret()
    started = [event for event in events if type(event) is ProcessExec and event.filename == b"/bin/true"]
    failed = [event for event in events if type(event) is ProcessExecFailed]
    assert len(started) == EXECS
    assert len(failed) == FAILED
    assert {event.error for event in failed} == {"ENOENT"}
    assert {tuple(event.arguments or ()) for event in failed} == {(b"/nonexistent/program", b"an argument")}
    assert sum(type(event) is ProcessFork for event in events) >= EXECS + FAILED
    assert assert_law(events, counters, OPEN_CLASSES | PROCESS_CLASSES).total() == 0


def test_every_connect_is_delivered_with_its_outcome(record: Record, workloads: Path) -> None:
    """10,007 connects, of which 1,009 are refused, are 8,998 established and 1,009 refused ones."""
    listener, closed = Listener(), unused_port()
    recording = record()
    recording.select()
    assert recording.cgroup.run(workloads / "connects", str(CONNECTS), str(listener.port)).split() == [
        str(CONNECTS),
        "0",
    ]
    assert recording.cgroup.run(workloads / "connects", str(FAILED), str(closed)).split() == ["0", str(FAILED)]
    recording.stop()
    listener.close()
    events, counters = recording.interpret()
    connects = [event for event in events if type(event) is NetworkConnect]
    assert sum(event.outcome == "established" and event.peer_port == listener.port for event in connects) == CONNECTS
    assert sum(event.outcome == "refused" and event.peer_port == closed for event in connects) == FAILED
    assert len(connects) == CONNECTS + FAILED
    assert assert_law(events, counters, {"connect": NetworkConnect}).total() == 0


def test_every_accept_is_delivered(record: Record, workloads: Path) -> None:
    """503 accepted connections are 503 events."""
    recording = record()
    recording.select()
    server = recording.cgroup.start([workloads / "accepts", "503"])
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    subprocess.run([workloads / "connects", "503", port], check=True, stdout=subprocess.DEVNULL)
    assert server.stdout.readline().strip() == "503"
    assert server.wait(30) == 0
    recording.stop()
    events, counters = recording.interpret()
    accepted = [event for event in events if type(event) is NetworkAccept]
    assert len(accepted) == 503
    assert {event.local_port for event in accepted} == {int(port)}
    assert assert_law(events, counters, {"accept": NetworkAccept}).total() == 0


def test_what_a_small_ring_loses_is_counted(record: Record, workloads: Path, tmp_path: Path) -> None:
    """With a ring that must overflow the law still holds: what is not delivered is in a gap, to the last record."""
    target = tmp_path / "target"
    target.touch()
    recording = record(ring_size=4096)
    recording.select()
    assert recording.run_undrained(workloads / "opens", str(FAILED), target).split() == [str(FAILED), "0"]
    assert recording.cgroup.run(workloads / "opens", str(OPENS), target).split() == [str(OPENS), "0"]
    recording.stop()
    events, counters = recording.interpret()
    losses = assert_law(events, counters, OPEN_CLASSES | PROCESS_CLASSES)
    seen = sum(type(event) is FileOpen and event.path == bytes(target) for event in events)
    assert losses["open"] > 0
    assert seen < FAILED + OPENS <= seen + losses["open"]
    gaps = [event for event in events if type(event) is RecordingGap and event.record_class == "open"]
    assert {gap.reason for gap in gaps} == {"ring_full"}
    assert all(gap.first is not None and gap.last is not None and gap.first <= gap.last for gap in gaps)


def test_a_throttled_slot_says_what_it_left_out(record: Record, workloads: Path) -> None:
    """A rate limit drops records, and every one of them is in a gap with the reason `throttled`."""
    recording = record()
    recording.select(rate_limit=101)
    recording.cgroup.run(workloads / "opens", str(THROTTLED), "/etc/passwd")
    recording.stop()
    events, counters = recording.interpret()
    losses = assert_law(events, counters, OPEN_CLASSES | PROCESS_CLASSES)
    assert losses["open"] > 0
    assert {event.reason for event in events if type(event) is RecordingGap} == {"throttled"}


def test_without_a_recorder_for_ten_minutes_nothing_is_kept_and_all_is_counted(record: Record, workloads: Path) -> None:
    """Programs whose recorder has been gone for ten minutes record nothing, and say of each record that it was lost."""
    recording = record()
    recording.select()
    recording.cgroup.run(workloads / "opens", "101", "/etc/passwd")
    recording.recorder.kill()
    recording.recorder.wait()
    state = bpf_maps.Map.open(recording.pins / "maps" / "state")
    value = state.lookup(bytes(4))
    assert value is not None
    heartbeat = int.from_bytes(value[:8], sys.byteorder) - 11 * 60 * 10**9
    state.update(bytes(4), heartbeat.to_bytes(8, sys.byteorder, signed=True) + value[8:])
    state.close()
    recording.cgroup.run(workloads / "opens", "1009", "/etc/shadow")
    recording.start_recorder()
    recording.cgroup.run(workloads / "opens", "103", "/etc/group")
    recording.stop()
    events, counters = recording.interpret()
    losses = assert_law(events, counters, OPEN_CLASSES | PROCESS_CLASSES)
    assert losses["open"] >= 1_009
    assert {event.reason for event in events if type(event) is RecordingGap} == {"no_recorder"}
    paths = Counter(event.path for event in events if type(event) is FileOpen)
    assert [paths[path] for path in (b"/etc/passwd", b"/etc/shadow", b"/etc/group")] == [101, 0, 103]
