"""Whose a session is: requests that the operator wrote down and roots that the kernel tells of are joined, or not."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.announcing_nodes import CONTAINER, AnnouncingNode, who
from fixtures.journals import SECOND, record_exec, record_exit, record_open

from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.interpreter import Interpreter
from podcorder_agent.interpreter.sessions import MOST_ENDED


def test_a_session_has_the_name_of_who_asked_for_it(node: AnnouncingNode) -> None:
    """At every event, with uid, groups, record and request; nothing goes out before that is known."""
    node.announce("alice", "ls", "/srv")
    pid = node.run("ls", "/srv")
    assert node.known(pid) == []
    node.wait(1.1)
    assert node.known(pid) == ["alice"] * 4
    session = next(each.process.session for each in node.feed.events if each.process)
    assert (session.user_id, session.user_groups) == ("id-of-alice", ["developers"])
    assert (session.record, session.request_id, session.identity) == ("shop/exec-1", "request-1", "Identified")


def test_a_request_may_come_after_its_session(node: AnnouncingNode) -> None:
    """Within the hold the events wait for it."""
    pid = node.begin("ls")
    node.wait(0.5)
    node.announce("alice", "ls", age=0.6)
    node.wait(1.6)
    assert set(node.known(pid)) == {"alice"}


def test_what_nobody_asked_for_is_pending_and_then_unannounced(node: AnnouncingNode) -> None:
    """After the hold the events go out; after half a minute a finding says that nobody asked."""
    pid = node.begin("ls")
    assert node.known(pid) == []
    node.wait(2.1)
    assert node.known(pid) == ["Pending"] * 2
    found = node.wait(31)
    assert [type(each) for each in found] == [events.SessionIdentified, events.Finding]
    assert who(found[0]) == "Unannounced"
    assert node.wait(31) == []


def test_what_is_found_out_late_is_told_of_the_session_as_it_is_then(node: AnnouncingNode) -> None:
    """Nothing is left of how its root was encoded before, however many processes have ended since: a delivery that is
    repeated after a restart has nothing of that, and must say the same."""
    start, pid = node.feed.time, node.run("ls")
    node.wait(2.1)
    root = next(each.process for each in node.feed.events if each.process and each.process.tgid == pid)
    root.encoded = "as Pending"
    session = {"session_root": pid, "session_start": start, "slot": 1}
    for child in range(1, MOST_ENDED + 2):
        place = {"tgid": pid + child, "pid": pid + child, "process_start": node.feed.time}
        node.feed.record(record_exit, 0, **place, **session, time=node.feed.time)
    told = next(each for each in node.wait(31) if isinstance(each, events.SessionIdentified) and each.process is root)
    assert (who(told), root.encoded) == ("Unannounced", None)


def test_it_is_said_late_when_the_request_comes_late(node: AnnouncingNode) -> None:
    """An event of its own tells it for the whole session."""
    pid = node.begin("ls")
    node.wait(5)
    node.announce("alice", "ls", age=5.1)
    found = node.wait(1.1)
    assert [type(each) for each in found] == [events.SessionIdentified]
    assert set(node.known(pid)) == {"alice"}


def test_a_later_request_is_no_earlier_sessions(node: AnnouncingNode) -> None:
    """Somebody used the runtime; the same command that is asked for afterwards is another session's."""
    stolen = node.begin("ls")
    node.wait(5)
    node.announce("alice", "ls")
    own = node.begin("ls")
    node.wait(1.1)
    assert set(node.known(own)) == {"alice"}
    assert set(node.known(stolen)) == {"Pending"}


def test_two_people_with_one_command_are_both_named(node: AnnouncingNode) -> None:
    """Neither session is anybody's."""
    node.announce("alice", "ls")
    node.announce("bob", "ls")
    pids = [node.begin("ls"), node.begin("ls")]
    node.wait(1.1)
    assert {name for pid in pids for name in node.known(pid)} == {"Ambiguous"}
    assert {tuple(each.process.session.candidates) for each in node.feed.events if each.process} == {("alice", "bob")}


def test_the_others_request_may_still_be_on_its_way(node: AnnouncingNode) -> None:
    """Bob's session begins while his request is not known yet: it does not take alice's."""
    node.announce("alice", "ls")
    bobs = node.begin("ls")
    node.wait(0.3)
    node.announce("bob", "ls", age=0.4)
    alices = node.begin("ls")
    node.wait(1.5)
    assert set(node.known(bobs)) | set(node.known(alices)) == {"Ambiguous"}


def test_a_name_is_taken_back_when_it_was_anothers(node: AnnouncingNode) -> None:
    """Where the other's request comes even later, an event says so."""
    node.announce("alice", "ls")
    bobs = node.begin("ls")
    node.wait(1.1)
    assert set(node.known(bobs)) == {"alice"}
    node.announce("bob", "ls", age=1.2)
    assert isinstance(node.feed.events[-1], events.SessionIdentified)
    assert set(node.known(bobs)) == {"Ambiguous"}


def test_a_second_session_of_one_request_is_nobodys(node: AnnouncingNode) -> None:
    """One of the two was begun past the API server; which one, nobody can tell."""
    node.announce("alice", "ls")
    pids = [node.begin("ls"), node.begin("ls")]
    node.wait(2.2)
    assert {name for pid in pids for name in node.known(pid)} == {"Ambiguous"}


def test_two_requests_of_one_user_are_theirs(node: AnnouncingNode) -> None:
    """Which of the two a session is cannot be told, whose it is can."""
    node.announce("alice", "ls")
    node.announce("alice", "ls")
    pids = [node.begin("ls"), node.begin("ls")]
    node.wait(1.1)
    assert {name for pid in pids for name in node.known(pid)} == {"alice"}


@pytest.mark.parametrize(
    "changes",
    [{"tty": True}, {"container": "other"}, {"pod": {"name": "web", "uid": "other"}}, {"digest": "0" * 64}],
)
def test_a_request_for_something_else_is_not_taken(node: AnnouncingNode, changes: dict[str, Any]) -> None:
    """Terminal, container, pod and command must be those that were asked for."""
    node.announce("alice", "ls", **changes)
    pid = node.begin("ls")
    node.wait(2.1)
    assert set(node.known(pid)) == {"Pending"}


@pytest.mark.parametrize("asked", ["/srv/tool.sh", "tool.sh"])
def test_a_script_is_known_behind_its_interpreter(node: AnnouncingNode, asked: str) -> None:
    """By the name of its file, or by its last part, which was found in PATH."""
    node.announce("alice", asked, "-x")
    pid = node.begin("/bin/sh", "/srv/tool.sh", "-x", filename=b"/srv/tool.sh", interpreter=b"/bin/sh", exec_flags=8)
    node.wait(1.1)
    assert set(node.known(pid)) == {"alice"}


def test_a_command_that_was_lost_has_no_name(node: AnnouncingNode) -> None:
    """Where the first exec of a session is lost, a later one of its root is not what was asked for."""
    node.announce("alice", "ls")
    pid = node.begin("ls", time=node.feed.time + SECOND)
    assert set(node.known(pid)) == {"Pending"}


def test_a_probes_command_is_nobodys_while_somebody_asks_for_it(node: AnnouncingNode) -> None:
    """The kubelet may have run it, or the user may have."""
    node.feed.select(slot=1, container=CONTAINER | {"probes": [["cat", "/ready"]]})
    node.announce("alice", "cat", "/ready")
    pid = node.begin("cat", "/ready")
    node.wait(1.1)
    assert set(node.known(pid)) == {"Ambiguous"}


def test_a_command_that_could_not_be_executed_satisfies_its_request(node: AnnouncingNode) -> None:
    """The report says so; a later session of the same command is another's."""
    node.announce("alice", "/etc/hosts")
    node.fail("/etc/hosts", tgid=5)
    node.wait(2.1)
    (report,) = node.feed.interpreter.take_reports()
    assert (report.never_started, report.record, report.failure) == (True, ("shop", "exec-1"), "EACCES")


@pytest.mark.parametrize("by_itself", [True, False])
def test_what_is_looked_for_in_many_places_is_still_hers(node: AnnouncingNode, by_itself: bool) -> None:
    """A process that finds the command in the last place of PATH takes nobody's request away, be it her session's own
    or one that somebody else makes enter the container."""
    node.announce("alice", "ls")
    before = node.begin("ls") if not by_itself else node.pid + 1
    for _ in range(3):
        node.fail("ls", tgid=node.pid + 1)
    pid = node.begin("ls")
    node.wait(2.1)
    assert set(node.known(before)) == set(node.known(pid)) == ({"alice"} if by_itself else {"Ambiguous"})


def test_each_request_of_a_long_crowd_is_told_of(node: AnnouncingNode) -> None:
    """Two people ask for the same so often that nobody's session is known: each request is among what some session
    could belong to."""
    for number in range(60):
        node.announce(("alice", "bob")[number % 2], "ls")
        node.run("ls", time=node.feed.time + SECOND // 10)
        node.wait(0.7)
    node.wait(120)
    reports = node.feed.interpreter.take_reports()
    told = {name for each in reports for _, name in (*each.candidates, *([each.record] if each.record else ()))}
    assert told == {f"exec-{number + 1}" for number in range(60)}


def test_a_request_of_which_nothing_comes_never_started(node: AnnouncingNode) -> None:
    """After a minute."""
    node.announce("alice", "ls")
    node.wait(59)
    assert node.feed.interpreter.take_reports() == []
    node.wait(2)
    (report,) = node.feed.interpreter.take_reports()
    assert (report.never_started, report.record, report.failure) == (True, ("shop", "exec-1"), None)


def test_reports_count_what_went_out(node: AnnouncingNode) -> None:
    """By class, with start, end and exit code; what is lost meanwhile is told too."""
    node.announce("alice", "ls")
    pid = node.begin("ls")
    start = node.feed.time
    place = {"tgid": pid, "pid": pid, "session_root": pid, "slot": 1}
    times = {"process_start": start - SECOND // 100, "session_start": start - SECOND // 100}
    node.feed.record(record_open, b"/etc/x", **place, **times, time=start)
    node.feed.record(record_exit, 3 << 8, **place, **times, time=start)
    node.wait(1.1)
    report = node.feed.interpreter.take_reports()[-1]
    assert dict(report.counts) == {"exec": 1, "open": 1, "exit": 1}
    assert (report.identity, report.record, report.exit_code) == ("Identified", ("shop", "exec-1"), 3)
    assert (report.end or 0) >= (report.start or 0) > 0
    assert node.feed.interpreter.take_reports() == []


def test_without_announcements_nothing_waits(feed: Any) -> None:
    """As where `podcorder record` records containers."""
    feed.select(container=CONTAINER)
    found = feed.record(record_exec, b"ls")
    assert [type(each) for each in found] == [events.SessionStart, events.ProcessExec]
    assert found[0].process.session.identity is None


@pytest.mark.parametrize("at", range(8))
def test_a_restart_in_between_changes_nothing(feed: Any, at: int) -> None:
    """Wherever a snapshot was taken: the same events, with the same names, once each."""
    node = AnnouncingNode(feed)
    steps = [
        lambda: node.announce("alice", "ls"),
        lambda: node.run("ls"),
        lambda: node.run("id"),
        lambda: node.announce("bob", "id", age=0.2),
        lambda: node.wait(1.1),
        lambda: node.wait(1.1),
        lambda: node.wait(31),
    ]
    for number, step in enumerate(steps):
        if number == at:
            feed.interpreter = Interpreter.restore(feed.interpreter.snapshot())
            assert feed.interpreter.state_problem is None
        step()
    assert [who(each) for each in feed.events if each.process] == ["alice"] * 4 + ["bob"] * 4
    assert len({each.id for each in feed.events}) == len(feed.events)


def test_nothing_is_kept_back_at_a_journals_end(node: AnnouncingNode) -> None:
    """What waits goes out without a name."""
    node.begin("ls")
    found = node.feed.interpreter.finish()
    assert [who(each) for each in found] == ["Pending"] * 2
    assert node.feed.interpreter.finish() == []
