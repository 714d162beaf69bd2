"""bcc's own compiler, asked for instructions: what it prints where it refuses is caught."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from podcorder_agent.recorder.bcc.headers import VARIABLE
from podcorder_agent.recorder.bcc.library import import_bcc

_OVERRIDES = ("ARCH", "BCC_LINUX_VERSION_CODE")
"""Of the environment, by which bcc would compile for another machine or kernel."""
_STDERR = 2


class SourceRefused(Exception):
    """`str()` is all that the compiler printed."""

    @property
    def first_error(self) -> str:
        """Its first complaint, without its place; empty: it said nothing."""
        return next((line.rpartition("error: ")[2] for line in str(self).splitlines() if "error: " in line), "")


def compile_text(text: str, functions: Iterable[str], flags: list[str], kernel: Path) -> dict[str, bytes]:
    """Instructions by function; raises SourceRefused, BccMissing.

    `kernel`: the tree of kernel headers, from which bcc takes include/linux/kconfig.h and what its own headers include.
    """
    bcc = import_bcc()
    with _environment(kernel), _printed() as output:
        try:
            compiled = bcc.BPF(text=text, cflags=flags)
        except Exception:  # bcc raises nothing more exact, and prints why
            output.seek(0)
            raise SourceRefused(output.read().decode(errors="replace")) from None
    try:
        return {name: compiled.dump_func(name.encode()) for name in functions}
    finally:
        compiled.cleanup()  # else it lives as long as the process, with all that LLVM made for it


@contextmanager
def _environment(kernel: Path) -> Iterator[None]:
    """What bcc takes from there, for as long as it compiles."""
    before = dict(os.environ)
    for name in _OVERRIDES:
        os.environ.pop(name, None)
    os.environ[VARIABLE] = str(kernel)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _printed() -> Iterator[IO[bytes]]:
    """What is written to stderr meanwhile, by whatever language."""
    own = os.dup(_STDERR)
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), _STDERR)
        try:
            yield output
        finally:
            os.dup2(own, _STDERR)
            os.close(own)
