"""Programs from bare instructions, as raw tracepoints: they need nothing of the kernel's types."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

from podcorder_agent.recorder import bpf_maps, libbpf
from podcorder_agent.recorder.hooks import LICENSE
from podcorder_agent.recorder.instructions import INSTRUCTION

_RAW_TRACEPOINT = 17
_LOG_BYTES = 16 * 1024 * 1024
"""Of what the verifier says; untouched pages cost nothing."""


class _LoadOptions(ctypes.Structure):
    """`struct bpf_prog_load_opts` of libbpf 1.0 (bpf.h)."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("numbers", ctypes.c_uint32 * 9),
        ("fd_array", ctypes.c_void_p),
        ("func_info", ctypes.c_void_p),
        ("func_info_sizes", ctypes.c_uint32 * 2),
        ("line_info", ctypes.c_void_p),
        ("line_info_sizes", ctypes.c_uint32 * 2),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buffer", ctypes.c_void_p),
    )


class _RunOptions(ctypes.Structure):
    """`struct bpf_test_run_opts` of libbpf 1.0 (bpf.h)."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("data", ctypes.c_void_p * 2),
        ("data_sizes", ctypes.c_uint32 * 2),
        ("context", ctypes.c_void_p * 2),
        ("context_sizes", ctypes.c_uint32 * 2),
        ("result", ctypes.c_int32),
        ("rest", ctypes.c_uint32 * 5),
    )


class RawTracepointLink:
    """An attached program; stays attached after close() only where it is pinned."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def pin(self, path: Path) -> None:
        bpf_maps.pin(self._fd, path)

    def close(self) -> None:
        os.close(self._fd)


class RawTracepoint:
    """A loaded program and the tracepoint it is for."""

    def __init__(
        self, name: str, tracepoint: str, instructions: bytes, log_level: int = 0, license: str = LICENSE
    ) -> None:
        """Raises OSError with the verifier's last word; what it says by `log_level` is in `log`."""
        self._tracepoint = tracepoint
        with mmap.mmap(-1, _LOG_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as log:
            options = _LoadOptions(size=ctypes.sizeof(_LoadOptions), log_level=log_level, log_size=_LOG_BYTES)
            pages = ctypes.c_char.from_buffer(log)
            options.log_buffer = ctypes.addressof(pages)
            count = len(instructions) // INSTRUCTION.size
            self.fd: int = libbpf.library().bpf_prog_load(
                _RAW_TRACEPOINT, name.encode(), license.encode(), instructions, count, ctypes.byref(options)
            )
            del pages
            self.log = log[: log.find(b"\0")].decode(errors="replace")
            if self.fd < 0:
                reason = libbpf.verifier_line(self.log.splitlines())
                raise OSError(-self.fd, f"{name}: {reason or os.strerror(-self.fd)}")

    def pin(self, path: Path) -> None:
        bpf_maps.pin(self.fd, path)

    def run(self, *arguments: int) -> int:
        """What it returns, run once by itself; raises OSError, as before Linux 5.10."""
        context = (ctypes.c_uint64 * len(arguments))(*arguments)
        options = _RunOptions(size=ctypes.sizeof(_RunOptions))
        if arguments:
            options.context[0], options.context_sizes[0] = ctypes.addressof(context), ctypes.sizeof(context)
        error = libbpf.library().bpf_prog_test_run_opts(self.fd, ctypes.byref(options))
        if error < 0:
            raise OSError(-error, os.strerror(-error))
        return int(options.result)

    def attach(self) -> RawTracepointLink:
        fd = libbpf.library().bpf_raw_tracepoint_open(self._tracepoint.encode(), self.fd)
        if fd < 0:
            raise OSError(-fd, f"attach to {self._tracepoint}: {os.strerror(-fd)}")
        return RawTracepointLink(fd)

    def close(self) -> None:
        os.close(self.fd)
