"""What the exporter's tests need: somebody who receives, and a recorder without a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.receivers import Receiver
from fixtures.unprivileged_recorder import UnprivilegedRecorder


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[UnprivilegedRecorder]:
    with UnprivilegedRecorder(tmp_path / "journal") as found:
        found.begin()
        yield found
