"""The version 2 cgroup tree: an id is the inode number of the cgroup's directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def find_cgroup(root: Path, cgroup_id: int, hint: str = "") -> Path | None:
    """The directory of a cgroup; `hint` is its probable path within the tree, and saves the walk where it is right."""
    if hint:
        try:
            path = root / hint.lstrip("/")
            if ".." not in path.parts and path.stat().st_ino == cgroup_id:
                return path
        except (OSError, ValueError):
            pass
    return next((path for path, number in walk_cgroups(root) if number == cgroup_id), None)


def walk_cgroups(top: Path) -> Iterator[tuple[Path, int]]:
    """Directory and id of a cgroup and all below it, each before its children are looked for.

    So a caller that acts on each as it comes misses none: what is made later inherits from its parent in the kernel.
    """
    try:
        yield top, top.stat().st_ino
        with os.scandir(top) as entries:
            children = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for child in children:
        yield from walk_cgroups(Path(child))
