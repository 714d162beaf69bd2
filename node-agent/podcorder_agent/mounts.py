"""What is mounted where, by the kernel's own table (proc_pid_mounts(5))."""

from __future__ import annotations

import contextlib
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
_CGROUP_ROOT_INODE = 1


def mount_points(kind: str, mounts: Path = MOUNTS) -> list[Path]:
    """Where file systems of this kind are mounted, in the order of mounting."""
    found = []
    for line in mounts.read_text().splitlines():
        _, point, name, *_ = line.split(" ")
        if name == kind:
            found.append(Path(point.replace("\\040", " ")))
    return found


def cgroup2_mount(mounts: Path = MOUNTS) -> Path | None:
    """Where the whole version 2 cgroup tree is mounted: /sys/fs/cgroup, or beside version 1 /sys/fs/cgroup/unified.

    A container with a cgroup namespace has a mount of its own part of the tree besides, which is passed over.
    """
    for point in mount_points("cgroup2", mounts):
        with contextlib.suppress(OSError):
            if point.stat().st_ino == _CGROUP_ROOT_INODE:
                return point
    return None
