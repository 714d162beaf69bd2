"""The agent's heartbeat: one Lease a node."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Any

from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.errors import ApiError, Conflict, NotFound

logger = logging.getLogger(__name__)

RENEW_SECONDS = 10.0
DURATION_SECONDS = 40


class Heartbeat:
    """Renews the Lease `agent.<node>`."""

    def __init__(self, api: Api, namespace: str, node: str, identity: str) -> None:
        """`identity`: of this process, such as the pod's name."""
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = f"agent.{node}"
        self._identity = identity
        self._told = ""
        self._renewed = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the last renewal, or the start."""
        return time.monotonic() - self._renewed

    def run(self, stop: threading.Event) -> None:
        """Until told to stop; the Lease is left to expire."""
        while not stop.is_set():
            try:
                self.renew()
                self._renewed = time.monotonic()
                self._told = ""
            except ApiError as error:
                if str(error) != self._told:
                    self._told = str(error)
                    logger.warning("The Lease %s cannot be renewed, trying again: %s", self._name, error)
            stop.wait(RENEW_SECONDS)

    def renew(self) -> None:
        """Once; raises ApiError."""
        path = f"{self._collection}/{self._name}"
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION_SECONDS,
            "renewTime": now,
        }
        try:
            lease = self._api.get(path)
        except NotFound:
            made = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}}
            try:
                self._api.create(self._collection, made | {"spec": spec | {"acquireTime": now}})
            except Conflict:
                pass  # the agent before us, on its way out; the next renewal is ours
            return
        before = lease.get("spec") or {}
        if before.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
        self._api.replace(path, lease | {"spec": before | spec})
