"""Who asked for a session is written down by the operator, asked by a real API server, before it is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.sandboxes import wait_until
from fixtures.api_clients import ApiClient, Object, Refused
from fixtures.installations import Installation
from fixtures.session_endpoints import SessionEndpoint, ask_about_sessions

from podcorder_crds.digests import digest_command, join_arguments
from podcorder_operator.resources import NODES, PODS, POLICIES, RECORDED_SESSIONS

NODE = "node-1"
SHOP = "shop"


@pytest.fixture
def endpoint(installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SessionEndpoint]:
    """Where the API server asks; the operators that the test starts answer there. Alice and Bob may do all in shop."""
    client = installation.client
    installation.control_plane.add_service_account(SHOP, "default")
    client.create(NODES, {"metadata": {"name": NODE}})
    grant = ("clusterrolebinding", "developers", "--clusterrole=cluster-admin", "--group=developers")
    installation.control_plane.kubectl("create", *grant, check=False)  # an earlier test may have
    with ask_about_sessions(installation, tmp_path) as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made
    client.call("DELETE", PODS.path(namespace=SHOP), {"gracePeriodSeconds": 0})
    client.call("DELETE", RECORDED_SESSIONS.path(namespace=SHOP))


@pytest.fixture
def alice(installation: Installation) -> ApiClient:
    return installation.client.as_user(installation.control_plane.tokens["alice"])


def add_pod(client: ApiClient, name: str = "api", **labels: str) -> Object:
    """A pod of two containers, on a node that no machine stands behind."""
    containers = [{"name": each, "image": "none"} for each in ("main", "sidecar")]
    spec = {"nodeName": NODE, "automountServiceAccountToken": False, "containers": containers}
    return client.create(PODS, {"metadata": {"name": name, "namespace": SHOP, "labels": labels}, "spec": spec})


def add_policy(client: ApiClient, **spec: Any) -> None:
    body = {"podSelector": {"matchLabels": {"app": "api"}}, "events": {"commands": {}}} | spec
    client.create(POLICIES, {"metadata": {"name": "exec", "namespace": SHOP}, "spec": body})


def connect(client: ApiClient, subresource: str, pod: str = "api", **query: Any) -> str:
    """What the API server says: that no kubelet is there, where nobody keeps it from asking it."""
    with pytest.raises(Refused) as said:
        client.call("POST", PODS.path(pod, namespace=SHOP, subresource=subresource), **query)
    return str(said.value)


def list_sessions(client: ApiClient) -> list[Object]:
    return client.list(RECORDED_SESSIONS)


def wait_announcing(client: ApiClient) -> None:
    """Until the API server asks, and the operator knows the policy; nothing is left of that."""

    def announces() -> bool:
        connect(client, "exec", container="main", command="true")
        return bool(list_sessions(client))

    wait_until(announces, 20, "an exec announced")
    client.call("DELETE", RECORDED_SESSIONS.path(namespace=SHOP))


def test_exec(installation: Installation, endpoint: SessionEndpoint, alice: ApiClient) -> None:
    """Who it is, what was asked for and where: all that the API server knows, the command without its secrets."""
    client = installation.client
    pod = add_pod(client, app="api")
    add_policy(client)
    installation.start_operator().wait_ready()
    wait_announcing(client)
    command = ["mysql", "-psecret", "--password", "hunter2"]
    connect(alice, "exec", container="main", command=command, stdin="true", tty="true")
    (session,) = list_sessions(client)
    spec, request = session["spec"], session["spec"]["request"]
    assert session["metadata"]["namespace"] == SHOP
    assert session["metadata"]["name"] == f"exec-{request['id']}"
    assert (spec["kind"], spec["origin"], spec["mode"]) == ("Exec", "Announced", "BestEffort")
    assert (spec["nodeName"], spec["container"]) == (NODE, "main")
    assert spec["pod"] == {"name": "api", "uid": pod["metadata"]["uid"]}
    assert spec["user"]["username"] == "alice"
    assert "developers" in spec["user"]["groups"]
    assert request["command"] == ["mysql", "-p[redacted]", "--password", "[redacted]"]
    assert request["commandDigest"] == digest_command(endpoint.key, join_arguments(command))
    assert (request["source"], request["stdin"], request["tty"]) == ("pods/exec", "Attached", "Allocated")
