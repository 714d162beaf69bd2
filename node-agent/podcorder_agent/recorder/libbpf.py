"""A thin ctypes wrapper over libbpf's stable 1.x interface: objects, programs, links, maps, and nothing else.

libbpf 1.x reports errors as -errno, or as NULL with errno set. What it has to say goes into a bounded buffer: its last
lines explain a refusal.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
from collections import deque
from collections.abc import Iterator
from ctypes import POINTER, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from podcorder_agent.recorder.errors import LibraryMissing

_LOG_LINES = 200
_LOG_MESSAGE_BYTES = 64 * 1024
_LEVEL_DEBUG = 2
_PROG_INFO_BYTES = 256
_RECURSION_MISSES_OFFSET = 208
"""Of `recursion_misses` in `struct bpf_prog_info` (include/uapi/linux/bpf.h); kernels before 5.12 leave it zero."""
_MAP_INFO = struct.Struct("=6I16s")
_DATASEC = 15
MAP_TYPE_ARRAY = 2
LOG_STATISTICS = 4
"""Of what the verifier says: how much work a program was (BPF_LOG_STATS; Linux 5.2)."""
_STATISTICS_BYTES = 4096
_EXISTS = 17

_MISSING = (
    (re.compile(r"failed to find kernel BTF type ID of '(\w+)'"), "this kernel has no tracepoint or function {}"),
    (re.compile(r"failed to resolve CO-RE relocation <\w+> \[\d+\] ([\w .]+) "), "this kernel has no {}"),
    (re.compile(r"unknown func (bpf_probe_read)"), "this kernel is locked down (confidentiality)"),
)
"""Of libbpf's log and the verifier's: what the kernel lacks, and how that is said."""

log: deque[str] = deque(maxlen=_LOG_LINES)
"""What libbpf said last, one line each, oldest first."""

_PrintFunction = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)

_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "bpf_object__open_file": (c_void_p, [c_char_p, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__next_map": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__next_program": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__btf": (c_void_p, [c_void_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_map__type": (c_int, [c_void_p]),
    "bpf_map__name": (c_char_p, [c_void_p]),
    "bpf_map__key_size": (c_uint32, [c_void_p]),
    "bpf_map__value_size": (c_uint32, [c_void_p]),
    "bpf_map__is_internal": (c_bool, [c_void_p]),
    "bpf_map__initial_value": (c_void_p, [c_void_p, POINTER(c_size_t)]),
    "bpf_map__set_initial_value": (c_int, [c_void_p, c_void_p, c_size_t]),
    "bpf_map__set_max_entries": (c_int, [c_void_p, c_uint32]),
    "bpf_map__set_pin_path": (c_int, [c_void_p, c_char_p]),
    "bpf_program__name": (c_char_p, [c_void_p]),
    "bpf_program__fd": (c_int, [c_void_p]),
    "bpf_program__set_autoload": (c_int, [c_void_p, c_bool]),
    "bpf_program__set_log_level": (c_int, [c_void_p, c_uint32]),
    "bpf_program__set_log_buf": (c_int, [c_void_p, c_void_p, c_size_t]),
    "bpf_program__attach": (c_void_p, [c_void_p]),
    "bpf_program__pin": (c_int, [c_void_p, c_char_p]),
    "bpf_link__pin": (c_int, [c_void_p, c_char_p]),
    "bpf_link__fd": (c_int, [c_void_p]),
    "bpf_link__destroy": (c_int, [c_void_p]),
    "bpf_iter_create": (c_int, [c_int]),
    "bpf_prog_load": (c_int, [c_int, c_char_p, c_char_p, c_char_p, c_size_t, c_void_p]),
    "bpf_prog_test_run_opts": (c_int, [c_int, c_void_p]),
    "bpf_raw_tracepoint_open": (c_int, [c_char_p, c_int]),
    "bpf_obj_get": (c_int, [c_char_p]),
    "bpf_obj_get_info_by_fd": (c_int, [c_int, c_void_p, POINTER(c_uint32)]),
    "bpf_obj_pin": (c_int, [c_int, c_char_p]),
    "bpf_map_create": (c_int, [c_int, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p]),
    "bpf_map_lookup_elem": (c_int, [c_int, c_char_p, c_void_p]),
    "bpf_map_update_elem": (c_int, [c_int, c_char_p, c_char_p, c_uint64]),
    "bpf_map_delete_elem": (c_int, [c_int, c_char_p]),
    "bpf_map_get_next_key": (c_int, [c_int, c_void_p, c_void_p]),
    "btf__find_by_name_kind": (ctypes.c_int32, [c_void_p, c_char_p, c_uint32]),
    "btf__type_by_id": (c_void_p, [c_void_p, c_uint32]),
    "btf__name_by_offset": (c_char_p, [c_void_p, c_uint32]),
    "libbpf_num_possible_cpus": (c_int, []),
    "libbpf_set_print": (c_void_p, [_PrintFunction]),
}


_trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""glibc's alone."""


def _release_memory() -> None:
    """Give back what libbpf freed: the kernel's own BTF, read for each object, would leave 11 MB in the heap."""
    if _trim is not None:
        _trim(c_size_t(0))


@cache
def library() -> ctypes.CDLL:
    """libbpf itself, loaded once; raises LibraryMissing."""
    try:
        found = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError:
        raise LibraryMissing(
            "libbpf.so.1 is not installed: install libbpf 1.0 or newer (Debian: apt install libbpf1)."
        ) from None
    if found.libbpf_major_version() != 1:
        raise LibraryMissing(
            f"libbpf {version(found)} is not understood: install libbpf 1.x (Debian: apt install libbpf1)."
        )
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    found.libbpf_set_print(_print_function)
    return found


def version(found: ctypes.CDLL | None = None) -> str:
    """libbpf's own word for its version, such as `v1.1`."""
    function = (found or library()).libbpf_version_string
    function.restype = c_char_p
    return str(function().decode())


_format = ctypes.CDLL(None).vsnprintf
_format.argtypes = [c_void_p, c_size_t, c_char_p, c_void_p]


def _keep_message(level: int, pattern: bytes, arguments: int) -> int:
    """va_list is a pointer in an argument's place on both x86_64 and arm64."""
    if level < _LEVEL_DEBUG:
        buffer = ctypes.create_string_buffer(_LOG_MESSAGE_BYTES)
        _format(buffer, _LOG_MESSAGE_BYTES, pattern, arguments)
        log.extend(line for line in buffer.value.decode(errors="replace").splitlines() if line.strip())
    return 0


_print_function = _PrintFunction(_keep_message)


def explanation(default: str) -> str:
    """The line of libbpf's log that tells the most about the last refusal, or `default`."""
    lines = [line.removeprefix("libbpf: ") for line in log]
    for pattern, sentence in _MISSING:
        for found in filter(None, map(pattern.search, lines)):
            return sentence.format(found[1])
    for mark in ("failed to attach", "failed to auto-attach", "load failed", "failed", "error"):
        for line in reversed(lines):
            if mark in line and "failed to load object" not in line:
                verifier = verifier_line(lines)
                return f"{line} ({verifier})" if mark == "load failed" and verifier else line
    return default


def verifier_line(lines: list[str]) -> str:
    """The verifier's own last word: it stands before its line of statistics."""
    for line, following in zip(reversed(lines[:-1]), reversed(lines[1:]), strict=True):
        if following.startswith("processed ") and "insns" in following:
            return line
    return ""


def _check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(-result, f"{what}: {os.strerror(-result)}")
    return result


def _check_pointer(pointer: int | None, what: str) -> int:
    if not pointer:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return pointer


class Program:
    """One program of an open object."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.name: str = library().bpf_program__name(handle).decode()

    def set_log(self, level: int, buffer: ctypes.Array[ctypes.c_char]) -> None:
        """Have the verifier write there at load."""
        _check(library().bpf_program__set_log_level(self._handle, level), f"log level of {self.name}")
        _check(library().bpf_program__set_log_buf(self._handle, buffer, len(buffer)), f"log of {self.name}")

    @property
    def fd(self) -> int:
        return _check(library().bpf_program__fd(self._handle), f"program {self.name}")

    def set_autoload(self, wanted: bool) -> None:
        _check(library().bpf_program__set_autoload(self._handle, wanted), f"autoload of {self.name}")

    def pin(self, path: Path) -> None:
        _check(library().bpf_program__pin(self._handle, os.fsencode(path)), f"pin {path}")

    def attach(self) -> Link:
        return Link(_check_pointer(library().bpf_program__attach(self._handle), f"attach {self.name}"))


class Link:
    """An attached program; stays attached after close() only where it is pinned."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def pin(self, path: Path) -> None:
        _check(library().bpf_link__pin(self._handle, os.fsencode(path)), f"pin {path}")

    def iterate(self) -> bytes:
        """All that an iterator's program writes; raises OSError."""
        fd = _check(library().bpf_iter_create(library().bpf_link__fd(self._handle)), "iterate")
        with open(fd, "rb") as output:
            return output.read()

    def close(self) -> None:
        library().bpf_link__destroy(self._handle)


class ObjectMap:
    """One map of an object not yet loaded."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.name: str = library().bpf_map__name(handle).decode()
        self.type: int = library().bpf_map__type(handle)
        self.internal: bool = library().bpf_map__is_internal(handle)
        self.key_bytes: int = library().bpf_map__key_size(handle)
        self.value_bytes: int = library().bpf_map__value_size(handle)

    @property
    def fd(self) -> int:
        """Once it is loaded; the object's own."""
        return _check(library().bpf_map__fd(self._handle), f"map {self.name}")

    def set_max_entries(self, count: int) -> None:
        _check(library().bpf_map__set_max_entries(self._handle, count), f"size of {self.name}")

    def set_pin_path(self, path: Path) -> None:
        """libbpf makes the pin at load, or uses the map that is pinned there already."""
        _check(library().bpf_map__set_pin_path(self._handle, os.fsencode(path)), f"pin path of {self.name}")

    def initial_value(self) -> bytes:
        size = c_size_t()
        pointer = library().bpf_map__initial_value(self._handle, ctypes.byref(size))
        return ctypes.string_at(pointer, size.value) if pointer else b""

    def set_initial_value(self, value: bytes) -> None:
        _check(library().bpf_map__set_initial_value(self._handle, value, len(value)), f"initial value of {self.name}")


class _OpenOptions(ctypes.Structure):
    """`struct bpf_object_open_opts` of libbpf 1.0 (libbpf.h), as far as it is used."""

    _fields_ = (
        ("size", c_size_t),
        ("name", c_char_p),
        ("relaxed_maps", c_bool),
        ("pin_root", c_char_p),
        ("reserved", c_uint32),
        ("settings", c_char_p),
        ("types", c_char_p),
    )


class Object:
    """A compiled BPF object: open, adjust, load; a context manager that frees it and what is not pinned."""

    def __init__(self, path: Path, types: Path | None = None) -> None:
        """`types`: a file with BTF to be taken for all of the kernel's; where none is named, modules' are looked into
        for what the kernel's own lacks, and without CAP_SYS_ADMIN the load fails there."""
        options = _OpenOptions(size=ctypes.sizeof(_OpenOptions), types=os.fsencode(types) if types else None)
        handle = library().bpf_object__open_file(os.fsencode(path), ctypes.byref(options))
        self._handle = _check_pointer(handle, f"open {path}")
        self.path = path

    def __enter__(self) -> Object:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        library().bpf_object__close(self._handle)
        _release_memory()

    def maps(self) -> Iterator[ObjectMap]:
        handle = None
        while handle := library().bpf_object__next_map(self._handle, handle):
            yield ObjectMap(handle)

    def programs(self) -> Iterator[Program]:
        handle = None
        while handle := library().bpf_object__next_program(self._handle, handle):
            yield Program(handle)

    def load(self) -> None:
        _check(library().bpf_object__load(self._handle), f"load {self.path.name}")

    def load_with_statistics(self) -> dict[str, str]:
        """Load, and return by program what the verifier says of its work; empty where it is not loaded."""
        buffers = {}
        for program in self.programs():
            buffers[program.name] = ctypes.create_string_buffer(_STATISTICS_BYTES)
            program.set_log(LOG_STATISTICS, buffers[program.name])
        self.load()
        return {name: buffer.value.decode() for name, buffer in buffers.items()}

    def has_constant(self, name: str) -> bool:
        """Whether it has a `const volatile` variable of this name."""
        return name in self._constants()

    def set_known_constants(self, values: dict[str, bytes]) -> None:
        """Set `const volatile` variables before the load; names the object does not have are left out."""
        places = self._constants()
        known = {name: value for name, value in values.items() if name in places}
        rodata = next((each for each in self.maps() if each.internal and each.name.endswith(".rodata")), None)
        if rodata is None or not known:
            return
        content = bytearray(rodata.initial_value())
        for name, value in known.items():
            offset, size = places[name]
            content[offset : offset + size] = value.ljust(size, b"\0")[:size]
        rodata.set_initial_value(bytes(content))

    def _constants(self) -> dict[str, tuple[int, int]]:
        """Offset and size of each variable in .rodata, from the object's own BTF (Documentation/bpf/btf.rst)."""
        calls = library()
        btf = calls.bpf_object__btf(self._handle)
        section = calls.btf__find_by_name_kind(btf, b".rodata", _DATASEC)
        if section < 0:
            return {}
        pointer = calls.btf__type_by_id(btf, section)
        count = struct.unpack("=3I", ctypes.string_at(pointer, 12))[1] & 0xFFFF
        found = {}
        for kind, offset, size in struct.iter_unpack("=3I", ctypes.string_at(pointer + 12, 12 * count)):
            name_offset = struct.unpack("=I", ctypes.string_at(calls.btf__type_by_id(btf, kind), 4))[0]
            found[calls.btf__name_by_offset(btf, name_offset).decode()] = (offset, size)
        return found


class Map:
    """A map by its descriptor. Keys and values are bytes as the kernel holds them."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        info = ctypes.create_string_buffer(_MAP_INFO.size)
        size = c_uint32(_MAP_INFO.size)
        _check(library().bpf_obj_get_info_by_fd(fd, info, ctypes.byref(size)), "map info")
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
        _check(library().bpf_map_lookup_elem(self.fd, key, buffer), "lookup")
        return [buffer.raw[at : at + self.value_size] for at in range(0, stride * count, stride)]

    def update(self, key: bytes, value: bytes) -> None:
        _check(library().bpf_map_update_elem(self.fd, key, value, 0), "update")

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
    return _check(library().bpf_obj_get(os.fsencode(path)), str(path))


def pin(fd: int, path: Path) -> None:
    """Pin whatever the descriptor is of; raises OSError."""
    _check(library().bpf_obj_pin(fd, os.fsencode(path)), f"pin {path}")


def make_array(path: Path, name: str, value_size: int) -> None:
    """An array map of one value, pinned at `path`; nothing is done where there is one already."""
    if path.exists():
        return
    fd = _check(library().bpf_map_create(MAP_TYPE_ARRAY, name.encode(), 4, value_size, 1, None), f"map {name}")
    try:
        result = library().bpf_obj_pin(fd, os.fsencode(path))
        if result != -_EXISTS:
            _check(result, f"pin {path}")
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
        _check(library().bpf_obj_get_info_by_fd(fd, info, ctypes.byref(size)), str(path))
        return int(struct.unpack_from("=Q", info.raw, _RECURSION_MISSES_OFFSET)[0])
    finally:
        os.close(fd)


@cache
def possible_cpus() -> int:
    return _check(library().libbpf_num_possible_cpus(), "possible CPUs")
