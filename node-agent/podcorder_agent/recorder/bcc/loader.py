"""The loader that compiles: the same sources, maps, pins and ladders as the objects have."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from podcorder_agent.recorder import libbpf
from podcorder_agent.recorder.bcc.compiler import Request
from podcorder_agent.recorder.bcc.programs import RawTracepoint
from podcorder_agent.recorder.bcc.sources import DEBUG_LICENSE, LICENSE, SOURCES, Hook, MadeMap, read_hooks
from podcorder_agent.recorder.errors import ObjectMissing
from podcorder_agent.recorder.ladders import Rung
from podcorder_agent.recorder.loaders import (
    TRIAL_RING_BYTES,
    CoreLoader,
    LoadedProgram,
    RungRefused,
    constants,
    prepare,
)
from podcorder_agent.recorder.pins import Pins

_RAW_TRACEPOINT_KIND = "tp_btf"
_COMPILER_SECONDS = 120


class BccLoader(CoreLoader):
    """Sources compiled on the node in a child that ends, loaded as raw tracepoints. Maps are made from the objects."""

    name = "bcc"
    _objects_have_programs = False

    def __init__(self, objects: Path | None = None, sources: Path | None = None, trace: str = "") -> None:
        super().__init__(objects, trace)
        self._sources = (sources or SOURCES).absolute()

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
        names = sorted(rung.programs.keys() | rung.handlers.values())
        hooks = self._hooks(rung.object, names)
        with ExitStack() as stack:
            opened = stack.enter_context(self._open(rung.object))
            prepare(opened, set(), pins, ring_bytes)
            opened.load()
            libbpf.log.clear()  # what it says of maps explains no program
            request = make_request(self._sources, rung.object, names, opened, ring_bytes, self.trace)
            loaded = {}
            for name, instructions in compile_apart(request).items():
                try:
                    loaded[name] = RawTracepoint(name, hooks[name].target, instructions, log_level, request["license"])
                except OSError as error:
                    raise RungRefused(error.strerror) from None
                stack.callback(loaded[name].close)
            yield loaded

    def _hooks(self, object_name: str, names: list[str]) -> dict[str, Hook]:
        """Raises ObjectMissing, or RungRefused where a program is for another hook than a raw tracepoint."""
        source = self._sources / f"{object_name}.bpf.c"
        if not source.exists():
            raise ObjectMissing(f"{source} is missing: install the package again.")
        hooks = read_hooks(source)
        for name in names:
            if name not in hooks:
                raise RungRefused(f"{source.name} has no program {name}")
            if hooks[name].kind != _RAW_TRACEPOINT_KIND:
                raise RungRefused(f"{name} is for {hooks[name].kind}, and bcc's programs here are raw tracepoints")
        return hooks


def make_request(
    sources: Path, object_name: str, programs: list[str], opened: libbpf.Object, ring_bytes: int, trace: str = ""
) -> Request:
    """For the compiler; the object's maps have been made."""
    maps = {}
    for each in opened.maps():
        if not each.internal:
            made = libbpf.Map(each.fd)
            maps[each.name] = MadeMap(fd=each.fd, key_bytes=made.key_size, value_bytes=made.value_size)
    return Request(
        sources=str(sources),
        object=object_name,
        programs=programs,
        maps=maps,
        constants=constants(ring_bytes, trace),
        license=DEBUG_LICENSE if trace else LICENSE,
    )


def compile_apart(request: Request) -> dict[str, bytes]:
    """Instructions by program, from a child of our own; raises RungRefused."""
    command = [sys.executable, "-P", "-m", "podcorder_agent.recorder.bcc"]
    try:
        child = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, timeout=_COMPILER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise RungRefused(f"bcc has not compiled {request['object']}.bpf.c in {_COMPILER_SECONDS} s") from None
    if child.returncode:
        raise RungRefused(_reason(child.stderr.splitlines()))
    return {name: bytes.fromhex(code) for name, code in json.loads(child.stdout).items()}


def _reason(lines: list[str]) -> str:
    """The child's own last word, and clang's first."""
    first = next((line.rpartition("error: ")[2] for line in lines if "error: " in line), "")
    last = lines[-1] if lines else "the compiler ended without a word"
    return f"{last} ({first})" if first else last
