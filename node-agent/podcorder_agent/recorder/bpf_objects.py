"""Compiled BPF objects by libbpf: their maps and programs before the load, and programs attached."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from ctypes import c_bool, c_char_p, c_size_t, c_uint32
from pathlib import Path

from podcorder_agent.recorder.libbpf import LOG_STATISTICS, check, check_pointer, library, release_memory

_DATASEC = 15
_STATISTICS_BYTES = 4096


class Program:
    """One program of an open object."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.name: str = library().bpf_program__name(handle).decode()

    def set_log(self, level: int, buffer: ctypes.Array[ctypes.c_char]) -> None:
        """Have the verifier write there at load."""
        check(library().bpf_program__set_log_level(self._handle, level), f"log level of {self.name}")
        check(library().bpf_program__set_log_buf(self._handle, buffer, len(buffer)), f"log of {self.name}")

    @property
    def fd(self) -> int:
        return check(library().bpf_program__fd(self._handle), f"program {self.name}")

    def set_autoload(self, wanted: bool) -> None:
        check(library().bpf_program__set_autoload(self._handle, wanted), f"autoload of {self.name}")

    def pin(self, path: Path) -> None:
        check(library().bpf_program__pin(self._handle, os.fsencode(path)), f"pin {path}")

    def attach(self) -> Link:
        return Link(check_pointer(library().bpf_program__attach(self._handle), f"attach {self.name}"))


class Link:
    """An attached program; stays attached after close() only where it is pinned."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def pin(self, path: Path) -> None:
        check(library().bpf_link__pin(self._handle, os.fsencode(path)), f"pin {path}")

    def iterate(self) -> bytes:
        """All that an iterator's program writes; raises OSError."""
        fd = check(library().bpf_iter_create(library().bpf_link__fd(self._handle)), "iterate")
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
        return check(library().bpf_map__fd(self._handle), f"map {self.name}")

    def set_max_entries(self, count: int) -> None:
        check(library().bpf_map__set_max_entries(self._handle, count), f"size of {self.name}")

    def set_pin_path(self, path: Path) -> None:
        """libbpf makes the pin at load, or uses the map that is pinned there already."""
        check(library().bpf_map__set_pin_path(self._handle, os.fsencode(path)), f"pin path of {self.name}")

    def initial_value(self) -> bytes:
        size = c_size_t()
        pointer = library().bpf_map__initial_value(self._handle, ctypes.byref(size))
        return ctypes.string_at(pointer, size.value) if pointer else b""

    def set_initial_value(self, value: bytes) -> None:
        check(library().bpf_map__set_initial_value(self._handle, value, len(value)), f"initial value of {self.name}")


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
        self._handle = check_pointer(handle, f"open {path}")
        self.path = path

    def __enter__(self) -> Object:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        library().bpf_object__close(self._handle)
        release_memory()

    def maps(self) -> Iterator[ObjectMap]:
        handle = None
        while handle := library().bpf_object__next_map(self._handle, handle):
            yield ObjectMap(handle)

    def programs(self) -> Iterator[Program]:
        handle = None
        while handle := library().bpf_object__next_program(self._handle, handle):
            yield Program(handle)

    def load(self) -> None:
        check(library().bpf_object__load(self._handle), f"load {self.path.name}")

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
