"""Fixtures of the tests that need an API server or a whole cluster; see docs/test-cluster.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster.control_plane import ControlPlane
from cluster.whole_cluster import WholeCluster
from fixtures.api_clients import ApiClient
from fixtures.config_histories import ConfigHistory
from fixtures.installations import Installation, Operator


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """A control plane without nodes, for every test of a module: tests take names and namespaces of their own."""
    with ControlPlane.running() as made:
        yield made


@pytest.fixture(scope="module")
def whole_cluster() -> Iterator[WholeCluster]:
    """A cluster with one node whose pods run, for every test of a module."""
    with WholeCluster.running() as made:
        yield made


@pytest.fixture(scope="module")
def cluster_with_chart(control_plane: ControlPlane) -> Installation:
    """The control plane with the chart installed."""
    return Installation(control_plane)


@pytest.fixture
def installation(cluster_with_chart: Installation) -> Iterator[Installation]:
    """The same, with neither operators nor anything for them to do at the start and at the end."""
    yield cluster_with_chart
    cluster_with_chart.clear()


@pytest.fixture
def client(installation: Installation) -> ApiClient:
    return installation.client


@pytest.fixture
def operator(installation: Installation) -> Operator:
    """One replica, ready."""
    started = installation.start_operator()
    started.wait_ready()
    return started


@pytest.fixture
def history(installation: Installation) -> Iterator[ConfigHistory]:
    """Every config since the start of the test."""
    with ConfigHistory(installation.new_client()) as following:
        yield following
