"""A node that is a container itself, as kind's are: the recorder of a pod there sees the node's cgroups alone."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.recordings import Recording, temporary_directory

from podcorder_agent.interpreter.events import ProcessExec


class NestedRecorder(Recording):
    """The test's cgroup is the node, with a cgroup namespace, and the recorder's pod in it has one of its own."""

    def launch(self) -> subprocess.Popen[str]:
        tree = self.journal.parent / "tree"
        tree.mkdir()
        pod = f"""
            umount --all --lazy --types cgroup2
            mount -t cgroup2 cgroup2 {tree}
            mkdir -p {tree}/agent/recorder
            echo 0 >{tree}/agent/recorder/cgroup.procs
            exec unshare --cgroup {shlex.join(self.command)}
        """
        node = f"echo 0 >{self.cgroup.path}/cgroup.procs; exec unshare --cgroup --mount sh -c {shlex.quote(pod)}"
        return subprocess.Popen(["sh", "-c", node], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def recording() -> Iterator[Recording]:
    with temporary_directory() as name:
        made = NestedRecorder(Path(name))
        try:
            yield made
        finally:
            made.clean_up()


def test_containers_of_the_node_are_selected_and_excluded(recording: Recording) -> None:
    """Though the kernel tells of paths from the machine's root, and the node's tree begins elsewhere."""
    recording.client.configure(0, {"policy": "test", "events": ["exec"]})
    recording.client.pending(["exec"], 60, 1 << 20)
    containers = [recording.cgroup.path / "pod" / name for name in ("one", "two")]
    for each in containers:
        each.mkdir(parents=True)
        script = f"echo 0 >{each}/cgroup.procs; /bin/echo {each.name}"
        subprocess.run(["sh", "-c", script], check=True, stdout=subprocess.DEVNULL)
    one, two = (each.stat().st_ino for each in containers)
    path = f"/{recording.name}/pod/one"
    assert recording.client.select(one, 0, "Container", {"path": path})["cgroups"] == 1
    assert recording.client.exclude(two)["cgroups"] == 1
    recording.stop()
    assert [event.arguments for event in recording.events(ProcessExec)] == [[b"/bin/echo", b"one"]]
