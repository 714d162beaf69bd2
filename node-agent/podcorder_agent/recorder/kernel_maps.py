"""The maps the recorder shares with its programs, by meaning; bpf/maps.bpf.h is the truth about their layout."""

from __future__ import annotations

import struct
import time
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

from podcorder_agent.classes import CLASS_COUNT, REASON_NAMES
from podcorder_agent.control.messages import SLOT_COUNT, SLOT_PENDING, Message
from podcorder_agent.recorder import bpf_maps
from podcorder_agent.recorder.barriers import wait_for_programs
from podcorder_agent.recorder.errors import MapsForeign
from podcorder_agent.recorder.filters import SLOT, compile_pending, compile_settings, filter_of_key, slot_needs
from podcorder_agent.recorder.identities import Identity
from podcorder_agent.recorder.pins import Pins

_STATE = struct.Struct("=4Q4I")
_SELECTION = struct.Struct("=4Q4I")
_SIDES = struct.Struct(f"=2I{SLOT.size}s{SLOT.size}s")
_SESSION = struct.Struct("=3Q2I")
_COUNTERS = struct.Struct(f"={1 + CLASS_COUNT * (1 + len(REASON_NAMES))}Q")
_SKIPPED = struct.Struct(f"={CLASS_COUNT}Q")
_ZERO = bytes(4)
_SELECTION_PENDING = 1
_SELECTION_EXCLUDED = 2
_SELECTION_WATCHED = 4
_SELECTION_RUNTIME = 8
_SELECTION_OUTSIDE = 16
_SELECTION_DEBUG = 32
_LOGIN = 1 << 63
"""What stands for all logins where a container would stand."""
_SESSION_IGNORE = 1
_SIZES = {
    "state": _STATE.size,
    "counters": _COUNTERS.size,
    "slots": _SIDES.size,
    "cgroups": _SELECTION.size,
    "sessions": _SESSION.size,
    "roots": 16,
    "logins": 16,
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
    bpf_maps.make_array(pins.maps / _SKIPPED_MAP, _SKIPPED_MAP, _SKIPPED.size)


def _foreign(path: Path) -> MapsForeign:
    return MapsForeign(f"{path} is not the map it should be: install a recorder and BPF objects of one version.")


def find_maps(pins: Pins) -> KernelMaps | None:
    """What an earlier recorder left to be taken over.

    None where nothing is pinned, where its loading never ended, and where it is of a version with another layout: that
    one's programs are no use to us, and what becomes of its records is told as a gap of unknown size.
    """
    try:
        maps = KernelMaps(pins)
    except MapsForeign:
        return None
    return maps if maps.generation else None


class KernelMaps:
    """The pinned maps, opened."""

    def __init__(self, pins: Pins) -> None:
        """Raises MapsForeign where a map is missing or has another layout."""
        self._maps: dict[str, bpf_maps.Map] = {}
        for name in (*_SIZES, "events", "lifecycle"):
            path = pins.maps / name
            try:
                self._maps[name] = bpf_maps.Map.open(path)
            except OSError:
                raise _foreign(path) from None
            if self._maps[name].value_size != _SIZES.get(name, 0):
                raise _foreign(path)
        self.events = self._maps["events"]
        self.lifecycle = self._maps["lifecycle"]

    @property
    def generation(self) -> int:
        """That of the load; 0 where it never ended."""
        return self._state()[2]

    def begin(self, generation: int) -> None:
        """The first write after a load."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._maps["state"].update(_ZERO, _STATE.pack(now, now, generation, 0, 0, 0, 0, 0))

    def beat(self) -> None:
        """Tell the programs that somebody drains."""
        _, *rest = self._state()
        self._maps["state"].update(_ZERO, _STATE.pack(time.clock_gettime_ns(time.CLOCK_BOOTTIME), *rest))

    def set_pending(self, events: int, seconds: int, budget: int) -> None:
        """Hold new cgroups for these classes."""
        heartbeat, loaded, generation, _, _, _, *rest = self._state()
        self._turn(SLOT_PENDING, *self._sides(SLOT_PENDING), compile_pending(events))
        self._maps["state"].update(_ZERO, _STATE.pack(heartbeat, loaded, generation, budget, events, seconds, *rest))

    def record_logins(self, slot: int | None) -> None:
        """Record logins on the node into a slot, or none of them."""
        if slot is not None:
            self._set_selection(_LOGIN, _LOGIN, slot, 0)
        *rest, _, reserved = self._state()
        self._maps["state"].update(_ZERO, _STATE.pack(*rest, int(slot is not None), reserved))
        if slot is None:
            self.forget(_LOGIN)

    def needs(self) -> int:
        """What any slot asks for, the pending one included: class bits, and ENDINGS_BIT."""
        wanted = 0
        for number in range(SLOT_COUNT):
            current, sides = self._sides(number)
            wanted |= slot_needs(sides[current])
        return wanted

    def clear_slots(self) -> None:
        """Nothing is wanted any more: from here on no program records."""
        for number in range(SLOT_COUNT):
            self._maps["slots"].update(_number(number), bytes(_SIDES.size))

    def set_slot(self, number: int, settings: Message | None) -> None:
        """Record by these settings from one moment to the next; raises MessageError for a bad CIDR.

        What is new is made beside what is in force, and the slot turns to it with one store: whatever a program looks
        at, it sees the one or the other whole.
        """
        current, sides = self._sides(number)
        following = 1 - current
        filters = compile_settings(_filter_of(number, following), settings)
        self._delete_filter(_filter_of(number, following))  # what a recorder that was killed here left
        for name, entries in (("paths", filters.paths), ("networks", filters.networks)):
            for key, verdict in entries.items():
                self._maps[name].update(key, verdict)
        self._turn(number, current, sides, filters.slot)
        if slot_needs(sides[current]):
            wait_for_programs()  # some may still look at the side that was in force
        self._delete_filter(_filter_of(number, current))

    def _sides(self, number: int) -> tuple[int, list[bytes]]:
        """Which side of a slot is in force, and both."""
        current, _, *sides = _SIDES.unpack(self._maps["slots"].lookup(_number(number)) or bytes(_SIDES.size))
        return int(current), sides

    def _turn(self, number: int, current: int, sides: list[bytes], slot: bytes) -> None:
        """Fill the side of a slot that is not in force, then put it in force."""
        following = 1 - current
        both = [slot, slot]
        both[current] = sides[current]
        for side in (current, following):
            self._maps["slots"].update(_number(number), _SIDES.pack(side, 0, *both))

    def _delete_filter(self, number: int) -> None:
        for name in ("paths", "networks"):
            for key in self._maps[name].list_keys():
                if filter_of_key(key) == number:
                    self._maps[name].delete(key)

    def select(self, cgroup_id: int, container_id: int, slot: int, *, runtime: bool, debug: bool = False) -> None:
        """Record a cgroup; one that is recorded already keeps the time since when.

        `runtime`: a container runtime enters it first, and its sessions begin with an exec. `debug`: it is a debug
        container's.
        """
        flags = (_SELECTION_RUNTIME if runtime else 0) | (_SELECTION_DEBUG if debug else 0)
        self._set_selection(cgroup_id, container_id, slot, flags)

    def exclude(self, cgroup_id: int, container_id: int, *, outside: bool) -> None:
        """Do not record a cgroup in this one; what is held or recorded by itself stays as it is.

        `outside`: it is no container, nor is anything in it that is not recorded, and logins in it are.
        """
        present = self._maps["cgroups"].lookup(struct.pack("=Q", cgroup_id))
        told = _SELECTION.unpack(present) if present is not None else (container_id, *[0] * 7)
        unrecorded = told[6] & (_SELECTION_EXCLUDED | _SELECTION_PENDING)
        if cgroup_id == container_id or told[0] == container_id or (outside and unrecorded):
            flags = _SELECTION_EXCLUDED | (_SELECTION_OUTSIDE if outside else 0)
            self._set_selection(cgroup_id, container_id, 0, flags)

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


def _filter_of(slot: int, side: int) -> int:
    """Each side of a slot has entries of its own in the tries."""
    return 2 * slot + side


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")
