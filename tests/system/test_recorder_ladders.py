"""How a capability falls from rung to rung, and what is left behind where it falls through."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.recordings import BPFFS, mount_bpffs

from podcorder_agent.recorder.attachments import Attachments
from podcorder_agent.recorder.classes import event_bits
from podcorder_agent.recorder.identities import Identities
from podcorder_agent.recorder.kernel_maps import KernelMaps, make_skipped_map
from podcorder_agent.recorder.ladders import LADDERS, Capability, Rung
from podcorder_agent.recorder.loaders import ARCHITECTURES, OBJECTS, CoreLoader
from podcorder_agent.recorder.pins import Pins
from podcorder_agent.recorder.probes import list_leftovers

OPEN = event_bits(["open"])
CONNECT = event_bits(["connect"])
GOOD = Rung("good", "syscalls", {"dispatch_syscall": "open"})
LESSER = Rung("lesser", "syscalls", {"dispatch_syscall": "open"}, limits="it covers less")
REFUSED = Rung("refused", "unsafe", {"unsafe": "open"})
STANDING = Rung("standing", "syscalls", {"dispatch_syscall": "open"}, requires="syscalls")
UNSAFE_STANDING = Rung("unsafe", "unsafe", {"unsafe": "open"}, requires="syscalls")
RAW_GOOD = Rung("raw", "raw/syscalls", {"dispatch_syscall": "open"})
RAW_STANDING = Rung("raw_standing", "raw/syscalls", {"dispatch_syscall": "open"}, requires="syscalls")
ABSENT = Rung("absent", "absent", {"nothing": "open"})


@pytest.fixture
def pins() -> Iterator[Pins]:
    mount_bpffs()
    made = Pins(BPFFS / f"podcorder-test-{uuid.uuid4().hex[:8]}")
    made.prepare()
    yield made
    made.remove()
    made.close()


@pytest.fixture
def loader(tmp_path: Path, workloads: Path) -> CoreLoader:
    """The real objects, and one with a program that the verifier refuses."""
    shutil.copytree(OBJECTS / ARCHITECTURES[os.uname().machine], tmp_path, dirs_exist_ok=True)
    shutil.copy(workloads / "unsafe.bpf.o", tmp_path)
    return CoreLoader(tmp_path)


def attach(loader: CoreLoader, pins: Pins, *ladders: Capability) -> Attachments:
    loader.make_maps(pins, 1 << 16)
    make_skipped_map(pins)
    attachments = Attachments(loader, pins, KernelMaps(pins), Identities(loader), ladders)
    attachments.apply(OPEN)
    return attachments


def ladder(*rungs: Rung, name: str = "files", event_class: str = "open") -> Capability:
    return Capability(name, frozenset({event_class}), rungs)


def base(*rungs: Rung) -> Capability:
    return Capability("syscalls", frozenset(), rungs, on_demand=True)


def test_first_rung_that_loads_is_taken(loader: CoreLoader, pins: Pins) -> None:
    """What the kernel refuses and what is not installed are passed over."""
    attachments = attach(loader, pins, ladder(ABSENT, REFUSED, GOOD, LESSER))
    assert attachments.states["files"] == {"state": "Active", "rung": "good", "reason": ""}
    assert pins.attached() == {("files", "good"): {"dispatch_syscall"}}


def test_lesser_rung_is_degraded(loader: CoreLoader, pins: Pins) -> None:
    """A rung that covers less says what it does not cover."""
    attachments = attach(loader, pins, ladder(REFUSED, LESSER, GOOD))
    assert attachments.states["files"] == {"state": "Degraded", "rung": "lesser", "reason": "it covers less"}


def test_no_rung_is_failed_with_every_reason(loader: CoreLoader, pins: Pins) -> None:
    """Where nothing loads, each rung's reason is told, the verifier's own word included; nothing stays behind."""
    attachments = attach(loader, pins, ladder(ABSENT, REFUSED))
    state = attachments.states["files"]
    assert (state["state"], state["rung"]) == ("Failed", "")
    assert "absent.bpf.o is missing" in state["reason"]
    assert "invalid mem access" in state["reason"]
    assert [each for each in list_leftovers(pins.directory) if not each.startswith("maps/")] == []


def test_what_stands_on_a_failed_one_is_passed_over(loader: CoreLoader, pins: Pins) -> None:
    """A rung whose requirement no rung fulfils counts as refused, for that reason."""
    attachments = attach(loader, pins, base(REFUSED), ladder(STANDING))
    assert attachments.states["syscalls"]["state"] == "Failed"
    assert attachments.states["files"]["state"] == "Failed"
    assert attachments.states["files"]["reason"].startswith("standing: needs syscalls: refused: ")
    assert pins.attached() == {}


def test_requirement_is_attached_for_the_rung_taken_alone(loader: CoreLoader, pins: Pins) -> None:
    """What a lower rung would stand on is not attached while a higher one does without."""
    attachments = attach(loader, pins, base(GOOD), ladder(GOOD, STANDING))
    assert attachments.states["syscalls"]["state"] == "Off"
    assert pins.attached().keys() == {("files", "good")}


def test_requirement_of_a_refused_rung_is_let_go(loader: CoreLoader, pins: Pins) -> None:
    """What was attached for a rung that was then refused does not stay behind."""
    refused = Rung("refused", "unsafe", {"unsafe": "open"}, requires="syscalls")
    attachments = attach(loader, pins, base(GOOD), ladder(refused, GOOD))
    assert attachments.states["syscalls"]["state"] == "Off"
    assert pins.attached().keys() == {("files", "good")}


def test_requirement_goes_with_the_last_that_stands_on_it(loader: CoreLoader, pins: Pins) -> None:
    """It is attached once for all, and detached when the last need goes."""
    connects = ladder(STANDING, name="connects", event_class="connect")
    attachments = attach(loader, pins, base(GOOD), ladder(STANDING), connects)
    attachments.apply(OPEN | CONNECT)
    assert pins.attached().keys() == {("syscalls", "good"), ("files", "standing"), ("connects", "standing")}
    attachments.apply(CONNECT)
    assert pins.attached().keys() == {("syscalls", "good"), ("connects", "standing")}
    attachments.apply(0)
    assert pins.attached() == {}


def test_requirement_is_taken_over_with_what_stands_on_it(loader: CoreLoader, pins: Pins) -> None:
    """A recorder that takes over keeps both, or undoes and renews a rung whose requirement is gone."""
    ladders = (base(GOOD), ladder(STANDING))
    states = attach(loader, pins, *ladders).states
    second = Attachments(loader, pins, KernelMaps(pins), Identities(loader), ladders)
    second.adopt()
    assert second.states == states
    assert not second.apply(OPEN)

    (pins.links / "syscalls" / "good" / "dispatch_syscall").unlink()
    third = Attachments(loader, pins, KernelMaps(pins), Identities(loader), ladders)
    third.adopt()
    assert {state["state"] for state in third.states.values()} == {"Off"}
    assert pins.attached().keys() == set()
    third.apply(OPEN)
    assert third.states == states


def test_raw_rung_stands_on_a_raw_one(loader: CoreLoader, pins: Pins) -> None:
    """An array of programs takes those of one kind: a requirement that nobody stands on yet is changed for it."""
    attachments = attach(loader, pins, base(GOOD, RAW_GOOD), ladder(UNSAFE_STANDING, RAW_STANDING))
    assert attachments.states["files"]["state"] == "Active"
    assert pins.attached().keys() == {("syscalls", "raw"), ("files", "raw_standing")}


def test_requirement_is_not_changed_under_others(loader: CoreLoader, pins: Pins) -> None:
    """What others stand on stays as it is: the raw rung is refused, and the next is tried."""
    connects = ladder(RAW_STANDING, LESSER, name="connects", event_class="connect")
    attachments = attach(loader, pins, base(GOOD, RAW_GOOD), ladder(STANDING), connects)
    attachments.apply(OPEN | CONNECT)
    assert pins.attached().keys() == {("syscalls", "good"), ("files", "standing"), ("connects", "lesser")}


def test_failure_is_tried_again_with_a_new_need(loader: CoreLoader, pins: Pins, tmp_path: Path) -> None:
    """A failed capability rests while the need lasts, and gets its next chance with the next need."""
    attachments = attach(loader, pins, ladder(Rung("late", "late", {"dispatch_syscall": "open"})))
    assert attachments.states["files"]["state"] == "Failed"
    shutil.copy(tmp_path / "syscalls.bpf.o", tmp_path / "late.bpf.o")
    assert not attachments.apply(OPEN)
    attachments.apply(0)
    attachments.apply(OPEN)
    assert attachments.states["files"]["state"] == "Active"


def test_every_class_has_a_capability() -> None:
    """Whatever class a slot may ask for, some capability attaches for it; what rungs require is there on demand."""
    covered = frozenset().union(*(each.classes for each in LADDERS))
    assert covered | {"exec", "fork", "exit", "cgroup"} >= frozenset(
        {"exec_failed", "open", "open_failed", "connect", "accept", "listen", "datagram"}
    )
    required = {rung.requires for each in LADDERS for rung in each.rungs} - {""}
    assert required == {each.name for each in LADDERS if each.on_demand}
