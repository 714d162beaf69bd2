"""Processes that root moves into a recorded container's cgroup: what they execute there is an exec session's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from fixtures.containers import BusyContainer, finish
from fixtures.recordings import Cgroup, Recording

from podcorder_agent.interpreter.events import FileOpen, ProcessExec
from podcorder_agent.interpreter.subjects import SessionKind

EVENTS = ["exec", "fork", "exit", "open", "open_failed"]
WAYS = {
    "in one step": "exec nsenter -t {} -m /bin/id",
    "by a child": "nsenter -t {} -m /bin/id",
    "with its pids, which takes a fork": "nsenter -t {} -m -p /bin/id",
    "by a fork of a fork": "sh -c 'nsenter -t {} -m -u -i -n -p /bin/id & wait'",
}
Record = Callable[..., Recording]
Start = Callable[[Recording], BusyContainer]


@pytest.fixture
def recording(record: Record) -> Recording:
    made = record()
    made.client.configure(0, {"policy": "test", "events": EVENTS})
    made.client.pending(EVENTS, 60, 1 << 20)
    return made


@pytest.mark.parametrize("way", WAYS)
def test_who_enters_from_the_node(recording: Recording, start: Start, way: str) -> None:
    """However many forks lie between his moving into the cgroup and his first program in there: it begins a session."""
    container = start(recording)
    container.select(recording)
    enter = f"echo $$ >{container.cgroup}/cgroup.procs; {WAYS[way].format(container.pid)}"
    subprocess.run(["sh", "-c", enter], check=True, stdout=subprocess.DEVNULL, timeout=20)
    ran = [event for event in finish(recording, container) if isinstance(event, ProcessExec)]
    assert [each.process.session.kind for each in ran if each.arguments == [b"/bin/id"]] == [SessionKind.EXEC]


def test_who_is_moved_into_a_cgroup_that_is_new(recording: Recording, start: Start) -> None:
    """While nobody has said whose it is, and after it turned out to be no container's, he stays in his session."""
    container = start(recording)
    container.select(recording)
    script = "echo $(cat /etc/motd); read word; /bin/id; read word; /bin/true; /bin/sleep 0"
    command = ["runc", "exec", container.name, "/bin/sh", "-c", script]
    shell = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert shell.stdin is not None
    assert shell.stdout is not None
    assert shell.stdout.readline() == "hello\n"
    (pid,) = container.pids - {container.pid}
    fresh = Cgroup(f"{recording.name}-fresh")
    (fresh.path / "cgroup.procs").write_text(str(pid))
    shell.stdin.write("word\n")
    shell.stdin.flush()
    assert shell.stdout.readline().startswith("uid=0")
    recording.client.exclude(fresh.path.stat().st_ino, outside=True)
    shell.communicate("word\n", timeout=20)
    execs = [event for event in finish(recording, container) if isinstance(event, ProcessExec)]
    fresh.remove()
    (session,) = {each.process.session.id for each in execs if each.arguments == [b"/bin/sh", b"-c", script.encode()]}
    own = [each.arguments for each in execs if each.process.session.id == session]
    assert own[1:] == [[b"cat", b"/etc/motd"], [b"/bin/id"], [b"/bin/true"], [b"/bin/sleep", b"0"]]


def test_who_is_moved_from_another_container(recording: Recording, start: Start) -> None:
    """He is no runtime that sets a stage: all he does from then on, executed or not, is one session of the container he
    is in, neither its own nor the one he was in."""
    here, there = start(recording), start(recording)
    here.select(recording)
    there.select(recording)
    script = "echo $(cat /etc/motd); read word; read line </etc/motd; /bin/id; /bin/id"
    command = ["runc", "exec", here.name, "/bin/sh", "-c", script]
    shell = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert shell.stdout is not None
    assert shell.stdout.readline() == "hello\n"
    (pid,) = here.pids - {here.pid}
    (there.cgroup / "cgroup.procs").write_text(str(pid))
    shell.communicate("word\n", timeout=20)
    there.work()
    events = finish(recording, here, there)
    execs = [each for each in events if isinstance(each, ProcessExec)]
    (first,) = {each.process.session.id for each in execs if each.arguments == [b"/bin/sh", b"-c", script.encode()]}
    (second,) = {each.process.session for each in execs if each.arguments == [b"/bin/id"]}
    assert (second.kind, second.root_tgid, second.partial) == (SessionKind.EXEC, pid, False)
    assert second.id != first
    opened = [each for each in events if isinstance(each, FileOpen) and each.path == b"/etc/motd"]
    assert second.id in [each.process.session.id for each in opened if each.process.tgid == pid]
