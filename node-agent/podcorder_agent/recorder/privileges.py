"""Which capabilities the recorder has, and how it lets go of all others (capabilities(7), prctl(2))."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from pathlib import Path

from podcorder_agent.recorder.errors import NotPrivileged

CAP_PERFMON = 38
CAP_BPF = 39
KEPT = (1 << CAP_PERFMON) | (1 << CAP_BPF)
"""All that the recorder needs: a rung that wants more is not taken."""

LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")
_CAP_LAST = 63
_VERSION_3 = 0x20080522
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


def prctl(option: int, argument: int = 0, third: int = 0) -> int:
    """prctl(2); raises OSError."""
    result = int(_libc.prctl(option, argument, third, 0, 0))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def effective_capabilities() -> int:
    """A bit for each capability in effect."""
    header = struct.pack("=Ii", _VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    if _libc.capget(header, data) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    low, _, _, high, _, _ = struct.unpack("=6I", data.raw)
    return int(low | high << 32)


def are_known(last: Path = LAST_CAPABILITY) -> bool:
    """Whether the kernel knows both capabilities: they are of Linux 5.8, as ring buffers are."""
    return int(last.read_text()) >= max(CAP_BPF, CAP_PERFMON)


def require_privileges() -> None:
    """Raise NotPrivileged unless CAP_BPF and CAP_PERFMON are in effect, or unknown to this kernel."""
    if are_known() and effective_capabilities() & KEPT != KEPT:
        raise NotPrivileged("Recording needs CAP_BPF and CAP_PERFMON: run as root.")


def lift_memory_limit() -> None:
    """Kernels before 5.11 charge BPF memory to RLIMIT_MEMLOCK: away with it, or without CAP_SYS_RESOURCE as high as the
    hard limit lets it be."""
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))


def join_group(group: int) -> None:
    """Be a member of a group: a member may give it files without CAP_CHOWN. Raises NotPrivileged."""
    if group in (os.getegid(), *os.getgroups()):
        return
    try:
        os.setgroups([group])
    except PermissionError:
        raise NotPrivileged(
            f"The journal cannot be given to group {group}: run as root, or as its member (a pod's supplementalGroups)."
        ) from None


def drop_privileges() -> None:
    """Keep CAP_BPF and CAP_PERFMON alone, for good: effective, permitted, bounding; nothing inheritable or ambient."""
    for number in range(_CAP_LAST + 1):
        try:
            if prctl(_PR_CAPBSET_READ, number) and not KEPT >> number & 1:
                prctl(_PR_CAPBSET_DROP, number)
        except OSError:
            # past the last capability, or no CAP_SETPCAP: no_new_privs below stands in for the bounding set
            continue
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    kept = KEPT & effective_capabilities()
    low, high = kept & 0xFFFFFFFF, kept >> 32
    if _libc.capset(struct.pack("=Ii", _VERSION_3, 0), struct.pack("=6I", low, low, 0, high, high, 0)) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
