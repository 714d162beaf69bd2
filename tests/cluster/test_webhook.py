"""The admission webhook, called by a real API server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.certificates import Authority
from cluster.sandboxes import wait_until
from fixtures.api_clients import ApiClient, Refused
from fixtures.collectors import free_ports
from fixtures.installations import Installation

from podcorder_operator.handlers import WEBHOOK_PATH
from podcorder_operator.resources import CLUSTER_POLICIES, POLICIES, Resource

WEBHOOKS = Resource(
    "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"
)
# The API server's RE2 takes two groups of one name, Python's re does not.
TWO_GROUPS = "(?P<word>a)(?P<word>b)"


@pytest.fixture
def webhook(installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Where the operators that the test starts serve the webhook that the API server is told to call."""
    (port,) = free_ports(1)
    address = installation.control_plane.host_address
    authority = Authority(tmp_path)
    pair = authority.issue("webhook", "/CN=webhook", addresses=[address])
    monkeypatch.setenv("PODCORDER_WEBHOOK_PORT", str(port))
    monkeypatch.setenv("PODCORDER_WEBHOOK_CERTIFICATE", str(pair.certificate))
    monkeypatch.setenv("PODCORDER_WEBHOOK_KEY", str(pair.key))
    rule = {
        "apiGroups": [POLICIES.group],
        "apiVersions": [POLICIES.version],
        "resources": [POLICIES.plural, CLUSTER_POLICIES.plural],
        "operations": ["CREATE", "UPDATE"],
    }
    called = {
        "name": "policies.podcorder.dev",
        "clientConfig": {
            "url": f"https://{address}:{port}/{WEBHOOK_PATH}",
            "caBundle": base64.b64encode(authority.certificate.read_bytes()).decode(),
        },
        "rules": [rule],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 5,
    }
    identity = {"apiVersion": WEBHOOKS.api_version, "kind": WEBHOOKS.kind, "metadata": {"name": "test"}}
    installation.client.create(WEBHOOKS, identity | {"webhooks": [called]})
    yield
    installation.client.delete(WEBHOOKS, "test")


def make_policy(name: str, pattern: str = "secret") -> dict[str, Any]:
    return {
        "apiVersion": POLICIES.api_version,
        "kind": POLICIES.kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"events": {"commands": {}}, "redaction": {"rules": [{"name": "mine", "pattern": pattern}]}},
    }


def wait_answering(client: ApiClient) -> None:
    """Until the API server has the webhook's configuration, and the webhook listens."""

    def denies() -> bool:
        try:
            client.create(POLICIES, make_policy("wrong", TWO_GROUPS))
        except Refused as error:
            return "is not a regular expression" in str(error)
        client.delete(POLICIES, "wrong", "default")
        return False

    wait_until(denies, 10, "the webhook denying")


@pytest.mark.usefixtures("webhook")
def test_denies(installation: Installation) -> None:
    """What the schema takes and the contract does not is denied with the contract's sentence; the rest is stored."""
    installation.start_operator().wait_ready()
    client = installation.client
    wait_answering(client)
    with pytest.raises(Refused, match=r"redaction\.rules\[0\]\.pattern.*is not a regular expression"):
        client.create(POLICIES, make_policy("wrong", TWO_GROUPS))
    client.create(POLICIES, make_policy("right"))
    with pytest.raises(Refused, match="is not a regular expression"):
        client.apply(POLICIES, make_policy("right", TWO_GROUPS))


@pytest.mark.usefixtures("webhook")
def test_standby_answers(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that does not lead answers as well: here the leader has no webhook."""
    with monkeypatch.context() as without:
        without.delenv("PODCORDER_WEBHOOK_CERTIFICATE")
        without.delenv("PODCORDER_WEBHOOK_KEY")
        leader = installation.start_operator(name="leading")
    leader.wait_ready()
    wait_until(lambda: installation.find_leader() == "leading", 20, "the first replica leads")
    standby = installation.start_operator(name="standing-by")
    standby.wait_ready()
    wait_answering(installation.client)
    assert "podcorder_operator_leader 0.0" in (standby.ask("metrics") or "")
