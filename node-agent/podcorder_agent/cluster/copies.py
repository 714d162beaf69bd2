"""What the API server told of a collection, object by object in a directory that outlives the process: an exporter that
is started while the API server is away begins with that.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

from podcorder_agent.cluster.api import Object
from podcorder_agent.cluster.streams import Change, Drop, Key, Listed, Put

logger = logging.getLogger(__name__)

_COMPLETE = "complete"
"""A file of this name: what is here was a whole list at some time, and has been kept in step since."""
_SUFFIX = ".z"


class LocalCopy:
    """Stands between a stream and who is told by it."""

    def __init__(self, directory: Path, tell: Callable[[Change], None], patience: float = 5.0) -> None:
        """`directory`: of this collection alone; it is made where it is not there. `patience`: how many seconds the API
        server's own list is waited for."""
        self._directory = directory
        self._forward = tell
        self._patience = patience
        self._listed = False
        self._failed = False
        self._lock = threading.Lock()

    def tell(self, change: Change) -> None:
        """From the stream: pass it on and keep it."""
        with self._lock:
            self._forward(change)
            try:
                self._keep(change)
            except OSError as error:
                if not self._failed:
                    logger.warning("%s: without it a restart waits for the API server.", error)
                self._failed = True

    def run(self, stop: threading.Event) -> None:
        """Tell of what was kept, unless the API server has told of all there is soon enough."""
        if stop.wait(self._patience):
            return
        with self._lock:
            if self._listed or not (self._directory / _COMPLETE).exists():
                return
            logger.warning("The API server does not answer: going on with %s until it does.", self._directory)
            found = dict(filter(None, map(_read, self._directory.glob(f"*{_SUFFIX}"))))
            for each in found.values():
                self._forward(Put(each))
            self._forward(Listed(frozenset(found)))

    def _keep(self, change: Change) -> None:
        match change:
            case Put(each):
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                _write(self._place(_key_of(each)), each)
            case Drop(key):
                self._place(key).unlink(missing_ok=True)
            case Listed(keys):
                self._listed = True
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                for path in set(self._directory.glob(f"*{_SUFFIX}")) - set(map(self._place, keys)):
                    path.unlink()
                (self._directory / _COMPLETE).touch()

    def _place(self, key: Key) -> Path:
        return self._directory / (hashlib.sha256("/".join(key).encode()).hexdigest() + _SUFFIX)


def _key_of(each: Object) -> Key:
    metadata = each["metadata"]
    return str(metadata.get("namespace") or ""), str(metadata["name"])


def _write(path: Path, each: Object) -> None:
    """Atomically."""
    new = path.with_suffix(".new")
    new.write_bytes(zlib.compress(json.dumps(each).encode(), level=1))
    new.replace(path)


def _read(path: Path) -> tuple[Key, Object] | None:
    try:
        each = json.loads(zlib.decompress(path.read_bytes()))
        return _key_of(each), each
    except (OSError, ValueError, LookupError, TypeError, zlib.error) as error:
        logger.warning("%s cannot be read, and is left out: %s", path, error)
        return None
