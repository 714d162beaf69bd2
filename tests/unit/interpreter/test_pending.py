"""What was recorded before its container was known waits for a decision."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Any

import pytest
from fixtures.journals import ANCHOR, SECOND, record_cgroup, record_exec, record_fork, record_network, record_open

from podcorder_agent.classes import EVENT_CLASSES
from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.pending import LONGEST_WAIT, Record, pack_records, unpack_records
from podcorder_agent.interpreter.subjects import SessionKind

PENDING, OWN = 1 << 3, 1 << 9


def record(feed: Any, make: Any, *tails: bytes, **fields: Any) -> list[Any]:
    found: list[Any] = feed.record(make, *tails, **{"flags": PENDING, "slot": 63, **fields})
    return found


def test_records_wait_for_a_select(feed: Any) -> None:
    """They come out in their order, as the slot's policy wants them, behind the container's start."""
    feed.lifecycle(record_cgroup, id=4242)
    first = feed.frames[-1].end
    assert record(feed, record_exec, b"app", b"pin:1", time=60 * SECOND, flags=PENDING | OWN) == []
    assert record(feed, record_open) == []
    assert feed.interpreter.holding == first
    settings = {"policy": "p", "events": EVENT_CLASSES, "redaction": {"defaults": False, "patterns": [r"pin:(\S+)"]}}
    feed.request("configure", slot=1, settings=settings)
    started, session, execution, opened = feed.select(slot=1)
    assert isinstance(started, events.ContainerStart)
    assert started.time == ANCHOR + 60 * SECOND
    assert isinstance(session, events.SessionStart)
    assert execution.arguments == [b"app", b"pin:[redacted]"]
    assert opened.process.executable == b"/bin/sh"
    assert opened.process.session.container.policy == "p"
    assert opened.process.session.kind is SessionKind.CONTAINER
    assert feed.interpreter.holding is None
    assert [type(each) for each in record(feed, record_open)] == [events.FileOpen]


def test_an_exclude_drops_them(feed: Any) -> None:
    """They were never wanted: counted, and no gap."""
    record(feed, record_open)
    assert feed.request("exclude", cgroup_id=4242) == []
    assert record(feed, record_open) == []
    assert (sum(feed.interpreter.withheld), feed.interpreter.holding) == (2, None)


@pytest.mark.parametrize("late", [False, True])
def test_nothing_is_kept_of_an_excluded_container_that_is_gone(feed: Any, late: bool) -> None:
    """Whether it was excluded before it went or after: on a busy node most are gone before anybody decides."""
    before = feed.interpreter.snapshot()["selections"]
    feed.lifecycle(record_cgroup, id=4242)
    if not late:
        feed.request("exclude", cgroup_id=4242)
    feed.lifecycle(record_cgroup, id=4242, removed=True)
    if late:
        feed.request("exclude", cgroup_id=4242)
    feed.time += 2 * SECOND
    feed.count()
    assert feed.interpreter.snapshot()["selections"] == before


def test_after_a_minute_they_are_lost_and_counted(feed: Any) -> None:
    """Nobody knew the container in time."""
    record(feed, record_open, time=90 * SECOND)
    record(feed, record_open)
    record(feed, record_fork)
    feed.time += LONGEST_WAIT
    found = feed.count()
    assert [(each.record_class, each.reason, each.count) for each in found] == [
        ("open", "pending", 2),
        ("fork", "pending", 1),
    ]
    assert found[0].first == ANCHOR + 90 * SECOND
    assert feed.interpreter.holding is None


def test_their_bytes_are_bounded(feed: Any) -> None:
    """The container that waits longest gives way."""
    for container_id in range(1, 60):
        for _ in range(2):
            record(feed, record_exec, b"x" * 60_000, container_id=container_id)
    gaps = feed.all(events.RecordingGap)
    assert gaps
    assert {(each.reason, each.count) for each in gaps} == {("pending", 2)}
    assert feed.interpreter.pending.size <= 4 << 20


def test_they_come_out_of_a_checkpoint_as_they_went_in() -> None:
    """Any identity, anchor and bytes; what is cut or is no records at all is refused."""
    records = [Record(f"{number:016x}.0.{number}", bytes([number]) * number, number - 100) for number in range(200)]
    packed = pack_records(records)
    assert len(packed) < sum(len(each.data) for each in records)
    assert unpack_records(packed) == records
    assert unpack_records(pack_records([])) == []
    for text in (packed[: len(packed) // 2 & -4], b64encode(b"nothing").decode(), "*"):
        with pytest.raises((ValueError, struct.error)):
            unpack_records(text)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, 5),
        ({"events": ["exec"]}, 0),
        ({"events": ["open"]}, 3),
        ({"access": ["write"]}, 3),
        ({"paths": [{"prefix": "/etc/", "verdict": "include"}]}, 4),
        ({"paths": [{"prefix": "/etc/", "verdict": "exclude"}]}, 3),
        (
            {"paths": [{"prefix": "/etc/", "verdict": "exclude"}, {"prefix": "/etc/ssl/", "verdict": "include"}]},
            2,
        ),
        ({"networks": [{"cidr": "10.0.0.0/8", "verdict": "include"}]}, 4),
        (
            {"networks": [{"cidr": "10.0.0.0/8", "verdict": "exclude"}, {"cidr": "10.9.0.0/16", "verdict": "include"}]},
            3,
        ),
        ({"networks": [{"cidr": "::/0", "verdict": "exclude"}]}, 3),
        ({"ports": [{"first": 400, "last": 500, "verdict": "include"}]}, 4),
        ({"ports": [{"first": 443, "last": 443, "verdict": "exclude"}]}, 4),
        ({"networks": [{"cidr": "nonsense", "verdict": "include"}], "paths": "nonsense", "ports": [7]}, 5),
    ],
)
def test_policy_applies_to_what_was_held(feed: Any, settings: dict[str, Any], wanted: int) -> None:
    """By the kernel's rules: the most specific entry decides, and a list with an include leaves out the rest."""
    feed.request("configure", slot=1, settings={"events": EVENT_CLASSES, **settings})
    record(feed, record_open, b"/etc/passwd")
    record(feed, record_open, b"/etc/shadow", open_flags=2)
    record(feed, record_open, b"/var/log/x")
    record(feed, record_network, peer=bytes((10, 1, 1, 1)), peer_port=443)
    record(feed, record_network, peer=b"\x20\x01" + bytes(14), local=bytes(16), peer_port=80)
    found = feed.select(slot=1)
    kinds = (events.FileOpen, events.NetworkConnect)
    assert len([each for each in found if isinstance(each, kinds)]) == wanted
    assert sum(feed.interpreter.withheld) == 5 - wanted


def test_a_server_is_filtered_by_its_own_port(feed: Any) -> None:
    """Of accepts and listens the local port counts, of accepts the peer's network; a listen has no peer."""
    ports = [{"first": 80, "last": 80, "verdict": "include"}]
    networks = [{"cidr": "10.0.0.0/8", "verdict": "include"}]
    feed.request("configure", slot=1, settings={"events": EVENT_CLASSES, "ports": ports, "networks": networks})
    for port in (80, 81):
        record(feed, record_network, "listen", local_port=port, peer=bytes(4), peer_port=0)
        record(feed, record_network, "accept", local_port=port, peer_port=80)
        record(feed, record_network, "accept", local_port=port, peer=bytes((11, 0, 0, 1)), peer_port=80)
    found = [each for each in feed.select(slot=1) if isinstance(each, events.NetworkEvent)]
    assert [(type(each), each.local_port) for each in found] == [(events.NetworkListen, 80), (events.NetworkAccept, 80)]


def test_processes_are_followed_though_their_records_are_not_wanted(feed: Any) -> None:
    """An open tells its executable, though the policy wants no execs."""
    feed.request("configure", slot=1, settings={"events": ["open"]})
    record(feed, record_exec, b"app", path=b"/bin/app")
    record(feed, record_open)
    *_, opened = feed.select(slot=1)
    assert opened.process.executable == b"/bin/app"


@pytest.mark.parametrize(
    ("prefix", "path", "flags", "wanted"),
    [
        ("/etc", b"/etc", 0, True),
        ("/etc/", b"/etc", 0, True),
        ("/etc", b"/etc/passwd", 0, True),
        ("/etc", b"/etcetera", 0, False),
        ("/etc/", b"/d/d/d", 1 << 2, True),
        ("/etc/", b"", 1 << 1, True),
    ],
)
def test_held_paths_are_filtered_as_in_the_kernel(
    feed: Any, prefix: str, path: bytes, flags: int, wanted: bool
) -> None:
    """A prefix is a directory and what is below; a path that is cut or unknown passes."""
    feed.lifecycle(record_cgroup, id=4242)
    record(feed, record_open, path, flags=PENDING | flags)
    feed.request(
        "configure", slot=1, settings={"events": EVENT_CLASSES, "paths": [{"prefix": prefix, "verdict": "include"}]}
    )
    assert any(isinstance(each, events.FileOpen) for each in feed.select(slot=1)) is wanted


def test_a_held_relative_name_passes(feed: Any) -> None:
    """A failed open by a relative name cannot be held against a prefix."""
    feed.lifecycle(record_cgroup, id=4242)
    record(feed, record_open, b"shadow", result=-13)
    feed.request(
        "configure", slot=1, settings={"events": EVENT_CLASSES, "paths": [{"prefix": "/etc/", "verdict": "include"}]}
    )
    assert any(isinstance(each, events.FileOpenFailed) for each in feed.select(slot=1))
