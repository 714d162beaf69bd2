"""Where what was downloaded or built is kept, outside the tree."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_cache(name: str) -> Iterator[Path]:
    """The directory of this name, for one user at a time: in $PODCORDER_CACHE, else $XDG_CACHE_HOME/podcorder, else
    ~/.cache/podcorder."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("PODCORDER_CACHE") or base / "podcorder") / name
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache
