"""A journal that is interpreted while it is made."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from fixtures.announcing_nodes import AnnouncingNode
from fixtures.journals import SECOND, ring, segment_header

from podcorder_agent.classes import CLASS_COUNT, CLASS_NAMES, REASON_NAMES
from podcorder_agent.interpreter import Event, Interpreter
from podcorder_agent.journal import FLAG_CARRIED, Frame, FrameKind, Position

Kind = TypeVar("Kind", bound=Event)


class Feed:
    """Gives an interpreter frame after frame, and keeps the frames and the events."""

    def __init__(self) -> None:
        self.interpreter = Interpreter()
        self.header = segment_header()
        self.frames: list[Frame] = []
        self.events: list[Event] = []
        self.sequences = itertools.count(1)
        self.time = 100 * SECOND

    def frame(self, kind: FrameKind, payload: bytes, *, flags: int = 0) -> list[Event]:
        self.time += SECOND // 100
        place = len(self.frames) * 1000
        here, end = Position(self.header.index, place), Position(self.header.index, place + 1000)
        frame = Frame(kind, flags, self.time, payload, here, end, self.header)
        self.frames.append(frame)
        found = self.interpreter.interpret(frame)
        self.events += found
        return found

    def carry(self, earlier: Frame) -> list[Event]:
        """A frame once more, as the journal writes it anew when its segment goes."""
        now, self.time = self.time, earlier.time - SECOND // 100
        found = self.frame(earlier.kind, earlier.payload, flags=earlier.flags | FLAG_CARRIED)
        self.time = now
        return found

    def records(self, *records: bytes) -> list[Event]:
        return self.frame(FrameKind.RECORDS, ring(*records))

    def record(self, make: Callable[..., bytes], *tails: bytes, **fields: Any) -> list[Event]:
        """One record in a frame of its own, with the next sequence number."""
        return self.records(make(*tails, **{"sequence": next(self.sequences), **fields}))

    def lifecycle(self, make: Callable[..., bytes], *tails: bytes, **fields: Any) -> list[Event]:
        return self.frame(FrameKind.LIFECYCLE, ring(make(*tails, **{"sequence": next(self.sequences), **fields})))

    def told(self, kind: FrameKind, content: dict[str, Any], *, flags: int = 0) -> list[Event]:
        return self.frame(kind, json.dumps(content).encode(), flags=flags)

    def request(self, kind: str, **fields: Any) -> list[Event]:
        content = {"number": len(self.frames), "peer_uid": 0, "request": {"kind": kind, **fields}}
        return self.told(FrameKind.REQUEST, content)

    def select(self, cgroup_id: int = 4242, kind: str = "Container", **fields: Any) -> list[Event]:
        return self.request("select", cgroup_id=cgroup_id, session_kind=kind, **{"slot": 0, "container": {}, **fields})

    def note(self, name: str, *, flags: int = 0, **fields: Any) -> list[Event]:
        return self.told(FrameKind.NOTE, {"note": name, **fields}, flags=flags)

    def count(self, *, skipped: dict[str, int] | None = None, lost: Any = None, **generated: int) -> list[Event]:
        """A COUNTERS frame; `lost` is {(class, reason): count}."""
        rows = [[0] * len(REASON_NAMES) for _ in CLASS_NAMES]
        for (name, reason), number in (lost or {}).items():
            rows[CLASS_NAMES.index(name)][REASON_NAMES.index(reason)] = number
        content = {
            "generated": [generated.get(name, 0) for name in CLASS_NAMES],
            "lost": rows,
            "skipped": [(skipped or {}).get(name, 0) for name in CLASS_NAMES],
        }
        assert len(content["generated"]) == CLASS_COUNT
        return self.told(FrameKind.COUNTERS, content)

    def turn(self, **changes: Any) -> None:
        """What follows is in another segment."""
        self.header = segment_header(self.header.index + 1, **changes)

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [each for each in self.events if isinstance(each, kind)]


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
def node(feed: Feed) -> AnnouncingNode:
    return AnnouncingNode(feed)
