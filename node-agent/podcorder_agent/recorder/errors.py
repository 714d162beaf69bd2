"""Why a recorder does not start; each with its remedy and an exit code of its own (10 to 19)."""

from __future__ import annotations

from podcorder_agent.errors import PodcorderError


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


class LoadRefused(PodcorderError):
    """The maps, without which nothing works, could not be made."""

    exit_code = 15


class ObjectMissing(PodcorderError):
    """A compiled BPF object is not installed."""

    exit_code = 16


class BtfMissing(PodcorderError):
    """The kernel does not describe its types, by which programs are adapted to it."""

    exit_code = 19


class SocketUnusable(PodcorderError):
    """The control socket could not be made."""

    exit_code = 17


class BccMissing(PodcorderError):
    """bcc is not installed, or another module is found under its name."""

    exit_code = 38


class CompilationFailed(PodcorderError):
    """The node's compiler cannot make a program for this kernel; never ends a recorder."""
