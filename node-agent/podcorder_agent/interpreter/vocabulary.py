"""Kernel numbers as words: each table is filled as values are met, and begins anew when it is full."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address
from platform import machine
from struct import Struct
from typing import Generic, TypeVar

from podcorder_agent.interpreter.records import ExecFlag, RecordFlag

Key = TypeVar("Key", bound=Hashable)
Word = TypeVar("Word")

MOST_WORDS = 4096


class Vocabulary(dict[Key, Word], Generic[Key, Word]):
    """A bounded cache in front of a pure function."""

    def __init__(self, make: Callable[[Key], Word]) -> None:
        super().__init__()
        self.make = make

    def __missing__(self, key: Key) -> Word:
        if len(self) >= MOST_WORDS:
            self.clear()
        made = self[key] = self.make(key)
        return made


_EXPORTED = tuple(
    (flag, flag.name.lower())
    for flag in (
        RecordFlag.TRUNCATED,
        RecordFlag.UNREADABLE,
        RecordFlag.UNSETTLED,
        RecordFlag.COMPAT,
        RecordFlag.IO_URING,
        RecordFlag.PARTIAL,
    )
    if flag.name
)


def name_flags(flags: int) -> list[str] | None:
    """The flags people should know of, None where there are none."""
    return [name for flag, name in _EXPORTED if flags & flag] or None


def name_origin(exec_flags: int) -> str | None:
    """Where code came from that is no named file, None for a named one."""
    for flag in (ExecFlag.FROM_MEMORY, ExecFlag.DELETED, ExecFlag.DETACHED_MOUNT):
        if exec_flags & flag:
            return "memory" if flag is ExecFlag.FROM_MEMORY else str(flag.name).lower()
    return None


def name_device(device: int) -> str:
    """The kernel's internal encoding as major:minor."""
    return f"{device >> 20}:{device & 0xFFFFF}"


def name_errno(result: int) -> str | None:
    """The name of a negative errno; the number itself where the C library has none."""
    if result >= 0:
        return None
    return errno.errorcode.get(-result, str(-result))


def name_signal(number: int) -> str:
    """SIGKILL and its like; SIGRTMIN+n for real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}" if number > signal.SIGRTMIN else f"SIG{number}"


def number_signal(name: str) -> int:
    """The number of what `name_signal` made."""
    head, _, more = name.partition("+")
    if more:
        return signal.SIGRTMIN + int(more)
    return int(signal.Signals[head]) if head in signal.Signals.__members__ else int(head.removeprefix("SIG"))


# Values of O_* differ between architectures (asm-generic/fcntl.h, arch/arm64/include/uapi/asm/fcntl.h); a journal is
# read as one of this machine's architecture. O_LARGEFILE is left out: every 64-bit open has it.
_ARM = machine() in ("aarch64", "arm64", "armv7l", "armv8l")
_O_DIRECTORY = 0o40000 if _ARM else 0o200000
O_PATH = 0o10000000
_O_SYNC = 0o4010000
_O_TMPFILE = 0o20000000 | _O_DIRECTORY
_OPEN_FLAGS = (
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o400, "O_NOCTTY"),
    (0o1000, "O_TRUNC"),
    (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"),
    (0o20000, "O_ASYNC"),
    (0o200000 if _ARM else 0o40000, "O_DIRECT"),
    (0o100000 if _ARM else 0o400000, "O_NOFOLLOW"),
    (0o1000000, "O_NOATIME"),
    (0o2000000, "O_CLOEXEC"),
    (O_PATH, "O_PATH"),
)
_ACCESS = ("read", "write", "read_write", "read_write")


def name_open_flags(flags: int) -> list[str] | None:
    """The O_ flags besides the access mode, None where there are none."""
    names = [name for bit, name in _OPEN_FLAGS if flags & bit]
    if flags & _O_TMPFILE == _O_TMPFILE:
        names.append("O_TMPFILE")
    elif flags & _O_DIRECTORY:
        names.append("O_DIRECTORY")
    if flags & _O_SYNC == _O_SYNC:
        names.append("O_SYNC")
    elif flags & 0o10000:
        names.append("O_DSYNC")
    return names or None


def name_access(flags: int) -> str:
    """How a file was opened; an O_PATH descriptor neither reads nor writes."""
    return "path" if flags & O_PATH else _ACCESS[flags & 3]


_TYPES = {
    0o010000: "fifo",
    0o020000: "character",
    0o040000: "directory",
    0o060000: "block",
    0o100000: "regular",
    0o120000: "link",
    0o140000: "socket",
}


def describe_mode(mode: int) -> tuple[str | None, str | None]:
    """(permissions in octal, file type); (None, None) for 0, which no file has."""
    if not mode:
        return None, None
    return f"{mode & 0o7777:04o}", _TYPES.get(mode & 0o170000, "other")


_DEVICE_AND_FLAGS = Struct("<II")


def describe_open(packed: bytes) -> tuple[str, str, list[str] | None]:
    """`device` and `open_flags` of an open_record as they stand there: (device, access, flags)."""
    device, flags = _DEVICE_AND_FLAGS.unpack(packed)
    return name_device(device), name_access(flags), name_open_flags(flags)


def describe_address(packed: bytes) -> tuple[str, str]:
    """Family (2 bytes, little-endian) and 16 bytes of address: (ipv4 or ipv6, text). A mapped IPv4 address is IPv4."""
    family, address = packed[:2], packed[2:]
    if family == b"\x02\0":
        return "ipv4", ".".join(map(str, address[:4]))
    if address.startswith(b"\0" * 10 + b"\xff\xff"):
        return "ipv4", ".".join(map(str, address[12:]))
    return "ipv6", str(IPv6Address(address))


def describe_exit(code: int) -> tuple[int | None, str | None]:
    """(exit code, signal) of a code as for wait(2): one of the two is None."""
    number = code & 0x7F
    return (None, name_signal(number)) if number else (code >> 8 & 0xFF, None)


def trim_comm(comm: bytes) -> bytes:
    """A comm without what stands behind its end."""
    return comm.partition(b"\0")[0]
