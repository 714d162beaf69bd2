"""How programs get into the kernel. A loader leaves everything pinned and keeps nothing: it may be another process."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Protocol

from podcorder_agent.loaders import TRACE_LEVELS
from podcorder_agent.recorder import bpf_maps, libbpf
from podcorder_agent.recorder.bpf_objects import Link, Object
from podcorder_agent.recorder.errors import BtfMissing, LoadRefused, LockedDown, ObjectMissing, RingBufferMissing
from podcorder_agent.recorder.hooks import SOURCES, find_mismatch, read_hooks
from podcorder_agent.recorder.kernel_types import BTF_PATH, KernelTypes
from podcorder_agent.recorder.ladders import RAW_OBJECTS, Capability, Rung
from podcorder_agent.recorder.lockdown import is_locked_down
from podcorder_agent.recorder.memory import charge_refusal
from podcorder_agent.recorder.pins import Pins, remove_tree
from podcorder_agent.recorder.preemption import preemption_refusal
from podcorder_agent.recorder.privileges import are_known

OBJECTS = Path(__file__).parent / "objects"
DEBUG_OBJECTS = Path(__file__).parent / "debug_objects"
"""Their programs write log lines; only a developer's tree has them."""
_TRACE_KNOB = "trace_level"
IDENTITIES_OBJECT = "identities"
IDENTITY = struct.Struct("=2IQ")
"""`struct identity` of bpf/record.h: its number here, its number in the initial pid namespace, its start."""
MAPS_OBJECT = f"{RAW_OBJECTS}containers"
"""Has every shared map of bpf/maps.bpf.h, as all objects do."""

HANDLERS_MAPS = {False: "syscall_handlers", True: "raw_syscall_handlers"}
"""By `Rung.raw`: an array of programs takes those of one kind alone."""
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}
"""Directory of the objects by machine, as `uname` names it."""
TRIAL_RING_BYTES = 256 * 1024
NO_BTF = "failed to find valid kernel BTF"
"""What libbpf says of a kernel without BTF."""
EVENTS_MAP = "events"
_DEBUG_REMEDY = "compile a debug build (make debug), or have bcc compile one (--loader bcc)"
SCRATCH_SUFFIX = "_scratch"
"""Plain arrays of this name are indexed by CPU: a per-CPU array's values end at 32 KiB."""


class RungRefused(Exception):
    """The kernel does not take this rung; `str()` is its reason."""


class Loader(Protocol):
    """What makes maps and attaches rungs."""

    def check_kernel(self) -> None:
        """Raises RingBufferMissing and LockedDown: then nothing can be recorded. Needs CAP_BPF and CAP_PERFMON."""

    def make_maps(self, pins: Pins, ring_bytes: int) -> None:
        """Make and pin the shared maps that are not pinned yet; raises Unable."""

    def attach(self, capability: Capability, rung: Rung, pins: Pins, ring_bytes: int) -> None:
        """Load and attach a rung, and pin its programs and links; raises RungRefused and leaves nothing behind."""

    def try_rung(self, rung: Rung) -> None:
        """Load and attach a rung with maps of its own, then let go of it; raises RungRefused."""

    def verify(self, rung: Rung) -> dict[str, str]:
        """Load a rung with maps of its own, then let go of it; raises RungRefused.

        Returns by program what the verifier says of its work, as BPF_LOG_STATS asks for.
        """


class LoadedProgram(Protocol):
    """A program that the verifier took."""

    @property
    def fd(self) -> int: ...

    def pin(self, path: Path) -> None:
        """Raises OSError."""

    def attach(self) -> AttachedProgram:
        """Raises OSError."""


class AttachedProgram(Protocol):
    """A link."""

    def pin(self, path: Path) -> None:
        """Raises OSError."""

    def close(self) -> None:
        """Detach it, unless it is pinned."""


class CoreLoader:
    """Objects compiled beforehand, adapted to the running kernel by its BTF (CO-RE)."""

    name = "core"
    _objects_have_programs = True
    needs_kernel_types = True
    """Where not, objects are opened for their maps: their own types then do for the kernel's."""

    def __init__(self, objects: Path | None = None, trace: str = "") -> None:
        """`trace`: level of the log lines that the programs shall write, which takes a debug build; empty: none."""
        self.trace = trace
        built = DEBUG_OBJECTS if trace and self._objects_have_programs else OBJECTS
        self._objects = objects or built / ARCHITECTURES.get(os.uname().machine, os.uname().machine)

    @property
    def identity(self) -> str:
        """Whose programs are pinned: none but a loader of the same takes them over."""
        return f"{self.name}-{self.trace}" if self.trace else self.name

    def check_kernel(self) -> None:
        if not are_known():
            raise RingBufferMissing
        with self._open(MAPS_OBJECT) as opened:
            rings = {each.type for each in opened.maps() if each.name == EVENTS_MAP}
        if not all(map(bpf_maps.takes_maps_of, rings)):
            raise RingBufferMissing
        if is_locked_down():
            raise LockedDown

    def prepare(self, ring_bytes: int, meanwhile: Callable[[], bool]) -> None:
        """Whatever takes long, before anything is attached; `meanwhile` is called often, and says whether to go on."""

    def make_maps(self, pins: Pins, ring_bytes: int) -> None:
        self.check_kernel()
        try:
            with self._open(MAPS_OBJECT) as opened:
                prepare(opened, set(), pins, ring_bytes, self.trace)
                opened.load()
        except OSError as error:
            reason = _reason(error)
            if NO_BTF in reason:
                raise BtfMissing("This kernel has no BTF: boot one built with CONFIG_DEBUG_INFO_BTF=y.") from None
            raise LoadRefused(f"The BPF maps cannot be made ({reason}): run `podcorder doctor`.") from None

    def attach(self, capability: Capability, rung: Rung, pins: Pins, ring_bytes: int) -> None:
        links = pins.links / capability.name / rung.name
        programs = pins.programs / capability.name / rung.name
        try:
            for directory in (links, programs):
                directory.parent.mkdir(mode=0o700, exist_ok=True)
                directory.mkdir(mode=0o700, exist_ok=True)
            self._attach(rung, pins, ring_bytes, links, programs)
        except (OSError, RungRefused, ObjectMissing) as error:
            remove_tree(links)
            remove_tree(programs)
            if isinstance(error, OSError):
                raise RungRefused(_reason(error)) from None
            raise

    def _attach(self, rung: Rung, pins: Pins, ring_bytes: int, links: Path, programs: Path) -> None:
        with self._loaded(rung, pins, ring_bytes) as by_name:
            for name in rung.programs:
                by_name[name].pin(programs / name)
                link = by_name[name].attach()
                try:
                    link.pin(links / name)
                finally:
                    link.close()
            if rung.handlers:  # last: a rung that fails must leave none at work
                handlers = bpf_maps.Map.open(pins.maps / HANDLERS_MAPS[rung.raw])
                for index, name in rung.handlers.items():
                    handlers.update(index.to_bytes(4, "little"), by_name[name].fd.to_bytes(4, "little"))
                handlers.close()

    def list_identities(self) -> bytes:
        """A `struct identity` for each process; raises LoadRefused."""
        return self._identities.iterate()

    @cached_property
    def _identities(self) -> Link:
        try:
            with self._open(IDENTITIES_OBJECT) as opened:
                opened.load()
                return next(opened.programs()).attach()
        except OSError as error:
            raise LoadRefused(f"The processes cannot be listed ({_reason(error)}): run `podcorder doctor`.") from None

    def try_rung(self, rung: Rung) -> None:
        try:
            with self._loaded(rung, None, TRIAL_RING_BYTES) as by_name:
                attached = [by_name[name].attach() for name in rung.programs]
                for link in attached:
                    link.close()
        except OSError as error:
            raise RungRefused(_reason(error)) from None

    def verify(self, rung: Rung) -> dict[str, str]:
        programs = rung.programs.keys() | rung.handlers.values()
        try:
            with self._open(rung.object) as opened:
                prepare(opened, programs, None, TRIAL_RING_BYTES, self.trace)
                statistics = opened.load_with_statistics()
        except OSError as error:
            raise RungRefused(_reason(error)) from None
        return {name: statistics[name] for name in programs}

    @contextmanager
    def _loaded(self, rung: Rung, pins: Pins | None, ring_bytes: int) -> Iterator[Mapping[str, LoadedProgram]]:
        """A rung's programs by name, with the maps that are pinned or with maps of their own; raises OSError."""
        with self._open(rung.object) as opened:
            programs = rung.programs.keys() | rung.handlers.values()
            prepare(opened, programs, pins, ring_bytes, self.trace)
            if rung.raw:
                check_arguments(rung.source, programs)
            opened.load()
            refusal = preemption_refusal() if rung.preemptible else ""
            if refusal:
                raise RungRefused(refusal)
            yield {program.name: program for program in opened.programs()}

    def _open(self, name: str) -> Object:
        libbpf.log.clear()
        path = self._objects / f"{name}.bpf.o"
        logs = bool(self.trace) and self._objects_have_programs
        if not path.exists():
            remedy = _DEBUG_REMEDY if logs else "compile the BPF programs (make) or install the package again"
            raise ObjectMissing(f"{path} is missing: {remedy}.")
        opened = Object(path, self._types_for(path))
        if logs and not opened.has_constant(_TRACE_KNOB):
            opened.close()
            raise ObjectMissing(f"{path} writes no log lines: {_DEBUG_REMEDY}.")
        return opened

    def _types_for(self, path: Path) -> Path | None:
        if not self.needs_kernel_types:
            return path
        return BTF_PATH if BTF_PATH.exists() else None


def _reason(error: OSError) -> str:
    """The words that tell the most about a refusal."""
    return (charge_refusal() if error.errno == errno.EPERM else "") or libbpf.explanation(str(error))


def prepare(opened: Object, programs: set[str], pins: Pins | None, ring_bytes: int, trace: str = "") -> None:
    """Before the load: which programs, where the maps are pinned, the size of the ring; raises RungRefused."""
    unknown = programs - {program.name for program in opened.programs()}
    if unknown:
        raise RungRefused(f"{opened.path.name} has no program {', '.join(sorted(unknown))}")
    for program in opened.programs():
        program.set_autoload(program.name in programs)
    for each in opened.maps():
        if each.name == EVENTS_MAP:
            each.set_max_entries(ring_bytes)
        if each.name.endswith(SCRATCH_SUFFIX) and each.type == bpf_maps.MAP_TYPE_ARRAY:
            each.set_max_entries(bpf_maps.possible_cpus())
        if pins is not None and not each.internal:
            each.set_pin_path(pins.maps / each.name)
    known = constants(ring_bytes, trace)
    opened.set_known_constants({name: value.to_bytes(8, "little") for name, value in known.items()})


def check_arguments(source: str, programs: set[str]) -> None:
    """What the verifier does for a typed program; raises RungRefused."""
    hooks = read_hooks(SOURCES / f"{source}.bpf.c")
    if not programs <= hooks.keys():
        raise RungRefused(f"{source}.bpf.c has no program {', '.join(sorted(programs - hooks.keys()))}")
    types = KernelTypes()
    try:
        mismatch = next(filter(None, (find_mismatch(hooks[each], types) for each in sorted(programs))), "")
    finally:
        types.close()
    if mismatch:
        raise RungRefused(mismatch)


def constants(ring_bytes: int, trace: str = "") -> dict[str, int]:
    """What the programs are told for good: each KNOB() of the sources."""
    return {"wakeup_bytes": ring_bytes // 4, _TRACE_KNOB: TRACE_LEVELS.index(trace) + 1 if trace else 0}
