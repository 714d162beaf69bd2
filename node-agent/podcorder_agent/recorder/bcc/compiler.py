"""What the short-lived child does: sources to instructions, with the running kernel's types."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Protocol, TypedDict

from podcorder_agent.recorder.bcc.clang import SourceRefused, compile_text
from podcorder_agent.recorder.bcc.header_types import HeaderTypes
from podcorder_agent.recorder.bcc.headers import Headers
from podcorder_agent.recorder.bcc.kernel_header import PlacedHeader, Types, list_fields, place_fields
from podcorder_agent.recorder.bcc.sources import KERNEL_STUBS, PREFIX, MapLayout, write_main, write_maps
from podcorder_agent.recorder.hooks import Tracepoints, find_mismatch, read_hooks
from podcorder_agent.recorder.instructions import INSTRUCTION
from podcorder_agent.recorder.kernel_types import KernelTypes

_TARGETS = {"x86_64": "x86", "aarch64": "arm64"}
_HELPERS = ("task_pt_regs",)
"""Those that a source asks for by HAS_HELPER()."""


class Described(Types, Tracepoints, Protocol):
    """The kernel's types, from wherever they are described."""

    def has_helper(self, name: str) -> bool: ...


class Wanted(TypedDict):
    """One object's programs."""

    programs: list[str]
    maps: dict[str, MapLayout]


class Request(TypedDict):
    """All programs that are wanted."""

    sources: str
    headers: list[str]
    """`Headers`, or empty: the kernel has BTF."""
    objects: dict[str, Wanted]
    constants: dict[str, int]
    license: str
    """Says which build it is: see sources.py."""


class Compiled(TypedDict):
    """What became of one object's programs; each is in one of both."""

    instructions: dict[str, str]
    """Hexadecimal. A map is named by its place among the object's, in the order of the request."""
    refusals: dict[str, str]
    """Why there are none."""


def compile_objects(request: Request) -> dict[str, Compiled]:
    """By object; raises CompilationFailed where the kernel's types are not to be had, BtfMissing, BccMissing."""
    sources = Path(request["sources"])
    kernel = (sources / "kernel.h").read_text()
    types: Described
    if request["headers"]:
        headers = Headers(*map(Path, request["headers"]))
        types = HeaderTypes(headers, (sources / "kernel_headers.h").read_text(), list_fields(kernel))
    else:
        types = KernelTypes()
    header = place_fields(kernel, types)
    compiled = {}
    with tempfile.TemporaryDirectory(prefix="podcorder-bcc-") as directory:
        include = Path(directory, "include")
        _write_headers(include, {**KERNEL_STUBS, "podcorder/kernel.h": header.text})
        for name, wanted in request["objects"].items():
            _write_headers(include, {"podcorder/maps.h": write_maps(wanted["maps"], request["constants"])})
            compiled[name] = _compile_object(name, request, types, header, Path(directory))
    return compiled


def _write_headers(include: Path, headers: dict[str, str]) -> None:
    for name, text in headers.items():
        (include / name).parent.mkdir(parents=True, exist_ok=True)
        (include / name).write_text(text)


def _compile_object(name: str, request: Request, types: Described, header: PlacedHeader, kernel: Path) -> Compiled:
    sources, programs = Path(request["sources"]), request["objects"][name]["programs"]
    hooks = read_hooks(sources / f"{name}.bpf.c")
    compiled = Compiled(instructions={}, refusals={})
    for program in programs:
        mismatch = find_mismatch(hooks[program], types)
        if mismatch:
            compiled["refusals"][program] = mismatch
    remaining = [each for each in programs if each not in compiled["refusals"]]
    main = write_main(name, remaining, request["license"])
    try:
        codes = compile_text(main, [PREFIX + each for each in remaining], _flags(sources, types), kernel)
    except SourceRefused as error:
        reason = f"bcc cannot compile {name}.bpf.c ({error.first_error or 'it does not say why'})"
        compiled["refusals"] |= dict.fromkeys(remaining, reason)
        return compiled
    for program in remaining:
        code = codes[PREFIX + program]
        missing = _find_missing(code, header)
        if missing:
            compiled["refusals"][program] = f"this kernel has no {missing}, which {program} needs"
        else:
            compiled["instructions"][program] = code.hex()
    return compiled


def _flags(sources: Path, types: Described) -> list[str]:
    target = f"-D__TARGET_ARCH_{_TARGETS[os.uname().machine]}"
    helpers = (f"-DHAS_HELPER_{name}={int(types.has_helper(name))}" for name in _HELPERS)
    return ["-DLOADER_BCC", "-Wno-int-conversion", target, f"-I{sources}", *helpers]


def _find_missing(code: bytes, header: PlacedHeader) -> str:
    """A field that a program reads and this kernel does not have, or none."""
    return next(
        (missing for *_, number in INSTRUCTION.iter_unpack(code) if (missing := header.find_missing(number))), ""
    )
