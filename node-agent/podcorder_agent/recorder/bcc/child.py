"""The compiler's child as its parent sees it: it may take its time, and the parent has other things to do."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from podcorder_agent.recorder.bcc.compiler import Compiled, Request
from podcorder_agent.recorder.errors import CompilationFailed

_SECONDS = 900
"""That it may take: an emulated machine needs 100."""
_POLL_SECONDS = 0.1


def compile_apart(request: Request, meanwhile: Callable[[], bool]) -> dict[str, Compiled]:
    """By object, from a child that ends; raises CompilationFailed.

    `meanwhile` is called ten times a second; once it says no, the child is ended.
    """
    command = [sys.executable, "-P", "-m", "podcorder_agent.recorder.bcc"]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
        given.write(json.dumps(request).encode())
        given.seek(0)
        child = subprocess.Popen(command, stdin=given, stdout=answer, stderr=said)
        try:
            _wait(child, meanwhile)
        finally:
            child.kill()
            child.wait()
        if child.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines()
            raise CompilationFailed(lines[-1] if lines else f"the compiler ended with {child.returncode}")
        answer.seek(0)
        compiled: Any = json.load(answer)
        return dict(compiled)


def _wait(child: subprocess.Popen[bytes], meanwhile: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while child.poll() is None:
        if not meanwhile():
            raise CompilationFailed("the recorder was told to stop before its programs were compiled")
        if time.monotonic() > deadline:
            raise CompilationFailed(f"bcc has not compiled the programs in {_SECONDS} s")
        try:
            child.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
