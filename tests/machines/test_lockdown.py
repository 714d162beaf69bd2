"""A kernel that is locked down, for integrity and for confidentiality."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from machines.kernels import KERNELS
from machines.machine import Machine

TESTS = "tests/machines/inside/rising_lockdown.py"
COMMAND = f"python3 -m pytest --color=no -p no:cacheprovider --junit-xml=/results/tests.xml {TESTS}"
SECONDS = 300


def test_lockdown_is_told(tmp_path: Path) -> None:
    """Integrity takes nothing away; confidentiality takes all, and each way in says so: every test of it passes."""
    console = tmp_path / "console"
    outcome = Machine.prepare(KERNELS["6.1-amd64"]).run(COMMAND, console, SECONDS)
    print(console.read_text(errors="replace"))
    cases = list(ElementTree.fromstring(outcome.files["tests.xml"]).iter("testcase"))
    failed = [each.get("name") for each in cases if len(each)]
    assert not failed, f"failed or skipped in the machine: {failed}"
    assert cases
    assert outcome.exit_code == 0
