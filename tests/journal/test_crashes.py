"""The journal under SIGKILL: what a writer had appended is there, and nothing else is."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from podcorder_agent.journal import FrameKind, Reader

ROUNDS = 20
WRITER = Path(__file__).with_name("endless_writer.py")


def test_a_tailing_reader_sees_each_frame_once_while_writers_are_killed(tmp_path: Path) -> None:
    """Whenever the writer is killed: a live reader gets every appended frame once, whole, in order."""
    chance = random.Random(20261122)
    seen: dict[int, list[int]] = defaultdict(list)
    torn = 0
    reader = Reader(tmp_path)

    def take() -> None:
        nonlocal torn
        for frame in reader.read():
            if frame.kind is FrameKind.NOTE:
                assert json.loads(frame.payload)["note"] == "torn"
                torn += 1
                continue
            word = frame.payload[:8]
            assert frame.payload == word * (len(frame.payload) // 8)
            seen[frame.segment.generation].append(int.from_bytes(word, "little"))

    for generation in range(ROUNDS):
        with subprocess.Popen([sys.executable, WRITER, tmp_path, str(generation)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            announced = len(writer.stdout.read(8))
            deadline = time.monotonic() + chance.uniform(0.0, 0.1)
            while time.monotonic() < deadline:
                take()
                announced += len(writer.stdout.read1(1 << 16))
            writer.kill()
            announced += len(writer.stdout.read())
        take()
        assert seen[generation] == list(range(len(seen[generation])))
        assert len(seen[generation]) - announced // 8 in (0, 1)
    assert (reader.rejected, reader.missed_segments) == (0, 0)

    with Reader(tmp_path) as afterwards:
        counts: dict[int, int] = defaultdict(int)
        for frame in afterwards.read():
            counts[frame.segment.generation] += frame.kind is FrameKind.RECORDS
        assert counts == {generation: len(numbers) for generation, numbers in seen.items()}
        assert afterwards.rejected == 0
