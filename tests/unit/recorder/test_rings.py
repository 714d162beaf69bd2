"""The ring's consumer against a ring laid out in memory as the kernel does (kernel/bpf/ringbuf.c)."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from podcorder_agent.recorder.rings import CHUNK_BYTES, Ring

PAGE = mmap.PAGESIZE
BUSY = 1 << 31


class Memory(NamedTuple):
    """What Ring needs of a map: the kernel's two pages and its data, the second copy of which is a real copy here."""

    fd: int
    max_entries: int

    def write(self, position: int, payload: bytes, flags: int = 0) -> int:
        """Put a record there; returns the position behind it. The producer's position is moved."""
        data = struct.pack("=II", len(payload) | flags, 0) + payload
        data += bytes(-len(data) % 8)
        offset = position % self.max_entries
        for start in (offset - self.max_entries, offset, offset + self.max_entries):
            for at in range(max(start, 0), min(start + len(data), 2 * self.max_entries), 8):
                os.pwrite(self.fd, data[at - start : at - start + 8], 2 * PAGE + at)
        os.pwrite(self.fd, struct.pack("=Q", position + len(data)), PAGE)
        return position + len(data)

    def start_at(self, position: int) -> None:
        os.pwrite(self.fd, struct.pack("=Q", position), 0)
        os.pwrite(self.fd, struct.pack("=Q", position), PAGE)


@pytest.fixture
def memory() -> Iterator[Memory]:
    size = 1 << 20
    fd = os.memfd_create("ring")
    os.ftruncate(fd, 2 * PAGE + 2 * size)
    yield Memory(fd, size)
    os.close(fd)


def payloads(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        length = struct.unpack_from("=I", data, at)[0]
        found.append(data[at + 8 : at + 8 + length])
        at += (length + 15) & ~7
    assert at == len(data)
    return found


def drain(ring: Ring) -> list[bytes]:
    written: list[bytes] = []
    ring.drain(lambda data: written.append(bytes(data)))
    return [payload for piece in written for payload in payloads(piece)]


def test_records_come_out_in_order(memory: Memory) -> None:
    """Every record between the two positions is handed on once, byte for byte."""
    records = [bytes([number % 256]) * (number * 7 % 97 + 1) for number in range(1009)]
    position = 0
    for record in records:
        position = memory.write(position, record)
    ring = Ring(memory)  # type: ignore[arg-type]
    assert drain(ring) == records
    assert ring.position == position
    assert ring.drained_records == 1009
    assert drain(ring) == []


def test_record_across_the_end_is_whole(memory: Memory) -> None:
    """The data is mapped twice, so a record that wraps is one piece."""
    start = 7 * memory.max_entries - 24
    memory.start_at(start)
    memory.write(start, b"x" * 100)
    assert drain(Ring(memory)) == [b"x" * 100]  # type: ignore[arg-type]


def test_busy_record_stops_the_drain(memory: Memory) -> None:
    """Nothing behind a record that is still being written may overtake it."""
    second = memory.write(0, b"first")
    third = memory.write(second, b"second", BUSY)
    memory.write(third, b"third")
    ring = Ring(memory)  # type: ignore[arg-type]
    assert drain(ring) == [b"first"]
    assert ring.position == second
    memory.write(second, b"second")
    memory.write(third, b"third")
    assert drain(ring) == [b"second", b"third"]


def test_failed_write_moves_nothing(memory: Memory) -> None:
    """The consumer moves only behind what was written: a failure costs no record."""
    memory.write(0, b"precious")
    ring = Ring(memory)  # type: ignore[arg-type]

    def refuse(data: memoryview) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        ring.drain(refuse)
    assert ring.position == 0
    assert drain(ring) == [b"precious"]


def test_pieces_end_at_records(memory: Memory) -> None:
    """A piece has at most 512 KiB and never half a record."""
    position = 0
    for number in range(9):
        position = memory.write(position, bytes([number]) * 99_991)
    pieces: list[bytes] = []
    Ring(memory).drain(lambda data: pieces.append(bytes(data)))  # type: ignore[arg-type]
    assert all(len(piece) <= CHUNK_BYTES for piece in pieces)
    assert [len(payloads(piece)) for piece in pieces] == [5, 4]


def test_drain_ends_where_the_producer_stood(memory: Memory) -> None:
    """A flood that goes on while we drain does not hold us."""
    position = memory.write(0, b"before")
    ring = Ring(memory)  # type: ignore[arg-type]
    seen = []

    def write(data: memoryview) -> None:
        seen.append(bytes(data))
        memory.write(position, b"after")

    ring.drain(write)
    assert [payloads(piece) for piece in seen] == [[b"before"]]
