"""The version 2 cgroup tree of this machine (cgroups(7)); a cgroup's id is the inode number of its directory."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from podcorder_agent.machine.errors import CgroupsMissing
from podcorder_agent.mounts import MOUNTS, mount_points

PARENT = "podcorder"
"""The cgroup below which those of commands stand."""

_REMOVAL_SECONDS = 2.0
_RELEASES = 100


def unified_mount(mounts: Path = MOUNTS) -> Path:
    """Where the tree is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside version 1. Raises CgroupsMissing."""
    for point in mount_points("cgroup2", mounts):
        return point
    raise CgroupsMissing(
        "No cgroup2 tree is mounted, and sessions are told apart by it: "
        "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified."
    )


def walk(top: Path) -> Iterator[tuple[Path, int]]:
    """Every cgroup below `top` with its id, parents first; what vanishes meanwhile is left out."""
    try:
        with os.scandir(top) as entries:
            children = sorted((each.path, each.inode()) for each in entries if each.is_dir(follow_symlinks=False))
    except OSError:
        return
    for path, number in children:
        yield Path(path), number
        yield from walk(Path(path))


def processes(cgroup: Path) -> list[int]:
    """Process ids in a cgroup itself; empty where it is gone."""
    try:
        return [int(each) for each in (cgroup / "cgroup.procs").read_text().split()]
    except OSError:
        return []


class CommandCgroup:
    """A cgroup of its own for one command and all it starts: `podcorder/<name>`."""

    def __init__(self, root: Path, name: str) -> None:
        """Makes it below `root`, where the tree is mounted. Raises CgroupsMissing where the tree cannot be written."""
        self._root = root
        self.directory = root / PARENT / name
        try:
            self.directory.mkdir(parents=True)
        except OSError as error:
            raise CgroupsMissing(
                f"cannot make the cgroup {self.directory}: {error.strerror}: run as root where {root} is writable"
            ) from None
        self.id = self.directory.stat().st_ino

    @property
    def path(self) -> str:
        """Its path within the tree, as the kernel tells it."""
        return "/" + str(self.directory.relative_to(self._root))

    def enter(self) -> None:
        """Moves the calling process in; between fork and exec, so that all of the command happens inside."""
        with open(self.directory / "cgroup.procs", "wb", buffering=0) as procs:
            procs.write(b"0")

    def members(self) -> list[int]:
        """Process ids in it and below."""
        found = processes(self.directory)
        for path, _ in walk(self.directory):
            found += processes(path)
        return found

    def remove(self) -> bool:
        """Removes it with all below; False where processes still live in it. The empty parent goes too."""
        deadline = time.monotonic() + _REMOVAL_SECONDS
        while not remove_tree(self.directory):
            # A process that just ended may still be counted for a moment.
            if self.members() or time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        remove_parent(self.directory)
        return True

    def release(self) -> int:
        """Moves what still runs in it to the caller's own cgroup and removes it; how many processes that were.

        What stands in cgroups below, which somebody else made, stays there.
        """
        left = len(self.members())
        home = own_cgroup(self._root)
        for _ in range(_RELEASES):
            moving = processes(self.directory)
            if not moving:
                break
            for pid in moving:  # a fork meanwhile is found the next time
                with contextlib.suppress(OSError):
                    (home / "cgroup.procs").write_text(str(pid))
        self.remove()
        return left


def own_cgroup(root: Path, proc: Path = Path("/proc")) -> Path:
    """The caller's own cgroup in the version 2 tree at `root` (cgroups(7), /proc/[pid]/cgroup)."""
    for line in (proc / "self/cgroup").read_text().splitlines():
        if line.startswith("0::/"):
            found = root / line.removeprefix("0::/")
            return found if found.is_dir() else root
    return root


def remove_tree(top: Path) -> bool:
    """Removes an empty cgroup and all below it, children first; whether it is gone."""
    for path, _ in reversed(list(walk(top))):
        try:
            path.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return False
    try:
        top.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def remove_parent(cgroup: Path) -> None:
    """Removes the cgroup that commands' cgroups stand in, once the last has gone."""
    try:
        cgroup.parent.rmdir()
    except OSError:
        pass  # another recording has its cgroup there


def leftovers(root: Path) -> list[Path]:
    """Cgroups of commands whose recording has ended without removing them: those without processes."""
    parent = root / PARENT
    if not parent.is_dir():
        return []
    found = []
    for path in sorted(each for each in parent.iterdir() if each.is_dir()):
        if not processes(path) and not any(processes(each) for each, _ in walk(path)):
            found.append(path)
    return found
