"""The recorder's capabilities and its loader in the words of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podcorder_agent.cluster.states import Capability, Loader
from podcorder_crds import Capability as Name
from podcorder_crds import CapabilityState
from podcorder_crds import Loader as LoaderName

_STATES = {
    "Active": CapabilityState.FULL,
    "Degraded": CapabilityState.DEGRADED,
    "Failed": CapabilityState.UNAVAILABLE,
}
MOST_RUNG, MOST_MESSAGE = 64, 1024
"""Characters, as the contract bounds them."""


def report_capabilities(told: Mapping[str, Mapping[str, Any]]) -> tuple[Capability, ...]:
    """In the contract's order; what is switched off because nothing needs it is left out: it has not been tried."""
    found = []
    for name in Name:
        each = told.get(name.agent_name, {})
        state = _STATES.get(str(each.get("state")))
        if state is not None:
            rung, reason = str(each.get("rung") or ""), str(each.get("reason") or "")
            found.append(Capability(name.value, state.value, rung[:MOST_RUNG], reason[:MOST_MESSAGE]))
    return tuple(found)


def report_loader(told: object) -> Loader | None:
    """None for one that the contract does not know: the rest of the status would be refused with it."""
    if not isinstance(told, Mapping) or told.get("name") not in tuple(LoaderName):
        return None
    return Loader(str(told["name"]), str(told.get("reason") or "")[:MOST_MESSAGE])
