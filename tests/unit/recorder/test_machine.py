"""What is read from the machine: mounts, the cgroup tree, libbpf's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from podcorder_agent.mounts import cgroup2_mount, mount_points
from podcorder_agent.recorder import libbpf
from podcorder_agent.recorder.cgroups import find_cgroup, walk_cgroups


def test_mounts_are_found_by_their_kind(tmp_path: Path) -> None:
    """Mounts of another kind are passed over, and a space in a path is decoded."""
    mounts = tmp_path / "mounts"
    mounts.write_text("tmpfs /sys/fs tmpfs ro 0 0\nbpf /mnt/a\\040b bpf rw 0 0\nbpf /sys/fs/bpf bpf rw 0 0\n")
    assert mount_points("bpf", mounts) == [Path("/mnt/a b"), Path("/sys/fs/bpf")]


def write_proc(directory: Path, own: str, *mounts: tuple[str, Path]) -> Path:
    """A process's tables: its cgroup, and what of the tree is mounted where."""
    (directory / "cgroup").write_text(f"1:name=systemd:/x\n0::{own}\n")
    lines = (f"36 30 0:29 {root} {point} ro,nosuid shared:9 - cgroup2 cgroup2 rw\n" for root, point in mounts)
    (directory / "mountinfo").write_text("".join(["21 1 0:20 / /sys rw - sysfs sysfs rw\n", *lines]))
    return directory


def test_the_whole_cgroup_tree_is_found_besides_a_part_of_it(tmp_path: Path) -> None:
    """A container's own part of the tree and one that is gone are passed over; without the whole there is none."""
    own, gone = tmp_path / "own", tmp_path / "gone"
    own.mkdir()
    assert cgroup2_mount(write_proc(tmp_path, "/", ("/", gone), ("/", own))) is None
    assert Path("/proc").stat().st_ino == 1, "/proc stands here for a tree's root, whose inode has the same number"
    for root, part in (("/../../..", "/"), ("/", "/kubepods/pod1/a")):
        assert cgroup2_mount(write_proc(tmp_path, part, (part, own), (root, Path("/proc")))) == Path("/proc")
    assert cgroup2_mount(write_proc(tmp_path, "/", ("/", Path("/proc")))) == Path("/proc")


def test_a_node_that_is_a_container_has_its_part_of_the_tree(tmp_path: Path) -> None:
    """What is mounted from above one's own cgroup is taken, the most of it, though the machine's root is not there."""
    own, pod, node = (tmp_path / name for name in ("own", "pod", "a node"))
    for each in (own, pod, node):
        each.mkdir()
    encoded = Path(str(node).replace(" ", "\\040"))
    mounts = (("/", own), ("/..", pod), ("/../../..", encoded))
    assert cgroup2_mount(write_proc(tmp_path, "/", *mounts)) == node
    assert cgroup2_mount(write_proc(tmp_path, "/system.slice/podcorder.service", ("/", encoded))) == node


def test_walk_acts_before_it_looks_for_children(tmp_path: Path) -> None:
    """A cgroup made while its parent is being selected is not missed."""
    (tmp_path / "a").mkdir()
    seen = []
    for path, number in walk_cgroups(tmp_path):
        assert number == path.stat().st_ino
        seen.append(path)
        if path == tmp_path / "a":
            (tmp_path / "a" / "late").mkdir()
    assert seen == [tmp_path, tmp_path / "a", tmp_path / "a" / "late"]


def test_wrong_hint_costs_only_the_walk(tmp_path: Path) -> None:
    """The id decides; a hint that leads elsewhere, or out of the tree, is not followed."""
    inner = tmp_path / "tree" / "pod" / "container"
    inner.mkdir(parents=True)
    number = inner.stat().st_ino
    for hint in ("/pod/container", "/pod", "/../..", "/gone", ""):
        assert find_cgroup(tmp_path / "tree", number, hint) == inner
    assert find_cgroup(tmp_path / "tree", tmp_path.stat().st_ino, "/..") is None


def test_refusal_is_explained_by_the_verifier() -> None:
    """The line that names the program comes with the verifier's own last word."""
    libbpf.log.clear()
    libbpf.log.extend(
        [
            "libbpf: prog 'record_open': BPF program load failed: Permission denied",
            "libbpf: prog 'record_open': -- BEGIN PROG LOAD LOG --",
            "R1 invalid mem access 'scalar'",
            "processed 12 insns (limit 1000000) max_states_per_insn 0",
            "-- END PROG LOAD LOG --",
            "libbpf: failed to load object 'files.bpf.o'",
        ]
    )
    assert libbpf.explanation("none") == (
        "prog 'record_open': BPF program load failed: Permission denied (R1 invalid mem access 'scalar')"
    )
    libbpf.log.clear()
    assert libbpf.explanation("load: Operation not permitted") == "load: Operation not permitted"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "libbpf: prog 'record_exec': failed to find kernel BTF type ID of 'sched_process_exec': -1",
            "this kernel has no tracepoint or function sched_process_exec",
        ),
        (
            "failed to resolve CO-RE relocation <byte_off> [163] struct io_kiocb.opcode (0:1 @ offset 8)",
            "this kernel has no struct io_kiocb.opcode",
        ),
    ],
)
def test_refusal_names_what_the_kernels_types_lack(line: str, sentence: str) -> None:
    """A tracepoint or a field that is not there is said by its name, and not by an error's number."""
    libbpf.log.clear()
    libbpf.log.extend(["libbpf: failed to iterate BTF objects: -1", line, "libbpf: prog 'x': failed to load: -1"])
    assert libbpf.explanation("none") == sentence
