"""Strict policies on a real API server: what is refused where nobody answers, and what never is."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cluster.sandboxes import wait_until
from fixtures.agents import make_status
from fixtures.api_clients import ApiClient, Object, Refused
from fixtures.charts import NAMESPACE
from fixtures.installations import LEASES, Installation, Operator
from fixtures.session_endpoints import CONFIGURATION, WEBHOOKS, SessionEndpoint, ask_about_sessions

from podcorder_operator.resources import CLUSTER_POLICIES, CONFIGS, NODES, PODS, POLICIES, RECORDED_SESSIONS
from podcorder_operator.webhook_entries import OPEN_ENTRY, STRICT_ENTRY

DOCUMENT = Path(__file__).parents[2] / "docs" / "strict.md"
NODE = "node-1"
STRICT, MILD = "vault", "blog"
OPEN = ("kube-system", "kube-public", "kube-node-lease", NAMESPACE)
SPEC: dict[str, Any] = {"mode": "Strict", "events": {"commands": {}}}
ALLOWED = "pod does not have a host assigned"
"""What the API server says once nobody keeps it from asking the kubelet, which is not there."""


@pytest.fixture
def endpoint(installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SessionEndpoint]:
    """Where the API server asks; the operators that the test starts answer there."""
    client = installation.client
    client.create(NODES, {"metadata": {"name": NODE}})
    for namespace in (STRICT, MILD, *OPEN):
        installation.control_plane.add_service_account(namespace, "default")
        add_pod(client, namespace)
    with ask_about_sessions(installation, tmp_path) as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made
    for namespace in (STRICT, MILD, *OPEN):
        client.call("DELETE", PODS.path(namespace=namespace), {"gracePeriodSeconds": 0})


@pytest.fixture
def operator(installation: Installation, endpoint: SessionEndpoint) -> Operator:
    """One replica, which is asked; the node's agent is well."""
    started = installation.start_operator()
    started.wait_ready()
    beat(installation.client)
    return started


def add_pod(client: ApiClient, namespace: str) -> None:
    spec = {"nodeName": NODE, "automountServiceAccountToken": False, "containers": [{"name": "main", "image": "none"}]}
    client.create(PODS, {"metadata": {"name": "api", "namespace": namespace}, "spec": spec})


def add_policy(client: ApiClient, namespace: str = STRICT, **spec: Any) -> None:
    resource = POLICIES if namespace else CLUSTER_POLICIES
    metadata = {"name": "strict"} | ({"namespace": namespace} if namespace else {})
    client.apply(resource, {"metadata": metadata, "spec": SPEC | spec})


def beat(client: ApiClient) -> None:
    """As the node's agent does."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    client.apply(LEASES, {"metadata": {"name": f"agent.{NODE}", "namespace": NAMESPACE}, "spec": {"renewTime": now}})


def report(client: ApiClient, **status: Any) -> None:
    """As the node's agent does, which has applied the config as it is; what is not said is well."""

    def is_made() -> bool:
        return client.get(CONFIGS, NODE) is not None

    wait_until(is_made, 20, "the node's config")
    config = client.get(CONFIGS, NODE)
    assert config is not None
    now = "2026-01-01T00:00:00Z"
    ready = {"type": "Ready", "status": "True", "reason": "Recording", "message": "", "lastTransitionTime": now}
    body = make_status(config["metadata"]["generation"], [STRICT, MILD]) | {"conditions": [ready]} | status
    client.apply(CONFIGS, {"metadata": {"name": NODE}, "status": body}, manager="agent", subresource="status")


def record(client: ApiClient) -> None:
    """Have the node record by the policies that there are."""
    report(client)

    def is_held() -> bool:
        config = client.get(CONFIGS, NODE)
        return config is not None and bool(config["spec"].get("policies"))

    wait_until(is_held, 20, "the policy in the node's config")
    report(client)
    beat(client)


def connect(client: ApiClient, namespace: str, subresource: str = "exec") -> str:
    """What the API server says."""
    with pytest.raises(Refused) as said:
        client.call("POST", PODS.path("api", namespace=namespace, subresource=subresource), command="true")
    return str(said.value)


def is_let_in(client: ApiClient, namespace: str, subresource: str = "exec") -> bool:
    return "admission webhook" not in (said := connect(client, namespace, subresource)) and "failed calling" not in said


def debug(client: ApiClient, namespace: str) -> str:
    """What the API server says to another debug container; empty: there it is."""
    path = PODS.path("api", namespace=namespace, subresource="ephemeralcontainers")
    containers = {"ephemeralContainers": [{"name": "debug", "image": "none"}]}
    try:
        client.call("PATCH", path, {"spec": containers}, kind="application/strategic-merge-patch+json", dryRun="All")
    except Refused as error:
        return str(error)
    return ""


def read_entries(client: ApiClient) -> dict[str, Object]:
    configuration = client.get(WEBHOOKS, CONFIGURATION)
    return {each["name"]: each for each in (configuration or {}).get("webhooks", [])}


def wait_shut(client: ApiClient, *, shut: bool = True) -> None:
    wait_until(lambda: (STRICT_ENTRY in read_entries(client)) == shut, 20, f"the strict entry there: {shut}")


def test_what_is_not_recorded_does_not_begin(installation: Installation, operator: Operator) -> None:
    """Exec, attach and debug into a selected pod are refused with the reason, while the node does not record; they
    begin once it does, and those into pods of other policies in any case."""
    client = installation.client
    add_policy(client)
    add_policy(client, MILD, mode="BestEffort")
    wait_shut(client)
    reason = "the recording policy vault/strict is Strict, and the agent on node node-1 does not record"
    wait_until(lambda: reason in connect(client, STRICT), 20, "the refusal")
    assert reason in connect(client, STRICT, "attach")
    assert reason in debug(client, STRICT)
    assert is_let_in(client, MILD)
    assert debug(client, MILD) == ""
    record(client)
    wait_until(lambda: is_let_in(client, STRICT), 20, "an exec where the node records")
    assert is_let_in(client, STRICT, "attach")
    assert debug(client, STRICT) == ""
    full = {"type": "Lossless", "status": "False", "reason": "JournalFull", "message": "No space is left."}
    ready = {"type": "Ready", "status": "True", "reason": "Recording", "message": ""}
    now = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    report(client, conditions=[ready | now, full | now])
    wait_until(lambda: "the journal on node node-1 is full: No space" in connect(client, STRICT), 20, "the refusal")


@pytest.mark.parametrize("namespace", [STRICT, ""])
def test_nobody_answers(namespace: str, installation: Installation, operator: Operator) -> None:
    """With the operator gone altogether nobody gets into Strict namespaces, and everybody into all others; into the
    system's and the operator's own always, even where a policy is about all namespaces."""
    client = installation.client
    add_policy(client, namespace)
    wait_shut(client)
    operator.kill()
    refused = f'failed calling webhook "{STRICT_ENTRY}"'
    wait_until(lambda: refused in connect(client, STRICT), 10, "the refusal")
    assert refused in debug(client, STRICT)
    for each in OPEN:
        assert is_let_in(client, each)
        assert debug(client, each) == ""
    assert is_let_in(client, MILD) == (namespace != "")


def test_the_escape_hatches(installation: Installation, operator: Operator) -> None:
    """The commands of docs/strict.md let people in: the first until the operator is back, the second for good; the last
    one is for where it runs."""
    client = installation.client
    add_policy(client)
    wait_shut(client)
    ignore, delete, change = re.findall(r"^kubectl (.*)$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    operator.kill()
    wait_until(lambda: "failed calling webhook" in connect(client, STRICT), 10, "the refusal")
    installation.control_plane.kubectl(*shlex.split(ignore))
    wait_until(lambda: is_let_in(client, STRICT), 10, "an exec where nobody answers")
    operator.start()
    wait_until(lambda: read_entries(client)[STRICT_ENTRY]["failurePolicy"] == "Fail", 40, "the entry put right")
    installation.control_plane.kubectl(*shlex.split(change))
    wait_shut(client, shut=False)
    wait_until(lambda: is_let_in(client, STRICT), 10, "an exec under the policy as it is now")
    add_policy(client)
    wait_shut(client)
    installation.control_plane.kubectl(*shlex.split(delete))
    wait_until(lambda: is_let_in(client, STRICT), 10, "an exec without the webhook")


def test_one_request_is_asked_about_once(installation: Installation, operator: Operator) -> None:
    """While the entry comes and goes, every request is announced once or, at no time, twice."""
    client = installation.client
    add_policy(client, MILD, mode="BestEffort")
    report(client)
    entries = set()
    for round in range(12):
        add_policy(client, MILD, mode="Strict" if round % 2 else "BestEffort")
        beat(client)
        for _ in range(6):
            before = count_reviews(operator)
            connect(client, MILD)
            entries.add(frozenset(read_entries(client)))
            assert count_reviews(operator) == before + 1
    assert {STRICT_ENTRY in each for each in entries} == {True, False}


def count_reviews(operator: Operator) -> int:
    """How many questions about sessions were answered."""
    lines = (operator.ask("metrics") or "").splitlines()
    return sum(
        int(float(each.split()[-1])) for each in lines if each.startswith("podcorder_operator_admissions_total{")
    )


def test_the_entry_goes_with_its_reason(installation: Installation, operator: Operator) -> None:
    """It is there while a Strict policy is, and leaves the chart's entry as it was; a configuration that was deleted
    stays deleted, whatever policies there are."""
    client = installation.client
    before = read_entries(client)
    assert STRICT_ENTRY not in before
    add_policy(client)
    wait_shut(client)
    add_policy(client, mode="BestEffort")
    wait_shut(client, shut=False)
    assert read_entries(client) == before
    add_policy(client)
    wait_shut(client)
    client.delete(WEBHOOKS, CONFIGURATION)
    add_policy(client, "")
    record(client)
    assert client.get(WEBHOOKS, CONFIGURATION) is None


def test_an_upgrade_keeps_it(installation: Installation, operator: Operator) -> None:
    """What Helm writes again, by server-side apply and as Helm 3 did, does not conflict with ours and does not take it
    out; a change of the chart's entry becomes one of both."""
    client = installation.client
    add_policy(client)
    wait_shut(client)
    stored = client.get(WEBHOOKS, CONFIGURATION)
    assert stored is not None
    ours = {field["manager"] for field in stored["metadata"]["managedFields"]}
    assert ours == {"tests", "podcorder-operator-strict"}
    chart = read_entries(client)[OPEN_ENTRY]
    del chart["namespaceSelector"]
    others = [each for name, each in read_entries(client).items() if name not in (OPEN_ENTRY, STRICT_ENTRY)]
    body = {"apiVersion": WEBHOOKS.api_version, "kind": WEBHOOKS.kind, "metadata": {"name": CONFIGURATION}}
    body["webhooks"] = [chart | {"timeoutSeconds": 4}, *others]
    # As helm does: not by force.
    query = {"fieldManager": "tests", "fieldValidation": "Strict"}
    client.call("PATCH", WEBHOOKS.path(CONFIGURATION), body, kind="application/apply-patch+yaml", **query)
    wait_until(lambda: read_entries(client)[STRICT_ENTRY]["timeoutSeconds"] == 4, 10, "the change in both")
    assert read_entries(client)[OPEN_ENTRY]["namespaceSelector"]["matchExpressions"][0]["values"] == [STRICT]
    change = {"webhooks": [{"name": OPEN_ENTRY, "timeoutSeconds": 3}]}
    client.call(
        "PATCH",
        WEBHOOKS.path(CONFIGURATION),
        change,
        kind="application/strategic-merge-patch+json",
        fieldManager="helm",
    )
    wait_until(lambda: read_entries(client)[STRICT_ENTRY]["timeoutSeconds"] == 3, 10, "the change in both")


def test_a_node_that_falls_silent(installation: Installation, operator: Operator) -> None:
    """At most 30 seconds after an agent was heard of last nobody gets in. The sessions that run there are marked, and
    their pods have an Event."""
    client = installation.client
    add_policy(client)
    wait_shut(client)
    record(client)
    wait_until(lambda: is_let_in(client, STRICT), 20, "an exec where the node records")
    begun = datetime.now(UTC)
    # Of what is tried dry nothing is written down.
    wait_until(lambda: "nothing was heard of the agent" in debug(client, STRICT), 30, "the refusal")
    assert 15 < (datetime.now(UTC) - begun).total_seconds() < 25
    pod = client.get(PODS, "api", STRICT)
    assert pod is not None
    uid = pod["metadata"]["uid"]

    def read_marks() -> list[str]:
        sessions = [each for each in client.list(RECORDED_SESSIONS) if each["spec"].get("pod", {}).get("uid") == uid]
        return [each.get("status", {}).get("recorderFailure", {}).get("message", "") for each in sessions]

    wait_until(lambda: (marks := read_marks()) and all(marks), 40, "the marks")
    assert all("nothing was heard of the agent on node node-1" in each for each in read_marks())
    said = json.loads(installation.control_plane.kubectl("get", "events", "-n", STRICT, "-o", "json").stdout)["items"]
    events = [each for each in said if each["reason"] == "RecorderFailed" and each["involvedObject"].get("uid") == uid]
    assert len(events) == len(read_marks())
    assert not operator.problems()
