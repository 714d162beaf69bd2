"""Cgroups in cgroups: a pod's containers are decided about one by one, a container goes with all it makes in itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.recordings import Recording

from podcorder_agent.interpreter.events import ProcessExec

Record = Callable[..., Recording]
EVENTS = ["exec", "fork", "exit"]


@pytest.fixture
def recording(record: Record) -> Iterator[Recording]:
    """One that holds new cgroups, and has a slot for those it is told to select."""
    made = record()
    made.client.configure(0, {"policy": "test", "events": EVENTS})
    made.client.pending(EVENTS, 60, 1 << 24)
    return made


def run_in(cgroup: Path, script: str) -> None:
    subprocess.run(["sh", "-c", f"echo 0 > {cgroup}/cgroup.procs; {script}"], check=True)


def select(recording: Recording, cgroup: Path) -> None:
    path = cgroup.relative_to(recording.cgroup.path.parent)
    recording.client.select(cgroup.stat().st_ino, 0, "Container", {"path": f"/{path}"})


def commands(recording: Recording) -> list[list[bytes]]:
    return [event.arguments for event in recording.events(ProcessExec)]


@pytest.mark.parametrize("excluded", ["never", "before", "after"])
def test_a_container_in_a_pods_cgroup_is_held_by_itself(recording: Recording, excluded: str) -> None:
    """Whatever was decided about the pod's cgroup, before or after, what its container runs is held until it is
    selected."""
    pod = recording.cgroup.path / "pod"
    pod.mkdir()
    if excluded == "before":
        recording.client.exclude(pod.stat().st_ino)
    for name in ("one", "two"):
        (pod / name).mkdir()
    if excluded == "after":
        recording.client.exclude(pod.stat().st_ino)
    for name in ("one", "two"):
        run_in(pod / name, f"exec /bin/echo {name}")
    select(recording, pod / "two")
    recording.client.exclude((pod / "one").stat().st_ino)
    recording.stop()
    assert commands(recording) == [[b"/bin/echo", b"two"]]


def test_what_a_runtime_makes_in_a_scope_goes_with_it(recording: Recording) -> None:
    """crun has a cgroup of its own in the scope that systemd made for a container: it is that container's."""
    scope = recording.cgroup.path / "crio-0123.scope"
    inner = scope / "container"
    inner.mkdir(parents=True)
    run_in(inner, "exec /bin/echo inner")
    select(recording, scope)
    number = scope.stat().st_ino
    run_in(inner, "exec /bin/echo later")
    recording.stop()
    assert commands(recording) == [[b"/bin/echo", b"inner"], [b"/bin/echo", b"later"]]
    assert {event.process.session.container.cgroup_id for event in recording.events(ProcessExec)} == {number}


def test_a_selected_container_stays_so_in_an_excluded_cgroup(recording: Recording) -> None:
    """An exclusion is of what belongs to the cgroup, not of containers in it that somebody decided about."""
    container = recording.cgroup.path / "container"
    container.mkdir()
    select(recording, container)
    recording.client.exclude(recording.cgroup.path.stat().st_ino)
    run_in(container, "exec /bin/echo recorded")
    recording.stop()
    assert commands(recording) == [[b"/bin/echo", b"recorded"]]


@pytest.mark.parametrize("excluded", [False, True])
def test_what_a_container_makes_in_itself_goes_with_it(recording: Recording, excluded: bool) -> None:
    """Cgroups made by a container's own processes are selected or excluded with it, also while it is held."""
    container = recording.cgroup.path / "container"
    container.mkdir()
    if excluded:
        recording.client.exclude(container.stat().st_ino)
    inner = container / "inner"
    run_in(container, f"mkdir {inner}; echo 0 > {inner}/cgroup.procs; exec /bin/echo inner")
    if not excluded:
        select(recording, container)
    recording.stop()
    assert ([b"/bin/echo", b"inner"] in commands(recording)) is not excluded
