"""The halves in a pid namespace: what a process is called in there is not what the kernel half sees."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.recordings import Recording, temporary_directory

from podcorder_agent.control.client import ControlError
from podcorder_agent.interpreter.events import FileOpen, Finding

EXPORTER = 61_110
INIT = """\
import os, subprocess, sys
from pathlib import Path
from podcorder_agent.control.client import ControlClient

cgroup, journal, recorder_pid, exporter_pid, exporter = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
Path(cgroup, "cgroup.procs").write_text("0")
last = Path("/proc/sys/kernel/ns_last_pid")
last.write_text(str(recorder_pid - 1))
recorder = subprocess.Popen(sys.argv[6:])
assert recorder.pid == recorder_pid
sys.stdin.readline()
last.write_text(str(exporter_pid - 1))
if not os.fork():
    assert os.getpid() == exporter_pid
    open("/etc/passwd").close()
    os.setresgid(exporter, exporter, exporter)
    os.setresuid(exporter, exporter, exporter)
    ControlClient(journal + "/control.sock", "exporter").ignore(os.getpid())
    open("/etc/group").close()
    os._exit(0)
assert os.wait()[1] == 0
print("done", flush=True)
sys.exit(recorder.wait())
"""
"""The namespace's first process: starts both halves in the cgroup that is recorded, under the pids it is told."""


class NamespacedRecording(Recording):
    """A recorder in a pid namespace, where it and an exporter have the pids of two processes outside."""

    def launch(self) -> subprocess.Popen[str]:
        opener = ["sh", "-c", "read word; read line < /etc/hostname"]
        self.doubles = [self.cgroup.start(opener, stdin=subprocess.PIPE) for _ in range(2)]
        pids = [str(each.pid) for each in reversed(self.doubles)]  # a recorder's threads have the numbers after its own
        init = [sys.executable, "-c", INIT, self.cgroup.path, self.journal, *pids, str(EXPORTER), *self.command]
        return subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", *init],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run_exporter(self) -> None:
        """Let it start, have itself ignored, and end."""
        assert self.recorder.stdin is not None
        assert self.recorder.stdout is not None
        self.recorder.stdin.write("go\n")
        self.recorder.stdin.flush()
        assert self.recorder.stdout.readline() == "done\n"


@pytest.fixture
def recording() -> Iterator[NamespacedRecording]:
    with temporary_directory() as name:
        Path(name).chmod(0o755)
        made = NamespacedRecording(
            Path(name), arguments=["--exporter-uid", str(EXPORTER), "--exporter-gid", str(EXPORTER)]
        )
        yield made
        made.clean_up()


def test_the_halves_are_ignored_and_not_who_has_their_pids_outside(recording: NamespacedRecording) -> None:
    """Opens of the recorder and of the exporter do not appear; those of the processes with the same numbers do."""
    recording.select(["open", "exec"])
    recording.run_exporter()
    for each in recording.doubles:
        each.communicate("word\n", timeout=10)
        assert each.returncode == 0
    recording.stop()

    opens = recording.events(FileOpen)
    by_path = {path: [each.process.tgid for each in opens if each.path == path] for path in {o.path for o in opens}}
    assert sorted(by_path[b"/etc/hostname"]) == sorted(each.pid for each in recording.doubles)
    assert len(by_path[b"/etc/passwd"]) == 1, "the exporter is recorded until it asks not to be"
    assert b"/etc/group" not in by_path
    assert not [path for path in by_path if path.startswith(bytes(recording.journal))]
    (finding,) = recording.events(Finding, lambda event: event.subject == "ignore")
    assert str(by_path[b"/etc/passwd"][0]) in finding.message


def test_a_process_out_of_sight_is_not_ignored(recording: NamespacedRecording) -> None:
    """What the recorder's namespace does not show is refused, whoever asks: it would be somebody else."""
    outside = next(each for each in range(2, 1 << 22) if Path(f"/proc/{each}").exists())
    with pytest.raises(ControlError, match="pid namespace"):
        recording.client.ignore(outside)
    recording.run_exporter()
    for each in recording.doubles:
        each.communicate("word\n", timeout=10)
    recording.stop()
