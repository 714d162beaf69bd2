"""The cgroups of pods: which there are, whose, and which are sandboxes."""

from __future__ import annotations

from pathlib import Path

import pytest

from podcorder_agent.cluster.cgroups import PodCgroups
from podcorder_agent.machine.lifecycle import CgroupChange

UID = "8cc49130-27d7-4a43-ba0d-06b9063437e5"
POD = f"/kubepods/besteffort/pod{UID}"
SLICE = f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID.replace('-', '_')}.slice"
IDS = ["1" * 64, "2" * 64, "3" * 64]


def made(number: int, path: str, comm: str = "runc") -> CgroupChange:
    return CgroupChange(number, path, comm, False)


def removed(number: int) -> CgroupChange:
    return CgroupChange(number, "", "", True)


@pytest.mark.parametrize(
    ("pod", "form"),
    [(POD, "{}"), (SLICE, "cri-containerd-{}.scope"), (f"/outer.slice{SLICE}", "cri-containerd-{}.scope")],
)
def test_the_first_of_a_pod_is_its_sandbox(pod: str, form: str) -> None:
    """With both drivers of the kubelet the first is the sandbox, the others are containers of that pod."""
    cgroups = PodCgroups()
    assert not cgroups.observe(made(10, pod), 1)
    for number, each in enumerate(IDS):
        assert not cgroups.observe(made(11 + number, f"{pod}/{form.format(each)}"), 2)
    assert [(each.id, each.is_sandbox, each.held) for each in cgroups.known.values()] == [
        (11, True, True),
        (12, False, True),
        (13, False, True),
    ]
    assert {each.pod_uid for each in cgroups.known.values()} == {UID}
    assert [each.container_id for each in cgroups.known.values()] == IDS
    assert cgroups.of_pod(UID) == {11, 12, 13}


def test_a_restarted_container_is_no_sandbox() -> None:
    """While the sandbox lives, one that comes after another has gone is a container; once all are gone, a sandbox."""
    cgroups = PodCgroups()
    for number, each in enumerate(IDS[:2]):
        cgroups.observe(made(11 + number, f"{POD}/{each}"), 1)
    cgroups.observe(removed(12), 2)
    cgroups.observe(made(13, f"{POD}/{IDS[2]}"), 3)
    assert not cgroups.known[13].is_sandbox
    for number in (11, 13):
        cgroups.observe(removed(number), 4)
    cgroups.observe(made(14, f"{POD}/{'4' * 64}"), 5)
    assert cgroups.known[14].is_sandbox


@pytest.mark.parametrize("path", [f"{SLICE}/crio-{IDS[0]}.scope", f"{POD}/crio-{IDS[0]}"])
def test_cri_o_leaves_sandboxes_out(path: str) -> None:
    """With CRI-O the first of a pod may well be a container."""
    cgroups = PodCgroups()
    cgroups.observe(made(11, path), 1)
    assert not cgroups.known[11].is_sandbox


@pytest.mark.parametrize(
    "path",
    [
        *("/system.slice/cron.service", "/user.slice/x", f"/docker/{IDS[0]}", "/lxc/box"),
        *(f"{SLICE}/crio-conmon-{IDS[0]}.scope", f"{POD}/crio-conmon-{IDS[0]}"),
    ],
)
def test_what_is_no_pods_is_excluded(path: str) -> None:
    """Services, containers of others and CRI-O's monitors are not held."""
    assert PodCgroups().observe(made(11, path), 1)


@pytest.mark.parametrize("path", ["/kubepods", "/kubepods.slice/kubepods-burstable.slice", POD, SLICE])
def test_what_is_above_containers_is_left_alone(path: str) -> None:
    """An exclusion would be inherited by the containers that come."""
    assert not PodCgroups().observe(made(11, path), 1)


def test_what_is_inside_a_container_goes_with_it() -> None:
    """Neither a container nor to be excluded, even where it looks like one."""
    cgroups = PodCgroups()
    cgroups.observe(made(11, f"{POD}/{IDS[0]}"), 1)
    assert not cgroups.observe(made(12, f"{POD}/{IDS[0]}/init.scope"), 1)
    assert not cgroups.observe(made(13, f"{POD}/{IDS[0]}/docker/{IDS[1]}"), 1)
    assert cgroups.known.keys() == {11}


def test_beside_a_container_are_those_that_lived_when_it_did() -> None:
    """Not those that ended before it began, nor those that began after its end; the others of its pod."""
    cgroups = PodCgroups()
    history = [(11, None), (12, 20), (13, None), (14, 40), (15, None)]
    for time, (number, ended) in zip((10, 15, 30, 35, 50), history, strict=True):
        cgroups.observe(made(number, f"{POD}/{number:064x}"), time)
        if ended is not None:
            cgroups.observe(removed(number), ended)
    beside = {number: {int(each, 16) for each in cgroups.beside(cgroups.known[number])} for number, _ in history}
    assert beside == {11: {12, 13, 14, 15}, 12: {11}, 13: {11, 14, 15}, 14: {11, 13}, 15: {11, 13}}


def test_a_node_in_a_container_knows_what_is_inside(tmp_path: Path) -> None:
    """A scan finds paths within the node, the kernel tells of those within the machine: what a container makes in
    itself is its own all the same."""
    make_tree(tmp_path, f"{SLICE}/cri-containerd-{IDS[0]}.scope")
    cgroups = PodCgroups()
    cgroups.scan(tmp_path, 1)
    assert not cgroups.observe(made(12, f"/docker/{IDS[1]}{SLICE}/cri-containerd-{IDS[0]}.scope/inner"), 2)
    assert not cgroups.observe(made(13, f"/docker/{IDS[1]}{SLICE}/cri-containerd-{IDS[2]}.scope"), 2)
    assert [each.container_id for each in cgroups.known.values()] == [IDS[0], IDS[2]]


def make_tree(root: Path, *paths: str) -> list[int]:
    for each in paths:
        (root / each.strip("/")).mkdir(parents=True)
    return [(root / each.strip("/")).stat().st_ino for each in paths]


def test_a_scan_finds_what_is_there(tmp_path: Path) -> None:
    """Containers that were there before, not held, the oldest of a pod being the sandbox; nested ones are none."""
    numbers = make_tree(tmp_path, f"{POD}/{IDS[0]}", f"{POD}/{IDS[1]}", f"{POD}/{IDS[1]}/init.scope", "/system.slice")
    cgroups = PodCgroups()
    cgroups.scan(tmp_path, 1)
    assert cgroups.known.keys() == set(numbers[:2])
    sandbox = min(numbers[:2])
    assert all(each.is_sandbox is (each.id == sandbox) and not each.held for each in cgroups.known.values())


def test_a_scan_notes_what_is_gone(tmp_path: Path) -> None:
    """What was there and is not any more is removed; what a scan finds first and the kernel tells of later is held."""
    (number,) = make_tree(tmp_path, f"{POD}/{IDS[0]}")
    cgroups = PodCgroups()
    cgroups.observe(made(5, f"{POD}/{IDS[1]}"), 1)
    cgroups.scan(tmp_path, 2)
    assert cgroups.known[5].removed == 2
    assert not cgroups.observe(made(number, f"{POD}/{IDS[0]}"), 3)
    assert cgroups.known[number].held
    cgroups.forget(5)
    assert cgroups.of_pod(UID) == {number}
