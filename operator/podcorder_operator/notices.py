"""Events on a policy: what its author must see without asking for the status, each once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from podcorder_crds import ConditionStatus
from podcorder_operator.api import FIELD_MANAGER, Api
from podcorder_operator.conditions import ACCEPTED, READY
from podcorder_operator.errors import ApiError
from podcorder_operator.metadata import read_conditions
from podcorder_operator.policies import Policy, PolicyKey
from podcorder_operator.resources import EVENTS

logger = logging.getLogger(__name__)

MAX_MESSAGE = 1024
"""Characters that the API server takes of an Event's message."""
CLUSTER_EVENTS = "default"
"""Where Events on objects without a namespace belong."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One Event."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class Notices:
    """Remembers for which generation it was told already that the policy applies everywhere: nodes come and go."""

    def __init__(self) -> None:
        self._told: dict[PolicyKey, tuple[str, int]] = {}

    def choose(self, policy: Policy, status: Mapping[str, Any]) -> Iterator[Notice]:
        """What is new in this status against the one that the policy has."""
        known, current = read_conditions(policy.status), read_conditions(status)
        yield from _choose_accepted(known.get(ACCEPTED), current[ACCEPTED])
        occasion = (policy.uid, policy.generation)
        before, after = known.get(READY, {}), current[READY]
        if before.get("status") == ConditionStatus.TRUE and before.get("observedGeneration") == policy.generation:
            self._told[policy.key] = occasion
        if after["status"] == ConditionStatus.TRUE and self._told.get(policy.key) != occasion:
            self._told[policy.key] = occasion
            yield Notice("Normal", after["reason"], after["message"])

    def forget(self, key: PolicyKey) -> None:
        """The policy is gone."""
        self._told.pop(key, None)


async def post(api: Api, policy: Policy, notice: Notice, now: str) -> None:
    """`now`: RFC 3339, in UTC. An Event that cannot be written is left out: the status says the same."""
    namespace = policy.key.namespace or CLUSTER_EVENTS
    try:
        await api.create(EVENTS, make_event(policy, notice, now), namespace=namespace)
    except ApiError as error:
        logger.info("An Event on %s could not be written: %s", policy.key, error)


def make_event(policy: Policy, notice: Notice, now: str) -> dict[str, Any]:
    resource, key = policy.key.resource, policy.key
    subject = {"apiVersion": resource.api_version, "kind": key.kind, "name": key.name, "uid": policy.uid}
    return {
        "metadata": {"generateName": f"{key.name}."},
        "involvedObject": subject | ({"namespace": key.namespace} if key.namespace else {}),
        "type": notice.type,
        "reason": notice.reason,
        "message": notice.message[:MAX_MESSAGE],
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def _choose_accepted(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Iterator[Notice]:
    accepted = after["status"] == ConditionStatus.TRUE
    if before is None and accepted:
        return  # that all is well from the start is no news
    if before is None or (before.get("status"), before.get("reason")) != (after["status"], after["reason"]):
        yield Notice("Normal" if accepted else "Warning", after["reason"], after["message"])
