"""The maps the recorder shares with its programs, by meaning; bpf/maps.bpf.h is the truth about their layout."""

from __future__ import annotations

import struct
import time
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

from podcorder_agent.classes import CLASS_COUNT, REASON_NAMES
from podcorder_agent.control.messages import SLOT_COUNT, SLOT_PENDING
from podcorder_agent.recorder import libbpf
from podcorder_agent.recorder.errors import PinsForeign
from podcorder_agent.recorder.filters import SLOT, SlotFilters, compile_pending, slot_events, slot_of_key
from podcorder_agent.recorder.identities import Identity
from podcorder_agent.recorder.pins import Pins

_STATE = struct.Struct("=4Q2I")
_SELECTION = struct.Struct("=4Q4I")
_SESSION = struct.Struct("=3Q2I")
_COUNTERS = struct.Struct(f"={1 + CLASS_COUNT * (1 + len(REASON_NAMES))}Q")
_SKIPPED = struct.Struct(f"={CLASS_COUNT}Q")
_ZERO = bytes(4)
_SELECTION_EXCLUDED = 2
_SELECTION_WATCHED = 4
_SELECTION_RUNTIME = 8
_SESSION_IGNORE = 1
_SIZES = {
    "state": _STATE.size,
    "counters": _COUNTERS.size,
    "slots": SLOT.size,
    "cgroups": _SELECTION.size,
    "sessions": _SESSION.size,
    "roots": 16,
    "paths": 4,
    "networks": 4,
    "skipped": _SKIPPED.size,
}
_SKIPPED_MAP = "skipped"


class Counters(NamedTuple):
    """Sums over all CPUs, cumulative since the load."""

    generated: list[int]
    lost: list[list[int]]


def make_skipped_map(pins: Pins) -> None:
    """The one map that only the recorder knows: skipped runs of programs that are gone."""
    libbpf.make_array(pins.maps / _SKIPPED_MAP, _SKIPPED_MAP, _SKIPPED.size)


def pinned_generation(pins: Pins) -> int:
    """The load generation of what is pinned, or 0 where nothing is, or where its loading never ended."""
    path = pins.maps / "state"
    if not path.exists():
        return 0
    state = libbpf.Map.open(path)
    try:
        if state.value_size != _STATE.size:
            raise _foreign(path)
        return int(_STATE.unpack(state.lookup(_ZERO) or bytes(_STATE.size))[2])
    finally:
        state.close()


def _foreign(path: Path) -> PinsForeign:
    return PinsForeign(f"{path} is of another version: run `podcorder doctor --clean`, or name other --pins.")


class KernelMaps:
    """The pinned maps, opened."""

    def __init__(self, pins: Pins) -> None:
        """Raises PinsForeign where a map is missing or has another layout."""
        try:
            self._maps = {name: libbpf.Map.open(pins.maps / name) for name in (*_SIZES, "events", "lifecycle")}
        except OSError as error:
            raise _foreign(Path(error.filename or pins.maps)) from None
        for name, size in _SIZES.items():
            if self._maps[name].value_size != size:
                raise _foreign(pins.maps / name)
        self.events = self._maps["events"]
        self.lifecycle = self._maps["lifecycle"]

    def begin(self, generation: int) -> None:
        """The first write after a load."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._maps["state"].update(_ZERO, _STATE.pack(now, now, generation, 0, 0, 0))

    def beat(self) -> None:
        """Tell the programs that somebody drains."""
        _, *rest = self._state()
        self._maps["state"].update(_ZERO, _STATE.pack(time.clock_gettime_ns(time.CLOCK_BOOTTIME), *rest))

    def set_pending(self, events: int, seconds: int, budget: int) -> None:
        """Hold new cgroups for these classes."""
        heartbeat, loaded, generation, *_ = self._state()
        self._maps["slots"].update(_number(SLOT_PENDING), compile_pending(events))
        self._maps["state"].update(_ZERO, _STATE.pack(heartbeat, loaded, generation, budget, events, seconds))

    def wanted_events(self) -> int:
        """Class bits that any slot asks for, the pending one included."""
        slots = self._maps["slots"]
        wanted = 0
        for number in range(SLOT_COUNT):
            wanted |= slot_events(slots.lookup(_number(number)) or bytes(SLOT.size))
        return wanted

    def clear_slots(self) -> None:
        """Nothing is wanted any more: from here on no program records."""
        for number in range(SLOT_COUNT):
            self._maps["slots"].update(_number(number), bytes(SLOT.size))

    def set_slot(self, slot: int, filters: SlotFilters) -> None:
        """New entries come before the slot's value and old ones go after it, so that nothing falls between."""
        for name, entries in (("paths", filters.paths), ("networks", filters.networks)):
            for key, verdict in entries.items():
                self._maps[name].update(key, verdict)
        self._maps["slots"].update(_number(slot), filters.slot)
        for name, entries in (("paths", filters.paths), ("networks", filters.networks)):
            for key in self._maps[name].list_keys():
                if slot_of_key(key) == slot and key not in entries:
                    self._maps[name].delete(key)

    def select(self, cgroup_id: int, container_id: int, slot: int, *, runtime: bool) -> None:
        """Record a cgroup; one that is recorded already keeps the time since when.

        `runtime`: a container runtime enters it first, and its sessions begin with an exec.
        """
        self._set_selection(cgroup_id, container_id, slot, _SELECTION_RUNTIME if runtime else 0)

    def exclude(self, cgroup_id: int) -> None:
        self._set_selection(cgroup_id, cgroup_id, 0, _SELECTION_EXCLUDED)

    def forget(self, cgroup_id: int) -> None:
        """A cgroup that went while it was being selected."""
        self._maps["cgroups"].delete(struct.pack("=Q", cgroup_id))

    def _set_selection(self, cgroup_id: int, container_id: int, slot: int, flags: int) -> None:
        key = struct.pack("=Q", cgroup_id)
        since = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        present = self._maps["cgroups"].lookup(key)
        if present is not None:
            _, earlier, _, _, _, _, old_flags, _ = _SELECTION.unpack(present)
            if not old_flags & _SELECTION_EXCLUDED:  # else what began meanwhile is older than its selection
                since = earlier
                flags |= old_flags & _SELECTION_WATCHED
        self._maps["cgroups"].update(key, _SELECTION.pack(container_id, since, 0, 0, 0, slot, flags, 0))

    def ignore(self, process: Identity) -> None:
        """Never record this process nor the children it will have."""
        value = _SESSION.pack(0, 0, process.start, process.tgid, _SESSION_IGNORE)
        self._maps["sessions"].update(_number(process.tgid), value)

    def forget_processes(self, alive: Container[Identity]) -> None:
        """While no program followed exits, process ids may have been given anew: keep only who is surely ignored."""
        sessions = self._maps["sessions"]
        for key in sessions.list_keys():
            _, _, start, _, flags = _SESSION.unpack(sessions.lookup(key) or bytes(_SESSION.size))
            if not flags & _SESSION_IGNORE or Identity(int.from_bytes(key, "little"), start) not in alive:
                sessions.delete(key)

    def counters(self) -> Counters:
        sums = [0] * (_COUNTERS.size // 8)
        for value in self._maps["counters"].lookup_each_cpu(_ZERO):
            sums = [total + here for total, here in zip(sums, _COUNTERS.unpack(value), strict=True)]
        lost = sums[1 + CLASS_COUNT :]
        losses = [lost[at : at + len(REASON_NAMES)] for at in range(0, len(lost), len(REASON_NAMES))]
        return Counters(sums[1 : 1 + CLASS_COUNT], losses)

    def skipped(self) -> list[int]:
        """Skipped runs per class of programs that are detached for good."""
        return list(_SKIPPED.unpack(self._maps[_SKIPPED_MAP].lookup(_ZERO) or bytes(_SKIPPED.size)))

    def add_skipped(self, number: int, count: int) -> None:
        values = self.skipped()
        values[number] += count
        self._maps[_SKIPPED_MAP].update(_ZERO, _SKIPPED.pack(*values))

    def _state(self) -> tuple[int, ...]:
        return _STATE.unpack(self._maps["state"].lookup(_ZERO) or bytes(_STATE.size))


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")
