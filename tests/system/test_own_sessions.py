"""A slot with `own_session` off: a container's own session is left out in the kernel, later ones in it are not."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.containers import BusyContainer, change_specification, finish, make_busybox_bundle
from fixtures.recordings import Cgroup, Recording, cgroup2_mount

from podcorder_agent.classes import RecordClass
from podcorder_agent.interpreter.events import FileOpen, ProcessExec, ProcessExit, ProcessFork
from podcorder_agent.interpreter.subjects import SessionKind

EVENTS = ["exec", "exec_failed", "fork", "exit", "open", "open_failed"]
Record = Callable[..., Recording]


def configure(recording: Recording, own_session: bool) -> None:
    recording.client.configure(0, {"policy": "test", "events": EVENTS, "own_session": own_session})


def generated(recording: Recording) -> list[int]:
    """By class, but for cgroups; other containers of this machine are not held any more."""
    recording.client.pending([], 0, 0)
    counts: list[int] = recording.client.health()["counters"]["generated"]
    return counts[: RecordClass.CGROUP]


def commands(events: list[Any]) -> list[list[bytes]]:
    """What was executed in containers. Whether runc executes itself in there first, to set it up, is a race of its."""
    executed = (event for event in events if isinstance(event, ProcessExec))
    return [event.arguments for event in executed if event.process.session.kind is not SessionKind.SETUP]


def test_an_exec_is_recorded_and_the_own_session_is_not(
    record: Record, start: Callable[[Recording], BusyContainer]
) -> None:
    """Of a container seen made, what it runs itself is neither recorded nor generated once it is selected."""
    recording = record()
    configure(recording, own_session=False)
    recording.client.pending(EVENTS, 60, 1 << 20)
    container = start(recording)
    container.select(recording)
    before = generated(recording)
    for _ in range(101):
        container.work()
    assert generated(recording) == before
    container.execute("/bin/sh", "-c", "cat /etc/motd; /bin/true")
    container.work()
    container.execute("/bin/id")
    events = finish(recording, container)
    kinds = {event.process.session.kind.value for event in events if isinstance(event, ProcessExec)}
    own = [event for event in events if event.process and event.process.session.kind.value == "Container"]
    execs = [event for event in events if event.process and event.process.session.kind.value == "Exec"]
    assert kinds - {"Setup"} == {"Container", "Exec"}, "what was held before the selection is delivered"
    assert commands(own)[1:] == [[b"cat", b"/etc/motd"], [b"/bin/true"]]
    assert commands(execs) == [
        [b"/bin/sh", b"-c", b"cat /etc/motd; /bin/true"],
        [b"cat", b"/etc/motd"],
        [b"/bin/true"],
        [b"/bin/id"],
    ]
    assert len({event.process.session.id for event in execs}) == 2
    assert {type(event) for event in execs} >= {ProcessExec, ProcessFork, ProcessExit, FileOpen}


def test_a_container_older_than_its_selection(record: Record, start: Callable[[Recording], BusyContainer]) -> None:
    """What ran before the selection is the container's own, in whichever process; what is begun later is not."""
    recording = record()
    container = start(recording)
    configure(recording, own_session=False)
    container.select(recording)
    container.work()
    container.execute("/bin/id")
    container.work()
    assert commands(finish(recording, container)) == [[b"/bin/id"]]


def test_a_container_selected_before_it_is_started(record: Record, tmp_path: Path) -> None:
    """A selection that arrives between a container's making and its first exec does not make that exec another's."""
    recording = record()
    configure(recording, own_session=False)
    recording.client.pending(EVENTS, 60, 1 << 20)
    bundle = make_busybox_bundle(tmp_path, "cat /etc/motd; sleep 30")
    name = f"{recording.name}-created"
    subprocess.run(["runc", "create", "--bundle", bundle, name], check=True, stdout=subprocess.DEVNULL)
    try:
        cgroup = cgroup2_mount() / name
        recording.client.select(cgroup.stat().st_ino, 0, "Container", {"path": f"/{name}"})
        subprocess.run(["runc", "start", name], check=True)
        subprocess.run(["runc", "exec", name, "/bin/id"], check=True, stdout=subprocess.DEVNULL)
    finally:
        subprocess.run(["runc", "delete", "--force", name], check=True)
    assert commands(finish(recording)) == [[b"/bin/id"]]


@pytest.mark.parametrize("namespace", ["its own", "the node's"])
def test_hooks_are_the_runtimes(record: Record, tmp_path: Path, namespace: str) -> None:
    """What a runtime executes inside before the container's first program is neither somebody's session nor its own,
    in whichever pid namespace; a runtime that is held itself when it begins the container changes nothing."""
    recording = record()
    configure(recording, own_session=True)
    recording.client.pending(EVENTS, 60, 1 << 20)
    name = f"{recording.name}-hooked"
    bundle = make_busybox_bundle(tmp_path, "cat /etc/motd; sleep 30")
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "/bin/true; /bin/id >/dev/null"]}

    def change(specification: Any) -> None:
        specification["hooks"] = {"startContainer": [hook]}
        if namespace != "its own":
            kept = [each for each in specification["linux"]["namespaces"] if each["type"] != "pid"]
            specification["linux"]["namespaces"] = kept

    change_specification(bundle, change)
    runtime = Cgroup(f"{recording.name}-runtime")
    running = runtime.start(["runc", "run", "--bundle", bundle, name])
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "hello\n"
        recording.client.exclude(runtime.id)
        cgroup_id = (cgroup2_mount() / name).stat().st_ino
        recording.client.select(cgroup_id, 0, "Container", {"path": f"/{name}"})
    finally:
        subprocess.run(["runc", "delete", "--force", name], check=True)
        running.communicate(timeout=20)
    ran = {event.arguments[0]: event.process.session for event in finish(recording) if isinstance(event, ProcessExec)}
    runtime.remove()
    kinds = {name: ran[name].kind.value for name in (b"sh", b"/bin/true", b"/bin/id", b"/bin/sh", b"cat")}
    assert list(kinds.values()) == ["Setup"] * 3 + ["Container"] * 2, kinds


def test_an_exec_that_is_faster_than_the_container(record: Record, tmp_path: Path) -> None:
    """Whoever enters a container before its first program is executed has not begun its own session."""
    recording = record()
    configure(recording, own_session=True)
    recording.client.pending(EVENTS, 60, 1 << 20)
    name = f"{recording.name}-slow"
    bundle = make_busybox_bundle(tmp_path, "cat /etc/motd >/done; sleep 30")
    for fifo in ("fifo", "done"):
        os.mkfifo(bundle / "rootfs" / fifo)
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "read word </fifo"]}
    change_specification(bundle, lambda each: each.update(hooks={"startContainer": [hook]}))
    subprocess.run(["runc", "create", "--bundle", bundle, name], check=True, stdout=subprocess.DEVNULL)
    try:
        cgroup_id = (cgroup2_mount() / name).stat().st_ino
        recording.client.select(cgroup_id, 0, "Container", {"path": f"/{name}"})
        starting = subprocess.Popen(["runc", "start", name])
        subprocess.run(["runc", "exec", name, "/bin/id"], check=True, stdout=subprocess.DEVNULL, timeout=20)
        (bundle / "rootfs" / "fifo").write_text("word\n")
        assert (bundle / "rootfs" / "done").read_text() == "hello\n"
        assert starting.wait(20) == 0
    finally:
        subprocess.run(["runc", "delete", "--force", name], check=True)
    ran = {event.arguments[0]: event.process.session for event in finish(recording) if isinstance(event, ProcessExec)}
    assert ran[b"/bin/id"].kind is SessionKind.EXEC
    assert ran[b"cat"].kind is SessionKind.CONTAINER


def test_who_enters_with_a_pid_namespace_of_his_own(
    record: Record, start: Callable[[Recording], BusyContainer]
) -> None:
    """He is its init, but not the container's: what he executes there is a session of its own."""
    recording = record()
    configure(recording, own_session=False)
    recording.client.pending(EVENTS, 60, 1 << 20)
    container = start(recording)
    container.select(recording)
    enter = f"unshare --pid --fork nsenter -t {container.pid} -m /bin/id"
    subprocess.run(
        ["sh", "-c", f"echo $$ >{container.cgroup}/cgroup.procs; {enter}"],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=20,
    )
    container.work()
    ran = [event for event in finish(recording, container) if isinstance(event, ProcessExec)]
    assert [each.process.session.kind.value for each in ran if each.arguments == [b"/bin/id"]] == ["Exec"]


def test_what_was_begun_while_a_container_was_excluded(
    record: Record, start: Callable[[Recording], BusyContainer]
) -> None:
    """The first root is remembered: somebody else's session is not taken for the container's own, nor the reverse."""
    recording = record()
    configure(recording, own_session=False)
    recording.client.pending(EVENTS, 60, 1 << 20)
    container = start(recording)
    recording.client.exclude(container.cgroup.stat().st_ino)
    command = ["runc", "exec", container.name, "/bin/sh", "-c", "echo in; read word; /bin/id"]
    shell = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert shell.stdout is not None
    assert shell.stdout.readline() == "in\n"
    container.select(recording)
    container.work()
    shell.communicate("word\n", timeout=20)
    container.work()
    events = finish(recording, container)
    assert commands(events) == [[b"/bin/id"]]
    assert {event.process.session.kind.value for event in events if event.process} == {"Exec"}


def test_a_container_excluded_before_it_is_started(record: Record, tmp_path: Path) -> None:
    """Selected after all, what it runs is the container's own session, of which the beginning is not known."""
    recording = record()
    configure(recording, own_session=True)
    recording.client.pending(EVENTS, 60, 1 << 20)
    name = f"{recording.name}-created"
    bundle = make_busybox_bundle(tmp_path, "read word </fifo; cat /etc/motd; sleep 30")
    os.mkfifo(bundle / "rootfs" / "fifo")
    subprocess.run(["runc", "create", "--bundle", bundle, name], check=True, stdout=subprocess.DEVNULL)
    try:
        cgroup_id = (cgroup2_mount() / name).stat().st_ino
        recording.client.exclude(cgroup_id)
        subprocess.run(["runc", "start", name], check=True)
        with (bundle / "rootfs" / "fifo").open("w"):  # once the container reads it
            recording.client.select(cgroup_id, 0, "Container", {"path": f"/{name}"})
        subprocess.run(["runc", "exec", name, "/bin/id"], check=True, stdout=subprocess.DEVNULL)
    finally:
        subprocess.run(["runc", "delete", "--force", name], check=True)
    ran = {event.arguments[0]: event.process.session for event in finish(recording) if isinstance(event, ProcessExec)}
    assert {name: session.kind.value for name, session in ran.items()} == {
        b"cat": "Container",
        b"sleep": "Container",
        b"/bin/id": "Exec",
    }
    assert ran[b"cat"] is ran[b"sleep"]
    assert (ran[b"cat"].partial, ran[b"/bin/id"].partial) == (True, False)


def test_a_recorder_that_takes_over_leaves_it_out_too(
    record: Record, start: Callable[[Recording], BusyContainer]
) -> None:
    """Which session is the own one outlives the recorder, killed under load."""
    recording = record()
    configure(recording, own_session=False)
    recording.client.pending(EVENTS, 60, 1 << 20)
    container = start(recording)
    container.select(recording)
    before = generated(recording)
    recording.recorder.send_signal(signal.SIGKILL)
    recording.recorder.wait()
    container.work()
    recording.start_recorder()
    container.work()
    assert generated(recording) == before
    container.execute("/bin/id")
    assert commands(finish(recording, container))[-1] == [b"/bin/id"]


def test_it_can_be_turned_on_and_off(record: Record, start: Callable[[Recording], BusyContainer]) -> None:
    """The own session is recorded from the moment its slot says so, under the id it had before."""
    recording = record()
    configure(recording, own_session=True)
    recording.client.pending(EVENTS, 60, 1 << 20)
    container = start(recording)
    container.select(recording)
    for own_session in (True, False, True):
        configure(recording, own_session=own_session)
        container.work()
    events = finish(recording, container)
    own = [event for event in events if isinstance(event, ProcessExec) and event.arguments == [b"cat", b"/etc/motd"]]
    assert len(own) == 3, "one while it was started, and one for each time it was on"
    assert len({event.process.session.id for event in own}) == 1
