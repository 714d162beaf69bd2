"""What this machine can do, tried for real: `python -m podcorder_agent.recorder.probes --json`.

`--mount` mounts a missing bpffs, `--clean` removes what a recorder left pinned, `--quick` tries no rungs.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
from pathlib import Path
from typing import TypedDict

from podcorder_agent.errors import PodcorderError
from podcorder_agent.loaders import LOADERS
from podcorder_agent.mounts import cgroup2_mount, mount_points
from podcorder_agent.recorder import libbpf
from podcorder_agent.recorder.choice import choose_loader
from podcorder_agent.recorder.errors import LockedDown, ObjectMissing, PinsBusy, PinsUnusable, RingBufferMissing, Unable
from podcorder_agent.recorder.kernel_types import BTF_PATH
from podcorder_agent.recorder.ladders import LADDERS
from podcorder_agent.recorder.loaders import CoreLoader, RungRefused
from podcorder_agent.recorder.pins import DEFAULT_PINS, Pins
from podcorder_agent.recorder.privileges import (
    KEPT,
    are_known,
    drop_privileges,
    effective_capabilities,
    lift_memory_limit,
)

BPFFS = Path("/sys/fs/bpf")
_OLDEST_KERNEL = (5, 8)


class Check(TypedDict):
    """One thing a recorder needs."""

    name: str
    ok: bool
    detail: str
    remedy: str
    """Empty where it is fine."""


class Attempt(TypedDict):
    """One rung, tried."""

    capability: str
    rung: str
    ok: bool
    reason: str
    """Why the kernel refused it, or what it does not cover."""


class Report(TypedDict):
    """What `doctor` shows."""

    checks: list[Check]
    rungs: list[Attempt]
    pins: str
    leftovers: list[str]
    """Pinned below `pins` while no recorder holds them."""
    recorder_running: bool
    trace: str
    """Level of the log lines that the pinned programs write; empty: they write none."""


def examine(pins: Path, objects: Path | None, wanted: str = "auto", *, quick: bool = False) -> Report:
    """Everything at once, with the loader `wanted`; needs no privileges to answer, only to answer well."""
    loader, check = check_loader(wanted, objects)
    checks = [*check_machine(needs_types=loader is None or loader.needs_kernel_types), check]
    able = not quick and all(check["ok"] for check in checks if check["name"] in ("privileges", "libbpf"))
    if able and loader:
        found = check_kernel(loader)
        checks += found
        able = all(check["ok"] for check in found)
    running = is_held(pins)
    return Report(
        checks=checks,
        rungs=try_ladders(loader) if able and loader else [],
        pins=str(pins),
        leftovers=[] if running else list_leftovers(pins),
        recorder_running=running,
        trace=Pins(pins).trace,
    )


def check_machine(*, needs_types: bool) -> list[Check]:
    """Privileges, kernel, BTF, mounts and library; `needs_types`: nothing can stand in for BTF."""
    release = os.uname().release
    kernel = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    unified = cgroup2_mount()
    privileged = "run as root" if are_known() else str(RingBufferMissing())
    try:
        library = libbpf.version()
        library_remedy = ""
    except PodcorderError as error:
        library, library_remedy = "not usable", str(error)
    return [
        _check("privileges", effective_capabilities() & KEPT == KEPT, "CAP_BPF and CAP_PERFMON", privileged),
        _check("kernel", kernel >= _OLDEST_KERNEL, release, "boot Linux 5.8 or newer"),
        _check(
            "btf",
            not needs_types or BTF_PATH.exists(),
            str(BTF_PATH) if needs_types else "not needed: the node's kernel headers stand in for it",
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y",
        ),
        _check("libbpf", not library_remedy, library, library_remedy),
        _check("bpffs", bool(mount_points("bpf")), str(BPFFS), f"mount -t bpf bpf {BPFFS}"),
        _check(
            "cgroup2",
            unified is not None,
            str(unified or "not mounted"),
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
        ),
        _check(
            "tracefs",
            bool(mount_points("tracefs")),
            "for the trace pipe of debug builds only",
            "mount -t tracefs tracefs /sys/kernel/tracing",
        ),
    ]


def check_loader(wanted: str, objects: Path | None) -> tuple[CoreLoader | None, Check]:
    """The loader that a recorder would work with."""
    try:
        loader, reason = choose_loader(wanted, objects)
    except PodcorderError as error:
        return None, _check("loader", False, f"{wanted}: not usable", str(error))
    return loader, _check("loader", True, f"{loader.name}: {reason}", "")


def check_kernel(loader: CoreLoader) -> list[Check]:
    """What no rung does without."""
    refusal: Unable | None = None
    try:
        loader.check_kernel()
    except Unable as error:
        refusal = error
    except ObjectMissing:
        pass  # every rung says so
    rings, locked = not isinstance(refusal, RingBufferMissing), isinstance(refusal, LockedDown)
    return [
        _check("ring buffers", rings, "BPF has them" if rings else "BPF has none", "boot Linux 5.8 or newer"),
        _check(
            "lockdown",
            not locked,
            "confidentiality: no program may read the kernel's memory" if locked else "none, or integrity",
            "boot with lockdown=integrity, or without",
        ),
    ]


def _check(name: str, ok: bool, detail: str, remedy: str) -> Check:
    return Check(name=name, ok=ok, detail=detail, remedy="" if ok else remedy)


def try_ladders(loader: CoreLoader) -> list[Attempt]:
    """Load and attach each rung, in a child that has only what a recorder has."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.close(read_end)
        lift_memory_limit()
        drop_privileges()
        with os.fdopen(write_end, "w") as pipe:
            json.dump(_try_all(loader), pipe)
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    attempts: list[Attempt] = json.loads(text) if text else []
    return attempts


def _try_all(loader: CoreLoader) -> list[Attempt]:
    attempts = []
    for capability in LADDERS:
        for rung in capability.rungs:
            reason, ok = rung.limits, True
            try:
                loader.try_rung(rung)
            except (RungRefused, PodcorderError) as error:
                reason, ok = str(error), False
            attempts.append(Attempt(capability=capability.name, rung=rung.name, ok=ok, reason=reason))
    return attempts


def is_held(directory: Path) -> bool:
    """Whether a recorder works with these pins now."""
    if not directory.exists():
        return False
    pins = Pins(directory)
    try:
        pins.lock()
    except PinsBusy:
        return True
    except PinsUnusable:
        return False
    pins.close()
    return False


def list_leftovers(directory: Path) -> list[str]:
    """What is pinned, relative to the directory."""
    return sorted(
        os.path.relpath(os.path.join(place, name), directory)
        for place, _, names in os.walk(directory)
        for name in names
    )


def clean(directory: Path) -> list[str]:
    """Detach and unpin everything a recorder left; raises PinsBusy while one works there."""
    if not directory.exists():
        return []
    pins = Pins(directory)
    pins.lock()
    try:
        removed = list_leftovers(directory)
        pins.remove()
    finally:
        pins.close()
    return removed


def mount_bpffs() -> bool:
    """Mount a bpffs where there is none; whether it had to. Raises PinsUnusable."""
    if mount_points("bpf"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(BPFFS), b"bpf", 0, None):
        reason = os.strerror(ctypes.get_errno())
        raise PinsUnusable(f"No bpffs is mounted and none can be ({reason}): run as root, mount -t bpf bpf {BPFFS}.")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="podcorder-probes", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    parser.add_argument("--clean", action="store_true", help="remove what is pinned, then report")
    parser.add_argument("--quick", action="store_true", help="try no rungs: the machine's checks and the pins alone")
    parser.add_argument("--mount", action="store_true", help="mount a missing bpffs, then report")
    parser.add_argument("--pins", type=Path, default=DEFAULT_PINS, help="directory in a bpffs (default: %(default)s)")
    parser.add_argument("--loader", choices=LOADERS, default="auto", help="what makes programs (default: %(default)s)")
    parser.add_argument("--objects", type=Path, help="directory of compiled BPF objects (default: the package's)")
    options = parser.parse_args()
    try:
        if options.mount:
            mount_bpffs()
        removed = clean(options.pins) if options.clean else []
        report = {**examine(options.pins, options.objects, options.loader, quick=options.quick), "removed": removed}
    except PodcorderError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    json.dump(report, sys.stdout, indent=None if options.json else 2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
