"""Events that are kept back until it is known whose they are: how many, how long, and what that asks of the node."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.announcing_nodes import AnnouncingNode, who
from fixtures.journals import SECOND, record_open

from podcorder_agent.interpreter.waiting import MOST_HELD


def flood(node: AnnouncingNode, pid: int, start: int, count: int = MOST_HELD + 1) -> None:
    """A session opens so many files within half a second."""
    place = {"tgid": pid, "pid": pid, "session_root": pid, "process_start": start, "session_start": start, "slot": 1}
    for done in range(0, count, 1000):
        numbers = [next(node.feed.sequences) for _ in range(min(1000, count - done))]
        node.feed.records(*(record_open(b"/etc/x", sequence=each, time=node.feed.time, **place) for each in numbers))


def names(node: AnnouncingNode, *pids: int) -> set[Any]:
    return {name for pid in pids for name in node.known(pid)}


def test_a_flood_gives_nobody_a_name_before_its_time(node: AnnouncingNode) -> None:
    """Bob's session makes so many events that they cannot be kept back while his request is on its way: it does not
    take alice's, and hers does not take his."""
    node.announce("alice", "grep", "-r", "x", "/")
    start, bobs = node.feed.time, node.begin("grep", "-r", "x", "/")
    flood(node, bobs, start)
    assert names(node, bobs) == {"Pending"}
    node.wait(0.3)
    node.announce("bob", "grep", "-r", "x", "/", age=0.6)
    alices = node.begin("grep", "-r", "x", "/")
    node.wait(2.1)
    assert names(node, bobs, alices) == {"Ambiguous"}


def test_a_floods_name_is_told_when_it_is_known(node: AnnouncingNode) -> None:
    """Its events went out as Pending; the name comes when it would have come anyway, in an event of its own."""
    node.announce("alice", "ls")
    start, pid = node.feed.time, node.begin("ls")
    flood(node, pid, start)
    out = len(node.feed.events)
    node.wait(1.1)
    (told,) = node.feed.events[out:]
    assert (type(told).__name__, who(told)) == ("SessionIdentified", "alice")


def test_a_flood_nobody_asked_for_is_told_of_once(node: AnnouncingNode) -> None:
    """It is Pending from the first, and nothing says so again when its time has passed."""
    start, pid = node.feed.time, node.begin("ls")
    flood(node, pid, start)
    assert node.wait(2.1) == []
    assert who(node.wait(31)[0]) == "Unannounced"


def test_who_makes_no_flood_still_waits(node: AnnouncingNode) -> None:
    """What can be kept back no more is the largest session's."""
    other = node.begin("id")
    start, pid = node.feed.time, node.begin("ls")
    flood(node, pid, start)
    assert (names(node, other), names(node, pid)) == (set(), {"Pending"})


@pytest.mark.parametrize("announced", [True, False])
def test_a_node_asks_for_the_time_while_something_is_due_and_then_rests(node: AnnouncingNode, announced: bool) -> None:
    """A quarter of a second apart, as the exporter does: a few frames for a session, none for ever."""
    if announced:
        node.announce("alice", "ls")
    node.run("ls")
    moments = 0
    for _ in range(4 * 700):
        node.feed.time += SECOND // 4
        due = node.feed.interpreter.due
        if due is not None and node.feed.time >= due:
            node.feed.request("fact", subject="moment", data={})
            moments += 1
    assert node.feed.interpreter.due is None
    assert 1 <= moments <= 4
