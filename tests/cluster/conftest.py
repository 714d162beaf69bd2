"""Fixtures of the tests that need an API server or a whole cluster; see docs/test-cluster.md."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.control_plane import ControlPlane


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A control plane without nodes, for every test of the session: tests take names and namespaces of their own."""
    with tempfile.TemporaryDirectory(prefix="podcorder-cluster-") as directory:
        made = ControlPlane.create(Path(directory))
        try:
            made.start()
            yield made
        finally:
            made.stop()
