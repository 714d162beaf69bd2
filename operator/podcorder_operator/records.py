"""Records of sessions, as far as retention looks at them: pure, from a stored RecordedSession to what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from podcorder_crds import ConditionStatus
from podcorder_operator.metadata import read_conditions

STARTED = "Started"
ENDED = "Ended"
COMPLETE = "Complete"

SILENCE = timedelta(hours=24)
"""For an agent to come back and report: as long as nodes keep by default what was recorded."""


class Reason(StrEnum):
    """Why nobody can tell whether a session has ended."""

    NODE_GONE = "NodeGone"
    AGENT_SILENT = "AgentSilent"


@dataclass(frozen=True, slots=True)
class Record:
    """One stored record."""

    namespace: str
    name: str
    uid: str
    version: str
    """Its resourceVersion: nothing is done to a record that has changed since."""
    node: str
    created: datetime
    over: datetime | None
    """Since when nothing more will come of the session, as far as can be believed. None: it may be running."""
    reported: bool
    """Whether the node's agent has ever said anything of it."""
    conditions: Mapping[str, Mapping[str, Any]]
    """The status' conditions, by type."""


def read_record(raw: Mapping[str, Any], now: datetime) -> Record:
    """From the object as the API server has it, which the contract has been held against."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    created = _read_time(metadata.get("creationTimestamp")) or now
    conditions = read_conditions(status)
    return Record(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        metadata["resourceVersion"],
        raw["spec"]["nodeName"],
        created,
        _find_end(status, conditions, created, now),
        STARTED in conditions,
        conditions,
    )


def find_reason(record: Record, now: datetime, *, node_gone: bool) -> Reason | None:
    """Why nothing more will come of a session of which it was not said. None: something may."""
    if record.over is not None:
        return None
    if node_gone:
        return Reason.NODE_GONE
    return Reason.AGENT_SILENT if not record.reported and now - record.created > SILENCE else None


def make_end(record: Record, reason: Reason, now: datetime) -> list[dict[str, Any]]:
    """The conditions of a session of which nobody can tell whether it has ended; what else was said of it stays."""
    ends = {
        kind: {
            "type": kind,
            "status": ConditionStatus.UNKNOWN.value,
            "reason": reason.value,
            "message": _explain(record, reason),
            "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for kind in (ENDED, COMPLETE)
    }
    return [dict(each) for each in ({**record.conditions, **ends}).values()]


def find_surplus(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    """How many records of each namespace are too many, by their numbers, for all together to be at most `limit`.

    The namespaces that have most give: nobody pushes out what others recorded with many sessions of their own.
    """
    surplus = {}
    left = limit
    ascending = sorted(counts, key=lambda namespace: (counts[namespace], namespace))
    for place, namespace in enumerate(ascending):
        share = min(counts[namespace], left // (len(ascending) - place))
        if counts[namespace] > share:
            surplus[namespace] = counts[namespace] - share
        left -= share
    return surplus


def _find_end(
    status: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]], created: datetime, now: datetime
) -> datetime | None:
    ended, started = conditions.get(ENDED, {}), conditions.get(STARTED, {})
    if ended.get("status") in (ConditionStatus.TRUE, ConditionStatus.UNKNOWN):
        time = _read_time(status.get("endTime")) or _read_time(ended.get("lastTransitionTime"))
    elif started.get("status") == ConditionStatus.FALSE:
        time = _read_time(started.get("lastTransitionTime"))
    else:
        return None
    # An agent says it: a wrong time must neither shorten a record's life nor make it eternal.
    return time if time is not None and created <= time <= now else created


def _explain(record: Record, reason: Reason) -> str:
    if reason is Reason.NODE_GONE:
        return f"The node {record.node} is gone, and nobody had said before that the session has ended."
    hours = SILENCE // timedelta(hours=1)
    return f"The agent of node {record.node} has said nothing of this session for {hours} hours."


def _read_time(text: object) -> datetime | None:
    """RFC 3339; None for what is no such time."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return time if time is not None and time.tzinfo is not None else None
