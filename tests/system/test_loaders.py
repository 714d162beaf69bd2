"""What is compiled on the node tells of a workload what the objects tell of it, field by field."""

from __future__ import annotations

import re
import select
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.loader_comparisons import compared, covered, record_twice
from fixtures.record_ids import read_journal
from fixtures.recordings import Recording, assert_law
from fixtures.trace_readers import make_debug_build

from podcorder_agent.classes import RecordClass
from podcorder_agent.interpreter.events import EVENTS, FileOpen, ProcessExec
from podcorder_agent.journal import FrameKind, Reader
from podcorder_agent.recorder.hooks import SOURCES

Record = Callable[..., Recording]

SMALL_RING_BYTES = 64 * 1024
SCRIPT = """#!/bin/sh
cd "$1"
"$2/execs" 3 /bin/true; "$2/execs" 2 /nonexistent/program
./script one 'two words' ''
sh -c 'exit 7'; sh -c 'kill -9 $$'
"$2/opens" 5 "$1/target"; "$2/opens" 3 "$1/missing"; "$2/opens" 1 "$1"; "$2/opens" 2 target
"$2/connects" 3 "$3"; "$2/connects" 2 "$4"
"$2/uring" 3 "$1/target" "$3"; "$2/uring" 2 "$1/target" "$4" silent
"$2/memfd"; "$2/handle" 2 "$1/target"
for each in int80 opens32 execs32 connects32; do
    [ -x "$2/$each" ] || continue
    case $each in
        int80) "$2/$each" 3 "$1/target" "$3" ;;
        opens32) "$2/$each" 3 "$1/target" ;;
        execs32) "$2/$each" 2 /nonexistent/program ;;
        connects32) "$2/$each" 2 "$3"; "$2/$each" 2 "$4" ;;
    esac
done
"$7" -ISB -c "$5" "$6"
exit 0
"""
TALK = """
import socket, sys
port = int(sys.argv[1])
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    with socket.create_server((address, port), family=family) as server:
        with socket.create_connection((address, port)) as client, server.accept()[0] as accepted:
            client.sendall(b"1")
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"1", (address, port))
        sender.connect((address, port + 1))
        sender.send(b"2")
"""


@pytest.fixture
def talk(tmp_path: Path, workloads: Path) -> Callable[[Recording], None]:
    """Everything that can be recorded, one thing after another."""
    (tmp_path / "target").touch()
    (tmp_path / "script").write_text("#!/bin/sh\necho $*\n")
    (tmp_path / "script").chmod(0o755)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    with socket.create_server(("127.0.0.1", 0)) as other:
        closed = other.getsockname()[1]
    words = [tmp_path, workloads, listener.getsockname()[1], closed, TALK, closed, sys.executable]

    def run(recording: Recording) -> None:
        recording.cgroup.run("/bin/sh", "-c", SCRIPT, "talk", *map(str, words), stderr=-3)

    return run


def test_both_loaders_tell_the_same(record: Record, talk: Callable[[Recording], None]) -> None:
    """Programs, files and peers, failures, 32-bit calls and io_uring: no event, no field and no limit differs."""
    by_objects, states = record_twice(record(loader="core"), talk)
    by_bcc, bcc_states = record_twice(record(loader="bcc"), talk)
    assert covered(bcc_states) == covered(states)
    told = {event.NAME for event in by_objects}
    assert told >= {each.NAME for each in EVENTS if each.RECORD is not None and each.RECORD.name != "CGROUP"}
    expected, found = compared(by_objects), compared(by_bcc)
    assert sorted(expected - found) == sorted(found - expected)


@pytest.mark.parametrize("loader", ["core", "bcc"])
def test_debug_build_tells_the_same(record: Record, talk: Callable[[Recording], None], loader: str) -> None:
    """Its log lines change neither what is recorded nor what the verifier lets through."""
    make_debug_build()
    by_normal, states = record_twice(record(loader=loader), talk)
    by_debug, debug_states = record_twice(record(loader=loader, arguments=["--trace", "debug"]), talk)
    assert debug_states == states
    expected, found = compared(by_normal), compared(by_debug)
    assert sorted(expected - found) == sorted(found - expected)


def test_raw_tracepoints_tell_the_same(record: Record, talk: Callable[[Recording], None], raw_objects: Path) -> None:
    """What is read by helpers alone is what programs of the kernel's types read: each rung covers as much."""
    by_types, states = record_twice(record(loader="core"), talk)
    by_helpers, raw_states = record_twice(record(loader="core", arguments=["--objects", str(raw_objects)]), talk)
    assert covered(raw_states) == covered(states)
    assert {each["rung"].startswith("raw_tp") for each in raw_states.values() if each["state"] != "Off"} == {True}
    expected, found = compared(by_types), compared(by_helpers)
    assert sorted(expected - found) == sorted(found - expected)


def test_ring_is_drained_while_the_compiler_works(record: Record, tmp_path: Path, workloads: Path) -> None:
    """A recorder that takes over, and compiles for many seconds, loses nothing of what the programs go on recording."""
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES, sources)
    recording = record(loader="bcc", ring_size=SMALL_RING_BYTES, arguments=["--sources", str(sources)])
    recording.select(["exec"])
    recording.recorder.kill()
    recording.recorder.wait()
    (sources / "kernel.h").write_text((sources / "kernel.h").read_text() + f"/* {uuid.uuid4()} */\n")
    recording.recorder = recording.launch()
    while not subprocess.run(["pgrep", "-P", str(recording.recorder.pid)], capture_output=True).stdout:
        time.sleep(0.01)
    for count in range(1, 9):
        recording.cgroup.run(workloads / "execs", "100", "/bin/true")
        await_execs(recording.journal, 100 * count)
    assert recording.recorder.stdout is not None
    poller = select.poll()  # after a thousand tests a descriptor may be too high for select()
    poller.register(recording.recorder.stdout, select.POLLIN)
    assert not poller.poll(0), "it had compiled before the test was done"
    recording.await_ready()
    recording.stop()
    events, counters = recording.interpret()
    assert assert_law(events, counters, {"exec": ProcessExec}).total() == 0
    drained = sum(len(frame.payload) for frame in Reader(recording.journal).read() if frame.kind == FrameKind.RECORDS)
    assert drained > 2 * SMALL_RING_BYTES


def await_execs(journal: Path, count: int) -> None:
    """Until so many are in the journal: the next fit the ring then, however slow the machine's disk."""
    deadline = time.monotonic() + 10
    while (found := read_journal(journal).classes[RecordClass.EXEC]) < count:
        assert time.monotonic() < deadline, f"{found} of {count} are in the journal"
        time.sleep(0.01)


def test_another_loader_takes_nothing_over(record: Record) -> None:
    """Programs of one kind cannot stand beside those of the other: a recorder with another loader begins anew."""
    recording = record(loader="core")
    recording.select(["exec"])
    recording.recorder.kill()
    recording.recorder.wait()
    recording.arguments[1] = "bcc"
    generation = recording.ready["generation"]
    recording.start_recorder()
    assert (recording.ready["resumed"], recording.ready["loader"]) == (False, {"name": "bcc", "reason": "asked for"})
    assert recording.ready["generation"] != generation
    recording.select(["exec"])
    recording.cgroup.run("/bin/true")
    recording.stop()
    assert "podcorder.process.exec" in {event.NAME for event in recording.interpret()[0]}


def change_source(directory: Path, name: str, old: str, new: str) -> Path:
    """A copy of the sources in which one file reads otherwise."""
    sources = directory / "sources"
    shutil.copytree(SOURCES, sources)
    text = (sources / name).read_text()
    assert old in text
    (sources / name).write_text(text.replace(old, new))
    return sources


def test_sources_can_be_changed_on_the_node(record: Record, tmp_path: Path) -> None:
    """Programs are what the directory of sources says now, with nothing built anew."""
    sources = change_source(tmp_path, "records.bpf.h", "READ(task, cred, uid.val)", "4242")
    recording = record(loader="bcc", arguments=["--sources", str(sources)])
    recording.select(["exec"])
    recording.cgroup.run("/bin/true")
    recording.stop()
    assert {event.uid for event in recording.events(ProcessExec)} == {4242}


def test_source_that_does_not_compile_is_a_failed_capability(record: Record, tmp_path: Path) -> None:
    """The reason is the compiler's; whatever compiles is recorded."""
    sources = change_source(tmp_path, "files.bpf.c", "read_open_how(__u64 how)", "read_open_how(gone how)")
    recording = record(loader="bcc", arguments=["--sources", str(sources)])
    recording.select(["exec", "open"])
    state = recording.client.health()["capabilities"]["files"]
    assert state["state"] == "Failed"
    assert "bcc cannot compile files.bpf.c (unknown type name 'gone')" in state["reason"]
    recording.cgroup.run("/bin/true")
    recording.stop()
    assert recording.events(ProcessExec)


def test_kernel_without_a_field_takes_the_rung_that_does_without(record: Record, tmp_path: Path) -> None:
    """What a kernel lacks costs the programs that read it, not all that stands in the same file."""
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES, sources)
    for path in sources.iterdir():
        path.write_text(re.sub(r"\bcqe\b", "cqe_of_tomorrow", path.read_text()))
    recording = record(loader="bcc", arguments=["--sources", str(sources)])
    recording.select(["exec", "open"])
    state = recording.client.health()["capabilities"]["files"]
    assert (state["state"], state["rung"]) == ("Degraded", "raw_tp_calls")
    recording.cgroup.run("/bin/cat", "/etc/passwd")
    recording.stop()
    assert recording.events(FileOpen, lambda event: event.path == b"/etc/passwd")


def test_recorder_says_what_made_its_programs(record: Record) -> None:
    """The choice and its reason are on the first line, in the answers to `health` and in the journal."""
    recording = record(loader="auto")
    chosen = {"name": "core", "reason": "the kernel describes its types (BTF)"}
    assert recording.ready["loader"] == chosen
    assert recording.client.health()["loader"] == chosen
    recording.stop()
    notes = [frame.payload for frame in Reader(recording.journal).read() if frame.kind == FrameKind.NOTE]
    assert any(b'"started"' in note and b'"loader":{"name":"core"' in note for note in notes)
