"""What the journal carries forward from a segment that goes was true when it was written, not now."""

from __future__ import annotations

from fixtures.announcing_nodes import KEY, AnnouncingNode

from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.claims import MOST_SETTLED


def test_an_earlier_key_does_not_come_back(node: AnnouncingNode) -> None:
    """Commands are held against the key that was told last."""
    first = next(each for each in node.feed.frames if b'"announcing"' in each.payload)
    told = {"key": bytes(32).hex(), "hold_ms": 2000, "unannounced_ms": 30000}
    node.feed.request("fact", subject="announcing", data=told)
    node.feed.request("fact", subject="announcing", data=told | {"key": KEY.hex()})
    node.feed.carry(next(each for each in node.feed.frames if bytes(32).hex().encode() in each.payload))
    node.feed.carry(first)
    node.announce("alice", "ls")
    pid = node.run("ls")
    node.wait(1.1)
    assert set(node.known(pid)) == {"alice"}


def test_that_there_were_no_others_then_says_nothing_of_now(node: AnnouncingNode) -> None:
    """A session is called Unannounced only where the agent has asked since."""
    node.wait(0.0)
    earlier = node.feed.frames[-1]
    node.begin("ls")
    node.feed.time += 140 * 10**9
    node.feed.note("resumed")
    node.feed.carry(earlier)
    assert node.feed.all(events.Finding) == []
    node.wait(0.0)
    assert [each.subject for each in node.feed.all(events.Finding)] == ["session"]


def test_a_request_of_long_ago_is_nobodys_cause(node: AnnouncingNode) -> None:
    """Though so many others came since that it is not remembered, a session of today is not of who asked then."""
    node.announce("alice", "ls")
    request = node.feed.frames[-1]
    node.wait(120)
    node.feed.interpreter.take_reports()
    for _ in range(MOST_SETTLED):
        node.announce("bob", "id")
    node.wait(61)
    node.feed.interpreter.take_reports()
    node.feed.carry(request)
    pid = node.run("ls")
    node.wait(2.1)
    assert set(node.known(pid)) == {"Pending"}
    node.wait(120)
    assert [each.record for each in node.feed.interpreter.take_reports() if each.never_started] == []


def test_a_pid_that_was_to_be_ignored_may_be_anothers_by_now(node: AnnouncingNode) -> None:
    """The finding is about a process that lived when it was asked for."""
    node.feed.request("ignore", tgid=node.pid + 1)
    earlier = node.feed.frames[-1]
    node.wait(1.0)
    pid = node.begin("ls")
    node.feed.carry(earlier)
    assert node.feed.all(events.Finding) == []
    node.feed.request("ignore", tgid=pid)
    assert [each.subject for each in node.feed.all(events.Finding)] == ["ignore"]


def test_a_request_past_the_pods_is_told_with_its_user(node: AnnouncingNode) -> None:
    """As of when it was asked for, with the path; it is of no container."""
    asked = {"id": "request", "path": "/exec/shop/web/app"}
    (told,) = node.announce("alice", kind="NodeProxy", pod=None, container="", request=asked)
    assert isinstance(told, events.NodeProxy)
    assert (told.user_name, told.path, told.container, told.process) == ("alice", "/exec/shop/web/app", None, None)
    assert told.time == node.feed.time + node.feed.header.anchor_ns
