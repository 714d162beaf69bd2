"""What is mounted where, by the kernel's own tables (proc_pid_mounts(5), proc_pid_mountinfo(5))."""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath

MOUNTS = Path("/proc/self/mounts")
_CGROUP_ROOT_INODE = 1


def mount_points(kind: str, mounts: Path = MOUNTS) -> list[Path]:
    """Where file systems of this kind are mounted, in the order of mounting."""
    found = []
    for line in mounts.read_text().splitlines():
        _, point, name, *_ = line.split(" ")
        if name == kind:
            found.append(_decode(point))
    return found


def cgroup2_mount(proc: Path = Path("/proc/self")) -> Path | None:
    """Where most of the version 2 cgroup tree is mounted: /sys/fs/cgroup, or beside version 1 /sys/fs/cgroup/unified.

    In a pod of a node that is a container itself that is the node's part of the tree. What a container has below its
    own cgroup is no tree to look for others in, and passed over.
    """
    own = _depth(_own_cgroup(proc))
    found: dict[Path, int] = {}
    for line in (proc / "mountinfo").read_text().splitlines():
        _, _, _, root, point, *rest = line.split(" ")
        if rest[rest.index("-") + 1] == "cgroup2":
            with contextlib.suppress(OSError):
                if _decode(point).stat().st_ino == _CGROUP_ROOT_INODE or _depth(root) < own:
                    found[_decode(point)] = _depth(root)
    return min(found, key=lambda each: found[each], default=None)


def _own_cgroup(proc: Path) -> str:
    lines = (proc / "cgroup").read_text().splitlines()
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")


def _depth(cgroup: str) -> int:
    """How far below the root of the reader's cgroup namespace a path leads; one that leads above it begins with `..`
    (cgroup_namespaces(7))."""
    parts = PurePosixPath(_decode(cgroup)).parts[1:]
    return len(parts) - 2 * parts.count("..")


def _decode(path: str) -> Path:
    return Path(path.replace("\\040", " "))
