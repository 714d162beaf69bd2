"""Ways to end what is recorded, or to tell of it twice: neither works."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.recordings import Recording, cgroup2_mount, scaled

from podcorder_agent.control.client import ControlClient, ControlError
from podcorder_agent.interpreter.events import FileOpen, Finding, NetworkListen, ProcessExec, ProcessExit, SessionStart

Record = Callable[..., Recording]


def test_leaving_the_cgroup_does_not_leave_the_recording(record: Record) -> None:
    """A process that moves to a cgroup nobody selected stays in its session, and so does all it starts."""
    elsewhere = cgroup2_mount() / "cgroup.procs"
    listen = 'import socket; socket.create_server(("127.0.0.1", 0))'
    script = f"echo $$ > {elsewhere}; /bin/echo outside; (cat /etc/hostname; python3 -c '{listen}')"
    recording = record()
    recording.select()
    recording.cgroup.run("/bin/sh", "-c", script)
    recording.stop()
    events, _ = recording.interpret()
    execs = [event for event in events if type(event) is ProcessExec]
    assert [b"/bin/echo", b"outside"] in [event.arguments for event in execs]
    assert len({event.process.session.id for event in execs if event.process}) == 1
    assert sum(type(event) is SessionStart for event in events) == 1
    assert any(type(event) is FileOpen and event.path == b"/etc/hostname" for event in events)
    assert any(type(event) is NetworkListen for event in events)
    started = {event.process.tgid for event in execs if event.process}
    ended = {event.process.tgid for event in events if type(event) is ProcessExit and event.process}
    assert started <= ended


def test_an_excluded_cgroup_stays_excluded(record: Record) -> None:
    """What moves from a recorded cgroup to an excluded one is not recorded there."""
    recording = record()
    recording.select()
    inside = recording.cgroup.path / "excluded"
    inside.mkdir()
    recording.client.exclude(inside.stat().st_ino)
    recording.cgroup.run("/bin/sh", "-c", f"echo $$ > {inside}/cgroup.procs; /bin/echo hidden")
    recording.stop()
    assert not recording.events(ProcessExec, lambda event: event.arguments == [b"/bin/echo", b"hidden"])


def test_threads_that_end_together_are_one_end(record: Record, workloads: Path) -> None:
    """Of 3,001 processes whose nine threads end at the same moment each one ends once."""
    recording = record()
    recording.select(["fork", "exit"])
    count = scaled(3_001)
    assert recording.cgroup.run(workloads / "ends", str(count)).split() == [str(count)]
    recording.stop()
    ends = Counter((event.process.tgid, event.process.start) for event in recording.events(ProcessExit))
    assert len(ends) == count + 1
    assert set(ends.values()) == {1}


DEEP = """
import os, sys
os.chdir(sys.argv[1])
for name in ["usr", "lib"] + ["d"] * int(sys.argv[2]):
    os.mkdir(name)
    os.chdir(name)
open("secret", "w").close()
"""


@pytest.mark.parametrize("paths", [[("/", "exclude")], [("/usr/", "exclude"), ("/d/", "exclude")], [("{}", "include")]])
def test_a_path_too_deep_to_be_read_passes_every_filter(
    record: Record, tmp_path: Path, paths: list[tuple[str, str]]
) -> None:
    """What is left of a path without its front is held against no prefix: depth hides no file, and the flag is set."""
    recording = record()
    chosen = [{"prefix": prefix.format(tmp_path), "verdict": verdict} for prefix, verdict in paths]
    recording.select(["open"], paths=chosen)
    recording.cgroup.run("python3", "-S", "-c", DEEP, tmp_path, "70")
    recording.stop()
    (opened,) = recording.events(FileOpen, lambda event: event.path.endswith(b"/secret"))
    assert opened.flags == ["truncated"]


def test_the_exporter_may_have_itself_ignored_alone(record: Record) -> None:
    """A taken over exporter cannot switch a process's recording off; root can, and that is told."""
    uid = 61_110
    recording = record(arguments=["--exporter-uid", str(uid), "--exporter-gid", str(uid)])
    recording.journal.parent.parent.chmod(0o755)
    recording.journal.parent.chmod(0o755)
    recording.journal.chmod(0o755)
    recording.select()
    shell = recording.cgroup.start(["/bin/sh", "-c", "/bin/true; read word; /bin/echo hidden"], stdin=-1)
    asked = os.fork()
    if not asked:
        try:
            os.setgid(uid)
            os.setuid(uid)
            client = ControlClient(recording.journal / "control.sock", "exporter")
            client.ignore(os.getpid())
            with pytest.raises(ControlError, match="own"):
                client.ignore(shell.pid)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(asked, 0)[1] == 0
    recording.client.flush()
    recording.client.ignore(shell.pid)
    shell.communicate("word\n", timeout=10)
    recording.stop()
    assert not recording.events(ProcessExec, lambda event: event.arguments == [b"/bin/echo", b"hidden"])
    (finding,) = recording.events(Finding, lambda event: event.subject == "ignore")
    assert str(shell.pid) in finding.message
