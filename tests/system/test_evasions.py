"""Ways to hide what runs: each is recorded for what it does."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.recordings import Recording

from podcorder_agent.interpreter.events import (
    FileOpen,
    FileOpenFailed,
    NetworkConnect,
    ProcessExec,
    ProcessExecFailed,
)

Record = Callable[..., Recording]


@pytest.fixture
def port() -> Iterator[int]:
    """A port that answers: the backlog takes what these tests send."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield listener.getsockname()[1]


def run_shell(recording: Recording, script: str) -> None:
    recording.select()
    recording.cgroup.run("/bin/sh", "-c", script, check=False)
    recording.stop()


def executables(recording: Recording) -> list[tuple[bytes | None, list[bytes] | None]]:
    return [(event.filename, event.arguments) for event in recording.events(ProcessExec)]


def test_a_decoded_script_shows_its_commands(record: Record, tmp_path: Path) -> None:
    """`echo ... | base64 -d | sh` shows the command that the text hid."""
    hidden = base64.b64encode(f"rm -f {tmp_path}/victim\n".encode()).decode()
    recording = record()
    run_shell(recording, f"echo {hidden} | base64 -d | sh")
    assert [b"rm", b"-f", bytes(tmp_path / "victim")] in [arguments for _, arguments in executables(recording)]


def test_globs_and_variables_show_what_they_stand_for(record: Record) -> None:
    """A command named by a glob or pieced together from variables is recorded as the program that ran."""
    recording = record()
    run_shell(recording, "/bin/i[d]; a=una; b=me; $a$b -s; /???/t?ue")
    names = [filename for filename, _ in executables(recording)]
    assert b"/bin/id" in names
    assert any(name is not None and name.endswith(b"/uname") for name in names)
    assert b"/bin/true" in names


def test_a_script_shows_its_interpreter_and_itself(record: Record, tmp_path: Path) -> None:
    """A file with an interpreter line is recorded as the interpreter run for that file."""
    script = tmp_path / "script"
    script.write_text("#!/bin/sh -e\ntrue\n")
    script.chmod(0o755)
    recording = record()
    run_shell(recording, f"{script} argument; :")
    (event,) = recording.events(ProcessExec, lambda event: event.filename == bytes(script))
    assert event.interpreter == b"/bin/sh"
    assert event.arguments == [b"/bin/sh", b"-e", bytes(script), b"argument"]
    assert event.process.executable == os.path.realpath(b"/bin/sh")


def test_an_exec_through_a_descriptor_shows_the_real_file(record: Record) -> None:
    """exec of /proc/self/fd/N is recorded with the path of the file behind it."""
    recording = record()
    run_shell(recording, "exec 9</bin/echo; /proc/self/fd/9 hello; :")
    (event,) = recording.events(ProcessExec, lambda event: event.arguments and event.arguments[-1:] == [b"hello"])
    assert event.filename == b"/proc/self/fd/9"
    assert event.process.executable == os.path.realpath(b"/bin/echo")


def test_a_program_run_from_memory_is_told_apart(record: Record, workloads: Path) -> None:
    """A program executed from a memfd has the origin `memory` and no path."""
    recording = record()
    recording.select()
    assert recording.cgroup.run(workloads / "memfd", "/bin/echo") == "from memory\n"
    recording.stop()
    (event,) = recording.events(ProcessExec, lambda event: event.arguments == [b"innocent", b"from memory"])
    assert event.origin == "memory"


@pytest.mark.beyond("opens through io_uring are not seen")
def test_io_uring_hides_neither_opens_nor_connects(record: Record, workloads: Path, port: int) -> None:
    """101 opens, connects and failed opens through io_uring are 101 events each, marked io_uring."""
    recording = record()
    recording.select()
    printed = recording.cgroup.run(workloads / "uring", "101", "/etc/passwd", str(port))
    recording.stop()
    assert printed.split() == ["101", "101", "101"]
    opens = recording.events(FileOpen, lambda event: event.path == b"/etc/passwd" and "io_uring" in (event.flags or ()))
    failed = recording.events(FileOpenFailed, lambda event: event.path == b"/etc/passwd.missing")
    connects = recording.events(NetworkConnect, lambda event: event.peer_port == port)
    assert len(opens) == 101
    assert [event.error for event in failed] == ["ENOENT"] * 101
    assert [event.outcome for event in connects] == ["established"] * 101


@pytest.mark.beyond("opens through io_uring are not seen")
def test_an_io_uring_open_without_completion_is_recorded(record: Record, workloads: Path, port: int) -> None:
    """An open that asks for no completion on success is recorded when it is submitted, as unsettled."""
    recording = record()
    recording.select()
    recording.cgroup.run(workloads / "uring", "101", "/etc/passwd", str(port), "silent")
    recording.stop()
    opens = recording.events(FileOpen, lambda event: event.path == b"/etc/passwd" and "io_uring" in (event.flags or ()))
    assert len(opens) == 101
    assert all("unsettled" in event.flags and event.descriptor is None for event in opens)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="int 0x80 is x86's")
def test_the_32_bit_gate_hides_nothing(record: Record, workloads: Path, port: int) -> None:
    """101 opens and connects by int 0x80 from a 64-bit process are 101 events each."""
    recording = record()
    recording.select()
    assert recording.cgroup.run(workloads / "int80", "101", "/etc/passwd", str(port)).split() == ["101", "101"]
    recording.stop()
    opens = recording.events(FileOpen, lambda event: event.path == b"/etc/passwd" and "compat" in (event.flags or ()))
    assert len(opens) == 101
    assert len(recording.events(NetworkConnect, lambda event: event.peer_port == port)) == 101


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the 32-bit programs are x86's")
def test_a_32_bit_program_is_recorded(record: Record, workloads: Path, port: int) -> None:
    """A 32-bit program's opens, failed opens, connects, execs and failed execs are recorded."""
    recording = record()
    recording.select()
    assert recording.cgroup.run(workloads / "opens32", "101", "/etc/passwd").split() == ["101", "0"]
    assert recording.cgroup.run(workloads / "opens32", "101", "/etc/missing").split() == ["0", "101"]
    assert recording.cgroup.run(workloads / "connects32", "101", str(port)).split() == ["101", "0"]
    assert recording.cgroup.run(workloads / "execs32", "3", "/nonexistent").split() == ["0", "3"]
    recording.stop()
    assert len(recording.events(FileOpen, lambda event: event.path == b"/etc/passwd")) == 101
    failed = recording.events(FileOpenFailed, lambda event: event.path == b"/etc/missing")
    assert len(failed) == 101
    assert all({"compat", "unsettled"} <= set(event.flags) for event in failed)
    assert len(recording.events(NetworkConnect, lambda event: event.peer_port == port)) == 101
    (arguments,) = {tuple(event.arguments) for event in recording.events(ProcessExecFailed)}
    assert arguments == (b"/nonexistent", b"an argument")


def test_an_open_by_handle_shows_its_path(record: Record, workloads: Path, tmp_path: Path) -> None:
    """101 opens by file handle are recorded with the file's path."""
    target = tmp_path / "target"
    target.touch()
    recording = record()
    recording.select()
    assert recording.cgroup.run(workloads / "handle", "101", target).split() == ["101"]
    recording.stop()
    opened = recording.events(FileOpen, lambda event: event.inode == target.stat().st_ino)
    # a dentry found by its inode may not be connected to its parents yet: then it has no path, but its inode
    assert len(opened) == 101
    assert {event.path for event in opened} == {bytes(target)}


def test_a_raced_path_is_reported_as_the_file_opened(record: Record, workloads: Path, tmp_path: Path) -> None:
    """An open whose path another thread rewrites is reported as the file that was really opened."""
    one, other = tmp_path / "aaaa", tmp_path / "bbbb"
    one.touch()
    other.touch()
    recording = record()
    recording.select()
    printed = recording.cgroup.run(workloads / "race", "20011", one, other).split()
    recording.stop()
    opened = recording.events(FileOpen, lambda event: event.path in (bytes(one), bytes(other)))
    by_inode = [
        sum(event.inode == path.stat().st_ino and event.path == bytes(path) for event in opened)
        for path in (one, other)
    ]
    assert by_inode == [int(count) for count in printed]
    assert len(opened) == sum(by_inode)
    assert min(by_inode) > 0, "the race never happened: nothing was shown"


def test_the_word_truncated_is_just_a_word(record: Record) -> None:
    """Arguments that look like Podcorder's own marks come out verbatim and unmarked."""
    recording = record()
    recording.select()
    recording.cgroup.run("/bin/echo", "[truncated]", "[redacted]", "unsettled")
    recording.stop()
    (event,) = recording.events(ProcessExec, lambda event: event.filename == b"/bin/echo")
    assert event.arguments == [b"/bin/echo", b"[truncated]", b"[redacted]", b"unsettled"]
    assert not event.flags
    assert not event.redacted


def test_awkward_bytes_arrive_exactly(record: Record) -> None:
    """Newlines, control characters, empty arguments and invalid UTF-8 arrive byte for byte."""
    awkward = [b"/bin/echo", b"a\nb", b"\x1b[31m\x07", b"", b"\xff\xfe\x80", "ü\u202e".encode(), b"'\"\\$"]
    recording = record()
    recording.select()
    with recording.cgroup.start(["/bin/true"]) as process:
        process.wait()

    def enter() -> None:
        (recording.cgroup.path / "cgroup.procs").write_text("0")
        os.execv(b"/bin/echo", awkward)

    child = os.fork()
    if not child:
        try:
            os.close(1)
            enter()
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    recording.stop()
    (event,) = recording.events(ProcessExec, lambda event: event.filename == b"/bin/echo")
    assert event.arguments == awkward


@pytest.mark.parametrize("size", [0, 1, 4096, 100_003, 131_000])
def test_a_long_argument_arrives_whole(record: Record, size: int) -> None:
    """An argument of up to 128 KiB arrives whole."""
    recording = record()
    recording.select()
    recording.cgroup.run("/bin/true", "x" * size)
    recording.stop()
    (event,) = recording.events(ProcessExec, lambda event: event.filename == b"/bin/true")
    assert event.arguments == [b"/bin/true", b"x" * size]
    assert not event.flags


def test_what_is_too_long_says_so(record: Record) -> None:
    """Of an argv beyond 128 KiB the beginning arrives, flagged, with the original length and count."""
    recording = record()
    recording.select()
    arguments = ["y" * 50_000 for _ in range(7)]
    recording.cgroup.run("/bin/true", *arguments)
    recording.stop()
    (event,) = recording.events(ProcessExec, lambda event: event.filename == b"/bin/true")
    assert event.flags == ["truncated"]
    assert event.argc == 8
    assert event.argv_bytes == len("/bin/true") + 1 + 7 * 50_001
    assert sum(len(argument) for argument in event.arguments) > 130_000
