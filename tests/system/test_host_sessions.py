"""Logins on the node: one session for each audit session, of whoever logged in, whatever became of its processes."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fixtures.logins import UNSET, as_user, claiming, detached, log_in, run_login
from fixtures.recordings import Cgroup, Recording, assert_law

from podcorder_agent.classes import EVENT_CLASSES
from podcorder_agent.interpreter.events import (
    Event,
    FileOpen,
    ProcessExec,
    ProcessExit,
    ProcessFork,
    SessionEnd,
    SessionStart,
    attributes,
)
from podcorder_agent.interpreter.subjects import SessionKind

SLOT = 62
ALICE, BOB, DAEMON = 4242, 4343, 4444
ROUNDS = 101
CLASSES: dict[str, type[Event]] = {"exec": ProcessExec, "fork": ProcessFork, "exit": ProcessExit, "open": FileOpen}
Record = Callable[..., Recording]
ECHO = "/bin/echo"


@pytest.fixture
def recording(record: Record) -> Recording:
    """Records logins, and tells of new cgroups."""
    made = record()
    made.client.configure(SLOT, {"policy": "hosts", "events": list(EVENT_CLASSES)})
    made.client.logins(SLOT)
    return made


@pytest.fixture
def cgroup(recording: Recording) -> Iterator[Cgroup]:
    """Besides the recording's own."""
    made = Cgroup(f"{recording.name}-beside")
    yield made
    made.remove()


def end(recording: Recording) -> list[Event]:
    """All events; nothing was lost, and the law holds."""
    recording.stop()
    events, counters = recording.interpret()
    assert assert_law(events, counters, CLASSES).total() == 0
    return events


def begun(events: list[Event]) -> list[dict[str, Any]]:
    """The attributes of each session's start."""
    return [attributes(each) for each in events if isinstance(each, SessionStart)]


def told(events: list[Event]) -> dict[str, dict[str, Any]]:
    """By the last argument of each command: its attributes."""
    executed = [each for each in events if isinstance(each, ProcessExec) and each.arguments]
    return {each.arguments[-1].decode(): attributes(each) for each in executed if each.arguments}


def test_a_login_is_one_session_of_its_user_whoever_its_processes_become(recording: Recording) -> None:
    """Every event of a login bears its user, after sudo and su as well; two logins at once are kept apart."""
    su = shlex.join(as_user(BOB, "/bin/cat", "/proc/self/sessionid"))
    busy = f"for i in $(seq {ROUNDS}); do /bin/true $i; done; {su}; echo; cat /proc/self/loginuid"
    logins = [log_in(uid, "/bin/sh", "-c", busy) for uid in (ALICE, BOB)]
    printed = [each.communicate(timeout=60)[0].split() for each in logins]
    assert [each.returncode for each in logins] == [0, 0]
    events = end(recording)
    assert len(begun(events)) == sum(isinstance(each, SessionEnd) for each in events) == 2
    for uid, (session, login) in zip((ALICE, BOB), printed, strict=True):
        own = [each for each in events if each.process is not None and each.process.session.user_id == str(uid)]
        assert len({each.process.session.id for each in own if each.process}) == 1
        first = attributes(own[0])
        assert first["podcorder.session.kind"] is SessionKind.HOST
        assert (first["user.name"], first["podcorder.identity"]) == (str(uid), "Identified")
        assert first["podcorder.policy"] == "hosts"
        assert "container.id" not in first
        executed = [each for each in own if isinstance(each, ProcessExec)]
        assert {(each.login_uid, each.audit_session) for each in executed} == {(int(login), int(session))}
        assert sum(each.arguments is not None and b"/bin/true" in each.arguments for each in executed) == ROUNDS
        assert {each.uid for each in executed} == {0, BOB}
    assert not [each for each in events if each.process is not None and each.process.session.user_id is None]


def test_what_outlives_its_login_stays_in_its_session(recording: Recording) -> None:
    """A process forked twice, in a POSIX session and a pid namespace of its own, whose login uid root took back."""
    hidden = shlex.join(claiming(UNSET, "/bin/sh", "-c", f"cat /proc/self/loginuid; ({ECHO} left)"))
    printed = run_login(ALICE, *detached("/usr/bin/unshare", "--pid", "--fork", "/bin/sh", "-c", hidden))
    assert printed.startswith(str(UNSET))
    events = end(recording)
    assert [each["user.id"] for each in begun(events)] == [str(ALICE)]
    assert told(events)["left"]["user.id"] == str(ALICE)
    assert told(events)["left"]["podcorder.identity"] == "Identified"


def test_a_login_within_a_login_is_in_doubt(recording: Recording) -> None:
    """Who writes another login uid begins another session: it may be a login through a daemon of theirs, or a lie."""
    other = shlex.join(claiming(BOB, "/bin/sh", "-c", f"{ECHO} within"))
    run_login(ALICE, "/bin/sh", "-c", f"{other}; {ECHO} before")
    events = told(end(recording))
    assert events["before"]["user.id"] == str(ALICE)
    assert events["within"]["podcorder.identity"] == "Ambiguous"
    assert events["within"]["podcorder.session.candidates"] == [str(BOB)]
    assert "user.id" not in events["within"]
    assert events["within"]["podcorder.session.id"] != events["before"]["podcorder.session.id"]


def test_a_user_who_claims_to_be_another_is_in_doubt(recording: Recording) -> None:
    """A daemon's user never had a login uid, and the kernel lets it choose one."""
    spoof = as_user(DAEMON, *claiming(ALICE, "/bin/sh", "-c", f"({ECHO} lie)"))
    own = as_user(ALICE, *claiming(ALICE, "/bin/sh", "-c", f"({ECHO} truth)"))
    for command in (spoof, own):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    events = told(end(recording))
    assert events["lie"]["podcorder.identity"] == "Ambiguous"
    assert "user.id" not in events["lie"]
    assert events["truth"]["user.id"] == str(ALICE)


def test_containers_hold_no_logins(recording: Recording, cgroup: Cgroup) -> None:
    """Whoever writes a login uid in a selected, an excluded or an unknown container begins none."""
    recording.select()
    recording.client.exclude(cgroup.id)
    recording.cgroup.run(*claiming(ALICE, ECHO, "selected"))
    run_login(ALICE, ECHO, "joined", cgroup=recording.cgroup.path)
    cgroup.run(*claiming(ALICE, ECHO, "excluded"))
    hidden = shlex.join(claiming(ALICE, "/bin/sh", "-c", f"({ECHO} unknown)"))
    subprocess.run(["/usr/bin/unshare", "--pid", "--fork", "/bin/sh", "-c", hidden], check=True)
    events = end(recording)
    assert told(events).keys().isdisjoint({"excluded", "unknown"})
    assert told(events)["selected"]["podcorder.session.kind"] is not SessionKind.HOST
    assert told(events)["joined"]["podcorder.session.kind"] is not SessionKind.HOST
    assert not [each for each in begun(events) if "user.id" in each]


def test_what_is_no_container_holds_logins(recording: Recording, cgroup: Cgroup) -> None:
    """As does what is made in it, though new cgroups are held elsewhere."""
    recording.client.pending(["exec"])
    recording.client.exclude(cgroup.id, outside=True)
    inner = cgroup.path / "session-1.scope"
    inner.mkdir()
    run_login(ALICE, ECHO, "scope", cgroup=inner)
    inner.rmdir()
    cgroup.run(ECHO, "nobody")
    events = told(end(recording))
    assert events["scope"]["user.id"] == str(ALICE)
    assert "nobody" not in events


def test_what_is_older_than_its_recording_says_so(record: Record) -> None:
    """A login that went on before anybody recorded it is one session all the same, and partial."""
    recording = record()
    login = log_in(ALICE, "/bin/sh", "-c", f"read word; {ECHO} $word; read word; {ECHO} $word")
    assert login.stdin is not None
    assert login.stdout is not None
    for word, slot in (("while", SLOT), ("after", None)):
        recording.client.configure(SLOT, {"policy": "hosts", "events": list(EVENT_CLASSES)})
        recording.client.logins(slot)
        login.stdin.write(f"{word}\n")
        login.stdin.flush()
        assert login.stdout.readline() == f"{word}\n"
    assert login.wait(20) == 0
    events = end(recording)
    (start,) = begun(events)
    assert (start["user.id"], start["podcorder.flags"]) == (str(ALICE), ["partial"])
    assert "while" in told(events)
    assert "after" not in told(events)


def test_a_recorder_that_is_killed_loses_no_login(recording: Recording) -> None:
    """The kernel goes on, and the next recorder goes on with the same session."""
    login = log_in(ALICE, "/bin/sh", "-c", f"read word; {ECHO} $word; read word; {ECHO} $word")
    assert login.stdin is not None
    assert login.stdout is not None
    for word in ("before", "meanwhile"):
        login.stdin.write(f"{word}\n")
        login.stdin.flush()
        assert login.stdout.readline() == f"{word}\n"
        if word == "before":
            recording.recorder.kill()
            recording.recorder.wait()
    assert login.wait(20) == 0
    recording.start_recorder()
    run_login(BOB, ECHO, "after")
    events = end(recording)
    assert [each["user.id"] for each in begun(events)] == [str(ALICE), str(BOB)]
    assert told(events)["before"]["podcorder.session.id"] == told(events)["meanwhile"]["podcorder.session.id"]
    assert told(events)["after"]["user.id"] == str(BOB)
