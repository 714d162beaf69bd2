"""A file system in memory, and the layer of an image that it makes: the same files give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

_COMPRESSION = 6


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, a directory or a symbolic link, all root's; what it is says the type in `mode`."""

    mode: int
    data: bytes = b""
    """Of a file its bytes, of a link its target."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A tree as an image holds it."""

    blob: bytes
    """Compressed."""
    digest: str
    """Of the blob, as `sha256:...`."""
    diff_id: str
    """Of the tar file before it was compressed."""
    size: int
    """Bytes of all files, unpacked."""


class Tree:
    """Paths have no first slash; parents come by themselves."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def add_file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self._add(path, Entry(stat.S_IFREG | mode, data))

    def add_directory(self, path: str, mode: int = 0o755) -> None:
        self._add(path, Entry(stat.S_IFDIR | mode))

    def add_link(self, path: str, target: str) -> None:
        self._add(path, Entry(stat.S_IFLNK | 0o777, target.encode()))

    def read(self, path: str) -> bytes:
        """Raises KeyError."""
        return self._entries[path].data

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Path and bytes of each file, sorted."""
        for path, entry in sorted(self._entries.items()):
            if stat.S_ISREG(entry.mode):
                yield path, entry.data

    def remove(self, patterns: Iterable[str]) -> None:
        """What a pattern of `fnmatch` matches as a whole, and directories that held nothing else."""
        patterns = tuple(patterns)
        removed = {path for path in self._entries if any(fnmatchcase(path, pattern) for pattern in patterns)}
        emptied = {str(parent) for path in removed for parent in PurePosixPath(path).parents}
        for path in removed:
            del self._entries[path]
        occupied = {str(parent) for path in self._entries for parent in PurePosixPath(path).parents}
        for path in emptied - occupied:
            self._entries.pop(path, None)

    def make_layer(self, time: int) -> Layer:
        """`time`: seconds since 1970, of every file."""
        plain = io.BytesIO()
        size = 0
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, entry in sorted(self._entries.items()):
                member = tarfile.TarInfo(path)
                member.mode, member.mtime = stat.S_IMODE(entry.mode), time
                if stat.S_ISREG(entry.mode):
                    member.size = len(entry.data)
                    size += member.size
                    archive.addfile(member, io.BytesIO(entry.data))
                elif stat.S_ISDIR(entry.mode):
                    member.type = tarfile.DIRTYPE
                    archive.addfile(member)
                else:
                    member.type, member.linkname = tarfile.SYMTYPE, entry.data.decode()
                    archive.addfile(member)
        blob = gzip.compress(plain.getbuffer(), compresslevel=_COMPRESSION, mtime=0)
        return Layer(blob, digest_of(blob), digest_of(plain.getbuffer()), size)

    def _add(self, path: str, entry: Entry) -> None:
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                self._entries.setdefault(str(parent), Entry(stat.S_IFDIR | 0o755))
        self._entries[path] = entry


def digest_of(data: bytes | memoryview) -> str:
    """As OCI writes digests."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
