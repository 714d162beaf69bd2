"""Why a recorder does not start; each with its remedy and an exit code of its own (10 to 19)."""

from __future__ import annotations

from podcorder_agent.errors import PodcorderError


class Unable(PodcorderError):
    """Nothing can be recorded on this machine. The recorder of a node's agent stays, and says so."""

    passes = False
    """Whether it may be over without the machine being started again."""


class NotPrivileged(PodcorderError):
    """CAP_BPF or CAP_PERFMON is missing."""

    exit_code = 10


class LibraryMissing(PodcorderError):
    """libbpf.so.1 is not there or too old."""

    exit_code = 11


class PinsUnusable(PodcorderError):
    """The pins directory is not on a bpffs, or cannot be written."""

    exit_code = 12


class PinsBusy(PodcorderError):
    """Another recorder holds the pins."""

    exit_code = 13


class MapsForeign(PodcorderError):
    """The BPF objects make maps of another layout than the recorder's."""

    exit_code = 14


class LoadRefused(Unable):
    """The maps, without which nothing works, could not be made."""

    exit_code = 15
    passes = True


class ObjectMissing(PodcorderError):
    """A compiled BPF object is not installed."""

    exit_code = 16


class BtfMissing(Unable):
    """The kernel does not describe its types, by which programs are adapted to it."""

    exit_code = 19


class SocketUnusable(PodcorderError):
    """The control socket could not be made."""

    exit_code = 17


class BccMissing(Unable):
    """bcc is not installed, or another module is found under its name."""

    exit_code = 38


class RingBufferMissing(Unable):
    """The kernel has no BPF ring buffers: it is older than Linux 5.8."""

    exit_code = 39

    def __init__(self) -> None:
        super().__init__("This kernel has no BPF ring buffers: boot Linux 5.8 or newer.")


class LockedDown(Unable):
    """The kernel is locked down for confidentiality, which keeps its memory from programs."""

    exit_code = 47

    def __init__(self) -> None:
        super().__init__(
            "This kernel is locked down (confidentiality) and lets no program read its memory: boot it with "
            "lockdown=integrity, or without."
        )


class HeadersMissing(Unable):
    """Neither the kernel nor headers on the node describe the kernel's types to bcc."""

    exit_code = 48
    passes = True


class CompilationFailed(PodcorderError):
    """The node's compiler cannot make a program for this kernel; never ends a recorder."""
