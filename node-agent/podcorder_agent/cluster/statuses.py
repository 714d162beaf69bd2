"""Writes the status of the node's config: on transitions, and seldom."""

from __future__ import annotations

import logging
import os
import threading
from datetime import UTC, datetime
from typing import Any

from podcorder_agent import __version__
from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.collections import ConfigCollection
from podcorder_agent.cluster.errors import ApiError
from podcorder_agent.cluster.states import Board, NodeState
from podcorder_crds import MAX_NAMESPACES

logger = logging.getLogger(__name__)

LEAST_SECONDS = 10.0
"""From one write to the next."""
_MOST_MESSAGE = 4096


class StatusWriter:
    """Keeps the status in step with the board."""

    def __init__(
        self, api: Api, configs: ConfigCollection, node: str, board: Board, least: float = LEAST_SECONDS
    ) -> None:
        self._api = api
        self._configs = configs
        self._node = node
        self._board = board
        self._least = least
        self._written: NodeState | None = None
        self._condition: tuple[str, str] = ("", "")
        """Status of the condition Ready, and since when."""
        self._told = ""

    def run(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            if not self._board.changed.wait(1.0):
                continue
            self._board.changed.clear()
            state = self._board.read()
            if not state.config_uid or state == self._written:
                continue
            self._write(state)
            stop.wait(self._least)

    def _write(self, state: NodeState) -> None:
        try:
            self._api.merge(f"{self._configs.path}/{self._node}/status", {"status": self._make_status(state)})
        except ApiError as error:
            self._board.changed.set()  # again the next time
            if str(error) != self._told:
                self._told = str(error)
                logger.warning("The node's status cannot be written, trying again: %s", error)
            return
        self._told = ""
        self._written = state
        self._board.note_reported(state.namespaces)

    def _make_status(self, state: NodeState) -> dict[str, Any]:
        status, reason, message = explain(state)
        if status != self._condition[0]:
            self._condition = status, datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        ready = {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message[:_MOST_MESSAGE],
            "observedGeneration": state.generation,
            "lastTransitionTime": self._condition[1],
        }
        capabilities = [
            {"name": each.name, "state": each.state}
            | ({"rung": each.rung} if each.rung else {})
            | ({"message": each.message} if each.message else {})
            for each in state.capabilities
        ]
        loader = state.loader and {"name": state.loader.name, "reason": state.loader.reason or None}
        return {
            "appliedGeneration": state.applied_generation or None,
            "namespaces": list(state.namespaces[:MAX_NAMESPACES]),
            "capabilities": capabilities,
            "loader": loader,
            "conditions": [ready],
            "agentVersion": __version__,
            "kernelVersion": os.uname().release,
        }


def explain(state: NodeState) -> tuple[str, str, str]:
    """Status, reason and message of the condition Ready."""
    if state.recorder_problem:
        return "False", "RecorderAway", f"What is recorded stays as it was: {state.recorder_problem}"
    if state.unloaded:
        return "False", "Unloaded", "Nothing is recorded and nothing is left in the kernel, as the config asks."
    if state.problems:
        return "False", "NotUnderstood", "The rest is recorded. " + "; ".join(state.problems)
    unavailable = {each.name: each.message for each in state.capabilities if each.state == "Unavailable"}
    if unavailable:
        sentence = f"This node cannot record {', '.join(unavailable)}"
        reasons = set(unavailable.values())
        if len(unavailable) > 1 == len(reasons):  # it is the kernel's
            sentence += f": {reasons.pop()}"
        return "False", "CapabilitiesUnavailable", f"{sentence.removesuffix('.')}."
    return "True", "Recording", "The node records what its config asks for."
