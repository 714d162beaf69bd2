"""libbpf's stable 1.x interface by ctypes: its functions, what it says, and its errors as OSError.

libbpf 1.x reports errors as -errno, or as NULL with errno set. What it has to say goes into a bounded buffer: its last
lines explain a refusal.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections import deque
from ctypes import POINTER, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from typing import Any

from podcorder_agent.recorder.errors import LibraryMissing

_LOG_LINES = 200
_LOG_MESSAGE_BYTES = 64 * 1024
_LEVEL_DEBUG = 2
LOG_STATISTICS = 4
"""Of what the verifier says: how much work a program was (BPF_LOG_STATS; Linux 5.2)."""

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


def release_memory() -> None:
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


def check(result: int, what: str) -> int:
    """A result that is no error; raises OSError."""
    if result < 0:
        raise OSError(-result, f"{what}: {os.strerror(-result)}")
    return result


def check_pointer(pointer: int | None, what: str) -> int:
    """A pointer that is not NULL; raises OSError."""
    if not pointer:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return pointer
