"""Writes the status of the node's config: on transitions, and seldom."""

from __future__ import annotations

import logging
import os
import threading
from datetime import UTC, datetime
from typing import Any

from podcorder_agent import __version__
from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.collections import Collection
from podcorder_agent.cluster.errors import ApiError
from podcorder_agent.cluster.states import Board, NodeState
from podcorder_crds import MAX_NAMESPACES, LosslessReason

logger = logging.getLogger(__name__)

LEAST_SECONDS = 10.0
"""From one write to the next."""
_MOST_MESSAGE = 4096


class StatusWriter:
    """Keeps the status in step with the board."""

    def __init__(self, api: Api, configs: Collection, node: str, board: Board, least: float = LEAST_SECONDS) -> None:
        self._api = api
        self._configs = configs
        self._node = node
        self._board = board
        self._least = least
        self._written: NodeState | None = None
        self._conditions: dict[str, tuple[str, str]] = {}
        """By type: its status, and since when."""
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
            "losingClasses": [each.value for each in state.losing],
            "conditions": [
                self._make_condition("Ready", state.generation, *explain(state)),
                self._make_condition("Lossless", state.generation, *explain_losses(state)),
            ],
            "agentVersion": __version__,
            "kernelVersion": os.uname().release,
        }

    def _make_condition(self, kind: str, generation: int, status: str, reason: str, message: str) -> dict[str, Any]:
        if status != self._conditions.get(kind, ("", ""))[0]:
            self._conditions[kind] = status, datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message[:_MOST_MESSAGE],
            "observedGeneration": generation,
            "lastTransitionTime": self._conditions[kind][1],
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


def explain_losses(state: NodeState) -> tuple[str, str, str]:
    """Status, reason and message of the condition Lossless."""
    if state.journal_full:
        sentence = "Nothing more fits into the journal: see that the collector takes what waits, or give it more room."
        return "False", LosslessReason.JOURNAL_FULL, sentence
    if state.losing:
        names = ", ".join(state.losing)
        return "False", LosslessReason.LOSING_EVENTS, f"Of these classes events are being lost: {names}."
    return "True", LosslessReason.RECORDING, "What is recorded is kept."
