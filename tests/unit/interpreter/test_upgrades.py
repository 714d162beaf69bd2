"""Checkpoints of earlier versions are gone on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fixtures.journals import SECOND, record_cgroup, record_exec, record_exit, record_fork, record_open

from podcorder_agent.interpreter import Interpreter
from podcorder_agent.interpreter.events import attributes
from podcorder_agent.journal import Frame

VERSION_1 = Path(__file__).parent / "state_version_1.json"
"""What the interpreter of version 1 kept after the first SEEN frames of the journal below."""
SEEN = 12
PENDING, OWN = 1 << 3, 1 << 9


def make_journal(feed: Any) -> list[Frame]:
    """A container, one that nobody knows yet, one excluded, and a session that was gone before the checkpoint."""
    child = {"tgid": 1001, "process_start": 70 * SECOND}
    other = {"container_id": 5, "tgid": 2000, "session_root": 2000}
    feed.lifecycle(record_cgroup, id=4242)
    feed.request("configure", slot=1, settings={"policy": "p", "events": ["exec", "open", "exit", "fork"]})
    feed.select(slot=1, container={"path": "/c", "name": "shop", "id": "abc", "runtime": "runc"})
    feed.record(record_exec, b"app", b"--token=x", slot=1, flags=OWN)
    feed.record(record_fork, child_tgid=1001, child_start=70 * SECOND, slot=1)
    feed.select(5, slot=1)
    feed.record(record_exec, b"ls", slot=1, **other)
    feed.record(record_exit, slot=1, **other)
    feed.lifecycle(record_cgroup, id=5, removed=True)
    feed.record(record_open, container_id=7, tgid=7, session_root=7, flags=PENDING)
    feed.request("exclude", cgroup_id=9)
    feed.record(record_open, container_id=9, tgid=9, session_root=9, flags=PENDING)
    # the checkpoint
    feed.record(record_open, slot=1, **child)
    feed.record(record_exit, slot=1, **child)
    feed.time += 2 * SECOND
    feed.record(record_exit, slot=1)
    feed.select(7, slot=1, container={"path": "/d"})
    feed.record(record_open, container_id=9, tgid=9, session_root=9, flags=PENDING)
    feed.note("stopped", unpinned=True)
    frames: list[Frame] = feed.frames
    return frames


def test_a_checkpoint_of_version_1_is_gone_on_from(feed: Any) -> None:
    """The events behind it are those of an interpreter that saw everything; the counts of what was withheld begin."""
    frames = make_journal(feed)
    expected = Interpreter()
    for frame in frames[:SEEN]:
        expected.interpret(frame)
    again = Interpreter.restore(json.loads(VERSION_1.read_text()))
    assert again.state_problem is None
    for frame in frames[SEEN:]:
        wanted = [(type(each), each.time, attributes(each)) for each in expected.interpret(frame)]
        assert [(type(each), each.time, attributes(each)) for each in again.interpret(frame)] == wanted
    assert sum(again.withheld) == 1
    assert sum(expected.withheld) == 2
