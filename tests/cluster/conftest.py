"""Fixtures of the tests that need an API server or a whole cluster; see docs/test-cluster.md."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from cluster.control_plane import ControlPlane
from cluster.whole_cluster import WholeCluster

Kind = TypeVar("Kind", bound=ControlPlane)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A control plane without nodes, for every test of the session: tests take names and namespaces of their own."""
    with start(ControlPlane) as made:
        yield made


@pytest.fixture(scope="session")
def whole_cluster() -> Iterator[WholeCluster]:
    """A cluster with one node whose pods run, for every test of the session."""
    with start(WholeCluster) as made:
        yield made


@contextmanager
def start(kind: type[Kind]) -> Iterator[Kind]:
    """A cluster of this kind, started; it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="podcorder-cluster-") as directory:
        made = kind.create(Path(directory))
        try:
            made.start()
            yield made
        finally:
            made.stop()
