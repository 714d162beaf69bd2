"""Where recording begins and ends is told: of each container, whenever what its policies ask for changes."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.journals import SECOND, record_exec, record_exit, record_fork

from podcorder_agent.interpreter import Event, events
from podcorder_agent.interpreter.interpreter import Interpreter

PARTIAL, OWN = 1 << 6, 1 << 9
COMMANDS: dict[str, Any] = {"policy": "shop/people", "events": ["exec", "exit"]}
FILES = {**COMMANDS, "events": ["exec", "exit", "open"]}
OTHERS = {**COMMANDS, "policy": "shop/people, base (cluster)"}


def tell(found: list[Event]) -> list[tuple[str, str | None]]:
    return [
        (type(each).__name__, each.container.policy if each.container else None)
        for each in found
        if isinstance(each, events.ContainerEvent)
    ]


@pytest.mark.parametrize("settings", [FILES, OTHERS])
def test_a_slot_configured_anew_ends_and_begins(feed: Any, settings: dict[str, Any]) -> None:
    """At the moment of the request, under the policies that held and that hold; events have ids of their own."""
    feed.request("configure", slot=1, settings=COMMANDS)
    feed.select(slot=1)
    feed.select(7, slot=2)
    found = feed.request("configure", slot=1, settings=settings)
    assert tell(found) == [("ContainerEnd", COMMANDS["policy"]), ("ContainerStart", settings["policy"])]
    assert {each.time for each in found} == {feed.time + feed.header.anchor_ns}
    assert len({each.id for each in feed.events}) == len(feed.events)


def test_a_container_moved_to_another_slot_ends_and_begins(feed: Any) -> None:
    """Under the policy of each."""
    feed.request("configure", slot=1, settings=COMMANDS)
    feed.request("configure", slot=2, settings=OTHERS)
    feed.select(slot=1)
    assert tell(feed.select(slot=2)) == [
        ("ContainerEnd", COMMANDS["policy"]),
        ("ContainerStart", OTHERS["policy"]),
    ]


def test_what_changes_nothing_is_not_told(feed: Any) -> None:
    """The same settings once more, in the same slot or another; more facts about a container; a command's cgroup."""
    for slot in (1, 2, 1):
        feed.request("configure", slot=slot, settings=COMMANDS)
    feed.select(slot=1)
    feed.select(8, kind="Command", slot=1)
    found = feed.request("configure", slot=1, settings=COMMANDS)
    found += feed.select(slot=1, container={"name": "web"})
    found += feed.select(slot=2)
    found += feed.select(8, kind="Command", slot=2)
    assert found == []
    assert tell(feed.request("configure", slot=2, settings=FILES)) == [
        ("ContainerEnd", FILES["policy"]),
        ("ContainerStart", FILES["policy"]),
    ]


def test_a_change_is_told_after_a_restart_of_the_exporter(feed: Any) -> None:
    """What held before is in the snapshot."""
    feed.request("configure", slot=1, settings=COMMANDS)
    feed.select(slot=1)
    feed.interpreter = Interpreter.restore(feed.interpreter.snapshot())
    assert tell(feed.request("configure", slot=1, settings=COMMANDS)) == []
    assert len(tell(feed.request("configure", slot=1, settings=FILES))) == 2


@pytest.mark.parametrize("flags", [PARTIAL, OWN, PARTIAL | OWN])
def test_a_session_goes_on_while_nobody_knows_of_its_roots_end(feed: Any, flags: int) -> None:
    """Recorded from its middle on, as where a policy came later: the end of the only process seen is not its end."""
    child = {"tgid": 1001, "process_start": 70 * SECOND, "flags": flags}
    feed.record(record_exec, b"child", **child)
    feed.record(record_exit, **child)
    feed.record(record_fork, child_tgid=1002, flags=flags)
    assert feed.all(events.SessionEnd) == []
    feed.record(record_exit, tgid=1002, process_start=100 * SECOND, flags=flags)
    assert feed.all(events.SessionEnd) == []
    feed.record(record_exit, flags=flags)
    assert len(feed.all(events.SessionEnd)) == len(feed.all(events.SessionStart)) == 1
