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
from podcorder_agent.delivery.jsonlines import JsonLines
from podcorder_agent.delivery.records import Encoder
from podcorder_agent.interpreter import Event, Interpreter, claims
from podcorder_agent.interpreter.events import ContainerEvent, attributes
from podcorder_agent.journal import FLAG_CARRIED, Frame, FrameKind
from podcorder_crds.digests import digest_command, join_arguments

PENDING, PARTIAL, OWN = 1 << 3, 1 << 6, 1 << 9
POD = {"namespace": "shop", "name": "web-1", "uid": "u", "owner": {"kind": "Deployment", "name": "web"}}
NAMED = {"name": "c", "image": "i", "pod": POD}
KEY = bytes(32)
DIGEST = digest_command(KEY, join_arguments(("app", "--token=x")))
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


def announce(chance: random.Random, number: int) -> dict[str, Any]:
    """Somebody asked for something in a container of the pod."""
    return {
        "namespace": "shop",
        "name": f"request-{number}",
        "uid": f"uid-{number}",
        "kind": chance.choice(("Exec", "Exec", "Attach", "PortForward", "NodeProxy")),
        "pod": {"name": "web-1", "uid": "u"},
        "container": "c",
        "digest": DIGEST,
        "user": {"name": chance.choice(("alice", "bob"))},
        "request": {"id": f"id-{number}"},
    }


def carry_one(feed: Any, chance: random.Random) -> None:
    """What the journal may carry forward: a request or a note of this boot."""
    kinds = (FrameKind.REQUEST, FrameKind.NOTE)
    known = [each for each in feed.frames if each.kind in kinds and each.segment.boot_id == feed.header.boot_id]
    if known:
        feed.carry(chance.choice(known))


def make_journal(feed: Any, chance: random.Random, length: int = 90) -> list[Frame]:
    """Frames of every kind, with forks, execs and exits of a few processes in a few containers, known and unknown, and
    with requests of people where anybody tells of them."""
    if chance.random() < 0.7:
        told = {"key": KEY.hex(), "hold_ms": 2000, "unannounced_ms": 30000}
        feed.request("fact", subject="announcing", data=told)
        feed.select(1, slot=1, container=NAMED)
    for number in range(length):
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
        begun = fields | {"tgid": root, "session_root": root, "flags": 0, "container_id": 1, "slot": 1}
        begun |= dict.fromkeys(("process_start", "session_start", "time"), feed.time)
        actions: list[Any] = [
            lambda: setattr(feed, "time", feed.time + chance.choice((1, 1, 3, 30, 61)) * SECOND),
            lambda begun=begun: feed.record(record_exec, b"app", b"--token=x", **begun),
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
                container=chance.choice(({}, NAMED, NAMED | {"probes": [["app", "--token=x"]]})),
            ),
            lambda container_id=container_id: feed.request("exclude", cgroup_id=container_id),
            lambda: feed.request(
                "configure",
                slot=chance.randrange(3),
                settings=chance.choice((None, {"events": ["open", "exec"], "policy": "p"}, {"redaction": {}}, KINDS)),
            ),
            lambda number=number: feed.request("fact", subject="announcement", data=announce(chance, number)),
            lambda: feed.request("fact", subject="current", data={}),
            lambda: carry_one(feed, chance),
            lambda: feed.count(open=chance.randrange(90), lost={("open", "ring_full"): chance.randrange(9)}),
            lambda: feed.note(
                chance.choice(("started", "resumed", "full")), capabilities={"files": {"state": "Failed"}}
            ),
        ]
        rare: list[Any] = [
            lambda: feed.note("stopped", unpinned=chance.random() < 0.5),
            lambda: feed.turn(  # never back to an earlier load or boot
                generation=feed.header.generation + chance.randrange(2),
                boot_id=max(feed.header.boot_id, chance.choice("ddef") * 32),
            ),
        ]
        chance.choice(rare if chance.random() < 0.04 else actions)()
    frames: list[Frame] = feed.frames
    return frames


@pytest.mark.parametrize("seed", range(80))
def test_a_snapshot_anywhere_changes_no_event(feed: Any, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the state written and read as JSON between any two frames, the events are the same, and every byte of their
    records, be there much room for what is kept back or little."""
    monkeypatch.setattr(claims, "MOST_HELD", 5 if seed % 2 else claims.MOST_HELD)
    frames = make_journal(feed, random.Random(seed))
    expected = Interpreter()
    again = Interpreter()
    encoder = Encoder(JsonLines())
    for frame in frames:
        before = json.loads(json.dumps(again.snapshot()))
        again = Interpreter.restore(before)
        assert again.state_problem is None
        assert json.loads(json.dumps(again.snapshot())) == before
        wanted, found = expected.interpret(frame), again.interpret(frame)
        assert [describe(each) for each in found] == [describe(each) for each in wanted]
        observed = encoder.observed(frame.time)
        assert Encoder(JsonLines()).encode_all(found, observed) == encoder.encode_all(wanted, observed)
        assert again.holding == expected.holding
    assert (again.undecodable, again.duplicates, again.withheld) == (
        expected.undecodable,
        expected.duplicates,
        expected.withheld,
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_snapshot_stays_as_it_was(feed: Any, seed: int) -> None:
    """Whatever is interpreted after it: the exporter keeps one for as long as anything older is held."""
    interpreter = Interpreter()
    kept: list[tuple[dict[str, Any], str]] = []
    for frame in make_journal(feed, random.Random(seed)):
        snapshot = interpreter.snapshot()
        kept.append((snapshot, json.dumps(snapshot)))
        interpreter.interpret(frame)
    assert [number for number, (snapshot, text) in enumerate(kept) if json.dumps(snapshot) != text] == []


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
    """The interpreter is a function of its frames; ids are those of their causes, so what a carried frame tells once
    more is known by its id."""
    frames = make_journal(feed, random.Random(6), 400)
    first, second = Interpreter(), Interpreter()
    told = [(describe(each), frame.flags) for frame in frames for each in first.interpret(frame)]
    assert [describe(each) for frame in frames for each in second.interpret(frame)] == [each for each, _ in told]
    # gaps are left out: counters only grow where they are not made up
    ids = [str(each["podcorder.record.id"]) for each, flags in told if not flags & FLAG_CARRIED]
    ids = [each for each in ids if not each.startswith("gap.")]
    assert len(set(ids)) == len(ids)
