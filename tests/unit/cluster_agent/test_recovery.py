"""What the journal tells of an earlier exporter."""

from __future__ import annotations

import json
from typing import Any

from podcorder_agent.cluster.recovery import Recovery
from podcorder_agent.journal import Frame, FrameKind, Position, SegmentHeader

HEADER = SegmentHeader(1, "node", 1, 7, "0" * 32, 0, 0)


def make_frame(kind: FrameKind, time: int, content: Any) -> Frame:
    return Frame(kind, 0, time, json.dumps(content).encode(), Position(1, 0), Position(1, 8), HEADER)


def request(time: int, **fields: Any) -> Frame:
    return make_frame(FrameKind.REQUEST, time, {"request": fields})


def recover(*frames: Frame) -> Recovery:
    recovery = Recovery()
    for each in frames:
        recovery.observe(each)
    return recovery


def test_the_latest_settings_of_each_slot_hold() -> None:
    """Later requests win, in whatever order their frames come; a slot that was cleared is empty."""
    recovery = recover(
        request(5, kind="configure", slot=0, settings={"policy": "b"}),
        request(3, kind="configure", slot=0, settings={"policy": "a"}),
        request(4, kind="configure", slot=1, settings={"policy": "c"}),
        request(6, kind="configure", slot=1, settings=None),
    )
    assert recovery.slots == {0: {"policy": "b"}}


def test_new_programs_know_nothing() -> None:
    """What was asked before the recorder began anew is void, even where its frame comes later."""
    recovery = recover(
        request(3, kind="configure", slot=0, settings={"policy": "a"}),
        request(9, kind="configure", slot=1, settings={"policy": "b"}),
        make_frame(FrameKind.NOTE, 5, {"note": "started"}),
        request(4, kind="configure", slot=2, settings={"policy": "c"}),
    )
    assert recovery.slots == {1: {"policy": "b"}}


def test_cgroups_that_were_decided_about_are_known() -> None:
    """Selected or excluded, and nothing else."""
    recovery = recover(
        request(1, kind="select", cgroup_id=5),
        request(1, kind="exclude", cgroup_id=6),
        request(1, kind="ignore", tgid=7),
    )
    assert recovery.decided == {5, 6}


def test_announcements_are_known_to_the_load_they_were_made_to() -> None:
    """The sessions told of, and the latest word on announcing, since the recorder began anew."""
    fact = {"kind": "fact", "subject": "announcement"}
    recovery = recover(
        request(3, **fact, data={"uid": "early"}),
        request(3, kind="fact", subject="announcing", data={"key": "early"}),
        request(9, kind="fact", subject="announcing", data={"key": "late"}),
        request(8, kind="fact", subject="announcing", data={"key": "between"}),
        make_frame(FrameKind.NOTE, 5, {"note": "started"}),
        request(6, **fact, data={"uid": "late"}),
        request(4, **fact, data={"uid": "carried"}),
        request(7, kind="fact", subject="other", data={"uid": "other"}),
    )
    assert recovery.announced.keys() == {"late"}
    assert recovery.announcing == {"key": "late"}
    recovery.observe(make_frame(FrameKind.NOTE, 10, {"note": "started"}))
    assert (recovery.announced, recovery.announcing) == ({}, None)


def test_what_cannot_be_read_is_passed_over() -> None:
    """Frames of other kinds, and content of other shapes."""
    damaged = make_frame(FrameKind.REQUEST, 1, {})._replace(payload=b"{")
    shapes = [make_frame(FrameKind.REQUEST, 1, each) for each in ([], {"request": 1}, {"request": {"slot": "x"}})]
    assert recover(damaged, *shapes, make_frame(FrameKind.COUNTERS, 1, {})) == Recovery()
