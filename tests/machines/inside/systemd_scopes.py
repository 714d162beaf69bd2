"""Containers in scopes of systemd's, as a kubelet with the systemd driver has them: run in the machine alone."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.containers import change_specification, make_busybox_bundle
from fixtures.recordings import Recording, cgroup2_mount, temporary_directory

from podcorder_agent.cluster.cgroups import PodCgroup, PodCgroups
from podcorder_agent.interpreter.events import ProcessExec
from podcorder_agent.journal import FrameKind, Reader
from podcorder_agent.machine.lifecycle import cgroup_changes

SCRIPT = "cat /etc/motd; read word; /bin/true"
RUNTIMES = [("runc", "cri-containerd", "containerd"), ("crun", "crio", "cri-o")]
"""The runtime, what its caller has it call scopes, and who that is."""


@pytest.fixture
def recording() -> Iterator[Recording]:
    """One that holds new cgroups, and has a slot for those it is told to select."""
    with temporary_directory() as name:
        made = Recording(Path(name))
        try:
            made.client.configure(0, {"policy": "test", "events": ["exec", "fork", "exit"]})
            made.client.pending(["exec", "fork", "exit"], 60, 1 << 20)
            yield made
        finally:
            made.clean_up()


@pytest.fixture(params=RUNTIMES, ids=lambda each: each[0])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Container]]:
    """Start a container of a pod's, with each runtime."""
    made: list[Container] = []

    def begin() -> Container:
        made.append(Container(tmp_path, *request.param))
        return made[-1]

    yield begin
    for each in made:
        each.end()


class Container:
    """A busybox that says hello, and waits for a word."""

    def __init__(self, directory: Path, command: str, prefix: str, runtime: str) -> None:
        self.id, self.pod, self.runtime = f"{uuid.uuid4().hex}{uuid.uuid4().hex}", str(uuid.uuid4()), runtime
        self.has_inner = command == "crun"
        """Whether its processes are in a cgroup in the scope (`run.oci.systemd.subgroup` in crun(1))."""
        self._command = [command, "--systemd-cgroup"]
        bundle = make_busybox_bundle(directory, SCRIPT)
        slice_name = f"kubepods-besteffort-pod{self.pod.replace('-', '_')}.slice"
        path = f"{slice_name}:{prefix}:{self.id}"
        change_specification(bundle, lambda each: each["linux"].update(cgroupsPath=path))
        self._process = subprocess.Popen(
            [*self._command, "run", "--bundle", bundle, self.id],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "hello\n"

    def execute(self, *words: str) -> None:
        subprocess.run([*self._command, "exec", self.id, *words], check=True, stdout=subprocess.DEVNULL)

    def finish(self) -> None:
        self._process.communicate("word\n", timeout=60)
        assert self._process.returncode == 0

    def end(self) -> None:
        subprocess.run([*self._command, "delete", "--force", self.id], check=False, capture_output=True)
        self._process.communicate(timeout=60)


def find(recording: Recording, container: Container) -> PodCgroup:
    """The container as the agent finds it in the journal; what is nobody's is excluded on the way."""
    cgroups = PodCgroups()
    recording.client.flush()
    for frame in Reader(recording.journal).read():
        if frame.kind is FrameKind.LIFECYCLE:
            for change in cgroup_changes(frame.payload):
                if cgroups.observe(change, frame.time):
                    recording.client.exclude(change.id)
    (found,) = cgroups.known.values()
    assert (found.container_id, found.pod_uid, found.runtime) == (container.id, container.pod, container.runtime)
    return found


def test_a_pods_container_is_recorded_from_its_first_exec(recording: Recording, start: Callable[[], Container]) -> None:
    """It is known by the scope that systemd made, with its pod and its runtime; what it ran before it was selected,
    and what is executed in it, is told, whatever cgroups the runtime makes in the scope."""
    container = start()
    found = find(recording, container)
    assert Path(f"{cgroup2_mount()}{found.path}/container").exists() is container.has_inner
    recording.client.select(found.id, 0, "Container", {"path": found.path, "id": found.container_id})
    container.execute("/bin/id")
    container.finish()
    recording.stop()
    told = recording.events(ProcessExec)
    sessions = {
        kind: [event.arguments for event in told if event.process.session.kind.value == kind]
        for kind in ("Container", "Exec")
    }
    own = [[b"/bin/sh", b"-c", SCRIPT.encode()], [b"cat", b"/etc/motd"], [b"/bin/true"]]
    assert sessions == {"Container": own, "Exec": [[b"/bin/id"]]}


def test_containers_that_were_there_are_found(start: Callable[[], Container]) -> None:
    """A look at the tree finds the same container, and nothing of what a runtime made in its scope."""
    container = start()
    cgroups = PodCgroups()
    cgroups.scan(cgroup2_mount(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    (found,) = cgroups.known.values()
    assert (found.container_id, found.pod_uid) == (container.id, container.pod)
