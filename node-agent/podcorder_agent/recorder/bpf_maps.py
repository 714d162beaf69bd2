"""What the kernel holds by a descriptor or a pin: maps, and what it counts of programs."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from ctypes import c_uint32
from functools import cache
from pathlib import Path

from podcorder_agent.recorder.libbpf import check, library

_PROG_INFO_BYTES = 256
_RECURSION_MISSES_OFFSET = 208
"""Of `recursion_misses` in `struct bpf_prog_info` (include/uapi/linux/bpf.h); kernels before 5.12 leave it zero."""
_MAP_INFO = struct.Struct("=6I16s")
MAP_TYPE_ARRAY = 2
_EXISTS = 17


class Map:
    """A map by its descriptor. Keys and values are bytes as the kernel holds them."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        info = ctypes.create_string_buffer(_MAP_INFO.size)
        size = c_uint32(_MAP_INFO.size)
        check(library().bpf_obj_get_info_by_fd(fd, info, ctypes.byref(size)), "map info")
        _, _, self.key_size, self.value_size, self.max_entries, _, _ = _MAP_INFO.unpack(info.raw)
        self._value = ctypes.create_string_buffer(max(self.value_size, 1))

    @classmethod
    def open(cls, path: Path) -> Map:
        """The map pinned at `path`; raises OSError."""
        return cls(open_pinned(path))

    def close(self) -> None:
        os.close(self.fd)

    def lookup(self, key: bytes) -> bytes | None:
        result = library().bpf_map_lookup_elem(self.fd, key, self._value)
        return self._value.raw if result == 0 else None

    def lookup_each_cpu(self, key: bytes) -> list[bytes]:
        """One value for each possible CPU of a per-CPU map."""
        stride = (self.value_size + 7) & ~7
        count = possible_cpus()
        buffer = ctypes.create_string_buffer(stride * count)
        check(library().bpf_map_lookup_elem(self.fd, key, buffer), "lookup")
        return [buffer.raw[at : at + self.value_size] for at in range(0, stride * count, stride)]

    def update(self, key: bytes, value: bytes) -> None:
        check(library().bpf_map_update_elem(self.fd, key, value, 0), "update")

    def delete(self, key: bytes) -> bool:
        """Whether the key was there."""
        return bool(library().bpf_map_delete_elem(self.fd, key) == 0)

    def list_keys(self) -> list[bytes]:
        """All keys; at most `max_entries`, since a changing hash may start its walk anew."""
        found: dict[bytes, None] = {}
        following = ctypes.create_string_buffer(self.key_size)
        current: bytes | None = None
        while len(found) <= self.max_entries and library().bpf_map_get_next_key(self.fd, current, following) == 0:
            current = following.raw
            if current in found:
                break
            found[current] = None
        return list(found)


def open_pinned(path: Path) -> int:
    """A descriptor of whatever is pinned at `path`; raises OSError."""
    return check(library().bpf_obj_get(os.fsencode(path)), str(path))


def pin(fd: int, path: Path) -> None:
    """Pin whatever the descriptor is of; raises OSError."""
    check(library().bpf_obj_pin(fd, os.fsencode(path)), f"pin {path}")


def make_array(path: Path, name: str, value_size: int) -> None:
    """An array map of one value, pinned at `path`; nothing is done where there is one already."""
    if path.exists():
        return
    fd = check(library().bpf_map_create(MAP_TYPE_ARRAY, name.encode(), 4, value_size, 1, None), f"map {name}")
    try:
        result = library().bpf_obj_pin(fd, os.fsencode(path))
        if result != -_EXISTS:
            check(result, f"pin {path}")
    finally:
        os.close(fd)


def takes_maps_of(kind: int) -> bool:
    """Whether the kernel knows a kind of map that has neither keys nor values, such as ring buffers."""
    fd = library().bpf_map_create(kind, b"", 0, 0, os.sysconf("SC_PAGESIZE"), None)
    if fd >= 0:
        os.close(fd)
    return bool(fd != -errno.EINVAL)


def recursion_misses(path: Path) -> int:
    """How often the kernel skipped a run of the program pinned at `path`."""
    fd = open_pinned(path)
    try:
        info = ctypes.create_string_buffer(_PROG_INFO_BYTES)
        size = c_uint32(_PROG_INFO_BYTES)
        check(library().bpf_obj_get_info_by_fd(fd, info, ctypes.byref(size)), str(path))
        return int(struct.unpack_from("=Q", info.raw, _RECURSION_MISSES_OFFSET)[0])
    finally:
        os.close(fd)


@cache
def possible_cpus() -> int:
    return check(library().libbpf_num_possible_cpus(), "possible CPUs")
