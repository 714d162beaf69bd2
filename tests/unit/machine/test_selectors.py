from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.classes import RecordClass
from podcorder_agent.interpreter.records import LAYOUTS, RING_HEADER_SIZE, VERSION
from podcorder_agent.journal import Frame, FrameKind, Position, SegmentHeader
from podcorder_agent.machine import ContainerSelector
from podcorder_agent.machine.lifecycle import CgroupChange, cgroup_changes
from podcorder_crds import ContainerFilter

ID = "0123456789abcdef" * 4
OTHER = "f" * 64
HEADER = SegmentHeader(1, "node", 1, 7, "0" * 32, 0, 0)


class Requests:
    """The control socket's two requests, written down."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []

    def select(self, cgroup_id: int, slot: int, session_kind: str, container: dict[str, Any]) -> None:
        self.made.append(("select", cgroup_id, slot, session_kind, container))

    def exclude(self, cgroup_id: int) -> None:
        self.made.append(("exclude", cgroup_id))


def record(number: int, path: str, comm: str = "runc:[1:CHILD]", *, removed: bool = False) -> bytes:
    """A cgroup record as the ring holds it."""
    tail = path.encode()
    layout = LAYOUTS[RecordClass.CGROUP]
    size = layout.size - RING_HEADER_SIZE + len(tail)
    fields = (size, VERSION, 0, size, 1, 1, bytes(32), 1, 1, 0, 0, 0, 0, comm.encode()[:15])
    data = bytearray(layout.pack(*fields, number, 1, 1, int(removed), len(tail)) + tail)
    data[RING_HEADER_SIZE + 1] = RecordClass.CGROUP
    return bytes(data) + bytes(-len(data) % 8)


def frame(*records: bytes, kind: FrameKind = FrameKind.LIFECYCLE) -> Frame:
    return Frame(kind, 0, 0, b"".join(records), Position(1, 0), Position(1, 8), HEADER)


def test_changes_are_read_in_their_order() -> None:
    """Every cgroup made and removed is read out of a frame, with its path and its maker."""
    payload = record(5, "/a") + record(6, "/b/long name", "mkdir") + record(5, "/a", removed=True)
    assert list(cgroup_changes(payload)) == [
        CgroupChange(5, "/a", "runc:[1:CHILD]", False),
        CgroupChange(6, "/b/long name", "mkdir", False),
        CgroupChange(5, "/a", "runc:[1:CHILD]", True),
    ]


@given(st.binary(max_size=300), st.integers(0, 300))
def test_no_bytes_stop_the_reader(noise: bytes, cut: int) -> None:
    """Damaged ring bytes end or are passed over, and never raise."""
    list(cgroup_changes(noise))
    list(cgroup_changes((record(5, "/a") + noise)[:cut]))


def test_a_new_container_is_selected_and_what_is_none_is_let_go() -> None:
    """Of cgroups made, containers are selected and all others excluded, so that nothing stays pending."""
    requests = Requests()
    selector = ContainerSelector(requests, 3, ContainerFilter())
    path = f"/kubepods/besteffort/pod12345678-1234-1234-1234-123456789abc/{ID}"
    selector.observe(frame(record(8, "/user.slice", "systemd"), record(9, path)))
    assert requests.made == [
        ("exclude", 8),
        ("select", 9, 3, "Container", {"id": ID, "path": path}),
    ]
    assert selector.selected == 1


def test_what_is_inside_a_container_goes_with_it() -> None:
    """A cgroup below a container's is asked for no more: the kernel hands the selection down."""
    requests = Requests()
    selector = ContainerSelector(requests, 0, ContainerFilter())
    selector.observe(frame(record(9, f"/docker/{ID}"), record(10, f"/docker/{ID}/init", "systemd")))
    assert [made[:2] for made in requests.made] == [("select", 9)]


def test_a_repeated_frame_selects_once() -> None:
    """A frame read twice after a crash makes one request."""
    requests = Requests()
    selector = ContainerSelector(requests, 0, ContainerFilter())
    for _ in range(2):
        selector.observe(frame(record(9, f"/docker/{ID}")))
    assert len(requests.made) == 1


def test_a_cgroup_number_used_again_is_another_cgroup() -> None:
    """After a cgroup was removed, one with its number is decided about anew."""
    requests = Requests()
    selector = ContainerSelector(requests, 0, ContainerFilter())
    selector.observe(frame(record(9, f"/docker/{ID}"), record(9, f"/docker/{ID}", removed=True)))
    selector.observe(frame(record(9, f"/docker/{OTHER}")))
    assert [made[4]["id"] for made in requests.made] == [ID, OTHER]


def test_the_commands_own_cgroup_is_left_alone() -> None:
    """What somebody else selected is neither selected nor excluded, nor what is made below it."""
    requests = Requests()
    selector = ContainerSelector(requests, 0, ContainerFilter())
    selector.leave(4, "/podcorder/one")
    selector.observe(frame(record(4, "/podcorder/one", "podcorder"), record(5, "/podcorder/one/x", "sh")))
    assert requests.made == []


@pytest.mark.parametrize(
    ("wanted", "selected"),
    [
        (ContainerFilter(), True),
        (ContainerFilter(include=("0123*",)), True),
        (ContainerFilter(include=("9*",)), False),
        (ContainerFilter(exclude=(ID,)), False),
        (ContainerFilter(include=("*",), exclude=("0*",)), False),
    ],
)
def test_the_policys_filter_decides(wanted: ContainerFilter, selected: bool) -> None:
    """Containers are taken by include, and never where exclude matches as well."""
    requests = Requests()
    ContainerSelector(requests, 0, wanted).observe(frame(record(9, f"/docker/{ID}")))
    assert [made[0] for made in requests.made] == ["select" if selected else "exclude"]


def test_containers_that_are_there_already_are_found(tmp_path: Path) -> None:
    """A scan selects containers, a bare one of runc by the process that holds it, and excludes nothing."""
    tree, proc = tmp_path / "cgroup", tmp_path / "proc"
    for name in (f"docker/{ID}", "user.slice", "web"):
        (tree / name).mkdir(parents=True)
    (tree / "web/cgroup.procs").write_text("70\n71\n")
    for pid, parent, comm in ((70, 60, "nginx"), (71, 70, "nginx"), (60, 1, "runc")):
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "stat").write_text(f"{pid} (a ) b) S {parent} 1 1")
        (proc / str(pid) / "comm").write_text(f"{comm}\n")
    requests = Requests()
    ContainerSelector(requests, 0, ContainerFilter(), proc).scan(tree)
    assert [(made[0], made[4]["path"]) for made in requests.made] == [("select", f"/docker/{ID}"), ("select", "/web")]


def test_record_bytes_are_the_kernels() -> None:
    """The records these tests are made of have the length word that the ring writes."""
    data = record(5, "/a")
    assert struct.unpack_from("<I", data)[0] == LAYOUTS[RecordClass.CGROUP].size - RING_HEADER_SIZE + 2
