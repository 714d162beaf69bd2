"""What is compiled on the node tells of a workload what the objects tell of it, field by field."""

from __future__ import annotations

import re
import shutil
import socket
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.recordings import Recording, assert_law
from fixtures.trace_readers import make_debug_build

from podcorder_agent.classes import EVENT_CLASSES
from podcorder_agent.interpreter.events import EVENTS, Event, FileOpen, ProcessExec
from podcorder_agent.interpreter.subjects import own_attributes
from podcorder_agent.journal import FrameKind, Reader
from podcorder_agent.recorder.bcc.sources import SOURCES

Record = Callable[..., Recording]

PIDS = {"process.pid", "process.parent_pid", "podcorder.child.pid"}
ANEW = {"podcorder.record.id", "podcorder.session.id"}
DURATIONS = {"podcorder.process.duration_ns", "podcorder.session.duration_ns", "podcorder.network.latency_ns"}
MEASURED = {*DURATIONS, "thread.id"}
"""Of these only that they are there is compared."""
CHOSEN_BY_THE_KERNEL = {
    "podcorder.network.connect": {"network.local.port"},
    "podcorder.network.datagram": {"network.local.port"},
    "podcorder.network.accept": {"network.peer.port"},
}
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


def record_with(record: Record, talk: Callable[[Recording], None], **how: Any) -> tuple[list[Event], dict[str, Any]]:
    """The events of the workload, and the state of each capability."""
    recording = record(**how)
    talk(recording)  # from here on the caches are warm
    recording.select()
    talk(recording)
    health = recording.client.health()
    recording.stop()
    events, counters = recording.interpret()
    classes = {each.RECORD.name.lower(): each for each in EVENTS if each.RECORD is not None}
    assert assert_law(events, counters, {name: classes[name] for name in EVENT_CLASSES}).total() == 0
    return events, health["capabilities"]


def covered(states: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """What each capability covers, whichever rung it took for that."""
    return {name: (state["state"], state["reason"]) for name, state in states.items()}


def compared(events: list[Event]) -> Counter[tuple[object, ...]]:
    """Every field of every event, with processes numbered as they come."""
    own = sorted(events, key=lambda event: event.time)
    numbers: dict[object, str] = {}
    for event in own:
        if event.process is not None:
            numbers.setdefault(event.process.tgid, f"process {len(numbers)}")
    return Counter(_flattened(event, numbers) for event in own)


def _flattened(event: Event, numbers: dict[object, str]) -> tuple[object, ...]:
    attributes = own_attributes(event)
    if event.process is not None:
        attributes |= own_attributes(event.process) | own_attributes(event.process.session)
    for name in ANEW | CHOSEN_BY_THE_KERNEL.get(event.NAME, set()):
        attributes.pop(name, None)
    for name, value in attributes.items():
        if name in PIDS:
            attributes[name] = numbers.get(value, value)
        elif name in MEASURED:
            attributes[name] = "measured"
        elif isinstance(value, bytes):
            attributes[name] = re.sub(rb"/proc/\d+", b"/proc/N", value)
    return (event.NAME, *((name, repr(value)) for name, value in sorted(attributes.items())))


def test_both_loaders_tell_the_same(record: Record, talk: Callable[[Recording], None]) -> None:
    """Programs, files and peers, failures, 32-bit calls and io_uring: no event, no field and no limit differs."""
    by_objects, states = record_with(record, talk, loader="core")
    by_bcc, bcc_states = record_with(record, talk, loader="bcc")
    assert covered(bcc_states) == covered(states)
    told = {event.NAME for event in by_objects}
    assert told >= {each.NAME for each in EVENTS if each.RECORD is not None and each.RECORD.name != "CGROUP"}
    expected, found = compared(by_objects), compared(by_bcc)
    assert sorted(expected - found) == sorted(found - expected)


@pytest.mark.parametrize("loader", ["core", "bcc"])
def test_debug_build_tells_the_same(record: Record, talk: Callable[[Recording], None], loader: str) -> None:
    """Its log lines change neither what is recorded nor what the verifier lets through."""
    make_debug_build()
    by_normal, states = record_with(record, talk, loader=loader)
    by_debug, debug_states = record_with(record, talk, loader=loader, arguments=["--trace", "debug"])
    assert debug_states == states
    expected, found = compared(by_normal), compared(by_debug)
    assert sorted(expected - found) == sorted(found - expected)


def test_raw_tracepoints_tell_the_same(record: Record, talk: Callable[[Recording], None], raw_objects: Path) -> None:
    """What is read by helpers alone is what programs of the kernel's types read: each rung covers as much."""
    by_types, states = record_with(record, talk, loader="core")
    by_helpers, raw_states = record_with(record, talk, loader="core", arguments=["--objects", str(raw_objects)])
    assert covered(raw_states) == covered(states)
    assert {state["rung"].startswith("raw_tp") for state in raw_states.values()} == {True}
    expected, found = compared(by_types), compared(by_helpers)
    assert sorted(expected - found) == sorted(found - expected)


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


def test_sources_can_be_changed_on_the_node(record: Record, tmp_path: Path) -> None:
    """Programs are what the directory of sources says now, with nothing built anew."""
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES, sources)
    records = sources / "records.bpf.h"
    records.write_text(records.read_text().replace("READ(task, cred, uid.val)", "4242"))
    recording = record(loader="bcc", arguments=["--sources", str(sources)])
    recording.select(["exec"])
    recording.cgroup.run("/bin/true")
    recording.stop()
    assert {event.uid for event in recording.events(ProcessExec)} == {4242}


def test_source_that_does_not_compile_is_a_failed_capability(record: Record, tmp_path: Path) -> None:
    """The reason is the compiler's; whatever compiles is recorded."""
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES, sources)
    files = sources / "files.bpf.c"
    files.write_text(files.read_text().replace("read_open_how(__u64 how)", "read_open_how(gone how)"))
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
