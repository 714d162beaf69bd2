"""The operator on a real API server, under its own role: configs and statuses become what a naive recount says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from secrets import randbits

import pytest
from fixtures.agents import make_status
from fixtures.api_clients import ApiClient, Object, make_node
from fixtures.config_histories import ConfigHistory
from fixtures.installations import Installation, Operator
from fixtures.policy_samples import make_large_spec, make_spec
from fixtures.recounts import wait_converged, wait_truthful
from fixtures.worlds import World

from podcorder_operator.resources import CLUSTER_POLICIES, CONFIGS, NAMESPACES, NODES, POLICIES

SEEDS = (1, 2, 3, randbits(32))
EVERYTHING: Object = {"events": {"commands": {}}}


@pytest.fixture
def client(installation: Installation) -> ApiClient:
    return installation.client


@pytest.fixture
def operator(installation: Installation) -> Operator:
    """One replica, ready."""
    started = installation.start_operator()
    started.wait_ready()
    return started


def put_policy(client: ApiClient, name: str, spec: Object, namespace: str = "") -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return client.apply(POLICIES if namespace else CLUSTER_POLICIES, {"metadata": metadata, "spec": spec})


def put_namespace(client: ApiClient, name: str, **labels: str) -> None:
    client.apply(NAMESPACES, {"metadata": {"name": name, "labels": labels}})


def put_node(client: ApiClient, name: str, **labels: str) -> None:
    client.apply(NODES, make_node(name, labels))


def report(client: ApiClient, node: str, *namespaces: str, applied: int = 0, degraded: str = "") -> None:
    """As the node's agent does."""
    status = make_status(applied, namespaces, degraded.split())
    client.apply(CONFIGS, {"metadata": {"name": node}, "status": status}, manager="agent", subresource="status")


def read_config(client: ApiClient, node: str) -> Object:
    config = client.get(CONFIGS, node)
    assert config is not None, f"{node} has no config"
    return config


def read_condition(client: ApiClient, kind: str, name: str, namespace: str = "") -> Object:
    """A condition of a policy, empty where it has none of this type."""
    policy = client.get(POLICIES if namespace else CLUSTER_POLICIES, name, namespace)
    assert policy is not None
    return next((each for each in policy.get("status", {}).get("conditions", []) if each["type"] == kind), {})
