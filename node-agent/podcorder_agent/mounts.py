"""What is mounted where, by the kernel's own table (proc_pid_mounts(5))."""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mounts")


def mount_points(kind: str, mounts: Path = MOUNTS) -> list[Path]:
    """Where file systems of this kind are mounted, in the order of mounting."""
    found = []
    for line in mounts.read_text().splitlines():
        _, point, name, *_ = line.split(" ")
        if name == kind:
            found.append(Path(point.replace("\\040", " ")))
    return found
