from __future__ import annotations

from pathlib import Path

import pytest

from podcorder_agent.machine import CgroupsMissing, unified_mount
from podcorder_agent.machine.cgroups import CommandCgroup, leftovers, remove_tree, walk


def test_the_cgroup2_mount_is_found_beside_version_1(tmp_path: Path) -> None:
    """On a hybrid machine the unified tree is taken, wherever it is mounted."""
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/my\\040tree cgroup2 rw,relatime 0 0\n"
    )
    assert unified_mount(mounts) == Path("/sys/fs/cgroup/my tree")


def test_a_machine_without_cgroup2_is_told_how_to_mount_it(tmp_path: Path) -> None:
    """Without a cgroup2 tree the error names the mount command."""
    mounts = tmp_path / "mounts"
    mounts.write_text("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n")
    with pytest.raises(CgroupsMissing, match="mount -t cgroup2"):
        unified_mount(mounts)


def test_walk_gives_every_cgroup_with_its_inode_parents_first(tmp_path: Path) -> None:
    """A cgroup's id is its directory's inode, and a parent comes before what is below it."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "cgroup.procs").touch()
    found = list(walk(tmp_path))
    assert [path.relative_to(tmp_path).as_posix() for path, _ in found] == ["a", "a/b", "c"]
    assert all(path.stat().st_ino == number for path, number in found)


def test_a_commands_cgroup_is_removed_with_all_below(tmp_path: Path) -> None:
    """At the end nothing of a recording stands in the cgroup tree, nested cgroups and the empty parent included."""
    cgroup = CommandCgroup(tmp_path, "one")
    assert cgroup.path == "/podcorder/one"
    assert cgroup.id == (tmp_path / "podcorder/one").stat().st_ino
    (cgroup.directory / "x/y").mkdir(parents=True)
    assert cgroup.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_recordings_cgroup_stays(tmp_path: Path) -> None:
    """Removing one recording's cgroup leaves the others' alone."""
    one, two = CommandCgroup(tmp_path, "one"), CommandCgroup(tmp_path, "two")
    assert one.remove()
    assert two.directory.is_dir()


def test_leftovers_are_those_without_processes(tmp_path: Path) -> None:
    """A cgroup in which something still runs, in it or below, is no leftover."""
    for name in ("empty", "busy", "deep/below"):
        (tmp_path / "podcorder" / name).mkdir(parents=True)
    (tmp_path / "podcorder/busy/cgroup.procs").write_text("1\n")
    (tmp_path / "podcorder/deep/below/cgroup.procs").write_text("2\n")
    assert leftovers(tmp_path) == [tmp_path / "podcorder/empty"]


def test_a_cgroup_in_use_is_not_removed(tmp_path: Path) -> None:
    """A tree that cannot be removed is reported as still there."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/cgroup.procs").write_text("1\n")  # like a kernel that says EBUSY
    assert not remove_tree(tmp_path / "a")
    assert (tmp_path / "a").is_dir()
