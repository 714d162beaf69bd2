"""On a machine that has the version 2 cgroup tree alone, containers are recorded as on every other."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from machines.kernels import KERNELS
from machines.machine import Machine, Outcome

TESTS = (
    "tests/machines/inside/systemd_scopes.py",
    "tests/system/test_containers.py",
    "tests/system/test_nested_cgroups.py",
    "tests/system/test_own_sessions.py",
    "tests/system/test_recorder_container.py",
)
LEFT_OUT = "takes_over_without_a_gap"
"""Half a million events are too many for an emulated machine."""
COMMAND = f"""
cp /proc/self/mounts /results/mounts
python3 -m pytest --color=no -p no:cacheprovider --junit-xml=/results/tests.xml -k "not {LEFT_OUT}" {" ".join(TESTS)}
"""
SECONDS = 1200


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Of all tests of containers, run in the machine; what it printed is shown where one of these fails."""
    console = tmp_path_factory.mktemp("machine") / "console"
    outcome = Machine.prepare(KERNELS["6.1-amd64"]).run(COMMAND, console, SECONDS)
    print(console.read_text(errors="replace"))
    return outcome


def test_the_machine_has_no_version_1(outcome: Outcome) -> None:
    """One cgroup file system is mounted, at /sys/fs/cgroup, and it is of version 2."""
    mounts = [line.split() for line in outcome.files["mounts"].decode().splitlines()]
    assert [(kind, point) for _, point, kind, *_ in mounts if "cgroup" in kind] == [("cgroup2", "/sys/fs/cgroup")]


def test_containers_are_recorded(outcome: Outcome) -> None:
    """Those of runc, crun and containerd, with the cgroupfs and the systemd driver: every test of them passes."""
    cases = list(ElementTree.fromstring(outcome.files["tests.xml"]).iter("testcase"))
    failed = [each.get("name") for each in cases if len(each)]
    assert not failed, f"failed or skipped in the machine: {failed}"
    files = {Path(*each.get("classname", "").split(".")).with_suffix(".py") for each in cases}
    assert files == set(map(Path, TESTS))
    assert outcome.exit_code == 0
