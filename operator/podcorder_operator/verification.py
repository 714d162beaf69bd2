"""What `helm test` asks of a release: does every node record, and is every policy reviewed before it is stored?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from podcorder_operator.api import Api
from podcorder_operator.conditions import READY
from podcorder_operator.elections import LEASES
from podcorder_operator.errors import ApiError, Refused
from podcorder_operator.metadata import read_conditions
from podcorder_operator.resources import CONFIGS, POLICIES, Resource

AGENT = "podcorder-agent"
OPERATOR = "podcorder-operator"
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", namespaced=True)
PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
PAUSE_SECONDS = 1.0
_WEBHOOK = "policies.podcorder.dev"
"""As the chart calls it; the API server names it in a denial. A cluster may have webhooks of others."""

# The API server's RE2 takes two groups of one name, the webhook does not.
_REFUSED_BY_WEBHOOK = {
    "metadata": {"name": "refused-by-the-webhook"},
    "spec": {
        "events": {"commands": {}},
        "redaction": {"rules": [{"name": "twice", "pattern": "(?P<word>a)(?P<word>b)"}]},
    },
}


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found, once."""

    nodes: int
    """With an agent."""
    problems: tuple[str, ...]
    """A sentence each; none: all is well."""


async def wait_verified(api: Api, namespace: str, seconds: float) -> Verification:
    """Looks until nothing is wrong, at most for so many seconds; what was found at last."""
    deadline = time.monotonic() + seconds
    while (verification := await verify(api, namespace)).problems and time.monotonic() < deadline:
        await asyncio.sleep(PAUSE_SECONDS)
    return verification


async def verify(api: Api, namespace: str) -> Verification:
    """Looks at the agents of the release in this namespace, and at the webhook. Raises nothing of the API server's."""
    try:
        pods = [each for each in await api.list_all(PODS, namespace=namespace) if _is_agent(each)]
        problems = [
            *find_missing(await api.get(DAEMON_SETS, AGENT, namespace=namespace), len(pods)),
            *find_idle(pods, await api.list_all(CONFIGS), await api.list_all(LEASES, namespace=namespace)),
        ]
        if await _is_webhook_silent(api, namespace):
            problems.append(
                "The webhook does not answer, so policies are checked by the kinds' own rules alone: "
                f"kubectl logs --namespace {namespace} deployment/{OPERATOR} tells why."
            )
    except ApiError as error:
        return Verification(0, (f"The API server says: {error}",))
    return Verification(len(pods), tuple(problems))


def find_missing(daemon_set: Mapping[str, Any], pods: int) -> Iterator[str]:
    """What is wrong where nodes have no agent."""
    wanted = (daemon_set.get("status") or {}).get("desiredNumberScheduled", 0)
    if not wanted:
        yield "No node is to have an agent: agent.nodeSelector selects none."
    elif pods < wanted:
        yield (
            f"{wanted - pods} of {wanted} nodes have no agent: "
            f"kubectl describe daemonset --namespace {daemon_set['metadata']['namespace']} {AGENT} tells why."
        )


def find_idle(pods: list[dict[str, Any]], configs: list[dict[str, Any]], leases: list[dict[str, Any]]) -> Iterator[str]:
    """What is wrong with each node whose agent does not record what it should."""
    config_of = {each["metadata"]["name"]: each for each in configs}
    renewed = {each["metadata"]["name"]: (each.get("spec") or {}).get("renewTime") or "" for each in leases}
    for pod in pods:
        node = pod["spec"].get("nodeName", "no node")
        problem = _read_waiting(pod)
        # Both times are the node's own: before the first beat the status is that of an agent before this one.
        if not problem and renewed.get(f"agent.{node}", "") < pod["status"].get("startTime", ""):
            problem = f"its agent has just begun; kubectl logs {pod['metadata']['name']} tells how far it has come"
        problem = problem or _read_unready(config_of.get(node))
        if problem:
            yield f"{node}: {problem}"


def _read_waiting(pod: Mapping[str, Any]) -> str:
    """Why a container of the pod does not run; empty where all do."""
    status = pod["status"]
    for each in status.get("containerStatuses", ()):
        state = each.get("state") or {}
        stopped = state.get("waiting") or state.get("terminated")
        if stopped:
            told = ": ".join(filter(None, (stopped.get("reason"), stopped.get("message"))))
            return f"the container {each['name']} does not run ({told})"
    ready = read_conditions(status).get(READY, {})
    return "" if ready.get("status") == "True" else "its agent is not ready"


def _read_unready(config: Mapping[str, Any] | None) -> str:
    """What the agent says is wrong; empty where it records."""
    if config is None:
        return f"it has no config; the logs of deployment/{OPERATOR} tell why"
    ready = read_conditions(config.get("status") or {}).get(READY)
    if ready is None:
        return "its agent has not reported yet"
    return "" if ready.get("status") == "True" else f"{ready.get('reason')}: {ready.get('message')}"


def _is_agent(pod: Mapping[str, Any]) -> bool:
    metadata = pod["metadata"]
    owners = {(each["kind"], each["name"]) for each in metadata.get("ownerReferences", ())}
    return ("DaemonSet", AGENT) in owners and "deletionTimestamp" not in metadata


async def _is_webhook_silent(api: Api, namespace: str) -> bool:
    try:
        await api.create(POLICIES, _REFUSED_BY_WEBHOOK, namespace=namespace, dry_run=True)
    except Refused as error:
        if f'admission webhook "{_WEBHOOK}"' not in error.message:
            raise
        return False
    return True
