"""No bytes make the interpreter raise, hang or forget to count.

MUTATED_JOURNALS sets how many journals are tried, MUTATION_SEED where the dice begin.
"""

from __future__ import annotations

import os
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.journals import (
    BOOT_ID,
    SECOND,
    make_frames,
    pack_segment,
    record_cgroup,
    record_exec,
    record_exec_failed,
    record_exit,
    record_fork,
    record_network,
    record_open,
    ring,
    segment_header,
)

from podcorder_agent.interpreter import Interpreter
from podcorder_agent.interpreter.events import RecordingGap
from podcorder_agent.journal import Frame, FrameKind, Reader

SEED = int(os.environ.get("MUTATION_SEED", "20261122"))
MANY = int(os.environ.get("MUTATED_JOURNALS", "100000"))
FEW = 3000
LONGEST = 2.0
"""CPU seconds one journal may take; they take less than a thousandth of it."""

REQUESTS = (
    {
        "kind": "configure",
        "slot": 1,
        "settings": {
            "policy": "p",
            "events": ["open"],
            "paths": [{"prefix": "/e"}],
            "kinds": {"Exec": {"events": ["open"]}, "Container": {"events": ["exec"], "labels": ["l"]}},
        },
    },
    {
        "kind": "select",
        "cgroup_id": 4242,
        "slot": 1,
        "session_kind": "Container",
        "container": {
            "path": "/a",
            "name": "c",
            "pod": {"namespace": "n", "name": "p", "owner": {"kind": "Job", "name": "j"}},
            "probes": [["app", "x"]],
        },
    },
    {"kind": "exclude", "cgroup_id": 7},
)


def make_journal() -> list[Frame]:
    """About twenty records of every class, and a frame of every kind."""
    child = {"tgid": 1001, "process_start": 70 * SECOND}
    pending = {"container_id": 7, "flags": 8}
    first = ring(
        record_exec(b"sh", b"-c", b"app --token=x", sequence=1, slot=1),
        record_fork(child_tgid=1001, child_start=70 * SECOND, sequence=2),
        record_exec(b"app", b"--password", b"x", sequence=3, **child),
        record_open(b"/etc/hosts", sequence=4, **child),
        record_open(b"nowhere", result=-2, sequence=5, **child),
        record_exec_failed(b"no", sequence=6),
        record_network(sequence=7, cpu=1),
        record_network("accept", local=bytes(16), peer=bytes(16), sequence=9, cpu=1),
        record_network("listen", sequence=8, cpu=1),
        record_network("datagram", protocol=17, sequence=10, cpu=1),
    )
    held = ring(
        record_exec(b"x", sequence=11, tgid=5, session_root=5, **pending),
        record_open(sequence=12, tgid=5, session_root=5, **pending),
        record_open(sequence=13, container_id=9, flags=8),
    )
    last = ring(record_exit(9, sequence=14, **child), record_exit(sequence=15), record_open(sequence=16))
    cgroups = ring(record_cgroup(id=4242, sequence=17), record_cgroup(id=4242, removed=True, sequence=18))
    counters = {"generated": [3] * 11, "lost": [[0, 1, 0, 0, 0, 0]] * 11, "skipped": [0] * 11}
    return make_frames(
        (FrameKind.NOTE, {"note": "started", "capabilities": {"files": {"state": "Degraded", "reason": "r"}}}),
        *((FrameKind.REQUEST, {"number": 1, "peer_uid": 0, "request": each}) for each in REQUESTS),
        (FrameKind.LIFECYCLE, cgroups),
        (FrameKind.RECORDS, first),
        (FrameKind.RECORDS, held),
        (FrameKind.REQUEST, {"number": 2, "peer_uid": 0, "request": {**REQUESTS[1], "cgroup_id": 7}}),
        (FrameKind.RECORDS, last),
        (FrameKind.COUNTERS, counters),
        (FrameKind.NOTE, {"note": "dropped", "segment": 1, "classes": [9] * 11, "first": 1, "last": 2}),
        (FrameKind.NOTE, {"note": "stopped", "unpinned": True}),
    )


FRAMES = make_journal()
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x40)
Change = Callable[[random.Random, bytearray], None]


def flip_bit(chance: random.Random, data: bytearray) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def set_byte(chance: random.Random, data: bytearray) -> None:
    data[chance.randrange(len(data))] = chance.choice(INTERESTING)


def set_number(chance: random.Random, data: bytearray) -> None:
    place = chance.randrange(len(data)) & ~3
    number = chance.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x40000008, 1 << 20))
    data[place : place + 4] = struct.pack("<I", number)[: len(data) - place]


def cut(chance: random.Random, data: bytearray) -> None:
    del data[chance.randrange(len(data)) :]


def remove_slice(chance: random.Random, data: bytearray) -> None:
    place = chance.randrange(len(data))
    del data[place : place + chance.choice((1, 4, 8, 64))]


def double_slice(chance: random.Random, data: bytearray) -> None:
    place = chance.randrange(len(data))
    data[place:place] = data[place : place + chance.choice((1, 8, 112, 300))]


CHANGES: tuple[Change, ...] = (flip_bit, set_byte, set_number, cut, remove_slice, double_slice)


def mutate(chance: random.Random, payload: bytes) -> bytes:
    data = bytearray(payload)
    for _ in range(chance.randrange(1, 4)):
        if data:
            chance.choice(CHANGES)(chance, data)
    return bytes(data)


def mutate_journal(chance: random.Random) -> list[Frame]:
    """The journal with payloads changed as if they were written so, frames repeated, left out or of another load."""
    frames = list(FRAMES)
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(frames))
        frame = frames[place]
        draw = chance.random()
        if draw < 0.8:
            frames[place] = frame._replace(payload=mutate(chance, frame.payload))
        elif draw < 0.85:
            frames.insert(chance.randrange(len(frames)), frame)
        elif draw < 0.9:
            del frames[place]
        elif draw < 0.95:
            frames[place] = frame._replace(kind=chance.choice(list(FrameKind)), flags=chance.randrange(2))
        else:
            header = segment_header(2, generation=chance.randrange(3), boot_id=chance.choice((BOOT_ID, "0" * 32)))
            frames[place:] = [each._replace(segment=header, time=chance.getrandbits(64)) for each in frames[place:]]
    return frames


def interpret(frames: list[Frame], snapshot_at: int) -> None:
    """Interpret a journal to its end: every undecodable thing is counted and is a gap, and the state stays JSON."""
    interpreter = Interpreter()
    undecodable = 0
    begun = time.process_time()
    for place, frame in enumerate(frames):
        if place == snapshot_at:
            interpreter = Interpreter.restore(interpreter.snapshot())
            assert interpreter.state_problem is None
        for event in interpreter.interpret(frame):
            if isinstance(event, RecordingGap) and event.reason == "undecodable":
                assert event.count is not None
                undecodable += event.count
    assert interpreter.undecodable == undecodable
    assert time.process_time() - begun < LONGEST


def run(count: int) -> None:
    for number in range(count):
        chance = random.Random(SEED + number)
        frames = mutate_journal(chance)
        try:
            interpret(frames, chance.randrange(40))
        except Exception as error:
            raise AssertionError(f"MUTATION_SEED={SEED + number} MUTATED_JOURNALS=1 fails") from error


def test_mutated_journals_raise_nothing() -> None:
    """A few thousand of them, for every day."""
    run(FEW)


@pytest.mark.slow
def test_very_many_mutated_journals_raise_nothing() -> None:
    """100,000 of them, or as many as MUTATED_JOURNALS says."""
    run(MANY)


def test_mutated_files_raise_nothing(tmp_path: Path) -> None:
    """Whole segment files with changed bytes: what the reader rejects is counted there, the rest is interpreted."""
    whole = pack_segment(segment_header(), FRAMES)
    start = FRAMES[0].position.offset
    place = tmp_path / "0000000001.segment"
    for number in range(300):
        chance = random.Random(SEED + number)
        data = bytearray(whole[start:])
        chance.choice((flip_bit, set_byte, set_number))(chance, data)
        place.write_bytes(whole[:start] + data)
        with Reader(tmp_path) as reader:
            frames = list(reader.read())
            assert len(frames) + reader.rejected >= len(FRAMES) or len(frames) == len(FRAMES) - 1
        interpret(frames, 5)


def test_an_unchanged_journal_has_nothing_undecodable() -> None:
    """The journal that is mutated is sound, so that what is counted comes from mutation."""
    interpreter = Interpreter()
    for frame in FRAMES:
        interpreter.interpret(frame)
    assert interpreter.undecodable == 0
