"""Log lines of the programs: with either loader, by level, read by `podcorder doctor --trace`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.recordings import RecorderEnded, Recording, mount_tracefs
from fixtures.trace_readers import MAIN, TraceReader, make_debug_build, run, texts_of

from images.wheels import build
from podcorder_agent.interpreter.events import ProcessExec
from podcorder_agent.journal import FrameKind, Reader
from podcorder_agent.mounts import mount_points
from podcorder_agent.recorder.loaders import ARCHITECTURES, DEBUG_OBJECTS, OBJECTS

Record = Callable[..., Recording]

ROOT = Path(__file__).parents[2]
MACHINE = ARCHITECTURES[os.uname().machine]
LOADERS = ["core", "bcc"]


@pytest.fixture(scope="module", autouse=True)
def debug_build() -> None:
    mount_tracefs()
    make_debug_build()


def doctor(*arguments: str, before: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """In a mount namespace of its own, in which a shell command is run before."""
    command = [sys.executable, "-c", MAIN, "doctor", *arguments]
    if before:
        command = ["unshare", "--mount", "sh", "-c", f'{before} && exec "$@"', "sh", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def instances() -> set[Path]:
    return set((mount_points("tracefs")[0] / "instances").glob("podcorder_*"))


def test_only_a_debug_build_is_under_the_gpl_alone(tmp_path: Path) -> None:
    """The kernel lets no other program write log lines; every other build may be used under the BSD licence as well."""

    def licence(path: Path) -> bytes:
        dump = tmp_path / "license"
        subprocess.run(["llvm-objcopy", f"--dump-section=license={dump}", path, tmp_path / "copy"], check=True)
        return dump.read_bytes().rstrip(b"\0")

    built = {path: licence(path) for path in OBJECTS.rglob("*.bpf.o")}
    assert built
    assert set(built.values()) == {b"Dual BSD/GPL"}
    debug = {path: licence(path) for path in (DEBUG_OBJECTS / MACHINE).rglob("*.bpf.o")}
    assert {path.relative_to(DEBUG_OBJECTS) for path in debug} == {
        path.relative_to(OBJECTS) for path in (OBJECTS / MACHINE).rglob("*.bpf.o")
    }
    assert set(debug.values()) == {b"GPL"}


def test_wheel_has_all_but_the_debug_build(tmp_path: Path) -> None:
    """And so has an image, which is made from the wheel; the sources are there, for bcc to make one."""
    with zipfile.ZipFile(build(ROOT, tmp_path, 0x5F000000).file) as wheel:
        names = {
            Path(name).relative_to("podcorder_agent/recorder") for name in wheel.namelist() if "/recorder/" in name
        }
    built = {path.relative_to(OBJECTS.parent) for path in OBJECTS.rglob("*.bpf.o")}
    assert {name for name in names if name.match("*.bpf.o")} == built
    assert Path("sources/log.bpf.h") in names


@pytest.mark.parametrize("loader", LOADERS)
def test_each_decision_is_told(record: Record, loader: str) -> None:
    """What was recorded, and why something was not: not selected, a class that is off, a filter, a rate."""
    recording = record(loader=loader, arguments=["--trace", "debug"])
    recording.select(["exec", "open"], paths=[{"prefix": "/etc/passwd", "verdict": "exclude"}])
    with TraceReader(recording.pins) as reader:
        outside = run("/bin/cat", "/etc/passwd")
        inside = recording.cgroup.start(["/bin/cat", "/etc/passwd"])
        inside.communicate()
        recording.select(["exec", "open"], rate_limit=1)
        throttled = recording.cgroup.start(["/bin/cat", "/etc/passwd"])
        throttled.communicate()
        lines = reader.read_past("/bin/true")
    told = texts_of(lines, outside)
    assert {("not selected", "exec"), ("not selected", "open"), ("not selected", "exit")} <= set(told)
    told = texts_of(lines, inside.pid)
    assert {("recorded", "exec"), ("recorded", "open"), ("path filtered", "open"), ("class off", "exit")} <= set(told)
    assert told.count(("path filtered", "open")) == 1
    (lost, *_) = [line for line in lines if line["text"] == "lost" and line["fields"]["pid"] == str(throttled.pid)]
    assert (lost["level"], lost["fields"]["reason"]) == ("error", "throttled")
    own = [line for line in lines if line["text"] == "recorded" and line["fields"]["pid"] == str(inside.pid)]
    assert {line["fields"]["cgroup"] for line in own} == {str(recording.cgroup.id)}
    # The kernel's name of the task may be of before its exec: it notes names when tasks are switched.
    assert {line["comm"] for line in own} <= {"cat", Path("/proc/self/comm").read_text().strip(), "<...>"}
    recording.stop()
    assert recording.events(ProcessExec, lambda event: event.process.tgid == inside.pid)


@pytest.mark.parametrize("loader", LOADERS)
def test_level_is_the_loaders_to_set(record: Record, loader: str) -> None:
    """Lines above it are not written: of a process that is recorded, with sessions, only what is lost is told."""
    recording = record(loader=loader, arguments=["--trace", "error"])
    recording.select(["exec"], rate_limit=1)
    with TraceReader(recording.pins) as reader:
        recording.cgroup.run("/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do /bin/true; done")
        lines = reader.read_until(lambda line: True)
    own = [line for line in lines if line["fields"].get("class") == "exec"]
    assert own
    assert {line["level"] for line in lines} == {"error"}
    recording.stop()


def test_reader_shows_no_more_than_it_is_asked_for(record: Record) -> None:
    """`--level` leaves out what is written all the same."""
    recording = record(loader="core", arguments=["--trace", "debug"])
    recording.select(["exec"])
    with TraceReader(recording.pins, "--level", "info") as reader:
        recording.cgroup.run("/bin/sh", "-c", "/bin/true; exit 0")
        lines = reader.read_until(lambda line: line["text"] == "session ended")
    assert {line["level"] for line in lines} == {"info"}
    recording.stop()


def test_auditor_is_told_of_a_debug_build(record: Record) -> None:
    """It is slow: the first line, the answers to `health`, the journal and `doctor` say that it is at work."""
    recording = record(loader="core", arguments=["--trace", "info"])
    reason = "asked for; a debug build, which is slow: it writes log lines of level info"
    said = {"name": "core", "reason": reason, "trace": "info"}
    assert recording.ready["loader"] == said
    assert recording.client.health()["loader"] == said
    found = json.loads(doctor("--output", "json").stdout)
    assert found["debug_builds"][str(recording.pins)] == "info"
    assert f"{recording.pins}, a debug build, which is slow: log lines of level info" in doctor().stdout
    recording.stop()
    notes = [frame.payload for frame in Reader(recording.journal).read() if frame.kind == FrameKind.NOTE]
    assert any(b'"started"' in note and b'"trace":"info"' in note for note in notes)


def test_another_level_takes_nothing_over(record: Record) -> None:
    """A level is the programs' for good, and so is the build: a recorder that wants another begins anew."""
    recording = record(loader="core", arguments=["--trace", "debug"])
    recording.select(["exec"])
    for arguments, resumed in ((["--trace", "debug"], True), (["--trace", "info"], False), ([], False)):
        recording.recorder.kill()
        recording.recorder.wait()
        recording.arguments = ["--loader", "core", *arguments]
        recording.start_recorder()
        assert recording.ready["resumed"] is resumed
    assert "trace" not in recording.ready["loader"]
    recording.stop()


def test_objects_without_lines_are_refused(record: Record) -> None:
    """Who asks for lines is not left waiting for them."""
    with pytest.raises(RecorderEnded) as caught:
        record(loader="core", arguments=["--trace", "info", "--objects", str(OBJECTS / MACHINE)])
    assert caught.value.args[0] == 16


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 130)])
def test_signal_ends_the_reading(record: Record, number: int, code: int) -> None:
    """And nothing of it is left in the kernel."""
    before = instances()
    recording = record(loader="core", arguments=["--trace", "error"])
    with TraceReader(recording.pins) as reader:
        assert len(instances() - before) == 1
        reader.process.send_signal(number)
        assert reader.process.wait(30) == code
    assert instances() <= before
    recording.stop()


def test_reading_ends_when_nobody_reads_it(record: Record) -> None:
    """Even where no line comes by which it would notice."""
    before = instances()
    recording = record(loader="core", arguments=["--trace", "error"])
    with TraceReader(recording.pins) as reader:
        assert reader.process.stdout is not None
        reader.process.stdout.close()
        assert reader.process.wait(30) == 0
    assert instances() <= before
    recording.stop()


def test_what_a_killed_reader_left_is_removed(record: Record) -> None:
    """`doctor --clean` does it, and takes nothing from those that read."""
    before = instances()
    recording = record(loader="core", arguments=["--trace", "error"])
    with TraceReader(recording.pins) as other:
        (used,) = instances() - before
        with TraceReader(recording.pins) as reader:
            reader.process.kill()
            reader.process.wait()
        (left,) = instances() - before - {used}
        assert str(left) in json.loads(doctor("--clean", "--output", "json").stdout)["removed"]
        assert instances() - before == {used}
        assert other.process.poll() is None
    used.rmdir()
    recording.stop()


def test_each_obstacle_has_a_sentence_and_a_code() -> None:
    """No debug build at work, and no tracefs."""
    gone = " && ".join(f"umount -l {point}" for point in reversed(mount_points("tracefs")))
    for before, code, sentence in (
        ("mount -t bpf bpf /sys/fs/bpf", 49, "no recorder here writes log lines: start one of a debug build"),
        (gone, 51, "tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing"),
    ):
        done = doctor("--trace", before=before)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith(f"podcorder: {sentence}")
        assert len(done.stderr.splitlines()) == 1


def test_trace_buffer_that_cannot_be_written(record: Record) -> None:
    """As where a container has it mounted to be read only."""
    recording = record(loader="core", arguments=["--trace", "error"])
    points = mount_points("tracefs")
    done = doctor("--trace", before=" && ".join(f"mount -o remount,bind,ro {point}" for point in points))
    assert (done.returncode, done.stdout) == (52, "")
    assert done.stderr.startswith("podcorder: the kernel's trace buffer cannot be used (Read-only file system): ")
    recording.stop()
