"""One kernel with one loader: what a machine with it says of itself, and which of the tests pass there."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machines.kernels import Kernel
from machines.machine import Machine, MachineFailed

LOADERS = ("core", "bcc")
BPF_TESTS = (
    "tests/bpf/test_network_calls.py",
    "tests/bpf/test_network_filters.py",
    "tests/bpf/test_network_tcp.py",
    "tests/bpf/test_network_udp.py",
)
CONTAINER_TESTS = ("tests/machines/inside/systemd_scopes.py", "tests/system/test_containers.py")
MORE_CONTAINER_TESTS = (
    "tests/system/test_nested_cgroups.py",
    "tests/system/test_own_sessions.py",
    "tests/system/test_recorder_container.py",
)
"""Of one kernel: they are about the tree of cgroups, which is the same on all."""
MORE_CONTAINERS_WITH = "6.1-amd64"
EVENT_TESTS = (
    "tests/system/test_endings.py",
    "tests/system/test_escapes.py",
    "tests/system/test_evasions.py",
    "tests/system/test_file_filters.py",
    "tests/system/test_host_sessions.py",
    "tests/system/test_law.py",
    "tests/system/test_pid_namespaces.py",
)
LIFECYCLE_TESTS = "tests/system/test_recorder_lifecycle.py"
RECORDER_TESTS = (
    "tests/system/test_recorder_ladders.py",
    f"{LIFECYCLE_TESTS}::test_stop_with_unpin_writes_final_counters",
    f"{LIFECYCLE_TESTS}::test_sigterm_leaves_the_programs_at_work",
    f"{LIFECYCLE_TESTS}::test_kill_loses_nothing_the_ring_holds",
    f"{LIFECYCLE_TESTS}::test_half_attached_programs_are_made_whole",
    "tests/system/test_unloading.py",
)
"""Those that ask something of the kernel."""
TESTS = {
    "core": (*BPF_TESTS, *CONTAINER_TESTS, *EVENT_TESTS, *RECORDER_TESTS),
    "bcc": (
        "tests/system/test_loaders.py::test_both_loaders_tell_the_same",
        "tests/system/test_law.py",
    ),
}
"""With bcc every event is compared with the other loader's, field by field."""
SHORT_TESTS = {
    "core": (BPF_TESTS[0], "tests/system/test_evasions.py", "tests/system/test_law.py"),
    "bcc": TESTS["bcc"][:1],
}
"""What `make test` has time for; the containers' besides, with one kernel."""
LEFT_OUT = {
    "peer_and_port_decide": "the filters of files say as much of a kernel's prefix tries",
    "takes_over_without_a_gap": "half a million events are too many for an emulated machine",
}
"""Tests by a part of their names, and why they are not run."""
NO_SILENT_CALLS = "io_uring has no calls without a completion before 5.17"
LEFT_OUT_OF = {
    "arm64": {"32_bit": "the programs of 32 bits are x86's"},
    "5.10": {
        "silent_io_uring": NO_SILENT_CALLS,
        "without_completion": NO_SILENT_CALLS,
        "accepts_are_recorded[multishot]": "io_uring accepts one connection at a time before 5.19",
    },
    "sid": {"io_uring_hides_neither": "7.2 forgets the caller's name: failed opens through io_uring lack it"},
    "6.12": {"accepts_are_recorded[direct]": "before 6.13 an accept into a ring's own slot is told without its peer"},
}
"""The same, of machines of one architecture or release."""
DIVISOR = 50
"""By which the workloads of the law are smaller."""
SECONDS = 1800
_COMMAND = """
export PYTHONPATH=$PYTHONPATH:/project/tests:/project/deploy
export PODCORDER_TEST_LOADER={loader} PODCORDER_TEST_DIVISOR={divisor}
python3 -m machines.inside.report {loader} >/results/report.json || exit
python3 -m budget measure --loader {loader} >/results/verifier.json
export PODCORDER_TEST_REPORT=/results/report.json
python3 -m pytest --color=no -p no:cacheprovider --basetemp=/root/tests --junit-xml=/results/tests.xml --durations=15 \\
    -k "{chosen}" {tests}
"""


def choose_tests(kernel: Kernel, loader: str, *, short: bool) -> tuple[str, ...]:
    """What is run with it."""
    chosen = SHORT_TESTS if short else TESTS
    more = MORE_CONTAINER_TESTS if (kernel.name, loader) == (MORE_CONTAINERS_WITH, "core") else ()
    return tuple(dict.fromkeys((*chosen[loader], *more, *(CONTAINER_TESTS if more else ()))))


def left_out(kernel: Kernel) -> dict[str, str]:
    """Tests by a part of their names, and why they are not run with it."""
    return LEFT_OUT | LEFT_OUT_OF.get(kernel.architecture, {}) | LEFT_OUT_OF.get(kernel.release, {})


@dataclass(frozen=True, slots=True)
class KernelRun:
    """What came of it."""

    report: dict[str, Any]
    """Of `machines.inside.report`."""
    verifier: dict[str, Any]
    """Of `python -m budget measure`."""
    passed: Counter[Path]
    """Tests of each file."""
    contradicted: list[str]
    """Tests that must fail there, since a capability does not cover what they ask for, and do."""
    failed: list[str]
    """Tests that failed, or were skipped."""
    exit_code: int


def run_kernel(kernel: Kernel, loader: str, tests: tuple[str, ...], console: Path) -> KernelRun:
    """Boot it and let it say; `console` takes what it prints. Raises CommandFailed, MachineFailed."""
    chosen = " and ".join(f"not {each}" for each in left_out(kernel))
    command = _COMMAND.format(loader=loader, divisor=DIVISOR, chosen=chosen, tests=" ".join(tests))
    outcome = Machine.prepare(kernel).run(command, console, SECONDS)
    try:
        report, verifier, results = (outcome.files[each] for each in ("report.json", "verifier.json", "tests.xml"))
        return _read(json.loads(report), json.loads(verifier), ElementTree.fromstring(results), outcome.exit_code)
    except (KeyError, ValueError, ElementTree.ParseError) as error:
        words = console.read_text(errors="replace")[-4000:]
        raise MachineFailed(f"{kernel.name} left no report of {loader} ({error}): {words}") from None


def _read(report: dict[str, Any], verifier: dict[str, Any], tests: ElementTree.Element, exit_code: int) -> KernelRun:
    passed: Counter[Path] = Counter()
    contradicted, failed = [], []
    for case in tests.iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        results = [each for each in case if each.tag in ("failure", "error", "skipped")]
        if not results:
            passed[Path(*case.get("classname", "").split(".")).with_suffix(".py")] += 1
        elif all(each.get("type") == "pytest.xfail" for each in results):
            contradicted.append(name)
        else:
            failed.append(name)
    return KernelRun(report, verifier, passed, contradicted, failed, exit_code)
