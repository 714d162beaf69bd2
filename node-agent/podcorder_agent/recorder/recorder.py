"""One recorder at work: drains the rings into the journal, beats, counts, and closes in good order."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from podcorder_agent.journal import FrameKind, JournalError, Position, Writer
from podcorder_agent.recorder.attachments import Attachments
from podcorder_agent.recorder.barriers import wait_for_programs
from podcorder_agent.recorder.kernel_maps import KernelMaps
from podcorder_agent.recorder.pins import Pins
from podcorder_agent.recorder.rings import Ring
from podcorder_agent.recorder.syncs import BackgroundSync

TICK_SECONDS = 1.0
"""Between heartbeats, counters, syncs, and attempts to write to a full disk."""
_FLUSH_SECONDS = 1.0
"""How long a flush waits for records that a program has begun and not finished."""


class Recorder:
    """The rings, the journal and the programs of one generation."""

    def __init__(
        self,
        journal: Writer,
        directory: Path,
        pins: Pins,
        maps: KernelMaps,
        attachments: Attachments,
        generation: int,
        loader: dict[str, str],
    ) -> None:
        """`loader`: its name, and the reason why it is that one."""
        self.generation = generation
        self.loader = loader
        self.journal = journal
        self.pins = pins
        self.maps = maps
        self.attachments = attachments
        self.lifecycle = Ring(maps.lifecycle)
        self.events = Ring(maps.events)
        self.finished = False
        self.unloaded = False
        """Nothing is left in the kernel but the maps that are open here."""
        self._sync = BackgroundSync(directory)
        self._syncing = False
        self._synced: Position = journal.position
        self._written_counters: dict[str, Any] = {}
        self._next_tick = 0.0
        self._full_since: float | None = None
        self._full_error = ""

    def note(self, name: str, **fields: Any) -> Position:
        return self.append_json(FrameKind.NOTE, {"note": name, **fields})

    def append_json(self, kind: FrameKind, content: dict[str, Any]) -> Position:
        return self.journal.append(kind, json.dumps(content, separators=(",", ":")).encode())

    def drain(self) -> int:
        """Move what waits; bytes moved. While the disk is full nothing moves, and each second is one attempt."""
        if self._full_since is not None and time.monotonic() < self._next_tick:
            return 0
        try:
            moved = self._drain_once()
            if self._full_since is not None:
                self.note("full", seconds=round(time.monotonic() - self._full_since, 3), error=self._full_error)
                self._full_since = None
        except JournalError as error:
            self._remember_full(error)
            return 0
        return moved

    def tick(self) -> None:
        """What is due every second."""
        now = time.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + TICK_SECONDS
        self.maps.beat()
        try:
            self.write_counters()
            if self.journal.position == self._synced:
                self.journal.sync()  # nothing is new: it only looks after retention
            elif not self._syncing:
                self._synced = self.journal.position
                self._syncing = True
                self._sync.start()
        except JournalError as error:
            self._remember_full(error)

    def finish_sync(self) -> None:
        """When the thread is done, the writer's own sync has little left to wait for."""
        if self._syncing and self._sync.idle:
            self._syncing = False
            try:
                self.journal.sync()
            except JournalError as error:
                self._remember_full(error)

    def attend(self) -> int:
        """Everything that waits for nobody; bytes moved."""
        moved = self.drain()
        self.tick()
        self.finish_sync()
        return moved

    def catch_up(self) -> None:
        """Write everything that happened before the call; raises JournalError."""
        for ring, kind in ((self.lifecycle, FrameKind.LIFECYCLE), (self.events, FrameKind.RECORDS)):
            self._drain_until(ring, kind, ring.produced)

    def flush(self) -> Position:
        """The same, then counters."""
        self.catch_up()
        return self.write_counters()

    def counters(self) -> dict[str, Any]:
        """As a COUNTERS frame has them."""
        counters = self.maps.counters()
        return {"generated": counters.generated, "lost": counters.lost, "skipped": self.attachments.skipped()}

    def write_counters(self, force: bool = False) -> Position:
        counters = self.counters()
        if force or counters != self._written_counters:
            self.append_json(FrameKind.COUNTERS, counters)
            self._written_counters = counters
        return self.journal.position

    def apply_needs(self) -> None:
        """Attach and detach by what the slots ask for, and note what changed."""
        if self.attachments.apply(self.maps.needs()):
            self.note("capabilities", capabilities=self.attachments.states)

    def finish(self, unpin: bool) -> None:
        """Write all there is and close. Raises JournalError where the disk is full: then everything stays pinned."""
        self.finished = True
        if unpin:
            self.unload()
        elif not self.unloaded:
            self._write_last(unpinned=False)
        self.journal.close()

    def unload(self) -> None:
        """Take everything out of the kernel and write all there is; the journal stays open for who delivers it.

        Raises JournalError where the disk is full: then everything stays pinned.
        """
        if self.unloaded:
            return
        self.maps.clear_slots()
        wait_for_programs()
        self.attachments.detach_all()
        self._write_last(unpinned=True)
        self.journal.sync()
        self.pins.remove()
        self.unloaded = True

    def health(self) -> dict[str, Any]:
        return {
            "capabilities": self.attachments.states,
            "loader": self.loader,
            "counters": self.counters(),
            "journal": describe_journal(self.journal, full=self._full_since is not None),
            "ring": {"size": self.events.size, "used": self.events.used},
            "drained": {"bytes": self.events.drained_bytes, "records": self.events.drained_records},
        }

    def _write_last(self, *, unpinned: bool) -> None:
        self.flush()
        self.write_counters(force=True)
        self.note("stopped", unpinned=unpinned)

    def _drain_once(self) -> int:
        moved = self.lifecycle.drain(lambda data: self.journal.append(FrameKind.LIFECYCLE, data))
        return moved + self.events.drain(lambda data: self.journal.append(FrameKind.RECORDS, data))

    def _drain_until(self, ring: Ring, kind: FrameKind, until: int) -> None:
        deadline = time.monotonic() + _FLUSH_SECONDS
        while True:
            ring.drain(lambda data: self.journal.append(kind, data), until)
            if ring.position >= until or time.monotonic() > deadline:
                return
            time.sleep(0.0005)  # a program stands between its reserve and its submit

    def _remember_full(self, error: JournalError) -> None:
        if self._full_since is None:
            self._full_since = time.monotonic()
        self._full_error = str(error)


def describe_journal(journal: Writer, *, full: bool) -> dict[str, Any]:
    """As `health` shows it."""
    return {
        "bytes": journal.bytes,
        "limit": journal.limit,
        "undelivered": journal.undelivered,
        "segments": journal.segments,
        "acknowledged": str(journal.acknowledged),
        "position": str(journal.position),
        "full": full,
    }
