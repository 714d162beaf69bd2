"""Sessions begin and end, and processes know what they run."""

from __future__ import annotations

from typing import Any

from fixtures.journals import SECOND, record_cgroup, record_exec, record_exit, record_fork, record_open

from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.sessions import MOST_PROCESSES
from podcorder_agent.interpreter.subjects import SessionKind
from podcorder_agent.journal import FrameKind

PARTIAL, SESSIONLESS, OWN = 1 << 6, 1 << 7, 1 << 9


def test_the_own_session_is_what_was_selected_and_others_are_execs(feed: Any) -> None:
    """The kernel half marks it, so that it is told from others though its beginning was not seen."""
    feed.select(kind="Container")
    feed.record(record_exec, b"init", flags=OWN)
    feed.record(record_exec, b"ps", tgid=2000, session_root=2000, session_start=60 * SECOND, process_start=60 * SECOND)
    first, second = feed.all(events.SessionStart)
    assert [each.process.session.kind for each in (first, second)] == [SessionKind.CONTAINER, SessionKind.EXEC]
    assert first.process.session.id != second.process.session.id
    assert first.process.executable == b"/bin/sh"


def test_a_command_is_a_command(feed: Any) -> None:
    """`podcorder record` selects a cgroup it made itself."""
    feed.select(kind="Command")
    feed.record(record_exec, b"init", flags=OWN)
    (begun,) = feed.all(events.SessionStart)
    assert begun.process.session.kind is SessionKind.COMMAND


def test_a_partial_session_says_so(feed: Any) -> None:
    """The own session of a container older than its selection; who enters it later is an exec and is whole."""
    feed.select(kind="Container")
    feed.record(record_exec, b"ps")
    feed.select(cgroup_id=5, kind="Container")
    feed.record(record_open, container_id=5, tgid=7, session_root=7, flags=PARTIAL | OWN)
    kinds = [each.process.session.kind for each in feed.all(events.SessionStart)]
    assert kinds == [SessionKind.EXEC, SessionKind.CONTAINER]
    assert feed.all(events.SessionStart)[1].flags == ["partial"]


def test_a_session_ends_with_its_last_process(feed: Any) -> None:
    """The root's exit code is kept until its children have gone."""
    feed.record(record_exec, b"init")
    feed.record(record_fork, child_tgid=1001, child_start=70 * SECOND)
    feed.record(record_exit, exit_code=3 << 8)
    assert feed.all(events.SessionEnd) == []
    child = {"tgid": 1001, "process_start": 70 * SECOND}
    *_, ended = feed.record(record_exit, exit_code=9, time=90 * SECOND, **child)
    assert isinstance(ended, events.SessionEnd)
    assert (ended.code, ended.signal, ended.duration) == (3, None, 40 * SECOND)
    assert ended.process is not None
    assert ended.process.tgid == 1000
    assert feed.interpreter.sessions.processes == {}
    assert feed.interpreter.sessions.trees == {}


def test_a_record_behind_its_process_end_revives_nothing(feed: Any) -> None:
    """A socket may be closed after the exit: the event has its process, and no session begins again."""
    feed.record(record_exec, b"init", path=b"/bin/late")
    feed.record(record_exit)
    found = feed.record(record_open)
    assert [type(each) for each in found] == [events.FileOpen]
    assert found[0].process.executable == b"/bin/late"
    assert feed.interpreter.sessions.processes == {}


def test_a_child_runs_what_its_parent_runs_until_its_own_exec(feed: Any) -> None:
    """And events before an exec keep telling of the program before it, even in the same frame."""
    child = {"tgid": 1001, "process_start": 70 * SECOND}
    found = feed.records(
        record_exec(b"sh", path=b"/bin/sh", cwd=b"/srv", sequence=1),
        record_fork(child_tgid=1001, child_start=70 * SECOND, sequence=2),
        record_open(sequence=3, **child),
        record_exec(b"ls", path=b"/bin/ls", cwd=b"/srv", sequence=4, **child),
        record_open(sequence=5, **child),
    )
    before, after = (each.process for each in found if isinstance(each, events.FileOpen))
    assert (before.executable, before.cwd, before.arguments) == (b"/bin/sh", b"/srv", [b"sh"])
    assert (after.executable, after.cwd, after.arguments) == (b"/bin/ls", b"/srv", [b"ls"])
    assert (after.revision, after.encoded, after.span_id) == (before.revision + 1, None, before.span_id)
    assert after.session is before.session


def test_a_pid_used_again_is_another_process(feed: Any) -> None:
    """Start times tell them apart, also where the exit was lost."""
    feed.record(record_exec, b"sh", path=b"/bin/old")
    *_, event = feed.record(record_open, process_start=80 * SECOND, session_start=80 * SECOND)
    assert event.process.executable is None
    assert len(feed.all(events.SessionEnd)) == 1
    assert len({each.process.session.id for each in feed.all(events.SessionStart)}) == 2


def test_a_process_that_moves_keeps_what_it_runs(feed: Any) -> None:
    """It enters another session with the program it has."""
    feed.record(record_exec, b"sh", path=b"/bin/moving")
    *_, event = feed.record(record_open, container_id=5, session_root=1000, session_start=55 * SECOND)
    assert event.process.executable == b"/bin/moving"
    assert event.process.session.container.cgroup_id == 5
    assert len(feed.interpreter.sessions.processes) == 1


def test_without_a_session_the_parents_counts(feed: Any) -> None:
    """The kernel's table was full: a known parent in the same container lends its session."""
    feed.record(record_exec, b"sh")
    lone = {"tgid": 1001, "session_root": 1001, "session_start": 70 * SECOND, "process_start": 70 * SECOND}
    *_, event = feed.record(record_open, ppid=1000, flags=SESSIONLESS, **lone)
    assert event.process.session.root_tgid == 1000
    assert len(feed.all(events.SessionStart)) == 1


def test_a_removed_container_ends_what_is_left(feed: Any) -> None:
    """No exit was seen, but the cgroup is gone; records on their way in the other ring are waited for."""
    feed.lifecycle(record_cgroup, id=4242)
    feed.select()
    feed.record(record_exec, b"init")
    feed.lifecycle(record_cgroup, id=4242, removed=True, time=feed.time)
    feed.record(record_open)
    assert feed.all(events.ContainerEnd) == []
    feed.time += 2 * SECOND
    feed.count()
    assert len(feed.all(events.SessionEnd)) == 1
    (ended,) = feed.all(events.ContainerEnd)
    assert ended.container.cgroup_id == 4242


def test_selecting_and_excluding_are_events(feed: Any) -> None:
    """Once each, also where the request is repeated or an old copy is carried forward."""
    feed.request("configure", slot=3, settings={"policy": "all", "events": ["exec"]})
    container = {"id": "c1", "path": "/a/b", "runtime": "runc", "name": "web"}
    feed.select(slot=3, container=container)
    old = feed.frames[-1]
    feed.select(slot=3, container=container)
    (begun,) = feed.all(events.ContainerStart)
    told = begun.container
    assert (told.id, told.path, told.runtime, told.name, told.policy) == ("c1", "/a/b", "runc", "web", "all")
    feed.request("exclude", cgroup_id=4242)
    assert [type(each) for each in feed.interpreter.interpret(old._replace(flags=1))] == []
    assert len(feed.all(events.ContainerEnd)) == 1


def test_another_boot_knows_no_process(feed: Any) -> None:
    """Sessions end with their boot, and the same numbers are another session afterwards."""
    feed.record(record_exec, b"init", path=b"/bin/init")
    feed.turn(boot_id="f" * 32, generation=9)
    found = feed.records(record_open(sequence=1))
    assert [type(each) for each in found] == [
        events.RecordingGap,
        events.SessionEnd,
        events.SessionStart,
        events.FileOpen,
    ]
    first, second = feed.all(events.SessionStart)
    assert first.process.session.id != second.process.session.id
    assert found[-1].process.executable is None


def test_processes_are_bounded(feed: Any) -> None:
    """A journal whose exits were lost does not grow for ever."""
    sessions = feed.interpreter.sessions
    for number in range(MOST_PROCESSES + 100):
        feed.record(record_open, tgid=10 + number, session_root=10 + number)
    sessions = feed.interpreter.sessions
    assert len(sessions.processes) == len(sessions.keys) == MOST_PROCESSES
    assert len(sessions.trees) <= MOST_PROCESSES


def test_the_cgroup_of_a_command_is_no_container(feed: Any) -> None:
    """A Command session begins and ends, and no container event is told of its cgroup."""
    feed.select(kind="Command")
    feed.record(record_exec, b"true")
    feed.record(record_exit)
    feed.told(FrameKind.NOTE, {"note": "stopped", "unpinned": True})
    assert feed.all(events.SessionStart)
    assert not feed.all(events.ContainerStart)
    assert not feed.all(events.ContainerEnd)


def test_a_container_gone_before_it_was_selected_is_still_one(feed: Any) -> None:
    """A container that ended before its `select` has its own session, and ends."""
    feed.lifecycle(record_cgroup, id=4242)
    feed.lifecycle(record_cgroup, id=4242, removed=1)
    feed.select(kind="Container")
    feed.record(record_exec, b"true", flags=OWN)
    feed.time += 2 * SECOND
    feed.told(FrameKind.NOTE, {"note": "capabilities", "capabilities": {}})
    (begun,) = feed.all(events.SessionStart)
    assert begun.process.session.kind is SessionKind.CONTAINER
    assert len(feed.all(events.ContainerEnd)) == 1
