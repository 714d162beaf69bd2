"""The loader that compiles: the same sources, maps, pins and ladders as the objects have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

from podcorder_agent.recorder import libbpf
from podcorder_agent.recorder.bcc import cache
from podcorder_agent.recorder.bcc.child import compile_apart
from podcorder_agent.recorder.bcc.compiler import Compiled, Request, Wanted
from podcorder_agent.recorder.bcc.headers import Headers
from podcorder_agent.recorder.bcc.processes import list_processes
from podcorder_agent.recorder.bcc.relocations import insert_maps
from podcorder_agent.recorder.bcc.sources import MapLayout
from podcorder_agent.recorder.errors import CompilationFailed, LoadRefused, ObjectMissing
from podcorder_agent.recorder.hooks import DEBUG_LICENSE, LICENSE, SOURCES, Hook, read_hooks
from podcorder_agent.recorder.ladders import RAW_OBJECTS, Rung
from podcorder_agent.recorder.loaders import (
    IDENTITIES_OBJECT,
    TRIAL_RING_BYTES,
    CoreLoader,
    LoadedProgram,
    RungRefused,
    constants,
    prepare,
)
from podcorder_agent.recorder.pins import Pins
from podcorder_agent.recorder.raw_tracepoints import RawTracepoint

_RAW_TRACEPOINT_KIND = "tracepoint"
_TELL_IDENTITY = "tell_identity"


class BccLoader(CoreLoader):
    """Sources compiled on the node in a child that ends, loaded as raw tracepoints. Maps are made from the objects."""

    name = "bcc"
    _objects_have_programs = False

    def __init__(
        self,
        objects: Path | None = None,
        sources: Path | None = None,
        trace: str = "",
        *,
        headers: Headers | None = None,
        kept: Path = cache.DIRECTORY,
    ) -> None:
        """`headers`: what describes the kernel's types; without, it does so itself. `kept`: for compiled programs."""
        super().__init__(objects, trace)
        self._sources = (sources or SOURCES).absolute()
        self.headers = headers
        self.needs_kernel_types = headers is None
        self._kept = kept
        self._compiled: dict[int, dict[str, Compiled]] = {}
        self._failures: dict[int, str] = {}

    def prepare(self, ring_bytes: int, meanwhile: Callable[[], bool]) -> None:
        """Compile all programs that there are sources of, unless an earlier recorder did."""
        request = self.make_request(ring_bytes)
        found = cache.find(request, self._kept)
        if found is None:
            try:
                found = compile_apart(request, meanwhile)
            except CompilationFailed as error:
                self._failures[ring_bytes] = str(error)
                return
            cache.keep(request, found, self._kept)
        self._compiled[ring_bytes] = found

    def make_request(self, ring_bytes: int) -> Request:
        """For the compiler: every program that can be a raw tracepoint, and the layout of each object's maps."""
        objects = {}
        for source in sorted(self._sources.glob("*.bpf.c")):
            name = source.name.removesuffix(".bpf.c")
            programs = [each for each, hook in read_hooks(source).items() if hook.kind == _RAW_TRACEPOINT_KIND]
            with self._open(name if name == IDENTITIES_OBJECT else RAW_OBJECTS + name) as opened:
                layouts = {
                    each.name: MapLayout(key_bytes=each.key_bytes, value_bytes=each.value_bytes)
                    for each in opened.maps()
                    if not each.internal
                }
            objects[name] = Wanted(programs=programs, maps=layouts)
        return Request(
            sources=str(self._sources),
            headers=[str(each) for each in self.headers or ()],
            objects=objects,
            constants=constants(ring_bytes, self.trace),
            license=DEBUG_LICENSE if self.trace else LICENSE,
        )

    def list_identities(self) -> bytes:
        """An iterator is the kernel's types' alone: without them each process is asked for by its descriptor."""
        return list_processes(self.identity_program) if self.headers else super().list_identities()

    @cached_property
    def identity_program(self) -> RawTracepoint:
        """What `list_processes()` runs; raises LoadRefused."""
        try:
            return self._load(IDENTITIES_OBJECT, _TELL_IDENTITY, [], next(iter(self._compiled), TRIAL_RING_BYTES))
        except RungRefused as error:
            raise LoadRefused(f"The processes cannot be listed ({error}): run `podcorder doctor`.") from None

    def verify(self, rung: Rung) -> dict[str, str]:
        with self._programs(rung, None, TRIAL_RING_BYTES, libbpf.LOG_STATISTICS) as programs:
            return {name: program.log for name, program in programs.items()}

    @contextmanager
    def _loaded(self, rung: Rung, pins: Pins | None, ring_bytes: int) -> Iterator[Mapping[str, LoadedProgram]]:
        with self._programs(rung, pins, ring_bytes) as programs:
            yield programs

    @contextmanager
    def _programs(
        self, rung: Rung, pins: Pins | None, ring_bytes: int, log_level: int = 0
    ) -> Iterator[dict[str, RawTracepoint]]:
        if not rung.raw:
            raise RungRefused("it needs the kernel's types, and bcc's programs here are plain raw tracepoints")
        with ExitStack() as stack:
            opened = stack.enter_context(self._open(rung.object))
            prepare(opened, set(), pins, ring_bytes)
            opened.load()
            libbpf.log.clear()  # what it says of maps explains no program
            descriptors = [each.fd for each in opened.maps() if not each.internal]
            loaded = {}
            for name in sorted(rung.programs.keys() | rung.handlers.values()):
                loaded[name] = self._load(rung.source, name, descriptors, ring_bytes, log_level)
                stack.callback(loaded[name].close)
            yield loaded

    def _load(
        self, source: str, name: str, descriptors: list[int], ring_bytes: int, log_level: int = 0
    ) -> RawTracepoint:
        """Raises RungRefused, ObjectMissing."""
        hook = self._find_hook(source, name)
        if ring_bytes not in self._compiled and ring_bytes not in self._failures:
            self.prepare(ring_bytes, lambda: True)
        if ring_bytes in self._failures:
            raise RungRefused(self._failures[ring_bytes])
        compiled = self._compiled[ring_bytes][source]
        if name in compiled["refusals"]:
            raise RungRefused(compiled["refusals"][name])
        code = insert_maps(bytes.fromhex(compiled["instructions"][name]), descriptors)
        try:
            return RawTracepoint(name, hook.target, code, log_level, DEBUG_LICENSE if self.trace else LICENSE)
        except OSError as error:
            raise RungRefused(error.strerror) from None

    def _find_hook(self, source: str, name: str) -> Hook:
        """Raises ObjectMissing, or RungRefused where the source has no such program."""
        path = self._sources / f"{source}.bpf.c"
        if not path.exists():
            raise ObjectMissing(f"{path} is missing: install the package again.")
        hook = read_hooks(path).get(name)
        if hook is None:
            raise RungRefused(f"{path.name} has no program {name}")
        return hook
