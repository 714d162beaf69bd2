"""Containers that runc and containerd start on this machine: each is recorded from its first exec on, and named."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fixtures.containers import change_specification, make_busybox_bundle
from fixtures.recordings import mount_bpffs, temporary_directory

from podcorder_agent.delivery.renderings import render
from podcorder_agent.interpreter import Interpreter
from podcorder_agent.interpreter.events import Event, FileOpen, ProcessExec, RecordingGap, SessionEnd
from podcorder_agent.interpreter.subjects import SessionKind
from podcorder_agent.journal import Reader

POLICY = """\
sessions: [Container]
events:
  commands: {}
  files: {}
"""
SCRIPT = "cat /etc/motd; sh -c 'sleep 0.1; true'; exit 5"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A runc bundle of a busybox and nothing else, which runs SCRIPT."""
    return make_busybox_bundle(tmp_path, SCRIPT)


@contextmanager
def recording(journal: Path, policy: str) -> Iterator[None]:
    """`podcorder record` with a policy that selects containers, until the block ends."""
    mount_bpffs()
    path = journal.parent / "policy.yaml"
    path.write_text(policy)
    command = [Path(sys.executable).parent / "podcorder", "record", "--policy", path, "--journal", journal]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    said = process.stderr.readline()
    assert "containers" in said, said + process.stderr.read()
    try:
        yield
        time.sleep(0.3)  # the selector answers within two polls of the journal; a container's end is not its decision
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode in (0, 130), said


def read_events(journal: Path) -> list[Event]:
    interpreter = Interpreter()
    return [event for frame in Reader(journal).read() for event in interpreter.interpret(frame)]


def of_session(events: list[Event], kind: SessionKind) -> list[Event]:
    return [event for event in events if event.process is not None and event.process.session.kind is kind]


def describe(events: list[Event]) -> str:
    """For people, when a test fails."""
    kinds = (event.process.session.kind if event.process is not None else "" for event in events)
    return "\n".join(f"{kind} {render(event)}" for kind, event in zip(kinds, events, strict=True))


def commands(events: list[Event]) -> list[list[bytes]]:
    return [event.arguments or [] for event in events if isinstance(event, ProcessExec)]


def test_a_runc_container_is_recorded_from_its_first_exec(bundle: Path) -> None:
    """The container's own session has what it ran from its first exec on, its exit code, and nothing of runc's."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    with temporary_directory() as directory:
        journal = Path(directory) / "journal"
        with recording(journal, POLICY):
            assert subprocess.run(["runc", "run", name], cwd=bundle, stdout=subprocess.DEVNULL).returncode == 5
        events = read_events(journal)
    own = of_session(events, SessionKind.CONTAINER)
    assert commands(own) == [
        [b"/bin/sh", b"-c", SCRIPT.encode()],
        [b"cat", b"/etc/motd"],
        [b"sh", b"-c", b"sleep 0.1; true"],
        [b"sleep", b"0.1"],
    ]
    assert {event.process.session.container.id for event in own if event.process} == {name}
    assert [event.code for event in own if isinstance(event, SessionEnd)] == [5]
    opened = [event.path for event in own if isinstance(event, FileOpen)]
    assert b"/etc/motd" in opened
    assert not any(b"runc" in (event.comm or b"") for event in own)
    assert not [event for event in events if isinstance(event, RecordingGap)]


def test_an_exec_into_a_container_is_a_session_of_its_own(bundle: Path) -> None:
    """What `runc exec` starts is a session of kind Exec, apart from the container's own."""
    change_specification(bundle, lambda each: each["process"].update(args=["/bin/sh", "-c", "sleep 30"]))
    name = f"test-{uuid.uuid4().hex[:8]}"
    with temporary_directory() as directory:
        journal = Path(directory) / "journal"
        with recording(journal, POLICY):
            container = subprocess.Popen(["runc", "run", name], cwd=bundle)
            try:
                deadline = time.monotonic() + 10
                while subprocess.run(["runc", "exec", name, "/bin/true"], capture_output=True).returncode:
                    assert time.monotonic() < deadline, "the container never came up"
                done = subprocess.run(["runc", "exec", name, "/bin/cat", "/etc/motd"], capture_output=True, text=True)
                assert done.stdout == "hello\n"
            finally:
                subprocess.run(["runc", "kill", name, "KILL"], check=True)
                container.wait()
        events = read_events(journal)
    assert [b"/bin/cat", b"/etc/motd"] in commands(of_session(events, SessionKind.EXEC))
    assert commands(of_session(events, SessionKind.CONTAINER)) == [[b"/bin/sh", b"-c", b"sleep 30"], [b"sleep", b"30"]]


def test_a_containerd_container_is_recorded(bundle: Path, tmp_path: Path) -> None:
    """A container that containerd starts is recorded and named by its id."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    with temporary_directory() as directory:
        address = Path(directory) / "containerd.sock"
        (Path(directory) / "config.toml").write_text(
            'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs"]\n'
        )
        daemon = subprocess.Popen(
            ["containerd", "--config", f"{directory}/config.toml", "--address", address,
             "--root", f"{directory}/root", "--state", f"{directory}/state", "--log-level", "error"],
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 20
            while not address.exists():
                assert daemon.poll() is None, "containerd ended"
                assert time.monotonic() < deadline, "containerd did not start"
                time.sleep(0.05)
            journal = Path(directory) / "journal"
            with recording(journal, POLICY):
                run = ["ctr", "--address", address, "run", "--rm", "--rootfs", bundle / "rootfs", name]
                done = subprocess.run([*run, "/bin/cat", "/etc/motd"], capture_output=True, text=True, timeout=60)
                assert done.stdout == "hello\n", done.stderr
            events = read_events(journal)
        finally:
            daemon.terminate()
            daemon.wait(20)
    own = of_session(events, SessionKind.CONTAINER)
    assert commands(own) == [[b"/bin/cat", b"/etc/motd"]], describe(events)
    assert {event.process.session.container.id for event in own if event.process} == {name}


def test_containers_a_policy_leaves_out_are_not_recorded(bundle: Path) -> None:
    """Of a container that the policy excludes nothing is delivered, though it was held until that was known."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    with temporary_directory() as directory:
        journal = Path(directory) / "journal"
        with recording(journal, POLICY + f"containers:\n  exclude: [{name}]\n"):
            assert subprocess.run(["runc", "run", name], cwd=bundle, stdout=subprocess.DEVNULL).returncode == 5
        events = read_events(journal)
    assert not [event for event in events if isinstance(event, ProcessExec)]
