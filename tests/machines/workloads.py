"""The tests' workloads for a machine, which has no compiler: static programs, of any architecture."""

from __future__ import annotations

from pathlib import Path

from machines.archives import Archive

from images.commands import run

SOURCES = Path(__file__).parent.parent / "workloads"
FILES = sorted(each for each in SOURCES.iterdir() if each.is_file())
SYSROOT_PACKAGES = ("libc6-dev", "libgcc-12-dev", "liburing-dev")
"""What a program is compiled and linked with."""
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def build(archive: Archive, architecture: str, directory: Path) -> None:
    """Compile them for an architecture; raises CommandFailed."""
    directory.mkdir()
    machine = MACHINES[architecture]
    compiler = "cc" if machine == _read_own_machine() else _write_compiler(archive, machine, directory)
    words = (f"BUILD={directory}", f"CC={compiler} -static", f"MACHINE={machine}")
    run("make", "-s", "-C", SOURCES, *words)


def _read_own_machine() -> str:
    return run("uname", "-m").decode().strip()


def _write_compiler(archive: Archive, machine: str, directory: Path) -> str:
    """A command that compiles for another machine, from that one's own packages."""
    sysroot = directory / "sysroot"
    sysroot.mkdir()
    archive.unpack_all(SYSROOT_PACKAGES, sysroot)
    return f"clang --target={machine}-linux-gnu --sysroot={sysroot} -fuse-ld=lld"
