"""Where delivery stands and what the interpreter knew there: `checkpoint.json`, replaced atomically."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podcorder_agent.journal.errors import CheckpointDamaged, JournalVersion, explain
from podcorder_agent.journal.files import create_file
from podcorder_agent.journal.frames import Position

CHECKPOINT_NAME = "checkpoint.json"
CHECKPOINT_VERSION = 1
NEW_NAME = "checkpoint.new"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything before `position` is delivered; `state` is the interpreter's own snapshot of there, or None."""

    position: Position
    boot_id: str
    state: dict[str, Any] | None


def read_checkpoint(directory: Path) -> Checkpoint | None:
    """The journal's checkpoint, None where nothing was acknowledged yet.

    Raises CheckpointDamaged, JournalVersion, or what `explain` says of the directory.
    """
    path = directory / CHECKPOINT_NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        if directory.is_dir():
            return None
        raise explain(error, directory) from error
    except OSError as error:
        raise explain(error, directory) from error
    try:
        data = json.loads(text)
        version, position, boot_id, state = data["version"], data["position"], data["boot_id"], data["state"]
        if version != CHECKPOINT_VERSION:
            raise JournalVersion(
                f"{path} has version {version}, this program knows {CHECKPOINT_VERSION}: use the release that wrote "
                "it, or remove it to have the journal delivered anew."
            )
        if not (isinstance(boot_id, str) and isinstance(state, dict | None)):
            raise ValueError("a field has another type")
        return Checkpoint(Position.parse(position), boot_id, state)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointDamaged(f"{path} is damaged: remove it to have the journal delivered anew.") from error


def write_checkpoint(directory: Path, checkpoint: Checkpoint, group: int | None) -> None:
    """Replace the journal's checkpoint: after a crash either the old or the new one is there. OSError as of write."""
    text = json.dumps(
        {
            "version": CHECKPOINT_VERSION,
            "position": str(checkpoint.position),
            "boot_id": checkpoint.boot_id,
            "state": checkpoint.state,
        },
        separators=(",", ":"),
    )
    new = directory / NEW_NAME
    new.unlink(missing_ok=True)
    try:
        with os.fdopen(create_file(new, group), "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fdatasync(file.fileno())
        new.rename(directory / CHECKPOINT_NAME)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
