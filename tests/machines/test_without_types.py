"""On a kernel without BTF bcc records the same, by the kernel's headers: a part of `make test-kernels`."""

from __future__ import annotations

from pathlib import Path

from machines.headers import MOUNT, prepare_headers
from machines.kernels import find
from machines.machine import Machine

KERNEL = find("6.1")
COMMAND = f"{MOUNT}\npython3 -m pytest --color=no -p no:cacheprovider tests/machines/inside/without_types.py"
SECONDS = 900


def test_headers_stand_in_for_types(tmp_path: Path) -> None:
    """Every field and every event, in a machine where both can be had."""
    machine = Machine.prepare(KERNEL)
    console = tmp_path / "console"
    outcome = machine.run(COMMAND, console, SECONDS, "", prepare_headers(KERNEL, machine))
    assert outcome.exit_code == 0, console.read_text(errors="replace")
