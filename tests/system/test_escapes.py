"""Ways to end what is recorded, or to tell of it twice: neither works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fixtures.recordings import Recording, cgroup2_mount

from podcorder_agent.interpreter.events import FileOpen, NetworkListen, ProcessExec, ProcessExit, SessionStart

Record = Callable[..., Recording]


def test_leaving_the_cgroup_does_not_leave_the_recording(record: Record) -> None:
    """A process that moves to a cgroup nobody selected stays in its session, and so does all it starts."""
    elsewhere = cgroup2_mount() / "cgroup.procs"
    listen = "import socket; socket.create_server((\"127.0.0.1\", 0))"
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
    assert recording.cgroup.run(workloads / "ends", "3001").split() == ["3001"]
    recording.stop()
    ends = Counter((event.process.tgid, event.process.start) for event in recording.events(ProcessExit))
    assert len(ends) == 3002
    assert set(ends.values()) == {1}
