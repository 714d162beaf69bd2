"""A process that root moves from one recorded container to another begins a session there that nobody asked for."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.announcing_nodes import CONTAINER, ENTERING, POD, AnnouncingNode, who
from fixtures.journals import SECOND, record_exec, record_open

from podcorder_agent.interpreter import events

HERE, THERE = 4242, 4343
PID, BORN = 2000, 100 * SECOND


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


@pytest.mark.parametrize("first", [record_open, record_exec])
def test_it_is_unannounced_at_once(node: AnnouncingNode, first: Any) -> None:
    """A finding says so, whatever it does first there; even the very command that somebody asks for at that moment is
    not taken for his."""
    node.announce("alice", "sh")
    node.feed.record(record_exec, b"sh", **at(node, HERE, BORN))
    node.wait(1.1)
    node.announce("bob", "sh", container="other")
    tails = (b"sh",) if first is record_exec else ()
    moved = node.feed.time
    node.feed.record(first, *tails, **at(node, THERE, moved))
    node.wait(1.1)
    told = [each for each in node.feed.events if each.process and each.process.session.root_start == moved]
    assert {who(each) for each in told} == {"Unannounced"}
    (finding,) = (each for each in told if isinstance(each, events.Finding))
    assert finding.message == "This process was moved here out of another container."
    assert set(node.known(PID)) == {"alice", "Unannounced"}


def test_a_stage_of_a_runtime_is_not_moved(node: AnnouncingNode) -> None:
    """What had entered one container, and executed nothing there, may be what somebody asked for in another."""
    node.feed.record(record_open, **at(node, HERE, BORN, flags=ENTERING))
    node.announce("bob", "sh", container="other")
    node.feed.record(record_exec, b"sh", **at(node, THERE, node.feed.time))
    node.wait(1.1)
    assert node.known(PID)[-1] == "bob"
