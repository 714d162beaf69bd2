"""What the short-lived child does: sources to instructions, with the running kernel's types and no kernel headers."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path
from typing import TypedDict

from podcorder_agent.recorder.bcc.kernel_header import PlacedHeader, place_fields
from podcorder_agent.recorder.bcc.kernel_types import VOID, KernelTypes
from podcorder_agent.recorder.bcc.library import import_bcc
from podcorder_agent.recorder.bcc.sources import KERNEL_STUBS, PREFIX, Hook, MadeMap, read_hooks, write_main, write_maps
from podcorder_agent.recorder.errors import CompilationFailed

_TARGETS = {"x86_64": "x86", "aarch64": "arm64"}
_INSTRUCTION = struct.Struct("=BBhi")
"""`struct bpf_insn`: operation, registers, offset, number."""
_OVERRIDES = ("ARCH", "BCC_LINUX_VERSION_CODE")
"""Of the environment, by which bcc would compile for another machine or kernel."""
_HELPERS = ("task_pt_regs",)
"""Those that a source asks for by HAS_HELPER()."""


class Request(TypedDict):
    """One object's programs."""

    sources: str
    object: str
    programs: list[str]
    maps: dict[str, MadeMap]
    constants: dict[str, int]
    license: str
    """Says which build it is: see sources.py."""


def compile_programs(request: Request) -> dict[str, bytes]:
    """Instructions by program; raises CompilationFailed, BtfMissing, BccMissing."""
    sources = Path(request["sources"])
    types = KernelTypes()
    hooks = read_hooks(sources / f"{request['object']}.bpf.c")
    for name in request["programs"]:
        _check_arguments(hooks[name], types)
    header = place_fields((sources / "kernel.h").read_text(), types)
    with tempfile.TemporaryDirectory(prefix="podcorder-bcc-") as directory:
        include = Path(directory, "include")
        _write_headers(include, header.text, write_maps(request["maps"], request["constants"]))
        instructions = _run_bcc(directory, request, _flags(sources, types))
    for name, code in instructions.items():
        _check_fields(name, code, header)
    return instructions


def _write_headers(include: Path, kernel: str, maps: str) -> None:
    headers = KERNEL_STUBS | {"podcorder/kernel.h": kernel, "podcorder/maps.h": maps}
    for name, text in headers.items():
        (include / name).parent.mkdir(parents=True, exist_ok=True)
        (include / name).write_text(text)


def _flags(sources: Path, types: KernelTypes) -> list[str]:
    target = f"-D__TARGET_ARCH_{_TARGETS[os.uname().machine]}"
    helpers = (f"-DHAS_HELPER_{name}={int(types.has_helper(name))}" for name in _HELPERS)
    return ["-DLOADER_BCC", "-Wno-int-conversion", target, f"-I{sources}", *helpers]


def _run_bcc(directory: str, request: Request, flags: list[str]) -> dict[str, bytes]:
    """With `directory` in place of the kernel's own headers."""
    for name in _OVERRIDES:
        os.environ.pop(name, None)
    os.environ["BCC_KERNEL_SOURCE"] = directory
    module = import_bcc()
    try:
        compiled = module.BPF(text=write_main(request["object"], request["programs"], request["license"]), cflags=flags)
    except Exception:  # bcc raises nothing more exact, and prints why
        raise CompilationFailed(f"bcc cannot compile {request['object']}.bpf.c") from None
    return {name: compiled.dump_func(PREFIX + name) for name in request["programs"]}


def _check_arguments(hook: Hook, types: KernelTypes) -> None:
    """A raw tracepoint's arguments are bare numbers to the verifier: what they point to is looked at here."""
    given = types.pointees(hook.target)
    if given is None:
        raise CompilationFailed(f"this kernel has no tracepoint {hook.target}")
    for wanted, found in zip(hook.pointees, [*given, *[""] * len(hook.pointees)], strict=False):
        if wanted and found not in (wanted, VOID):
            raise CompilationFailed(f"the tracepoint {hook.target} hands over no struct {wanted} here")


def _check_fields(name: str, code: bytes, header: PlacedHeader) -> None:
    """Refuse a program that reads what this kernel does not have."""
    for *_, number in _INSTRUCTION.iter_unpack(code):
        missing = header.find_missing(number)
        if missing:
            raise CompilationFailed(f"this kernel has no {missing}, which {name} needs")
