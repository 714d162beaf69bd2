"""A process that root moves from one recorded container to another begins a session there that nobody asked for."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.announcing_nodes import CONTAINER, ENTERING, POD, AnnouncingNode, who
from fixtures.journals import SECOND, record_exec, record_open

from podcorder_agent.interpreter import events

HERE, THERE = 4242, 4343
PID, BORN = 2000, 100 * SECOND
MOVED = 1 << 11


@pytest.fixture
def node(node: AnnouncingNode) -> AnnouncingNode:
    """With a second container of the pod."""
    pod = CONTAINER["pod"] | {"uid": POD}  # type: ignore[operator]
    node.feed.select(THERE, slot=1, container={"path": "/kubepods/y", "name": "other", "pod": pod})
    return node


def at(node: AnnouncingNode, container: int, start: int, **fields: Any) -> dict[str, Any]:
    """The fields of a record of the process in one of the containers, in the session that began there at `start`."""
    place = {"tgid": PID, "session_root": PID, "process_start": BORN, "session_start": start, "slot": 1}
    return place | {"container_id": container, "cgroup_id": container, "time": node.feed.time} | fields


FIRST = {
    "opened": (record_open, (), {}),
    "executed": (record_exec, (b"sh",), {}),
    "executed by a child": (record_exec, (b"sh",), {"tgid": PID + 1, "ppid": PID}),
}


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("first", FIRST)
def test_it_is_unannounced_at_once(node: AnnouncingNode, first: str, known: bool) -> None:
    """A finding says so, whatever is told first of it, and whether or not it was recorded where it was before; even the
    very command that somebody asks for at that moment is not taken for his."""
    if known:
        node.announce("alice", "sh")
        node.feed.record(record_exec, b"sh", **at(node, HERE, BORN))
    node.wait(1.1)
    node.announce("bob", "sh", container="other")
    moved, (make, tails, changes) = node.feed.time, FIRST[first]
    node.feed.record(make, *tails, **at(node, THERE, moved, flags=MOVED, **changes))
    node.wait(1.1)
    told = [each for each in node.feed.events if each.process and each.process.session.root_start == moved]
    assert {who(each) for each in told} == {"Unannounced"}
    (finding,) = (each for each in told if isinstance(each, events.Finding))
    assert finding.message == "This process was moved here out of another container."
    assert finding.process is not None
    assert finding.process.tgid == PID
    assert set(node.known(PID)) == ({"alice", "Unannounced"} if known else {"Unannounced"})


def test_what_the_kubelet_runs_as_well_is_no_probe(node: AnnouncingNode) -> None:
    """Of who was moved, whatever he executes."""
    container = {"path": "/kubepods/y", "name": "other", "pod": CONTAINER["pod"], "probes": [["sh"]]}
    node.feed.select(THERE, slot=1, container=container)
    node.feed.record(record_exec, b"sh", **at(node, THERE, node.feed.time, flags=MOVED))
    node.wait(1.1)
    (start,) = node.feed.all(events.SessionStart)
    assert start.process is not None
    assert (start.process.session.kind, who(start)) == ("Exec", "Unannounced")


def test_a_stage_of_a_runtime_is_not_moved(node: AnnouncingNode) -> None:
    """What had entered one container, and executed nothing there, may be what somebody asked for in another."""
    node.feed.record(record_open, **at(node, HERE, BORN, flags=ENTERING))
    node.announce("bob", "sh", container="other")
    node.feed.record(record_exec, b"sh", **at(node, THERE, node.feed.time))
    node.wait(1.1)
    assert node.known(PID)[-1] == "bob"
