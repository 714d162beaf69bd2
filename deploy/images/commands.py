"""Tools that the build runs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from images.errors import CommandFailed


def run(
    *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, data: bytes = b""
) -> bytes:
    """What the command writes; raises CommandFailed with the end of its complaint."""
    try:
        done = subprocess.run(command, cwd=cwd, env=env, input=data, capture_output=True)
    except FileNotFoundError as error:
        raise CommandFailed(f"{command[0]} is not installed: run make setup on a Debian.") from error
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip()[-1000:]
        raise CommandFailed(f"{command[0]} {command[1]} failed with exit code {done.returncode}: {complaint}")
    return done.stdout
