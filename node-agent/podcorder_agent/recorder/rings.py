"""The consumer of a BPF ring buffer, without libbpf's call-back for each record.

The layout is the kernel's (kernel/bpf/ringbuf.c): one page with the consumer's position, which we write; one page with
the producer's; then the data, mapped twice in a row so that a record never wraps. Positions only grow.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import NamedTuple

from podcorder_agent.recorder.bpf_maps import Map

CHUNK_BYTES = 512 * 1024
"""Longest piece handed on at once; a piece ends where a record ends."""

_BUSY = 1 << 31
_DISCARDED = 1 << 30
_LENGTH = _DISCARDED - 1
_HEADER_AND_PADDING = 8 + 7


class Piece(NamedTuple):
    """Whole records, ready to be written."""

    data: memoryview
    end: int
    """The consumer's position behind them."""
    records: int


class Ring:
    """One ring, mapped. Its consumer position outlives us in the pinned map."""

    def __init__(self, ring: Map) -> None:
        page = mmap.PAGESIZE
        self.fd = ring.fd
        self.size: int = ring.max_entries
        self._consumer_page = mmap.mmap(ring.fd, page)
        self._producer_pages = mmap.mmap(ring.fd, page + 2 * self.size, prot=mmap.PROT_READ, offset=page)
        self._consumer = memoryview(self._consumer_page)[:8].cast("Q")
        whole = memoryview(self._producer_pages)
        self._producer = whole[:8].cast("Q")
        self._data = whole[page:]
        self._words = self._data.cast("I")
        self.drained_bytes = 0
        self.drained_records = 0

    @property
    def position(self) -> int:
        """The consumer's."""
        return self._consumer[0]

    @property
    def produced(self) -> int:
        """The producer's position: everything reserved up to now stands before it."""
        return self._producer[0]

    @property
    def used(self) -> int:
        """Bytes waiting."""
        return self._producer[0] - self._consumer[0]

    def next_piece(self, limit: int = CHUNK_BYTES) -> Piece | None:
        """The records waiting that are finished, up to `limit` bytes (one longer record is a piece by itself)."""
        start = self._consumer[0]
        available = self._producer[0] - start
        if not available:
            return None
        words = self._words
        base = start & (self.size - 1)
        offset = base
        stop = base + min(available, limit)
        records = 0
        while offset < stop:
            header = words[offset >> 2]
            if header & _BUSY:
                break
            following = offset + (((header & _LENGTH) + _HEADER_AND_PADDING) & ~7)
            if following > stop and offset > base:
                break
            records += 1
            offset = following
        if offset == base:
            return None
        return Piece(self._data[base:offset], start + offset - base, records)

    def drain(self, write: Callable[[memoryview], object], until: int | None = None) -> int:
        """Hand every finished record to `write`, and move the consumer only behind what was written.

        Stops at the producer's position at the time of the call, or at `until`: a flood must not hold the caller
        for ever. Whatever `write` raises goes through, with the consumer where it was. Returns the bytes moved.
        """
        moved = 0
        until = self._producer[0] if until is None else until
        while self._consumer[0] < until and (piece := self.next_piece()):
            write(piece.data)
            # the write has returned from the kernel, so its reads of the ring are done before this store
            self._consumer[0] = piece.end
            moved += len(piece.data)
            self.drained_records += piece.records
        self.drained_bytes += moved
        return moved
