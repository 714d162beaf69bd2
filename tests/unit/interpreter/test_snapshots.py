"""Going on from a snapshot is going on."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from fixtures.journals import (
    SECOND,
    record_cgroup,
    record_exec,
    record_exec_failed,
    record_exit,
    record_fork,
    record_network,
    record_open,
)

from podcorder_agent.classes import EVENT_CLASSES
from podcorder_agent.interpreter import Event, Interpreter
from podcorder_agent.interpreter.events import ContainerEvent, attributes
from podcorder_agent.journal import Frame

PENDING, PARTIAL, OWN = 1 << 3, 1 << 6, 1 << 9
POD = {"namespace": "shop", "name": "web-1", "uid": "u", "owner": {"kind": "Deployment", "name": "web"}}
KINDS = {
    "events": EVENT_CLASSES,
    "kinds": {
        "Exec": {"events": ["open", "exec"], "labels": ["pci"], "redaction": {"defaults": False}},
        "Container": {"events": ["open"], "paths": [{"prefix": "/etc/1", "verdict": "include"}]},
    },
}


def describe(event: Event) -> dict[str, Any]:
    """Everything that can be seen of an event."""
    found: dict[str, Any] = {"class": type(event).__name__, "time": event.time, **attributes(event)}
    if event.process is not None:
        process = event.process
        found |= {"cwd*": process.cwd, "arguments*": process.arguments, "span*": process.span_id}
        found |= {"revision*": process.revision, "start*": process.start, "partial*": process.session.partial}
    if isinstance(event, ContainerEvent) and event.container is not None:
        found["path*"] = event.container.path
    return found


def make_journal(feed: Any, chance: random.Random, length: int = 60) -> list[Frame]:
    """Frames of every kind, with forks, execs and exits of a few processes in a few containers, known and unknown."""
    for _ in range(length):
        container_id = chance.choice((1, 2, 3))
        tgid = chance.randrange(100, 106)
        start = chance.choice((50, 51)) * SECOND
        root = chance.choice((100, 103))
        fields = {
            "container_id": container_id,
            "tgid": tgid,
            "process_start": start,
            "session_root": root,
            "session_start": 50 * SECOND,
            "flags": chance.choice((0, OWN, PENDING, PARTIAL)),
            "cpu": chance.randrange(2),
            "time": feed.time,
            "slot": chance.randrange(3),
        }
        actions: list[Any] = [
            lambda fields=fields: feed.record(record_open, b"/etc/%d" % chance.randrange(9), **fields),
            lambda fields=fields: feed.record(record_exec, b"app", b"--token=x", path=b"/bin/\xff", **fields),
            lambda fields=fields: feed.record(record_exec_failed, b"app", **fields),
            lambda fields=fields: feed.record(
                record_fork, child_tgid=chance.randrange(100, 106), child_start=51 * SECOND, **fields
            ),
            lambda fields=fields: feed.record(record_exit, chance.choice((0, 256, 9)), **fields),
            lambda fields=fields: feed.record(record_network, **fields),
            lambda fields=fields: feed.record(record_network, "listen", **fields),
            lambda: feed.records(record_open(sequence=chance.randrange(1, 60), version=chance.choice((1, 1, 2)))),
            lambda container_id=container_id: feed.lifecycle(
                record_cgroup, id=container_id, removed=chance.random() < 0.4, time=feed.time
            ),
            lambda container_id=container_id: feed.select(
                container_id,
                slot=chance.randrange(3),
                container=chance.choice(
                    ({}, {"name": "c", "image": "i", "pod": POD, "probes": [["app", "--token=x"]]})
                ),
            ),
            lambda container_id=container_id: feed.request("exclude", cgroup_id=container_id),
            lambda: feed.request(
                "configure",
                slot=chance.randrange(3),
                settings=chance.choice((None, {"events": ["open", "exec"], "policy": "p"}, {"redaction": {}}, KINDS)),
            ),
            lambda: feed.count(open=chance.randrange(90), lost={("open", "ring_full"): chance.randrange(9)}),
            lambda: feed.note(
                chance.choice(("started", "resumed", "full")), capabilities={"files": {"state": "Failed"}}
            ),
            lambda: feed.note("stopped", unpinned=chance.random() < 0.5),
            lambda: feed.turn(generation=chance.randrange(1, 3), boot_id=chance.choice("aab") * 32),
            lambda: setattr(feed, "time", feed.time + chance.choice((1, 30, 61)) * SECOND),
        ]
        chance.choice(actions)()
    frames: list[Frame] = feed.frames
    return frames


@pytest.mark.parametrize("seed", range(40))
def test_a_snapshot_anywhere_changes_no_event(feed: Any, seed: int) -> None:
    """With the state written and read as JSON between any two frames, the events are the same."""
    frames = make_journal(feed, random.Random(seed))
    expected = Interpreter()
    again = Interpreter()
    for frame in frames:
        before = json.loads(json.dumps(again.snapshot()))
        again = Interpreter.restore(before)
        assert again.state_problem is None
        assert json.loads(json.dumps(again.snapshot())) == before
        wanted = [describe(each) for each in expected.interpret(frame)]
        assert [describe(each) for each in again.interpret(frame)] == wanted
        assert again.holding == expected.holding
    assert (again.undecodable, again.duplicates, again.withheld) == (
        expected.undecodable,
        expected.duplicates,
        expected.withheld,
    )


def test_a_changed_state_is_not_believed(feed: Any) -> None:
    """Whatever value of it is another one: the first event says that the state was dropped."""
    make_journal(feed, random.Random(3))
    text = json.dumps(feed.interpreter.snapshot())
    for number in range(200):
        chance = random.Random(number)
        place = chance.choice([index for index, each in enumerate(text) if each.isdigit()])
        changed = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
        try:
            state = json.loads(changed)
        except ValueError:
            continue
        assert Interpreter.restore(state).state_problem is not None


def test_a_journal_gives_the_same_events_each_time(feed: Any) -> None:
    """The interpreter is a function of its frames; ids are those of their causes."""
    frames = make_journal(feed, random.Random(6), 300)
    first, second = Interpreter(), Interpreter()
    told = [describe(each) for frame in frames for each in first.interpret(frame)]
    assert [describe(each) for frame in frames for each in second.interpret(frame)] == told
    # a real journal never goes back to an earlier load: the counters of such a one begin anew
    ids = [each["podcorder.record.id"] for each in told if not each["podcorder.record.id"].startswith("gap.")]
    assert len(set(ids)) == len(ids)
