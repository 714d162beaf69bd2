"""Sessions end when their recorder has failed, where a policy asks for it: those that had begun, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from fixtures.recordings import Cgroup, Recording, assert_law

from podcorder_agent.interpreter.events import ProcessExec, ProcessExit

FAILED_SECONDS = 30
"""RECORDER_FAILED_NS of bpf/maps.bpf.h."""
BUSY = "while :; do sleep 0.2; done"
LEFT_BEHIND = f"setsid sh -c 'echo $$; {BUSY}' & wait"
EVENTS = ["exec", "fork", "exit"]
Record = Callable[..., Recording]


class Node:
    """A recording of containers, each with its own session, that began before it was selected."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.cgroups: list[Cgroup] = []
        self.started: list[subprocess.Popen[str]] = []

    def make(self, kind: str, *ends: str) -> tuple[Cgroup, subprocess.Popen[str]]:
        """A container recorded into a slot of its own, and the process that its own session is."""
        slot = len(self.cgroups)
        cgroup = Cgroup(f"{self.recording.name}-{slot}")
        self.cgroups.append(cgroup)
        own = self.enter(cgroup, BUSY)
        self.recording.client.configure(slot, {"policy": "test", "events": EVENTS, "ends": list(ends)})
        self.recording.client.select(cgroup.id, slot, kind, {"path": f"/{cgroup.path.name}"})
        return cgroup, own

    def enter(self, cgroup: Cgroup, script: str, **options: object) -> subprocess.Popen[str]:
        """What a runtime begins in a container: it executes in another mount namespace than its parent's."""
        self.started.append(cgroup.start(["unshare", "--mount", "sh", "-c", script], **options))
        return self.started[-1]

    def clean_up(self) -> None:
        """A second time it has nothing to do."""
        for cgroup in self.cgroups:
            cgroup.kill()
        while self.started:
            self.started.pop().wait()
        while self.cgroups:
            self.cgroups.pop().remove()


@pytest.fixture
def node(record: Record) -> Iterator[Node]:
    made = Node(record())
    yield made
    made.clean_up()


def test_sessions_end_with_their_recorder(node: Node) -> None:
    """Half a minute after its last heartbeat, each process as it returns from a system call; and that is on record."""
    shop, own = node.make("Container", "Exec")
    calm, calm_own = node.make("Container")
    bug, bug_own = node.make("Debug", "Debug")
    busy, behind = node.enter(shop, BUSY), node.enter(shop, LEFT_BEHIND)
    assert behind.stdout is not None
    left = behind.stdout.readline().strip()
    waiting = node.enter(shop, "cat", stdin=subprocess.PIPE)
    spared = [own, calm_own, node.enter(calm, BUSY), node.enter(bug, BUSY)]
    time.sleep(1)
    recorder = node.recording.recorder
    os.kill(recorder.pid, signal.SIGSTOP)
    failed = time.monotonic() + FAILED_SECONDS
    time.sleep(FAILED_SECONDS - 3)
    assert {each.poll() for each in node.started} == {None}, "something ended before its time"
    time.sleep(failed + 1 - time.monotonic())
    assert [each.wait(10) for each in (busy, behind, bug_own)] == [-signal.SIGKILL] * 3
    late = node.enter(shop, BUSY)
    assert waiting.communicate("whatever is typed\n", timeout=10) == ("", None)
    assert waiting.returncode == -signal.SIGKILL
    time.sleep(1)
    assert {each.poll() for each in (*spared, late)} == {None}
    assert left not in (shop.path / "cgroup.procs").read_text().split()
    os.kill(recorder.pid, signal.SIGCONT)
    after = node.enter(shop, BUSY)
    time.sleep(2)
    assert {each.poll() for each in (*spared, late, after)} == {None}
    node.clean_up()
    node.recording.stop()
    events, counters = node.recording.interpret()
    losses = assert_law(events, counters, {"exec": ProcessExec, "exit": ProcessExit})
    ended = {
        event.process.tgid
        for event in events
        if isinstance(event, ProcessExit) and event.signal == "SIGKILL" and event.process is not None
    }
    # a kernel that preempts programs skips runs of others, which are counted
    assert len({busy.pid, behind.pid, waiting.pid, bug_own.pid} - ended) <= losses["exit"]
