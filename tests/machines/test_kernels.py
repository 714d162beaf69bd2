"""What every kernel must do with either loader: `make test-kernels`. Of all there are, `make test` takes two."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from budget.table import compare_section, read_table
from machines.figures import RUNS, compare, read_figures, write_run
from machines.kernel_runs import LOADERS, KernelRun, choose_tests, run_kernel
from machines.kernels import Kernel, find

SHORT_KERNELS = "6.1 5.10"
CHOSEN = [find(name) for name in os.environ.get("KERNELS", SHORT_KERNELS).split()]
IS_SHORT = os.environ.get("KERNEL_TESTS", "short") == "short"
EMULATED_AT_ONCE = 2
"""A machine's tests wait much of the time."""
REMEDY = "if that is meant, run make test-kernels"

Runs = dict[tuple[Kernel, str], "Future[KernelRun]"]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Those that a test asks for, begun. What each machine printed stays in build/kernels."""
    RUNS.mkdir(parents=True, exist_ok=True)
    parameters = [each.callspec.params for each in request.session.items if isinstance(each, pytest.Function)
                  and each.path == Path(__file__)]  # fmt: skip
    with ThreadPoolExecutor(EMULATED_AT_ONCE) as pool:
        begun = {
            (kernel, loader): pool.submit(
                run_kernel,
                kernel,
                loader,
                choose_tests(kernel, loader, short=IS_SHORT),
                find_console(kernel, loader),
            )
            for kernel, loader in dict.fromkeys((each["kernel"], each["loader"]) for each in parameters)
        }
        try:
            yield begun
        finally:
            pool.shutdown(cancel_futures=True)


def find_console(kernel: Kernel, loader: str) -> Path:
    """Of a machine."""
    return RUNS / f"{kernel.name}-{loader}.console"


@pytest.fixture(scope="module", params=LOADERS)
def loader(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=CHOSEN, ids=[each.name for each in CHOSEN])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    found: Kernel = request.param
    return found


@pytest.fixture(scope="module")
def run(runs: Runs, kernel: Kernel, loader: str) -> KernelRun:
    """One that has ended; what it said is kept in build/kernels."""
    ended = runs[kernel, loader].result()
    write_run(kernel, loader, ended, datetime.date.today().isoformat())
    return ended


def test_machine_has_that_kernel_and_cgroups_of_version_2_alone(run: KernelRun, kernel: Kernel) -> None:
    """What boots is what was asked for, and one cgroup file system is mounted, of version 2."""
    assert kernel.release == "sid" or run.report["release"].startswith(f"{kernel.release}.")
    assert run.report["cgroups"] == ["/sys/fs/cgroup"]


def test_no_rung_is_lost(run: KernelRun, kernel: Kernel, loader: str) -> None:
    """Each rung that the kernel took when it was last written down is still taken, and no capability covers less."""
    assert compare(read_figures(kernel).get(loader, {}), run.report) == [], REMEDY


def test_capability_says_why_it_is_less(run: KernelRun) -> None:
    """A recorder takes the first rung that doctor found; its state says what that leaves out, or why there is none."""
    for name, state in run.report["capabilities"].items():
        rungs = [each for each in run.report["rungs"] if each["capability"] == name]
        taken = next((each for each in rungs if each["ok"]), None)
        assert state["state"] == ("Failed" if not taken else "Degraded" if taken["reason"] else "Active"), name
        assert state["rung"] == (taken["rung"] if taken else ""), name
        assert state["reason"] == taken["reason"] if taken else state["reason"], name


def test_everything_is_recorded(run: KernelRun, kernel: Kernel, loader: str) -> None:
    """Every test passes there, none is skipped; those of what a capability says that it does not see fail."""
    if run.failed:
        print(find_console(kernel, loader).read_text(errors="replace"))
    assert run.failed == []
    assert run.passed.keys() == {Path(each.partition("::")[0]) for each in choose_tests(kernel, loader, short=IS_SHORT)}
    assert run.exit_code == 0


def test_verifier_stays_in_its_budget(run: KernelRun) -> None:
    """No program costs that kernel's verifier a tenth more than what is written down."""
    table: dict[str, Any] = read_table()
    found = [
        each
        for name, section in run.verifier.items()
        for each in compare_section(name, table.get(name, {}), section, "run make test-kernels")
        if name in table
    ]
    assert not found, f"{found}: {REMEDY}"
