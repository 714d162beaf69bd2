"""Compiled programs kept from one recorder to the next, in a directory that nobody but us writes to."""

from __future__ import annotations

import json
import os
import stat
from hashlib import blake2b
from pathlib import Path
from typing import Any

from podcorder_agent.recorder.bcc.compiler import Compiled, Request
from podcorder_agent.recorder.bcc.library import DEBIAN_MODULE

DIRECTORY = Path("/var/cache/podcorder")
_OWN_CODE = Path(__file__).parent
_KEPT = 8
"""Answers, the newest: each is some 200 KiB."""


def find(request: Request, directory: Path = DIRECTORY) -> dict[str, Compiled] | None:
    """What the compiler answered to the same request, on the same kernel."""
    if not _is_ours(directory):
        return None
    try:
        found: Any = json.loads((directory / _name(request)).read_text())
    except (OSError, ValueError):
        return None
    return dict(found)


def keep(request: Request, compiled: dict[str, Compiled], directory: Path = DIRECTORY) -> None:
    """For the next recorder; nothing is kept where the directory cannot be made or is not ours alone."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        if not _is_ours(directory):
            return
        path = directory / _name(request)
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(compiled))
        new.rename(path)
        for old in sorted(directory.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True)[_KEPT:]:
            old.unlink()
    except OSError:
        return  # it is compiled again


def _is_ours(directory: Path) -> bool:
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _name(request: Request) -> str:
    """Of everything that an answer depends on: one build of a kernel has one set of types."""
    sources = Path(request["sources"])
    digest = blake2b(json.dumps([request, os.uname().release, os.uname().version]).encode(), digest_size=16)
    for path in (*sorted(sources.iterdir()), *sorted(_OWN_CODE.glob("*.py")), DEBIAN_MODULE.with_name("version.py")):
        digest.update(f"\0{path.name}\0".encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()
